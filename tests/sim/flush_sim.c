/*
 * Flush and drop: three ingesters in three zones cut segments, two compactors with the real planner
 * flush them into a bucket and tell the ingesters to drop them. Everybody crashes at any step,
 * messages are lost, repeated and late, the bucket fails with and without having acted, both
 * compactors may believe a window theirs, replicas come back late. What is of the oldest window has expired: a
 * sweep takes its blocks away as soon as they are there, sooner than anybody can be told to drop a segment.
 *
 * At all times, whichever zone is lost: each acknowledged datum is with an ingester or in a block
 * that the catalogue names, or has been and expired; a read that takes the catalogue after the ingesters' answers finds it;
 * a segment that is dropped is named by a block with all its data; the catalogue names only blocks
 * that are there; one id is one content. At the end all is in blocks and nothing is left to flush.
 *
 * The planner, the ids and the catalogue are the real code; the steps of a flush are segflush.c's.
 *
 * --break drop-early: segments are dropped once the block is uploaded, before the catalogue names
 * it. --break unnamed: what an expired block named is not named any more. Must be found out.
 */
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/block/catalogue.h"
#include "compactor/plan.h"
#include "compactor/segflush.h"
#include "tests/sim/sim.h"

#define INGESTERS 3
#define FLUSHERS 2
#define WINDOWS 4
#define MAX_ITEMS 256
#define MAX_SEGS 128 /* of one ingester, ever */
#define MAX_BLOCKS 1024
#define MAX_JOBS 8
#define TENANT SLICE("t")

struct items {
    uint64_t words[MAX_ITEMS / 64];
};

static void items_add(struct items *a, const struct items *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        a->words[i] |= b->words[i];
}

static bool items_has_all(const struct items *a, const struct items *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        if (b->words[i] & ~a->words[i])
            return false;
    return true;
}

static void items_set(struct items *a, uint32_t item)
{
    a->words[item / 64] |= 1ull << item % 64;
}

static struct items items_without(const struct items *a, const struct items *b)
{
    struct items left = *a;

    for (size_t i = 0; i < ORR_COUNT(left.words); i++)
        left.words[i] &= ~b->words[i];
    return left;
}

static bool items_are_none(const struct items *a)
{
    return items_has_all(&(struct items){{0}}, a);
}

struct seg {
    struct ulid id;
    int window;
    struct items items;
    bool is_there;
};

/* What an ingester holds is on its disk: a crash only takes it away for a while. */
struct ingester {
    struct world *world;
    int node;
    struct items head[WINDOWS];
    struct seg segs[MAX_SEGS];
    size_t n_segs;
};

struct block {
    struct ulid id;
    struct items items;
    bool is_there, has_expired; /* as soon as it is live */
    bool was_added;
};

struct job {
    struct plan_job plan;
    size_t at; /* input being fetched */
    struct items items;
    struct ulid used[PLAN_MAX_INPUTS];
    size_t n_used;
    struct ulid block;
};

struct flusher {
    struct world *world;
    int node, index;
    struct plan *plan;
    uint32_t round, fetch; /* numbers, so that late answers are told apart */
    bool answered[INGESTERS];
    struct seg listed[INGESTERS][MAX_SEGS];
    size_t n_listed[INGESTERS];
    struct job *jobs[MAX_JOBS];
    size_t n_jobs, job;
};

struct world {
    struct sim *sim;
    struct ingester ingesters[INGESTERS];
    struct flusher flushers[FLUSHERS];
    struct ring_read_set set;
    uint16_t instances[INGESTERS], zones[INGESTERS];
    struct block blocks[MAX_BLOCKS];
    size_t n_blocks;
    struct catalogue *catalogue;
    struct items acked, expired;
    uint32_t n_items, n_segments;
    int64_t window_ms[WINDOWS];
    double bucket_fails;
    bool is_quiet;
};

/* ---- what must hold ---- */

static struct block *find_block(struct world *w, struct ulid id)
{
    for (size_t i = 0; i < w->n_blocks; i++)
        if (ulid_eq(w->blocks[i].id, id))
            return &w->blocks[i];
    return NULL;
}

static struct items visible(struct world *w)
{
    struct items all = {{0}};
    size_t n;
    const struct catalogue_block *cb = catalogue_blocks(w->catalogue, &n);

