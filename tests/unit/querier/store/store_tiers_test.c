#include <math.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/rng.h"
#include "common/block/aggr_build.h"
#include "common/block/block_store.h"
#include "common/block/block_writer.h"
#include "common/block/tombstone_list.h"
#include "common/objstore/objstore_fs.h"
#include "querier/engine/engine.h"
#include "querier/store/store.h"
#include "querier/store/tier_pick.h"
#include "tests/unit/test.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define MINUTE_MS 60000ll
#define HOUR_MS 3600000ll
#define DAY_MS (24 * HOUR_MS)
#define T0 1700006400000ll /* a multiple of a day */
#define DAYS 6
#define A_DAY 1440 /* samples, one a minute */

/*
 * A bucket with DAYS blocks of a day as measured, each with its blocks of 5m and of 1h: a gauge g with gaps, a counter
 * c_total with resets, and a counter of native histograms h.
 */
struct fixture {
    struct objstore *bucket;
    struct store *store;
    struct engine *engine;
    struct arena *a;
    struct rng rng;
    double counter, in_first, in_second;
    bool has_nan;         /* the histograms' sums are */
    uint64_t seen[TIERS]; /* blocks read, as of the last check_tiers() */
};

#define SERIES 3
static const char *const names[SERIES] = {"c_total", "g", "h"};

static struct ulid id_of(unsigned tier, unsigned day)
{
    uint8_t entropy[10] = {0};

    entropy[8] = (uint8_t)tier;
    entropy[9] = (uint8_t)(day + 1);
    return ulid_make(T0, entropy);
}

static void put_counter(struct fixture *f, struct chunk_build *b, int64_t t)
{
    f->counter = rng_chance(&f->rng, 0.002) ? (double)rng_below(&f->rng, 5)
                                            : f->counter + (double)rng_below(&f->rng, 10);
    chunk_build_float(b, t, f->counter);
}

static void put_gauge(struct fixture *f, struct chunk_build *b, int64_t t)
{
    if (t / (5 * HOUR_MS) % 4 != 0 &&
        !rng_chance(&f->rng, 0.1)) /* five hours out of twenty are missing */
        chunk_build_float(b, t, (double)rng_below(&f->rng, 1000) - 500);
}

static void put_histogram(struct fixture *f, struct chunk_build *b, int64_t t)
{
    static const struct histogram_span spans[] = {{0, 2}};
    bool is_reset = rng_chance(&f->rng, 0.002);
    double buckets[2], of_all;

    f->in_first = is_reset ? 0 : f->in_first + (double)rng_below(&f->rng, 10);
    f->in_second = is_reset ? 0 : f->in_second + (double)rng_below(&f->rng, 10);
    buckets[0] = f->in_first;
    buckets[1] = f->in_second;
    of_all = f->in_first + 2 * f->in_second;
    chunk_build_histogram(b, t,
                          &(struct histogram){.zero_threshold = 1e-9,
                                              .count = f->in_first + f->in_second,
                                              .sum = f->has_nan ? NAN : of_all,
                                              .pos_spans = spans,
                                              .n_pos_spans = 1,
                                              .pos_buckets = buckets,
                                              .n_pos_buckets = 2});
}

/* Chunks of one day of a series. */
static struct chunk *measure(struct fixture *f, unsigned day, size_t series, size_t *ret_n)
{
    struct chunk_build b;
    struct chunk *out;

    chunk_build_init(&b);
    chunk_build_begin(&b, f->a);
    for (int i = 0; i < A_DAY; i++) {
        int64_t t = T0 + day * DAY_MS + i * MINUTE_MS + 7000;

        if (series == 0)
            put_counter(f, &b, t);
        else if (series == 1)
            put_gauge(f, &b, t);
        else
            put_histogram(f, &b, t);
    }
    chunk_build_end(&b);
    out = arena_array(f->a, struct chunk, b.chunks.len);
    memcpy(out, b.chunks.ptr, b.chunks.len * sizeof(*out));
    *ret_n = b.chunks.len;
    chunk_build_done(&b);
    return out;
}

