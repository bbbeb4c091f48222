/*
 * Replicated writes: doors send batches to the owners by their own ring, count the answers with the
 * quorum tracker; replicas append, sync, acknowledge. Nodes crash, alone or all at once, disks tear,
 * zones are cut off, clocks step, messages are lost and repeated.
 *
 * Series have one client each, who sends the next sample when he has heard of the last one, through any
 * door: so samples of a series pass each other on their way. A replica refuses what is older than what it
 * has of a series; a door counts who has each sample, and brings what a quorum has to those who refused.
 *
 * At any time: a read whose verdict is OK finds every write acknowledged before it began. At the end,
 * with all back but any one zone: every read succeeds and finds every acknowledged write. And of writes
 * while nothing breaks every replica has every acknowledged sample, whatever the order in which they came.
 *
 * --break quorum: a door acknowledges after one replica. --break sync: a replica acknowledges before
 * its sync has completed. --break late: doors bring nothing to who refused. All must be found out.
 */
#include <stdio.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/ring/quorum.h"
#include "tests/sim/sim_member.h"

#define ZONES 3
#define MAX_PER_ZONE 3
#define MAX_NODES (ZONES * MAX_PER_ZONE)
#define MAX_WRITES 512
#define MAX_KEYS 3
#define N_SERIES 24
#define N_SERIES_AT_END 4 /* few, so that one is written again soon */
#define WAL 0

/* A sample: record number write id * MAX_KEYS + index; t counts within its series. */
struct key {
    uint32_t series, t;
    uint32_t set, took, refused, sent_late; /* bits by instance number */
};

struct write {
    struct replica *door;
    uint32_t id;
    struct key keys[MAX_KEYS];
    size_t n_keys;
    struct ring *ring; /* whose numbers the tracker speaks */
    struct quorum q;
    unsigned need;
    int node_of[MAX_NODES]; /* instance number → node */
    size_t n_instances;
    bool is_running, is_acked;
    bool is_lost; /* its door went down: what it knew of it is gone */
};

struct replica {
    struct sim_member m;
    struct world *world;
    bool has[MAX_WRITES * MAX_KEYS]; /* what a reader is told: the head, in memory */
    uint32_t newest[N_SERIES];
};

struct world {
    struct sim *sim;
    int n;
    struct replica replicas[MAX_NODES];
    struct write writes[MAX_WRITES];
    uint32_t n_writes, n_acked, n_reads_ok, n_late;
    uint32_t tokens[N_SERIES], next_t[N_SERIES];
    const struct write *last[N_SERIES];
    uint32_t n_series; /* that clients write to */
    int64_t first_write_ms;
    bool is_quiet;
};

/* ---- replica ---- */

/* A record: u32 length | u32 crc | payload, as a WAL has them; replay stops at the first bad one. */
static void append_record(struct replica *r, struct slice payload)
{
    struct buf b = {0};

    buf_u32le(&b, (uint32_t)payload.len);
    buf_u32le(&b, hash_crc32c(payload));
    buf_slice_append(&b, payload);
    sim_append(r->m.sim, r->m.node, WAL, buf_slice(&b));
    buf_done(&b);
}

/* Payload of a push and of a record: u32 write, u32 count, count * (u32 record id, u32 series, u32 t). */
struct entry {
    uint32_t record, series, t;
};

static bool next_entry(struct reader *in, struct entry *ret)
{
    if (!reader_left(in))
        return false;
    ret->record = reader_u32le(in);
    ret->series = reader_u32le(in);
    ret->t = reader_u32le(in);
    return reader_ok(in) && ret->record < MAX_WRITES * MAX_KEYS && ret->series < N_SERIES;
}

static struct reader entries_of(struct slice payload)
{
    struct reader in = reader_new(payload);

    reader_skip(&in, 8);
    return in;
}

static void insert(struct replica *r, struct slice payload)
{
    struct reader in = entries_of(payload);
    struct entry en;

    while (next_entry(&in, &en)) {
        r->has[en.record] = true;
        r->newest[en.series] = ORR_MAX(r->newest[en.series], en.t);
    }
}

/* Copies what r takes, in order and new or known to it, to taken; what it refuses to refused. */
static void judge(const struct replica *r, struct slice payload, struct buf *taken,
                  struct buf *refused)
{
    struct reader in = entries_of(payload);
    struct entry en;

    buf_append(taken, payload.ptr, 8);
    while (next_entry(&in, &en)) {
        if (!r->has[en.record] && en.t <= r->newest[en.series]) {
            buf_u32le(refused, en.record);
            continue;
        }
        buf_u32le(taken, en.record);
        buf_u32le(taken, en.series);
        buf_u32le(taken, en.t);
    }
}

