/*
 * The log's bytes under crashes: groups are appended and synced as the wal thread does it, the disk
 * loses and tears what was not synced, and recovery (walseg_tail, walseg_scan) reads it back.
 *
 * After every restart: each acknowledged record is there once, in order, with its content; numbers
 * are never used twice. At the end one bit is flipped: it
 * costs one record, or one group when it hits a header, and the scan goes on behind it.
 *
 * --break sync: acknowledges before the sync has completed. Must be found out.
 */
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/wal/walseg.h"
#include "tests/sim/sim.h"

#define MAX_RECORDS 4096
#define MAX_GROUP 12

struct logger {
    struct sim *sim;
    int node;
    int file; /* being written; a restart begins the next */
    uint64_t first_seq[SIM_MAX_FILES];
    uint64_t next_seq; /* in memory: of the next record */
    bool is_syncing;
    /* the world's knowledge, not the node's */
    bool is_acked[MAX_RECORDS];
    uint64_t highest_seq; /* ever given out */
    uint32_t acked;
};

struct sync_wait {
    struct logger *l;
    uint64_t first;
    uint32_t n;
};

/* What record seq holds: its length and bytes follow from the number. */
static void payload_of(uint64_t seq, struct buf *out)
{
    uint64_t x = seq;

    buf_reset(out);
    for (uint64_t n = seq % 37; n; n--)
        buf_u64le(out, x = hash_xxh64(slice_of(&x, sizeof(x)), 0));
    buf_u64le(out, seq);
}

static void acknowledge(void *arg, bool is_ok)
{
    struct sync_wait *w = arg;

    w->l->is_syncing = false;
    if (!is_ok)
        return; /* the real log starts a new file; here the group stays unacknowledged */
    for (uint32_t i = 0; i < w->n; i++)
        w->l->is_acked[w->first + i] = true;
    w->l->acked += w->n;
}

static void forget(void *arg, bool is_ok)
{
    (void)arg;
    (void)is_ok;
}

static void append_group(struct logger *l, uint32_t n)
{
    struct sync_wait *w = sim_alloc(l->sim, sizeof(*w));
    struct buf group = {0}, payload = {0};

    *w = (struct sync_wait){l, l->next_seq, n};
    buf_fill(&group, 0, WALSEG_GROUP_BYTES);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t crc;

        payload_of(l->next_seq + i, &payload);
        crc = walseg_record_crc(1, SLICE("t"), buf_slice(&payload));
        walseg_append_record(&group, crc, 1, SLICE("t"), buf_slice(&payload));
    }
    buf_fill(&group, 0, (0 - group.len) & 7);
    walseg_group_header(group.ptr, group.len - WALSEG_GROUP_BYTES, l->next_seq, n);
    sim_append(l->sim, l->node, l->file, buf_slice(&group));
    l->next_seq += n;
    l->highest_seq = ORR_MAX(l->highest_seq, l->next_seq - 1);
    l->is_syncing = true;
    if (sim_is_broken(l->sim, "sync"))
        acknowledge(w, true);
    sim_sync(l->sim, l->node, l->file, sim_is_broken(l->sim, "sync") ? forget : acknowledge, w);
    buf_done(&payload);
    buf_done(&group);
}

static void tick(void *arg)
{
    struct logger *l = arg;
    uint32_t n = (uint32_t)sim_between(l->sim, 1, MAX_GROUP);

    if (!l->is_syncing && l->next_seq + n < MAX_RECORDS)
        append_group(l, n);
    sim_node_at(l->sim, l->node, sim_between(l->sim, 100000, 3000000), tick, l);
}

/* Reads one file; marks what it finds. */
static void scan_file(struct logger *l, int file, bool *found, uint64_t *last, size_t *ret_broken)
{
    struct slice content = sim_content(l->sim, l->node, file);
    struct buf want = {0};
    struct walseg_scan s;
    enum walseg_event event;
    uint64_t first_seq;

    if (!walseg_parse_header(content, &first_seq))
        return; /* its header was not synced: no record can have been acknowledged */
    walseg_scan_init(&s, content, first_seq);
    while ((event = walseg_scan_next(&s)) != WALSEG_END) {
        *ret_broken += event == WALSEG_BROKEN;
        if (event != WALSEG_RECORD)
            continue;
        payload_of(s.rec.seq, &want);
        if (s.rec.seq <= *last)
            sim_fail(l->sim, "record %llu follows %llu", (unsigned long long)s.rec.seq,
                     (unsigned long long)*last);
        else if (s.rec.seq >= MAX_RECORDS || !slice_eq(s.rec.payload, buf_slice(&want)))
            sim_fail(l->sim, "record %llu has another's content", (unsigned long long)s.rec.seq);
        else
            found[s.rec.seq] = true;
        *last = s.rec.seq;
    }
    buf_done(&want);
}

