#include "common/base/rng.h"
#include "querier/logs/logsearch.h"
#include "querier/logs/logtable.h"
#include "tests/unit/test.h"

#define T0 1767225600000000000ll
#define DOCS 500

/* Documents of three streams, several of each millisecond: {"n":i%7,"s":"…"}, i in line "#i". */
static struct logtable *table_new(void)
{
    static const char *const apps[] = {"a", "b", "c"};
    struct logtable *t = logtable_new();
    struct rng r;

    rng_seed(&r, 1);
    for (int i = 0; i < DOCS; i++) {
        struct label app = {SLICE("app"), slice_cstr(apps[rng_below(&r, 3)])};
        char line[64];

        if (i % 5)
            snprintf(line, sizeof(line), "{\"i\":%d,\"n\":%d}", i, i % 7);
        else
            snprintf(line, sizeof(line), "{\"i\":%d,\"n\":\"x%d\"}", i, i % 3);
        logtable_add(t, (struct labels){&app, 1},
                     &(struct logsource_entry){.ts_ns = T0 + (int64_t)rng_below(&r, 100) * 300000,
                                               .line = slice_cstr(line)});
    }
    return t;
}

struct searched {
    struct arena *arena;
    struct esbody body;
    struct esplan plan;
    struct logsearch s;
    struct jsonval_doc *json;
};

static void search_within(struct searched *x, struct logtable *t, const char *body,
                          size_t limit_bytes)
{
    struct jsonval root;

    memset(x, 0, sizeof(*x));
    x->arena = arena_new(limit_bytes);
    esbody_init(&x->body, x->arena, T0);
    CHECK_OK(jsonval_parse(slice_cstr(body), 64, &x->json, &root));
    CHECK_OK(esbody_parse(&x->body, root));
    CHECK_OK(esbody_end(&x->body, 0));
    CHECK_OK(esplan_make(x->arena, x->body.query, NULL, 0, &x->plan));
    x->s = (struct logsearch){
        .body = &x->body, .plan = &x->plan, .limits = {.start_ns = 0, .end_ns = 2 * T0}};
    CHECK_OK(logsearch_run(&x->s, logtable_source(t), x->arena));
}

static void search(struct searched *x, struct logtable *t, const char *body)
{
    search_within(x, t, body, 0);
}

static void searched_done(struct searched *x)
{
    logsearch_done(&x->s);
    CHECK(arena_used(x->arena) < 64u << 20);
    esplan_done(&x->plan);
    esbody_done(&x->body);
    jsonval_free(x->json);
    arena_free(x->arena);
}

/* The member of each hit, parted by commas, e.g. "sort":[…]. */
static void put_hits(const struct searched *x, const char *from, const char *to, struct buf *out)
{
    for (size_t i = 0; i < x->s.n_hits; i++) {
        struct buf b = {0};
        ptrdiff_t at, end;

        logsearch_hit_json(&x->s, i, &b);
        at = slice_find(buf_slice(&b), slice_cstr(from), 0);
        CHECK(at >= 0);
        at += (ptrdiff_t)strlen(from);
        end = slice_find(buf_slice(&b), slice_cstr(to), (size_t)at);
        buf_str(out, out->len ? "," : "");
        buf_slice_append(out, slice_sub(buf_slice(&b), (size_t)at, (size_t)(end - at)));
        buf_done(&b);
    }
}

/* All hits at once and page by page are the same, in order. */
static void check_pages(const char *sort)
{
    struct logtable *t = table_new();
    struct buf all = {0}, paged = {0}, body = {0}, last = {0};
    struct searched x;

    buf_printf(&body, "{\"size\":%d,\"sort\":%s}", DOCS, sort);
    search(&x, t, buf_cstr(&body));
    CHECK_INT(x.s.n_hits, DOCS);
    put_hits(&x, "\"_id\":\"", "\"", &all);
    searched_done(&x);
    for (int i = 0; i < DOCS; i++) {
        size_t n;

        buf_reset(&body);
        buf_printf(&body, "{\"size\":37,\"track_total_hits\":%s,\"sort\":%s%s%.*s%s}",
                   i % 2 ? "false" : "true", sort, last.len ? ",\"search_after\":[" : "",
                   SLICE_ARG(buf_slice(&last)), last.len ? "]" : "");
        search(&x, t, buf_cstr(&body));
        if (x.body.track)
            CHECK_INT(x.s.total, DOCS);
        n = x.s.n_hits;
        put_hits(&x, "\"_id\":\"", "\"", &paged);
        if (n) {
            struct buf hit = {0};
            ptrdiff_t at;

            logsearch_hit_json(&x.s, n - 1, &hit);
            at = slice_find(buf_slice(&hit), SLICE("\"sort\":["), 0) + 8;
            buf_reset(&last);
            buf_append(&last, hit.ptr + at, hit.len - (size_t)at - 2);
            buf_done(&hit);
        }
        searched_done(&x);
        if (!n)
            break;
    }
    test_check_str(buf_slice(&paged), buf_slice(&all), sort, __FILE__, __LINE__);
    buf_done(&all);
    buf_done(&paged);
    buf_done(&body);
    buf_done(&last);
    logtable_free(t);
}

