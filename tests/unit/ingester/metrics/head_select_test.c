#include "ingester/metrics/head_internal.h"
#include "tests/unit/ingester/metrics/head_fixture.h"

/* ---- matchers, names, limits ---- */

TEST(head_answers_matchers_names_and_values)
{
    struct fixture f = {0};
    struct arena *a = arena_new(0);
    struct head_names names;
    struct head_query q;

    fx_open(&f);
    push_one(&f, "__name__=up,job=a,i=1", T0, 1);
    push_one(&f, "__name__=up,job=b,i=2", T0, 1);
    push_one(&f, "__name__=up,i=3", T0, 1);
    push_one(&f, "__name__=cpu,job=ab,i=1", T0, 1);
#define SEL(want, ...)                                                                             \
    check_select(&f, (struct match_text[]){__VA_ARGS__},                                           \
                 sizeof((struct match_text[]){__VA_ARGS__}) / sizeof(struct match_text), want)
    SEL("up{i=\"1\", job=\"a\"}\n", {MATCHER_EQ, "__name__", "up"}, {MATCHER_EQ, "job", "a"});
    SEL("up{i=\"3\"}\n", {MATCHER_EQ, "__name__", "up"}, {MATCHER_EQ, "job", ""});
    SEL("up{i=\"1\", job=\"a\"}\nup{i=\"2\", job=\"b\"}\n", {MATCHER_EQ, "__name__", "up"},
        {MATCHER_NE, "job", ""});
    SEL("up{i=\"2\", job=\"b\"}\nup{i=\"3\"}\n", {MATCHER_EQ, "__name__", "up"},
        {MATCHER_NE, "job", "a"});
    SEL("cpu{i=\"1\", job=\"ab\"}\nup{i=\"1\", job=\"a\"}\n", {MATCHER_RE, "job", "a.*"});
    SEL("up{i=\"1\", job=\"a\"}\nup{i=\"2\", job=\"b\"}\n", {MATCHER_RE, "job", "a|b"});
    SEL("up{i=\"3\"}\n", {MATCHER_NRE, "job", "a.*|b"});
    SEL("up{i=\"1\", job=\"a\"}\nup{i=\"3\"}\n", {MATCHER_EQ, "__name__", "up"},
        {MATCHER_RE, "job", "a?"});
    SEL("", {MATCHER_EQ, "nope", "x"});
    SEL("", {MATCHER_EQ, "__name__", "up"}, {MATCHER_RE, "nope", ".+"});

    q = query_of(a, NULL, 0);
    CHECK_OK(head_label_names(f.head, &q, a, &names));
    CHECK_INT(names.n, 3);
    CHECK_SLICE(names.ptr[0], "__name__");
    CHECK_SLICE(names.ptr[2], "job");
    CHECK_OK(head_label_values(f.head, &q, SLICE("job"), a, &names));
    CHECK_INT(names.n, 3);
    CHECK_SLICE(names.ptr[1], "ab");
    q = query_of(a, (struct match_text[]){{MATCHER_EQ, "__name__", "up"}}, 1);
    CHECK_OK(head_label_values(f.head, &q, SLICE("job"), a, &names));
    CHECK_INT(names.n, 2);
    CHECK_SLICE(names.ptr[1], "b");
    matchers_done(q.matchers);
    q = query_of(a, (struct match_text[]){{MATCHER_EQ, "i", "3"}}, 1);
    CHECK_OK(head_label_names(f.head, &q, a, &names));
    CHECK_INT(names.n, 2);
    matchers_done(q.matchers);
    arena_free(a);
    fx_close(&f);
}

