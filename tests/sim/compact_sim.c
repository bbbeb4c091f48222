/*
 * Compaction, retention and deletion: flushes put blocks into a bucket, two compactors that both believe the
 * tenant theirs plan with the real planner from catalogues that may be old, merge, replace, sweep. They crash
 * at any step, the bucket fails with and without having acted, clocks step, a flush comes again long after.
 *
 * Files are modelled: an upload puts a block's parts one after the other, a deletion takes them one after the
 * other. At all times: the catalogue names only blocks all of whose parts are there; each datum that was published
 * and has not expired is in a live block; each source is in one live block, and no other (a merge of what overlaps
 * aside, blocks are disjoint in data); no id is two contents; a reader that began with an older catalogue, less than
 * the delay ago, finds every file. In the end nothing is planned, nothing overlaps, and the bucket holds the
 * live blocks and nothing else.
 *
 * A datum is a source's part in one of SHARDS: what a hash of the series has left over when divided by that. In a third of
 * the runs blocks are split into a number of shards, in a third into as many as their size asks for, where
 * two compactors may think differently. A job that splits uploads a block for each and adds all by one edit. In the end no
 * block of no shard overlaps one of a shard, nor one of another number of shards.
 *
 * What is deleted: a datum in one shard stands for the samples of one series. Tombstones name some, are due at once, and
 * are forgotten when nothing holds anything of them; retention of a selector (shard 0) comes to be over for one day after the
 * other. Whoever writes a block leaves out what is to go as of the list it has read when it began; a block that holds
 * such is planned to be rewritten by itself. What is to go, was published and is gone never comes back; nothing else
 * goes; in the end none of it is left.
 *
 * The planner, the ids and the catalogue are the real code; the steps are those of levelmerge.c and sweep.c.
 *
 * --break delete-early: inputs' files are deleted at once. --break no-fence: a job does not ask whether its
 * inputs are live. --break no-retired: orphans are deleted without going through the retired list, and additions do not
 * look whether the files are there. --break split-apart: the blocks of a split are added by an edit each. --break
 * one-name: a block's id does not depend on what was left out of it. --break lose-names: a block names only the sources of which
 * it has data left. All must be found out.
 */
#include <stdio.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/block/catalogue.h"
#include "compactor/levels.h"
#include "tests/sim/sim.h"

#define COMPACTORS 2
#define MAX_SOURCES 192
#define MAX_BLOCKS 4096
#define PLACES (2 * MAX_BLOCKS)
#define SHARDS 4
#define PARTS 3 /* files of a block; the last is meta.json */
#define ALL_PARTS ((1u << PARTS) - 1)
#define HOUR_MS 3600000ll
#define DAYS 3
#define DELAY_MS 20000
#define ORPHAN_MS 15000
#define MAX_TOMBS 8
#define TENANT SLICE("t")

/* Bit s * SHARDS + k: what source s has in shard k. */
struct sources {
    uint64_t words[MAX_SOURCES * SHARDS / 64];
};

struct stored {
    struct ulid id;
    struct sources data; /* what its bytes are */
    int64_t max_t;
    unsigned parts;     /* bits: files that are there */
    int64_t written_ms; /* of the newest, by the store's clock */
};

struct job {
    struct catalogue_block inputs[LEVELS_MAX_INPUTS];
    size_t n;
    struct output {
        struct ulid id;
        struct sources data,
            named; /* named: the sources it has the data of, all that is left of it */
        int64_t min_t, max_t;
        uint32_t shard, shards;
        bool is_known; /* live or retired when the edit looked */
    } out[LEVELS_MAX_SHARDS];
    size_t n_out;
    enum levels_kind kind;
};

/* What is to go, as of some time. */
struct deletion_list {
    struct sources tombs[MAX_TOMBS];
    bool is_listed[MAX_TOMBS];
    size_t n; /* made so far */
    struct sources selected;
    int64_t over_ms; /* retention of the selector is over for blocks that end by then */
};

struct node {
    struct world *world;
    int node;
    bool is_busy;
};

