#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/vec.h"
#include "common/block/chunk.h"
#include "common/model/labels.h"
#include "ingester/metrics/head.h"
#include "tests/unit/test.h"

/* ---- a head on a log, and pushes that wait ---- */

struct fixture {
    struct wal *wal;
    struct head *head;
    struct clock_fake clock;
    struct batch_writer w;
    struct batch_reply reply; /* of the last push */
    struct buf canonical;
    unsigned shards;
    struct head_limits limits;
    int64_t replay_queue_bytes, memory_chunk_bytes;
};

static void fx_open_only(struct fixture *f)
{
    struct head_opts opts = {.dir = tmp_path("data"),
                             .shards = f->shards ? f->shards : 2,
                             .clock = &f->clock.clock,
                             .memory_chunk_bytes = f->memory_chunk_bytes,
                             .replay_queue_bytes = f->replay_queue_bytes};

    CHECK_OK(
        wal_open(&(struct wal_opts){.dir = tmp_path("data"), .segment_bytes = 4 << 20}, &f->wal));
    opts.wal = f->wal;
    CHECK_OK(head_open(&opts, &f->head));
}

static void fx_open(struct fixture *f)
{
    clock_fake_init(&f->clock, 1700000000ll * NS_PER_S);
    fx_open_only(f);
    CHECK_OK(head_wait_ready(f->head));
}

static void fx_crash(struct fixture *f)
{
    head_abandon(f->head);
    CHECK_OK(wal_close(f->wal));
}

static void fx_close(struct fixture *f)
{
    CHECK_OK(head_close(f->head));
    CHECK_OK(wal_close(f->wal));
    batch_reply_done(&f->reply);
    batch_writer_done(&f->w);
    buf_done(&f->canonical);
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
    struct err *err;
    struct batch_reply *into;
};

static void on_done(void *arg, struct err *e, struct batch_reply *reply)
{
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mutex);
    w->err = e;
    *w->into = *reply;
    *reply = (struct batch_reply){0};
    w->is_done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static struct err *fx_push_bytes(struct fixture *f, const char *tenant, struct slice bytes)
{
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, NULL, &f->reply};
    struct err *e;

    batch_reply_done(&f->reply);
    e = head_push(f->head, slice_cstr(tenant), bytes, &f->limits, on_done, &w);
    if (e)
        return e;
    pthread_mutex_lock(&w.mutex);
    while (!w.is_done)
        pthread_cond_wait(&w.cond, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    return w.err;
}

/* Pushes what the writer holds and empties it. */
static struct err *fx_push(struct fixture *f, const char *tenant)
{
    struct buf b = {0};
    struct err *e;

    batch_finish(&f->w, &b);
    e = fx_push_bytes(f, tenant, buf_slice(&b));
    buf_done(&b);
    return e;
}

/* "a=1,b=2" → labels in test memory (leaks nothing: static room). */
static struct labels parse_labels(const char *text, struct label *ls)
{
    struct slice rest = slice_cstr(text), part, name;
    size_t n = 0;

    while (slice_split(&rest, ',', &part)) {
        CHECK(slice_split(&part, '=', &name));
        ls[n++] = (struct label){name, part};
    }
    CHECK(labels_sort(ls, n, &name));
    return (struct labels){ls, n};
}

static struct hash128 fp_of(const char *text)
{
    struct label ls[32];

    return labels_fingerprint(parse_labels(text, ls));
}

static void add(struct fixture *f, const char *text, int64_t t_ms, double v, bool with_labels)
{
    struct label ls[32];
    struct labels labels = parse_labels(text, ls);

    if (!with_labels) {
        batch_sample(&f->w, labels_fingerprint(labels), t_ms, v);
        return;
    }
    buf_reset(&f->canonical);
    labels_canonical(&f->canonical, labels);
    batch_series_begin(&f->w, labels_fingerprint(labels));
    batch_series_labels(&f->w, buf_slice(&f->canonical));
    batch_series_sample(&f->w, t_ms, v);
    batch_series_end(&f->w);
}

static void push_one(struct fixture *f, const char *text, int64_t t_ms, double v)
{
    add(f, text, t_ms, v, true);
    CHECK_OK(fx_push(f, "t"));
    CHECK_INT(batch_rejected(&f->reply), 0);
    CHECK_INT(f->reply.unknown.len, 0);
}

/* ---- reading back as text: {labels} t:v t:v ...\n, merged by time ---- */

static int cmp_sample(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static void print_series(struct buf *out, const struct head_series *s)
{
    struct arena *a = arena_new(0);
    VEC(struct sample) all = {0};

    labels_text(out, s->labels);
    for (size_t i = 0; i < s->n_chunks; i++) {
        struct chunk_columns c;

        CHECK_OK(chunk_decode(a, s->chunks[i].encoding, s->chunks[i].data, &c));
        CHECK_INT(c.n, s->chunks[i].samples);
        CHECK_INT(c.t[0], s->chunks[i].min_ms);
        CHECK_INT(c.t[c.n - 1], s->chunks[i].max_ms);
        for (size_t k = 0; k < c.n; k++)
            vec_push(&all, ((struct sample){c.t[k], c.v ? c.v[k] : c.h[k].count}));
    }
    if (all.len)
        qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_sample);
    for (size_t i = 0; i < all.len; i++) {
        if (i && all.ptr[i].t_ms == all.ptr[i - 1].t_ms) {
            CHECK(all.ptr[i].v == all.ptr[i - 1].v);
            continue;
        }
        buf_printf(out, " %lld:%g", (long long)all.ptr[i].t_ms, all.ptr[i].v);
    }
    buf_byte(out, '\n');
    vec_done(&all);
    arena_free(a);
}

