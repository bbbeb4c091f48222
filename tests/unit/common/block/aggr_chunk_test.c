#include <math.h>

#include "common/base/rng.h"
#include "common/block/aggr_build.h"
#include "common/block/block_merge.h"
#include "tests/unit/test.h"

#define T0 1700006400000ll /* a multiple of a day */
#define STEP_MS 15000

/* A series as it was measured. */
struct series {
    size_t n;
    int64_t *t;
    double *v;
};

static struct arena *arena;

static struct series new_series(size_t cap)
{
    return (struct series){0, arena_array(arena, int64_t, cap), arena_array(arena, double, cap)};
}

static void put(struct series *s, int64_t t, double v)
{
    s->t[s->n] = t;
    s->v[s->n++] = v;
}

/* Raw chunks of it. */
static struct chunk_build raw_chunks(const struct series *s)
{
    struct chunk_build b;

    chunk_build_init(&b);
    chunk_build_begin(&b, arena);
    for (size_t i = 0; i < s->n; i++)
        chunk_build_float(&b, s->t[i], s->v[i]);
    chunk_build_end(&b);
    return b;
}

/* Their aggregates, as chunks in the arena. */
static struct chunk *downsample(const struct chunk *c, size_t n, int64_t resolution_ms,
                                size_t *ret_n)
{
    struct aggr_build b;
    struct chunk *out;

    aggr_build_init(&b);
    aggr_build_begin(&b, arena, resolution_ms);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(aggr_build_chunk(&b, &c[i]));
    aggr_build_end(&b);
    *ret_n = b.out.chunks.len;
    out = arena_array(arena, struct chunk, *ret_n);
    memcpy(out, b.out.chunks.ptr, *ret_n * sizeof(*out));
    aggr_build_done(&b);
    for (size_t i = 1; i < *ret_n; i++)
        CHECK(out[i].min_t > out[i - 1].max_t);
    return out;
}

static struct chunk *downsample_raw(const struct series *s, int64_t resolution_ms, size_t *ret_n)
{
    struct chunk_build raw = raw_chunks(s);
    struct chunk *out = downsample(raw.chunks.ptr, raw.chunks.len, resolution_ms, ret_n);

    chunk_build_done(&raw);
    return out;
}

/* Every window has its point, which says of the samples in it what they are. */
static void check_windows(const struct series *s, const struct chunk *c, size_t n, int64_t res)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        struct aggr_columns cols;

        CHECK_OK(aggr_chunk_decode(arena, c[i].data, AGGR_ALL, &cols));
        CHECK_INT(cols.t[0], c[i].min_t);
        CHECK_INT(cols.t[cols.n - 1], c[i].max_t);
        CHECK(cols.n <= AGGR_CHUNK_POINTS);
        for (size_t k = 0; k < cols.n; k++) {
            double count = 0, sum = 0, min = INFINITY, max = -INFINITY;
            int64_t window = cols.t[k] / res;

            for (; at < s->n && s->t[at] / res == window; at++) {
                if (isnan(s->v[at]))
                    continue;
                count++;
                sum += s->v[at];
                min = fmin(min, s->v[at]);
                max = fmax(max, s->v[at]);
            }
            CHECK(k == cols.n - 1 || cols.t[k] == (window + 1) * res - 1);
            CHECK(cols.count[k] == count && cols.sum[k] == sum);
            CHECK(cols.min[k] == min && cols.max[k] == max);
            while (at < s->n && isnan(s->v[at]))
                at++;
        }
    }
    CHECK_INT(at, s->n);
}

static struct series gauge_with_gaps(struct rng *r, size_t n)
{
    struct series s = new_series(n + 1);
    int64_t t = T0 + (int64_t)rng_below(r, 3600000);

    for (size_t i = 0; i < n; i++) {
        t += rng_chance(r, 0.01) ? (int64_t)rng_below(r, 20000000) : STEP_MS;
        put(&s, t,
            rng_chance(r, 0.01)   ? sample_from_bits(SAMPLE_STALE_BITS)
            : rng_chance(r, 0.01) ? (double)NAN
                                  : (double)rng_below(r, 1000) - 500);
    }
    return s;
}

