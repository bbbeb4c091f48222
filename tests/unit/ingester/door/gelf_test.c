#include "common/net/codec.h"
#include "ingester/door/gelf.h"
#include "tests/unit/ingester/door/log_text.h"

static struct err *decode(struct log_builder *b, const void *arg)
{
    return gelf_add(b, *(const struct slice *)arg);
}

static const char *const message =
    "{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"short\",\"full_message\":"
    "\"full\\ntext\","
    "\"timestamp\":1767225600.5,\"level\":3,\"_user_id\":9001,\"_app\":\"shop\",\"_n\":null}";
static const char *const want =
    "{app=\"shop\", host=\"h\", job=\"gelf\"}\n"
    "  @1767225600500000000 full\ntext {app=\"shop\", level=\"err\", short_message=\"short\", "
    "user_id=\"9001\"}\n";

TEST(gelf_reads_messages_plain_and_compressed)
{
    static const enum codec codecs[] = {CODEC_IDENTITY, CODEC_GZIP, CODEC_DEFLATE};

    for (size_t i = 0; i < ORR_COUNT(codecs); i++) {
        struct buf b = {0};
        struct slice s;

        CHECK_OK(codec_encode(codecs[i], 0, slice_cstr(message), &b));
        s = buf_slice(&b);
        log_text_check(log_text(decode, &s, NULL), want);
        buf_done(&b);
    }
}

TEST(gelf_refuses_what_is_not)
{
    static const struct slice bad[] = {SLICE_INIT(""), SLICE_INIT("x"), SLICE_INIT("[]"),
                                       SLICE_INIT("\x1f\x8b\x08nonsense"),
                                       SLICE_INIT("\x78\x9cno")};

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        log_text_check(log_text(decode, &bad[i], NULL), "refused malformed_record: 1\n");
}

/* A key may come as often as anybody likes. */
TEST(gelf_takes_no_more_fields_than_it_has_room_for)
{
    struct buf b = {0};
    struct slice s;

    buf_str(&b, "{\"short_message\":\"x\",\"timestamp\":1767225600");
    for (int i = 0; i < 20000; i++)
        buf_str(&b, ",\"level\":3");
    buf_byte(&b, '}');
    s = buf_slice(&b);
    log_text_check(log_text(decode, &s, NULL),
                   "{job=\"gelf\"}\n  @1767225600000000000 x {level=\"err\"}\n");
    buf_done(&b);
}

static struct err *decode_many(struct log_builder *b, const void *arg)
{
    struct err *e = NULL;

    for (int i = 0; i < 1000 && !e; i++)
        e = decode(b, arg);
    CHECK(arena_used(b->batch->arena) < 1000 * 1024);
    return e;
}

/* A write has as many as fit: tens of thousands. */
TEST(gelf_takes_little_memory_for_a_small_message)
{
    struct slice s = SLICE("{\"short_message\":\"x\"}");
    struct buf out = log_text(decode_many, &s, NULL);

    CHECK(slice_has_prefix(buf_slice(&out), SLICE("{job=\"gelf\"}\n")));
    buf_done(&out);
}

static struct slice chunk(struct buf *b, char id, unsigned number, unsigned count, const char *data)
{
    buf_reset(b);
    buf_append(b, "\x1e\x0f", 2);
    buf_fill(b, (uint8_t)id, 8);
    buf_byte(b, (uint8_t)number);
    buf_byte(b, (uint8_t)count);
    buf_str(b, data);
    return buf_slice(b);
}

TEST(gelf_puts_chunks_together)
{
    struct gelf_chunks *c = gelf_chunks_new(1 << 20);
    struct buf b = {0};
    struct slice got;

    CHECK(gelf_chunks_put(c, SLICE("{plain"), 0, &got));
    CHECK_SLICE(got, "{plain");
    CHECK(!gelf_chunks_put(c, chunk(&b, 'a', 2, 3, "c"), 0, &got));
    CHECK(!gelf_chunks_put(c, chunk(&b, 'b', 0, 2, "x"), 0, &got));
    CHECK(!gelf_chunks_put(c, chunk(&b, 'a', 0, 3, "a"), 0, &got));
    CHECK(!gelf_chunks_put(c, chunk(&b, 'a', 0, 3, "again"), 0, &got));
    CHECK(gelf_chunks_put(c, chunk(&b, 'a', 1, 3, "b"), 0, &got));
    CHECK_SLICE(got, "abc");
    CHECK_INT(gelf_chunks_dropped(c), 0);
    CHECK(!gelf_chunks_put(c, chunk(&b, 'b', 1, 3, "y"), 0, &got)); /* it had another count */
    CHECK(!gelf_chunks_put(c, chunk(&b, 'c', 3, 3, "y"), 0, &got));
    CHECK(!gelf_chunks_put(c, chunk(&b, 'c', 0, 0, "y"), 0, &got));
    CHECK(!gelf_chunks_put(c,
                           SLICE("\x1e\x0f"
                                 "short"),
                           0, &got));
    CHECK_INT(gelf_chunks_dropped(c), 4);
    CHECK(!gelf_chunks_put(c, chunk(&b, 'b', 1, 2, "y"), GELF_CHUNK_MS + 1, &got)); /* too late */
    CHECK_INT(gelf_chunks_dropped(c), 5);
    CHECK(gelf_chunks_put(c, chunk(&b, 'b', 0, 2, "x"), GELF_CHUNK_MS + 1, &got));
    CHECK_SLICE(got, "xy");
    CHECK_INT(gelf_chunks_bytes(c), 0);
    buf_done(&b);
    gelf_chunks_free(c);
}

TEST(gelf_holds_no_more_than_its_budget)
{
    struct gelf_chunks *c = gelf_chunks_new(32 << 10);
    struct buf b = {0};
    struct slice got;
    uint64_t held = 0;

    for (int i = 0; i < 100; i++) {
        CHECK(!gelf_chunks_put(c, chunk(&b, (char)('0' + i), 0, 2, "data"), 0, &got));
        CHECK(gelf_chunks_bytes(c) <= 32 << 10);
        held += gelf_chunks_dropped(c) == 0;
    }
    CHECK(held >= 2 && gelf_chunks_dropped(c) == 100 - held);
    CHECK(!gelf_chunks_put(c, chunk(&b, 'z', 0, 2, "data"), 0, &got));
    CHECK(gelf_chunks_put(c, chunk(&b, 'z', 1, 2, "!"), 0, &got));
    CHECK_SLICE(got, "data!");
    buf_done(&b);
    gelf_chunks_free(c);
}
