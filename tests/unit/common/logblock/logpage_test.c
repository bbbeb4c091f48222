#include "common/base/num.h"
#include "common/base/rng.h"
#include "common/logblock/logpage.h"
#include "common/logs/jsonline.h"
#include "common/logs/logfmt.h"
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

/* Nanoseconds of 64 bits end in 2262: what is behind that, or before 1678, is a text. */
TEST(logpage_keeps_times_that_no_number_holds)
{
    static const char *const times[] = {"9999-12-31T23:59:59.999999999Z",
                                        "0001-01-01T00:00:00.000000000Z",
                                        "2262-04-12T00:00:00.000000000Z"};
    struct buf out = {0};

    for (size_t k = 0; k < ORR_COUNT(times); k++) {
        struct given *g = given_new();

        for (unsigned i = 0; i < 100; i++)
            give(g, 0, i,
                 slice_cstr(arena_printf(g->a, "session %u ends %s", i * 7919,
                                         i % 2 ? times[k] : "2026-11-30T00:00:00.123456789Z")));
        buf_reset(&out);
        check_roundtrip(g, &out);
        given_free(g);
    }
    buf_done(&out);
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

/* A part of some line, or something that is in few or none. */
static struct slice pick_needle(struct rng *r, const struct given *g)
{
    struct slice line = g->e[rng_below(r, g->n)].line;
    size_t at = rng_below(r, line.len + 1);

    switch (rng_below(r, 8)) {
    case 0:
        return SLICE("error");
    case 1:
        return SLICE("\":\"");
    default:
        return slice_sub(line, at, 1 + rng_below(r, rng_chance(r, 0.5) ? 8 : 40));
    }
}

static bool holds_any(struct slice line, const struct slice *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_find(line, texts[i], 0) >= 0)
            return true;
    return false;
}

static void check_needle(const struct given *g, struct slice page, struct slice needle)
{
    struct slice contexts[LOGPAGE_MAX_CONTEXTS];
    struct arena *a = arena_new(0);
    struct logpage *p;
    uint64_t set[LOGPAGE_WORDS(MAX_ENTRIES)];
    size_t n_contexts;
    bool is_lacked;

    CHECK_OK(logpage_open(a, page, &p));
    is_lacked = logpage_lacks(p, needle);
    n_contexts = logpage_contexts(p, needle, contexts);
    CHECK_OK(logpage_match(p, needle, set));
    for (uint32_t i = 0; i < g->n; i++) {
        bool is_in = slice_find(g->e[i].line, needle, 0) >= 0;

        if (logpage_has(set, i) != is_in || (is_in && is_lacked))
            test_fail(__FILE__, __LINE__, "%.*s in %.*s: %d%s", SLICE_ARG(needle),
                      SLICE_ARG(g->e[i].line), is_in, is_lacked ? ", lacked" : "");
        CHECK(!is_in || !n_contexts || holds_any(g->e[i].line, contexts, n_contexts));
    }
    arena_free(a);
}

/* As it is, and with a byte of it changed. */
static void check_needle_and_other(const struct given *g, struct slice page, struct slice needle,
                                   size_t at, char other)
{
    struct buf changed = {0};

    check_needle(g, page, needle);
    buf_slice_append(&changed, needle);
    changed.ptr[at] = (uint8_t)other;
    check_needle(g, page, buf_slice(&changed));
    buf_done(&changed);
}

TEST(logpage_finds_what_is_in_lines_and_nothing_else)
{
    struct rng r;

    rng_seed(&r, 11);
    for (int round = 0; round < 70; round++) {
        struct given *g = given_new();
        struct buf out = {0}, line = {0};

        for (size_t i = 0, n = 1 + rng_below(&r, 300); i < n; i++) {
            buf_reset(&line);
            logtext_line(&r, round % (LOGTEXT_KINDS + 1), &line);
            give(g, 0, (int64_t)i, buf_slice(&line));
        }
        build(g, &out);
        for (int k = 0; k < 60; k++)
            check_needle(g, buf_slice(&out), pick_needle(&r, g));
        check_needle(g, buf_slice(&out), SLICE_EMPTY);
        buf_done(&out);
        buf_done(&line);
        given_free(g);
    }
}

/* Of ids that are all there is to tell lines apart: lower and upper case, with places that never vary, an odd number of those that do.
 * Every part of one, alone and with what stands around it, and the same with a digit changed. */
TEST(logpage_finds_every_part_of_an_id)
{
    struct given *g = given_new();
    struct buf out = {0}, line = {0};
    struct slice one;
    struct rng r;

    rng_seed(&r, 12);
    for (int i = 0; i < 200; i++) {
        buf_reset(&line);
        buf_printf(&line, "trace=%08x%08x u=%08x-77%02x-4%03x up=%07XF end", rng_u32(&r),
                   rng_u32(&r), rng_u32(&r), rng_u32(&r) & 255, rng_u32(&r) & 4095,
                   rng_u32(&r) & 0xfffffff);
        give(g, 0, i, buf_slice(&line));
    }
    build(g, &out);
    one = g->e[77].line;
    for (size_t from = 0; from < one.len; from += 1 + from % 3)
        for (size_t to = from + 1; to <= one.len; to += 1 + to % 4)
            check_needle_and_other(g, buf_slice(&out), slice_sub(one, from, to - from),
                                   (to - from) / 2, "0aF-"[(from + to) % 4]);
    buf_done(&out);
    buf_done(&line);
    given_free(g);
}