TEST(aggr_points_are_exact_and_gaps_stay_gaps)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct chunk *c5, *c60;
        struct series s;
        struct rng r;
        size_t n5, n60;

        arena = arena_new(0);
        rng_seed(&r, seed);
        s = gauge_with_gaps(&r, 1 + rng_below(&r, 6000));
        put(&s, s.t[s.n - 1] + 1, 1); /* so that the last is one that counts */
        c5 = downsample_raw(&s, AGGR_5M_MS, &n5);
        check_windows(&s, c5, n5, AGGR_5M_MS);
        c60 = downsample(c5, n5, AGGR_1H_MS, &n60);
        check_windows(&s, c60, n60, AGGR_1H_MS);
        arena_free(arena);
    }
}

/* What a counter grew by from the first sample to the last, by PromQL's rule. */
static double increase_of(const struct series *s)
{
    double sum = 0;

    for (size_t i = 1; i < s->n; i++)
        sum += s->v[i] >= s->v[i - 1] ? s->v[i] - s->v[i - 1] : s->v[i];
    return sum;
}

static double increase_of_chunks(const struct chunk *c, size_t n)
{
    struct aggr_counter counter = {0};
    double first = 0;

    for (size_t i = 0; i < n; i++) {
        struct aggr_columns cols;

        CHECK_OK(aggr_chunk_decode(arena, c[i].data, AGGR_ALL, &cols));
        for (size_t k = 0; k < cols.n_counter; k++) {
            double before = counter.total, now = aggr_counter_add(&counter, cols.counter[k]);

            CHECK(now >= before);
            if (i == 0 && k == 0)
                first = now;
        }
        aggr_counter_end(&counter, cols.last);
    }
    return counter.total - first;
}

static struct series counter_with_resets(struct rng *r, int64_t t, size_t n)
{
    struct series s = new_series(n + 1);
    double v = (double)rng_below(r, 100);

    for (size_t i = 0; i < n; i++, t += STEP_MS) {
        v = rng_chance(r, 0.003) ? (double)rng_below(r, 5) : v + (double)rng_below(r, 10);
        put(&s, t, v);
    }
    return s;
}

TEST(aggr_counter_keeps_every_increase_whatever_the_resets)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct chunk *c5, *c60;
        struct series s;
        struct rng r;
        size_t n5, n60;

        arena = arena_new(0);
        rng_seed(&r, seed);
        s = counter_with_resets(&r, T0 + (int64_t)rng_below(&r, 100000), 1 + rng_below(&r, 20000));
        c5 = downsample_raw(&s, AGGR_5M_MS, &n5);
        CHECK(increase_of_chunks(c5, n5) == increase_of(&s));
        c60 = downsample(c5, n5, AGGR_1H_MS, &n60);
        CHECK(increase_of_chunks(c60, n60) == increase_of(&s));
        arena_free(arena);
    }
}

/* The second half from a block of its own: the reset between them is found by the true last value. */
TEST(aggr_counter_goes_on_from_block_to_block)
{
    struct chunk *c5, *more, all[64];
    struct series s, half;
    size_t n5, n_more;
    struct rng r;

    arena = arena_new(0);
    rng_seed(&r, 7);
    s = counter_with_resets(&r, T0, 11520);
    half = (struct series){5760, s.t, s.v};
    c5 = downsample_raw(&half, AGGR_5M_MS, &n5);
    half = (struct series){s.n - 5760, s.t + 5760, s.v + 5760};
    more = downsample_raw(&half, AGGR_5M_MS, &n_more);
    CHECK(n5 + n_more < 64);
    memcpy(all, c5, n5 * sizeof(*c5));
    memcpy(all + n5, more, n_more * sizeof(*more));
    CHECK(increase_of_chunks(all, n5 + n_more) == increase_of(&s));
    arena_free(arena);
}

/* ---- native histograms ---- */

static struct histogram hist(double in_first, double in_second, enum histogram_hint hint)
{
    static const struct histogram_span spans[] = {{0, 2}};
    double *b = arena_array(arena, double, 2);

    b[0] = in_first;
    b[1] = in_second;
    return (struct histogram){.schema = 0,
                              .hint = hint,
                              .zero_threshold = 1e-9,
                              .count = in_first + in_second,
                              .sum = 0.5 * in_first + 1.5 * in_second,
                              .pos_spans = spans,
                              .n_pos_spans = 1,
                              .pos_buckets = b,
                              .n_pos_buckets = 2};
}