static void coarsen(struct fixture *f, struct chunk **io_c, size_t *io_n, int64_t resolution_ms)
{
    struct aggr_build b;

    aggr_build_init(&b);
    aggr_build_begin(&b, f->a, resolution_ms);
    for (size_t i = 0; i < *io_n; i++)
        CHECK_OK(aggr_build_chunk(&b, &(*io_c)[i]));
    aggr_build_end(&b);
    *io_n = b.out.chunks.len;
    *io_c = arena_array(f->a, struct chunk, *io_n);
    memcpy(*io_c, b.out.chunks.ptr, *io_n * sizeof(**io_c));
    aggr_build_done(&b);
}

static struct err *put_in(void *arg, struct catalogue *c, bool *ret_changed)
{
    catalogue_add(c, arg);
    *ret_changed = true;
    return NULL;
}

static void make_block(struct fixture *f, unsigned tier, unsigned day, struct chunk *const *chunks,
                       const size_t *n)
{
    struct slice segment = slice_cstr(arena_printf(f->a, "day-%u", day));
    struct block_writer_opts opts = {.dir = tmp_path("out"),
                                     .no_sync = true,
                                     .meta = {.ulid = id_of(tier, day),
                                              .min_t = T0 + day * DAY_MS,
                                              .max_t = T0 + (day + 1) * DAY_MS,
                                              .resolution_ms = tier_resolution_ms(tier),
                                              .segments = &segment,
                                              .n_segments = 1}};
    struct catalogue_block cb;
    struct block_writer *w;
    struct block_meta m;
    const char *path;

    CHECK_OK(block_writer_open(&opts, &w));
    for (size_t i = 0; i < SERIES; i++) {
        struct label l = {SLICE("__name__"), slice_cstr(names[i])};

        CHECK_OK(block_writer_add(
            w, &(struct block_series){.labels = {&l, 1}, .chunks = chunks[i], .n_chunks = n[i]}));
    }
    CHECK_OK(block_writer_finish(w, f->a, &m));
    block_writer_close(w);
    path = tmp_path(arena_printf(f->a, "out/%s", ulid_print(m.ulid).s));
    CHECK_OK(block_store_upload(f->bucket, SIGNAL, TENANT, path, &m));
    cb = catalogue_block_of_meta(&m);
    CHECK_OK(catalogue_update(f->bucket, SIGNAL, TENANT, put_in, &cb, NULL));
}

static void make_day(struct fixture *f, unsigned day)
{
    struct chunk *c[SERIES];
    size_t n[SERIES];

    for (size_t i = 0; i < SERIES; i++)
        c[i] = measure(f, day, i, &n[i]);
    for (unsigned tier = 0; tier < TIERS; tier++) {
        for (size_t i = 0; tier && i < SERIES; i++)
            coarsen(f, &c[i], &n[i], tier_resolution_ms(tier));
        make_block(f, tier, day, c, n);
    }
}

static void setup_with(struct fixture *f, uint64_t seed, bool has_nan)
{
    *f = (struct fixture){.a = arena_new(0), .has_nan = has_nan};
    rng_seed(&f->rng, seed);
    CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                              &f->bucket));
    for (unsigned day = 0; day < DAYS; day++)
        make_day(f, day);
    f->store = store_new(&(struct store_opts){.objstore = f->bucket, .straggler_ms = 100});
    f->engine = engine_new(NULL);
}

static void setup(struct fixture *f, uint64_t seed)
{
    setup_with(f, seed, false);
}

static void teardown(struct fixture *f)
{
    engine_free(f->engine);
    store_free(f->store);
    objstore_close(f->bucket);
    arena_free(f->a);
}

/* Steps of an hour from 12 hours in, over all days. The result is f->a's. */
static struct engine_result ask(struct fixture *f, const char *expr, int64_t max_resolution_ms)
{
    struct engine_query q = {.expr = slice_cstr(expr),
                             .start_ms = T0 + 12 * HOUR_MS,
                             .end_ms = T0 + DAYS * DAY_MS,
                             .step_ms = HOUR_MS,
                             .max_resolution_ms = max_resolution_ms};
    struct store_query sq;
    struct engine_result res;

    store_query_init(
        &sq, f->store,
        &(struct store_query_opts){.tenant = TENANT,
                                   .arena = f->a,
                                   .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000});
    CHECK_OK(engine_query(f->engine, &q, &sq.storage, f->a, &res));
    store_query_done(&sq);
    return res;
}

