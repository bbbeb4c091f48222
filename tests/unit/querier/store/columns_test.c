#include <math.h>

#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/block/aggr_build.h"
#include "common/block/start_runs.h"
#include "querier/store/columns.h"
#include "tests/unit/test.h"

#define SPAN 400

static struct chunk chunk_of(struct arena *a, const int64_t *t, const double *v, size_t n)
{
    struct buf b = {0};
    struct chunk c;

    chunk_xor_encode(&b, t, v, n);
    c = (struct chunk){CHUNK_XOR, t[0], t[n - 1], arena_dup(a, buf_slice(&b))};
    buf_done(&b);
    return c;
}

/* The greater sample at one time, by the rule of the header, floats only. */
static double greater(double a, double b)
{
    if (sample_is_stale(a) != sample_is_stale(b))
        return sample_is_stale(a) ? b : a;
    return sample_bits(a) > sample_bits(b) ? a : b;
}

struct naive {
    bool has[SPAN];
    double v[SPAN];
};

/* A replica: a random part of the truth, cut into chunks at random places; now and then another
 * value. */
static void add_replica(struct arena *a, struct rng *rng, struct columns_chunk *chunks, size_t *n,
                        const struct block_interval *deleted, struct naive *naive)
{
    int64_t t[SPAN];
    double v[SPAN];
    size_t len = 0;

    for (int64_t i = 0; i <= SPAN; i++) {
        bool is_there = i < SPAN && rng_u32(rng) % 4;

        if (is_there) {
            t[len] = i;
            v[len] = rng_u32(rng) % 50 ? (double)i : (double)(rng_u32(rng) % 7);
            if (rng_u32(rng) % 60 == 0)
                v[len] = sample_from_bits(SAMPLE_STALE_BITS);
            if (!deleted || i < deleted->min_t || i > deleted->max_t) {
                naive->v[i] = naive->has[i] ? greater(naive->v[i], v[len]) : v[len];
                naive->has[i] = true;
            }
            len++;
        }
        if (len && (i == SPAN || rng_u32(rng) % 30 == 0)) {
            chunks[(*n)++] =
                (struct columns_chunk){chunk_of(a, t, v, len), deleted, deleted ? 1 : 0, 0};
            len = 0;
        }
    }
}

static void check(const struct naive *naive, const struct storage_series *s, int64_t min,
                  int64_t max)
{
    size_t k = 0;

    for (int64_t i = min; i <= max; i++) {
        if (i < 0 || i >= SPAN || !naive->has[i])
            continue;
        CHECK(k < s->n);
        CHECK_INT(s->t_ms[k], i);
        CHECK(sample_bits(s->v[k]) == sample_bits(naive->v[i]));
        k++;
    }
    CHECK_INT(s->n, k);
}

TEST(columns_merge_replicas_as_a_naive_table_does)
{
    struct columns *c = columns_new();

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct arena *a = arena_new(0);
        struct columns_chunk *chunks = arena_array(a, struct columns_chunk, 4 * SPAN + 400);
        struct block_interval deleted = {100, 150};
        struct naive naive = {0};
        struct storage_series s = {0};
        size_t n = 0, replicas;
        struct rng rng;
        int64_t min, max;

        rng_seed(&rng, seed);
        replicas = 1 + rng_u32(&rng) % 3;
        for (size_t i = 0; i < replicas; i++)
            add_replica(a, &rng, chunks, &n, rng_u32(&rng) % 3 ? NULL : &deleted, &naive);
        for (size_t i = 0; i < n && rng_u32(&rng) % 2; i++) /* some chunks twice */
            chunks[n + i] = chunks[i],
                       chunks[n + i].chunk.data = arena_dup(a, chunks[i].chunk.data);
        min = (int64_t)(rng_u32(&rng) % SPAN) - 10;
        max = min + (int64_t)(rng_u32(&rng) % SPAN);
        CHECK_OK(columns_fill(c, a, chunks, n, min, max, &s));
        check(&naive, &s, min, max);
        CHECK(!s.h);
        arena_free(a);
    }
    columns_free(c);
}

TEST(columns_answer_does_not_depend_on_the_order_of_chunks)
{
    struct arena *a = arena_new(0);
    struct columns *c = columns_new(), *d = columns_new();
    struct columns_chunk x[2], y[2];
    struct storage_series s, r;

    x[0].chunk = chunk_of(a, (int64_t[]){1, 2, 3}, (double[]){1, 9, 3}, 3);
    x[1].chunk = chunk_of(a, (int64_t[]){2, 3, 4}, (double[]){2, 3, 4}, 3);
    x[0].n_deleted = x[1].n_deleted = 0;
    x[0].deleted = x[1].deleted = NULL;
    y[0] = x[1];
    y[1] = x[0];
    CHECK_OK(columns_fill(c, a, x, 2, 0, 10, &s));
    CHECK_OK(columns_fill(d, a, y, 2, 0, 10, &r));
    CHECK_INT(s.n, 4);
    CHECK_INT(r.n, 4);
    CHECK(s.v[1] == 9 && r.v[1] == 9);
    columns_free(c);
    columns_free(d);
    arena_free(a);
}