TEST(head_select_ends_at_its_budget_with_the_limit_s_value)
{
    struct fixture f = {0};
    struct head_query q = {
        .tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX, .max_series = 5};
    struct head_set *set;
    struct head_series s;
    uint64_t n = 0;

    fx_open(&f);
    fill(&f, 10, 0, 10, 15000);
    CHECK_ERR(head_select(f.head, &q, &set), ERR_LIMIT, "5 series");
    q.max_series = 10;
    q.max_bytes = 100;
    CHECK_ERR(head_select(f.head, &q, &set), ERR_LIMIT, "100 bytes");
    q.max_bytes = 0;
    for (q.shard_count = 3; q.shard_index < 3; q.shard_index++) {
        CHECK_OK(head_select(f.head, &q, &set));
        while (head_set_next(set, &s))
            n++;
        CHECK_OK(head_set_close(set));
    }
    CHECK_INT(n, 10);
    fx_close(&f);
}

TEST(head_status_counts_each_value_once)
{
    struct fixture f = {0};
    struct arena *a = arena_new(0);
    struct head_status st;
    struct head_names names;

    fx_open(&f);
    for (int i = 0; i < 20; i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "__name__=%s,job=j,i=%d", i < 15 ? "big" : "small", i);
        push_one(&f, text, T0, 1);
    }
    CHECK_OK(head_status_get(f.head, SLICE("t"), 2, a, &st));
    CHECK_INT(st.series, 20);
    CHECK_INT(st.n_by_metric, 2);
    CHECK_SLICE(st.by_metric[0].name, "big");
    CHECK_INT(st.by_metric[0].count, 15);
    CHECK_SLICE(st.by_label_values[0].name, "i");
    CHECK_INT(st.by_label_values[0].count, 20);
    CHECK_SLICE(st.by_label_values[1].name, "__name__");
    CHECK_INT(st.by_label_values[1].count, 2);
    CHECK_SLICE(st.by_label_pair[0].name, "job=j");
    CHECK_OK(head_tenants(f.head, a, &names));
    CHECK_INT(names.n, 1);
    CHECK_SLICE(names.ptr[0], "t");
    arena_free(a);
    fx_close(&f);
}

/* ---- ranges and pairs ---- */

TEST(head_names_honour_both_ends_of_the_range)
{
    struct fixture f = {0};
    struct arena *a = arena_new(0);
    struct head_query q = {.tenant = SLICE("t"), .min_ms = T0, .max_ms = T0 + 600000};
    struct head_names names;
    char text[64];

    fx_open(&f);
    for (int i = 0; i < 150; i++) /* more than a chunk, so that some are closed */
        push_one(&f, "__name__=old,job=a", T0 + i * 1000, i);
    for (int i = 0; i < 9000; i++) { /* more than a turn */
        (void)snprintf(text, sizeof(text), "__name__=new,job=b,i=%d", i);
        add(&f, text, T0 + 3600000, 1, true);
    }
    CHECK_OK(fx_push(&f, "t"));
    CHECK_OK(head_label_values(f.head, &q, SLICE("job"), a, &names));
    CHECK_INT(names.n, 1);
    CHECK_SLICE(names.ptr[0], "a");
    CHECK_OK(head_label_names(f.head, &q, a, &names));
    CHECK_INT(names.n, 2);
    q.max_ms = T0 + 3600000;
    CHECK_OK(head_label_values(f.head, &q, SLICE("job"), a, &names));
    CHECK_INT(names.n, 2);
    q.min_ms = INT64_MIN;
    q.max_ms = T0 - 1;
    CHECK_OK(head_label_values(f.head, &q, SLICE("job"), a, &names));
    CHECK_INT(names.n, 0);
    arena_free(a);
    fx_close(&f);
}

