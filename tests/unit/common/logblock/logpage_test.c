#include "common/base/rng.h"
#include "common/logblock/logpage.h"
#include "tests/unit/common/logblock/logtext.h"
#include "tests/unit/test.h"

#define MAX_ENTRIES 3000

/* Entries, and what keeps their bytes. */
struct given {
    struct arena *a;
    struct logpage_entry e[MAX_ENTRIES];
    size_t n;
};

static struct given *given_new(void)
{
    struct given *g = mem_new(struct given);

    g->a = arena_new(0);
    return g;
}

static void given_free(struct given *g)
{
    arena_free(g->a);
    mem_free(g);
}

static struct logpage_entry *give(struct given *g, uint32_t stream, int64_t ts, struct slice line)
{
    struct logpage_entry *e = &g->e[g->n++];

    CHECK(g->n <= MAX_ENTRIES);
    *e = (struct logpage_entry){.stream = stream, .ts_ns = ts, .line = arena_dup(g->a, line)};
    return e;
}

static void build(const struct given *g, struct buf *out)
{
    struct logpage_builder *b = logpage_builder_new();

    CHECK_OK(logpage_build(b, g->e, g->n, LOGPAGE_LEVEL, out, NULL));
    logpage_builder_free(b);
}

static void check_runs(struct logpage *p, const struct given *g)
{
    const struct logpage_run *runs;
    const int64_t *times;
    size_t n;

    CHECK_OK(logpage_runs(p, &runs, &n));
    CHECK_OK(logpage_times(p, &times));
    for (size_t k = 0; k < n; k++)
        for (uint32_t i = runs[k].first; i < runs[k].first + runs[k].n; i++)
            CHECK_INT(g->e[i].stream, runs[k].stream);
    for (size_t i = 0; i < g->n; i++)
        CHECK_INT(times[i], g->e[i].ts_ns);
}

static void check_same(struct arena *a, struct logpage *p, const struct given *g)
{
    struct slice *lines = arena_array(a, struct slice, g->n);
    struct labels *meta = arena_array(a, struct labels, g->n);

    CHECK_INT(logpage_n_entries(p), g->n);
    check_runs(p, g);
    CHECK_OK(logpage_lines(p, NULL, 0, (uint32_t)g->n, lines));
    CHECK_OK(logpage_meta(p, NULL, 0, (uint32_t)g->n, meta));
    for (size_t i = 0; i < g->n; i++) {
        if (!slice_eq(lines[i], g->e[i].line))
            test_fail(__FILE__, __LINE__, "line %zu: %.*s, not %.*s", i, SLICE_ARG(lines[i]),
                      SLICE_ARG(g->e[i].line));
        CHECK(labels_eq(meta[i], g->e[i].meta));
    }
}

/* In and out again; the page is left in out. */
static void check_roundtrip(const struct given *g, struct buf *out)
{
    struct arena *a = arena_new(0);
    struct logpage *p;

    build(g, out);
    CHECK_OK(logpage_open(a, buf_slice(out), &p));
    check_same(a, p, g);
    arena_free(a);
}

TEST(logpage_one_line)
{
    struct given *g = given_new();
    struct buf out = {0};

    give(g, 7, 123456789, SLICE("hello"));
    check_roundtrip(g, &out);
    buf_done(&out);
    given_free(g);
}

TEST(logpage_lines_of_any_kind_come_back)
{
    struct rng r;

    rng_seed(&r, 1);
    for (int round = 0; round < 60; round++) {
        struct given *g = given_new();
        struct buf out = {0}, line = {0};
        size_t n = 1 + rng_below(&r, round % 10 ? 200 : MAX_ENTRIES);
        int64_t ts = (int64_t)(rng_u64(&r) >> 1);
        uint32_t stream = 0;

        for (size_t i = 0; i < n; i++) {
            buf_reset(&line);
            logtext_line(&r, round % (LOGTEXT_KINDS + 1), &line);
            if (rng_chance(&r, 0.02))
                stream += 1 + rng_u32(&r) % 5, ts = (int64_t)rng_u64(&r) / 2;
            ts += (int64_t)rng_below(&r, 1000000000);
            give(g, stream, ts, buf_slice(&line));
        }
        check_roundtrip(g, &out);
        buf_done(&out);
        buf_done(&line);
        given_free(g);
    }
}

TEST(logpage_keeps_structured_metadata)
{
    struct given *g = given_new();
    struct buf out = {0};
    struct rng r;

    rng_seed(&r, 3);
    for (int i = 0; i < 500; i++) {
        struct logpage_entry *e = give(g, 1, i, SLICE("x"));
        struct label *l = arena_array(g->a, struct label, 3);
        size_t n = 0;

        if (rng_chance(&r, 0.8))
            l[n++] =
                (struct label){SLICE("a"), slice_cstr(arena_printf(g->a, "%08x", rng_u32(&r)))};
        if (rng_chance(&r, 0.8))
            l[n++] = (struct label){SLICE("ab"), SLICE("same")};
        if (rng_chance(&r, 0.5))
            l[n++] =
                (struct label){SLICE("b"), slice_cstr(arena_printf(g->a, "v%u", rng_u32(&r) % 9))};
        e->meta = (struct labels){l, n};
    }
    check_roundtrip(g, &out);
    buf_done(&out);
    given_free(g);
}