TEST(columns_give_each_sample_its_start_timestamp)
{
    struct arena *a = arena_new(0);
    struct columns *c = columns_new();
    struct columns_chunk x[5] = {0};
    struct storage_series s;

    /* two replicas of which each missed something, one of them without starts at first */
    x[0].chunk = chunk_of(a, (int64_t[]){1, 2, 4}, (double[]){1, 2, 4}, 3);
    x[1].chunk = chunk_of(a, (int64_t[]){2, 3, 4, 9}, (double[]){2, 3, 4, 9}, 4);
    for (int order = 0; order < 2; order++) {
        CHECK(start_runs_chunk(a, (struct start_run[]){{1, 2, -5}, {4, 4, 3}}, 2,
                               &x[2 + order].chunk));
        CHECK(start_runs_chunk(a, (struct start_run[]){{2, 3, -5}}, 1, &x[3 - order].chunk));
        CHECK_OK(columns_fill(c, a,
                              memcpy(arena_array(a, struct columns_chunk, 4), x, 4 * sizeof(*x)), 4,
                              2, 100, &s));
        CHECK_INT(s.n, 4);
        CHECK(s.st_ms);
        CHECK(s.st_ms[0] == -5 && s.st_ms[1] == -5 && s.st_ms[2] == 3 && s.st_ms[3] == 0);
    }
    CHECK_OK(columns_fill(c, a, x, 4, 9, 9, &s)); /* none of these has one */
    CHECK_INT(s.n, 1);
    CHECK(!s.st_ms);
    x[0].chunk = (struct chunk){CHUNK_STARTS, 0, 9, SLICE("\x07")};
    CHECK_ERR(columns_fill(c, a, x, 1, 0, 9, &s), ERR_CORRUPT, "start timestamps");
    columns_free(c);
    arena_free(a);
}

TEST(columns_mix_floats_and_histograms)
{
    static const struct histogram_span span = {0, 2};
    static const double buckets[] = {1, 2};
    struct histogram h = {.schema = 0,
                          .is_int = true,
                          .count = 3,
                          .sum = 4.5,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = buckets,
                          .n_pos_buckets = 2};
    struct chunk_hist_appender *ap = chunk_hist_appender_new();
    struct arena *a = arena_new(0);
    struct columns *c = columns_new();
    struct columns_chunk chunks[2] = {0};
    struct storage_series s;

    for (int64_t t = 2; t < 5; t++)
        CHECK(chunk_hist_append(ap, t, &h, 100) == CHUNK_HIST_ADDED);
    chunks[0].chunk =
        (struct chunk){chunk_hist_appender_encoding(ap), 2, 4, chunk_hist_appender_data(ap)};
    chunks[1].chunk = chunk_of(a, (int64_t[]){1, 2}, (double[]){7, 8}, 2);
    CHECK_OK(columns_fill(c, a, chunks, 2, 0, 10, &s));
    CHECK_INT(s.n, 4);
    CHECK(s.h && !s.h[0] && s.h[1] && s.h[3]);
    CHECK(s.v[0] == 7 && s.v[1] == 4.5); /* the histogram wins over the float of the same time */
    CHECK(s.h[2]->count == 3);
    chunk_hist_appender_free(ap);
    columns_free(c);
    arena_free(a);
}

TEST(columns_refuse_broken_chunks)
{
    struct arena *a = arena_new(0);
    struct columns *c = columns_new();
    struct columns_chunk ch = {.chunk = {CHUNK_XOR, 1, 3, SLICE("\0\5xy")}};
    struct storage_series s;

    CHECK_ERR(columns_fill(c, a, &ch, 1, 0, 10, &s), ERR_CORRUPT, "");
    ch.chunk = chunk_of(a, (int64_t[]){3, 2}, (double[]){1, 2}, 2);
    ch.chunk.min_t = 2;
    ch.chunk.max_t = 3;
    CHECK_ERR(columns_fill(c, a, &ch, 1, 0, 10, &s), ERR_CORRUPT, "increase");
    ch.chunk.encoding = 9;
    CHECK_ERR(columns_fill(c, a, &ch, 1, 0, 10, &s), ERR_UNSUPPORTED, "");
    columns_free(c);
    arena_free(a);
}

/* ---- counters in chunks of aggregates ---- */

#define COUNTER_SAMPLES 6000 /* a minute apart: four days */

