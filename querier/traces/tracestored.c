#include "querier/traces/tracestored.h"

#include <stdlib.h>

#include "common/base/job.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/objstore/objstore.h"
#include "querier/traces/tracestored_internal.h"
#include "querier/traces/tracewant.h"

/* A block that is read. */
struct part {
    struct arena *arena;        /* of its set; its own, for it may be filled on another thread */
    struct traceblock_set *set; /* NULL: it has ended */
    struct traceblock_trace at;
    bool is_there, is_used; /* at is one; it has been given, the next is to be taken */
    size_t charged;         /* of the arena, to the query's */
    uint8_t (*ids)[16];     /* what collect() found, in: */
    struct arena *found;
    size_t n_ids;
    struct err *err;
};

struct stored_set {
    struct tracesource_set base;
    struct store_query *sq;
    struct arena *arena; /* of the view, and all that is asked of it */
    struct blockset_view view;
    const struct tracesource_request *req;
    struct tracewant want;
    struct traceblock_query q; /* as each block is asked */
    struct part *parts;        /* of the view's blocks */
    size_t n;
    uint8_t (*ids)[16]; /* of all of them, ascending */
    size_t n_ids, at_id;
    uint8_t id[16];
    VEC(struct tracepiece) pieces;
    struct err *err; /* the first: nothing is read any more */
};

static void fail(struct stored_set *s, struct err *e)
{
    s->err = err_first(s->err, e);
}

/* ---- parts ---- */

static size_t used_by(const struct part *p)
{
    return (p->arena ? arena_used(p->arena) : 0) + (p->found ? arena_used(p->found) : 0);
}

/* An arena of another thread's making cannot be a child. */
static void charge(struct stored_set *s, struct part *p)
{
    size_t used = used_by(p);

    arena_charge(s->sq->opts.arena, (int64_t)used - (int64_t)p->charged);
    p->charged = used;
}

static struct err *too_much(const struct stored_set *s)
{
    return err_new(ERR_LIMIT,
                   "the query takes more than max-query-memory (%zu bytes): ask for less time, or "
                   "for fewer traces by a filter",
                   arena_limit(s->sq->opts.arena));
}

static bool is_over(struct stored_set *s)
{
    if (!arena_over(s->sq->opts.arena))
        return false;
    fail(s, too_much(s));
    return true;
}

static void end_part(struct stored_set *s, struct part *p)
{
    struct traceblock_stats st;

    if (p->set) {
        traceblock_set_stats(p->set, &st);
        store_count_traces(s->sq, &(struct store_traces_stats){.groups = st.groups,
                                                               .groups_skipped = st.groups_skipped,
                                                               .bytes = st.bytes,
                                                               .spans = st.spans});
        p->err = err_first(p->err, traceblock_set_close(p->set));
    }
    p->set = NULL;
    arena_free(p->arena);
    p->arena = NULL;
}

static struct arena *new_arena(const struct stored_set *s)
{
    size_t left = arena_left(s->sq->opts.arena);

    return arena_new(left == SIZE_MAX ? 0 : ORR_MAX(left, (size_t)1));
}

static struct err *begin_part(struct stored_set *s, size_t i, const struct traceblock_query *q)
{
    struct part *p = &s->parts[i];

    p->arena = new_arena(s);
    return traceblock_select(s->view.traces[i], p->arena, q, &p->set);
}

static void step(struct part *p)
{
    p->is_there = p->set && traceblock_set_next(p->set, &p->at);
    p->is_used = false;
}

/* Each waits for some reads, one after the other, when blocks are far away: so they are opened side by side. */
struct opening {
    struct stored_set *set;
    const struct traceblock_query *query;
    struct objstore_tally *tally; /* of the thread that asks */
    size_t left;                  /* to the query, before the first of them */
    _Atomic size_t used;          /* by those that are open: they are charged when all are */
    void (*open)(struct stored_set *s, size_t i, const struct traceblock_query *q);
};

static void open_one(void *arg, size_t i)
{
    struct opening *o = arg;
    struct part *p = &o->set->parts[i];
    struct objstore_tally *before;

    if (atomic_load_explicit(&o->used, memory_order_relaxed) > o->left) {
        p->err = too_much(o->set);
        return;
    }
    before = objstore_tally_set(o->tally);
    o->open(o->set, i, o->query);
    (void)objstore_tally_set(before);
    atomic_fetch_add_explicit(&o->used, used_by(p), memory_order_relaxed);
}