    for (size_t i = 0; i < n; i++) {
        const struct block *b = find_block(w, cb[i].ulid);

        if (!b || !b->is_there)
            sim_fail(w->sim, "the catalogue names a block that is not there");
        else
            items_add(&all, &b->items);
    }
    return all;
}

static void add_content(const struct ingester *in, struct items *all)
{
    for (int k = 0; k < WINDOWS; k++)
        items_add(all, &in->head[k]);
    for (size_t i = 0; i < in->n_segs; i++)
        if (in->segs[i].is_there)
            items_add(all, &in->segs[i].items);
}

static void check(struct world *w)
{
    for (int lost = -1; lost < INGESTERS; lost++) {
        struct items all = visible(w), kept = items_without(&w->acked, &w->expired);

        for (int i = 0; i < INGESTERS; i++)
            if (i != lost)
                add_content(&w->ingesters[i], &all);
        if (!items_has_all(&all, &kept))
            sim_fail(w->sim, "without zone %d an acknowledged datum is nowhere", lost);
    }
}

static bool is_named_whole(struct world *w, const struct seg *s)
{
    struct ulid_text text = ulid_print(s->id);
    size_t n;
    const struct catalogue_block *cb = catalogue_blocks(w->catalogue, &n);

    if (catalogue_has_segment(w->catalogue, slice_cstr(text.s)) &&
        items_has_all(&w->expired, &s->items))
        return true;

    for (size_t i = 0; i < n; i++) {
        const struct block *b = find_block(w, cb[i].ulid);

        for (size_t k = 0; k < cb[i].n_segments; k++)
            if (slice_eq_cstr(cb[i].segments[k], text.s) && b && b->is_there &&
                items_has_all(&b->items, &s->items))
                return true;
    }
    return false;
}

/* ---- a read: the answers of ingesters, then the catalogue ---- */

struct read {
    struct world *world;
    struct items acked, found;
};
struct read_part {
    struct read *read;
    const struct ingester *in;
};

static void read_ingester(void *arg)
{
    struct read_part *p = arg;

    add_content(p->in, &p->read->found);
}

static void read_catalogue(void *arg)
{
    struct read *r = arg;
    struct items blocks = visible(r->world);

    items_add(&r->found, &blocks);
    items_add(&r->found, &r->world->expired);
    if (!items_has_all(&r->found, &r->acked))
        sim_fail(r->world->sim, "a read misses a datum that was acknowledged before it");
}

static void begin_read(struct world *w)
{
    struct read *r = sim_alloc(w->sim, sizeof(*r));
    int lost = (int)sim_between(w->sim, -1, INGESTERS - 1);
    int64_t span_ns = sim_between(w->sim, 1, 3000) * NS_PER_MS;

    *r = (struct read){w, w->acked, {{0}}};
    for (int i = 0; i < INGESTERS; i++) {
        struct read_part *p = sim_alloc(w->sim, sizeof(*p));

        *p = (struct read_part){r, &w->ingesters[i]};
        if (i != lost)
            sim_at(w->sim, sim_between(w->sim, 0, span_ns - 1), read_ingester, p);
    }
    sim_at(w->sim, span_ns, read_catalogue, r);
}

/* ---- ingesters ---- */

static void cut(struct ingester *in, int window)
{
    uint8_t entropy[10] = {0};
    struct seg *s = &in->segs[in->n_segs];
    uint32_t number = in->world->n_segments;

    if (in->n_segs == MAX_SEGS || items_are_none(&in->head[window]))
        return;
    memcpy(entropy, &number, sizeof(number));
    in->world->n_segments++;
    in->n_segs++;
    *s = (struct seg){ulid_make(sim_wall_ms(in->world->sim, in->node), entropy), window,
                      in->head[window], true};
    in->head[window] = (struct items){{0}};
    sim_note(in->world->sim, "ingester %d cuts %s", in->node, ulid_print(s->id).s);
}