static void replay(struct replica *r)
{
    struct slice content = sim_content(r->m.sim, r->m.node, WAL);
    struct reader in = reader_new(content);
    size_t good = 0;

    for (;;) {
        uint32_t len = reader_u32le(&in), crc = reader_u32le(&in);
        struct slice payload = reader_bytes(&in, len);

        if (!reader_ok(&in) || len == 0 || hash_crc32c(payload) != crc)
            break;
        insert(r, payload);
        good = reader_pos(&in);
    }
    if (good <
        content.len) { /* cut the torn tail, or what is appended next would be lost behind it */
        struct buf kept = {0};

        buf_append(&kept, content.ptr, good);
        sim_replace(r->m.sim, r->m.node, WAL, buf_slice(&kept));
        buf_done(&kept);
    }
}

struct pending_ack {
    struct replica *replica;
    int door;
    uint32_t write;
    size_t len;
    uint8_t refused[4 * MAX_KEYS];
};

/* u32 write, u8 is_ok, record ids of what was refused. */
static void send_answer(const struct pending_ack *p, bool is_ok)
{
    struct buf b = {0};

    buf_byte(&b, 'A');
    buf_u32le(&b, p->write);
    buf_byte(&b, is_ok);
    buf_append(&b, p->refused, p->len);
    sim_send(p->replica->m.sim, p->replica->m.node, p->door, buf_slice(&b));
    buf_done(&b);
}

static void on_synced(void *arg, bool is_ok)
{
    send_answer(arg, is_ok);
}

static void on_push(struct replica *r, int from, struct slice payload, bool is_late)
{
    struct pending_ack *p = sim_alloc(r->m.sim, sizeof(*p));
    struct reader in = reader_new(payload);
    struct buf taken = {0}, refused = {0};

    *p = (struct pending_ack){.replica = r, .door = from, .write = reader_u32le(&in)};
    if (is_late)
        buf_slice_append(&taken, payload);
    else
        judge(r, payload, &taken, &refused);
    p->len = ORR_MIN(refused.len, sizeof(p->refused));
    if (p->len)
        memcpy(p->refused, refused.ptr, p->len);
    append_record(r, buf_slice(&taken));
    insert(r, buf_slice(&taken));
    buf_done(&taken);
    buf_done(&refused);
    if (sim_is_broken(r->m.sim, "sync"))
        send_answer(p, true);
    else
        sim_sync(r->m.sim, r->m.node, WAL, on_synced, p);
}

/* ---- door ---- */

static void close_write(struct write *w, bool is_acked)
{
    struct world *world = w->door->world;

    w->is_running = false;
    w->is_acked = is_acked;
    if (is_acked) {
        world->n_acked++;
        sim_note(world->sim, "write %u acknowledged by door %d", w->id, w->door->m.node);
    }
    quorum_done(&w->q);
    ring_unref(w->ring);
    w->ring = NULL;
}

/* Not only batches count, but who took each sample. */
static void finish(struct write *w)
{
    if (!w->is_running || w->q.verdict == QUORUM_PENDING)
        return;
    for (size_t k = 0; k < w->n_keys; k++)
        if (w->q.verdict == QUORUM_OK && (unsigned)__builtin_popcount(w->keys[k].took) < w->need)
            return; /* an answer to come may decide */
    close_write(w, w->q.verdict == QUORUM_OK);
}

static void send_push(struct write *w, unsigned instance, char kind, const uint32_t *wanted)
{
    struct buf b = {0};
    uint32_t n = 0;
    size_t at;

    buf_byte(&b, (uint8_t)kind);
    buf_u32le(&b, w->id);
    at = b.len;
    buf_u32le(&b, 0);
    for (size_t k = 0; k < w->n_keys; k++)
        if (wanted[k] & 1u << instance) {
            buf_u32le(&b, (uint32_t)(w->id * MAX_KEYS + k));
            buf_u32le(&b, w->keys[k].series);
            buf_u32le(&b, w->keys[k].t);
            n++;
        }
    b.ptr[at] = (uint8_t)n;
    if (n)
        sim_send(w->door->m.sim, w->door->m.node, w->node_of[instance], buf_slice(&b));
    buf_done(&b);
}

/* What a quorum has goes to who refused it. */
static void bring_late(struct write *w)
{
    struct world *world = w->door->world;
    uint32_t wanted[MAX_KEYS], any = 0;

    if (!w->is_acked || sim_is_broken(world->sim, "late"))
        return;
    for (size_t k = 0; k < w->n_keys; k++) {
        wanted[k] = w->keys[k].refused & ~w->keys[k].sent_late;
        w->keys[k].sent_late |= wanted[k];
        any |= wanted[k];
    }
    for (unsigned i = 0; i < w->n_instances; i++)
        if (any & 1u << i) {
            send_push(w, i, 'L', wanted);
            world->n_late++;
        }
}