/* A counter with gaps, resets, and now and then a NaN or an infinity. */
static size_t make_counter(struct rng *rng, int64_t *t, double *v)
{
    double value = 0;
    size_t n = 0;

    for (int64_t i = 0; i < COUNTER_SAMPLES; i++) {
        value = rng_below(rng, 700) ? value + rng_unit(rng) * 10 : rng_unit(rng);
        if (rng_below(rng, 900) == 0)
            i += (int64_t)rng_below(rng, 300);
        t[n] = i * 60000 + (int64_t)rng_below(rng, 50);
        v[n] = value;
        if (rng_below(rng, 800) == 0)
            v[n] = rng_chance(rng, 0.7) ? NAN : INFINITY;
        n++;
    }
    return n;
}

/* Sample by sample, as aggr_chunk.h says it; points of one window are the last one of it, but for the very first. */
static size_t naive_counter(struct arena *a, const struct columns_chunk *chunks, size_t n,
                            int64_t *t, double *v)
{
    struct aggr_counter counter = {0};
    int64_t *span = arena_array(a, int64_t, COUNTER_SAMPLES * 2);
    size_t all = 0, out = 0;

    for (size_t i = 0; i < n; i++) {
        const struct chunk *c = &chunks[i].chunk;
        struct aggr_columns in = {0};
        struct chunk_columns raw;

        if (c->encoding == CHUNK_AGGR) {
            CHECK_OK(aggr_chunk_decode(a, c->data, AGGR_ALL, &in));
        } else {
            CHECK_OK(chunk_decode(a, c->encoding, c->data, &raw));
            in = (struct aggr_columns){.n_counter = raw.n, .counter_t = raw.t, .counter = raw.v};
        }
        for (size_t k = 0; k < in.n_counter; k++, all++) {
            t[all] = in.counter_t[k];
            v[all] =
                isnan(in.counter[k]) ? in.counter[k] : aggr_counter_add(&counter, in.counter[k]);
            span[all] = c->encoding == CHUNK_AGGR ? AGGR_5M_MS : 0;
        }
        if (c->encoding == CHUNK_AGGR)
            aggr_counter_end(&counter, in.last);
    }
    for (size_t i = 0; i < all; i++) {
        if (i && i + 1 < all && span[i] && span[i + 1] &&
            t[i] / AGGR_5M_MS == t[i + 1] / AGGR_5M_MS)
            continue;
        t[out] = t[i];
        v[out++] = v[i];
    }
    return out;
}

/* The first half by aggregates, or all of it; the rest as samples. */
TEST(columns_take_resets_out_as_one_sample_after_the_other_does)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct arena *a = arena_new(0);
        int64_t *t = arena_array(a, int64_t, COUNTER_SAMPLES * 2), edge;
        double *v = arena_array(a, double, COUNTER_SAMPLES * 2);
        struct columns_chunk *chunks = arena_array(a, struct columns_chunk, 200);
        struct columns *c = columns_new();
        struct storage_series s;
        struct aggr_build b;
        struct rng rng;
        size_t n, n_chunks = 0, half, k = 0;

        rng_seed(&rng, seed);
        n = make_counter(&rng, t, v);
        edge = t[n - 1];
        if (seed % 3 == 0)
            edge = edge / 2 / AGGR_5M_MS * AGGR_5M_MS - 1;
        for (half = 0; half < n && t[half] <= edge;)
            half++;
        aggr_build_init(&b);
        aggr_build_begin(&b, a, AGGR_5M_MS);
        for (; k < half; k += ORR_MIN((size_t)120, half - k)) {
            struct chunk raw = chunk_of(a, t + k, v + k, ORR_MIN((size_t)120, half - k));

            CHECK_OK(aggr_build_chunk(&b, &raw));
        }
        aggr_build_end(&b);
        VEC_FOREACH (made, &b.out.chunks)
            chunks[n_chunks++] = (struct columns_chunk){.chunk = *made, .tier = 1};
        for (; k < n; k += ORR_MIN((size_t)120, n - k))
            chunks[n_chunks++] = (struct columns_chunk){
                .chunk = chunk_of(a, t + k, v + k, ORR_MIN((size_t)120, n - k))};
        columns_set_view(
            c, &(struct columns_view){
                   .value = COLUMNS_COUNTER,
                   .spans = (struct tier_span[]){{INT64_MIN, edge, 1}, {edge + 1, INT64_MAX, 0}},
                   .n_spans = 2});
        n = naive_counter(a, chunks, n_chunks, t, v);
        CHECK_OK(columns_fill(c, a, chunks, n_chunks, INT64_MIN, INT64_MAX, &s));
        CHECK_INT(s.n, n);
        for (size_t i = 0; i < n; i++) {
            CHECK_INT(s.t_ms[i], t[i]);
            CHECK(sample_bits(s.v[i]) == sample_bits(v[i]));
        }
        aggr_build_done(&b);
        columns_free(c);
        arena_free(a);
    }
}
