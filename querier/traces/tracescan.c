#include "querier/traces/tracescan.h"

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/traceids_set.h"

/* Columns that are being made. */
struct part {
    struct arena *arena;
    struct tracebuild *build;
    struct tracepiece_rows rows;
    uint32_t spans;
};

struct scan {
    const struct tracescan_opts *opts;
    tracescan_fn *fn;
    void *arg;
    struct tracescan_stats *stats;
    struct part part;
    uint64_t found; /* traces, or ids of them, of the range */
    bool is_enough;
};

static struct err *over(const struct scan *s)
{
    if (!arena_over(s->opts->arena))
        return NULL;
    return err_new(ERR_LIMIT,
                   "the query takes more than max-query-memory (%zu bytes): ask for less "
                   "time, or for fewer traces by a filter",
                   arena_limit(s->opts->arena));
}

static void begin_part(struct scan *s)
{
    s->part = (struct part){.arena = arena_child(s->opts->arena, 0)};
    s->part.build = tracebuild_new(s->part.arena);
    tracepiece_rows_init(&s->part.rows, s->part.build);
}

static struct err *end_part(struct scan *s, bool is_wanted)
{
    const struct tracecols *cols;
    struct err *e = NULL;

    if (!s->part.arena)
        return NULL;
    tracepiece_rows_done(&s->part.rows);
    if (is_wanted) {
        cols = tracebuild_end(s->part.build);
        s->stats->traces += cols->n_traces;
        s->stats->spans += cols->n_spans;
        if (!(e = over(s)))
            e = s->fn(s->arg, cols, &s->is_enough);
    } else {
        tracebuild_free(s->part.build);
    }
    arena_free(s->part.arena);
    s->part.arena = NULL;
    return e;
}

static struct err *add_trace(struct scan *s, const struct tracesource_trace *t)
{
    struct tracepiece whole;

    s->found++;
    if (!s->part.arena)
        begin_part(s);
    tracepiece_unite(s->part.arena, t->pieces, t->n, &whole);
    memcpy(whole.trace_id, t->id, sizeof(whole.trace_id));
    if (whole.n_spans)
        tracepiece_build(&s->part.rows, s->part.arena, &whole);
    s->part.spans += whole.n_spans;
    return s->part.spans < TRACESCAN_SPANS ? over(s) : end_part(s, true);
}

static struct err *scan_pieces(struct scan *s, struct arena *a,
                               const struct tracesource_request *req)
{
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct err *e = tracesource_select(s->opts->source, a, req, &set);

    if (e)
        return e;
    while (!e && !s->is_enough && tracesource_set_next(set, &t))
        e = add_trace(s, &t);
    e = err_first(e, tracesource_set_close(set));
    return err_first(e, end_part(s, !e && !s->is_enough));
}

static struct err *take_columns(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct scan *s = arg;
    struct err *e;

    s->stats->traces += cols->n_traces;
    s->stats->in_columns += cols->n_traces;
    s->found += cols->n_traces;
    for (uint32_t i = 0; i < cols->n_traces; i++)
        s->stats->spans += cols->traces[i].n;
    if (!(e = over(s)))
        e = s->fn(s->arg, cols, &s->is_enough);
    *ret_stop = s->is_enough;
    return e;
}

typedef struct err *scan_fn(struct scan *s, struct arena *a, const struct tracesource_request *req);

/* One question may not have all the ids there are. */
static struct err *scan_ids(struct scan *s, struct arena *a, const struct tracesource_request *req,
                            scan_fn *scan)
{
    struct tracesource_request some = *req;
    struct err *e = NULL;

    for (size_t at = 0; at < req->n_ids && !e && !s->is_enough; at += some.n_ids) {
        some.ids = req->ids + at;
        some.n_ids = ORR_MIN(req->n_ids - at, (size_t)TRACESCAN_TRACES);
        e = scan(s, a, &some);
    }
    return e;
}

/* Ids of traces of which any source has a span that fulfils a filter become the request's. */
static struct err *find_candidates(struct scan *s, struct arena *a, struct tracesource_request *req)
{
    struct traceids_set found = {0};
    struct err *e = traceids_set_ask(a, &found, s->opts->source, req);

    s->found = ORR_MAX(s->found, (uint64_t)found.n);
    req->ids = (const uint8_t(*)[16])found.ptr;
    req->n_ids = found.n;
    req->n_filters = 0;
    return e ? e : over(s);
}

/* Of ids, those of which anything fulfils a filter. */
static struct err *scan_matching(struct scan *s, struct arena *a,
                                 const struct tracesource_request *req)
{
    struct tracesource_request found = *req;
    struct err *e = find_candidates(s, a, &found);

    return e || !found.n_ids ? e : scan_pieces(s, a, &found);
}

/* What is in columns already, then what is not. */
static struct err *scan_columns(struct scan *s, struct arena *a,
                                const struct tracesource_request *req)
{
    struct tracesource_columns c = {.want = s->opts->want, .give = take_columns, .arg = s};
    struct tracesource_request rest = *req;
    struct err *e = tracesource_columns(s->opts->source, a, req, &c);

    if (e)
        return e;
    s->found = ORR_MAX(s->found, c.seen);
    rest.ids = (const uint8_t(*)[16])c.rest;
    rest.n_ids = c.n_rest;
    return scan_ids(s, a, &rest, rest.n_filters ? scan_matching : scan_pieces);
}

