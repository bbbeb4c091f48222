#include "common/net/grpc_frame.h"
#include "common/net/grpc_status.h"
#include "tests/unit/test.h"

TEST(grpc_frame_takes_messages_off)
{
    struct slice in = SLICE("\0\0\0\0\3abc\1\0\0\0\0\0\0\0\0\5ab"), m;
    bool is_compressed;

    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
    CHECK(!is_compressed);
    CHECK_SLICE(m, "abc");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
    CHECK(is_compressed);
    CHECK_SLICE(m, "");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_MORE);
    CHECK_INT(in.len, 7); /* still there */
    in = SLICE("\0\0\0");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_MORE);
    in = SLICE_EMPTY;
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_MORE);
    in = SLICE("\2\0\0\0\0");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_BAD);
    in = SLICE("\0\377\377\377\377rest");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_MORE);
}

TEST(grpc_frame_head_is_what_take_reads)
{
    struct buf b = {0};
    struct slice in, m;
    bool is_compressed;

    buf_fill(&b, 'm', 70000 + GRPC_FRAME_HEAD_BYTES);
    grpc_frame_head(true, 70000, b.ptr);
    in = buf_slice(&b);
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
    CHECK(is_compressed && m.len == 70000 && in.len == 0);
    buf_done(&b);
}

TEST(grpc_frame_timeouts)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: malformed */
    } cases[] = {
        {"1S", 1000},       {"99999999H", 99999999ll * 3600000},
        {"2M", 120000},     {"5m", 5},
        {"1500u", 2},       {"1n", 1},
        {"0S", 0},          {"1000000n", 1},
        {"123456789S", -1}, {"S", -1},
        {"", -1},           {"1", -1},
        {"1s", -1},         {"-1S", -1},
        {"1.5S", -1},       {" 1S", -1},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        int64_t ms = -1;
        bool ok = grpc_frame_timeout(slice_cstr(cases[i].text), &ms);

        if (ok != (cases[i].ms >= 0) || (ok && ms != cases[i].ms))
            test_fail(__FILE__, __LINE__, "\"%s\": %d %lld", cases[i].text, ok, (long long)ms);
    }
}

TEST(grpc_frame_escapes_messages)
{
    struct buf b = {0};

    grpc_frame_escape(SLICE("100% \"fine\"\n\xc3\xa9~"), &b);
    CHECK_STR(buf_cstr(&b), "100%25 \"fine\"%0A%C3%A9~");
    buf_done(&b);
}

TEST(grpc_frame_codecs)
{
    enum codec c;

    CHECK(grpc_frame_codec(SLICE("gzip"), &c) && c == CODEC_GZIP);
    CHECK(grpc_frame_codec(SLICE("identity"), &c) && c == CODEC_IDENTITY);
    CHECK(!grpc_frame_codec(SLICE("snappy"), &c)); /* theirs is the framed format */
    CHECK(!grpc_frame_codec(SLICE("br"), &c));
}

TEST(grpc_status_of_every_error)
{
#define X(sym, name, http, num)                                                                    \
    CHECK(grpc_status_of(sym) != GRPC_OK && grpc_status_of(sym) != GRPC_UNKNOWN);
    ERR_CODES(X)
#undef X
    CHECK_INT(grpc_status_of(ERR_RATE), 8);
    CHECK_INT(grpc_status_of(ERR_UNAVAILABLE), 14);
    CHECK_INT(grpc_status_of(ERR_UNAUTHORIZED), 16);
    CHECK(grpc_status_is_retried(ERR_RATE) && !grpc_status_is_retried(ERR_LIMIT));
    CHECK_STR(grpc_status_name(GRPC_RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED");
}