/* Blocks of each tier that selects read since the last time. */
static void check_tiers(struct fixture *f, uint64_t raw, uint64_t of_5m, uint64_t of_1h)
{
    struct store_stats s;

    store_stats_get(f->store, &s);
    CHECK_INT(s.tier_blocks[0] - f->seen[0], raw);
    CHECK_INT(s.tier_blocks[1] - f->seen[1], of_5m);
    CHECK_INT(s.tier_blocks[2] - f->seen[2], of_1h);
    memcpy(f->seen, s.tier_blocks, sizeof(f->seen));
}

/* The same steps, each within a relative error of the other's; on the whole within that of the mean. */
static void check_close(struct fixture *f, const char *expr, int64_t resolution_ms, double error,
                        double mean_error)
{
    struct engine_result want = ask(f, expr, 0), got = ask(f, expr, resolution_ms);
    double want_sum = 0, got_sum = 0;

    CHECK_INT(want.n_series, 1);
    CHECK_INT(got.n_series, 1);
    CHECK_INT(got.series[0].n, want.series[0].n);
    CHECK(got.n_warnings <= want.n_warnings); /* sums of histograms say less of resets */
    CHECK(want.series[0].n > 20);
    for (size_t i = 0; i < want.series[0].n; i++) {
        double w = want.series[0].v[i], g = got.series[0].v[i];

        CHECK_INT(want.series[0].t_ms[i], got.series[0].t_ms[i]);
        if (!(fabs(g - w) <= error * fabs(w)))
            test_fail(__FILE__, __LINE__, "%s at step %zu: %g, not %g", expr, i, g, w);
        want_sum += w;
        got_sum += g;
    }
    if (!(fabs(got_sum - want_sum) <= mean_error * fabs(want_sum)))
        test_fail(__FILE__, __LINE__, "%s: %g, not %g in all", expr, got_sum, want_sum);
}

static void check_all_close(struct fixture *f, int64_t resolution_ms, double rate_error)
{
    check_close(f, "count_over_time(g[6h])", resolution_ms, 0, 0);
    check_close(f, "sum_over_time(g[6h])", resolution_ms, 0, 0);
    check_close(f, "min_over_time(g[6h])", resolution_ms, 0, 0);
    check_close(f, "max_over_time(g[6h])", resolution_ms, 0, 0);
    check_close(f, "avg_over_time(g[6h])", resolution_ms, 1e-9, 1e-9);
    check_close(f, "count_over_time(h[6h])", resolution_ms, 0, 0);
    check_close(f, "histogram_count(sum_over_time(h[6h]))", resolution_ms, 0, 0);
    check_close(f, "histogram_avg(avg_over_time(h[6h]))", resolution_ms, 1e-9, 1e-9);
    check_close(f, "increase(c_total[6h])", resolution_ms, rate_error, rate_error / 10);
    check_close(f, "rate(c_total[6h])", resolution_ms, rate_error, rate_error / 10);
    check_close(f, "histogram_count(increase(h[6h]))", resolution_ms, rate_error, rate_error / 10);
    check_close(f, "histogram_quantile(0.6, rate(h[6h]))", resolution_ms, rate_error,
                rate_error / 10);
}

TEST(store_tiers_answer_as_samples_do)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct fixture f;

        setup(&f, seed);
        check_all_close(&f, AGGR_5M_MS, 0.05);
        check_all_close(&f, AGGR_1H_MS, 0.2);
        teardown(&f);
    }
}

/* Once a NaN was observed the sum of a histogram says no more. */
TEST(store_tiers_know_counts_of_histograms_whose_sum_is_nan)
{
    struct fixture f;

    setup_with(&f, 1, true);
    check_close(&f, "count_over_time(h[6h])", AGGR_5M_MS, 0, 0);
    check_close(&f, "count_over_time(h[6h])", AGGR_1H_MS, 0, 0);
    check_close(&f, "histogram_count(sum_over_time(h[6h]))", AGGR_1H_MS, 0, 0);
    check_close(&f, "histogram_count(increase(h[6h]))", AGGR_5M_MS, 0.05, 0.005);
    check_close(&f, "histogram_count(increase(h[6h]))", AGGR_1H_MS, 0.2, 0.02);
    check_close(&f, "histogram_quantile(0.6, rate(h[6h]))", AGGR_1H_MS, 0.2, 0.02);
    teardown(&f);
}