struct match_text {
    enum matcher_op op;
    const char *name, *value;
};

static struct head_query query_of(struct arena *a, const struct match_text *ms, size_t n)
{
    struct matcher *list = arena_array(a, struct matcher, n);

    for (size_t i = 0; i < n; i++)
        CHECK_OK(
            matcher_init(a, ms[i].op, slice_cstr(ms[i].name), slice_cstr(ms[i].value), &list[i]));
    return (struct head_query){
        .tenant = SLICE("t"), .matchers = {list, n}, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
}

static void select_text(struct fixture *f, const struct head_query *q, struct buf *out)
{
    struct head_set *set;
    struct head_series s;

    CHECK_OK(head_select(f->head, q, &set));
    while (head_set_next(set, &s))
        print_series(out, &s);
    CHECK_OK(head_set_close(set));
}

static void check_all(struct fixture *f, const char *want)
{
    struct buf out = {0};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};

    select_text(f, &q, &out);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static void check_select(struct fixture *f, const struct match_text *ms, size_t n, const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct head_query q = query_of(a, ms, n);

    q.without_chunks = true;
    select_text(f, &q, &out);
    CHECK_STR(buf_cstr(&out), want);
    matchers_done(q.matchers);
    buf_done(&out);
    arena_free(a);
}

#define T0 1699999200000ll /* a window's start */

/* ---- writing and reading ---- */

TEST(head_stores_samples_and_gives_them_back_in_label_order)
{
    struct fixture f = {0};

    fx_open(&f);
    push_one(&f, "__name__=up,job=b", T0 + 1, 1);
    push_one(&f, "__name__=up,job=a", T0 + 2, 2);
    push_one(&f, "__name__=cpu,job=a", T0 + 3, 3);
    push_one(&f, "__name__=up,job=b", T0 + 5, 4);
    check_all(&f, "cpu{job=\"a\"} 1699999200003:3\n"
                  "up{job=\"a\"} 1699999200002:2\n"
                  "up{job=\"b\"} 1699999200001:1 1699999200005:4\n");
    CHECK_INT(head_series_count(f.head), 3);
    {
        struct head_tenant_stats st;

        head_tenant_stats_get(f.head, SLICE("t"), &st);
        CHECK_INT(st.series, 3);
        CHECK_INT(st.samples_appended, 4);
        CHECK_INT(st.min_ms, T0 + 1);
        CHECK_INT(st.max_ms, T0 + 5);
        head_tenant_stats_get(f.head, SLICE("nobody"), &st);
        CHECK(st.min_ms > st.max_ms);
    }
    fx_close(&f);
}

TEST(head_asks_for_the_labels_of_series_it_does_not_know)
{
    struct fixture f = {0};

    fx_open(&f);
    push_one(&f, "__name__=up,job=a", T0, 1);
    add(&f, "__name__=new,job=a", T0, 1, false);
    add(&f, "__name__=up,job=a", T0 + 1, 2, false);
    add(&f, "__name__=new,job=b", T0, 1, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.accepted, 1);
    CHECK_INT(f.reply.unknown.len, 2);
    CHECK_INT(f.reply.unknown.ptr[0], 0);
    CHECK_INT(f.reply.unknown.ptr[1], 2);
    check_all(&f, "up{job=\"a\"} 1699999200000:1 1699999200001:2\n");
    /* another tenant's series are another tenant's */
    add(&f, "__name__=up,job=a", T0 + 1, 2, false);
    CHECK_OK(fx_push(&f, "u"));
    CHECK_INT(f.reply.unknown.len, 1);
    fx_close(&f);
}

TEST(head_refuses_what_prometheus_refuses_and_takes_repeats)
{
    struct fixture f = {0};

    fx_open(&f);
    push_one(&f, "a=1", T0 + 10, 1);
    push_one(&f, "a=1", T0 + 20, 2);
    push_one(&f, "a=1", T0 + 20, 2); /* repeat of the newest */
    push_one(&f, "a=1", T0 + 10, 1); /* repeat of an older one */
    add(&f, "a=1", T0 + 20, 3, false);
    add(&f, "a=1", T0 + 10, 3, false);
    add(&f, "a=1", T0 + 15, 3, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.accepted, 0);
    CHECK_INT(f.reply.rejected[BATCH_DUPLICATE], 2);
    CHECK_INT(f.reply.rejected[BATCH_OUT_OF_ORDER], 1);
    CHECK_INT(f.reply.refusals.ptr[2].series, 2);
    f.limits.min_t_ms = T0;
    f.limits.max_t_ms = T0 + 1000;
    add(&f, "a=1", T0 - 1, 3, false);
    add(&f, "a=1", T0 + 1001, 3, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_TOO_OLD], 1);
    CHECK_INT(f.reply.rejected[BATCH_TOO_FAR], 1);
    check_all(&f, "{a=\"1\"} 1699999200010:1 1699999200020:2\n");
    fx_close(&f);
}

