#include <errno.h>

#include "common/base/fault.h"
#include "common/kv/kv.h"
#include "tests/unit/test.h"

TEST(kv_keeps_what_was_put_over_a_restart)
{
    struct kv *kv;
    struct buf b = {0};
    bool found;

    CHECK_OK(kv_open(tmp_path("db"), NULL, &kv));
    CHECK_OK(kv_put(kv, SLICE("a"), SLICE("1"), true));
    CHECK_OK(kv_put(kv, SLICE("b"), SLICE(""), false));
    CHECK_OK(kv_delete(kv, SLICE("c"), false));
    kv_close(kv);
    CHECK_OK(kv_open(tmp_path("db"), NULL, &kv));
    CHECK_OK(kv_get(kv, SLICE("a"), &b, &found));
    CHECK(found);
    CHECK_SLICE(buf_slice(&b), "1");
    CHECK_OK(kv_get(kv, SLICE("b"), &b, &found));
    CHECK(found && b.len == 0);
    CHECK_OK(kv_get(kv, SLICE("c"), &b, &found));
    CHECK(!found);
    kv_close(kv);
    buf_done(&b);
}

static struct err *append(void *arg, struct slice key, struct slice value)
{
    buf_printf(arg, "%.*s=%.*s ", SLICE_ARG(key), SLICE_ARG(value));
    return slice_eq_cstr(key, "stop") ? err_new(ERR_INVALID, "stopped") : NULL;
}

TEST(kv_batches_are_atomic_and_prefixes_in_order)
{
    struct kv *kv;
    struct kv_batch *batch = kv_batch_new();
    struct buf b = {0};

    CHECK_OK(kv_open(tmp_path("db"), NULL, &kv));
    kv_batch_put(batch, SLICE("n2"), SLICE("2"));
    kv_batch_put(batch, SLICE("n1"), SLICE("1"));
    kv_batch_put(batch, SLICE("o"), SLICE("3"));
    kv_batch_put(batch, SLICE("stop"), SLICE("4"));
    kv_batch_delete(batch, SLICE("n2"));
    CHECK_INT(kv_batch_count(batch), 5);
    CHECK_OK(kv_write(kv, batch, true));
    CHECK_OK(kv_each(kv, SLICE("n"), append, &b));
    CHECK_SLICE(buf_slice(&b), "n1=1 ");
    CHECK_ERR(kv_each(kv, SLICE(""), append, &b), ERR_INVALID, "stopped");
    kv_batch_free(batch);
    kv_close(kv);
    buf_done(&b);
}

TEST(kv_asks_for_room_before_rocksdb_does)
{
    struct kv_batch *batch = kv_batch_new();
    struct kv *kv;
    struct buf b = {0};
    bool found;

    fault_arm_point("kv.room", ENOSPC);
    CHECK_ERR(kv_open(tmp_path("db"), NULL, &kv), ERR_IO, "No space left");
    fault_disarm();
    CHECK_OK(kv_open(tmp_path("db"), NULL, &kv));
    CHECK_OK(kv_put(kv, SLICE("a"), SLICE("1"), false));
    kv_batch_put(batch, SLICE("b"), SLICE("2"));
    fault_arm_point("kv.room", ENOSPC);
    CHECK_ERR(kv_put(kv, SLICE("a"), SLICE("2"), false), ERR_IO, "No space left");
    CHECK_ERR(kv_delete(kv, SLICE("a"), false), ERR_IO, "No space left");
    CHECK_ERR(kv_write(kv, batch, true), ERR_IO, "No space left");
    CHECK_OK(kv_get(kv, SLICE("a"), &b, &found));
    CHECK(found);
    CHECK_SLICE(buf_slice(&b), "1");
    fault_disarm();
    CHECK_OK(kv_write(kv, batch, true));
    CHECK_OK(kv_get(kv, SLICE("b"), &b, &found));
    CHECK(found);
    kv_batch_free(batch);
    kv_close(kv);
    buf_done(&b);
}

TEST(kv_has_one_opener_at_a_time)
{
    struct kv *kv, *second;

    CHECK_OK(kv_open(tmp_path("db"), NULL, &kv));
    CHECK_ERR(kv_open(tmp_path("db"), NULL, &second), ERR_IO, "db");
    kv_close(kv);
}