struct world {
    struct sim *sim;
    struct node nodes[COMPACTORS];
    struct stored stored[MAX_BLOCKS];
    uint16_t places[PLACES]; /* of stored by id: 1 + index; 0: none; collisions go on behind */
    size_t n_stored;
    struct catalogue *catalogue, *old; /* now; some time ago */
    struct levels_opts levels;
    struct sources published, expired;
    struct deletion_list deletions;
    struct sources named; /* was in a block once: no ingester has it any more */
    struct sources gone;  /* was published, is to go, and is in no live block any more */
    struct ulid flush_ids[MAX_SOURCES];
    int64_t source_ms[MAX_SOURCES];
    uint32_t n_sources;
    int64_t base_ms, old_ms;
    double bucket_fails;
    bool is_quiet;
};

static bool has_bit(const struct sources *s, uint32_t bit)
{
    return s->words[bit / 64] >> bit % 64 & 1;
}

/* Any part of a source. */
static bool has(const struct sources *s, uint32_t i)
{
    for (uint32_t k = 0; k < SHARDS; k++)
        if (has_bit(s, i * SHARDS + k))
            return true;
    return false;
}

static void set_bit(struct sources *s, uint32_t bit)
{
    s->words[bit / 64] |= 1ull << bit % 64;
}

/* All of it. */
static void set(struct sources *s, uint32_t i)
{
    for (uint32_t k = 0; k < SHARDS; k++)
        set_bit(s, i * SHARDS + k);
}

static struct sources of_shard(const struct sources *s, uint32_t shard, uint32_t shards)
{
    struct sources ret = {{0}};

    for (uint32_t bit = 0; bit < MAX_SOURCES * SHARDS; bit++)
        if (bit % SHARDS % shards == shard && has_bit(s, bit))
            set_bit(&ret, bit);
    return ret;
}

static uint64_t count(const struct sources *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < ORR_COUNT(s->words); i++)
        n += (uint64_t)__builtin_popcountll(s->words[i]);
    return n;
}

static void join(struct sources *a, const struct sources *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        a->words[i] |= b->words[i];
}

static void take_out(struct sources *a, const struct sources *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        a->words[i] &= ~b->words[i];
}

static bool have_common(const struct sources *a, const struct sources *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        if (a->words[i] & b->words[i])
            return true;
    return false;
}

static bool is_same(const struct sources *a, const struct sources *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The store's clock, and the compactors': near enough. */
static int64_t store_ms(const struct world *w)
{
    return sim_now_ns(w->sim) / NS_PER_MS;
}

/* Where id is, or would be. */
static uint16_t *place_of(struct world *w, struct ulid id)
{
    size_t at = (size_t)(hash_xxh64(slice_of(id.bytes, sizeof(id.bytes)), 0) % PLACES);

    while (w->places[at] && !ulid_eq(w->stored[w->places[at] - 1].id, id))
        at = (at + 1) % PLACES;
    return &w->places[at];
}

static struct stored *find(struct world *w, struct ulid id)
{
    uint16_t at = *place_of(w, id);

    return at ? &w->stored[at - 1] : NULL;
}

static struct catalogue *copy_catalogue(struct world *w, const struct catalogue *c)
{
    struct catalogue *copy = NULL;
    struct buf b = {0};
    struct err *e;

    catalogue_write(&b, c);
    if ((e = catalogue_parse(buf_slice(&b), &copy)))
        sim_fail(w->sim, "catalogue: %s", err_msg(e));
    err_free(e);
    buf_done(&b);
    return copy;
}

/* ---- what is to go ---- */

/* What a block that ends at max_t and has this data is written without. Returns a hash of why; 0: of nothing. */
static uint64_t leave_out(const struct deletion_list *l, int64_t max_t, struct sources *io)
{
    struct sources data = *io;
    uint64_t why = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (!l->is_listed[i] || !have_common(&data, &l->tombs[i]))
            continue;
        take_out(io, &l->tombs[i]);
        why |= 1ull << i;
    }
    if (max_t <= l->over_ms) {
        take_out(io, &l->selected);
        why |= 1ull << MAX_TOMBS;
    }
    return why;
}

static struct ulid name_without(const struct world *w, struct ulid id, uint64_t why)
{
    const struct slice parts[] = {slice_of(id.bytes, sizeof(id.bytes)),
                                  slice_of(&why, sizeof(why))};

    return why && !sim_is_broken(w->sim, "one-name")
               ? ulid_derive(ulid_time_ms(id), parts, ORR_COUNT(parts))
               : id;
}