#define WINDOW(n) (T0 + (n)*HEAD_WINDOW_MS)

static void check_refused(struct fixture *f, enum batch_reason reason, int64_t t_ms)
{
    add(f, "a=9", t_ms, 1, true);
    CHECK_OK(fx_push(f, "t"));
    CHECK_INT(f->reply.rejected[reason], 1);
    CHECK_INT(f->reply.accepted, 0);
}

TEST(head_limits_open_windows)
{
    struct fixture f = {.shards = 4, .limits.max_windows = 3};

    fx_open(&f);
    push_one(&f, "a=1", WINDOW(0), 1);
    push_one(&f, "a=2", WINDOW(1), 1);
    push_one(&f, "a=3", WINDOW(5), 1);
    push_one(&f, "a=4", WINDOW(1) + 5, 1); /* another shard, the same window */
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(2));
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(-100));
    CHECK(strstr(batch_reason_text(BATCH_WINDOWS_LIMIT), "max_open_windows_per_user"));
    push_one(&f, "a=1", WINDOW(5) + 1, 1);
    add(&f, "a=1", WINDOW(7), 1, true); /* other tenants have their own */
    CHECK_OK(fx_push(&f, "u"));
    CHECK_INT(f.reply.accepted, 1);
    fx_crash(&f); /* from the log */
    fx_open(&f);
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(2));
    CHECK_OK(head_checkpoint(f.head)); /* from the checkpoint */
    fx_crash(&f);
    fx_open(&f);
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(2));
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, WINDOW(2), NULL));
    push_one(&f, "a=9", WINDOW(2), 1); /* two have gone */
    push_one(&f, "a=9", WINDOW(3), 1);
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(4));
    push_one(&f, "a=7", WINDOW(0), 1); /* the clock's own is always taken */
    push_one(&f, "a=8", WINDOW(1), 1);
    check_refused(&f, BATCH_WINDOWS_LIMIT, WINDOW(4));
    f.limits.max_windows = 0;
    push_one(&f, "a=9", WINDOW(4), 1);
    fx_close(&f);
}

/* What is refused as out of order does not use up the limit. */
TEST(head_counts_windows_of_stored_samples_only)
{
    struct fixture f = {.shards = 1, .limits.max_windows = 2};

    fx_open(&f);
    push_one(&f, "a=9", WINDOW(9), 1);
    for (int i = 0; i < 5; i++)
        check_refused(&f, BATCH_OUT_OF_ORDER, WINDOW(i));
    push_one(&f, "a=1", WINDOW(0), 1);
    push_one(&f, "a=2", WINDOW(9), 1);
    fx_close(&f);
}

TEST(head_limits_series_and_checks_labels)
{
    struct fixture f = {0};
    struct hash128 wrong = fp_of("x=y");

    fx_open(&f);
    f.limits.max_series = 2;
    push_one(&f, "a=1", T0, 1);
    push_one(&f, "a=2", T0, 1);
    add(&f, "a=3", T0, 1, true);
    add(&f, "a=1", T0 + 1, 1, true);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_MAX_SERIES_LIMIT], 1);
    CHECK_INT(f.reply.accepted, 1);
    f.limits.max_series = 0;
    batch_series_begin(&f.w, wrong);
    batch_series_labels(&f.w, buf_slice(&f.canonical));
    batch_series_sample(&f.w, T0, 1);
    batch_series_end(&f.w);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_BAD_LABELS], 1);
    fx_close(&f);
}

TEST(head_keeps_out_of_order_samples_within_the_window)
{
    struct fixture f = {.limits = {.ooo_window_ms = 100000}};

    fx_open(&f);
    push_one(&f, "a=1", T0 + 200000, 9);
    push_one(&f, "a=1", T0 + 150000, 5);
    push_one(&f, "a=1", T0 + 120000, 2);
    push_one(&f, "a=1", T0 + 120000, 2);
    add(&f, "a=1", T0 + 120000, 3, false);
    add(&f, "a=1", T0 + 99999, 3, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_DUPLICATE], 1);
    CHECK_INT(f.reply.rejected[BATCH_TOO_OLD], 1);
    for (int i = 0; i < 100; i++)
        push_one(&f, "a=1", T0 + 130000 + i, i);
    push_one(&f, "a=1", T0 + 130050, 50); /* found in a closed chunk */
    fx_crash(&f);
    fx_open(&f);
    {
        struct buf want = {0};

        buf_str(&want, "{a=\"1\"} 1699999320000:2");
        for (int i = 0; i < 100; i++)
            buf_printf(&want, " %lld:%d", T0 + 130000 + i, i);
        buf_printf(&want, " %lld:5 %lld:9\n", T0 + 150000, T0 + 200000);
        check_all(&f, buf_cstr(&want));
        buf_done(&want);
    }
    fx_close(&f);
}