/* All files of before: counts acknowledged records that are missing. */
static uint32_t missing_records(struct logger *l, size_t *ret_broken)
{
    bool found[MAX_RECORDS] = {0};
    uint64_t last = 0;
    uint32_t missing = 0;

    *ret_broken = 0;
    for (int f = 0; f <= l->file; f++)
        scan_file(l, f, found, &last, ret_broken);
    for (uint64_t i = 1; i < MAX_RECORDS; i++)
        missing += l->is_acked[i] && !found[i];
    return missing;
}

/* As wal_open(): where the log goes on, with the torn tail cut off. */
static uint64_t recover(struct logger *l)
{
    uint64_t next = 1, first_seq;

    for (int f = 0; f < l->file; f++) {
        struct slice content = sim_content(l->sim, l->node, f);
        struct walseg_tail tail;
        struct buf kept = {0};

        if (!walseg_parse_header(content, &first_seq))
            continue;
        walseg_tail(content, first_seq, &tail);
        next = ORR_MAX(next, tail.next_seq);
        if (!tail.torn_bytes)
            continue;
        buf_append(&kept, content.ptr, tail.torn_at);
        sim_replace(l->sim, l->node, f, buf_slice(&kept));
        buf_done(&kept);
    }
    return next;
}

static void start(void *arg)
{
    struct logger *l = arg;
    uint8_t header[WALSEG_HEADER_BYTES];
    size_t broken;
    uint32_t missing = missing_records(l, &broken);

    /* A torn group whose last bytes are garbage may look like damage in its middle: it is put aside
     * like damage, and nothing in it was acknowledged. */
    if (missing)
        sim_fail(l->sim, "after a crash %u acknowledged records are missing", missing);
    l->next_seq = recover(l);
    walseg_header(header, l->next_seq, 0);
    sim_replace(l->sim, l->node, l->file, slice_of(header, sizeof(header)));
    l->is_syncing = false;
    tick(l);
}

static void stop(void *arg)
{
    struct logger *l = arg;

    l->file++;
}

static void receive(void *arg, int from, struct slice bytes)
{
    (void)arg;
    (void)from;
    (void)bytes;
}

/* One bit of the middle of a synced file. */
static void flip_a_bit(struct logger *l)
{
    struct slice content = sim_content(l->sim, l->node, 0);
    struct buf copy = {0};
    size_t at, broken;
    uint32_t missing;

    if (content.len < WALSEG_HEADER_BYTES + 100)
        return;
    at = (size_t)sim_between(l->sim, WALSEG_HEADER_BYTES, (int64_t)content.len - 1);
    buf_slice_append(&copy, content);
    copy.ptr[at] ^= (uint8_t)(1u << sim_between(l->sim, 0, 7));
    sim_replace(l->sim, l->node, 0, buf_slice(&copy));
    buf_done(&copy);
    missing = missing_records(l, &broken);
    /* a flipped length makes what follows in the group unreadable, in several places */
    if (missing > MAX_GROUP)
        sim_fail(l->sim, "one flipped bit at %zu cost %u records in %zu places", at, missing,
                 broken);
}

SIM_SCENARIO(wal, "synced records survive any crash; a flipped bit costs one group at most")
{
    static const struct sim_node_ops ops = {start, stop, receive};
    struct logger *l = sim_alloc(sim, sizeof(*l));
    int lives = (int)sim_between(sim, 2, SIM_MAX_FILES - 1);

    sim_disk_set(sim, &(struct sim_disk){.min_sync_ns = 200000, .max_sync_ns = 5000000});
    l->sim = sim;
    l->next_seq = 1;
    l->node = sim_node_add(sim, &ops, l);
    for (int i = 0; i < lives && !sim_violation(sim); i++) {
        sim_start(sim, l->node);
        sim_run_for(sim, sim_between(sim, 1, 150) * NS_PER_MS);
        sim_crash(sim, l->node);
    }
    l->file--; /* the crash's next life does not come */
    if (!sim_violation(sim)) {
        size_t broken;
        uint32_t missing = missing_records(l, &broken);

        if (missing)
            sim_fail(sim, "%u acknowledged records are missing at the end", missing);
        flip_a_bit(l);
    }
    sim_note(sim, "%u records acknowledged in %d lives", l->acked, lives);
}