/* As deletions_due_ms(), of somebody who has looked into all blocks. */
static int64_t rewrite_due(void *arg, struct ulid id)
{
    struct world *w = arg;
    const struct stored *st = find(w, id);
    struct sources left;

    if (!st)
        return INT64_MAX;
    left = st->data;
    (void)leave_out(&w->deletions, st->max_t, &left);
    return is_same(&left, &st->data) ? INT64_MAX : 0;
}

/* Somebody asks for something to be deleted; a day of the selector is over. */
static void ask_deletion(struct world *w)
{
    struct deletion_list *l = &w->deletions;
    struct sources *t;

    if (sim_chance(w->sim, 0.1))
        l->over_ms = ORR_MIN(ORR_MAX(l->over_ms, w->base_ms) + 24 * HOUR_MS,
                             w->base_ms + DAYS * 24 * HOUR_MS);
    if (l->n == MAX_TOMBS || !w->n_sources)
        return;
    t = &l->tombs[l->n];
    for (int64_t n = sim_between(w->sim, 1, 8); n > 0; n--)
        set_bit(t, (uint32_t)sim_between(w->sim, 0, w->n_sources * SHARDS - 1));
    l->is_listed[l->n++] = true;
}

/* As clean_tombstones(): one of which no ingester and no block holds anything. */
static void forget_tombs(struct world *w)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(w->catalogue, &n);

    for (size_t t = 0; t < w->deletions.n; t++) {
        const struct sources *tomb = &w->deletions.tombs[t];
        bool is_held = false;

        for (size_t i = 0; i < n; i++)
            is_held |= have_common(&find(w, b[i].ulid)->data, tomb);
        for (uint32_t i = 0; i < w->n_sources; i++) {
            is_held |= has(tomb, i) && !has(&w->expired, i) && !has(&w->named, i);
        }
        w->deletions.is_listed[t] &= is_held;
    }
}

/* ---- what must hold ---- */

/* All that may go: also of tombstones that are forgotten. */
static struct sources may_go(const struct world *w)
{
    struct sources ret = {{0}};

    for (size_t i = 0; i < w->deletions.n; i++)
        join(&ret, &w->deletions.tombs[i]);
    for (uint32_t i = 0; i < w->n_sources; i++)
        if (w->source_ms[i] + 2 * HOUR_MS <= w->deletions.over_ms)
            set_bit(&ret, i * SHARDS);
    return ret;
}

static void check(struct world *w)
{
    struct sources seen = {{0}}, goes = may_go(w);
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(w->catalogue, &n);

    for (size_t i = 0; i < n; i++) {
        const struct stored *s = find(w, b[i].ulid);

        if (!s || s->parts != ALL_PARTS) {
            sim_fail(w->sim, "a live block is not whole: %s", ulid_print(b[i].ulid).s);
            return;
        }
        if (catalogue_is_retired(w->catalogue, b[i].ulid))
            sim_fail(w->sim, "a live block is retired too");
        for (size_t k = 0; k < ORR_COUNT(seen.words); k++)
            if (s->data.words[k] & seen.words[k])
                sim_fail(w->sim, "a source is in two live blocks, one is %s",
                         ulid_print(b[i].ulid).s);
        join(&seen, &s->data);
    }
    for (size_t k = 0; k < ORR_COUNT(seen.words); k++) {
        uint64_t missing = w->published.words[k] & ~w->expired.words[k] & ~seen.words[k];

        if (missing & ~goes.words[k])
            sim_fail(w->sim, "a source of word %zu is in no live block", k);
        if (w->gone.words[k] & ~w->expired.words[k] & seen.words[k])
            sim_fail(w->sim, "what was deleted of word %zu is back", k);
        w->gone.words[k] |= missing;
    }
}

/* A reader with the catalogue of some time ago; the delay has not passed since it was that of now. */
static void check_reader(struct world *w)
{
    size_t n;
    const struct catalogue_block *b;

    if (store_ms(w) - w->old_ms < DELAY_MS / 2) {
        b = catalogue_blocks(w->old, &n);
        for (size_t i = 0; i < n; i++) {
            const struct stored *s = find(w, b[i].ulid);

            if (!s || s->parts != ALL_PARTS)
                sim_fail(w->sim, "a reader's block is gone before the delay: %s",
                         ulid_print(b[i].ulid).s);
        }
        return;
    }
    catalogue_free(w->old);
    w->old = copy_catalogue(w, w->catalogue);
    w->old_ms = store_ms(w);
}

