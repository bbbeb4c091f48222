#include "querier/traces/tracesearch.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/traceids_set.h"
#include "querier/traces/tracepipe.h"
#include "querier/traces/tracewant.h"

#define NO_ROOT "<root span not yet received>"

/* A hit that may yet be displaced by a newer one, in memory of its own. */
struct kept {
    struct arena *arena;
    struct tracehit hit;
};

struct searching {
    const struct tracesearch_opts *opts;
    VEC(const struct traceql_attribute *) shown;
    VEC(struct kept) heap;  /* the oldest first */
    int64_t useful_from_ns; /* once there are as many as may be: where the oldest of them starts */
};

/* ---- what is shown of a span ---- */

/* Has a place of its own in an answer, or is no business of a single span. */
static bool is_shown(const struct traceql_attribute *a)
{
    switch (a->intrinsic) {
    case TRACEQL_NO_INTRINSIC:
    case TRACEQL_SPAN_STATUS:
    case TRACEQL_STATUS_MESSAGE:
    case TRACEQL_KIND:
    case TRACEQL_EVENT_NAME:
    case TRACEQL_LIBRARY_NAME:
    case TRACEQL_LIBRARY_VERSION:
        return true;
    default:
        return false;
    }
}

static bool is_same(const struct traceql_attribute *a, const struct traceql_attribute *b)
{
    return a->intrinsic == b->intrinsic && a->scope == b->scope && slice_eq(a->name, b->name);
}

static void show(struct searching *s, const struct traceql_attribute *a)
{
    if (!is_shown(a))
        return;
    VEC_FOREACH (it, &s->shown)
        if (is_same(*it, a))
            return;
    vec_push(&s->shown, a);
}

static void show_field(struct searching *s, const struct traceql_field *f)
{
    if (!f)
        return;
    if (f->kind == TRACEQL_ATTRIBUTE) {
        show(s, &f->u.attribute);
    } else if (f->kind == TRACEQL_UNARY) {
        show_field(s, f->u.unary.operand);
    } else if (f->kind == TRACEQL_BINARY) {
        show_field(s, f->u.binary.lhs);
        show_field(s, f->u.binary.rhs);
    }
}

static void show_pipeline(struct searching *s, const struct traceql_pipeline *p);

static void show_spanset(struct searching *s, const struct traceql_spanset *set)
{
    if (set->kind == TRACEQL_FILTER) {
        show_field(s, set->u.filter);
    } else if (set->kind == TRACEQL_SPANSET_PIPELINE) {
        show_pipeline(s, set->u.pipeline);
    } else {
        show_spanset(s, set->u.operation.lhs);
        show_spanset(s, set->u.operation.rhs);
    }
}

static void show_pipeline(struct searching *s, const struct traceql_pipeline *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct traceql_element *el = &p->ptr[i];

        if (el->kind == TRACEQL_SPANSET)
            show_spanset(s, el->u.spanset);
        else if (el->kind == TRACEQL_SCALAR_FILTER)
            show_field(s, el->u.scalar.argument);
        else if (el->kind == TRACEQL_SELECT)
            for (size_t k = 0; k < el->u.select.n; k++)
                show(s, &el->u.select.ptr[k]);
    }
}

/* ---- a hit ---- */

static struct slice shown_name(struct arena *a, const struct traceql_attribute *attribute)
{
    struct buf b = {0};
    struct slice ret;

    if (attribute->intrinsic == TRACEQL_NO_INTRINSIC)
        return arena_dup(a, attribute->name);
    traceql_print_attribute(&b, attribute);
    ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

static void add_span(struct searching *s, struct arena *a, struct tracepipe *pipe,
                     const struct tracecols *cols, uint32_t row, struct tracehit_span *ret)
{
    struct tracehit_value *values = arena_array(a, struct tracehit_value, s->shown.len);

    *ret = (struct tracehit_span){.id = cols->span_id[row],
                                  .start_ns = cols->start_ns[row],
                                  .end_ns = cols->end_ns[row],
                                  .name = arena_dup(a, cols->dict[cols->name[row]]),
                                  .values = values};
    VEC_FOREACH (it, &s->shown) {
        struct traceql_static v = tracepipe_attribute(pipe, *it, row);

        if (v.type != TRACEQL_NIL)
            values[ret->n_values++] =
                (struct tracehit_value){shown_name(a, *it), traceql_keep(a, v)};
    }
}

static void add_set(struct searching *s, struct arena *a, struct tracepipe *pipe,
                    const struct tracecols *cols, const struct traceset *set,
                    struct tracehit_set *ret)
{
    uint32_t max = s->opts->spans_per_set;
    uint32_t n = max ? ORR_MIN(max, set->n) : set->n;
    struct tracehit_span *spans = arena_array(a, struct tracehit_span, n);
    struct tracehit_value *values = arena_array(a, struct tracehit_value, set->n_values);

