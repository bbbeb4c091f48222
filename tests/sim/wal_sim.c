/*
 * The log itself (wal.c, wal_replay.c, walseg.c) on a disk that loses, tears and fails, over some
 * lives: opened, appended to and stepped, replayed, truncated; then closed, killed, or its power
 * cut at any of its calls to the disk.
 *
 * What must hold, whatever happens:
 *  - a record whose callback said "durable" is replayed in every later life, until it is truncated;
 *  - what is replayed was appended under that number, and comes once, in order;
 *  - callbacks come once, in the order of the numbers; a barrier comes after all before it;
 *  - opening and replaying fail only when the disk failed;
 *  - at the end, one flipped bit costs one group at most, and the log says that something is amiss.
 *
 * --break sync: the log acknowledges what it did not ask the disk to sync.
 * --break disk-sync: the disk says it has synced, and has not.
 * --break disk-names: the disk does not sync directories.
 */
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/wal/wal.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_waldisk.h"

#define MAX_SEQ 32768u
#define MAX_BURST 12
#define SEGMENT_BYTES 2048

struct record {
    uint32_t id; /* of the latest append that got this number; 0: none */
    bool is_acked, is_seen;
};

struct logger {
    struct sim *sim;
    struct sim_waldisk *disk;
    struct wal *wal;
    struct clock_fake clock;
    /* the world's knowledge, not the log's */
    struct record *records; /* by number */
    uint64_t highest_seq;   /* ever given out */
    uint64_t truncated_seq; /* what is below may be gone */
    uint64_t called_seq;    /* this life's newest callback */
    uint32_t next_id, acked, refused, group, max_group;
    uint64_t last_seen; /* in the replay under way */
    uint64_t last_record_seq;
};

struct wait {
    struct logger *l;
    uint64_t seq;
};

/* Bytes follow from the id. */
static void payload_of(uint32_t id, struct buf *out)
{
    uint32_t len = id % 97 == 0 ? 3000 : id * 7 % 90;

    buf_reset(out);
    buf_u32le(out, id);
    for (uint32_t i = 0; i < len; i++)
        buf_byte(out, (uint8_t)(id * 31 + i * 17));
}

/* ---- writing ---- */

static void on_done(void *arg, struct err *e)
{
    struct wait *w = arg;
    struct logger *l = w->l;

    if (w->seq <= l->called_seq)
        sim_fail(l->sim, "record %llu is answered after %llu", (unsigned long long)w->seq,
                 (unsigned long long)l->called_seq);
    l->called_seq = w->seq;
    if (!e) {
        l->records[w->seq].is_acked = true;
        l->acked++;
    } else if (!sim_waldisk_failures(l->disk)) {
        sim_fail(l->sim, "an append failed on a disk that did not: %s", err_msg(e));
    }
    err_free(e);
}

static void append_one(struct logger *l)
{
    struct wait *w = sim_alloc(l->sim, sizeof(*w));
    struct buf payload = {0};
    struct err *e;

    w->l = l;
    payload_of(++l->next_id, &payload);
    e = wal_append(l->wal, (uint8_t)(l->next_id % 5), SLICE("tenant"), buf_slice(&payload), on_done,
                   w, &w->seq);
    buf_done(&payload);
    if (e) {
        l->refused++;
        if (!sim_waldisk_failures(l->disk))
            sim_fail(l->sim, "an append was refused on a disk that did not fail: %s", err_msg(e));
        err_free(e);
        return;
    }
    if (w->seq >= MAX_SEQ) {
        sim_fail(l->sim, "the log used up its numbers: %llu", (unsigned long long)w->seq);
        w->seq = MAX_SEQ - 1;
    }
    if (l->records[w->seq].is_acked)
        sim_fail(l->sim, "number %llu was acknowledged before", (unsigned long long)w->seq);
    l->records[w->seq] = (struct record){.id = l->next_id};
    l->highest_seq = ORR_MAX(l->highest_seq, w->seq);
    l->last_record_seq = w->seq;
    l->max_group = ORR_MAX(l->max_group, ++l->group);
}

static void on_barrier(void *arg, struct err *e)
{
    struct wait *w = arg;

    if (!e && w->l->called_seq < w->seq)
        sim_fail(w->l->sim, "a barrier behind record %llu came after %llu only",
                 (unsigned long long)w->seq, (unsigned long long)w->l->called_seq);
    err_free(e);
}

static void step(struct logger *l)
{
    l->group = 0;
    (void)wal_step(l->wal);
    clock_fake_advance(&l->clock, sim_between(l->sim, 1, 5) * NS_PER_MS);
}

static void truncate_some(struct logger *l)
{
    uint64_t seq = (uint64_t)sim_between(l->sim, 1, (int64_t)l->highest_seq + 1);
    struct err *e = wal_truncate_before(l->wal, seq);

    if (e && !sim_waldisk_failures(l->disk))
        sim_fail(l->sim, "truncating failed on a disk that did not: %s", err_msg(e));
    err_free(e);
    l->truncated_seq = ORR_MAX(l->truncated_seq, seq);
}

static void act(struct logger *l)
{
    struct wait *w;

    switch (sim_between(l->sim, 0, 19)) {
    case 0:
        truncate_some(l);
        break;
    case 1:
        w = sim_alloc(l->sim, sizeof(*w));
        *w = (struct wait){l, l->last_record_seq};
        wal_barrier(l->wal, on_barrier, w);
        break;
    case 2:
        sim_waldisk_set_full(l->disk, sim_chance(l->sim, 0.3));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        for (int64_t n = sim_between(l->sim, 1, MAX_BURST); n; n--)
            append_one(l);
        break;
    default:
        step(l);
    }
}

/* ---- reading back ---- */