static struct err *scan_range(struct scan *s, struct arena *a, struct tracesource_request *req)
{
    bool in_columns = s->opts->want && tracesource_has_columns(s->opts->source), is_broad = false;
    size_t few = s->opts->few ? s->opts->few : TRACESCAN_FEW;
    struct err *e = NULL;

    if (!s->opts->source->has_filters)
        req->n_filters = 0;
    if (in_columns && req->n_filters)
        e = tracesource_is_broad(s->opts->source, a, req, &is_broad);
    if (e || is_broad || !req->n_filters)
        return e ? e : (in_columns ? scan_columns : scan_pieces)(s, a, req);
    if ((e = find_candidates(s, a, req)))
        return e;
    return scan_ids(s, a, req, in_columns && req->n_ids > few ? scan_columns : scan_pieces);
}

/* Of TRACESCAN_MAX_RANGES: of a range that is as wide as has TRACESCAN_TRACES if ids are spread evenly. */
static unsigned next_width(uint64_t found, unsigned width)
{
    return (unsigned)ORR_MIN(ORR_MAX((uint64_t)width * TRACESCAN_TRACES / ORR_MAX(found, 1u), 1u),
                             (uint64_t)TRACESCAN_MAX_RANGES);
}

struct err *tracescan(const struct tracescan_opts *opts, tracescan_fn *fn, void *arg,
                      struct tracescan_stats *stats)
{
    struct scan s = {.opts = opts, .fn = fn, .arg = arg, .stats = stats};
    unsigned n = opts->ranges ? opts->ranges : 1, width = TRACESCAN_MAX_RANGES / n;
    struct err *e = NULL;

    ORR_ASSERT(n <= TRACESCAN_MAX_RANGES && !(n & (n - 1)));
    for (unsigned at = 0, used; at < TRACESCAN_MAX_RANGES && !e && !s.is_enough; at += used) {
        struct tracesource_request req = opts->req;
        struct arena *a = arena_child(opts->arena, 0);

        used = ORR_MIN(width, TRACESCAN_MAX_RANGES - at);
        memset(req.first, 0, sizeof(req.first));
        memset(req.last, 0xff, sizeof(req.last));
        req.first[0] = (uint8_t)at;
        req.last[0] = (uint8_t)(at + used - 1);
        if (opts->useful_from_ns)
            req.start_ns = ORR_MAX(req.start_ns, *opts->useful_from_ns);
        s.found = 0;
        e = scan_range(&s, a, &req);
        arena_free(a);
        width = next_width(s.found, used);
    }
    return e;
}

struct err *tracescan_ids(const struct tracescan_opts *opts, const uint8_t (*ids)[16], size_t n,
                          tracescan_fn *fn, void *arg, struct tracescan_stats *stats)
{
    struct scan s = {.opts = opts, .fn = fn, .arg = arg, .stats = stats};
    bool in_columns = opts->want && tracesource_has_columns(opts->source);
    struct tracesource_request req = opts->req;
    struct arena *a = arena_child(opts->arena, 0);
    struct err *e;

    req.ids = ids;
    req.n_ids = n;
    req.n_filters = 0;
    memset(req.first, 0, sizeof(req.first));
    memset(req.last, 0xff, sizeof(req.last));
    e = scan_ids(&s, a, &req, in_columns ? scan_columns : scan_pieces);
    arena_free(a);
    return e;
}

/* Pieces live until the set's next call, or its end: so what is found is written down. */
static struct err *keep(struct arena *a, const struct tracesource_trace *t, struct tracepiece *ret)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct tracepiece whole;
    struct buf bytes = {0};
    struct err *e;

    tracepiece_unite(a, t->pieces, t->n, &whole);
    tracepiece_encode(enc, &whole, &bytes);
    e = tracepiece_decode(a, arena_dup(a, buf_slice(&bytes)), ret);
    buf_done(&bytes);
    tracepiece_encoder_free(enc);
    return e;
}

struct err *tracescan_find(const struct tracescan_opts *opts, const uint8_t id[16],
                           struct tracepiece *ret)
{
    struct tracesource_request req = opts->req;
    struct tracepiece found = {0};
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct err *e;

    memcpy(found.trace_id, id, 16);
    memcpy(req.first, id, 16);
    memcpy(req.last, id, 16);
    req.ids = (const uint8_t(*)[16])id;
    req.n_ids = 1;
    if ((e = tracesource_select(opts->source, opts->arena, &req, &set)))
        return e;
    if (tracesource_set_next(set, &t))
        e = keep(opts->arena, &t, &found);
    e = err_first(e, tracesource_set_close(set));
    if (!e && arena_over(opts->arena))
        e = err_new(ERR_LIMIT, "the trace takes more than max-query-memory (%zu bytes)",
                    arena_limit(opts->arena));
    if (!e)
        *ret = found;
    return e;
}
