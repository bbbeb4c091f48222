#include "common/net/ws_frame.h"
#include "tests/unit/test.h"

/* A client's frame. len: what it says its payload's length is, in how many bytes (0, 2, 8). */
static void put(struct buf *b, int first, const char *payload, size_t n)
{
    static const uint8_t mask[4] = {1, 0x82, 3, 0xf4};

    buf_byte(b, (uint8_t)first);
    if (n < 126) {
        buf_byte(b, (uint8_t)(0x80 | n));
    } else if (n < 65536) {
        buf_byte(b, 0x80 | 126);
        buf_byte(b, (uint8_t)(n >> 8));
        buf_byte(b, (uint8_t)n);
    } else {
        buf_byte(b, 0x80 | 127);
        buf_u64be(b, n);
    }
    buf_append(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        buf_byte(b, (uint8_t)payload[i] ^ mask[i & 3]);
}

/* What comes of bytes that are fed in pieces of so many: "text(hello) ping(x) close(1000,why) bad(1002)" */
static void check_pieces(struct slice in, size_t piece, const char *want)
{
    struct ws_reader r = {.max_message_bytes = 100000};
    struct buf got = {0};
    bool is_over = false;

    while (in.len && !is_over) {
        struct slice part = slice_sub(in, 0, piece);

        in = slice_from(in, part.len);
        for (enum ws_got what = WS_PING; what != WS_NEED_MORE && !is_over;) {
            struct ws_item item = {0};

            what = ws_reader_next(&r, &part, &item);
            if (what == WS_MESSAGE)
                buf_printf(&got, "%s(%.*s) ", item.is_text ? "text" : "binary",
                           (int)ORR_MIN(item.payload.len, (size_t)10),
                           (const char *)item.payload.ptr);
            else if (what == WS_PING || what == WS_PONG)
                buf_printf(&got, "%s(%.*s) ", what == WS_PING ? "ping" : "pong",
                           SLICE_ARG(item.payload));
            else if (what == WS_CLOSE)
                buf_printf(&got, "close(%u,%.*s) ", item.code, SLICE_ARG(item.payload));
            else if (what == WS_BAD)
                buf_printf(&got, "bad(%u) ", item.code);
            is_over = what == WS_CLOSE || what == WS_BAD;
        }
    }
    CHECK_SLICE(buf_slice(&got), want);
    buf_done(&got);
    ws_reader_done(&r);
}

static void check(struct buf *b, const char *want)
{
    static const size_t pieces[] = {1, 2, 3, 7, 1000, SIZE_MAX};

    for (size_t i = 0; i < ORR_COUNT(pieces); i++)
        check_pieces(buf_slice(b), pieces[i], want);
    buf_done(b);
}

static void check_bytes(const char *bytes, size_t n, const char *want)
{
    struct buf b = {0};

    buf_append(&b, bytes, n);
    check(&b, want);
}

TEST(ws_frame_reads_messages_whole)
{
    static char big[70000];
    struct buf b = {0};

    memset(big, 'b', sizeof(big));
    put(&b, 0x81, "hello", 5);
    put(&b, 0x82, "", 0);
    put(&b, 0x01, "he", 2);
    put(&b, 0x89, "are you", 7);
    put(&b, 0x00, "l", 1);
    put(&b, 0x8a, "", 0);
    put(&b, 0x80, "lo", 2);
    put(&b, 0x81, big, 300);
    put(&b, 0x82, big, sizeof(big));
    put(&b, 0x88,
        "\x03\xe8"
        "bye",
        5);
    put(&b, 0x81, "never", 5);
    check(&b, "text(hello) binary() ping(are you) pong() text(hello) text(bbbbbbbbbb) "
              "binary(bbbbbbbbbb) close(1000,bye) ");
    put(&b, 0x88, "", 0);
    check(&b, "close(1005,) ");
}

TEST(ws_frame_refuses_what_is_not_allowed)
{
    struct buf b = {0};

    check_bytes("\x81\x05hello", 7, "bad(1002) ");    /* not masked */
    check_bytes("\xc1\x80\0\0\0\0", 6, "bad(1002) "); /* reserved bit */
    check_bytes("\x83\x80\0\0\0\0", 6, "bad(1002) "); /* opcodes */
    check_bytes("\x8b\x80\0\0\0\0", 6, "bad(1002) ");
    check_bytes("\x09\x80\0\0\0\0", 6, "bad(1002) ");             /* a ping in pieces */
    check_bytes("\x89\xfe\0\x80\0\0\0\0", 8, "bad(1002) ");       /* a long ping */
    check_bytes("\x81\xfe\0\x05\0\0\0\0hello", 13, "bad(1002) "); /* lengths not in short */
    check_bytes("\x81\xff\0\0\0\0\0\0\1\0\0\0\0\0", 14, "bad(1002) ");
    check_bytes("\x81\xff\x80\0\0\0\0\1\0\0\0\0\0\0", 14, "bad(1002) "); /* sign */
    check_bytes("\x81\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 14, "bad(1009) ");
    put(&b, 0x80, "x", 1);
    check(&b, "bad(1002) "); /* goes on with nothing */
    put(&b, 0x01, "x", 1);
    put(&b, 0x81, "y", 1);
    check(&b, "bad(1002) "); /* begins within another */
    put(&b, 0x81, "a\xff", 2);
    check(&b, "bad(1007) ");
    put(&b, 0x82, "a\xff", 2);
    check(&b, "binary(a\xff) ");
    put(&b, 0x88, "\x03", 1);
    check(&b, "bad(1002) ");
    put(&b, 0x88, "\x03\xed", 2); /* 1005 is never sent */
    check(&b, "bad(1002) ");
    put(&b, 0x88, "\x03\xe8\xff", 3);
    check(&b, "bad(1007) ");
}

TEST(ws_frame_messages_are_bounded)
{
    static char half[60000];
    struct buf b = {0};

    put(&b, 0x02, half, sizeof(half));
    put(&b, 0x89, "in between", 10);
    put(&b, 0x80, half, sizeof(half));
    check(&b, "ping(in between) bad(1009) ");
    put(&b, 0x02, half, sizeof(half));
    put(&b, 0x80, half, 40000);
    put(&b, 0x82, half, 3);
    check_pieces(buf_slice(&b), SIZE_MAX, "binary() binary() "); /* NULs print as nothing */
    buf_done(&b);
}

TEST(ws_frame_writes)
{
    static uint8_t big[70000];
    struct buf b = {0};

    ws_frame_put(&b, WS_OP_TEXT, SLICE("hi"));
    CHECK(slice_eq(buf_slice(&b), SLICE("\x81\x02hi")));
    buf_reset(&b);
    ws_frame_put(&b, WS_OP_BINARY, slice_of(big, 126));
    CHECK(b.len == 130 && memcmp(b.ptr, "\x82\x7e\0\x7e", 4) == 0);
    buf_reset(&b);
    ws_frame_put(&b, WS_OP_BINARY, slice_of(big, sizeof(big)));
    CHECK(b.len == sizeof(big) + 10 && memcmp(b.ptr, "\x82\x7f\0\0\0\0\0\1\x11\x70", 10) == 0);
    buf_reset(&b);
    ws_frame_put_close(&b, 1008, SLICE("slow"));
    CHECK(slice_eq(buf_slice(&b), SLICE("\x88\x06\x03\xf0slow")));
    buf_reset(&b);
    ws_frame_put_close(&b, WS_CLOSE_NO_CODE, SLICE("x"));
    CHECK(slice_eq(buf_slice(&b), SLICE("\x88\0")));
    buf_reset(&b);
    memset(big, 'x', 200);
    memcpy(big + 122, "\xc3\xa9", 2); /* would be cut in the middle */
    ws_frame_put_close(&b, 1011, slice_of(big, 200));
    CHECK(b.len == 2 + 2 + 122 && b.ptr[1] == 124);
    buf_done(&b);
}

TEST(ws_frame_accepts_keys)
{
    struct buf b = {0};

    CHECK(ws_accept_key(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), &b)); /* the RFC's own */
    CHECK_SLICE(buf_slice(&b), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(!ws_accept_key(SLICE("c2hvcnQ="), &b));
    CHECK(!ws_accept_key(SLICE("!"), &b));
    CHECK(!ws_accept_key(SLICE_EMPTY, &b));
    buf_done(&b);
}