/* Many samples: chunks close at 120 samples and at window ends. */
static void fill(struct fixture *f, int series, int from, int to, int64_t step_ms)
{
    char text[64];

    for (int k = from; k < to; k++) {
        for (int s = 0; s < series; s++) {
            (void)snprintf(text, sizeof(text), "__name__=m,i=%03d", s);
            add(f, text, T0 + k * step_ms, k * 1000 + s, k == from);
        }
        CHECK_OK(fx_push(f, "t"));
        CHECK_INT(f->reply.accepted, series);
    }
}

static void check_filled(struct fixture *f, int series, int to, int64_t step_ms)
{
    struct buf want = {0};

    for (int s = 0; s < series; s++) {
        buf_printf(&want, "m{i=\"%03d\"}", s);
        for (int k = 0; k < to; k++)
            buf_printf(&want, " %lld:%g", (long long)(T0 + k * step_ms), (double)(k * 1000 + s));
        buf_byte(&want, '\n');
    }
    check_all(f, buf_cstr(&want));
    buf_done(&want);
}

TEST(head_closes_chunks_at_120_samples_and_at_window_ends)
{
    struct fixture f = {0};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_set *set;
    struct head_series s;

    fx_open(&f);
    fill(&f, 10, 0, 600, 15000); /* 2.5 hours */
    check_filled(&f, 10, 600, 15000);
    CHECK_OK(head_select(f.head, &q, &set));
    CHECK(head_set_next(set, &s));
    CHECK(s.n_chunks >= 5 && s.n_chunks <= 7); /* the first of a window may be short */
    for (size_t i = 0; i < s.n_chunks; i++) {
        CHECK(s.chunks[i].samples <= HEAD_CHUNK_SAMPLES);
        CHECK(s.chunks[i].max_ms < T0 + HEAD_WINDOW_MS ||
              s.chunks[i].min_ms >= T0 + HEAD_WINDOW_MS);
    }
    CHECK_OK(head_set_close(set));
    q.min_ms = q.max_ms = T0 + HEAD_WINDOW_MS; /* only what overlaps the range */
    CHECK_OK(head_select(f.head, &q, &set));
    CHECK(head_set_next(set, &s));
    CHECK_INT(s.n_chunks, 1);
    CHECK_OK(head_set_close(set));
    q.min_ms = T0 + HEAD_WINDOW_MS * 9;
    q.max_ms = INT64_MAX;
    CHECK_OK(head_select(f.head, &q, &set));
    CHECK(!head_set_next(set, &s));
    CHECK_OK(head_set_close(set));
    fx_close(&f);
}

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

/* ---- histograms, exemplars, metadata ---- */

static void add_rich(struct fixture *f, int64_t t_ms, double count)
{
    struct histogram_span spans[] = {{0, 2}};
    double buckets[] = {1, count - 1};
    struct histogram h = {.schema = 1,
                          .is_int = true,
                          .zero_threshold = 0.001,
                          .count = count,
                          .sum = count * 2,
                          .pos_spans = spans,
                          .n_pos_spans = 1,
                          .pos_buckets = buckets,
                          .n_pos_buckets = 2};
    struct label l = {SLICE("trace_id"), SLICE("abc")};
    struct buf b = {0}, id = {0};
    struct label name = {SLICE("__name__"), SLICE("h")};
    struct labels ls = {&name, 1};

    labels_canonical(&b, (struct labels){&l, 1});
    labels_canonical(&id, ls);
    batch_series_begin(&f->w, labels_fingerprint(ls));
    batch_series_labels(&f->w, buf_slice(&id));
    batch_series_histogram(&f->w, t_ms, &h);
    batch_series_exemplar(&f->w, buf_slice(&b), t_ms, count);
    batch_series_end(&f->w);
    batch_metadata(&f->w, METRIC_HISTOGRAM, SLICE("h"), SLICE("A histogram."), SLICE("s"));
    CHECK_OK(fx_push(f, "t"));
    buf_done(&b);
    buf_done(&id);
}

static void check_rich(struct fixture *f, int n)
{
    struct buf want = {0};
    struct arena *a = arena_new(0);
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_exemplars *ex;
    struct head_metadata *md;
    size_t k;

    buf_str(&want, "h");
    for (int i = 0; i < n; i++)
        buf_printf(&want, " %lld:%d", T0 + i * 60000ll, i + 3);
    buf_byte(&want, '\n');
    check_all(f, buf_cstr(&want));
    CHECK_OK(head_exemplars_list(f->head, &q, a, &ex, &k));
    CHECK_INT(k, 1);
    CHECK_INT(ex[0].n, n);
    CHECK_SLICE(ex[0].ptr[n - 1].labels.ptr[0].value, "abc");
    CHECK(ex[0].ptr[n - 1].value == n + 2);
    CHECK_OK(head_metadata_list(f->head, SLICE("t"), SLICE_EMPTY, a, &md, &k));
    CHECK_INT(k, 1);
    CHECK_SLICE(md[0].help, "A histogram.");
    CHECK_SLICE(md[0].unit, "s");
    buf_done(&want);
    arena_free(a);
}

