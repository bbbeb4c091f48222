#include "querier/traces/tracestored.h"

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracestored_internal.h"
#include "querier/traces/tracewant.h"

/* A block that is read. */
struct part {
    struct traceblock_set *set; /* in its memory; NULL: it has ended */
    struct traceblock_trace at;
    bool is_there, is_used; /* at is one; it has been given, the next is to be taken */
};

struct stored_set {
    struct tracesource_set base;
    struct store_query *sq;
    struct arena *arena; /* of the view, and all that is asked of it */
    struct blockset_view view;
    const struct tracesource_request *req;
    struct tracewant want;
    struct traceblock_query q; /* as each block is asked */
    /* Of the view's blocks. */
    struct part *parts;
    struct tracestored_part *memory;
    size_t n;
    struct traceids_set ids; /* of all of them */
    size_t at_id;
    uint8_t id[16];
    VEC(struct tracepiece) pieces;
    struct err *err; /* the first: nothing is read any more */
};

static void fail(struct stored_set *s, struct err *e)
{
    s->err = err_first(s->err, e);
}

static bool is_over(struct stored_set *s)
{
    if (!arena_over(s->sq->opts.arena))
        return false;
    fail(s, tracestored_too_much(s->sq));
    return true;
}

/* Ids of all traces that any of the blocks would give by itself. */
static struct err *collect(struct stored_set *s)
{
    struct tracestored_part *parts = mem_calloc(s->n + 1, sizeof(*parts));
    struct traceids_set *found = mem_calloc(s->n + 1, sizeof(*found));
    struct err *e = tracestored_ids(s->sq, &s->view, &s->q, parts, found);

    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < found[i].n && !e; k++)
            traceids_set_add(s->arena, &s->ids, found[i].ptr[k]);
        tracestored_end(s->sq, &parts[i]);
    }
    mem_free(parts);
    mem_free(found);
    if (e)
        return e;
    traceids_set_sort(&s->ids);
    if (s->req->max_bytes && s->ids.n * 16 > s->req->max_bytes)
        return err_new(ERR_LIMIT, "more than %zu traces may match: ask for less time",
                       (size_t)(s->req->max_bytes / 16));
    return NULL;
}

/* ---- pieces ---- */

static void step(struct part *p)
{
    p->is_there = p->set && traceblock_set_next(p->set, &p->at);
    p->is_used = false;
}

static struct err *end_set(struct stored_set *s, struct part *p)
{
    struct traceblock_set *set = p->set;
    struct traceblock_stats st;

    p->set = NULL;
    if (!set)
        return NULL;
    traceblock_set_stats(set, &st);
    tracestored_count(s->sq, &st);
    return traceblock_set_close(set);
}

static struct err *begin_one(void *arg, size_t i, struct arena *a)
{
    struct stored_set *s = arg;
    struct part *p = &s->parts[i];
    struct err *e = traceblock_select(s->view.traces[i], a, &s->q, &p->set);

    if (e)
        return e;
    step(p);
    return p->is_there ? NULL : end_set(s, p);
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
        /* none is another thing than all */
        s->q.ids = (const uint8_t(*)[16])(s->ids.ptr ? s->ids.ptr : arena_alloc(s->arena, 16));
        s->q.n_ids = s->ids.n;
    }
    if (s->q.ids) {
        s->q.start_ns = INT64_MIN;
        s->q.end_ns = INT64_MAX;
        s->q.match = NULL;
        s->q.n_services = 0;
        s->q.want = (struct tracegroup_want){0};
    }
    return s->q.ids && !s->q.n_ids ? NULL
                                   : tracestored_each(s->sq, &s->view, s->memory, begin_one, s);
}

static const uint8_t *least(struct stored_set *s)
{
    const uint8_t *id = NULL;

    for (size_t i = 0; i < s->n && !s->err; i++) {
        struct part *p = &s->parts[i];

        if (p->is_used) {
            step(p);
            tracestored_charge(s->sq, &s->memory[i]);
        }
        if (p->is_there && (!id || memcmp(p->at.id, id, 16) < 0))
            id = p->at.id;
        else if (!p->is_there && p->set) {
            fail(s, err_wrap(end_set(s, p), "block %s", ulid_print(s->view.meta[i].ulid).s));
            tracestored_end(s->sq, &s->memory[i]);
        }
    }
    return s->err || is_over(s) ? NULL : id;
}

static bool next_id(struct stored_set *s, struct tracesource_trace *ret)
{
    if (s->at_id == s->ids.n)
        return false;
    *ret = (struct tracesource_trace){.id = s->ids.ptr[s->at_id++]};
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
        err_free(end_set(s, &s->parts[i])); /* asked for no more */
        tracestored_end(s->sq, &s->memory[i]);
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
    s->ids = (struct traceids_set){0};
    s->n = s->view.n;
    s->parts = arena_array(s->arena, struct part, s->n);
    s->memory = arena_array(s->arena, struct tracestored_part, s->n);
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
