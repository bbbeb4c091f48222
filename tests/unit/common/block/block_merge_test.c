#include "common/block/block_merge.h"
#include "common/block/chunk_build.h"
#include "tests/unit/common/block/block_fixture.h"

static void add(struct block_writer *w, struct arena *a, const char *labels, const struct chunk *c,
                size_t n)
{
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = labels_from(a, labels), .chunks = c, .n_chunks = n}));
}

/* Merges blocks 1..n (in this order, or backwards) into block `to`. */
static struct block_merge_stats merge(unsigned n, unsigned to, const struct block_merge_opts *opts,
                                      bool backwards)
{
    struct block_reader *r[8];
    struct block_stream *s[8];
    struct block_merge_stats stats = {0};
    struct block_writer *w = open_writer(to);
    struct arena *a = arena_new(0);
    struct block_meta m;

    for (unsigned i = 0; i < n; i++) {
        r[i] = open_reader(backwards ? n - i : i + 1);
        s[i] = block_stream_of_reader(r[i]);
    }
    CHECK_OK(block_merge(s, n, opts, w, &stats));
    finish_writer(w, a, &m);
    for (unsigned i = 0; i < n; i++) {
        block_stream_close(s[i]);
        block_reader_close(r[i]);
    }
    arena_free(a);
    return stats;
}

static void check_samples(unsigned block, size_t index, const char *want)
{
    struct arena *a = arena_new(0);
    struct block_reader *r = open_reader(block);
    struct block_refs refs;
    struct buf b = {0};

    CHECK_OK(block_reader_select(r, a, (struct matchers){0}, &refs));
    CHECK(index < refs.n);
    samples_text(r, a, refs.ptr[index], &b);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    block_reader_close(r);
    arena_free(a);
}

TEST(block_merge_copies_what_three_replicas_agree_on)
{
    struct arena *a = arena_new(0);
    struct chunk c[2] = {floats(a, FIXTURE_T0, 1000, 3, 1),
                         floats(a, FIXTURE_T0 + 5000, 1000, CHUNK_SAMPLES, 9)};
    struct block_merge_stats st;

    for (unsigned i = 1; i <= 3; i++) {
        struct block_writer *w = open_writer(i);
        struct block_meta m;

        add(w, a, "a=1", c, 2);
        if (i != 2)
            add(w, a, "a=2", c, 1);
        finish_writer(w, a, &m);
    }
    st = merge(3, 4, NULL, false);
    CHECK_INT(st.series, 2);
    CHECK_INT(st.chunks_copied, 3);
    CHECK_INT(st.chunks_deduplicated, 5);
    CHECK_INT(st.chunks_decoded, 0);
    check_samples(4, 1, "0:1 1000:2 2000:3");
    arena_free(a);
}

/* Samples of each chunk of the only series of a block. */
static void check_chunks(unsigned block, const char *want)
{
    struct arena *a = arena_new(0);
    struct block_reader *r = open_reader(block);
    struct block_reader_series s;
    struct block_refs refs;
    struct buf b = {0};
    struct chunk *c;

    CHECK_OK(block_reader_select(r, a, (struct matchers){0}, &refs));
    CHECK_OK(block_reader_series(r, a, refs.ptr[0], &s));
    c = arena_array(a, struct chunk, s.n_chunks);
    CHECK_OK(block_reader_chunks(r, a, s.chunks, s.n_chunks, c));
    for (size_t i = 0; i < s.n_chunks; i++)
        buf_printf(&b, "%s%zu", i ? " " : "", chunk_samples(c[i].data));
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    block_reader_close(r);
    arena_free(a);
}

TEST(block_merge_joins_neighbours_that_fit_into_one_chunk)
{
    static const size_t sizes[2][3] = {{30, 120, 90}, {30, 90, 1}};
    struct arena *a = arena_new(0);
    struct block_merge_stats st;

    for (unsigned i = 0; i < 2; i++) { /* two windows, one after the other */
        struct block_writer *w = open_writer(i + 1);
        struct chunk c[3];
        struct block_meta m;

        for (size_t k = 0; k < 3; k++)
            c[k] = floats(a, FIXTURE_T0 + (int64_t)(3 * i + k) * 1000000, 1000, sizes[i][k], 1);
        add(w, a, "a=1", c, 3);
        finish_writer(w, a, &m);
    }
    st = merge(2, 4, NULL, false);
    check_chunks(4, "30 120 120 91");
    CHECK_INT(st.chunks_copied, 2);
    CHECK_INT(st.chunks_decoded, 4);
    st = merge(1, 5, NULL, false); /* not within one window, where nothing fits */
    check_chunks(5, "30 120 90");
    CHECK_INT(st.chunks_decoded, 0);
    arena_free(a);
}

TEST(block_merge_joins_overlapping_chunks_sample_by_sample)
{
    struct arena *a = arena_new(0);
    struct chunk one[] = {floats(a, FIXTURE_T0, 1000, 3, 1)};        /* 0 1 2 s */
    struct chunk two[] = {floats(a, FIXTURE_T0 + 500, 1500, 2, 50)}; /* 0.5 2 s */
    struct block_merge_stats st;

    for (unsigned i = 1; i <= 2; i++) {
        struct block_writer *w = open_writer(i);
        struct block_meta m;

        add(w, a, "a=1", i == 1 ? one : two, 1);
        finish_writer(w, a, &m);
    }
    st = merge(2, 4, NULL, false);
    CHECK_INT(st.chunks_decoded, 2);
    CHECK_INT(st.samples_merged, 5);
    CHECK_INT(st.samples_dropped, 1);
    CHECK_INT(st.chunks_written, 1);
    check_samples(4, 0, "0:1 500:50 1000:2 2000:51");
    (void)merge(2, 5, NULL, true);
    check_samples(5, 0, "0:1 500:50 1000:2 2000:51");
    arena_free(a);
}