TEST(head_counts_the_series_of_label_pairs)
{
    struct match_text b_only = {MATCHER_EQ, "job", "b"};
    struct fixture f = {.shards = 4};
    struct arena *a = arena_new(0);
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct slice job = SLICE("job");
    struct head_pair_count *pairs;
    uint64_t series, n_pairs, chunks;
    char text[64];
    size_t n;

    fx_open(&f);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof(text), "__name__=m%d,job=%c,i=%d", i % 2, i < 200 ? 'a' : 'b',
                       i);
        push_one(&f, text, T0, 1);
    }
    CHECK_OK(head_pairs_list(f.head, &q, &job, a, &pairs, &n, &series));
    CHECK_INT(series, 300);
    CHECK_INT(n, 2);
    CHECK_SLICE(pairs[0].value, "a");
    CHECK_INT(pairs[0].series, 200);
    CHECK_INT(pairs[1].series, 100);
    CHECK_OK(head_pairs_list(f.head, &q, NULL, a, &pairs, &n, &series));
    CHECK_INT(n, 304);
    CHECK_SLICE(pairs[1].name, "__name__");
    CHECK_INT(pairs[1].series, 150);
    q = query_of(a, &b_only, 1);
    CHECK_OK(head_pairs_list(f.head, &q, NULL, a, &pairs, &n, &series));
    CHECK_INT(series, 100);
    CHECK_INT(n, 103);
    matchers_done(q.matchers);
    q.matchers = (struct matchers){0};
    q.tenant = SLICE("nobody");
    CHECK_OK(head_pairs_list(f.head, &q, NULL, a, &pairs, &n, &series));
    CHECK_INT(n + series, 0);
    CHECK_OK(head_count(f.head, SLICE("t"), &n_pairs, &chunks));
    CHECK_INT(chunks, 300);
    CHECK(n_pairs >= 304);
    arena_free(a);
    fx_close(&f);
}

/* ---- what instant aggregations ask for ---- */

static size_t count_select(struct fixture *f, struct matchers ms)
{
    struct head_query q = {
        .tenant = SLICE("t"), .matchers = ms, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    size_t n = 0;

    CHECK_OK(head_select(f->head, &q, &set));
    while (head_set_next(set, &s))
        n++;
    CHECK_OK(head_set_close(set));
    return n;
}

TEST(head_select_by_fingerprint_shows_the_labels_asked_for_and_the_newest_sample)
{
    const struct slice names[] = {SLICE("job")};
    struct head_query q = {.tenant = SLICE("t"),
                           .min_ms = 0,
                           .max_ms = 100000,
                           .is_keyed = true,
                           .names = names,
                           .n_names = 1,
                           .newest_only = true};
    struct hash128 last = {0};
    struct fixture f = {0};
    struct head_series s;
    struct head_set *set;
    size_t n = 0;

    fx_open(&f);
    for (int i = 0; i < 300; i++) {
        char text[64];

        snprintf(text, sizeof(text), "__name__=x,job=j%d,pod=p%03d", i % 3, i);
        add(&f, text, 1000, i, true);
        add(&f, text, 2000, i + 0.5, true);
    }
    CHECK_OK(fx_push(&f, "t"));
    CHECK_OK(head_select(f.head, &q, &set));
    for (; head_set_next(set, &s); n++) {
        int64_t t[4];
        double v[4];
        size_t k;

        CHECK(n == 0 || hash128_cmp(last, s.fp) < 0);
        last = s.fp;
        CHECK_INT(s.labels.n, 1);
        CHECK_SLICE(s.labels.ptr[0].name, "job");
        CHECK_INT(s.n_chunks, 1);
        CHECK_OK(chunk_xor_decode(s.chunks[0].data, 4, t, v, &k));
        CHECK_INT(k, 1);
        CHECK_INT(t[0], 2000);
    }
    CHECK_OK(head_set_close(set));
    CHECK_INT(n, 300);
    /* a range that ends before it: the whole chunk, for the newest in it is not at hand */
    q.max_ms = 1500;
    CHECK_OK(head_select(f.head, &q, &set));
    CHECK(head_set_next(set, &s) && chunk_samples(s.chunks[0].data) == 2);
    CHECK_OK(head_set_close(set));
    fx_close(&f);
}

TEST(head_remembers_regexes_and_sees_values_that_come_and_go)
{
    struct arena *a = arena_new(0);
    struct fixture f = {0};
    struct matcher re, nre;

    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("pod"), SLICE("p.*7"), &re));
    CHECK_OK(matcher_init(a, MATCHER_NRE, SLICE("pod"), SLICE("p.*7"), &nre));
    fx_open(&f);
    /* many values, so that there is something to remember in each shard */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++) {
            char text[64];

            snprintf(text, sizeof(text), "__name__=x,pod=p%d-%04d", round, i);
            add(&f, text, 1000 + round, i, true);
        }
        CHECK_OK(fx_push(&f, "t"));
        for (int again = 0; again < 2; again++) {
            CHECK_INT(count_select(&f, (struct matchers){&re, 1}), 200 * (round + 1));
            CHECK_INT(count_select(&f, (struct matchers){&nre, 1}), 1800 * (round + 1));
        }
    }
    /* all leave the head; their pairs go, and new ones take the ids */
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    for (int i = 0; i < 2000; i++) {
        char text[64];

        snprintf(text, sizeof(text), "__name__=y,pod=%04d-q", i);
        add(&f, text, 90000000, i, true);
    }
    CHECK_OK(fx_push(&f, "t"));
    /* in the segment still: 600 and 5400; in the head none that matches */
    CHECK_INT(count_select(&f, (struct matchers){&re, 1}), 600);
    CHECK_INT(count_select(&f, (struct matchers){&nre, 1}), 5400 + 2000);
    fx_close(&f);
    matcher_done(&re);
    matcher_done(&nre);
    arena_free(a);
}

