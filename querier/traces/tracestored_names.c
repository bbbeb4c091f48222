/* Names of attributes and values in blocks of traces. */
#include "common/base/mem.h"
#include "querier/traces/tracenames.h"
#include "querier/traces/tracestored_internal.h"
#include "querier/traces/tracewant.h"

struct err *tracestored_take(struct store_query *sq, struct arena *a, int64_t start_ns,
                             int64_t end_ns, const struct slice *services, size_t n_services,
                             struct blockset_view *ret)
{
    struct matcher *m = arena_array(a, struct matcher, n_services);
    struct matchers *sets = arena_array(a, struct matchers, n_services);
    struct blockset_filter filter = {sets, n_services};
    int64_t min_ms =
        tracestored_is_all_time(start_ns, end_ns) ? INT64_MIN : clock_ms_of_ns(start_ns);

    for (size_t i = 0; i < n_services; i++) {
        m[i] = (struct matcher){
            .op = MATCHER_EQ, .name = SLICE(TRACEBLOCK_SERVICE), .value = services[i]};
        sets[i] = (struct matchers){&m[i], 1};
    }
    if (sq->opts.min_ms > 0)
        min_ms = ORR_MAX(min_ms, sq->opts.min_ms);
    return store_take_traces(sq, a, min_ms, clock_ms_of_ns(end_ns - 1), &filter, ret);
}

/* ---- one block ---- */

struct naming {
    const struct tracesource_names_request *req;
    tracesource_name_fn *give;
    void *arg;
    struct arena *arena; /* of a block */
    bool is_enough;
};

static bool give(void *arg, struct slice s, enum tracecell_type type)
{
    struct naming *n = arg;

    n->is_enough = n->is_enough || !n->give(n->arg, s, type);
    return !n->is_enough;
}

static bool give_key(void *arg, struct slice key)
{
    return give(arg, key, TRACECELL_STRING);
}

static struct err *look(void *arg, struct tracegroup *g, const struct tracecols *cols,
                        bool *ret_stop)
{
    struct naming *n = arg;
    struct err *e = NULL;

    if (!n->req->attribute.len && n->req->intrinsic == TRACEQL_NO_INTRINSIC)
        e = tracegroup_keys(g, n->req->table, give_key, n);
    else
        (void)tracenames_of(cols, n->req, NULL, give, n);
    *ret_stop = n->is_enough;
    return e;
}

static struct tracegroup_want want_of(const struct tracesource_names_request *req,
                                      struct tracegroup_key *key)
{
    if (req->attribute.len) {
        *key = (struct tracegroup_key){req->table, req->attribute};
        return (struct tracegroup_want){.keys = key, .n_keys = 1};
    }
    switch (req->intrinsic) {
    case TRACEQL_ROOT_NAME:
        return (struct tracegroup_want){.fields = TRACEGROUP_NAME | TRACEGROUP_TREE};
    case TRACEQL_ROOT_SERVICE:
        return (struct tracegroup_want){.fields = TRACEGROUP_TREE};
    default:
        return (struct tracegroup_want){.fields = tracewant_fields(req->intrinsic)};
    }
}

static struct err *look_into(struct naming *n, struct traceblock *b)
{
    const struct tracesource_names_request *req = n->req;
    bool is_all_time = tracestored_is_all_time(req->start_ns, req->end_ns);
    struct traceblock_query q = {.start_ns = is_all_time ? INT64_MIN : req->start_ns,
                                 .end_ns = req->end_ns,
                                 .cancel = req->cancel,
                                 .deadline_mono_ms = req->deadline_mono_ms};
    struct tracegroup_key key;
    struct tracegroup_want want = want_of(req, &key);

    memset(q.last, 0xff, sizeof(q.last));
    return traceblock_groups(b, n->arena, &q, &want, look, n, NULL);
}

/* Services stand in the index. *ret_done false: there are spans whose service it does not tell. */
static struct err *give_services(struct naming *n, const struct block_reader *r, bool *ret_done)
{
    struct block_names values;
    struct err *e = block_reader_label_values(r, n->arena, SLICE(TRACEBLOCK_SERVICE), &values);

    *ret_done = true;
    if (e)
        return e;
    for (size_t i = 0; i < values.n; i++) {
        if (slice_eq_cstr(values.ptr[i], TRACEBLOCK_NO_SERVICE))
            *ret_done = false;
        else if (!give(n, values.ptr[i], TRACECELL_STRING))
            break;
    }
    return NULL;
}

static struct err *look_at_block(struct naming *n, struct store_query *sq,
                                 const struct blockset_view *v, size_t i)
{
    bool asks_services =
        n->req->table == TRACE_RESOURCES && slice_eq_cstr(n->req->attribute, TRACEBLOCK_SERVICE);
    bool is_done = false;
    struct err *e = NULL;

    n->arena = arena_child(sq->opts.arena, 0);
    if (asks_services)
        e = give_services(n, v->readers[i], &is_done);
    if (!e && !is_done && !n->is_enough)
        e = look_into(n, v->traces[i]);
    if (!e && arena_over(sq->opts.arena))
        e = err_new(ERR_LIMIT,
                    "names in blocks of traces take more than max-query-memory (%zu "
                    "bytes): ask for less time",
                    arena_limit(sq->opts.arena));
    arena_free(n->arena);
    return err_wrap(e, "block %s", ulid_print(v->meta[i].ulid).s);
}

/* ---- all blocks ---- */

static struct err *look_at_all(struct naming *n, struct store_query *sq)
{
    struct arena *a = arena_child(sq->opts.arena, 0);
    struct blockset_view v = {0};
    struct err *e = tracestored_take(sq, a, n->req->start_ns, n->req->end_ns, NULL, 0, &v);

    for (size_t i = 0; i < v.n && !e && !n->is_enough; i++)
        e = look_at_block(n, sq, &v, i);
    store_release_traces(sq, &v);
    arena_free(a);
    return e;
}

/* What was given already comes again, which is allowed. */
struct err *tracestored_names(void *src, const struct tracesource_names_request *req,
                              tracesource_name_fn *fn, void *arg)
{
    const struct tracestored *of = src;
    struct naming n = {.req = req, .give = fn, .arg = arg};
    struct err *e = NULL;

    for (int attempt = 1; (e = look_at_all(&n, of->sq)) && err_is(e, ERR_NOT_FOUND); attempt++) {
        if (attempt == TRACESTORED_ATTEMPTS)
            return blockset_gone(e);
        err_free(e);
        store_traces_gone(of->sq);
    }
    return e;
}