static void send_list(struct ingester *in, int to, uint32_t round)
{
    struct buf b = {0};

    buf_byte(&b, 'l');
    buf_u32le(&b, round);
    for (size_t i = 0; i < in->n_segs; i++) {
        if (!in->segs[i].is_there)
            continue;
        buf_append(&b, in->segs[i].id.bytes, sizeof(struct ulid));
        buf_u32le(&b, (uint32_t)in->segs[i].window);
    }
    sim_send(in->world->sim, in->node, to, buf_slice(&b));
    buf_done(&b);
}

static struct seg *find_seg(struct ingester *in, struct slice id)
{
    for (size_t i = 0; i < in->n_segs; i++)
        if (in->segs[i].is_there && slice_eq(slice_of(in->segs[i].id.bytes, 16), id))
            return &in->segs[i];
    return NULL;
}

enum fetched { FETCHED, FETCHED_BAD, FETCHED_GONE };

static void send_segment(struct ingester *in, int to, uint32_t fetch, struct slice id)
{
    struct seg *s = find_seg(in, id);
    struct buf b = {0};

    buf_byte(&b, 'f');
    buf_u32le(&b, fetch);
    if (!s)
        buf_byte(&b, FETCHED_GONE);
    else
        buf_byte(&b,
                 !in->world->is_quiet && sim_chance(in->world->sim, 0.03) ? FETCHED_BAD : FETCHED);
    if (s)
        buf_append(&b, &s->items, sizeof(s->items));
    sim_send(in->world->sim, in->node, to, buf_slice(&b));
    buf_done(&b);
}

static void drop(struct ingester *in, struct slice id)
{
    struct seg *s = find_seg(in, id);

    if (!s)
        return;
    if (!is_named_whole(in->world, s))
        sim_fail(in->world->sim, "segment %s is dropped, and no visible block holds its data",
                 ulid_print(s->id).s);
    sim_note(in->world->sim, "ingester %d drops %s", in->node, ulid_print(s->id).s);
    s->is_there = false;
    check(in->world);
}

