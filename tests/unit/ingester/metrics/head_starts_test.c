#include "common/block/start_runs.h"
#include "tests/unit/ingester/metrics/head_fixture.h"

/* ---- pushing and reading back ---- */

static void push_with(struct fixture *f, const char *text, int64_t t_ms, double v, int64_t st_ms)
{
    struct label ls[32];
    struct labels labels = parse_labels(text, ls);

    buf_reset(&f->canonical);
    labels_canonical(&f->canonical, labels);
    batch_series_begin(&f->w, labels_fingerprint(labels));
    batch_series_labels(&f->w, buf_slice(&f->canonical));
    batch_series_sample(&f->w, T0 + t_ms, v);
    batch_series_start(&f->w, st_ms ? T0 + st_ms : 0);
    batch_series_end(&f->w);
    CHECK_OK(fx_push(f, "t"));
    CHECK_INT(batch_rejected(&f->reply), 0);
}

/* "t@st" of each sample of each series, "t" where none is known, relative to T0. */
static void print_starts(struct buf *out, const struct head_series *s)
{
    struct arena *a = arena_new(0);
    struct start_set set = {0};
    VEC(int64_t) t = {0};
    int64_t *st;

    for (size_t i = 0; i < s->n_chunks; i++) {
        struct chunk_columns c;

        if (s->chunks[i].encoding == CHUNK_STARTS) {
            CHECK_OK(start_set_add(&set, s->chunks[i].data));
            continue;
        }
        CHECK_OK(chunk_decode(a, s->chunks[i].encoding, s->chunks[i].data, &c));
        for (size_t k = 0; k < c.n; k++)
            vec_push(&t, c.t[k]);
    }
    start_set_flatten(&set);
    if (t.len)
        qsort(t.ptr, t.len, sizeof(*t.ptr), cmp_sample);
    st = arena_array(a, int64_t, t.len);
    (void)start_set_fill(&set, t.ptr, t.len, st);
    for (size_t i = 0; i < t.len; i++) {
        buf_printf(out, " %lld", (long long)(t.ptr[i] - T0));
        if (st[i])
            buf_printf(out, "@%lld", (long long)(st[i] - T0));
    }
    buf_byte(out, '\n');
    start_set_done(&set);
    vec_done(&t);
    arena_free(a);
}