/* ---- the bucket ---- */

static int64_t op_ns(struct world *w)
{
    return sim_between(w->sim, 1, w->is_quiet ? 20 : 900) * NS_PER_MS;
}

/* 0: it acts; 1: it fails; 2: it acts, and says it failed. */
static int outcome(struct world *w)
{
    if (!sim_chance(w->sim, w->bucket_fails))
        return 0;
    return sim_chance(w->sim, 0.5) ? 1 : 2;
}

static struct stored *slot_of(struct world *w, const struct output *out)
{
    const struct sources *data = &out->data;
    struct ulid id = out->id;
    struct stored *s = find(w, id);

    if (!s && w->n_stored < MAX_BLOCKS) {
        s = &w->stored[w->n_stored++];
        *place_of(w, id) = (uint16_t)w->n_stored;
        *s = (struct stored){.id = id, .data = *data, .max_t = out->max_t};
    }
    if (s && !is_same(&s->data, data))
        sim_fail(w->sim, "two blocks of one id differ");
    return s;
}

/* As block_store_addable(). */
static bool is_addable(struct world *w, struct ulid id)
{
    const struct stored *s = find(w, id);

    if (sim_is_broken(w->sim, "no-retired"))
        return true;
    return !catalogue_is_retired(w->catalogue, id) && s && s->parts == ALL_PARTS;
}

static void add(struct world *w, const struct output *out)
{
    const struct sources *named = sim_is_broken(w->sim, "lose-names") ? &out->data : &out->named;
    struct ulid_text texts[MAX_SOURCES];
    struct slice segments[MAX_SOURCES];
    size_t n = 0;

    for (uint32_t i = 0; i < w->n_sources; i++) {
        if (!has(named, i))
            continue;
        texts[n] = ulid_print(w->flush_ids[i]);
        segments[n] = slice_cstr(texts[n].s);
        n++;
    }
    catalogue_add(w->catalogue, &(struct catalogue_block){.ulid = out->id,
                                                          .min_t = out->min_t,
                                                          .max_t = out->max_t,
                                                          .segments = segments,
                                                          .n_segments = n,
                                                          .bytes = 1 + count(&out->data),
                                                          .shard = out->shard,
                                                          .shards = out->shards});
    join(&w->published, &out->data);
    join(&w->named, &out->named);
}

/* ---- a job: upload part by part, then the edit ---- */

struct step {
    struct node *node;
    struct job *job;
    unsigned part;
    size_t out; /* which is being uploaded, or added */
    bool is_flush;
};

static void rest(struct node *nd);
static void on_part(void *arg);

static struct step *new_step(struct node *nd, struct job *j, bool is_flush)
{
    struct step *st = sim_alloc(nd->world->sim, sizeof(*st));

    *st = (struct step){.node = nd, .job = j, .is_flush = is_flush};
    return st;
}

static void on_take_back(void *arg)
{
    struct step *st = arg;
    struct world *w = st->node->world;

    for (size_t i = 0; i < st->job->n_out; i++) {
        struct stored *s = find(w, st->job->out[i].id);

        if (s && !st->job->out[i].is_known)
            s->parts = 0;
    }
    check(w);
    rest(st->node);
}

static bool all_live(struct world *w, const struct job *j)
{
    for (size_t i = 0; i < j->n; i++)
        if (!catalogue_find(w->catalogue, j->inputs[i].ulid))
            return sim_is_broken(w->sim, "no-fence");
    return true;
}

static void add_range(struct world *w, const struct job *j, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        add(w, &j->out[i]);
}

static bool replace(struct world *w, const struct job *j)
{
    bool is_apart = sim_is_broken(w->sim, "split-apart");

    for (size_t i = 0; i < j->n_out; i++)
        if (!is_addable(w, j->out[i].id))
            return false;
    for (size_t i = 0; i < j->n; i++) {
        (void)catalogue_retire(w->catalogue, j->inputs[i].ulid, store_ms(w));
        if (sim_is_broken(w->sim, "delete-early"))
            find(w, j->inputs[i].ulid)->parts = 0;
    }
    add_range(w, j, 0, is_apart ? 1 : j->n_out);
    sim_note(w->sim, "%zu blocks become %zu, %s", j->n, j->n_out, ulid_print(j->out[0].id).s);
    return true;
}