TEST(logsearch_pages_without_gaps)
{
    check_pages("[{\"@timestamp\":\"desc\"},{\"_doc\":\"desc\"}]");
    check_pages("[\"@timestamp\",\"_doc\"]");
    check_pages("[{\"n\":\"desc\"},{\"@timestamp\":\"asc\"},{\"_shard_doc\":\"asc\"}]");
    check_pages("[\"_score\",{\"@timestamp\":\"desc\"},{\"i\":\"asc\"}]");
}

TEST(logsearch_sorts_numbers_before_texts)
{
    struct logtable *t = table_new();
    struct searched x;
    struct buf b = {0};

    search(&x, t,
           "{\"size\":3,\"query\":{\"terms\":{\"i\":[1,5,3,0,2]}},\"sort\":[{\"n\":\"asc\"},{\"i\":"
           "\"asc\"}]}");
    put_hits(&x, "\"i\":", ",", &b);
    CHECK_SLICE(buf_slice(&b), "1,2,3");
    CHECK_INT(x.s.total, 5);
    searched_done(&x);
    buf_reset(&b);
    search(&x, t,
           "{\"size\":2,\"from\":1,\"query\":{\"terms\":{\"i\":[1,5,3,0,2]}},\"sort\":[{\"n\":"
           "\"desc\"},"
           "{\"i\":\"asc\"}]}");
    put_hits(&x, "\"i\":", ",", &b);
    CHECK_SLICE(buf_slice(&b), "0,3");
    searched_done(&x);
    buf_done(&b);
    logtable_free(t);
}

TEST(logsearch_reads_no_more_than_it_needs)
{
    struct logtable *t = table_new();
    struct searched x;

    search(&x, t, "{\"size\":3,\"track_total_hits\":false}");
    CHECK_INT(x.s.n_hits, 3);
    CHECK(x.s.stats.lines < 60);
    searched_done(&x);
    search(&x, t, "{\"size\":3,\"track_total_hits\":50}");
    CHECK(x.s.is_at_least && x.s.total == 50 && x.s.stats.lines < 300);
    searched_done(&x);
    search(&x, t, "{\"size\":0}");
    CHECK(!x.s.is_at_least && x.s.total == DOCS);
    searched_done(&x);
    logtable_free(t);
}

static void check_aggs(const char *aggs, const char *want)
{
    struct logtable *t = table_new();
    struct buf body = {0}, out = {0};
    struct searched x;

    buf_printf(&body, "{\"size\":0,\"query\":{\"range\":{\"i\":{\"lt\":20}}},\"aggs\":%s}", aggs);
    search(&x, t, buf_cstr(&body));
    CHECK_OK(esagg_run_json(x.s.aggs, &out, false));
    test_check_str(buf_slice(&out), slice_cstr(want), aggs, __FILE__, __LINE__);
    searched_done(&x);
    buf_done(&body);
    buf_done(&out);
    logtable_free(t);
}