static struct chunk *hist_chunks(const int64_t *t, const struct histogram *h, size_t n,
                                 size_t *ret_n)
{
    struct chunk_build b;
    struct chunk *out;

    chunk_build_init(&b);
    chunk_build_begin(&b, arena);
    for (size_t i = 0; i < n; i++)
        chunk_build_histogram(&b, t[i], &h[i]);
    chunk_build_end(&b);
    out = arena_array(arena, struct chunk, b.chunks.len);
    memcpy(out, b.chunks.ptr, b.chunks.len * sizeof(*out));
    *ret_n = b.chunks.len;
    chunk_build_done(&b);
    return out;
}

/* Of the counts in all chunks, resets told by hints and by falling. */
static double hist_increase(const struct chunk *c, size_t n, double *ret_counted)
{
    double grown = 0, last = -1;

    *ret_counted = 0;
    for (size_t i = 0; i < n; i++) {
        struct aggr_columns cols;

        CHECK_OK(aggr_chunk_decode(arena, c[i].data, AGGR_ALL, &cols));
        CHECK(cols.sum_h && cols.counter_h);
        for (size_t k = 0; k < cols.n; k++) {
            *ret_counted += cols.count[k];
            CHECK(cols.sum_h[k].hint == HISTOGRAM_GAUGE);
        }
        for (size_t k = 0; k < cols.n_counter; k++) {
            double v = cols.counter_h[k].count;

            if (last >= 0)
                grown += cols.counter_h[k].hint == HISTOGRAM_RESET || v < last ? v : v - last;
            last = v;
        }
    }
    return grown;
}

TEST(aggr_histogram_counters_keep_every_increase)
{
    enum { N = 8000 };
    struct chunk *raw, *c5, *c60;
    struct histogram *h;
    size_t n_raw, n5, n60;
    double want = 0, counted, a = 0, b = 0, last = 0;
    struct rng r;
    int64_t *t;

    arena = arena_new(0);
    h = arena_array(arena, struct histogram, N);
    t = arena_array(arena, int64_t, N);
    rng_seed(&r, 3);
    for (size_t i = 0; i < N; i++) {
        bool is_reset = rng_chance(&r, 0.004);

        a = is_reset ? 1 : a + (double)rng_below(&r, 5);
        b = is_reset ? 1 : b + (double)rng_below(&r, 50);
        t[i] = T0 + (int64_t)i * STEP_MS;
        h[i] = hist(a, b, HISTOGRAM_UNKNOWN);
        if (i)
            want += a + b < last ? a + b : a + b - last;
        last = a + b;
    }
    raw = hist_chunks(t, h, N, &n_raw);
    c5 = downsample(raw, n_raw, AGGR_5M_MS, &n5);
    CHECK(hist_increase(c5, n5, &counted) == want);
    CHECK(counted == N);
    c60 = downsample(c5, n5, AGGR_1H_MS, &n60);
    CHECK(hist_increase(c60, n60, &counted) == want);
    CHECK(counted == N);
    arena_free(arena);
}

/* One NaN was observed, or a marker says that the series has ended. */
TEST(aggr_histograms_whose_sum_is_nan_keep_their_counts)
{
    enum { N = 600 };
    struct histogram *h;
    struct chunk *raw, *c5, *c60;
    size_t n_raw, n5, n60;
    double counted;
    int64_t *t;

    arena = arena_new(0);
    h = arena_array(arena, struct histogram, N);
    t = arena_array(arena, int64_t, N);
    for (size_t i = 0; i < N; i++) {
        t[i] = T0 + (int64_t)i * STEP_MS;
        h[i] = hist((double)i, 2 * (double)i, HISTOGRAM_UNKNOWN);
        h[i].sum = i >= 100 ? NAN : h[i].sum;
    }
    h[N - 1] = (struct histogram){.sum = sample_from_bits(SAMPLE_STALE_BITS)};
    raw = hist_chunks(t, h, N, &n_raw);
    c5 = downsample(raw, n_raw, AGGR_5M_MS, &n5);
    CHECK(hist_increase(c5, n5, &counted) == 3 * (N - 2));
    CHECK(counted == N - 1);
    c60 = downsample(c5, n5, AGGR_1H_MS, &n60);
    CHECK(hist_increase(c60, n60, &counted) == 3 * (N - 2));
    CHECK(counted == N - 1);
    arena_free(arena);
}