static struct err *see(void *arg, const struct wal_record *rec)
{
    struct logger *l = arg;
    struct buf want = {0};
    struct record *r = &l->records[ORR_MIN(rec->seq, MAX_SEQ - 1)];

    payload_of(r->id, &want);
    if (rec->seq <= l->last_seen)
        sim_fail(l->sim, "record %llu follows %llu", (unsigned long long)rec->seq,
                 (unsigned long long)l->last_seen);
    else if (!r->id || rec->type != r->id % 5 || !slice_eq_cstr(rec->tenant, "tenant") ||
             !slice_eq(rec->payload, buf_slice(&want)))
        sim_fail(l->sim, "record %llu has another's content", (unsigned long long)rec->seq);
    r->is_seen = true;
    l->last_seen = rec->seq;
    buf_done(&want);
    return NULL;
}

static uint32_t count_missing(const struct logger *l, uint64_t before_seq)
{
    uint32_t n = 0;

    for (uint64_t i = l->truncated_seq; i < before_seq; i++)
        n += l->records[i].is_acked && !l->records[i].is_seen;
    return n;
}

/* False: the disk failed. */
static bool replay(struct logger *l, struct wal_replay_stats *stats)
{
    struct err *e;

    for (uint64_t i = 0; i <= l->highest_seq; i++)
        l->records[i].is_seen = false;
    l->last_seen = 0;
    e = wal_replay(l->wal, l->truncated_seq, see, l, stats);
    if (!e)
        return true;
    if (!sim_waldisk_failures(l->disk))
        sim_fail(l->sim, "a replay failed on a disk that did not: %s", err_msg(e));
    err_free(e);
    return false;
}

static bool open_log(struct logger *l)
{
    struct wal_opts opts = {.dir = "disk",
                            .segment_bytes = SEGMENT_BYTES,
                            .io = sim_waldisk_io(l->disk),
                            .clock = &l->clock.clock,
                            .without_thread = true,
                            .without_sync = sim_is_broken(l->sim, "sync")};
    struct err *e = wal_open(&opts, &l->wal);

    l->called_seq = 0;
    l->group = 0;
    if (!e)
        return true;
    l->wal = NULL;
    if (!sim_waldisk_failures(l->disk))
        sim_fail(l->sim, "opening failed on a disk that did not: %s", err_msg(e));
    err_free(e);
    return false;
}

/* ---- lives ---- */

static void close_log(struct logger *l)
{
    struct err *e = wal_close(l->wal);

    if (e && !sim_waldisk_failures(l->disk))
        sim_fail(l->sim, "closing failed on a disk that did not: %s", err_msg(e));
    err_free(e);
    l->wal = NULL;
}

static void live(struct logger *l)
{
    int64_t acts = sim_between(l->sim, 5, 60);
    struct wal_replay_stats stats;
    uint64_t before_seq;

    if (sim_chance(l->sim, 0.6))
        sim_waldisk_power_off_after(l->disk, sim_between(l->sim, 0, 60));
    if (!open_log(l))
        return;
    before_seq = l->last_record_seq = wal_next_seq(l->wal);
    l->last_record_seq--;
    l->called_seq = l->last_record_seq;
    for (int64_t n = sim_between(l->sim, 0, 4); n; n--)
        act(l);
    if (replay(l, &stats)) {
        uint32_t missing = count_missing(l, before_seq);

        if (missing)
            sim_fail(l->sim, "%u acknowledged records are missing", missing);
    }
    while (acts-- && !sim_waldisk_is_off(l->disk) && !sim_violation(l->sim) &&
           l->highest_seq < MAX_SEQ / 2)
        act(l);
    if (sim_chance(l->sim, 0.3))
        close_log(l);
    wal_abandon(l->wal);
    l->wal = NULL;
}

static void flip_a_bit(struct logger *l)
{
    struct wal_replay_stats stats = {0};
    uint32_t missing;

    if (!sim_waldisk_flip_bit(l->disk) || !open_log(l))
        return;
    if (replay(l, &stats)) {
        missing = count_missing(l, MAX_SEQ);
        if (missing > l->max_group)
            sim_fail(l->sim, "one flipped bit cost %u records", missing);
        if (missing && !stats.quarantined && !stats.torn_bytes)
            sim_fail(l->sim, "a flipped bit cost %u records, and nothing was said", missing);
    }
    wal_abandon(l->wal);
}

static void note_line(void *arg, struct slice line)
{
    sim_note(arg, "%.*s", SLICE_ARG(line));
}

SIM_SCENARIO(wal, "the log: what it acknowledged survives any crash; a flipped bit costs a group")
{
    struct logger *l = sim_alloc(sim, sizeof(*l));
    int lives = (int)sim_between(sim, 2, 7);

    log_set_sink(note_line, sim);
    l->sim = sim;
    l->records = sim_alloc(sim, MAX_SEQ * sizeof(*l->records));
    clock_fake_init(&l->clock, 1700000000 * NS_PER_S);
    l->disk = sim_waldisk_new(
        sim, &(struct sim_waldisk_opts){.fails = sim_chance(sim, 0.4) ? 0.02 : 0,
                                        .syncs_nothing = sim_is_broken(sim, "disk-sync"),
                                        .syncs_no_names = sim_is_broken(sim, "disk-names")});
    for (int i = 0; i < lives && !sim_violation(sim); i++) {
        live(l);
        sim_waldisk_restart(l->disk, sim_waldisk_is_off(l->disk) || sim_chance(sim, 0.3));
        sim_note(sim, "%u records acknowledged, %u refused after %d lives", l->acked, l->refused,
                 i + 1);
    }
    if (!sim_violation(sim))
        flip_a_bit(l);
    sim_waldisk_free(l->disk);
    log_set_sink(NULL, NULL);
}