static void check_query(struct fixture *f, const struct head_query *q, const char *want)
{
    struct buf out = {0};
    struct head_set *set;
    struct head_series s;

    CHECK_OK(head_select(f->head, q, &set));
    while (head_set_next(set, &s))
        print_starts(&out, &s);
    CHECK_OK(head_set_close(set));
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static void check_starts(struct fixture *f, const char *want)
{
    check_query(
        f, &(struct head_query){.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX},
        want);
}

/* Looks, kills the head, looks again; checkpoints, kills it, looks again. */
static void check_over_restarts(struct fixture *f, const char *want)
{
    check_starts(f, want);
    fx_crash(f);
    fx_open(f);
    check_starts(f, want);
    CHECK_OK(head_checkpoint(f->head));
    fx_crash(f);
    fx_open(f);
    check_starts(f, want);
}

/* ---- */

TEST(head_starts_of_a_cumulative_counter_survive_kills_and_cuts)
{
    static const char want[] = " 0@-5000 15000@-5000 30000@-5000 45000@40000 60000@40000\n";
    struct fixture f = {0};

    fx_open(&f);
    for (int i = 0; i < 5; i++)
        push_with(&f, "__name__=m", i * 15000, i, i < 3 ? -5000 : 40000);
    check_over_restarts(&f, want);
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    check_over_restarts(&f, want);
    fx_close(&f);
}

TEST(head_starts_say_which_samples_have_none)
{
    static const char want[] = " 0 15000@-9 30000 45000@-9 60000@-9 75000\n";
    struct fixture f = {0};

    fx_open(&f);
    for (int i = 0; i < 6; i++)
        push_with(&f, "__name__=m", i * 15000, i, i == 1 || i == 3 || i == 4 ? -9 : 0);
    check_over_restarts(&f, want);
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    check_starts(&f, want);
    fx_close(&f);
}

TEST(head_starts_of_deltas_are_closed_when_they_are_many)
{
    struct fixture f = {.shards = 1};
    struct buf want = {0};

    fx_open(&f);
    for (int i = 0; i < 400; i++) {
        push_with(&f, "__name__=m", i * 60000, i, (i - 1) * 60000 - (i == 1));
        buf_printf(&want, " %d@%d", i * 60000, (i - 1) * 60000 - (i == 1));
    }
    buf_byte(&want, '\n');
    check_over_restarts(&f, buf_cstr(&want));
    CHECK_OK(head_cut(f.head, SLICE("t"), T0 + 7200000, NULL)); /* part of it */
    check_over_restarts(&f, buf_cstr(&want));
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    check_starts(&f, buf_cstr(&want));
    buf_done(&want);
    fx_close(&f);
}

TEST(head_starts_of_samples_out_of_order)
{
    struct fixture f = {.limits = {.ooo_window_ms = 20000000}};

    fx_open(&f);
    push_with(&f, "__name__=m", 8000000, 1, -9);
    push_with(&f, "__name__=m", 8100000, 2, -9);
    push_with(&f, "__name__=m", 8050000, 3, 8040000); /* inside a run */
    push_with(&f, "__name__=m", 8060000, 4, 0);       /* the same, unknown */
    push_with(&f, "__name__=m", 100000, 5, 50000);    /* a window before */
    push_with(&f, "__name__=m", 8200000, 6, -9);
    check_over_restarts(&f,
                        " 100000@50000 8000000@-9 8050000@8040000 8060000 8100000@-9 8200000@-9\n");
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    check_starts(&f, " 100000@50000 8000000@-9 8050000@8040000 8060000 8100000@-9 8200000@-9\n");
    fx_close(&f);
}

TEST(head_starts_of_native_histograms)
{
    static const struct histogram_span span = {0, 1};
    static const double bucket = 3;
    const struct histogram h = {.count = 3,
                                .sum = 3,
                                .is_int = true,
                                .pos_spans = &span,
                                .n_pos_spans = 1,
                                .pos_buckets = &bucket,
                                .n_pos_buckets = 1};
    struct fixture f = {0};
    struct label ls[4];
    struct labels labels = parse_labels("__name__=h", ls);

    fx_open(&f);
    for (int i = 0; i < 4; i++) {
        buf_reset(&f.canonical);
        labels_canonical(&f.canonical, labels);
        batch_series_begin(&f.w, labels_fingerprint(labels));
        batch_series_labels(&f.w, buf_slice(&f.canonical));
        batch_series_histogram(&f.w, T0 + i * 15000, &h);
        batch_series_start(&f.w, i < 2 ? T0 - 7 : T0 + 20000);
        batch_series_end(&f.w);
        CHECK_OK(fx_push(&f, "t"));
    }
    check_over_restarts(&f, " 0@-7 15000@-7 30000@20000 45000@20000\n");
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    check_starts(&f, " 0@-7 15000@-7 30000@20000 45000@20000\n");
    fx_close(&f);
}

TEST(head_starts_come_with_the_newest_sample)
{
    struct fixture f = {0};
    struct head_query q = {
        .tenant = SLICE("t"), .min_ms = T0, .max_ms = T0 + 20000000, .newest_only = true};

    fx_open(&f);
    push_with(&f, "__name__=m", 7100000, 1, -9);
    push_with(&f, "__name__=m", 7300000, 2, -9);
    check_query(&f, &q, " 7300000@-9\n");
    /* what is known of it goes into the files while its chunk stays open */
    CHECK_OK(head_cut(f.head, SLICE("t"), T0 + 7200000, NULL));
    check_query(&f, &q, " 7100000@-9 7300000@-9\n");
    fx_close(&f);
}

TEST(head_starts_repeated_are_kept_once)
{
    struct fixture f = {0};

    fx_open(&f);
    for (int i = 0; i < 3; i++)
        push_with(&f, "__name__=m", 0, 1,
                  i == 2 ? 0 : -9); /* nor does one who does not know undo it */
    push_with(&f, "__name__=m", 15000, 1, -9);
    check_over_restarts(&f, " 0@-9 15000@-9\n");
    fx_close(&f);
}

/* A series without starts is in the same bytes as before there were any. */
TEST(head_starts_of_others_cost_a_series_nothing)
{
    struct fixture f = {.shards = 1};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_set *set;
    struct head_series s;

    fx_open(&f);
    push_with(&f, "__name__=a", 0, 1, -9);
    push_one(&f, "__name__=b", T0, 1);
    CHECK_OK(head_select(f.head, &q, &set));
    CHECK(head_set_next(set, &s));
    CHECK_INT(s.n_chunks, 2);
    CHECK(head_set_next(set, &s));
    CHECK_INT(s.n_chunks, 1);
    CHECK(!head_set_next(set, &s));
    CHECK_OK(head_set_close(set));
    fx_close(&f);
}

/* Of the places between two samples, those where no chunk of samples is. */
static int hidden_places(struct fixture *f)
{
    struct head_query q = {.tenant = SLICE("t")};
    struct head_set *set;
    struct head_series s;
    int hidden = 0;

    for (int i = 0; i < 99; i++) {
        size_t with_samples = 0;
        bool is_shown;

        q.min_ms = T0 + i * 60000 + 1000;
        q.max_ms = T0 + i * 60000 + 2000;
        CHECK_OK(head_select(f->head, &q, &set));
        is_shown = head_set_next(set, &s);
        for (size_t k = 0; is_shown && k < s.n_chunks; k++)
            with_samples += s.chunks[k].encoding != CHUNK_STARTS;
        CHECK(is_shown == (with_samples > 0));
        hidden += !is_shown;
        CHECK_OK(head_set_close(set));
    }
    return hidden;
}

/* A run of them reaches over the place between two chunks of samples. */
TEST(head_starts_alone_do_not_show_a_series)
{
    struct fixture f = {.shards = 1};

    fx_open(&f);
    for (int i = 0; i < 100; i++)
        push_with(&f, "__name__=m", i * 60000, i, -9);
    CHECK_INT(hidden_places(&f), 1);
    CHECK_OK(head_cut(f.head, SLICE("t"), INT64_MAX, NULL));
    CHECK_INT(hidden_places(&f), 1);
    fx_close(&f);
}

TEST(head_starts_of_batches_that_come_while_it_replays)
{
    struct fixture f = {0};
    struct buf want = {0};

    fx_open(&f);
    for (int i = 0; i < 100; i++)
        push_with(&f, "__name__=m", i * 15000, i, -9);
    fx_crash(&f);
    fx_open_only(&f); /* not waiting */
    for (int i = 100; i < 110; i++)
        push_with(&f, "__name__=m", i * 15000, i, i < 105 ? -9 : 1500000);
    fx_crash(&f); /* before or after they were applied */
    for (int i = 0; i < 110; i++)
        buf_printf(&want, " %d@%d", i * 15000, i < 105 ? -9 : 1500000);
    buf_byte(&want, '\n');
    fx_open(&f);
    check_over_restarts(&f, buf_cstr(&want));
    buf_done(&want);
    fx_close(&f);
}
