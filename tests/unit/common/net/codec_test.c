#include "common/base/rng.h"
#include "common/net/codec.h"
#include "common/net/codec_stream.h"
#include "tests/unit/test.h"

static const enum codec all[] = {CODEC_IDENTITY, CODEC_GZIP, CODEC_DEFLATE, CODEC_ZSTD,
                                 CODEC_SNAPPY};

/* Half text, half noise. */
static void fill(struct buf *b, size_t n, uint64_t seed)
{
    struct rng r;

    rng_seed(&r, seed);
    while (b->len < n)
        if (rng_chance(&r, 0.5))
            buf_str(b, "http_requests_total{job=\"api\"} ");
        else
            buf_u64le(b, rng_u64(&r));
}

TEST(codec_round_trips)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 300000};

    for (size_t i = 0; i < ORR_COUNT(all); i++) {
        for (size_t j = 0; j < ORR_COUNT(sizes); j++) {
            struct buf plain = {0}, enc = {0}, dec = {0};

            fill(&plain, sizes[j], j);
            buf_str(&dec, "before");
            CHECK_OK(codec_encode(all[i], 0, buf_slice(&plain), &enc));
            CHECK_OK(codec_decode(all[i], buf_slice(&enc), plain.len, &dec));
            CHECK(slice_eq(slice_from(buf_slice(&dec), 6), buf_slice(&plain)));
            if (plain.len) {
                size_t len = dec.len;

                CHECK_ERR(codec_decode(all[i], buf_slice(&enc), plain.len - 1, &dec), ERR_TOO_LARGE,
                          "");
                CHECK_INT(dec.len, len);
            }
            buf_done(&plain);
            buf_done(&enc);
            buf_done(&dec);
        }
    }
}

TEST(codec_refuses_what_is_cut_or_spoilt)
{
    for (size_t i = 1; i < ORR_COUNT(all); i++) {
        struct buf plain = {0}, enc = {0}, dec = {0};

        fill(&plain, 5000, 1);
        CHECK_OK(codec_encode(all[i], 0, buf_slice(&plain), &enc));
        for (size_t n = 0; n < enc.len; n += 1 + n / 10)
            CHECK_ERR(codec_decode(all[i], slice_of(enc.ptr, n), 1 << 20, &dec), ERR_INVALID, "");
        if (all[i] != CODEC_ZSTD) /* a second frame, and what it would be, is no zstd */
            buf_str(&enc, "garbage");
        else
            buf_str(&enc, "garbage!");
        CHECK_ERR(codec_decode(all[i], buf_slice(&enc), 1 << 20, &dec), ERR_INVALID, "");
        CHECK_INT(dec.len, 0);
        buf_done(&plain);
        buf_done(&enc);
        buf_done(&dec);
    }
}

TEST(codec_bounds_bombs)
{
    struct buf zeros = {0};

    buf_fill(&zeros, 0, 32u << 20);
    for (size_t i = 1; i < ORR_COUNT(all); i++) {
        struct buf enc = {0}, dec = {0};

        CHECK_OK(codec_encode(all[i], 0, buf_slice(&zeros), &enc));
        CHECK_ERR(codec_decode(all[i], buf_slice(&enc), 1 << 20, &dec), ERR_TOO_LARGE, "1048576");
        CHECK(dec.cap < 4u << 20);
        buf_done(&enc);
        buf_done(&dec);
    }
    buf_done(&zeros);
    /* snappy that claims 4 GiB in 6 bytes */
    struct buf dec = {0};
    CHECK_ERR(codec_decode(CODEC_SNAPPY, slice_of("\xff\xff\xff\xff\x0f\x00", 6), SIZE_MAX, &dec),
              ERR_INVALID, "cannot decode");
    CHECK(dec.cap == 0);
}

TEST(codec_reads_members_frames_and_bare_deflate)
{
    struct buf enc = {0}, dec = {0};

    CHECK_OK(codec_encode(CODEC_GZIP, 0, SLICE("one,"), &enc));
    CHECK_OK(codec_encode(CODEC_GZIP, 0, SLICE("two"), &enc));
    CHECK_OK(codec_decode(CODEC_GZIP, buf_slice(&enc), 7, &dec));
    CHECK_SLICE(buf_slice(&dec), "one,two");
    buf_reset(&enc);
    buf_reset(&dec);
    CHECK_OK(codec_encode(CODEC_ZSTD, 0, SLICE("one,"), &enc));
    CHECK_OK(codec_encode(CODEC_ZSTD, 0, SLICE("two"), &enc));
    CHECK_OK(codec_decode(CODEC_ZSTD, buf_slice(&enc), 7, &dec));
    CHECK_SLICE(buf_slice(&dec), "one,two");
    buf_reset(&enc);
    buf_reset(&dec);
    CHECK_OK(codec_encode(CODEC_DEFLATE, 0, SLICE("bare"), &enc));
    CHECK_OK(codec_decode(CODEC_DEFLATE, slice_of(enc.ptr + 2, enc.len - 6), 7, &dec));
    CHECK_SLICE(buf_slice(&dec), "bare");
    buf_done(&enc);
    buf_done(&dec);
}

TEST(codec_names)
{
    enum codec c;

    CHECK(codec_from_name(SLICE("GZip"), &c) && c == CODEC_GZIP);
    CHECK(codec_from_name(SLICE("x-gzip"), &c) && c == CODEC_GZIP);
    CHECK(codec_from_name(SLICE(""), &c) && c == CODEC_IDENTITY);
    CHECK(!codec_from_name(SLICE("br"), &c));
    CHECK(!codec_from_name(SLICE("gzip, gzip"), &c));
}

TEST(codec_stream_matches_whole)
{
    static const enum codec streamed[] = {CODEC_IDENTITY, CODEC_GZIP, CODEC_DEFLATE, CODEC_ZSTD};
    struct buf plain = {0};

    fill(&plain, 200000, 3);
    for (size_t i = 0; i < ORR_COUNT(streamed); i++) {
        struct codec_stream *s = codec_stream_new(streamed[i], 0);
        struct buf enc = {0}, dec = {0};

        for (size_t at = 0; at < plain.len; at += 7001)
            codec_stream_write(s, at % 2 ? CODEC_STREAM_MORE : CODEC_STREAM_FLUSH,
                               slice_sub(buf_slice(&plain), at, 7001), &enc);
        codec_stream_write(s, CODEC_STREAM_END, SLICE_EMPTY, &enc);
        CHECK_OK(codec_decode(streamed[i], buf_slice(&enc), plain.len, &dec));
        CHECK(slice_eq(buf_slice(&dec), buf_slice(&plain)));
        codec_stream_free(s);
        buf_done(&enc);
        buf_done(&dec);
    }
    buf_done(&plain);
}