static bool flush_is_known(struct world *w, const struct job *j)
{
    for (uint32_t i = 0; i < w->n_sources; i++) {
        struct ulid_text text = ulid_print(w->flush_ids[i]);

        if (has(&j->out[0].named, i) && !catalogue_has_segment(w->catalogue, slice_cstr(text.s)))
            return false;
    }
    return true;
}

/* What levelmerge.c's replace() looks at: how many outputs are there already. */
static size_t look_at_outputs(struct world *w, struct job *j)
{
    size_t there = 0;

    for (size_t i = 0; i < j->n_out; i++) {
        bool is_live = catalogue_find(w->catalogue, j->out[i].id) != NULL;

        there += is_live;
        j->out[i].is_known = is_live || catalogue_is_retired(w->catalogue, j->out[i].id);
    }
    return there;
}

static void on_next_edit(void *arg)
{
    struct step *st = arg;

    add_range(st->node->world, st->job, 1, st->job->n_out);
    check(st->node->world);
    rest(st->node);
}

static void on_edit(void *arg)
{
    struct step *st = arg;
    struct world *w = st->node->world;
    struct job *j = st->job;
    int how = outcome(w);
    size_t there = look_at_outputs(w, j);
    bool may = there == 0 && (st->is_flush ? !flush_is_known(w, j) : all_live(w, j)), done = false;

    if (how == 1) {
        rest(st->node);
        return;
    }
    if (may && st->is_flush && is_addable(w, j->out[0].id))
        add(w, &j->out[0]);
    else if (may && !st->is_flush)
        done = replace(w, j);
    if (done && j->n_out > 1 && sim_is_broken(w->sim, "split-apart")) {
        sim_node_at(w->sim, st->node->node, op_ns(w), on_next_edit, st);
        return;
    }
    check(w);
    if (how == 0 && !may && there < j->n_out)
        sim_node_at(w->sim, st->node->node, op_ns(w), on_take_back, st);
    else
        rest(st->node);
}

/* The next file of this output, the first of the next, or the edit. */
static void go_on(struct step *st, bool is_whole)
{
    bool is_last = st->out + 1 == st->job->n_out;

    if (!is_whole && ++st->part < PARTS) {
        sim_node_at(st->node->world->sim, st->node->node, op_ns(st->node->world), on_part, st);
        return;
    }
    st->out++;
    st->part = 0;
    sim_node_at(st->node->world->sim, st->node->node, op_ns(st->node->world),
                is_last ? on_edit : on_part, st);
}

static void on_part(void *arg)
{
    struct step *st = arg;
    struct world *w = st->node->world;
    const struct output *out = &st->job->out[st->out];
    struct stored *s = slot_of(w, out);
    int how = outcome(w);

    if (!s || how == 1) {
        rest(st->node);
        return;
    }
    if (st->part == 0 && s->parts & 1u << (PARTS - 1)) { /* meta.json is there: nothing to upload */
        go_on(st, true);
        return;
    }
    s->parts |= 1u << st->part;
    s->written_ms = store_ms(w);
    if (how == 2)
        rest(st->node);
    else
        go_on(st, false);
}

/* ---- planning ---- */

static void name_outputs(struct job *j, const struct levels_job *pick, struct ulid id,
                         uint32_t attempt)
{
    j->n_out = ORR_MAX(pick->shards, 1u);
    for (uint32_t i = 0; i < j->n_out; i++) {
        const uint32_t place[] = {i, pick->shards, attempt};
        const struct slice parts[] = {slice_of(id.bytes, sizeof(id.bytes)),
                                      slice_of(place, sizeof(place))};

        j->out[i] =
            (struct output){.id = ulid_derive(ulid_time_ms(id), parts, ORR_COUNT(parts)),
                            .shard = pick->shards ? i : pick->inputs[0]->shard,
                            .shards = pick->shards ? pick->shards : pick->inputs[0]->shards};
    }
}

/* As levelmerge.c's take_free_name(). */
static void take_free_names(struct world *w, struct job *j, const struct levels_job *pick,
                            struct ulid id)
{
    bool is_taken = true;

    for (uint32_t attempt = 0; is_taken; attempt++) {
        name_outputs(j, pick, id, attempt);
        is_taken = false;
        for (size_t i = 0; i < j->n_out && all_live(w, j); i++)
            is_taken = is_taken || catalogue_is_retired(w->catalogue, j->out[i].id);
    }
}