TEST(store_tiers_are_picked_by_what_is_asked)
{
    struct fixture f;

    setup(&f, 1);
    (void)ask(&f, "rate(c_total[4h])", 0);
    check_tiers(&f, DAYS, 0, 0);
    (void)ask(&f, "rate(c_total[4h])", AGGR_1H_MS);
    check_tiers(&f, 0, 0, DAYS);
    (void)ask(&f, "rate(c_total[3h])", AGGR_1H_MS); /* too few points in a window */
    check_tiers(&f, 0, DAYS, 0);
    (void)ask(&f, "rate(c_total[15m])", AGGR_1H_MS);
    check_tiers(&f, DAYS, 0, 0);
    (void)ask(&f, "quantile_over_time(0.5, g[1d])", AGGR_1H_MS);
    check_tiers(&f, DAYS, 0, 0);
    (void)ask(&f, "timestamp(g)", AGGR_1H_MS);
    check_tiers(&f, DAYS, 0, 0);
    (void)ask(&f, "sum(g)", AGGR_1H_MS);
    check_tiers(&f, 0, 0, DAYS);
    (void)ask(&f, "max_over_time(rate(c_total[4h])[1d:1m])", AGGR_1H_MS);
    check_tiers(&f, DAYS, 0, 0);
    (void)ask(&f, "max_over_time(rate(c_total[4h])[1d:5m])", AGGR_1H_MS);
    check_tiers(&f, 0, DAYS, 0);
    teardown(&f);
}

/* A point of an hour is seen for an hour, so a gauge has no holes but those of the data. */
TEST(store_tiers_show_averages_of_selectors_and_leave_gaps)
{
    struct engine_result got, want;
    struct fixture f;
    size_t k = 0;

    setup(&f, 2);
    got = ask(&f, "g", AGGR_1H_MS);
    want = ask(&f, "avg_over_time(g[1h])", 0);
    CHECK_INT(got.n_series, 1);
    CHECK_INT(got.series[0].n, want.series[0].n);
    for (size_t i = 0; i < got.series[0].n; i++, k++) {
        CHECK_INT(got.series[0].t_ms[i], want.series[0].t_ms[k]);
        CHECK(fabs(got.series[0].v[i] - want.series[0].v[k]) < 1e-9);
    }
    CHECK_INT(got.series[0].n < (DAYS * 24 - 12) * 9 / 10, true);
    teardown(&f);
}

struct forget {
    unsigned tier, first, last;
};

static struct err *forget(void *arg, struct catalogue *c, bool *ret_changed)
{
    const struct forget *f = arg;

    for (unsigned day = f->first; day <= f->last; day++)
        CHECK(catalogue_retire(c, id_of(f->tier, day), 1));
    *ret_changed = true;
    return NULL;
}

static void lose(struct fixture *f, unsigned tier, unsigned first, unsigned last)
{
    struct forget what = {tier, first, last};

    CHECK_OK(catalogue_update(f->bucket, SIGNAL, TENANT, forget, &what, NULL));
}

/* Hours 0-47 of 1h, 48-95 of 5m, the rest as measured: nothing is missing or counted twice at the seams. */
TEST(store_tiers_meet_without_a_gap_or_a_double_count)
{
    struct engine_result want[4], got;
    static const char *const exprs[] = {"count_over_time(c_total[6h])", "sum_over_time(g[6h])",
                                        "increase(c_total[6h])", "quantile_over_time(0.5, g[6h])"};
    struct fixture f;

    setup(&f, 3);
    for (int i = 0; i < 4; i++)
        want[i] = ask(&f, exprs[i], 0);
    lose(&f, 2, 2, DAYS - 1);
    lose(&f, 1, 4, DAYS - 1);
    check_close(&f, exprs[0], AGGR_1H_MS, 0, 0);
    check_close(&f, exprs[1], AGGR_1H_MS, 0, 0);
    check_close(&f, exprs[2], AGGR_1H_MS, 0.2, 0.02);
    check_tiers(&f, 3 * (DAYS + 2) + 4 * DAYS, 3 * 2, 3 * 2);
    lose(&f, 0, 0, 3); /* samples expire: what is left is used, and told */
    lose(&f, 1, 0, 1);
    for (int i = 0; i < 4; i++) {
        got = ask(&f, exprs[i], 0);
        CHECK_INT(got.series[0].n, want[i].series[0].n);
        CHECK(got.n_warnings >= 1);
        CHECK(slice_has_prefix(got.warnings[0], SLICE("samples of a part of the range have")));
        if (i < 2)
            for (size_t k = 0; k < got.series[0].n; k++)
                CHECK(got.series[0].v[k] == want[i].series[0].v[k]);
    }
    teardown(&f);
}

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = true;
    return tombstone_list_add(l, arg);
}

