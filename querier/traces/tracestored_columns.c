/* Row groups of blocks of traces as TraceQL's engine has them, without pieces on the way. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "querier/traces/tracestored_internal.h"
#include "querier/traces/tracewant.h"

struct giving {
    struct store_query *sq;
    const struct tracesource_request *req;
    struct tracesource_columns *c;
    struct arena *arena;   /* of the view, and ids */
    struct tracewant want; /* of the filters */
    struct blockset_view view;
    bool has_given, is_enough;
};

static struct traceblock_query query_of(const struct tracesource_request *req)
{
    struct traceblock_query q = {.start_ns = INT64_MIN,
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

/* By their hashes: that two ids have one is as good as never, and does no harm. */
static struct traceids_set shared_among(struct giving *g, const struct traceids_set *ids)
{
    struct traceids_set shared = {0};
    size_t n = 0, mask = 1;
    uint64_t *slots;

    for (size_t i = 0; i < g->view.n; i++)
        n += ids[i].n;
    while (mask < 2 * n)
        mask = mask << 1 | 1;
    g->c->seen += n;
    slots = arena_array(g->arena, uint64_t, mask + 1);
    for (size_t i = 0; i < g->view.n; i++)
        for (size_t k = 0; k < ids[i].n; k++) {
            uint64_t h = hash_xxh64(slice_of(ids[i].ptr[k], 16), 0) | 1;
            size_t at = h >> 20 & mask;

            while (slots[at] && slots[at] != h)
                at = (at + 1) & mask;
            if (slots[at])
                traceids_set_add(g->arena, &shared, ids[i].ptr[k]);
            slots[at] = h;
        }
    traceids_set_sort(&shared);
    return shared;
}

static struct err *find_shared(struct giving *g, struct traceids_set *ret)
{
    size_t n = g->view.n;
    struct tracestored_part *parts = mem_calloc(n + 1, sizeof(*parts));
    struct traceids_set *ids = mem_calloc(n + 1, sizeof(*ids));
    struct traceblock_query q = query_of(g->req);
    struct err *e = n > 1 ? tracestored_ids(g->sq, &g->view, &q, parts, ids) : NULL;

    if (!e && n > 1)
        *ret = shared_among(g, ids);
    for (size_t i = 0; i < n; i++)
        tracestored_end(g->sq, &parts[i]);
    mem_free(parts);
    mem_free(ids);
    return e;
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

    tracestored_count(g->sq, &st);
    arena_free(a);
    return err_wrap(e, "block %s", ulid_print(g->view.meta[i].ulid).s);
}

static struct err *give_all(struct giving *g, struct arena *a)
{
    struct traceids_set shared = {0}, but;
    struct traceblock_query q = query_of(g->req);
    struct err *e = find_shared(g, &shared);

    if (e)
        return e;
    but = traceids_set_unite(
        g->arena, shared, (struct traceids_set){(uint8_t(*)[16])(uintptr_t)g->c->but, g->c->n_but});
    q.but = (const uint8_t(*)[16])but.ptr;
    q.n_but = but.n;
    if (!g->req->ids && !tracestored_is_all_time(g->req->start_ns, g->req->end_ns)) {
        q.start_ns = g->req->start_ns;
        q.end_ns = g->req->end_ns;
    }
    if (g->req->n_filters) {
        q.services = g->want.services;
        q.n_services = g->want.n_services;
        q.want = g->want.columns;
        q.match = tracewant_match;
        q.arg = &g->want;
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
    g->c->seen = 0;
    tracewant_init(&g->want, g->arena, g->req->filters, g->req->n_filters);
    e = tracestored_take(g->sq, g->arena, g->req->start_ns, g->req->end_ns, NULL, 0, &g->view);
    if (!e)
        e = give_all(g, a);
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

/* Not if some blocks have none of the services that it is about: of those not even ids are worth reading. */
struct err *tracestored_is_broad(void *src, struct arena *a, const struct tracesource_request *req,
                                 bool *ret)
{
    const struct tracestored *of = src;
    struct arena *own = arena_child(a, 0);
    struct blockset_view v = {0};
    struct tracewant want;
    struct err *e = NULL;

    *ret = true;
    tracewant_init(&want, own, req->filters, req->n_filters);
    if (want.n_services && !(e = tracestored_take(of->sq, own, req->start_ns, req->end_ns,
                                                  want.services, want.n_services, &v)))
        for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
            *ret = *ret && (i == BLOCK_SKIP_TIME || !v.skipped[i]);
    store_release_traces(of->sq, &v);
    arena_free(own);
    return e;
}
