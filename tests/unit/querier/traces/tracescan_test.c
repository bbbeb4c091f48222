/*
 * Traces cut in pieces and spread over sources, with repeats: scans find what the whole traces have, with and without hints, in
 * one range of ids or in many.
 */
#include "querier/traces/tracejoin.h"
#include "tests/unit/querier/traces/random_traces.h"

#define N_SOURCES 3

struct world {
    struct tracepool *tables[N_SOURCES], *whole;
    struct tracesource sources[N_SOURCES];
    struct tracejoin join;
};

/* Each span in one source at least, some in two. */
static void scatter(struct world *w, struct arena *a, struct rng *r, const struct tracepiece *p)
{
    for (size_t k = 0; k < N_SOURCES; k++) {
        struct tracepiece part = *p;

        part.spans = arena_array(a, struct tracepiece_span, p->n_spans);
        part.n_spans = 0;
        for (uint32_t i = 0; i < p->n_spans; i++)
            if (i % N_SOURCES == k || rng_chance(r, 0.2))
                part.spans[part.n_spans++] = p->spans[i];
        if (part.n_spans)
            add(w->tables[k], &part);
    }
}

static void world_init(struct world *w, struct arena *a, struct rng *r)
{
    w->whole = tracepool_new();
    for (size_t k = 0; k < N_SOURCES; k++)
        w->tables[k] = tracepool_new();
    for (uint8_t id = 1; id < 30; id++) {
        struct tracepiece p = random_trace(a, r, id);

        add(w->whole, &p);
        scatter(w, a, r, &p);
    }
    tracepool_end(w->whole);
    for (size_t k = 0; k < N_SOURCES; k++) {
        tracepool_end(w->tables[k]);
        w->sources[k] = tracepool_source(w->tables[k]);
    }
    w->join = (struct tracejoin){w->sources, N_SOURCES};
}

static void world_done(struct world *w)
{
    tracepool_free(w->whole);
    for (size_t k = 0; k < N_SOURCES; k++)
        tracepool_free(w->tables[k]);
}

static void check(struct world *w, struct arena *a, const struct traceql *q, const char *text)
{
    struct tracesource whole = tracepool_source(w->whole), all = tracejoin_source(&w->join);
    struct tracecond cond = tracecond_of(a, q);
    struct buf want = search(&whole, q, (struct tracecond){0}, 1);

    for (unsigned ranges = 1; ranges <= 256; ranges *= 16)
        for (int hinted = 0; hinted < 2; hinted++) {
            struct buf got = search(&all, q, hinted ? cond : (struct tracecond){0}, ranges);

            if (!slice_eq(buf_slice(&got), buf_slice(&want)))
                test_fail(__FILE__, __LINE__, "%s in %u ranges, hinted %d:\n%s\nnot\n%s", text,
                          ranges, hinted, buf_cstr(&got), buf_cstr(&want));
            buf_done(&got);
        }
    buf_done(&want);
}

TEST(tracescan_finds_over_pieces_what_whole_traces_have)
{
    struct rng r;
    size_t n_valid = 0, n_hinted = 0;

    rng_seed(&r, 3);
    for (int round = 0; round < 30; round++) {
        struct arena *a = arena_new(0);
        struct world w;

        world_init(&w, a, &r);
        for (int i = 0; i < 25; i++) {
            struct buf query = {0};
            struct traceql q;
            struct err *e;

            put_spanset(&query, &r, 2);
            e = traceql_parse(a, buf_slice(&query), &q);
            if (!e) {
                n_valid++;
                n_hinted += tracecond_of(a, &q).n > 0;
                check(&w, a, &q, buf_cstr(&query));
            }
            err_free(e); /* types that do not go together */
            buf_done(&query);
        }
        world_done(&w);
        arena_free(a);
    }
    CHECK(n_valid > 150);
    CHECK(n_hinted > 60);
}

/* A source behind which another one is, that counts the questions for ids alone. */
struct counting {
    struct tracesource of;
    unsigned selects, for_ids, with_filters;
};

static struct err *count_select(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_set **ret)
{
    struct counting *c = src;

    c->selects++;
    c->for_ids += req->ids_only;
    c->with_filters += req->n_filters > 0;
    return tracesource_select(&c->of, a, req, ret);
}