/* Samples of g in [min_ms, max_ms] from T0. Before the first question. */
static void delete_g(struct fixture *f, int64_t min_ms, int64_t max_ms)
{
    struct tombstone t = {.ulid = id_of(9, 9), .created_ms = T0 + DAYS * DAY_MS};
    struct matcher m;

    CHECK_OK(matcher_init(f->a, MATCHER_EQ, SLICE("__name__"), SLICE("g"), &m));
    t.min_ms = T0 + min_ms;
    t.max_ms = T0 + max_ms;
    t.matchers = (struct matchers){&m, 1};
    CHECK_OK(tombstone_list_update(f->bucket, SIGNAL, TENANT, add_tombstone, &t, NULL));
    matcher_done(&m);
}

static void check_equal(const struct engine_result *got, const struct engine_result *want)
{
    CHECK_INT(got->n_series, 1);
    CHECK_INT(got->series[0].n, want->series[0].n);
    for (size_t i = 0; i < want->series[0].n; i++) {
        CHECK_INT(got->series[0].t_ms[i], want->series[0].t_ms[i]);
        CHECK(got->series[0].v[i] == want->series[0].v[i]);
    }
}

static const char *const of_g[] = {"count_over_time(g[6h])", "sum_over_time(g[6h])",
                                   "min_over_time(g[6h])", "max_over_time(g[6h])"};

/* A deletion that begins and ends within windows: those are read as they were measured. */
TEST(store_tiers_answer_as_samples_do_beside_a_deletion)
{
    struct fixture f;

    setup(&f, 4);
    delete_g(&f, 30 * HOUR_MS + 7 * MINUTE_MS, 33 * HOUR_MS + 22 * MINUTE_MS);
    for (int i = 0; i < 4; i++) {
        check_close(&f, of_g[i], AGGR_5M_MS, 0, 0);
        check_close(&f, of_g[i], AGGR_1H_MS, 0, 0);
    }
    check_close(&f, "avg_over_time(g[6h])", AGGR_5M_MS, 1e-9, 1e-9);
    check_close(&f, "avg_over_time(g[6h])", AGGR_1H_MS, 1e-9, 1e-9);
    check_tiers(&f, 10 * DAYS + 5 + 5, 5 * DAYS + 5, 5 * DAYS);
    check_close(&f, "increase(c_total[6h])", AGGR_1H_MS, 0.2, 0.02); /* no concern of this one's */
    check_tiers(&f, DAYS, 0, DAYS);
    teardown(&f);
}

/* Where the samples have expired the windows that it reaches into are out as a whole. */
TEST(store_tiers_leave_out_what_of_a_window_is_not_known)
{
    struct engine_result want[4];
    struct fixture whole, f;

    setup(&whole, 4);
    delete_g(&whole, 30 * HOUR_MS, 34 * HOUR_MS - 1);
    for (int i = 0; i < 4; i++)
        want[i] = ask(&whole, of_g[i], 0);
    setup(&f, 4);
    delete_g(&f, 30 * HOUR_MS + 7 * MINUTE_MS, 33 * HOUR_MS + 22 * MINUTE_MS);
    lose(&f, 0, 0, DAYS - 1);
    lose(&f, 1, 0, DAYS - 1);
    for (int i = 0; i < 4; i++) {
        struct engine_result got = ask(&f, of_g[i], AGGR_1H_MS);

        check_equal(&got, &want[i]);
    }
    teardown(&f);
    teardown(&whole);
}
