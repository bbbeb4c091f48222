#include "common/base/arena.h"
#include "common/proto/envelope_wire.h"
#include "tests/unit/test.h"

static const struct envelope full = {
    .kind = ENVELOPE_REQUEST,
    .id = 300,
    .flags = ENVELOPE_LAST,
    .total_bytes = 5,
    .method = SLICE_INIT("push"),
    .tenant = SLICE_INIT("t1"),
    .timeout_ms = 1000,
    .trace = SLICE_INIT("00-"),
    .credits = 4,
    .error_code = 6,
    .error_message = SLICE_INIT("no"),
    .ack = 1,
    .instance = SLICE_INIT("i"),
    .incarnation = 2,
    .mark = 300,
};

TEST(envelope_bytes_are_golden)
{
    static const uint8_t want[] = {
        0x08, 3,    0x10, 0xac, 0x02, 0x18, 1,    0x20, 5, 0x2a, 4,    'p', 'u',  's',  'h',
        0x32, 2,    't',  '1',  0x38, 0xe8, 0x07, 0x42, 3, '0',  '0',  '-', 0x48, 4,    0x50,
        6,    0x5a, 2,    'n',  'o',  0x60, 1,    0x6a, 1, 'i',  0x70, 2,   0x78, 0xac, 0x02};
    struct buf out = {0};

    envelope_encode(&full, &out);
    CHECK_INT(out.len, sizeof(want));
    CHECK(memcmp(out.ptr, want, sizeof(want)) == 0);
    buf_done(&out);
}

TEST(envelope_survives_the_way)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct envelope e;

    envelope_encode(&full, &out);
    CHECK(envelope_decode(a, buf_slice(&out), &e));
    CHECK_INT(e.kind, ENVELOPE_REQUEST);
    CHECK_INT(e.id, 300);
    CHECK_INT(e.flags, ENVELOPE_LAST);
    CHECK_INT(e.total_bytes, 5);
    CHECK_SLICE(e.method, "push");
    CHECK_SLICE(e.tenant, "t1");
    CHECK_SLICE(e.trace, "00-");
    CHECK_INT(e.timeout_ms, 1000);
    CHECK_INT(e.credits, 4);
    CHECK_INT(e.error_code, 6);
    CHECK_SLICE(e.error_message, "no");
    CHECK_INT(e.ack, 1);
    CHECK_SLICE(e.instance, "i");
    CHECK_INT(e.incarnation, 2);
    CHECK_INT(e.mark, 300);
    for (size_t n = 0; n < out.len; n++) /* a field may be missing, never read past the end */
        (void)envelope_decode(a, slice_of(out.ptr, n), &e);
    buf_done(&out);
    arena_free(a);
}

TEST(envelope_ignores_fields_of_the_future_and_refuses_what_is_over_a_bound)
{
    static const uint8_t unknown[] = {0x08, 9, 0xf8, 0x06, 7}; /* kind PING, field 111 */
    static const uint8_t no_kind[] = {0x10, 1};
    static const uint8_t bad_kind[] = {0x08, 99};
    static const uint8_t huge_length[] = {0x08, 3, 0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f};
    struct arena *a = arena_new(0);
    struct buf big = {0};
    struct envelope e;

    CHECK(envelope_decode(a, slice_of(unknown, sizeof(unknown)), &e));
    CHECK_INT(e.kind, ENVELOPE_PING);
    CHECK(!envelope_decode(a, slice_of(no_kind, sizeof(no_kind)), &e));
    CHECK(!envelope_decode(a, slice_of(bad_kind, sizeof(bad_kind)), &e));
    CHECK(!envelope_decode(a, slice_of(huge_length, sizeof(huge_length)), &e));
    buf_byte(&big, 0x08);
    buf_byte(&big, 3);
    buf_byte(&big, 0x2a);
    buf_uvarint(&big, ENVELOPE_METHOD_MAX_BYTES + 1);
    buf_fill(&big, 'm', ENVELOPE_METHOD_MAX_BYTES + 1);
    CHECK(!envelope_decode(a, buf_slice(&big), &e));
    buf_done(&big);
    arena_free(a);
}