/* All parts; the first error of any. */
static struct err *open_all(struct stored_set *s, const struct traceblock_query *q,
                            void (*open)(struct stored_set *, size_t,
                                         const struct traceblock_query *))
{
    struct job_pool *pool = store_traces_jobs(s->sq);
    struct opening o = {.set = s,
                        .query = q,
                        .tally = objstore_tally_get(),
                        .left = arena_left(s->sq->opts.arena),
                        .open = open};
    struct err *e = NULL;

    if (pool && s->n > 1)
        job_parallel(pool, s->n, open_one, &o);
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];

        if (!(pool && s->n > 1) && !e)
            open_one(&o, i);
        charge(s, p);
        if (p->err)
            e = err_first(e, err_wrap(p->err, "block %s", ulid_print(s->view.meta[i].ulid).s));
        p->err = NULL;
    }
    return e;
}

/* ---- ids ---- */

static void collect_one(struct stored_set *s, size_t i, const struct traceblock_query *q)
{
    struct part *p = &s->parts[i];
    struct traceblock_trace t;

    p->found = new_arena(s);
    if (!(p->err = begin_part(s, i, q)))
        while (!arena_over(p->found) && traceblock_set_next(p->set, &t)) {
            p->ids = arena_more(p->found, p->ids, p->n_ids);
            memcpy(p->ids[p->n_ids++], t.id, 16);
        }
    end_part(s, p);
    if (!p->err && arena_over(p->found))
        p->err = err_new(ERR_LIMIT, "ids of traces that may match take more than max-query-memory: "
                                    "ask for less time");
}

static int compare_ids(const void *x, const void *y)
{
    return memcmp(x, y, 16);
}

/* What the parts have found, each once. */
static void unite_ids(struct stored_set *s)
{
    size_t n = 0, used = 0;

    for (size_t i = 0; i < s->n; i++)
        n += s->parts[i].n_ids;
    s->ids = arena_alloc(s->arena, ORR_MAX(n, (size_t)1) * 16);
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];

        if (p->n_ids)
            memcpy(s->ids[used], p->ids, p->n_ids * 16);
        used += p->n_ids;
        arena_free(p->found);
        *p = (struct part){.charged = p->charged};
        charge(s, p);
    }
    if (n)
        qsort(s->ids, n, 16, compare_ids);
    for (size_t i = 0; i < n; i++)
        if (!s->n_ids || memcmp(s->ids[s->n_ids - 1], s->ids[i], 16) != 0)
            memmove(s->ids[s->n_ids++], s->ids[i], 16);
}

/* Ids of all traces that any of the blocks would give by itself. */
static struct err *collect(struct stored_set *s)
{
    struct traceblock_query q = s->q;
    struct err *e;

    q.ids_only = true;
    if ((e = open_all(s, &q, collect_one)))
        return e;
    unite_ids(s);
    if (s->req->max_bytes && s->n_ids * 16 > s->req->max_bytes)
        return err_new(ERR_LIMIT, "more than %zu traces may match: ask for less time",
                       (size_t)(s->req->max_bytes / 16));
    return NULL;
}

/* ---- pieces ---- */

static void begin_one(struct stored_set *s, size_t i, const struct traceblock_query *q)
{
    struct part *p = &s->parts[i];

    if ((p->err = begin_part(s, i, q)))
        return;
    step(p);
    if (!p->is_there)
        end_part(s, p);
}

/* Whether every block has nothing but what the request's times and filters leave. */
static bool leaves_all(const struct stored_set *s)
{
    const struct tracesource_request *req = s->req;
    bool is_all_time = tracestored_is_all_time(req->start_ns, req->end_ns);

    for (size_t i = 0; i < s->n && !is_all_time; i++)
        if (s->view.meta[i].min_t < clock_ms_of_ns(req->start_ns) + 1 ||
            s->view.meta[i].max_t > clock_ms_of_ns(req->end_ns))
            return false;
    return !req->n_filters;
}

/* With each trace that is wanted all that the blocks have of it, though what makes it wanted is in one of them. */
static struct err *begin_pieces(struct stored_set *s)
{
    struct err *e;

    if (!s->req->ids && s->n > 1 && !leaves_all(s)) {
        if ((e = collect(s)))
            return e;
        s->q.ids = (const uint8_t(*)[16])s->ids;
        s->q.n_ids = s->n_ids;
    }
    if (s->q.ids) {
        s->q.start_ns = INT64_MIN;
        s->q.end_ns = INT64_MAX;
        s->q.match = NULL;
        s->q.n_services = 0;
        s->q.want = (struct tracegroup_want){0};
    }
    return s->q.ids && !s->q.n_ids ? NULL : open_all(s, &s->q, begin_one);
}

static const uint8_t *least(struct stored_set *s)
{
    const uint8_t *id = NULL;

    for (size_t i = 0; i < s->n && !s->err; i++) {
        struct part *p = &s->parts[i];

        if (p->is_used) {
            step(p);
            charge(s, p);
        }
        if (p->is_there && (!id || memcmp(p->at.id, id, 16) < 0))
            id = p->at.id;
        else if (!p->is_there && p->set) {
            end_part(s, p);
            charge(s, p);
            if (p->err)
                fail(s, err_wrap(p->err, "block %s", ulid_print(s->view.meta[i].ulid).s));
            p->err = NULL;
        }
    }
    return s->err || is_over(s) ? NULL : id;
}