/* Of values that come again in other company, numbers that others begin or end with, variables side by side: every part of a line
 * that goes over several of them, and the same with a byte changed. */
TEST(logpage_finds_what_lies_over_several_variables)
{
    struct given *g = given_new();
    struct buf out = {0}, line = {0};
    struct slice one;
    struct rng r;

    rng_seed(&r, 13);
    for (int i = 0; i < 250; i++) {
        buf_reset(&line);
        buf_printf(
            &line,
            "%u.1.%u.2 - - [29/Nov/2026:10:0%u:%02u +0000] ID=%u SPT=%u DPT=%u \xc3\xa9=%u.%u "
            "\"q%u\"\"r%u\" -%u",
            rng_u32(&r) % 30, rng_u32(&r) % 3, rng_u32(&r) % 6, rng_u32(&r) % 60,
            rng_u32(&r) % 1200, rng_u32(&r) % 12, rng_u32(&r) % 120, rng_u32(&r) % 9,
            rng_u32(&r) % 100, rng_u32(&r) % 100, rng_u32(&r) % 100, rng_u32(&r) % 40);
        give(g, 0, i, buf_slice(&line));
    }
    build(g, &out);
    one = g->e[123].line;
    for (size_t from = 0; from < one.len; from += 1 + from % 3)
        for (size_t to = from + 3; to <= one.len; to += 1 + to % 5)
            check_needle_and_other(g, buf_slice(&out), slice_sub(one, from, to - from),
                                   rng_below(&r, to - from), "019. -"[(from + to) % 6]);
    buf_done(&out);
    buf_done(&line);
    given_free(g);
}

/* More ways to lie over them than are followed: values of one digit that stand side by side. */
TEST(logpage_finds_what_lies_over_many_variables)
{
    struct given *g = given_new();
    struct buf out = {0}, line = {0};
    struct rng r;

    rng_seed(&r, 14);
    for (int i = 0; i < 120; i++) {
        buf_reset(&line);
        for (int k = 0; k < 40; k++)
            buf_printf(&line, "%s\"%u\"", k ? "" : "x=", rng_u32(&r) % 2 ? 1 : 11);
        give(g, 0, i, buf_slice(&line));
    }
    build(g, &out);
    for (size_t at = 0; at < 30; at++)
        for (size_t len = 10; len < 90; len += 7) {
            check_needle(g, buf_slice(&out), slice_sub(g->e[60 + at].line, at, len));
            check_needle(g, buf_slice(&out), slice_sub(g->e[at].line, at + 1, len));
        }
    buf_done(&out);
    buf_done(&line);
    given_free(g);
}

/* A page of lines with an id each; the last of another form, unless form is NULL. */
static size_t contexts_of(const char *form, struct slice needle, struct arena *a,
                          struct slice ret[LOGPAGE_MAX_CONTEXTS])
{
    struct given *g = given_new();
    struct buf out = {0}, line = {0};
    struct logpage *p;
    struct rng r;
    size_t n;

    rng_seed(&r, 3);
    for (int i = 0; i < 300; i++) {
        buf_reset(&line);
        buf_printf(&line, "level=%s trace_id=%08x%08x msg=\"%s\" took=%ums",
                   i % 3 ? "info" : "warn", rng_u32(&r), rng_u32(&r), i % 5 ? "cache hit" : "done",
                   rng_u32(&r) % 1000);
        give(g, 0, i, buf_slice(&line));
    }
    if (form)
        give(g, 0, 300, slice_cstr(form));
    build(g, &out);
    CHECK_OK(logpage_open(a, arena_dup(a, buf_slice(&out)), &p));
    CHECK(!logpage_lacks(p, needle));
    n = logpage_contexts(p, needle, ret);
    buf_done(&out);
    buf_done(&line);
    given_free(g);
    return n;
}

TEST(logpage_tells_what_would_stand_around_an_id)
{
    struct slice id = SLICE("0123456789abcdef"), texts[LOGPAGE_MAX_CONTEXTS];
    struct arena *a = arena_new(0);

    CHECK_INT(contexts_of(NULL, id, a, texts), 1);
    CHECK(slice_eq(texts[0], SLICE(" trace_id=0123456789abcdef msg=\"")));
    /* in a template, or only a part of a value */
    CHECK_INT(contexts_of("what is it? 0123456789abcdef", id, a, texts), 0);
    CHECK_INT(contexts_of(NULL, SLICE("0123456789abcde"), a, texts), 0);
    arena_free(a);
}

/* What a stage says of a name in a line. */
struct said {
    struct arena *a;
    struct slice name, value;
    unsigned n;
};