TEST(logsearch_aggregates)
{
    check_aggs("{\"t\":{\"terms\":{\"field\":\"n\",\"size\":2,\"order\":{\"_key\":\"asc\"}}}}",
               "{\"t\":{\"doc_count_error_upper_bound\":0,\"sum_other_doc_count\":17,\"buckets\":["
               "{\"key\":\"x0\",\"doc_count\":2},{\"key\":\"x1\",\"doc_count\":1}]}}");
    check_aggs(
        "{\"h\":{\"histogram\":{\"field\":\"i\",\"interval\":8,\"extended_bounds\":{\"min\":-8,"
        "\"max\":20}},\"aggs\":{\"s\":{\"sum\":{\"field\":\"i\"}}}}}",
        "{\"h\":{\"buckets\":[{\"key\":-8.0,\"doc_count\":0,\"s\":{\"value\":0.0}},"
        "{\"key\":0.0,\"doc_count\":8,\"s\":{\"value\":28.0}},"
        "{\"key\":8.0,\"doc_count\":8,\"s\":{\"value\":92.0}},"
        "{\"key\":16.0,\"doc_count\":4,\"s\":{\"value\":70.0}}]}}");
    check_aggs(
        "{\"f\":{\"filters\":{\"filters\":{\"a\":{\"term\":{\"i\":3}}},\"other_bucket\":true}},"
        "\"m\":{\"missing\":{\"field\":\"z\"}},\"x\":{\"max\":{\"field\":\"z\"}}}",
        "{\"f\":{\"buckets\":{\"a\":{\"doc_count\":1},\"_other_\":{\"doc_count\":19}}},"
        "\"m\":{\"doc_count\":20},\"x\":{\"value\":null}}");
    check_aggs(
        "{\"d\":{\"date_histogram\":{\"field\":\"@timestamp\",\"calendar_interval\":\"1d\","
        "\"time_zone\":\"+02:00\",\"format\":\"yyyy-MM-dd HH:mm XXX\"}}}",
        "{\"d\":{\"buckets\":[{\"key_as_string\":\"2026-01-01 00:00 +02:00\",\"key\":1767218400000,"
        "\"doc_count\":20}]}}");
}

/* A key that comes twice: the later one counts. */
TEST(logsearch_takes_filters_that_come_twice)
{
    struct buf aggs = {0};

    buf_str(&aggs, "{\"f\":{\"filters\":{\"filters\":[");
    for (int i = 0; i < 200; i++)
        buf_printf(&aggs, "%s{\"term\":{\"i\":%d}}", i ? "," : "", i);
    buf_str(&aggs, "],\"filters\":{\"a\":{\"term\":{\"i\":3}},\"b\":{\"term\":{\"i\":99}}}}}}");
    check_aggs(buf_cstr(&aggs),
               "{\"f\":{\"buckets\":{\"a\":{\"doc_count\":1},\"b\":{\"doc_count\":0}}}}");
    buf_done(&aggs);
}

TEST(logsearch_prints_large_numbers_to_sort_by_as_they_are)
{
    struct logtable *t = logtable_new();
    struct label app = {SLICE("app"), SLICE("a")};
    struct searched x;
    struct buf b = {0};

    for (int i = 0; i < 3; i++) {
        char line[64];

        snprintf(line, sizeof(line), "{\"id\":%llu}", 18446744073709551613ull + (unsigned)i);
        logtable_add(t, (struct labels){&app, 1},
                     &(struct logsource_entry){.ts_ns = T0 + i, .line = slice_cstr(line)});
    }
    search(&x, t, "{\"sort\":[\"id\"]}");
    put_hits(&x, "\"sort\":[", "]", &b);
    CHECK_SLICE(buf_slice(&b), "18446744073709551613,18446744073709551614,18446744073709551615");
    searched_done(&x);
    buf_reset(&b);
    search(&x, t, "{\"sort\":[\"id\"],\"search_after\":[18446744073709551614]}");
    put_hits(&x, "\"sort\":[", "]", &b);
    CHECK_SLICE(buf_slice(&b), "18446744073709551615");
    searched_done(&x);
    buf_done(&b);
    logtable_free(t);
}

TEST(logsearch_stops_printing_at_its_deadline)
{
    struct logtable *t = table_new();
    struct searched x;

    search(&x, t, "{}");
    CHECK_OK(logsearch_look(&x.s));
    x.s.limits.deadline_mono_ms = 1;
    CHECK_ERR(logsearch_look(&x.s), ERR_TIMEOUT, "timed out");
    searched_done(&x);
    logtable_free(t);
}

static struct err *parse_body(size_t limit_bytes, const struct buf *text)
{
    struct arena *a = arena_new(limit_bytes);
    struct jsonval_doc *doc;
    struct jsonval root;
    struct esbody body;
    struct err *e;

    esbody_init(&body, a, T0);
    CHECK_OK(jsonval_parse(buf_slice(text), 64, &doc, &root));
    e = esbody_parse(&body, root);
    CHECK(arena_used(a) < 2 * limit_bytes);
    esbody_done(&body);
    jsonval_free(doc);
    arena_free(a);
    return e;
}