TEST(head_keeps_histograms_exemplars_and_metadata_over_crash_checkpoint_and_cut)
{
    struct fixture f = {0};
    size_t segments;

    fx_open(&f);
    for (int i = 0; i < 150; i++)
        add_rich(&f, T0 + i * 60000ll, i + 3);
    CHECK_INT(f.reply.accepted, 1);
    check_rich(&f, 150);
    add_rich(&f, T0 + 149 * 60000ll, 152); /* repeat */
    CHECK_INT(f.reply.accepted, 1);
    fx_crash(&f);
    fx_open(&f);
    check_rich(&f, 150);
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    check_rich(&f, 150);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, T0 + HEAD_WINDOW_MS, &segments));
    CHECK_INT(segments, 1);
    check_rich(&f, 150);
    fx_crash(&f);
    fx_open(&f);
    check_rich(&f, 150);
    add_rich(&f, T0 + 149 * 60000ll, 153);
    CHECK_INT(f.reply.rejected[BATCH_DUPLICATE], 1);
    fx_close(&f);
}

/* ---- restart ---- */

TEST(head_comes_back_from_the_log_alone)
{
    struct fixture f = {0};
    struct head_replay_stats st;

    fx_open(&f);
    fill(&f, 20, 0, 130, 15000);
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.samples, 20 * 130);
    CHECK_INT(st.unknown_refs + st.broken_records, 0);
    check_filled(&f, 20, 130, 15000);
    fx_close(&f);
}

TEST(head_comes_back_from_a_checkpoint_and_the_log_behind_it)
{
    struct fixture f = {0};
    struct head_replay_stats st;

    fx_open(&f);
    fill(&f, 300, 0, 130, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fill(&f, 300, 130, 140, 15000);
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.series, 300);
    CHECK_INT(st.samples, 300 * 10);
    check_filled(&f, 300, 140, 15000);
    fill(&f, 300, 140, 260, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 300, 260, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.samples, 0);
    check_filled(&f, 300, 260, 15000);
    fx_close(&f);
    fx_open(&f);
    check_filled(&f, 300, 260, 15000);
    fx_close(&f);
}

TEST(head_puts_a_broken_checkpoint_aside_and_reads_what_the_log_has)
{
    struct fixture f = {.shards = 1};
    struct buf b = {0};
    const char *path;

    fx_open(&f);
    fill(&f, 5, 0, 10, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fill(&f, 5, 10, 12, 15000);
    fx_crash(&f);
    path = tmp_path("data/head/0/checkpoint");
    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len / 2] ^= 1;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    log_set_sink(NULL, NULL);
    fx_open(&f);
    CHECK(fsx_exists(tmp_path("data/head/0/checkpoint.bad")));
    push_one(&f, "a=1", T0, 1);
    fx_close(&f);
    buf_done(&b);
}

TEST(head_takes_batches_with_labels_while_it_replays)
{
    struct fixture f = {0};

    fx_open(&f);
    fill(&f, 50, 0, 200, 15000);
    fx_crash(&f);
    clock_fake_init(&f.clock, 1700000000ll * NS_PER_S);
    fx_open_only(&f); /* not waiting */
    for (int i = 0; i < 20; i++) {
        add(&f, "__name__=m,i=000", T0 + (200 + i) * 15000, (200 + i) * 1000, true);
        CHECK_OK(fx_push(&f, "t"));
        CHECK_INT(f.reply.accepted, 1);
    }
    fx_crash(&f); /* before or after they were applied */
    fx_open(&f);
    fill(&f, 50, 220, 221, 15000);
    fx_crash(&f);
    fx_open(&f);
    {
        struct arena *a = arena_new(0);
        struct buf out = {0}, want = {0};
        struct head_query q = query_of(a, (struct match_text[]){{MATCHER_EQ, "i", "000"}}, 1);

        select_text(&f, &q, &out);
        buf_str(&want, "m{i=\"000\"}");
        for (int k = 0; k < 221; k++)
            buf_printf(&want, " %lld:%g", (long long)(T0 + k * 15000), (double)(k * 1000));
        buf_byte(&want, '\n');
        CHECK_STR(buf_cstr(&out), buf_cstr(&want));
        matchers_done(q.matchers);
        arena_free(a);
        buf_done(&out);
        buf_done(&want);
    }
    fx_close(&f);
}

/* ---- cutting ---- */

TEST(head_cuts_windows_into_segments_and_reads_across_the_seam)
{
    struct fixture f = {0};
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    fill(&f, 30, 0, 600, 15000);
    CHECK_OK(head_cut(f.head, SLICE("t"), T0 + HEAD_WINDOW_MS, &n));
    CHECK_INT(n, 1);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].series, 30);
    CHECK_INT(segs[0].samples, 30 * 480);
    CHECK_INT(segs[0].min_ms, T0);
    CHECK_INT(segs[0].max_ms, T0 + HEAD_WINDOW_MS);
    CHECK_STR(segs[0].tenant, "t");
    check_filled(&f, 30, 600, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 30, 600, 15000);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 1);
    check_filled(&f, 30, 600, 15000);
    fill(&f, 30, 600, 610, 15000);
    check_filled(&f, 30, 610, 15000);
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid)));
    CHECK_ERR(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid)), ERR_NOT_FOUND,
              "");
    CHECK(!fsx_exists(segs[0].path));
    mem_free(segs);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].samples, 30 * 120);
    mem_free(segs);
    fx_close(&f);
}