static bool hear(void *arg, struct slice key, struct slice value)
{
    struct said *s = arg;

    if (slice_eq(key, s->name)) {
        s->n++;
        s->value = arena_dup(s->a, value);
    }
    return true;
}

static bool ask_logfmt(struct slice line, struct said *s)
{
    struct logfmt it = logfmt_of(line);
    struct buf scratch = {0}, name = {0};
    struct slice key, value;
    enum logfmt_what what;
    bool ok = true;

    while ((what = logfmt_next(&it, &scratch, &key, &value)) != LOGFMT_END) {
        buf_reset(&name);
        jsonline_label_name(&name, key, true);
        ok &= what == LOGFMT_PAIR;
        if (what == LOGFMT_PAIR)
            (void)hear(s, buf_slice(&name), value);
    }
    buf_done(&scratch);
    buf_done(&name);
    return ok;
}

static void check_range(struct logpage_range r, const struct logpage_column *c, uint32_t i)
{
    CHECK(r.has_values);
    if (r.is_numeric)
        CHECK(c->num && c->num[i] >= r.min && c->num[i] <= r.max);
}

static void check_field(const struct given *g, struct slice page, enum logpage_stage stage,
                        const char *name)
{
    struct arena *a = arena_new(0);
    struct jsonline j = {0};
    struct logpage *p;
    struct logpage_column c;
    struct logpage_range range;
    const struct slice *texts;
    double v;

    CHECK_OK(logpage_open(a, page, &p));
    range = logpage_column_range(p, stage, slice_cstr(name));
    CHECK_OK(logpage_column(p, stage, slice_cstr(name), &c));
    CHECK_OK(logpage_column_text(p, &c, NULL, &texts));
    CHECK(range.has_unknown == (c.n_unknown > 0));
    for (uint32_t i = 0; i < g->n; i++) {
        struct said s = {.a = a, .name = slice_cstr(name)};
        bool ok;

        if (logpage_has(c.is_unknown, i)) {
            CHECK(!logpage_has(c.is_value, i));
            continue;
        }
        ok = stage == LOGPAGE_JSON ? jsonline_each(&j, g->e[i].line, hear, &s)
                                   : ask_logfmt(g->e[i].line, &s);
        if (!ok || s.n > 1 || (s.n == 1) != logpage_has(c.is_value, i) ||
            !slice_eq(s.value, texts[i]))
            test_fail(__FILE__, __LINE__, "%s of %.*s: %.*s, not %u of %.*s", name,
                      SLICE_ARG(g->e[i].line), SLICE_ARG(texts[i]), s.n, SLICE_ARG(s.value));
        if (s.n && c.num)
            CHECK(num_parse(texts[i], &v) && v == c.num[i]);
        if (s.n)
            check_range(range, &c, i);
    }
    jsonline_done(&j);
    arena_free(a);
}

TEST(logpage_fields_are_what_the_stages_say)
{
    static const char *const names[] = {"a",   "b",  "a_in", "latency_ms", "user_id", "_1x",
                                        "a_b", "id", "msg",  "took",       "nowhere"};
    struct rng r;

    rng_seed(&r, 17);
    for (int round = 0; round < 40; round++) {
        struct given *g = given_new();
        struct buf out = {0}, line = {0};

        for (size_t i = 0, n = 1 + rng_below(&r, 400); i < n; i++) {
            buf_reset(&line);
            if (round % 4 == 0) /* numbers and nulls */
                buf_printf(&line, rng_chance(&r, 0.1) ? "{\"a\":null,\"b\":%d.5}" : "{\"a\":%d}",
                           (int)rng_below(&r, 9000) - 100);
            else
                logtext_line(&r, round % (LOGTEXT_KINDS + 1), &line);
            give(g, 0, (int64_t)i, buf_slice(&line));
        }
        build(g, &out);
        for (size_t k = 0; k < ORR_COUNT(names); k++) {
            check_field(g, buf_slice(&out), LOGPAGE_JSON, names[k]);
            check_field(g, buf_slice(&out), LOGPAGE_LOGFMT, names[k]);
        }
        buf_done(&out);
        buf_done(&line);
        given_free(g);
    }
}

TEST(logpage_reads_one_field_as_numbers)
{
    struct given *g = given_new();
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct logpage *p;
    struct logpage_column c;
    struct logpage_range r;

    for (int i = 0; i < 1000; i++)
        give(g, 0, i,
             slice_cstr(arena_printf(g->a, "{\"id\":\"%x\",\"latency_ms\":%d}", i * 77777, i)));
    build(g, &out);
    CHECK_OK(logpage_open(a, buf_slice(&out), &p));
    r = logpage_column_range(p, LOGPAGE_JSON, SLICE("latency_ms"));
    CHECK(r.has_values && !r.has_unknown && r.is_numeric && r.min == 0 && r.max == 999);
    CHECK_OK(logpage_column(p, LOGPAGE_JSON, SLICE("latency_ms"), &c));
    CHECK_INT(c.n_values, 1000);
    CHECK(c.num);
    for (int i = 0; i < 1000; i++)
        CHECK(c.num[i] == i);
    buf_done(&out);
    arena_free(a);
    given_free(g);
}