TEST(logsearch_bounds_what_a_body_takes)
{
    struct buf b = {0};

    buf_byte(&b, '{');
    for (int i = 0; i < 10000; i++)
        buf_printf(&b, "%s\"_source\":\"a\"", i ? "," : "");
    buf_byte(&b, '}');
    CHECK_ERR(parse_body(1 << 20, &b), ERR_LIMIT, "memory");
    buf_reset(&b);
    buf_str(&b, "{\"fields\":[\"");
    buf_fill(&b, '*', ESQUERY_MAX_FIELD + 1);
    buf_str(&b, "\"]}");
    CHECK_ERR(parse_body(1 << 20, &b), ERR_LIMIT, "a name has");
    buf_reset(&b);
    buf_str(&b, "{\"fields\":[{\"format\":\"epoch_millis\"}]}");
    CHECK_ERR(parse_body(1 << 20, &b), ERR_INVALID, "a name has");
    buf_done(&b);
}

/* The last date that there is, and the next bucket behind it: no time may overflow, or there is no end. */
TEST(logsearch_makes_buckets_at_the_end_of_time)
{
    /* 200000 days are a negative number of nanoseconds in 64 bits */
    static const char *const none[] = {"14000d", "200000d", "1micros", "0d", "1"};
    struct logtable *t = logtable_new();
    struct label app = {SLICE("app"), SLICE("a")};
    struct buf b = {0};
    struct searched x;

    logtable_add(t, (struct labels){&app, 1},
                 &(struct logsource_entry){.ts_ns = T0, .line = SLICE("{\"d\":4611686018000}")});
    search(&x, t,
           "{\"aggs\":{\"h\":{\"date_histogram\":{\"field\":\"d\",\"fixed_interval\":\"13000d\","
           "\"offset\":\"-13000d\",\"format\":\"yyyy\"}}}}");
    CHECK_OK(esagg_run_json(x.s.aggs, &b, false));
    CHECK_SLICE(buf_slice(&b), "{\"h\":{\"buckets\":[{\"key_as_string\":\"2112\",\"key\":"
                               "4492800000000,\"doc_count\":1}]}}");
    searched_done(&x);
    for (size_t i = 0; i < ORR_COUNT(none); i++) {
        buf_reset(&b);
        buf_printf(
            &b,
            "{\"aggs\":{\"h\":{\"date_histogram\":{\"field\":\"d\",\"fixed_interval\":\"%s\"}}}}",
            none[i]);
        CHECK_ERR(parse_body(1 << 20, &b), ERR_INVALID, "the interval is none");
    }
    buf_done(&b);
    logtable_free(t);
}

TEST(logsearch_refuses_too_many_buckets)
{
    struct logtable *t = table_new();
    struct buf out = {0};
    struct searched x;

    search(&x, t,
           "{\"size\":0,\"aggs\":{\"h\":{\"date_histogram\":{\"field\":\"@timestamp\",\"fixed_"
           "interval\":"
           "\"1ms\",\"extended_bounds\":{\"min\":0,\"max\":1}}}}}");
    CHECK_ERR(esagg_run_json(x.s.aggs, &out, false), ERR_LIMIT, "too many buckets");
    searched_done(&x);
    buf_done(&out);
    logtable_free(t);
}

/* Empty buckets are made while the answer is printed. */
TEST(logsearch_bounds_the_memory_of_empty_buckets)
{
    struct logtable *t = table_new();
    struct buf out = {0};
    struct searched x;

    search_within(&x, t,
                  "{\"size\":0,\"aggs\":{\"h\":{\"histogram\":{\"field\":\"i\",\"interval\":1,"
                  "\"extended_bounds\":{\"min\":0,\"max\":60000}}}}}",
                  4 << 20);
    CHECK_ERR(esagg_run_json(x.s.aggs, &out, false), ERR_LIMIT, "memory");
    CHECK(arena_used(x.arena) < 8 << 20);
    searched_done(&x);
    buf_done(&out);
    logtable_free(t);
}

/* What would change the answer and is not done is not passed over. */
TEST(logsearch_refuses_parameters)
{
    static const char *const names[] = {"source", "scroll", "terminate_after", "min_score"};
    struct arena *a = arena_new(0);
    struct esbody body;
    bool is_known;

    esbody_init(&body, a, T0);
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        CHECK_ERR(esbody_param(&body, slice_cstr(names[i]), SLICE("1"), &is_known), ERR_UNSUPPORTED,
                  names[i]);
    CHECK_OK(esbody_param(&body, SLICE("pretty"), SLICE(""), &is_known));
    CHECK(!is_known);
    esbody_done(&body);
    arena_free(a);
}