static void note_refused(struct write *w, struct reader *in, uint32_t bit)
{
    while (reader_left(in)) {
        uint32_t k = reader_u32le(in) - w->id * MAX_KEYS;

        if (reader_ok(in) && k < w->n_keys)
            w->keys[k].refused |= bit;
    }
}

static void on_answer(struct replica *door, int from, struct slice payload)
{
    struct reader in = reader_new(payload);
    uint32_t id = reader_u32le(&in);
    bool is_ok = reader_u8(&in);
    struct write *w;

    if (!reader_ok(&in) || id >= door->world->n_writes)
        return;
    w = &door->world->writes[id];
    if (w->door != door || w->is_lost)
        return;
    for (size_t i = 0; i < w->n_instances; i++) {
        if (w->node_of[i] != from)
            continue;
        note_refused(w, &in, 1u << i);
        for (size_t k = 0; k < w->n_keys && is_ok; k++)
            w->keys[k].took |= 1u << i & w->keys[k].set & ~w->keys[k].refused;
        if (w->is_running && is_ok)
            quorum_ack(&w->q, (unsigned)i);
        else if (w->is_running)
            quorum_fail(&w->q, (unsigned)i, ERR_IO);
    }
    finish(w);
    bring_late(w);
}

static void on_timeout(void *arg)
{
    struct write *w = arg;

    for (unsigned i = 0; i < w->n_instances && w->is_running; i++) {
        quorum_fail(&w->q, i, ERR_TIMEOUT);
        finish(w);
    }
    if (w->is_running)
        close_write(w, false); /* some sample is short of a quorum */
}

/* A series whose client has heard of his last write. */
static bool pick_series(struct world *world, const struct write *w, uint32_t *ret)
{
    uint32_t series = (uint32_t)sim_between(world->sim, 0, world->n_series - 1);

    for (size_t k = 0; k < w->n_keys; k++)
        if (w->keys[k].series == series)
            return false;
    *ret = series;
    return !world->last[series] || !world->last[series]->is_running;
}

static void begin_write(struct replica *door)
{
    struct world *world = door->world;
    struct ring_set sets[MAX_KEYS];
    struct write *w = &world->writes[world->n_writes];
    struct ring *ring = sim_member_ring(&door->m);
    uint32_t wanted[MAX_KEYS], series;

    *w = (struct write){.door = door, .id = world->n_writes, .is_running = true};
    for (int64_t n = sim_between(world->sim, 1, MAX_KEYS); n > 0; n--)
        if (pick_series(world, w, &series))
            w->keys[w->n_keys++] = (struct key){.series = series, .t = ++world->next_t[series]};
    if (!w->n_keys)
        return;
    world->n_writes++;
    w->ring = ring_ref(ring);
    w->need = sim_is_broken(world->sim, "quorum") ? 1 : ring_write_quorum(ring);
    w->n_instances = ring_size(ring);
    for (size_t i = 0; i < w->n_instances; i++)
        sscanf(ring_member(ring, i)->instance, "n%d", &w->node_of[i]);
    for (size_t k = 0; k < w->n_keys; k++) {
        world->last[w->keys[k].series] = w;
        sets[k] = ring_replicas(ring, world->tokens[w->keys[k].series]);
        for (unsigned i = 0; i < sets[k].n; i++)
            w->keys[k].set |= 1u << sets[k].instances[i];
        wanted[k] = w->keys[k].set;
    }
    quorum_init(&w->q, sets, w->n_keys, w->n_instances, w->need);
    for (unsigned i = 0; i < w->n_instances; i++)
        send_push(w, i, 'P', wanted);
    sim_node_at(world->sim, door->m.node, 2 * NS_PER_S, on_timeout, w);
    finish(w);
}

/* ---- reads ---- */

static void check_found(struct world *w, struct replica *reader, const bool *answered)
{
    for (uint32_t i = 0; i < w->n_writes; i++) {
        for (size_t k = 0; w->writes[i].is_acked && k < w->writes[i].n_keys; k++) {
            bool found = false;

            for (int n = 0; n < w->n; n++)
                found |= answered[n] && w->replicas[n].has[i * MAX_KEYS + k];
            if (!found)
                sim_fail(w->sim, "write %u, key %zu was acknowledged and node %d does not find it",
                         i, k, reader->m.node);
        }
    }
}