TEST(head_forgets_idle_series_and_takes_them_up_again)
{
    struct fixture f = {0};
    struct arena *a = arena_new(0);
    struct head_query q = query_of(a, NULL, 0);
    struct head_names names;
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    push_one(&f, "__name__=old,pod=x", T0, 1);
    push_one(&f, "__name__=new,pod=y", T0 + 2 * HEAD_WINDOW_MS, 1);
    CHECK_INT(head_series_count(f.head), 2);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, T0 + HEAD_WINDOW_MS, &n));
    CHECK_INT(head_series_count(f.head), 1);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid)));
    CHECK_OK(head_label_values(f.head, &q, SLICE("pod"), a, &names));
    CHECK_INT(names.n, 1);
    add(&f, "__name__=old,pod=x", T0 + 2 * HEAD_WINDOW_MS, 2, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.unknown.len, 1);
    push_one(&f, "__name__=old,pod=x", T0 + 2 * HEAD_WINDOW_MS, 2);
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "new{pod=\"y\"} 1700013600000:1\nold{pod=\"x\"} 1700013600000:2\n");
    mem_free(segs);
    arena_free(a);
    fx_close(&f);
}

TEST(head_cut_merges_out_of_order_chunks)
{
    struct fixture f = {.limits = {.ooo_window_ms = 3600000}};
    struct buf want = {0};
    size_t n;

    fx_open(&f);
    for (int i = 0; i < 300; i += 2)
        push_one(&f, "a=1", T0 + i * 1000, i);
    for (int i = 1; i < 300; i += 2)
        push_one(&f, "a=1", T0 + i * 1000, i);
    buf_str(&want, "{a=\"1\"}");
    for (int i = 0; i < 299; i++)
        buf_printf(&want, " %lld:%d", T0 + i * 1000, i);
    buf_printf(&want, " %lld:%d\n", T0 + 299 * 1000, 299);
    check_all(&f, buf_cstr(&want));
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 1);
    check_all(&f, buf_cstr(&want));
    buf_done(&want);
    fx_close(&f);
}

TEST(head_cuts_more_windows_than_it_writes_at_once)
{
    struct fixture f = {0};
    struct buf want = {0};
    struct head_segment *segs, pinned;
    size_t n;

    fx_open(&f);
    buf_str(&want, "{a=\"1\"}");
    for (int i = 0; i < 150; i++) {
        push_one(&f, "a=1", T0 + i * HEAD_WINDOW_MS, i);
        buf_printf(&want, " %lld:%d", T0 + i * HEAD_WINDOW_MS, i);
    }
    buf_byte(&want, '\n');
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 150);
    check_all(&f, buf_cstr(&want));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 150);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(segs[i].min_ms, T0 + (int64_t)i * HEAD_WINDOW_MS);
    /* a pinned segment leaves the list at once and the disk with its pin */
    CHECK_OK(head_segment_pin(f.head, SLICE("t"), slice_cstr(segs[0].ulid), &pinned));
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid)));
    CHECK(fsx_exists(pinned.path));
    CHECK_ERR(head_segment_pin(f.head, SLICE("t"), slice_cstr(segs[0].ulid), &pinned),
              ERR_NOT_FOUND, "no segment");
    head_segment_unpin(f.head, &pinned);
    CHECK(!fsx_exists(segs[0].path));
    mem_free(segs);
    buf_done(&want);
    fx_close(&f);
}

TEST(head_maintain_cuts_when_window_grace_and_ooo_window_are_past)
{
    struct fixture f = {.limits = {.ooo_window_ms = 30 * 60000}};
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    push_one(&f, "a=1", T0 + 5, 1);
    push_one(&f, "a=1", T0 + HEAD_WINDOW_MS + 5, 1);
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 29 * 60000));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 0);
    mem_free(segs);
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 31 * 60000));
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 32 * 60000));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].samples, 1);
    mem_free(segs);
    check_all(&f, "{a=\"1\"} 1699999200005:1 1700006400005:1\n");
    fx_close(&f);
}

/* ---- failing disks ---- */

TEST(head_answers_errors_of_the_log_and_recovers_definitions)
{
    struct fixture f = {.shards = 1};

    fx_open(&f);
    fault_arm_point("head.checkpoint.write", 28);
    push_one(&f, "a=1", T0, 1);
    CHECK_ERR(head_checkpoint(f.head), ERR_IO, "checkpoint");
    fault_disarm();
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "{a=\"1\"} 1699999200000:1\n");
    fx_close(&f);
}

/* The definition of a series may be in the record that failed: it must be logged again, or the
 * samples acknowledged afterwards would name a ref that a replay does not know. */
TEST(head_logs_definitions_again_after_the_log_failed)
{
    struct fixture f = {.shards = 1};
    struct err *e = NULL;
    int tries = 0;

    fx_open(&f);
    push_one(&f, "a=1", T0, 1);
    fault_arm_point("wal.write", 28);
    add(&f, "a=2", T0, 2, true);
    CHECK_ERR(fx_push(&f, "t"), ERR_IO, "");
    add(&f, "a=1", T0 + 1, 2, true);
    CHECK_ERR(fx_push(&f, "t"), ERR_IO, "");
    fault_disarm();
    do { /* the log probes its disk once a second */
        err_free(e);
        add(&f, "a=2", T0, 2, false);
        e = fx_push(&f, "t");
    } while (e && tries++ < 50000000);
    CHECK_OK(e);
    CHECK_INT(f.reply.accepted, 1); /* a repeat: the sample is in memory since the first try */
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "{a=\"1\"} 1699999200000:1\n{a=\"2\"} 1699999200000:2\n");
    fx_close(&f);
}

