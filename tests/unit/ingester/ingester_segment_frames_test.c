/* Segments of log lines as the RPC methods see them. */
#include "common/logblock/logframe.h"
#include "common/model/metrics_rpc.h"
#include "ingester/ingester_logs.c" /* who a head's owner is, is known there alone */
#include "tests/unit/ingester/logs/loghead_fixture.h"

#define OPS (&ingester_segment_frames)

struct world {
    struct fixture f;
    struct ingester_logs logs;
    struct ingester ing;
};

static void begin(struct world *w)
{
    memset(w, 0, sizeof(*w));
    fx_open(&w->f);
    w->logs.head = w->f.head;
    w->ing.logs = &w->logs;
}

TEST(ingester_segment_frames_are_listed_read_and_dropped)
{
    struct world w;
    struct rpc_segment row;
    struct buf list = {0}, bytes = {0};
    struct reader r;
    struct logframe frame;
    struct slice name, ulid;
    uint64_t size, all = 0;
    void *rows, *pin;
    size_t n;

    begin(&w);
    for (int64_t i = 0; i < 3; i++) {
        CHECK_OK(fx_push_one(&w.f, "a", i, "line"));
        CHECK_OK(loghead_seal(w.f.head, SLICE_EMPTY));
    }
    rows = OPS->list(&w.ing, &n);
    CHECK_INT(n, 0); /* it grows */
    mem_free(rows);
    CHECK_OK(loghead_cut(w.f.head, SLICE_EMPTY, NULL));
    rows = OPS->list(&w.ing, &n);
    CHECK_INT(n, 1);
    CHECK(OPS->row(rows, 0, &row));
    CHECK_SLICE(row.tenant, "t");
    CHECK_INT(row.samples, 3);
    CHECK_INT(row.max_ms - row.min_ms, LOGHEAD_WINDOW_MS);
    ulid = row.ulid;
    CHECK_OK(OPS->pin(&w.ing, SLICE("t"), ulid, &pin));
    CHECK_OK(OPS->files(pin, &list));
    r = reader_new(buf_slice(&list));
    for (n = 1; reader_left(&r); n++) {
        char *want = mem_printf("frames/%06zu", n);

        name = reader_lstr(&r);
        size = reader_uvarint(&r);
        CHECK(slice_eq_cstr(name, want));
        mem_free(want);
        all += size;
    }
    CHECK(reader_ok(&r));
    CHECK_INT(n, 4);
    CHECK_INT(all, row.bytes);
    CHECK_OK(OPS->open(pin, "frames/000002", &size));
    CHECK_OK(OPS->dropped(&w.ing, SLICE("t"), ulid, 3)); /* while it is read */
    CHECK_OK(OPS->read(pin, 0, 100, &bytes));
    CHECK_INT(bytes.len, 100);
    CHECK_OK(OPS->read(pin, 100, (size_t)size - 100, &bytes));
    CHECK_OK(logframe_open(buf_slice(&bytes), &frame));
    CHECK_INT(frame.head.number, 2);
    OPS->unpin(pin);
    CHECK_ERR(OPS->pin(&w.ing, SLICE("t"), ulid, &pin), ERR_NOT_FOUND, "no segment");
    CHECK_ERR(OPS->dropped(&w.ing, SLICE("t"), ulid, 3), ERR_NOT_FOUND, "no segment");
    mem_free(rows);
    buf_done(&list);
    buf_done(&bytes);
    fx_close(&w.f);
}

TEST(ingester_segment_frames_has_no_other_files)
{
    static const char *const names[] = {"frames/",         "frames/x",
                                        "frames/-1",       "meta.json",
                                        "../../head/meta", "frames/99999999999999999999"};
    struct world w;
    struct rpc_segment row;
    uint64_t size;
    void *rows, *pin;
    size_t n;

    begin(&w);
    CHECK_OK(fx_push_one(&w.f, "a", 1, "line"));
    CHECK_OK(loghead_cut(w.f.head, SLICE_EMPTY, NULL));
    rows = OPS->list(&w.ing, &n);
    CHECK(OPS->row(rows, 0, &row));
    CHECK_OK(OPS->pin(&w.ing, SLICE("t"), row.ulid, &pin));
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        CHECK_ERR(OPS->open(pin, names[i], &size), ERR_INVALID, "no file of a segment");
    CHECK_ERR(OPS->open(pin, "frames/000002", &size), ERR_NOT_FOUND, "has no file");
    CHECK_ERR(OPS->open(pin, "frames/4294967297", &size), ERR_NOT_FOUND, "has no file");
    OPS->unpin(pin);
    mem_free(rows);
    fx_close(&w.f);
}
