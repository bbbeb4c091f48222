/* Row groups of blocks of traces as TraceQL's engine has them, without pieces on the way. */
#include "common/base/hash.h"
#include "common/base/job.h"
#include "common/base/mem.h"
#include "common/objstore/objstore.h"
#include "querier/traces/traceids_set.h"
#include "querier/traces/tracestored_internal.h"

/* What a block has of the request. */
struct block_ids {
    struct arena *arena; /* its own: it may be filled on another thread */
    struct traceids_set ids;
    size_t charged;
    struct err *err;
};

struct giving {
    struct store_query *sq;
    const struct tracesource_request *req;
    struct tracesource_columns *c;
    struct arena *arena; /* of the view, and ids */
    struct blockset_view view;
    struct block_ids *blocks;
    struct objstore_tally *tally; /* of the thread that asks */
    size_t left;                  /* memory of the query, when blocks were begun */
    bool has_given, is_enough;
};

static struct traceblock_query query_of(const struct tracesource_request *req)
{
    struct traceblock_query q = {.start_ns = 0,
                                 .end_ns = INT64_MAX,
                                 .ids = req->ids,
                                 .n_ids = req->n_ids,
                                 .cancel = req->cancel,
                                 .deadline_mono_ms = req->deadline_mono_ms};

    memcpy(q.first, req->first, sizeof(q.first));
    memcpy(q.last, req->last, sizeof(q.last));
    return q;
}

/* ---- which traces are in one block alone ---- */

static struct err *read_ids(struct giving *g, size_t i)
{
    struct block_ids *b = &g->blocks[i];
    struct traceblock_query q = query_of(g->req);
    struct traceblock_set *set;
    struct traceblock_trace t;
    struct err *e;

    q.ids_only = true;
    b->arena = arena_new(g->left == SIZE_MAX ? 0 : ORR_MAX(g->left, (size_t)1));
    if ((e = traceblock_select(g->view.traces[i], b->arena, &q, &set)))
        return e;
    while (traceblock_set_next(set, &t))
        traceids_set_add(b->arena, &b->ids, t.id);
    return traceblock_set_close(set);
}

static void read_one(void *arg, size_t i)
{
    struct giving *g = arg;
    struct objstore_tally *before = objstore_tally_set(g->tally);

    g->blocks[i].err = read_ids(g, i);
    (void)objstore_tally_set(before);
}

/* Each waits for some reads, one after the other, when blocks are far away: so they are read side by side. */
static struct err *read_all(struct giving *g)
{
    struct job_pool *pool = store_traces_jobs(g->sq);
    struct err *e = NULL;

    g->left = arena_left(g->sq->opts.arena);
    g->tally = objstore_tally_get();
    if (pool)
        job_parallel(pool, g->view.n, read_one, g);
    for (size_t i = 0; i < g->view.n; i++) {
        struct block_ids *b = &g->blocks[i];

        if (!pool && !e)
            read_one(g, i);
        b->charged = b->arena ? arena_used(b->arena) : 0;
        arena_charge(g->sq->opts.arena, (int64_t)b->charged);
        e = err_first(e, err_wrap(b->err, "block %s", ulid_print(g->view.meta[i].ulid).s));
        b->err = NULL;
    }
    return e;
}

/* By their hashes: that two ids have one is as good as never, and does no harm. */
static struct traceids_set shared_ids(struct giving *g)
{
    struct traceids_set shared = {0};
    size_t n = 0, mask = 1;
    uint64_t *slots;

    for (size_t i = 0; i < g->view.n; i++)
        n += g->blocks[i].ids.n;
    while (mask < 2 * n)
        mask = mask << 1 | 1;
    slots = arena_array(g->arena, uint64_t, mask + 1);
    for (size_t i = 0; i < g->view.n; i++) {
        const struct traceids_set *ids = &g->blocks[i].ids;

        for (size_t k = 0; k < ids->n; k++) {
            uint64_t h = hash_xxh64(slice_of(ids->ptr[k], 16), 0) | 1;
            size_t at = h >> 20 & mask;

            while (slots[at] && slots[at] != h)
                at = (at + 1) & mask;
            if (slots[at])
                traceids_set_add(g->arena, &shared, ids->ptr[k]);
            slots[at] = h;
        }
    }
    traceids_set_sort(&shared);
    return shared;
}

/* ---- groups ---- */

static struct err *give_group(void *arg, struct tracegroup *group, const struct tracecols *cols,
                              bool *ret_stop)
{
    struct giving *g = arg;
    struct err *e = g->c->give(g->c->arg, cols, &g->is_enough);

    (void)group;
    g->has_given = true;
    *ret_stop = g->is_enough;
    return e;
}

static struct err *give_block(struct giving *g, size_t i, const struct traceblock_query *q)
{
    struct arena *a = arena_child(g->sq->opts.arena, 0);
    struct traceblock_stats st = {0};
    struct err *e = traceblock_groups(g->view.traces[i], a, q, g->c->want, give_group, g, &st);

    store_count_traces(g->sq, &(struct store_traces_stats){.groups = st.groups,
                                                           .groups_skipped = st.groups_skipped,
                                                           .bytes = st.bytes,
                                                           .spans = st.spans});
    arena_free(a);
    return err_wrap(e, "block %s", ulid_print(g->view.meta[i].ulid).s);
}

static struct err *give_all(struct giving *g, struct arena *a)
{
    struct traceids_set shared = {0}, but;
    struct traceblock_query q = query_of(g->req);
    struct err *e = NULL;

    if (g->view.n > 1) {
        if ((e = read_all(g)))
            return e;
        shared = shared_ids(g);
    }
    but = traceids_set_unite(
        g->arena, shared, (struct traceids_set){(uint8_t(*)[16])(uintptr_t)g->c->but, g->c->n_but});
    q.but = (const uint8_t(*)[16])but.ptr;
    q.n_but = but.n;
    if (!g->req->ids) {
        q.start_ns = g->req->start_ns;
        q.end_ns = g->req->end_ns;
    }
    for (size_t i = 0; i < g->view.n && !e && !g->is_enough; i++)
        e = give_block(g, i, &q);
    g->c->rest = arena_copy(a, shared.ptr, shared.n);
    g->c->n_rest = shared.n;
    return e;
}

static struct err *look(struct giving *g, struct arena *a)
{
    struct err *e;

    g->arena = arena_child(g->sq->opts.arena, 0);
    e = tracestored_take(g->sq, g->arena, g->req->start_ns, g->req->end_ns, NULL, 0, &g->view);
    if (!e) {
        g->blocks = arena_array(g->arena, struct block_ids, g->view.n);
        e = give_all(g, a);
    }
    for (size_t i = 0; i < g->view.n && g->blocks; i++) {
        arena_charge(g->sq->opts.arena, -(int64_t)g->blocks[i].charged);
        if (g->blocks[i].arena)
            arena_free(g->blocks[i].arena);
    }
    g->blocks = NULL;
    store_release_traces(g->sq, &g->view);
    arena_free(g->arena);
    return e;
}

struct err *tracestored_columns(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_columns *c)
{
    const struct tracestored *of = src;
    struct giving g = {.sq = of->sq, .req = req, .c = c};
    struct err *e;

    for (int attempt = 1; (e = look(&g, a)) && err_is(e, ERR_NOT_FOUND); attempt++) {
        if (attempt == TRACESTORED_ATTEMPTS || g.has_given)
            return blockset_gone(e);
        err_free(e);
        store_traces_gone(of->sq);
    }
    return e;
}