TEST(block_merge_prefers_a_value_over_a_stale_marker_in_any_order)
{
    struct arena *a = arena_new(0);
    static const int64_t t[] = {FIXTURE_T0, FIXTURE_T0 + 1};
    const double stale = sample_from_bits(SAMPLE_STALE_BITS);
    const double x[] = {stale, 5}, y[] = {3, stale};

    for (unsigned i = 1; i <= 2; i++) {
        struct block_writer *w = open_writer(i);
        struct block_meta m;
        struct buf b = {0};
        struct chunk c = {CHUNK_XOR, t[0], t[1], SLICE_EMPTY};

        chunk_xor_encode(&b, t, i == 1 ? x : y, 2);
        c.data = buf_slice(&b);
        add(w, a, "a=1", &c, 1);
        finish_writer(w, a, &m);
        buf_done(&b);
    }
    (void)merge(2, 4, NULL, false);
    (void)merge(2, 5, NULL, true);
    check_samples(4, 0, "0:3 1:5");
    check_samples(5, 0, "0:3 1:5");
    arena_free(a);
}

TEST(block_merge_cuts_to_a_range_and_a_shard)
{
    struct arena *a = arena_new(0);
    struct chunk c[3] = {floats(a, FIXTURE_T0, 1000, 10, 0),
                         floats(a, FIXTURE_T0 + 10000, 1000, 10, 10),
                         floats(a, FIXTURE_T0 + 20000, 1000, 10, 20)};
    struct block_merge_opts opts = {.min_t = FIXTURE_T0 + 8000, .max_t = FIXTURE_T0 + 20000};
    struct block_writer *w = open_writer(1);
    struct block_meta m;
    size_t total = 0;

    for (int i = 0; i < 30; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "a=%02d", i);
        add(w, a, text, c, 3);
    }
    finish_writer(w, a, &m);
    for (unsigned shard = 0; shard < 3; shard++) {
        struct block_merge_stats st;

        opts.shard = shard;
        opts.shards = 3;
        st = merge(1, 10 + shard, &opts, false);
        CHECK(st.series > 2);
        CHECK_INT(st.chunks_copied, st.series);
        total += st.series;
    }
    CHECK_INT(total, 30);
    check_samples(10, 0,
                  "8000:8 9000:9 10000:10 11000:11 12000:12 13000:13 14000:14 15000:15 "
                  "16000:16 17000:17 18000:18 19000:19");
    arena_free(a);
}

TEST(block_merge_mixes_floats_and_histograms)
{
    struct arena *a = arena_new(0);
    static const struct histogram_span span[] = {{0, 1}};
    double bucket[1];
    struct histogram h = {.is_int = true,
                          .pos_spans = span,
                          .n_pos_spans = 1,
                          .pos_buckets = bucket,
                          .n_pos_buckets = 1};
    struct chunk f = floats(a, FIXTURE_T0, 10, 3, 1);
    struct chunk_build b;
    struct block_writer *w;
    struct block_meta m;

    chunk_build_init(&b);
    chunk_build_begin(&b, a);
    for (int i = 0; i < 3; i++) {
        h.count = bucket[0] = 7 + i;
        chunk_build_histogram(&b, FIXTURE_T0 + 15 * i, &h); /* 0 15 30 */
    }
    chunk_build_end(&b);
    CHECK_INT(b.chunks.len, 1);
    w = open_writer(1);
    add(w, a, "a=1", &f, 1);
    finish_writer(w, a, &m);
    w = open_writer(2);
    add(w, a, "a=1", b.chunks.ptr, 1);
    finish_writer(w, a, &m);
    (void)merge(2, 4, NULL, false);
    check_samples(4, 0, "0:h7 10:2 15:h8 20:3 30:h9");
    chunk_build_done(&b);
    arena_free(a);
}

/* Whatever the replicas saw, the merge has every sample once. */
TEST(block_merge_of_random_replicas_is_their_union)
{
    struct arena *a = arena_new(0);
    struct rng r;
    struct buf want = {0};

    rng_seed(&r, 11);
    for (unsigned rep = 1; rep <= 3; rep++) {
        struct block_writer *w = open_writer(rep);
        struct block_meta m;
        struct chunk_build b;

        chunk_build_init(&b);
        chunk_build_begin(&b, a);
        for (int i = 0; i < 1000; i++) /* each sample reached two replicas at least */
            if (i % 3 + 1 != (int)rep || rng_chance(&r, 0.5))
                chunk_build_float(&b, FIXTURE_T0 + i * 15000, i);
        chunk_build_end(&b);
        add(w, a, "a=1", b.chunks.ptr, b.chunks.len);
        finish_writer(w, a, &m);
        chunk_build_done(&b);
    }
    for (int i = 0; i < 1000; i++)
        buf_printf(&want, "%s%d:%d", i ? " " : "", i * 15000, i);
    (void)merge(3, 4, NULL, false);
    check_samples(4, 0, buf_cstr(&want));
    (void)merge(3, 5, NULL, true);
    check_samples(5, 0, buf_cstr(&want));
    buf_done(&want);
    arena_free(a);
}