    for (uint32_t i = 0; i < n; i++)
        add_span(s, a, pipe, cols, set->rows[i], &spans[i]);
    for (size_t i = 0; i < set->n_values; i++) {
        struct buf b = {0};

        traceql_print_value_name(&b, set->values[i].of);
        values[i] = (struct tracehit_value){arena_dup(a, buf_slice(&b)),
                                            traceql_keep(a, set->values[i].value)};
        buf_done(&b);
    }
    *ret = (struct tracehit_set){set->n, n, spans, set->n_values, values};
}

/* In the order of their first spans. */
static void add_services(struct arena *a, const struct tracecols *cols,
                         const struct tracecols_trace *t, struct tracehit *hit)
{
    struct tracehit_service *list = NULL;
    struct map index = {0}; /* code -> number + 1 */
    size_t n = 0, at = 0;

    for (uint32_t i = t->first; i < t->first + t->n; i++) {
        uint32_t code = cols->service[i];

        if (i == t->first || cols->service[i - 1] != code) {
            void **slot = map_slot(&index, slice_of(&code, sizeof(code)));

            if (!*slot) {
                list = arena_more(a, list, n);
                list[n++] = (struct tracehit_service){.name = arena_dup(a, cols->dict[code])};
                *slot = (void *)(uintptr_t)n;
            }
            at = (uintptr_t)*slot - 1;
        }
        list[at].spans++;
        list[at].errors += cols->status[i] == TRACEQL_STATUS_ERROR;
    }
    hit->services = list;
    hit->n_services = n;
    map_done(&index);
}

static void add_trace(struct searching *s, struct arena *a, struct tracepipe *pipe,
                      const struct tracecols *cols, const struct tracecols_trace *t,
                      const struct tracesets *sets, struct tracehit *hit)
{
    struct tracehit_set *out = arena_array(a, struct tracehit_set, sets->n);
    bool has_root = t->root != UINT32_MAX;

    *hit = (struct tracehit){.start_ns = t->start_ns,
                             .end_ns = t->end_ns,
                             .root_name = SLICE(NO_ROOT),
                             .root_service = SLICE(NO_ROOT),
                             .n_sets = sets->n,
                             .sets = out};
    memcpy(hit->id, t->id, sizeof(hit->id));
    if (has_root) {
        hit->root_name = arena_dup(a, cols->dict[cols->name[t->root]]);
        hit->root_service = arena_dup(a, cols->dict[cols->service[t->root]]);
    }
    for (size_t i = 0; i < sets->n; i++)
        add_set(s, a, pipe, cols, &sets->ptr[i], &out[i]);
    add_services(a, cols, t, hit);
}

/* ---- the newest ---- */

/* Those that began at once are told apart by id, so an answer does not hang on how traces were read. */
static int compare_age(const struct tracehit *a, const struct tracehit *b)
{
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    return -memcmp(a->id, b->id, sizeof(a->id));
}

static void sift_down(struct searching *s, size_t at)
{
    struct kept *h = s->heap.ptr;

    for (;;) {
        size_t least = at, l = 2 * at + 1;

        for (size_t k = l; k < l + 2 && k < s->heap.len; k++)
            if (compare_age(&h[k].hit, &h[least].hit) < 0)
                least = k;
        if (least == at)
            return;
        struct kept t = h[at];
        h[at] = h[least];
        h[least] = t;
        at = least;
    }
}

static void sift_up(struct searching *s, size_t at)
{
    struct kept *h = s->heap.ptr;

    while (at && compare_age(&h[at].hit, &h[(at - 1) / 2].hit) < 0) {
        struct kept t = h[at];

        h[at] = h[(at - 1) / 2];
        h[(at - 1) / 2] = t;
        at = (at - 1) / 2;
    }
}

/* Whether it would be among the newest. */
static bool is_new_enough(const struct searching *s, const struct tracecols_trace *t)
{
    struct tracehit as = {.start_ns = t->start_ns};

    memcpy(as.id, t->id, sizeof(as.id));
    return s->heap.len < s->opts->limit || compare_age(&as, &s->heap.ptr[0].hit) > 0;
}

static bool is_in_range(const struct searching *s, const struct tracecols_trace *t)
{
    const struct tracesource_request *req = &s->opts->scan.req;
    int64_t duration = t->end_ns - t->start_ns;

    return t->start_ns < req->end_ns && t->end_ns >= req->start_ns &&
           duration >= s->opts->min_duration_ns &&
           (!s->opts->max_duration_ns || duration <= s->opts->max_duration_ns);
}

static void keep(struct searching *s, struct tracepipe *pipe, const struct tracecols *cols,
                 const struct tracecols_trace *t, const struct tracesets *sets)
{
    struct kept k = {.arena = arena_child(s->opts->scan.arena, 0)};

    add_trace(s, k.arena, pipe, cols, t, sets, &k.hit);
    if (s->heap.len < s->opts->limit) {
        vec_push(&s->heap, k);
        sift_up(s, s->heap.len - 1);
        return;
    }
    arena_free(s->heap.ptr[0].arena);
    s->heap.ptr[0] = k;
    sift_down(s, 0);
}

static struct err *look(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct searching *s = arg;
    struct tracepipe *pipe = tracepipe_new(&s->opts->query->pipeline, cols);

    (void)ret_stop;
    for (uint32_t i = 0; i < cols->n_traces; i++) {
        const struct tracecols_trace *t = &cols->traces[i];
        struct tracesets sets;

        if (!is_in_range(s, t) || !is_new_enough(s, t))
            continue;
        sets = tracepipe_run(pipe, i);
        if (sets.n)
            keep(s, pipe, cols, t, &sets);
    }
    tracepipe_free(pipe);
    if (s->heap.len == s->opts->limit)
        s->useful_from_ns = s->heap.ptr[0].hit.start_ns;
    return NULL;
}

/* ---- the scan ---- */

struct known_start {
    uint8_t id[16];
    int64_t start_ns;
};
struct checking {
    struct known_start *all; /* of the kept, by id */
    size_t n;
    bool is_right;
};

static int by_known_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(((const struct known_start *)a)->id));
}

