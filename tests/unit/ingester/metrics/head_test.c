#include "common/base/metric.h"
#include "tests/unit/ingester/metrics/head_fixture.h"

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

/* Of a sample that a quorum has the order is not asked; all else is. */
TEST(head_takes_what_is_late_whatever_the_window)
{
    struct fixture f = {.shards = 1, .limits = {.min_t_ms = T0}};

    fx_open(&f);
    push_one(&f, "a=1", T0 + 5000, 5);
    add(&f, "a=1", T0 + 1000, 1, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_OUT_OF_ORDER], 1);
    f.limits.takes_late = true;
    push_one(&f, "a=1", T0 + 1000, 1);
    push_one(&f, "a=1", T0 + 1000, 1); /* twice is once */
    add(&f, "a=1", T0 + 1000, 2, false);
    add(&f, "a=1", T0 + 5000, 6, false);
    add(&f, "a=1", T0 - 1, 0, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_DUPLICATE], 2);
    CHECK_INT(f.reply.rejected[BATCH_TOO_OLD], 1);
    f.limits.ooo_window_ms = 1000;
    push_one(&f, "a=1", T0 + 2000, 2); /* older than the window, too */
    f.limits = (struct head_limits){0};
    add(&f, "a=1", T0 + 3000, 3, false); /* the next push is as ever */
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.rejected[BATCH_OUT_OF_ORDER], 1);
    {
        struct buf metrics = {0};

        metric_write(&metrics, false);
        CHECK(strstr(buf_cstr(&metrics), "\norrery_head_late_samples_total{shard=\"0\"} 2\n"));
        CHECK(strstr(buf_cstr(&metrics),
                     "\norrery_head_out_of_order_samples_total{shard=\"0\"} 2\n"));
        buf_done(&metrics);
    }
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "{a=\"1\"} 1699999201000:1 1699999202000:2 1699999205000:5\n");
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, NULL));
    check_all(&f, "{a=\"1\"} 1699999201000:1 1699999202000:2 1699999205000:5\n");
    fx_close(&f);
}

/* Many samples: chunks close at 120 samples and at window ends. */

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

TEST(head_takes_late_histograms)
{
    struct fixture f = {0};

    fx_open(&f);
    add_rich(&f, T0 + 5000, 5);
    add_rich(&f, T0 + 1000, 3);
    CHECK_INT(f.reply.rejected[BATCH_OUT_OF_ORDER], 1);
    f.limits.takes_late = true;
    add_rich(&f, T0 + 1000, 3);
    CHECK_INT(f.reply.accepted, 1);
    add_rich(&f, T0 + 5000, 6);
    CHECK_INT(f.reply.rejected[BATCH_DUPLICATE], 1);
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "h 1699999201000:3 1699999205000:5\n");
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, NULL));
    check_all(&f, "h 1699999201000:3 1699999205000:5\n");
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
