#include "common/base/rng.h"
#include "ingester/door/log_batch.h"
#include "tests/unit/test.h"

static const struct tenant_limits limits = {.generation = 1};

static uint32_t stream(struct log_batch *b, const char *value)
{
    struct label l = {SLICE("a"), slice_cstr(value)};
    struct slice labels = labels_canonical_dup(b->arena, (struct labels){&l, 1});
    struct hash128 fp = labels_fingerprint_of_canonical(labels);
    uint32_t at = log_batch_find(b, fp);

    return at != LOG_BATCH_NONE ? at : log_batch_put(b, fp, labels);
}

TEST(log_batch_has_the_documented_bytes)
{
    static const struct label md[] = {{SLICE_INIT("k"), SLICE_INIT("v")}};
    struct log_batch *b = log_batch_new(SLICE("t"), &limits);
    struct buf out = {0};
    uint32_t s = stream(b, "x");
    const uint8_t *p;

    log_batch_add(
        b, s, &(struct log_entry){.t_ns = 3, .line = SLICE("li"), .metadata = md, .n_metadata = 1});
    log_batch_add(
        b, s, &(struct log_entry){.t_ns = 2, .line = SLICE(""), .metadata = md, .n_metadata = 1});
    log_batch_encode(b, NULL, 0, false, &out);
    p = out.ptr;
    CHECK_INT(out.len, 2 + 16 + 9 + 1 + 10 + 4);
    CHECK(memcmp(p, "\1\1", 2) == 0);
    CHECK(memcmp(p + 2, &b->streams.ptr[s].fp.lo, 8) == 0);
    CHECK(memcmp(p + 10, &b->streams.ptr[s].fp.hi, 8) == 0);
    CHECK(memcmp(p + 18,
                 "\x08\x0a\x06\x0a\x01"
                 "a\x12\x01x",
                 9) == 0);
    CHECK(memcmp(p + 27,
                 "\x02"
                 "\x06\x02li\x01\x00\x01k\x01v"
                 "\x01\x00\x01\x01",
                 15) == 0);
    buf_reset(&out);
    b->streams.ptr[s].is_known = true;
    log_batch_encode(b, &s, 1, false, &out);
    CHECK_INT(out.len, 2 + 16 + 1 + 1 + 10 + 4);
    CHECK_INT(out.ptr[18], 0);
    buf_done(&out);
    log_batch_free(b);
}

TEST(log_batch_splits_a_stream_where_the_time_changes)
{
    static const int64_t times[] = {1, 2, 2, 2, 3, 4};
    static const uint32_t want[] = {2, 1, 3, 1}; /* streams' lines: x is cut into 1, 3, 1 and 1 */
    struct log_batch *b = log_batch_new(SLICE("t"), &limits);
    uint32_t y = stream(b, "y"), x = stream(b, "x"), seen = 0;

    for (size_t i = 0; i < 6; i++) {
        log_batch_add(b, x, &(struct log_entry){.t_ns = times[i], .line = SLICE("1234567890")});
        if (i < 2)
            log_batch_add(b, y, &(struct log_entry){.t_ns = 9, .line = SLICE("y")});
    }
    CHECK_INT(b->streams.ptr[x].bytes, 60);
    log_batch_split(b, x, 10);
    CHECK_INT(b->streams.len, 5);
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(b->streams.ptr[i].n, want[i]);
    CHECK_INT(b->streams.ptr[4].n, 1);
    for (size_t i = 1; i < 5; i++) {
        const struct log_stream *s = &b->streams.ptr[i];
        uint32_t n = 0;

        CHECK(hash128_eq(s->fp, b->streams.ptr[x].fp));
        CHECK_INT(s->bytes, 10 * s->n);
        LOG_BATCH_FOREACH(e, b, s)
        {
            CHECK_INT(e->t_ns, times[seen++]);
            n++;
        }
        CHECK_INT(n, s->n);
    }
    CHECK_INT(seen, 6);
    CHECK_INT(log_batch_find(b, b->streams.ptr[x].fp), x);
    log_batch_split(b, y, 1000); /* of one piece */
    CHECK_INT(b->streams.len, 5);
    log_batch_free(b);
}

TEST(log_batch_reads_back_what_was_written)
{
    struct log_batch *b = log_batch_new(SLICE("t"), &limits);
    struct arena *a = arena_new(0);
    struct log_batch_reader r;
    struct log_batch_head head;
    struct log_entry e;
    struct buf out = {0};
    struct rng rng;
    size_t n = 0;

    rng_seed(&rng, 7);
    (void)stream(b, "without entries");
    for (size_t i = 0; i < 20000; i++) {
        uint32_t s = stream(b, arena_printf(b->arena, "%u", (unsigned)(rng_u64(&rng) % 300)));
        size_t k = rng_u64(&rng) % 4;
        struct label *md = arena_array(b->arena, struct label, 4);

        for (size_t m = 0; m < k; m++)
            md[m] = (struct label){
                slice_cstr(arena_printf(b->arena, "n%zu", m)),
                slice_cstr(arena_printf(b->arena, "%u", (unsigned)(rng_u64(&rng) % 9000)))};
        log_batch_add(b, s,
                      &(struct log_entry){.t_ns = (int64_t)rng_u64(&rng),
                                          .line = slice_cstr(arena_printf(b->arena, "line %zu", i)),
                                          .metadata = md,
                                          .n_metadata = (uint32_t)k});
    }
    log_batch_encode(b, NULL, 0, true, &out);
    log_batch_reader_init(&r, a, buf_slice(&out));
    while (log_batch_next_stream(&r, &head)) {
        uint32_t at = log_batch_find(b, head.fp);
        const struct log_stream *s = &b->streams.ptr[at];

        CHECK(slice_eq(head.labels, s->labels));
        CHECK_INT(head.n_entries, s->n);
        if (at % 5 == 0)
            continue; /* its entries are stepped over */
        LOG_BATCH_FOREACH(want, b, s)
        {
            CHECK(log_batch_next_entry(&r, &e));
            CHECK(e.t_ns == want->t_ns && slice_eq(e.line, want->line));
            CHECK(labels_eq((struct labels){e.metadata, e.n_metadata},
                            (struct labels){want->metadata, want->n_metadata}));
            n++;
        }
    }
    CHECK_OK(log_batch_reader_end(&r));
    CHECK(n > 15000);
    buf_done(&out);
    arena_free(a);
    log_batch_free(b);
}

TEST(log_batch_refuses_bytes_cut_short_or_long)
{
    static const struct label md[] = {{SLICE_INIT("k"), SLICE_INIT("v")}};
    struct log_batch *b = log_batch_new(SLICE("t"), &limits);
    struct buf out = {0};
    uint32_t s = stream(b, "x");

    for (int i = 0; i < 3; i++)
        log_batch_add(
            b, s,
            &(struct log_entry){.t_ns = i, .line = SLICE("line"), .metadata = md, .n_metadata = 1});
    log_batch_encode(b, NULL, 0, true, &out);
    buf_byte(&out, 0);
    for (size_t n = 0; n <= out.len; n++) {
        struct arena *a = arena_new(0);
        struct log_batch_reader r;
        struct log_batch_head head;
        struct err *e;

        log_batch_reader_init(&r, a, slice_of(out.ptr, n));
        while (log_batch_next_stream(&r, &head)) {
        }
        e = log_batch_reader_end(&r);
        CHECK((e == NULL) == (n == out.len - 1));
        err_free(e);
        arena_free(a);
    }
    buf_done(&out);
    log_batch_free(b);
}