/* Asks all of the read set, who answer in random order if the reader reaches them and without is not
 * their zone (-1: none). Stops at the verdict, as a querier does. */
static enum quorum_verdict read_all(struct world *w, struct replica *reader, int without)
{
    struct ring *ring = sim_member_ring(&reader->m);
    bool answered[MAX_NODES] = {false};
    struct ring_read_set set;
    struct quorum_read q;
    enum quorum_verdict verdict;
    unsigned order[MAX_NODES];

    ring_read_set(ring, w->first_write_ms, &set);
    quorum_read_init(&q, &set);
    for (unsigned i = 0; i < set.n; i++) {
        unsigned j = (unsigned)sim_between(w->sim, 0, i);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned k = 0; k < set.n && q.verdict == QUORUM_PENDING; k++) {
        int node = -1;

        sscanf(ring_member(ring, set.instances[order[k]])->instance, "n%d", &node);
        if (node == reader->m.node ||
            (sim_can_talk(w->sim, reader->m.node, node) && node % ZONES != without)) {
            answered[node] = true;
            quorum_read_ok(&q, order[k]);
        } else {
            quorum_read_fail(&q, order[k], ERR_NET);
        }
    }
    verdict = q.verdict;
    if (verdict == QUORUM_OK) {
        w->n_reads_ok++;
        check_found(w, reader, answered);
    }
    quorum_read_done(&q);
    ring_read_set_done(&set);
    return verdict;
}

/* ---- the world ---- */

static void start(void *arg)
{
    struct replica *r = arg;

    replay(r);
    sim_member_start(&r->m);
}

static void stop(void *arg)
{
    struct replica *r = arg;

    for (uint32_t i = 0; i < r->world->n_writes; i++) {
        struct write *w = &r->world->writes[i];

        if (w->door == r && w->is_running) /* its client never hears of it */
            close_write(w, false);
        w->is_lost = w->is_lost || w->door == r;
    }
    memset(r->has, 0, sizeof(r->has));
    memset(r->newest, 0, sizeof(r->newest));
    sim_member_stop(&r->m);
}

static void receive(void *arg, int from, struct slice bytes)
{
    struct replica *r = arg;

    switch (bytes.ptr[0]) {
    case 'G':
        sim_member_receive(&r->m, bytes);
        break;
    case 'P':
    case 'L':
        on_push(r, from, slice_from(bytes, 1), bytes.ptr[0] == 'L');
        break;
    case 'A':
        on_answer(r, from, slice_from(bytes, 1));
        break;
    }
}

static void build(struct world *w)
{
    struct sim_node_ops ops = {start, stop, receive};
    bool needs_zones = sim_chance(w->sim, 0.5);

    w->n_series = N_SERIES;
    for (size_t i = 0; i < N_SERIES; i++)
        w->tokens[i] = rng_u32(sim_rng(w->sim));
    w->n = ZONES * (int)sim_between(w->sim, 1, MAX_PER_ZONE);
    for (int i = 0; i < w->n; i++) {
        struct replica *r = &w->replicas[i];

        r->world = w;
        r->m = (struct sim_member){
            .sim = w->sim,
            .seeds = w->n,
            .owner = r,
            .opts = {.cluster = "sim",
                     .full_ns = 10 * NS_PER_S,
                     .unhealthy_after_ns = 4 * NS_PER_S,
                     .forget_after_ns = -1},
            .ring_opts = {.role = MEMBER_INGESTER, .rf = 3, .needs_zones = needs_zones}};
        snprintf(r->m.zone, sizeof(r->m.zone), "%c", 'a' + i % ZONES);
        r->m.node = sim_node_add(w->sim, &ops, r);
        sim_member_settle(&r->m, sim_wall_ms(w->sim, i) - 3600000);
    }
    for (int i = 0; i < w->n; i++)
        sim_start(w->sim, i);
}

static void client(void *arg)
{
    struct world *w = arg;
    struct replica *r = &w->replicas[sim_between(w->sim, 0, w->n - 1)];

    if (w->is_quiet)
        return;
    if (sim_is_up(w->sim, r->m.node)) {
        if (sim_chance(w->sim, 0.2))
            (void)read_all(w, r, -1);
        else if (w->n_writes < MAX_WRITES)
            begin_write(r);
    }
    sim_at(w->sim, sim_between(w->sim, 10, 150) * NS_PER_MS, client, w);
}

static void restart(void *arg)
{
    struct replica *r = arg;

    sim_start(r->m.sim, r->m.node);
}

