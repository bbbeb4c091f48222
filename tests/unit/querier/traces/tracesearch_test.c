/* The newest traces, of sources that have parts of them: what is too old for those that are kept already is not asked for, and no trace is taken for newer than it is. */
#include "querier/traces/tracejoin.h"
#include "querier/traces/tracesearch.h"
#include "tests/unit/querier/traces/random_traces.h"

static void add_span(struct tracepool *pool, uint8_t id, uint64_t span_id, uint64_t start_ns)
{
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};
    struct tracepiece_span span = {
        .span_id = span_id, .name = SLICE("a"), .start_ns = start_ns, .end_ns = start_ns + 10};
    struct tracepiece p = {.trace_id = {id, 1},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &resource,
                           .scopes = &scope,
                           .spans = &span};

    add(pool, &p);
}

/* A source that remembers from when on it was asked. */
struct noting {
    struct tracesource of;
    int64_t least_ns, most_ns;
};

static struct err *note_select(void *src, struct arena *a, const struct tracesource_request *req,
                               struct tracesource_set **ret)
{
    struct noting *n = src;

    n->least_ns = ORR_MIN(n->least_ns, req->start_ns);
    n->most_ns = ORR_MAX(n->most_ns, req->start_ns);
    return tracesource_select(&n->of, a, req, ret);
}

/* Starts of what is found, newest first. */
static void check_starts(const struct tracesource *source, uint32_t limit, unsigned ranges,
                         const int64_t *starts, size_t n)
{
    struct arena *a = arena_new(0);
    struct tracesearch_result found;
    struct traceql q;

    CHECK_OK(traceql_parse(a, SLICE("{ name = \"a\" }"), &q));
    CHECK_OK(tracesearch(
        &(struct tracesearch_opts){
            .scan = {.source = source, .req = {.end_ns = INT64_MAX}, .ranges = ranges, .arena = a},
            .query = &q,
            .limit = limit},
        &found));
    CHECK_INT(found.n, n);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(found.hits[i].start_ns, starts[i]);
    tracesearch_done(&found);
    arena_free(a);
}

TEST(tracesearch_asks_for_nothing_that_is_too_old)
{
    static const struct tracesource_ops ops = {.select = note_select};
    struct tracepool *pool = tracepool_new();
    struct noting n = {.least_ns = INT64_MAX};
    struct tracesource noting = {.ops = &ops, .src = &n};

    add_span(pool, 0x01, 1, 2000);
    add_span(pool, 0x02, 1, 3000);
    add_span(pool, 0x80, 1, 1000);
    add_span(pool, 0xf0, 1, 4000);
    tracepool_end(pool);
    n.of = tracepool_source(pool);
    check_starts(&noting, 2, 16, (const int64_t[]){4000, 3000}, 2);
    CHECK_INT(n.least_ns, 0);
    CHECK_INT(n.most_ns, 2000);
    n.most_ns = 0;
    check_starts(&noting, 5, 16, (const int64_t[]){4000, 3000, 2000, 1000}, 4);
    CHECK_INT(n.most_ns, 0); /* there might be room for any */
    tracepool_free(pool);
}

/* The last trace has its first span in one source and its last one in the other: by that alone it would be the newest. */
TEST(tracesearch_takes_no_trace_for_newer_than_it_is)
{
    struct tracepool *pools[2] = {tracepool_new(), tracepool_new()};
    struct tracesource sources[2], all;
    struct tracejoin join = {sources, 2};

    add_span(pools[0], 0x01, 1, 2000);
    add_span(pools[0], 0x02, 1, 3000);
    add_span(pools[0], 0xf0, 1, 100);
    add_span(pools[1], 0xf0, 2, 5000);
    for (size_t i = 0; i < 2; i++) {
        tracepool_end(pools[i]);
        sources[i] = tracepool_source(pools[i]);
    }
    all = tracejoin_source(&join);
    for (unsigned ranges = 1; ranges <= 256; ranges *= 2) {
        check_starts(&all, 2, ranges, (const int64_t[]){3000, 2000}, 2);
        check_starts(&all, 1, ranges, (const int64_t[]){3000}, 1);
        check_starts(&all, 3, ranges, (const int64_t[]){3000, 2000, 100}, 3);
    }
    for (size_t i = 0; i < 2; i++)
        tracepool_free(pools[i]);
}