TEST(head_keeps_closed_chunks_in_memory_when_the_disk_is_full)
{
    struct fixture f = {.shards = 1};

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 2, 0, 130, 15000);
    check_filled(&f, 2, 130, 15000);
    CHECK_ERR(head_checkpoint(f.head), ERR_IO, "memory only");
    fault_disarm();
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 2, 130, 15000);
    fx_close(&f);
}

TEST(head_moves_chunks_to_files_when_the_disk_has_room_again)
{
    struct fixture f = {.shards = 2};
    size_t segments;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 4, 0, 130, 15000);
    CHECK_ERR(head_maintain(f.head, T0), ERR_IO, "memory only");
    CHECK_ERR(head_cut(f.head, SLICE_EMPTY, T0, NULL), ERR_IO, "memory only");
    fault_disarm();
    CHECK_OK(head_checkpoint(f.head)); /* before anything is cut */
    check_filled(&f, 4, 130, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 4, 130, 15000);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &segments));
    CHECK(segments > 0);
    check_filled(&f, 4, 130, 15000);
    fx_close(&f);
}

/* A reader that began before goes on with the memory. */
TEST(head_reads_on_while_chunks_move_to_files)
{
    struct fixture f = {.shards = 1};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    size_t samples = 0;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 1, 0, 130, 15000);
    CHECK_OK(head_select(f.head, &q, &set));
    fault_disarm();
    CHECK_OK(head_maintain(f.head, T0));
    CHECK_OK(head_checkpoint(f.head));
    while (head_set_next(set, &s))
        for (size_t i = 0; i < s.n_chunks; i++)
            samples += s.chunks[i].samples;
    CHECK_OK(head_set_close(set));
    CHECK_INT(samples, 130);
    fx_close(&f);
}

TEST(head_refuses_pushes_while_too_much_is_in_memory)
{
    struct fixture f = {.shards = 1, .memory_chunk_bytes = 100};
    struct err *e = NULL;
    unsigned tries = 0;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    for (; !e && tries < 200; tries++) {
        add(&f, "a=1", T0 + tries * 15000, 1, true);
        e = fx_push(&f, "t");
    }
    CHECK(tries > 30); /* the first closed chunk is in memory */
    CHECK_ERR(e, ERR_UNAVAILABLE, "no file can be made for closed chunks");
    CHECK_ERR(head_is_stuck(f.head), ERR_UNAVAILABLE, "No space left");
    fault_disarm();
    e = NULL;
    tries = 0;
    do { /* tried again once a second, by pushes alone */
        err_free(e);
        usleep(10000);
        add(&f, "a=2", T0, 2, true);
        e = fx_push(&f, "t");
    } while (e && tries++ < 1000);
    CHECK_OK(e);
    CHECK_OK(head_is_stuck(f.head));
    CHECK_OK(head_checkpoint(f.head));
    fx_close(&f);
}

/* ---- broken logs ---- */

static char *newest_wal_file(size_t back)
{
    const char *dir = tmp_path("data/wal");
    char **names, *path = NULL;
    size_t n, seen = 0;

    CHECK_OK(fsx_list(dir, &names, &n));
    for (size_t i = n; i-- > 0 && !path;)
        if (slice_has_suffix(slice_cstr(names[i]), SLICE(".wal")) && seen++ == back)
            path = mem_printf("%s/%s", dir, names[i]);
    fsx_names_free(names, n);
    CHECK(path);
    return path;
}

TEST(head_survives_a_log_whose_tail_is_torn)
{
    struct fixture f = {.shards = 1};
    struct buf b = {0};
    struct buf out = {0};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    size_t end;
    char *path;

    fx_open(&f);
    fill(&f, 3, 0, 50, 15000);
    fx_crash(&f);
    path = newest_wal_file(0);
    CHECK_OK(fsx_read(path, 64 << 20, &b));
    for (end = b.len; end && !b.ptr[end - 1]; end--)
        ;
    memset(b.ptr + end - 10, 0, 10); /* the last record lost its end */
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    fx_open(&f);
    select_text(&f, &q, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("m{i=\"002\"} 1699999200000:2"), 0) >= 0);
    CHECK(slice_find(buf_slice(&out), SLICE(":48002\n"), 0) >= 0); /* all but the torn one */
    CHECK(slice_find(buf_slice(&out), SLICE(":49002"), 0) < 0);
    fill(&f, 3, 50, 52, 15000);
    fx_close(&f);
    mem_free(path);
    buf_done(&b);
    buf_done(&out);
}

/* ---- refs used again, over restarts ---- */

