#include "common/model/traces_rpc.h"
#include "tests/unit/test.h"

TEST(traces_rpc_select_comes_back)
{
    uint8_t ids[3][16] = {{1}, {2}, {2, 1}};
    struct rpc_traces_select s = {.start_ns = -5,
                                  .end_ns = INT64_MAX,
                                  .first = {7},
                                  .last = {0xff},
                                  .has_ids = true,
                                  .ids = (const uint8_t(*)[16])ids,
                                  .n_ids = 3,
                                  .ids_only = true,
                                  .max_bytes = 1234567,
                                  .after_ns = 77},
                             got;
    struct buf b = {0};

    rpc_traces_select_encode(&b, &s);
    CHECK_OK(rpc_traces_select_decode(buf_slice(&b), &got));
    CHECK(got.start_ns == -5 && got.end_ns == INT64_MAX && got.ids_only && got.has_ids);
    CHECK_INT(got.max_bytes, 1234567);
    CHECK_INT(got.after_ns, 77);
    CHECK_INT(got.n_ids, 3);
    CHECK(!memcmp(got.ids, ids, sizeof(ids)) && got.first[0] == 7 && got.last[0] == 0xff);
    for (size_t n = 0; n < b.len; n++) /* cut anywhere it is no such message */
        CHECK_ERR(rpc_traces_select_decode(slice_sub(buf_slice(&b), 0, n), &got), ERR_INVALID,
                  "select of traces");
    buf_byte(&b, 0);
    CHECK_ERR(rpc_traces_select_decode(buf_slice(&b), &got), ERR_INVALID, "malformed");

    /* no ids asked for is none, and not all */
    buf_reset(&b);
    s.n_ids = 0;
    s.after_ns = 0;
    rpc_traces_select_encode(&b, &s);
    CHECK_OK(rpc_traces_select_decode(buf_slice(&b), &got));
    CHECK(got.has_ids && got.n_ids == 0 && got.after_ns == 0);
    buf_done(&b);
}

TEST(traces_rpc_select_wants_ids_in_order)
{
    uint8_t ids[2][16] = {{2}, {1}};
    struct rpc_traces_select s = {.has_ids = true, .ids = (const uint8_t(*)[16])ids, .n_ids = 2};
    struct rpc_traces_select got;
    struct buf b = {0};

    rpc_traces_select_encode(&b, &s);
    CHECK_ERR(rpc_traces_select_decode(buf_slice(&b), &got), ERR_INVALID, "malformed");
    buf_reset(&b);
    ids[0][0] = 1; /* twice the same */
    rpc_traces_select_encode(&b, &s);
    CHECK_ERR(rpc_traces_select_decode(buf_slice(&b), &got), ERR_INVALID, "malformed");
    buf_done(&b);
}

TEST(traces_rpc_items_come_back)
{
    static const struct slice pieces[] = {SLICE_INIT("one"), SLICE_INIT("")};
    struct arena *a = arena_new(0);
    const uint8_t ids[2][16] = {{1}, {2}};
    struct rpc_traces_item item;
    struct buf b = {0};
    struct reader r;

    rpc_traces_item_encode(&b, &(struct rpc_traces_item){ids[0], pieces, 2});
    rpc_traces_item_encode(&b, &(struct rpc_traces_item){ids[1], NULL, 0});
    r = reader_new(buf_slice(&b));
    CHECK(rpc_traces_item_decode(a, &r, &item));
    CHECK(item.n == 2 && item.id[0] == 1);
    CHECK_SLICE(item.pieces[0], "one");
    CHECK_SLICE(item.pieces[1], "");
    CHECK(rpc_traces_item_decode(a, &r, &item) && item.n == 0 && item.id[0] == 2);
    CHECK(!rpc_traces_item_decode(a, &r, &item) && reader_ok(&r));
    r = reader_new(slice_sub(buf_slice(&b), 0, b.len - 1));
    CHECK(rpc_traces_item_decode(a, &r, &item));
    CHECK(!rpc_traces_item_decode(a, &r, &item) && !reader_ok(&r));
    buf_done(&b);
    arena_free(a);
}

TEST(traces_rpc_names_come_back)
{
    struct rpc_traces_names n = {1, -2, 3, 4, SLICE("http.method"), 5}, got;
    struct rpc_traces_name name;
    struct buf b = {0};
    struct reader r;

    rpc_traces_names_encode(&b, &n);
    CHECK_OK(rpc_traces_names_decode(buf_slice(&b), &got));
    CHECK(got.start_ns == 1 && got.end_ns == -2 && got.max == 5);
    CHECK(got.table == 3 && got.intrinsic == 4);
    CHECK_SLICE(got.attribute, "http.method");
    CHECK_ERR(rpc_traces_names_decode(slice_sub(buf_slice(&b), 0, b.len - 1), &got), ERR_INVALID,
              "malformed");
    buf_reset(&b);
    rpc_traces_name_encode(&b, &(struct rpc_traces_name){2, SLICE("GET")});
    r = reader_new(buf_slice(&b));
    CHECK(rpc_traces_name_decode(&r, &name) && name.type == 2);
    CHECK_SLICE(name.text, "GET");
    CHECK(!rpc_traces_name_decode(&r, &name) && reader_ok(&r));
    buf_done(&b);
}