static void ingester_receive(void *arg, int from, struct slice bytes)
{
    struct ingester *in = arg;
    struct reader r = reader_new(slice_from(bytes, 1));

    if (bytes.ptr[0] == 'L') {
        send_list(in, from, reader_u32le(&r));
    } else if (bytes.ptr[0] == 'F') {
        uint32_t fetch = reader_u32le(&r);

        send_segment(in, from, fetch, reader_bytes(&r, 16));
    } else if (bytes.ptr[0] == 'D') {
        drop(in, reader_bytes(&r, 16));
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

/* ---- the bucket ---- */

static int64_t op_ns(struct flusher *f)
{
    return sim_between(f->world->sim, 1, 800) * NS_PER_MS;
}

static bool bucket_fails(struct world *w)
{
    return sim_chance(w->sim, w->bucket_fails);
}

static void put_block(struct world *w, const struct job *j)
{
    struct block *b = find_block(w, j->block);

    if (!b) {
        if (w->n_blocks == MAX_BLOCKS)
            return;
        b = &w->blocks[w->n_blocks++];
        b->id = j->block;
        b->items = j->items;
        b->has_expired = j->plan.window_ms == w->window_ms[0];
    }
    if (!items_has_all(&b->items, &j->items) || !items_has_all(&j->items, &b->items))
        sim_fail(w->sim, "two blocks of one id differ");
    b->is_there = true;
}

/* As add_block() in segflush.c. False: it is not needed. */
static bool edit_catalogue(struct world *w, const struct job *j)
{
    struct slice texts[PLAN_MAX_INPUTS];
    struct ulid_text ids[PLAN_MAX_INPUTS];
    struct block *b;
    size_t named = 0;

    if (catalogue_find(w->catalogue, j->block))
        return true;
    for (size_t i = 0; i < j->n_used; i++) {
        ids[i] = ulid_print(j->used[i]);
        texts[i] = slice_cstr(ids[i].s);
        named += catalogue_has_segment(w->catalogue, texts[i]);
    }
    if (named == j->n_used)
        return false;
    b = find_block(w, j->block);
    if (b && b->was_added)
        sim_fail(w->sim, "block %s was made again", ulid_print(j->block).s);
    if (b)
        b->was_added = true;
    catalogue_add(w->catalogue,
                  &(struct catalogue_block){
                      .ulid = j->block, .max_t = 1, .segments = texts, .n_segments = j->n_used});
    check(w);
    return true;
}

/* As sweep.c with a deletion-delay of 0. */
static void expire(struct world *w, struct block *b)
{
    if (sim_is_broken(w->sim, "unnamed"))
        (void)catalogue_retire(w->catalogue, b->id, 1);
    else
        (void)catalogue_expire(w->catalogue, b->id, 1);
    (void)catalogue_forget(w->catalogue, b->id);
    items_add(&w->expired, &b->items);
    b->is_there = false;
}

static void sweep(void *arg)
{
    struct world *w = arg;

    for (size_t i = 0; i < w->n_blocks; i++)
        if (w->blocks[i].has_expired && catalogue_find(w->catalogue, w->blocks[i].id))
            expire(w, &w->blocks[i]);
    check(w);
    sim_at(w->sim, sim_between(w->sim, 20, 300) * NS_PER_MS, sweep, w);
}

/* ---- compactors ---- */

static void next_job(struct flusher *f);
static void begin_round(void *arg);

static void send_drop(struct flusher *f, unsigned position, struct ulid id)
{
    struct buf b = {0};

    buf_byte(&b, 'D');
    buf_append(&b, id.bytes, sizeof(id));
    sim_send(f->world->sim, f->node, (int)position, buf_slice(&b));
    buf_done(&b);
}

static void end_job(struct flusher *f, bool is_ok)
{
    struct job *j = f->jobs[f->job];
    int64_t now_ms = sim_mono_ns(f->world->sim, f->node) / NS_PER_MS;

    if (is_ok)
        plan_flushed(f->plan, &j->plan, now_ms);
    else
        plan_failed(f->plan, &j->plan, now_ms);
    f->job++;
    next_job(f);
}

struct take_back {
    struct flusher *f;
    struct ulid block;
};

static void on_take_back(void *arg)
{
    struct take_back *t = arg;
    struct block *b = find_block(t->f->world, t->block);

    if (b)
        b->is_there = false;
    check(t->f->world);
}

static void on_edit(void *arg)
{
    struct flusher *f = arg;
    struct job *j = f->jobs[f->job];
    bool fails = bucket_fails(f->world);

    if (fails && sim_chance(f->world->sim, 0.5)) {
        end_job(f, false);
        return;
    }
    if (!edit_catalogue(f->world, j)) {
        struct take_back *t = sim_alloc(f->world->sim, sizeof(*t));

        *t = (struct take_back){f, j->block};
        sim_node_at(f->world->sim, f->node, op_ns(f), on_take_back, t);
    }
    end_job(f, !fails); /* or it has acted, and its answer was lost */
}

static void on_upload(void *arg)
{
    struct flusher *f = arg;
    struct job *j = f->jobs[f->job];
    bool fails = bucket_fails(f->world);

    if (!fails || sim_chance(f->world->sim, 0.5))
        put_block(f->world, j);
    if (fails) {
        end_job(f, false);
        return;
    }
    if (sim_is_broken(f->world->sim, "drop-early"))
        for (size_t i = 0; i < j->plan.n; i++)
            send_drop(f, j->plan.inputs[i].position, j->plan.inputs[i].ulid);
    sim_node_at(f->world->sim, f->node, op_ns(f), on_edit, f);
}

struct fetch_timer {
    struct flusher *f;
    uint32_t fetch;
};

static void on_fetch_timeout(void *arg)
{
    struct fetch_timer *t = arg;

    if (t->f->fetch != t->fetch)
        return;
    t->f->fetch++;
    end_job(t->f, false);
}

static void fetch_next(struct flusher *f)
{
    struct job *j = f->jobs[f->job];
    struct fetch_timer *t;
    struct buf b = {0};

    if (j->at == j->plan.n) {
        if (j->n_used == 0) {
            end_job(f, false);
            return;
        }
        j->block = segflush_block_id(TENANT, j->used, j->n_used);
        sim_node_at(f->world->sim, f->node, op_ns(f), on_upload, f);
        return;
    }
    t = sim_alloc(f->world->sim, sizeof(*t));
    *t = (struct fetch_timer){f, ++f->fetch};
    buf_byte(&b, 'F');
    buf_u32le(&b, f->fetch);
    buf_append(&b, j->plan.inputs[j->at].ulid.bytes, sizeof(struct ulid));
    sim_send(f->world->sim, f->node, (int)j->plan.inputs[j->at].position, buf_slice(&b));
    buf_done(&b);
    sim_node_at(f->world->sim, f->node, 2 * NS_PER_S, on_fetch_timeout, t);
}

static void on_fetched(struct flusher *f, struct reader *r)
{
    uint32_t fetch = reader_u32le(r);
    enum fetched how = (enum fetched)reader_u8(r);
    struct slice bytes = reader_bytes(r, how == FETCHED_GONE ? 0 : sizeof(struct items));
    struct items items;
    struct job *j;

    if (fetch != f->fetch || f->job >= f->n_jobs || !reader_ok(r))
        return;
    f->fetch++; /* a repeated answer counts once */
    j = f->jobs[f->job];
    if (how == FETCHED) {
        memcpy(&items, bytes.ptr, sizeof(items));
        items_add(&j->items, &items);
        j->used[j->n_used++] = j->plan.inputs[j->at].ulid;
    } else if (how == FETCHED_BAD) {
        plan_quarantine(f->plan, TENANT, j->plan.inputs[j->at].ulid,
                        sim_mono_ns(f->world->sim, f->node) / NS_PER_MS);
    }
    j->at++;
    fetch_next(f);
}

static void next_job(struct flusher *f)
{
    if (f->job < f->n_jobs)
        fetch_next(f);
    else
        sim_node_at(f->world->sim, f->node, sim_between(f->world->sim, 100, 2000) * NS_PER_MS,
                    begin_round, f);
}

struct looking {
    struct world *world;
    bool is_down;
};

static enum plan_named is_named(void *arg, struct slice tenant, struct ulid segment)
{
    struct looking *l = arg;
    struct ulid_text text = ulid_print(segment);

    (void)tenant;
    if (l->is_down)
        return PLAN_UNKNOWN;
    return catalogue_has_segment(l->world->catalogue, slice_cstr(text.s)) ? PLAN_NAMED
                                                                          : PLAN_PENDING;
}

static void feed(struct flusher *f, unsigned position, uint32_t owned)
{
    struct world *w = f->world;

    if (!f->answered[position])
        return;
    plan_answer(f->plan, position, false);
    for (size_t i = 0; i < f->n_listed[position]; i++) {
        const struct seg *s = &f->listed[position][i];
        int64_t start_ms = w->window_ms[s->window];

        if (owned & 1u << s->window)
            plan_segment(f->plan, position,
                         &(struct plan_segment){TENANT, s->id, start_ms, start_ms + PLAN_WINDOW_MS,
                                                1, 1, 0});
    }
}

static struct job *copy_job(struct world *w, const struct plan_job *pj)
{
    struct job *j = sim_alloc(w->sim, sizeof(*j));
    struct plan_input *in = sim_alloc(w->sim, pj->n * sizeof(*in));

    memcpy(in, pj->inputs, pj->n * sizeof(*in));
    j->plan = (struct plan_job){TENANT, pj->window_ms, in, pj->n};
    return j;
}

static void end_polling(void *arg)
{
    struct flusher *f = arg;
    struct world *w = f->world;
    struct looking l = {w, bucket_fails(w)};
    /* mostly one owner for each window, sometimes two, sometimes none */
    uint32_t owned = f->index ? 0xa : 0x5;
    const struct plan_job *jobs;
    const struct plan_drop *drops;
    size_t n;

    if (sim_chance(w->sim, 0.3))
        owned = rng_u32(sim_rng(w->sim));
    plan_begin(f->plan, sim_mono_ns(w->sim, f->node) / NS_PER_MS, &w->set);
    for (unsigned i = 0; i < INGESTERS; i++)
        feed(f, i, owned);
    plan_end(f->plan, is_named, &l);
    drops = plan_drops(f->plan, &n);
    for (size_t i = 0; i < n; i++)
        send_drop(f, drops[i].position, drops[i].ulid);
    jobs = plan_jobs(f->plan, &n);
    f->n_jobs = ORR_MIN(n, (size_t)MAX_JOBS);
    f->job = 0;
    for (size_t i = 0; i < f->n_jobs; i++)
        f->jobs[i] = copy_job(w, &jobs[i]);
    next_job(f);
}

static void begin_round(void *arg)
{
    struct flusher *f = arg;
    struct buf b = {0};

    f->round++;
    f->n_jobs = f->job = 0;
    buf_byte(&b, 'L');
    buf_u32le(&b, f->round);
    for (int i = 0; i < INGESTERS; i++) {
        f->answered[i] = false;
        sim_send(f->world->sim, f->node, i, buf_slice(&b));
    }
    buf_done(&b);
    sim_node_at(f->world->sim, f->node, NS_PER_S, end_polling, f);
}

static void on_listed(struct flusher *f, int from, struct reader *r)
{
    size_t n = 0;

    if (reader_u32le(r) != f->round || from >= INGESTERS)
        return;
    while (reader_left(r) >= 20 && n < MAX_SEGS) {
        struct seg *s = &f->listed[from][n++];

        memcpy(s->id.bytes, reader_bytes(r, 16).ptr, 16);
        s->window = (int)reader_u32le(r);
    }
    f->n_listed[from] = n;
    f->answered[from] = true;
}

static void flusher_receive(void *arg, int from, struct slice bytes)
{
    struct flusher *f = arg;
    struct reader r = reader_new(slice_from(bytes, 1));

    if (bytes.ptr[0] == 'l')
        on_listed(f, from, &r);
    else if (bytes.ptr[0] == 'f')
        on_fetched(f, &r);
}

static void flusher_start(void *arg)
{
    struct flusher *f = arg;

    f->plan = plan_new(&(struct plan_opts){.flush_wait_ms = 8000,
                                           .early_wait_ms = 2000,
                                           .grace_ms = 900000,
                                           .drop_delay_ms = 500,
                                           .retry_min_ms = 500,
                                           .retry_max_ms = 4000,
                                           .quarantine_ms = 3000});
    f->round += 1000; /* answers to the life before are late */
    f->fetch += 1000;
    f->n_jobs = f->job = 0;
    begin_round(f);
}

static void flusher_stop(void *arg)
{
    struct flusher *f = arg;

    plan_free(f->plan);
    f->plan = NULL;
}

/* ---- the world ---- */

static void write_item(struct world *w)
{
    uint32_t item = w->n_items;
    int window = (int)sim_between(w->sim, 0, WINDOWS - 1), copies = 0;

    if (item == MAX_ITEMS)
        return;
    w->n_items++;
    for (int i = 0; i < INGESTERS; i++) {
        if (!sim_is_up(w->sim, i) || sim_chance(w->sim, 0.1))
            continue;
        items_set(&w->ingesters[i].head[window], item);
        copies++;
    }
    if (copies >= 2)
        items_set(&w->acked, item);
}

static void client(void *arg)
{
    struct world *w = arg;

    if (w->is_quiet)
        return;
    write_item(w);
    if (sim_chance(w->sim, 0.1))
        begin_read(w);
    if (sim_chance(w->sim, 0.08)) { /* one cuts, or all do */
        int window = (int)sim_between(w->sim, 0, WINDOWS - 1);
        int who = (int)sim_between(w->sim, 0, 2 * INGESTERS);

        for (int i = 0; i < INGESTERS; i++)
            if (sim_is_up(w->sim, i) && (who == i || who >= INGESTERS))
                cut(&w->ingesters[i], window);
    }
    sim_at(w->sim, sim_between(w->sim, 20, 500) * NS_PER_MS, client, w);
}

struct restart {
    struct world *world;
    int node;
};

static void on_restart(void *arg)
{
    struct restart *r = arg;

    sim_start(r->world->sim, r->node);
}

static void bounce(struct world *w, int node)
{
    struct restart *r = sim_alloc(w->sim, sizeof(*r));

    *r = (struct restart){w, node};
    sim_crash(w->sim, node);
    sim_at(w->sim, sim_between(w->sim, 100, 15000) * NS_PER_MS, on_restart, r);
}

static void chaos(void *arg)
{
    struct world *w = arg;

    if (w->is_quiet)
        return;
    switch (sim_between(w->sim, 0, 7)) {
    case 0:
    case 1:
    case 2:
        bounce(w, (int)sim_between(w->sim, INGESTERS, INGESTERS + FLUSHERS - 1));
        break;
    case 3:
        bounce(w, (int)sim_between(w->sim, 0, INGESTERS - 1));
        break;
    case 4:
        sim_partition(w->sim, (int)sim_between(w->sim, 0, INGESTERS + FLUSHERS - 1), 1);
        break;
    case 5:
        sim_heal(w->sim);
        break;
    case 6:
        w->bucket_fails = sim_chance(w->sim, 0.3) ? 1 : 0.1;
        break;
    case 7:
        sim_clock_step(w->sim, (int)sim_between(w->sim, 0, INGESTERS + FLUSHERS - 1),
                       sim_between(w->sim, -60000, 60000));
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 300, 4000) * NS_PER_MS, chaos, w);
}

static void build(struct world *w)
{
    const struct sim_node_ops ingester_ops = {nothing, nothing, ingester_receive};
    const struct sim_node_ops flusher_ops = {flusher_start, flusher_stop, flusher_receive};
    int64_t base_ms;

    for (int i = 0; i < INGESTERS; i++) {
        w->ingesters[i].world = w;
        w->ingesters[i].node = sim_node_add(w->sim, &ingester_ops, &w->ingesters[i]);
        w->instances[i] = w->zones[i] = (uint16_t)i;
    }
    w->set = (struct ring_read_set){w->instances, w->zones, INGESTERS, INGESTERS, true, 1, 2};
    for (int i = 0; i < FLUSHERS; i++) {
        w->flushers[i].world = w;
        w->flushers[i].index = i;
        w->flushers[i].node = sim_node_add(w->sim, &flusher_ops, &w->flushers[i]);
    }
    base_ms = plan_window(sim_wall_ms(w->sim, 0));
    for (int i = 0; i < WINDOWS; i++) /* two that are past, two that are cut early */
        w->window_ms[i] = base_ms + (i < 2 ? i - 4 : i) * PLAN_WINDOW_MS;
    w->catalogue = catalogue_new(SLICE("metrics"), TENANT);
    w->bucket_fails = 0.1;
    for (int i = 0; i < INGESTERS + FLUSHERS; i++)
        sim_start(w->sim, i);
}

static void check_end(struct world *w)
{
    struct items all, kept;

    w->is_quiet = true;
    w->bucket_fails = 0;
    sim_heal(w->sim);
    sim_net_set(w->sim, &(struct sim_net){0, 0, NS_PER_MS, 10 * NS_PER_MS});
    for (int i = 0; i < INGESTERS + FLUSHERS; i++)
        sim_start(w->sim, i);
    for (int i = 0; i < INGESTERS; i++)
        for (int k = 0; k < WINDOWS; k++)
            cut(&w->ingesters[i], k);
    sim_run_for(w->sim, 120 * NS_PER_S);
    all = visible(w);
    kept = items_without(&w->acked, &w->expired);
    if (!items_has_all(&all, &kept))
        sim_fail(w->sim, "in the end an acknowledged datum is in no block");
    for (int i = 0; i < INGESTERS; i++)
        for (size_t k = 0; k < w->ingesters[i].n_segs; k++)
            if (w->ingesters[i].segs[k].is_there)
                sim_fail(w->sim, "in the end segment %s is still with its ingester",
                         ulid_print(w->ingesters[i].segs[k].id).s);
}

SIM_SCENARIO(flush, "data is with ingesters or in visible blocks, and in the end all in blocks")
{
    struct world *w = sim_alloc(sim, sizeof(*w));

    w->sim = sim;
    sim_net_set(sim, &(struct sim_net){sim_chance(sim, 0.5) ? 0.2 : 0.01, 0.05, NS_PER_MS,
                                       sim_between(sim, 2, 900) * NS_PER_MS});
    build(w);
    client(w);
    sweep(w);
    sim_at(sim, NS_PER_S, chaos, w);
    sim_run_for(sim, 40 * NS_PER_S);
    if (!sim_violation(sim))
        check_end(w);
    sim_note(sim, "%u items, %u segments, %zu blocks", w->n_items, w->n_segments, w->n_blocks);
    catalogue_free(w->catalogue);
}
