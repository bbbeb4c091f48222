#include "common/model/metrics_rpc.h"
#include "tests/unit/test.h"

TEST(metrics_rpc_pairs_keep_their_bytes)
{
    struct rpc_pair got;
    struct buf b = {0};
    struct reader r;

    rpc_pair_encode(&b, &(struct rpc_pair){SLICE("job"), SLICE("a"), 300});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x03job\x01"
                                        "a\xac\x02")));
    r = reader_new(buf_slice(&b));
    CHECK(rpc_pair_decode(&r, &got));
    CHECK_SLICE(got.name, "job");
    CHECK_SLICE(got.value, "a");
    CHECK_INT(got.series, 300);
    CHECK(!rpc_pair_decode(&r, &got) && reader_ok(&r));
    for (size_t i = 1; i < b.len; i++) {
        r = reader_new(slice_sub(buf_slice(&b), 0, i));
        CHECK(!rpc_pair_decode(&r, &got) && !reader_ok(&r));
    }
    buf_done(&b);
}

TEST(metrics_rpc_head_keeps_its_bytes)
{
    struct rpc_head got;
    struct buf b = {0};

    rpc_head_encode(&b, &(struct rpc_head){1, 2, 3, 200, 5, -1, 1000});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\x01\x02\x03\xc8\x01\x05\x01\xd0\x0f")));
    CHECK_OK(rpc_head_decode(buf_slice(&b), &got));
    CHECK_INT(got.series, 1);
    CHECK_INT(got.pairs, 2);
    CHECK_INT(got.chunks, 3);
    CHECK_INT(got.appended, 200);
    CHECK_INT(got.rate_milli, 5);
    CHECK_INT(got.min_ms, -1);
    CHECK_INT(got.max_ms, 1000);
    for (size_t i = 0; i < b.len; i++)
        CHECK_ERR(rpc_head_decode(slice_sub(buf_slice(&b), 0, i), &got), ERR_INVALID, "head");
    buf_done(&b);
}

/* What a peer of before sends has no version; what it gets has one at the end, which it does not read. */
TEST(metrics_rpc_segment_read_has_its_version_at_the_end)
{
    struct rpc_segment_read got;
    struct buf b = {0};

    rpc_segment_read_encode(&b, &(struct rpc_segment_read){.ulid = SLICE("u"), .file = SLICE("f")});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\x01u\x01"
                                        "f\0\0")));
    CHECK_OK(rpc_segment_read_decode(buf_slice(&b), &got));
    CHECK_INT(got.version, 0);
    buf_reset(&b);
    rpc_segment_read_encode(&b, &(struct rpc_segment_read){.ulid = SLICE("u"), .version = 300});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\x01u\0\0\0\xac\x02")));
    CHECK_OK(rpc_segment_read_decode(buf_slice(&b), &got));
    CHECK_SLICE(got.ulid, "u");
    CHECK_INT(got.version, 300);
    b.len--;
    CHECK_ERR(rpc_segment_read_decode(buf_slice(&b), &got), ERR_INVALID, "segment read");
    buf_done(&b);
}

TEST(metrics_rpc_rules_change_keeps_its_bytes)
{
    struct rpc_rules_change got;
    struct buf b = {0};

    rpc_rules_change_encode(&b, &(struct rpc_rules_change){.op = RPC_RULES_DELETE,
                                                           .language = SLICE("promql"),
                                                           .ns = SLICE("n"),
                                                           .group = SLICE("g"),
                                                           .yaml = SLICE("y")});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\x01\x06promql\x01n\x01g\x01y")));
    CHECK_OK(rpc_rules_change_decode(buf_slice(&b), &got));
    CHECK_INT(got.op, RPC_RULES_DELETE);
    CHECK_SLICE(got.language, "promql");
    CHECK_SLICE(got.ns, "n");
    CHECK_SLICE(got.group, "g");
    CHECK_SLICE(got.yaml, "y");
    for (size_t i = 0; i < b.len; i++)
        CHECK_ERR(rpc_rules_change_decode(slice_sub(buf_slice(&b), 0, i), &got), ERR_INVALID,
                  "change of rules");
    CHECK_INT(got.overridden.len, 0);
    b.ptr[1] = RPC_RULES_OP_COUNT;
    CHECK_ERR(rpc_rules_change_decode(buf_slice(&b), &got), ERR_INVALID, "change of rules");
    buf_reset(&b);
    rpc_rules_change_encode(&b, &(struct rpc_rules_change){.overridden = SLICE("n,m")});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\x00\x00\x00\x00\x00\x03n,m")));
    CHECK_OK(rpc_rules_change_decode(buf_slice(&b), &got));
    CHECK_SLICE(got.overridden, "n,m");
    CHECK_ERR(rpc_rules_change_decode(slice_sub(buf_slice(&b), 0, b.len - 1), &got), ERR_INVALID,
              "change of rules");
    buf_done(&b);
}