TEST(logpage_more_sets_of_names_than_templates)
{
    struct logpage_builder *b = logpage_builder_new();
    struct arena *a = arena_new(0);
    struct logpage_entry *e = arena_array(a, struct logpage_entry, 6000);
    struct labels *meta = arena_array(a, struct labels, 6000);
    struct buf out = {0};
    struct logpage *p;

    for (int i = 0; i < 6000; i++) {
        struct label *l = arena_array(a, struct label, 1);

        l[0] = (struct label){slice_cstr(arena_printf(a, "n%d", i)), SLICE("v")};
        e[i] = (struct logpage_entry){.ts_ns = i, .line = SLICE("y"), .meta = {l, 1}};
    }
    CHECK_OK(logpage_build(b, e, 6000, 1, &out, NULL));
    CHECK_OK(logpage_open(a, buf_slice(&out), &p));
    CHECK_OK(logpage_meta(p, NULL, 0, 6000, meta));
    for (int i = 0; i < 6000; i++)
        CHECK(labels_eq(meta[i], e[i].meta));
    logpage_builder_free(b);
    buf_done(&out);
    arena_free(a);
}

TEST(logpage_gives_only_what_is_wanted)
{
    struct given *g = given_new();
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct slice lines[100];
    uint64_t want[LOGPAGE_WORDS(300)] = {0};
    struct logpage *p;

    for (int i = 0; i < 300; i++)
        give(g, 1, i, slice_cstr(arena_printf(g->a, "user %d did %d things", i * 7, i % 11)));
    build(g, &out);
    want[2] = 0x8001; /* entries 128 and 143 */
    CHECK_OK(logpage_open(a, buf_slice(&out), &p));
    CHECK_OK(logpage_lines(p, want, 100, 100, lines));
    for (uint32_t i = 0; i < 100; i++)
        if (i == 28 || i == 43)
            CHECK(slice_eq(lines[i], g->e[100 + i].line));
        else
            CHECK(lines[i].ptr == NULL);
    buf_done(&out);
    arena_free(a);
    given_free(g);
}

TEST(logpage_refuses_what_is_out_of_order_or_too_much)
{
    struct logpage_builder *b = logpage_builder_new();
    struct logpage_entry e[2] = {{.stream = 1, .ts_ns = 2}, {.stream = 1, .ts_ns = 1}};
    struct buf out = {0};

    CHECK_ERR(logpage_build(b, e, 0, 3, &out, NULL), ERR_INVALID, "no entries");
    CHECK_ERR(logpage_build(b, e, 2, 3, &out, NULL), ERR_INVALID, "out of order");
    e[0].line = slice_of("", LOGPAGE_MAX_BYTES + 1ull);
    CHECK_ERR(logpage_build(b, e, 1, 3, &out, NULL), ERR_TOO_LARGE, "bytes");
    e[0].line = SLICE("abc");
    out.max_bytes = 10;
    CHECK_ERR(logpage_build(b, e, 1, 3, &out, NULL), ERR_TOO_LARGE, "10 bytes");
    CHECK_INT(out.len, 0);
    logpage_builder_free(b);
    buf_done(&out);
}

/* Each byte that is changed is noticed, or changes nothing. */
TEST(logpage_notices_broken_bytes)
{
    struct given *g = given_new();
    struct buf out = {0};
    struct rng r;

    rng_seed(&r, 5);
    for (int i = 0; i < 200; i++) {
        struct buf line = {0};

        logtext_line(&r, i % LOGTEXT_KINDS, &line);
        give(g, 1, i * 1000, buf_slice(&line));
        buf_done(&line);
    }
    build(g, &out);
    for (size_t at = 0; at < out.len; at += 1 + rng_below(&r, 40)) {
        struct arena *a = arena_new(64 << 20);
        struct slice lines[200];
        struct logpage *p;
        uint8_t was = out.ptr[at];
        struct err *e;

        out.ptr[at] ^= (uint8_t)(1 + rng_below(&r, 255));
        e = logpage_open(a, buf_slice(&out), &p);
        if (!e)
            e = logpage_lines(p, NULL, 0, 200, lines);
        for (size_t i = 0; !e && i < 200; i++)
            CHECK(slice_eq(lines[i], g->e[i].line));
        err_free(e);
        out.ptr[at] = was;
        arena_free(a);
    }
    buf_done(&out);
    given_free(g);
}