static struct err *check_start(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct checking *c = arg;

    for (uint32_t i = 0; i < cols->n_traces; i++) {
        const struct known_start *k =
            bsearch(cols->traces[i].id, c->all, c->n, sizeof(*c->all), by_known_id);

        c->is_right = c->is_right && (!k || k->start_ns == cols->traces[i].start_ns);
    }
    *ret_stop = !c->is_right;
    return NULL;
}

/*
 * Traces that start where those that are kept do are seen whole. But of one that started before, and goes on, only the end may have been seen, as if it
 * started there: then it was kept wrongly, and perhaps for one that would have been right. That is rare: all is looked at again.
 */
static struct err *check_starts(struct searching *s, bool *ret_right)
{
    const struct tracegroup_want nothing = {0};
    struct tracescan_opts scan = s->opts->scan;
    struct tracescan_stats stats = {0};
    struct checking c = {arena_array(scan.arena, struct known_start, s->heap.len), 0, true};
    struct traceids_set ids = {0};
    struct err *e;

    scan.want = &nothing;
    VEC_FOREACH (k, &s->heap) {
        memcpy(c.all[c.n].id, k->hit.id, sizeof(k->hit.id));
        c.all[c.n++].start_ns = k->hit.start_ns;
    }
    qsort(c.all, c.n, sizeof(*c.all), by_known_id);
    for (size_t i = 0; i < c.n; i++)
        traceids_set_add(scan.arena, &ids, c.all[i].id);
    e = tracescan_ids(&scan, (const uint8_t(*)[16])ids.ptr, ids.n, check_start, &c, &stats);
    *ret_right = c.is_right;
    return e;
}

static void forget(struct searching *s)
{
    VEC_FOREACH (k, &s->heap)
        arena_free(k->arena);
    vec_clear(&s->heap);
}

static struct err *run(struct searching *s, struct tracescan_opts *scan,
                       struct tracescan_stats *stats)
{
    bool is_right = true;
    struct err *e;

    s->useful_from_ns = INT64_MIN;
    scan->useful_from_ns = &s->useful_from_ns;
    if ((e = tracescan(scan, look, s, stats)) || s->useful_from_ns <= scan->req.start_ns)
        return e;
    if ((e = check_starts(s, &is_right)) || is_right)
        return e;
    forget(s);
    scan->useful_from_ns = NULL;
    return tracescan(scan, look, s, stats);
}

static int newest_first(const void *x, const void *y)
{
    const struct kept *a = x, *b = y;

    return -compare_age(&a->hit, &b->hit);
}

struct err *tracesearch(const struct tracesearch_opts *opts, struct tracesearch_result *ret)
{
    struct searching s = {.opts = opts};
    struct tracescan_opts scan = opts->scan;
    struct tracecond cond = tracecond_of(scan.arena, opts->query);
    struct tracegroup_want want;
    struct tracehit *hits;
    struct err *e;

    *ret = (struct tracesearch_result){0};
    if (opts->query->metrics)
        return err_new(ERR_INVALID, "a query of metrics: ask /api/metrics/query_range");
    if (!opts->limit)
        return NULL;
    scan.req.filters = cond.ptr;
    scan.req.n_filters = cond.n;
    want = tracewant_of_query(scan.arena, opts->query, true);
    scan.want = &want;
    show_pipeline(&s, &opts->query->pipeline);
    e = run(&s, &scan, &ret->stats);
    if (s.heap.len)
        qsort(s.heap.ptr, s.heap.len, sizeof(*s.heap.ptr), newest_first);
    ret->arenas = mem_new_array(struct arena *, s.heap.len + 1);
    hits = arena_array(scan.arena, struct tracehit, s.heap.len);
    for (size_t i = 0; i < s.heap.len; i++) {
        hits[i] = s.heap.ptr[i].hit;
        ret->arenas[i] = s.heap.ptr[i].arena;
    }
    ret->hits = hits;
    ret->n = s.heap.len;
    vec_done(&s.heap);
    vec_done(&s.shown);
    if (e)
        tracesearch_done(ret);
    return e;
}

void tracesearch_done(struct tracesearch_result *res)
{
    for (size_t i = 0; i < res->n; i++)
        arena_free(res->arenas[i]);
    mem_free(res->arenas);
    *res = (struct tracesearch_result){0};
}
