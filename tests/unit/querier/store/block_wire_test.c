#include "common/base/mem.h"
#include "querier/store/block_wire.h"
#include "tests/unit/test.h"

static struct block_wire_ask asked(struct arena *a)
{
    struct label *ls = arena_array(a, struct label, 2);
    struct matcher *m = arena_array(a, struct matcher, 1);
    struct block_wire_ask ask = {.n_together = 7};

    ls[0] = (struct label){SLICE("cluster"), SLICE("x")};
    ls[1] = (struct label){SLICE("zone"), SLICE("")};
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("job"), SLICE("j"), m));
    ask.block.ulid = ulid_make(12345, (const uint8_t[10]){1, 2, 3});
    ask.block.dir = SLICE("other/01ABC");
    ask.block.labels = (struct labels){ls, 2};
    ask.block.summary_bytes = 600;
    ask.block.min_t = -5;
    ask.block.max_t = 7200000;
    ask.block.resolution_ms = 300000;
    ask.select = (struct rpc_select){.kind = RPC_SELECT_CHUNKS,
                                     .matchers = {m, 1},
                                     .min_ms = -5,
                                     .max_ms = 99,
                                     .shard_index = 1,
                                     .shard_count = 3,
                                     .is_keyed = true,
                                     .names = &ls[0].name,
                                     .n_names = 1};
    return ask;
}

TEST(block_wire_carries_what_is_asked)
{
    struct arena *a = arena_new(0);
    struct block_wire_ask ask = asked(a), got;
    struct buf b = {0};

    block_wire_ask_encode(&b, &ask);
    CHECK_OK(block_wire_ask_decode(a, buf_slice(&b), &got));
    CHECK(ulid_eq(got.block.ulid, ask.block.ulid));
    CHECK(slice_eq(got.block.dir, ask.block.dir));
    CHECK(labels_eq(got.block.labels, ask.block.labels));
    CHECK_INT(got.block.summary_bytes, 600);
    CHECK_INT(got.block.min_t, -5);
    CHECK_INT(got.block.max_t, 7200000);
    CHECK_INT(got.block.resolution_ms, 300000);
    CHECK_INT(got.n_together, 7);
    CHECK_INT(got.select.max_ms, 99);
    CHECK_INT(got.select.shard_index, 1);
    CHECK(got.select.is_keyed && got.select.n_names == 1);
    matchers_done(got.select.matchers);
    for (size_t n = 0; n < b.len; n++) { /* every part of it fails, or asks for fewer matchers */
        struct err *e = block_wire_ask_decode(a, slice_of(b.ptr, n), &got);

        CHECK(err_is(e, ERR_INVALID));
        err_free(e);
    }
    matchers_done(ask.select.matchers);
    buf_done(&b);
    arena_free(a);
}

static void check_refused(struct arena *a, const struct block_wire_ask *ask)
{
    struct block_wire_ask got;
    struct buf b = {0};
    struct err *e;

    block_wire_ask_encode(&b, ask);
    e = block_wire_ask_decode(a, buf_slice(&b), &got);
    CHECK(err_is(e, ERR_INVALID));
    err_free(e);
    buf_done(&b);
}

TEST(block_wire_takes_no_other_places_and_kinds)
{
    struct arena *a = arena_new(0);
    struct block_wire_ask ask = asked(a), bad = ask;
    struct label twice[2] = {ask.block.labels.ptr[0], ask.block.labels.ptr[0]};

    bad.block.dir = SLICE("../secrets");
    check_refused(a, &bad);
    bad = ask;
    bad.select.is_keyed = false;
    bad.select.kind = RPC_SELECT_NAMES;
    check_refused(a, &bad);
    bad = ask;
    bad.n_together = 0;
    check_refused(a, &bad);
    bad = ask;
    bad.block.labels = (struct labels){twice, 2};
    check_refused(a, &bad);
    matchers_done(ask.select.matchers);
    arena_free(a);
}

TEST(block_wire_carries_series_and_what_is_deleted_of_them)
{
    static const struct block_interval deleted[] = {{-10, 5}, {7, 7}};
    struct rpc_chunk c = {-10, 20, 1, SLICE("bytes")};
    struct label l = {SLICE("a"), SLICE("b")};
    struct block_wire_series s = {.series = {{&l, 1}, &c, 1, true, {3, 4}},
                                  .deleted = deleted,
                                  .n_deleted = 2},
                             got = {.series = {.is_keyed = true}};
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct reader r;

    block_wire_series_encode(&b, &s);
    r = reader_new(buf_slice(&b));
    CHECK(block_wire_series_decode(a, &r, &got));
    CHECK(hash128_eq(got.series.fp, s.series.fp) && labels_eq(got.series.labels, s.series.labels));
    CHECK_INT(got.n_deleted, 2);
    CHECK(memcmp(got.deleted, deleted, sizeof(deleted)) == 0);
    CHECK(!block_wire_series_decode(a, &r, &got) && reader_ok(&r)); /* the end */
    for (size_t n = 1; n < b.len; n++) {
        r = reader_new(slice_of(b.ptr, n));
        CHECK(!block_wire_series_decode(a, &r, &got) && !reader_ok(&r));
    }
    buf_reset(&b);
    s.deleted = (const struct block_interval[]){{7, 7}, {-10, 5}}; /* not in order */
    block_wire_series_encode(&b, &s);
    r = reader_new(buf_slice(&b));
    CHECK(!block_wire_series_decode(a, &r, &got) && !reader_ok(&r));
    buf_done(&b);
    arena_free(a);
}