/* The sources that a block's meta.json names. */
static void join_named(struct sources *io, const struct catalogue_block *b)
{
    for (size_t k = 0; k < b->n_segments; k++) {
        struct ulid id;
        uint32_t i;

        if (!ulid_parse(b->segments[k], &id))
            continue;
        memcpy(&i, id.bytes + sizeof(id.bytes) - 10, sizeof(i)); /* see flush() */
        set(io, i);
    }
}

/* Reads the inputs: one whose files are gone is not live any more, or it is a loss. False: there is nothing to do. */
static bool read_inputs(struct world *w, struct job *j, const struct levels_job *pick)
{
    struct sources data = {{0}}, left, named = {{0}};
    int64_t max_t = INT64_MIN;
    uint64_t why;

    for (size_t i = 0; i < j->n; i++) {
        const struct stored *s = find(w, j->inputs[i].ulid);

        if (!s || s->parts != ALL_PARTS) {
            if (catalogue_find(w->catalogue, j->inputs[i].ulid))
                sim_fail(w->sim, "an input is live and not whole");
            return false;
        }
        join(&data, &s->data);
        join_named(&named, pick->inputs[i]);
        max_t = ORR_MAX(max_t, j->inputs[i].max_t);
    }
    left = data;
    why = leave_out(&w->deletions, max_t, &left);
    if (j->kind == LEVELS_REWRITE && is_same(&left, &data))
        return false;
    take_free_names(w, j, pick, name_without(w, levels_block_id(TENANT, pick), why));
    for (size_t i = 0; i < j->n_out; i++) {
        j->out[i].data = j->n_out > 1 ? of_shard(&left, j->out[i].shard, j->out[i].shards) : left;
        j->out[i].named = named;
        j->out[i].min_t = j->inputs[0].min_t;
        j->out[i].max_t = max_t;
    }
    return true;
}

/* From the catalogue of now, or, as one that was stopped in between would, from an older one. */
static void plan(struct node *nd)
{
    struct world *w = nd->world;
    bool is_old = !w->is_quiet && sim_chance(w->sim, 0.3);
    struct arena *a = arena_new(0);
    struct job *j = NULL;
    bool is_begun = false;
    int64_t due_ms;
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(is_old ? w->old : w->catalogue, &n);
    struct levels_job *jobs =
        levels_plan(&w->levels, b, n, w->base_ms + 30 * 24 * HOUR_MS, NULL, NULL, a, &n, &due_ms);

    if (n) {
        const struct levels_job *pick = &jobs[sim_between(w->sim, 0, (int64_t)n - 1)];

        j = sim_alloc(w->sim, sizeof(*j));
        j->n = pick->n;
        for (size_t i = 0; i < pick->n; i++) {
            j->inputs[i] = *pick->inputs[i];
            j->inputs[i].segments = NULL;
        }
        j->kind = pick->kind;
        is_begun = read_inputs(w, j, pick);
    }
    arena_free(a);
    if (is_begun)
        sim_node_at(w->sim, nd->node, op_ns(w), on_part, new_step(nd, j, false));
    else
        rest(nd);
}

/* ---- flushing: a source is one segment's data, in one block; sometimes again, much later ---- */

static void flush(struct node *nd, bool is_again)
{
    struct world *w = nd->world;
    struct job *j = sim_alloc(w->sim, sizeof(*j));
    uint32_t i = w->n_sources;
    struct output *out;

    if (is_again && w->n_sources)
        i = (uint32_t)sim_between(w->sim, 0, w->n_sources - 1);
    if (i == MAX_SOURCES) {
        rest(nd);
        return;
    }
    if (i == w->n_sources) {
        uint8_t entropy[10] = {0};

        memcpy(entropy, &i, sizeof(i));
        w->flush_ids[i] = ulid_make(w->base_ms, entropy);
        w->source_ms[i] = w->base_ms + sim_between(w->sim, 0, DAYS * 12 - 1) * 2 * HOUR_MS;
        w->n_sources++;
    }
    if (has(&w->expired, i)) { /* its ingester has let go of it long ago */
        rest(nd);
        return;
    }
    out = &j->out[0];
    j->n_out = 1;
    out->min_t = w->source_ms[i] + sim_between(w->sim, 0, HOUR_MS);
    out->max_t = w->source_ms[i] + 2 * HOUR_MS;
    set(&out->named, i);
    set(&out->data, i);
    out->id = name_without(w, w->flush_ids[i], leave_out(&w->deletions, out->max_t, &out->data));
    sim_node_at(w->sim, nd->node, op_ns(w), on_part, new_step(nd, j, true));
}