/* Down, and up again after a while. */
static void bounce(struct world *w, int i, int64_t down_ns)
{
    sim_crash(w->sim, i);
    sim_at(w->sim, down_ns, restart, &w->replicas[i]);
}

static void cut_zone(struct world *w, int zone)
{
    sim_note(w->sim, "zone %d is cut off", zone);
    for (int i = 0; i < w->n; i++)
        sim_partition(w->sim, i, i % ZONES == zone);
}

static void chaos(void *arg)
{
    struct world *w = arg;
    int64_t down_ns = sim_between(w->sim, 100, 8000) * NS_PER_MS;
    int i = (int)sim_between(w->sim, 0, w->n - 1);

    if (w->is_quiet)
        return;
    switch (sim_between(w->sim, 0, 9)) {
    case 0:
    case 1:
    case 2:
        bounce(w, i, down_ns);
        break;
    case 3: /* a zone loses its power */
        for (int k = i % ZONES; k < w->n; k += ZONES)
            bounce(w, k, down_ns);
        break;
    case 4: /* all of them do */
        sim_note(w->sim, "everything goes down");
        for (int k = 0; k < w->n; k++)
            bounce(w, k, down_ns);
        break;
    case 5:
    case 6:
        cut_zone(w, i % ZONES);
        break;
    case 7:
        sim_partition(w->sim, i, 2);
        break;
    case 8:
        sim_heal(w->sim);
        break;
    case 9:
        sim_clock_step(w->sim, i, sim_between(w->sim, -60000, 60000));
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 500, 4000) * NS_PER_MS, chaos, w);
}

/* Nothing breaks, but messages take their time: every replica has it all in the end. */
static void check_late(struct world *w)
{
    uint32_t first = w->n_writes;

    sim_disk_set(w->sim, &(struct sim_disk){NS_PER_MS, 20 * NS_PER_MS, 0});
    sim_net_set(w->sim, &(struct sim_net){0, 0.05, NS_PER_MS, 300 * NS_PER_MS});
    w->n_series = N_SERIES_AT_END;
    w->is_quiet = false;
    for (int i = 0; i < 3; i++)
        client(w);
    sim_run_for(w->sim, 5 * NS_PER_S);
    w->is_quiet = true;
    sim_run_for(w->sim, 3 * NS_PER_S);
    for (uint32_t i = first; i < w->n_writes; i++)
        for (size_t k = 0; w->writes[i].is_acked && k < w->writes[i].n_keys; k++)
            for (size_t n = 0; n < w->writes[i].n_instances; n++)
                if (w->writes[i].keys[k].set & 1u << n &&
                    !w->replicas[w->writes[i].node_of[n]].has[i * MAX_KEYS + k])
                    sim_fail(w->sim, "write %u, key %zu was acknowledged and node %d lacks it", i,
                             k, w->writes[i].node_of[n]);
}

static void check_end(struct world *w)
{
    w->is_quiet = true;
    sim_heal(w->sim);
    sim_net_set(w->sim, &(struct sim_net){0, 0, NS_PER_MS, 10 * NS_PER_MS});
    for (int i = 0; i < w->n; i++)
        sim_start(w->sim, i);
    sim_run_for(w->sim, 12 * NS_PER_S);
    check_late(w);
    for (int zone = -1; zone < ZONES; zone++) {
        for (int i = 0; i < w->n; i++)
            if (i % ZONES != zone && read_all(w, &w->replicas[i], zone) != QUORUM_OK)
                sim_fail(w->sim, "node %d cannot read without zone %d", i, zone);
    }
    if (w->n_acked == 0)
        sim_fail(w->sim, "not one write was acknowledged");
}

SIM_SCENARIO(quorum, "acknowledged writes are found by every read, without any one zone")
{
    struct world *w = sim_alloc(sim, sizeof(*w));

    w->sim = sim;
    sim_net_set(sim, &(struct sim_net){sim_chance(sim, 0.5) ? 0.1 : 0.01, 0.05, NS_PER_MS,
                                       sim_between(sim, 2, 300) * NS_PER_MS});
    sim_disk_set(sim, &(struct sim_disk){NS_PER_MS, sim_between(sim, 2, 400) * NS_PER_MS, 0.01});
    build(w);
    sim_run_for(sim, 4 * NS_PER_S);
    w->first_write_ms = sim_wall_ms(sim, 0);
    client(w);
    sim_at(sim, NS_PER_S, chaos, w);
    sim_run_for(sim, 20 * NS_PER_S);
    if (!sim_violation(sim))
        check_end(w);
    sim_note(sim, "%u writes, %u acknowledged, %u complete reads, %u late", w->n_writes, w->n_acked,
             w->n_reads_ok, w->n_late);
}