static bool next_id(struct stored_set *s, struct tracesource_trace *ret)
{
    if (s->at_id == s->n_ids)
        return false;
    *ret = (struct tracesource_trace){.id = s->ids[s->at_id++]};
    return true;
}

static bool stored_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    struct stored_set *s = ORR_CONTAINER(set, struct stored_set, base);
    const uint8_t *id;

    if (s->req->ids_only)
        return next_id(s, ret);
    if (s->err || !(id = least(s)))
        return false;
    memcpy(s->id, id, sizeof(s->id));
    vec_clear(&s->pieces);
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];

        if (!p->is_there || memcmp(p->at.id, s->id, 16) != 0)
            continue;
        p->is_used = true;
        vec_push(&s->pieces, *p->at.piece);
    }
    *ret = (struct tracesource_trace){s->id, s->pieces.ptr, s->pieces.len};
    return true;
}

/* ---- a set ---- */

/* Ends what is open of the blocks. */
static void close_parts(struct stored_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];

        end_part(s, p);
        arena_free(p->found);
        p->found = NULL;
        charge(s, p);
        err_free(p->err); /* asked for no more */
        p->err = NULL;
    }
    s->n = 0;
    store_release_traces(s->sq, &s->view);
}

static struct err *stored_close(struct tracesource_set *set)
{
    struct stored_set *s = ORR_CONTAINER(set, struct stored_set, base);
    struct err *e = s->err;

    close_parts(s);
    vec_done(&s->pieces);
    arena_free(s->arena);
    mem_free(s);
    return err_is(e, ERR_NOT_FOUND) ? blockset_gone(e) : e; /* the trace may be there */
}

static struct traceblock_query query_of(const struct stored_set *s)
{
    const struct tracesource_request *req = s->req;
    bool is_all_time = tracestored_is_all_time(req->start_ns, req->end_ns);
    struct traceblock_query q = {.start_ns = is_all_time ? INT64_MIN : req->start_ns,
                                 .end_ns = req->end_ns,
                                 .ids = req->ids,
                                 .n_ids = req->n_ids,
                                 .services = s->want.services,
                                 .n_services = s->want.n_services,
                                 .cancel = req->cancel,
                                 .deadline_mono_ms = req->deadline_mono_ms};

    memcpy(q.first, req->first, sizeof(q.first));
    memcpy(q.last, req->last, sizeof(q.last));
    if (req->n_filters) {
        q.want = s->want.columns;
        q.match = tracewant_match;
        q.arg = (void *)&s->want;
    }
    return q;
}

/* Blocks without the services that are wanted may have other spans of traces that are: for ids alone they are of no use. */
static struct err *begin(struct stored_set *s)
{
    struct err *e =
        tracestored_take(s->sq, s->arena, s->req->start_ns, s->req->end_ns, s->want.services,
                         s->req->ids_only ? s->want.n_services : 0, &s->view);

    if (e)
        return e;
    s->q = query_of(s);
    s->n_ids = 0;
    s->n = s->view.n;
    s->parts = arena_zalloc(s->arena, ORR_MAX(s->n, (size_t)1) * sizeof(*s->parts));
    e = s->req->ids_only ? collect(s) : begin_pieces(s);
    return e ? e : is_over(s) ? s->err : NULL;
}

static struct err *stored_select(void *src, struct arena *a, const struct tracesource_request *req,
                                 struct tracesource_set **ret)
{
    static const struct tracesource_set_ops ops = {stored_next, stored_close};
    const struct tracestored *of = src;
    struct stored_set *s = mem_new(struct stored_set);
    struct err *e;

    s->base.ops = &ops;
    s->sq = of->sq;
    s->arena = arena_child(of->sq->opts.arena, 0);
    s->req = arena_copy(a, req, 1);
    tracewant_init(&s->want, s->arena, req->filters, req->n_filters);
    for (int attempt = 1; (e = begin(s)); attempt++) {
        if (!err_is(e, ERR_NOT_FOUND) || attempt == TRACESTORED_ATTEMPTS) {
            s->err = e;
            return stored_close(&s->base);
        }
        err_free(e);
        close_parts(s);
        store_traces_gone(of->sq);
    }
    *ret = &s->base;
    return NULL;
}

struct tracesource tracestored_source(struct tracestored *s)
{
    static const struct tracesource_ops ops = {stored_select, tracestored_names,
                                               tracestored_columns, tracestored_is_broad};

    return (struct tracesource){.ops = &ops, .src = s, .has_filters = true};
}