/* ---- sweeping ---- */

struct deletion {
    struct node *node;
    struct ulid id;
    unsigned part;
};

static void on_forget(void *arg)
{
    struct deletion *d = arg;
    struct world *w = d->node->world;

    if (outcome(w) != 1)
        (void)catalogue_forget(w->catalogue, d->id);
    rest(d->node);
}

static void on_delete(void *arg)
{
    struct deletion *d = arg;
    struct world *w = d->node->world;
    struct stored *s = find(w, d->id);
    int how = outcome(w);

    if (s && how != 1)
        s->parts &= ~(1u << (PARTS - 1 - d->part)); /* meta.json first */
    check(w);
    if (how)
        rest(d->node);
    else
        sim_node_at(w->sim, d->node->node, op_ns(w) / 4, ++d->part < PARTS ? on_delete : on_forget,
                    d);
}

static void retire_orphans(struct world *w)
{
    for (size_t i = 0; i < w->n_stored; i++) {
        struct stored *s = &w->stored[i];

        if (!s->parts || store_ms(w) - s->written_ms < ORPHAN_MS ||
            catalogue_find(w->catalogue, s->id))
            continue;
        if (sim_is_broken(w->sim, "no-retired"))
            s->parts = 0;
        else
            (void)catalogue_retire_orphan(w->catalogue, s->id, store_ms(w));
    }
}

static void retire_day(struct world *w)
{
    int64_t bound = w->base_ms + 24 * HOUR_MS;
    size_t n, i = 0;
    const struct catalogue_block *b = catalogue_blocks(w->catalogue, &n);

    while (i < n) {
        if (b[i].max_t > bound) {
            i++;
            continue;
        }
        join_named(&w->expired, &b[i]);
        (void)catalogue_retire(w->catalogue, b[i].ulid, store_ms(w));
        b = catalogue_blocks(w->catalogue, &n);
        i = 0;
    }
}

static void sweep(struct node *nd)
{
    struct world *w = nd->world;
    size_t n;
    const struct catalogue_retired *r;

    if (outcome(w) != 1) {
        forget_tombs(w);
        retire_orphans(w);
        if (store_ms(w) > 30000)
            retire_day(w);
        check(w);
    }
    r = catalogue_retired(w->catalogue, &n);
    for (size_t i = 0; i < n; i++) {
        struct deletion *d;

        if (store_ms(w) - r[i].at_ms < DELAY_MS)
            continue;
        d = sim_alloc(w->sim, sizeof(*d));
        *d = (struct deletion){.node = nd, .id = r[i].ulid};
        sim_node_at(w->sim, nd->node, NS_PER_MS, on_delete, d);
        return;
    }
    rest(nd);
}

/* ---- compactors ---- */

static void act(void *arg)
{
    struct node *nd = arg;
    struct world *w = nd->world;
    int64_t what = sim_between(w->sim, 0, 9);

    check_reader(w);
    if (!w->is_quiet && what < 4)
        flush(nd, what == 0);
    else if (what < 7)
        plan(nd);
    else
        sweep(nd);
}

static void rest(struct node *nd)
{
    struct world *w = nd->world;

    sim_node_at(w->sim, nd->node, sim_between(w->sim, 1, w->is_quiet ? 20 : 300) * NS_PER_MS, act,
                nd);
}

static void node_start(void *arg)
{
    rest(arg);
}

static void on_restart(void *arg)
{
    struct node *nd = arg;

    sim_start(nd->world->sim, nd->node);
}

static void chaos(void *arg)
{
    struct world *w = arg;
    struct node *nd = &w->nodes[sim_between(w->sim, 0, COMPACTORS - 1)];

    if (w->is_quiet)
        return;
    if (sim_chance(w->sim, 0.5))
        ask_deletion(w);
    if (sim_chance(w->sim, 0.3)) {
        w->bucket_fails = sim_chance(w->sim, 0.2) ? 1 : 0.1;
    } else {
        sim_crash(w->sim, nd->node);
        sim_at(w->sim, sim_between(w->sim, 10, 4000) * NS_PER_MS, on_restart, nd);
    }
    sim_at(w->sim, sim_between(w->sim, 300, 5000) * NS_PER_MS, chaos, w);
}