TEST(tracescan_asks_for_ids_first_only_who_heeds_filters)
{
    static const struct tracesource_ops ops = {.select = count_select};
    struct arena *a = arena_new(0);
    struct rng r;
    struct world w;
    struct traceql q;
    struct tracecond cond;
    struct buf first = {0};

    rng_seed(&r, 5);
    world_init(&w, a, &r);
    CHECK_OK(traceql_parse(a, SLICE("{ status = error }"), &q));
    cond = tracecond_of(a, &q);
    CHECK(cond.n > 0);
    for (int heeds = 0; heeds < 2; heeds++) {
        struct counting c = {tracepool_source(w.whole), 0, 0, 0};
        struct tracesource both[] = {{.ops = &ops, .src = &c, .has_filters = heeds}};
        struct tracejoin join = {both, 1};
        struct tracesource all = tracejoin_source(&join);
        struct buf got = search(&all, &q, cond, 1);

        CHECK_INT(all.has_filters, heeds);
        CHECK_INT(c.selects, heeds ? 2 : 1);
        CHECK_INT(c.for_ids, heeds);
        CHECK_INT(c.with_filters, heeds);
        CHECK(got.len > 0);
        if (heeds)
            CHECK(slice_eq(buf_slice(&got), buf_slice(&first)));
        else
            buf_slice_append(&first, buf_slice(&got));
        buf_done(&got);
    }
    buf_done(&first);
    world_done(&w);
    arena_free(a);
}

TEST(tracescan_finds_one_trace)
{
    struct arena *a = arena_new(0);
    struct tracesource all;
    struct tracepiece got;
    struct rng r;
    struct world w;

    rng_seed(&r, 5);
    world_init(&w, a, &r);
    all = tracejoin_source(&w.join);
    for (uint8_t id = 1; id < 30; id++) {
        uint8_t bytes[16] = {(uint8_t)(id * 37), id};
        struct tracescan_opts opts = {.source = &all, .req = {.end_ns = INT64_MAX}, .arena = a};

        CHECK_OK(tracescan_find(&opts, bytes, &got));
        CHECK(got.n_spans > 0 && !memcmp(got.trace_id, bytes, 16));
        for (uint32_t i = 0; i < got.n_spans; i++)
            CHECK_INT(got.spans[i].span_id, i + 1);
        bytes[15] = 1;
        CHECK_OK(tracescan_find(&opts, bytes, &got));
        CHECK_INT(got.n_spans, 0);
    }
    world_done(&w);
    arena_free(a);
}

TEST(tracescan_keeps_within_its_memory)
{
    struct arena *a = arena_new(0), *small = arena_new(2000);
    struct tracescan_stats stats = {0};
    struct tracesource all;
    struct traceql q;
    struct buf out = {0};
    struct rng r;
    struct world w;

    rng_seed(&r, 5);
    world_init(&w, a, &r);
    all = tracejoin_source(&w.join);
    CHECK_OK(traceql_parse(a, SLICE("{}"), &q));
    CHECK_ERR(
        tracescan(
            &(struct tracescan_opts){.source = &all, .req = {.end_ns = INT64_MAX}, .arena = small},
            find, &(struct finding){&q.pipeline, &out}, &stats),
        ERR_LIMIT, "max-query-memory");
    buf_done(&out);
    world_done(&w);
    arena_free(small);
    arena_free(a);
}

static bool take_name(void *arg, struct slice s, enum tracecell_type type)
{
    buf_printf(arg, "%.*s/%d ", SLICE_ARG(s), type);
    return true;
}

TEST(tracesources_offer_names_and_values)
{
    struct arena *a = arena_new(0);
    struct tracesource source;
    struct buf out = {0};
    struct rng r;
    struct world w;

    rng_seed(&r, 9);
    world_init(&w, a, &r);
    source = tracepool_source(w.whole);
    CHECK_OK(tracesource_names(
        &source, &(struct tracesource_names_request){.end_ns = INT64_MAX, .table = TRACE_SPANS},
        take_name, &out));
    CHECK(strstr(buf_cstr(&out), "x/3 ") && strstr(buf_cstr(&out), "z/3 "));
    buf_reset(&out);
    CHECK_OK(tracesource_names(
        &source,
        &(struct tracesource_names_request){.end_ns = INT64_MAX, .intrinsic = TRACEQL_SPAN_STATUS},
        take_name, &out));
    CHECK(strstr(buf_cstr(&out), "error/0 ") && strstr(buf_cstr(&out), "unset/0 "));
    buf_reset(&out);
    CHECK_OK(tracesource_names(
        &source,
        &(struct tracesource_names_request){
            .end_ns = INT64_MAX, .table = TRACE_SPANS, .attribute = SLICE("y"), .max = 2},
        take_name, &out));
    CHECK_INT(slice_find(slice_from(buf_slice(&out), 0), SLICE("/"), 0) > 0, 1);
    buf_done(&out);
    world_done(&w);
    arena_free(a);
}