TEST(aggr_gauge_histograms_are_added_up)
{
    int64_t t[] = {T0, T0 + 60000, T0 + 300000};
    struct aggr_columns cols;
    struct histogram h[3];
    struct chunk *raw, *c;
    size_t n_raw, n;

    arena = arena_new(0);
    h[0] = hist(5, 1, HISTOGRAM_GAUGE);
    h[1] = hist(1, 0, HISTOGRAM_GAUGE);
    h[2] = hist(7, 7, HISTOGRAM_GAUGE);
    raw = hist_chunks(t, h, 3, &n_raw);
    c = downsample(raw, n_raw, AGGR_5M_MS, &n);
    CHECK_INT(n, 1);
    CHECK_OK(aggr_chunk_decode(arena, c[0].data, AGGR_ALL, &cols));
    CHECK_INT(cols.n, 2);
    CHECK(cols.count[0] == 2 && cols.sum_h[0].count == 7 && cols.sum_h[0].sum == 4.5);
    CHECK(cols.count[1] == 1 && cols.sum_h[1].count == 14);
    CHECK_INT(cols.t[0], T0 + 299999);
    CHECK_INT(cols.t[1], T0 + 300000); /* not behind what it sums up */
    CHECK(cols.counter_h[cols.n_counter - 1].count == 14);
    arena_free(arena);
}

TEST(aggr_floats_and_histograms_of_one_series_come_apart)
{
    struct aggr_columns cols;
    struct chunk_build b;
    struct histogram h;
    struct chunk *c;
    size_t n;

    arena = arena_new(0);
    h = hist(1, 2, HISTOGRAM_UNKNOWN);
    chunk_build_init(&b);
    chunk_build_begin(&b, arena);
    chunk_build_float(&b, T0, 1);
    chunk_build_histogram(&b, T0 + 1000, &h);
    chunk_build_float(&b, T0 + 2000, 3);
    chunk_build_end(&b);
    c = downsample(b.chunks.ptr, b.chunks.len, AGGR_5M_MS, &n);
    chunk_build_done(&b);
    CHECK_INT(n, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(aggr_chunk_decode(arena, c[i].data, AGGR_ALL, &cols));
        CHECK_INT(cols.n, 1);
        CHECK_INT(cols.t[0], T0 + 1000 * (int64_t)i);
        CHECK((cols.sum_h != NULL) == (i == 1));
    }
    arena_free(arena);
}

/* ---- bytes ---- */

/* Two windows as Thanos writes them: five XOR chunks; counter has the first sample as it was, a total for
 * each window, and the last sample once more. Reset from 4 to 1 in the first window. */
TEST(aggr_bytes_are_those_of_thanos)
{
    struct series s;
    struct aggr_columns cols;
    struct aggr_chunk parts;
    struct chunk *c;
    int64_t t[4];
    double v[4];
    size_t n;

    arena = arena_new(0);
    s = new_series(8);
    put(&s, T0, 3);
    put(&s, T0 + 60000, 4);
    put(&s, T0 + 120000, 1);
    put(&s, T0 + 300000, 6);
    c = downsample_raw(&s, AGGR_5M_MS, &n);
    CHECK_INT(n, 1);
    CHECK_INT(c[0].encoding, 255);
    CHECK_INT(c[0].data.ptr[1], CHUNK_XOR);                /* behind count's length */
    CHECK(c[0].data.ptr[2] == 0 && c[0].data.ptr[3] == 2); /* its two samples */
    CHECK_OK(aggr_chunk_split(c[0].data, &parts));
    CHECK_INT(chunk_samples(parts.parts[AGGR_COUNTER].data), 4);
    CHECK_OK(chunk_xor_decode(parts.parts[AGGR_COUNTER].data, 4, t, v, &n));
    CHECK(t[0] == T0 && v[0] == 3);
    CHECK(t[1] == T0 + 299999 && v[1] == 5);
    CHECK(t[2] == T0 + 300000 && v[2] == 10);
    CHECK(t[3] == T0 + 300000 && v[3] == 6);
    CHECK_OK(aggr_chunk_decode(arena, c[0].data, AGGR_ALL, &cols));
    CHECK_INT(cols.n_counter, 3);
    CHECK(cols.last == 6);
    arena_free(arena);
}