/* ---- the end ---- */

/* What is left to do; NULL: nothing. */
static const char *what_is_left(struct world *w)
{
    int64_t due_ms, reach[LEVELS_MAX_SHARDS];
    struct arena *a = arena_new(0);
    const char *left = NULL;
    size_t n, jobs, retired;
    const struct catalogue_block *b = catalogue_blocks(w->catalogue, &n);

    (void)levels_plan(&w->levels, b, n, w->base_ms + 30 * 24 * HOUR_MS, NULL, NULL, a, &jobs,
                      &due_ms);
    arena_free(a);
    (void)catalogue_retired(w->catalogue, &retired);
    for (size_t i = 0; i < ORR_COUNT(reach); i++)
        reach[i] = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++)
            if (b[i].shards != b[k].shards && b[i].min_t < b[k].max_t && b[k].min_t < b[i].max_t)
                left = "blocks of one number of shards beside others";
        if (b[i].min_t < reach[b[i].shard])
            left = "blocks that overlap";
        reach[b[i].shard] = ORR_MAX(reach[b[i].shard], b[i].max_t);
    }
    for (size_t i = 0; i < n; i++)
        if (rewrite_due(w, b[i].ulid) != INT64_MAX)
            left = "deleted data";
    for (size_t i = 0; i < w->n_stored; i++)
        if (w->stored[i].parts && !catalogue_find(w->catalogue, w->stored[i].id))
            left = "orphans";
    return jobs ? "jobs" : retired ? "retired blocks" : left;
}

static void check_end(struct world *w)
{
    const char *left = "all";
    size_t n;

    w->is_quiet = true;
    w->bucket_fails = 0;
    for (int i = 0; i < COMPACTORS; i++)
        sim_start(w->sim, w->nodes[i].node);
    for (int i = 0; i < 60 && left && !sim_violation(w->sim); i++) {
        sim_run_for(w->sim, 10 * NS_PER_S);
        left = what_is_left(w);
    }
    if (left)
        sim_fail(w->sim, "in the end there are %s", left);
    (void)catalogue_blocks(w->catalogue, &n);
    sim_note(w->sim, "%u sources, %zu blocks ever, %zu live", w->n_sources, w->n_stored, n);
}

SIM_SCENARIO(compact,
             "each source in one live block whose files are there, and no orphan in the end")
{
    const struct sim_node_ops ops = {.start = node_start};
    struct world *w = sim_alloc(sim, sizeof(*w));
    int64_t kind; /* of splitting: 0 none, 1 by size, 2 a number */

    w->sim = sim;
    kind = sim_between(sim, 0, 2);
    w->levels = (struct levels_opts){
        .ranges_ms = {2 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS},
        .n_ranges = 3,
        .max_inputs = (size_t)sim_between(sim, 2, 12),
        .max_bytes = kind == 1 ? (uint64_t)sim_between(sim, 40, 200) : 1u << 30,
        .splits_by_size = kind == 1,
        .split_shards = kind == 2 ? (uint32_t)sim_between(sim, 2, 3) : 0,
        .rewrite = rewrite_due,
        .rewrite_arg = w};
    w->base_ms = 20000 * 24 * HOUR_MS;
    for (uint32_t i = 0; i < MAX_SOURCES; i++)
        set_bit(&w->deletions.selected, i * SHARDS);
    w->catalogue = catalogue_new(SLICE("metrics"), TENANT);
    w->old = catalogue_new(SLICE("metrics"), TENANT);
    w->bucket_fails = 0.1;
    for (int i = 0; i < COMPACTORS; i++) {
        w->nodes[i].world = w;
        w->nodes[i].node = sim_node_add(sim, &ops, &w->nodes[i]);
        sim_start(sim, w->nodes[i].node);
    }
    sim_at(sim, NS_PER_S, chaos, w);
    sim_run_for(sim, sim_between(sim, 20, 90) * NS_PER_S);
    if (!sim_violation(sim))
        check_end(w);
    catalogue_free(w->catalogue);
    catalogue_free(w->old);
}