struct regex_books {
    uint64_t hits, misses, evictions;
    int64_t entries, bytes;
};

static struct regex_books regex_books(struct fixture *f)
{
    struct regex_books all = {0};

    for (uint32_t i = 0; i < f->head->n_shards; i++) {
        const struct head_shard_metrics *m = &f->head->shards[i].m;

        all.hits += METRIC_GET(m->regex.hits);
        all.misses += METRIC_GET(m->regex.misses);
        all.evictions += METRIC_GET(m->regex.evictions);
        all.entries += METRIC_GET(m->regex.entries);
        all.bytes += METRIC_GET(m->regex.bytes);
    }
    return all;
}

static void ask_regex(struct fixture *f, struct arena *a, const char *regex, size_t want)
{
    struct matcher re;

    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("pod"), slice_cstr(regex), &re));
    CHECK_INT(count_select(f, (struct matchers){&re, 1}), want);
    matcher_done(&re);
}

TEST(head_counts_remembered_regexes_and_keeps_their_budget)
{
    struct arena *a = arena_new(0);
    struct fixture f = {0};
    struct regex_books b;
    int64_t max = 16 << 10;

    f.regex_cache_bytes = max;
    fx_open(&f);
    for (int i = 0; i < 4000; i++) {
        char text[64];

        snprintf(text, sizeof(text), "__name__=x,pod=p-%04d", i);
        add(&f, text, 1000, i, true);
    }
    CHECK_OK(fx_push(&f, "t"));
    ask_regex(&f, a, "p.*77", 40);
    b = regex_books(&f);
    CHECK(b.hits == 0 && b.misses == f.head->n_shards && b.evictions == 0);
    CHECK(b.entries == f.head->n_shards && b.bytes >= 160);
    ask_regex(&f, a, "p.*77", 40);
    b = regex_books(&f);
    CHECK(b.hits == f.head->n_shards && b.misses == f.head->n_shards);
    /* too much for the budget: it is answered, and not kept */
    ask_regex(&f, a, "p.*[0-9]", 4000);
    b = regex_books(&f);
    CHECK(b.bytes <= max && b.evictions > 0 && b.misses == 2 * f.head->n_shards);
    /* more than there is room for: the oldest goes */
    for (int i = 0; i < 12; i++) {
        char regex[16];

        snprintf(regex, sizeof(regex), "p.*%02d", i);
        ask_regex(&f, a, regex, 40);
        b = regex_books(&f);
        CHECK(b.bytes <= max && b.entries <= (int64_t)(HEAD_ACCEPTED_SLOTS * f.head->n_shards));
    }
    CHECK(b.evictions >= 4 * f.head->n_shards);
    ask_regex(&f, a, "p.*11", 40);
    CHECK_INT(regex_books(&f).hits, b.hits + f.head->n_shards);
    fx_close(&f);
    arena_free(a);
}