TEST(aggr_chunk_that_lies_is_refused)
{
    struct aggr_columns cols;
    struct series s;
    struct chunk *c;
    uint8_t *bytes;
    size_t n;

    arena = arena_new(0);
    s = new_series(8);
    put(&s, T0, 3);
    put(&s, T0 + 400000, 4);
    c = downsample_raw(&s, AGGR_5M_MS, &n);
    for (size_t i = 0; i < c[0].data.len; i++)
        CHECK_ERR(aggr_chunk_decode(arena, slice_of(c[0].data.ptr, i), AGGR_ALL, &cols),
                  ERR_CORRUPT, "");
    bytes = arena_alloc(arena, c[0].data.len + 1);
    memcpy(bytes, c[0].data.ptr, c[0].data.len);
    bytes[c[0].data.len] = 0;
    CHECK_ERR(aggr_chunk_decode(arena, slice_of(bytes, c[0].data.len + 1), AGGR_ALL, &cols),
              ERR_CORRUPT, "behind its end");
    bytes[1] = 77;
    CHECK_ERR(aggr_chunk_decode(arena, slice_of(bytes, c[0].data.len), AGGR_ALL, &cols),
              ERR_CORRUPT, "count has an unknown encoding");
    CHECK_ERR(aggr_chunk_decode(arena, SLICE("\0\0\0\0\0"), AGGR_ALL, &cols), ERR_UNSUPPORTED,
              "without count");
    CHECK_INT(aggr_chunk_points(c[0].data), 2);
    CHECK_INT(aggr_chunk_points(SLICE("x")), 0);
    arena_free(arena);
}

static bool is_in_second_window(void *arg, int64_t t)
{
    (void)arg;
    return t >= T0 + AGGR_5M_MS && t < T0 + 2 * AGGR_5M_MS;
}

TEST(aggr_chunk_loses_points_that_are_deleted)
{
    struct aggr_columns cols;
    struct chunk_build out;
    uint64_t dropped = 0;
    struct series s;
    struct chunk *c;
    size_t n;

    arena = arena_new(0);
    s = new_series(8);
    for (int i = 0; i < 6; i++)
        put(&s, T0 + i * 150000, 10 * i);
    c = downsample_raw(&s, AGGR_5M_MS, &n);
    chunk_build_init(&out);
    chunk_build_begin(&out, arena);
    CHECK_OK(aggr_chunk_without(arena, &c[0], is_in_second_window, NULL, &out, &dropped));
    chunk_build_end(&out);
    CHECK_INT(dropped, 1);
    CHECK_INT(out.chunks.len, 1);
    CHECK_OK(aggr_chunk_decode(arena, out.chunks.ptr[0].data, AGGR_ALL, &cols));
    CHECK_INT(cols.n, 2);
    CHECK(cols.sum[0] == 10 && cols.sum[1] == 90);
    CHECK_INT(cols.n_counter, 3);
    CHECK(cols.counter[0] == 0 && cols.counter[1] == 10 && cols.counter[2] == 50);
    chunk_build_done(&out);
    arena_free(arena);
}

TEST(aggr_chunks_that_overlap_are_kept_by_what_they_sum_up)
{
    struct chunk c[3];
    struct series s;
    size_t n, kept;

    arena = arena_new(0);
    s = new_series(16);
    for (int i = 0; i < 8; i++)
        put(&s, T0 + i * 150000, i);
    c[0] = downsample_raw(&(struct series){4, s.t, s.v}, AGGR_5M_MS, &n)[0];
    c[1] = downsample_raw(&(struct series){3, s.t + 1, s.v + 1}, AGGR_5M_MS, &n)[0];
    c[2] = downsample_raw(&(struct series){2, s.t + 6, s.v + 6}, AGGR_5M_MS, &n)[0];
    CHECK_OK(block_merge_pick_aggregates(arena, c, 3, &kept));
    CHECK_INT(kept, 2);
    CHECK(c[0].min_t == T0 + 299999 && c[1].min_t == T0 + 1050000);
    arena_free(arena);
}