TEST(head_replays_refs_that_were_given_to_other_series)
{
    struct fixture f = {.shards = 1};
    char text[64];

    fx_open(&f);
    for (int round = 0; round < 4; round++) {
        int64_t t = T0 + round * HEAD_WINDOW_MS * 2;

        for (int i = 0; i < 300; i++) {
            (void)snprintf(text, sizeof(text), "__name__=churn,round=%d,i=%03d", round, i);
            add(&f, text, t + i, i, true);
        }
        CHECK_OK(fx_push(&f, "t"));
        CHECK_INT(f.reply.accepted, 300);
        CHECK_OK(head_cut(f.head, SLICE_EMPTY, t, NULL));
        CHECK_INT(head_series_count(f.head), 300);
        fx_crash(&f);
        fx_open(&f);
        CHECK_INT(head_series_count(f.head), 300);
    }
    {
        struct arena *a = arena_new(0);
        struct buf out = {0};
        struct head_query q = query_of(a, (struct match_text[]){{MATCHER_EQ, "i", "299"}}, 1);

        select_text(&f, &q, &out);
        CHECK_STR(buf_cstr(&out), "churn{i=\"299\", round=\"0\"} 1699999200299:299\n"
                                  "churn{i=\"299\", round=\"1\"} 1700013600299:299\n"
                                  "churn{i=\"299\", round=\"2\"} 1700028000299:299\n"
                                  "churn{i=\"299\", round=\"3\"} 1700042400299:299\n");
        matchers_done(q.matchers);
        arena_free(a);
        buf_done(&out);
    }
    fx_close(&f);
}

/* ---- everything at once, for the thread sanitizer ---- */

struct crowd {
    struct fixture *f;
    _Atomic bool is_over;
    int id;
    uint64_t accepted;
    bool failed;
};

static void *crowd_write(void *arg)
{
    struct crowd *c = arg;
    struct fixture f = *c->f; /* its own writer and reply */

    f.w = (struct batch_writer){0};
    f.reply = (struct batch_reply){0};
    f.canonical = (struct buf){0};
    for (int k = 0; k < 150 && !c->failed; k++) {
        char text[64];
        struct err *e;

        for (int s = 0; s < 20; s++) {
            (void)snprintf(text, sizeof(text), "__name__=m,w=%d,i=%03d,k=%d", c->id, s, s ? 0 : k);
            add(&f, text, T0 + k * 60000, k * 1000 + s, true);
        }
        e = fx_push(&f, "t");
        c->failed = e || f.reply.accepted != 20;
        err_free(e);
        c->accepted += f.reply.accepted;
    }
    batch_reply_done(&f.reply);
    batch_writer_done(&f.w);
    buf_done(&f.canonical);
    return NULL;
}

static void *crowd_read(void *arg)
{
    struct crowd *c = arg;
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};

    while (!c->is_over && !c->failed) {
        struct arena *a = arena_new(0);
        struct head_names names;
        struct head_set *set;
        struct head_series s;
        struct err *e = head_select(c->f->head, &q, &set);

        if (!e) {
            while (head_set_next(set, &s))
                for (size_t i = 0; i < s.n_chunks && !e; i++) {
                    struct chunk_columns cols;

                    e = chunk_decode(a, s.chunks[i].encoding, s.chunks[i].data, &cols);
                }
            e = err_first(e, head_set_close(set));
        }
        if (!e)
            e = head_label_values(c->f->head, &q, SLICE("i"), a, &names);
        c->failed = e != NULL;
        err_free(e);
        arena_free(a);
    }
    return NULL;
}

static void *crowd_cut(void *arg)
{
    struct crowd *c = arg;

    for (int64_t up_to = T0; !c->is_over && !c->failed; up_to += 600000) {
        struct err *e = head_cut(c->f->head, SLICE_EMPTY, up_to, NULL);

        if (!e)
            e = head_checkpoint(c->f->head);
        c->failed = e != NULL;
        err_free(e);
    }
    return NULL;
}

TEST(head_writes_reads_cuts_and_checkpoints_at_once)
{
    struct fixture f = {0};
    struct crowd cs[5] = {{.f = &f, .id = 0}, {.f = &f, .id = 1}, {.f = &f}, {.f = &f}, {.f = &f}};
    void *(*fns[5])(void *) = {crowd_write, crowd_write, crowd_read, crowd_read, crowd_cut};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct buf before = {0}, after = {0};
    pthread_t threads[5];

    fx_open(&f);
    for (int i = 0; i < 5; i++)
        CHECK(pthread_create(&threads[i], NULL, fns[i], &cs[i]) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 2; i < 5; i++)
        cs[i].is_over = true;
    for (int i = 2; i < 5; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(!cs[i].failed);
    CHECK_INT(cs[0].accepted + cs[1].accepted, 2 * 150 * 20);
    select_text(&f, &q, &before);
    {
        /* every sample exactly once: series k=0 have 150, those of w and i=000 one each */
        size_t colons = 0;

        for (size_t i = 0; i < before.len; i++)
            colons += before.ptr[i] == ':';
        CHECK_INT(colons, 2 * 150 * 20);
    }
    fx_crash(&f);
    fx_open(&f);
    select_text(&f, &q, &after);
    CHECK_STR(buf_cstr(&before), buf_cstr(&after));
    buf_done(&before);
    buf_done(&after);
    fx_close(&f);
}

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
