#include "common/base/buf.h"
#include "querier/traces/tracedeps.h"
#include "tests/unit/test.h"

#define T0 1767225600000000000ll

struct span {
    uint64_t id, parent;
    uint8_t kind, status;
    const char *service;
};

static const struct tracecols *cols_of(struct arena *a, const struct span *spans, size_t n)
{
    struct tracebuild *b = tracebuild_new(a);

    for (size_t i = 0; i < n; i++) {
        struct slice s = slice_cstr(spans[i].service);

        (void)tracebuild_resource(b);
        if (s.len)
            tracebuild_attribute(b, TRACE_RESOURCES, SLICE("service.name"),
                                 &(struct tracevalue){.type = TRACECELL_STRING, .v.s = s});
    }
    (void)tracebuild_library(b, SLICE(""), SLICE(""));
    tracebuild_trace(b, (const uint8_t[16]){1});
    for (size_t i = 0; i < n; i++)
        (void)tracebuild_span(b, &(struct tracebuild_span){.span_id = spans[i].id,
                                                           .parent_id = spans[i].parent,
                                                           .kind = spans[i].kind,
                                                           .status = spans[i].status,
                                                           .name = SLICE("op"),
                                                           .message = SLICE(""),
                                                           .start_ns = T0 + (int64_t)i,
                                                           .end_ns = T0 + 100,
                                                           .resource = (uint32_t)i});
    return tracebuild_end(b);
}

static const char *text_of(struct tracedeps *d)
{
    static struct buf out;
    size_t n;
    const struct tracedeps_edge *e = tracedeps_edges(d, &n);

    buf_reset(&out);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%.*s>%.*s %llu/%llu ", SLICE_ARG(e[i].parent), SLICE_ARG(e[i].child),
                   (unsigned long long)e[i].calls, (unsigned long long)e[i].errors);
    return buf_cstr(&out);
}

static void gives(const struct span *spans, size_t n, const char *want)
{
    struct tracedeps *d = tracedeps_new();
    struct arena *a = arena_new(0);

    CHECK_OK(tracedeps_add(d, cols_of(a, spans, n)));
    CHECK_STR(text_of(d), want);
    tracedeps_free(d);
    arena_free(a);
}

TEST(tracedeps_counts_calls_between_services)
{
    gives((const struct span[]){{1, 0, 2, 0, "front"},
                                {2, 1, 3, 0, "front"},
                                {3, 2, 2, 2, "shop"},
                                {4, 2, 2, 0, "shop"},
                                {5, 4, 3, 0, "db"},
                                {6, 99, 2, 0, "lost"},
                                {7, 1, 2, 0, ""},
                                {8, 7, 2, 0, "behind nobody"}},
          8, "front>shop 2/1 shop>db 1/0 ");
}

/* The client's half of 2 is front's, the server's shop's: what is below is the server's, whatever came first. */
TEST(tracedeps_knows_the_halves_of_a_shared_span)
{
    gives(
        (const struct span[]){
            {1, 0, 2, 0, "front"}, {2, 1, 3, 0, "front"}, {2, 1, 2, 2, "shop"}, {3, 2, 3, 0, "db"}},
        4, "front>shop 1/1 shop>db 1/0 ");
    gives(
        (const struct span[]){
            {3, 2, 3, 0, "db"}, {2, 1, 2, 0, "shop"}, {2, 1, 3, 0, "front"}, {1, 0, 2, 0, "front"}},
        4, "front>shop 1/0 shop>db 1/0 ");
}

/* A cycle of parents, and a span that is its own. */
TEST(tracedeps_of_cycles)
{
    gives((const struct span[]){{1, 2, 2, 0, "a"}, {2, 1, 2, 0, "b"}, {3, 3, 3, 0, "c"}}, 3,
          "a>b 1/0 b>a 1/0 ");
}

TEST(tracedeps_refuses_more_edges_than_it_keeps)
{
    size_t n = TRACEDEPS_MAX + 2;
    struct span *spans = mem_calloc(n, sizeof(*spans));
    struct tracedeps *d = tracedeps_new();
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < n; i++)
        spans[i] = (struct span){i + 1, i ? 1 : 0, 2, 0, arena_printf(a, "s%zu", i)};
    CHECK_OK(tracedeps_add(d, cols_of(a, spans, n - 1)));
    CHECK_ERR(tracedeps_add(d, cols_of(a, spans, n)), ERR_LIMIT, "more than 10000 pairs");
    tracedeps_free(d);
    arena_free(a);
    mem_free(spans);
}
