#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"
#include "common/traces/tracesegment.h"
#include "tests/unit/test.h"

static void put(struct tracesegment_writer *w, uint8_t id, uint64_t span, uint64_t start_ns,
                uint64_t end_ns)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct tracepiece_resource res = {0};
    struct tracepiece_scope scope = {0};
    struct tracepiece_span s = {
        .span_id = span, .start_ns = start_ns, .end_ns = end_ns, .name = SLICE("GET /")};
    struct tracepiece p = {.trace_id = {id},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &res,
                           .scopes = &scope,
                           .spans = &s};
    struct buf b = {0};

    tracepiece_encode(enc, &p, &b);
    CHECK_OK(tracesegment_add(w, buf_slice(&b)));
    buf_done(&b);
    tracepiece_encoder_free(enc);
}

static struct slice write_some(const char *path, struct tracesegment_totals *ret)
{
    struct tracesegment_writer *w;
    struct slice bytes;

    CHECK_OK(tracesegment_create(path, &w));
    put(w, 1, 1, 100, 200);
    put(w, 3, 2, 50, 60);
    CHECK_ERR(tracesegment_add(w, SLICE("no piece")), ERR_CORRUPT, "piece");
    put(w, 3, 3, 70, 65);
    put(w, 5, 4, 1000, 1001);
    CHECK_OK(tracesegment_finish(w, ret));
    tracesegment_writer_free(w);
    CHECK_OK(fsx_map(path, &bytes));
    return bytes;
}

static size_t count_pieces(const struct tracesegment_trace *t)
{
    struct reader r = reader_new(t->bytes);
    struct slice piece;
    size_t n = 0;

    for (;; n++) {
        CHECK_OK(tracesegment_piece(&r, t->id, &piece));
        if (!piece.len)
            return n;
    }
}

TEST(tracesegment_gives_traces_by_id)
{
    struct tracesegment_totals totals;
    struct slice bytes = write_some(tmp_path("pieces"), &totals);
    struct tracesegment_trace t;
    struct tracesegment s;

    CHECK_OK(tracesegment_open(bytes, &s));
    CHECK_INT(s.totals.traces, 3);
    CHECK_INT(s.totals.pieces, 4);
    CHECK_INT(s.totals.spans, 4);
    CHECK_INT(s.totals.bytes, bytes.len);
    CHECK_INT(totals.bytes, bytes.len);
    CHECK(s.totals.start_ns == 50 && s.totals.end_ns == 1001);
    CHECK_INT(tracesegment_find(&s, 0, (const uint8_t[16]){0}), 0);
    CHECK_INT(tracesegment_find(&s, 0, (const uint8_t[16]){2}), 1);
    CHECK_INT(tracesegment_find(&s, 0, (const uint8_t[16]){3}), 1);
    CHECK_INT(tracesegment_find(&s, 2, (const uint8_t[16]){3}), 2);
    CHECK_INT(tracesegment_find(&s, 0, (const uint8_t[16]){5, 1}), 3);
    tracesegment_at(&s, 1, &t);
    CHECK(t.id[0] == 3 && t.n_pieces == 2 && t.n_spans == 2 && t.start_ns == 50 && t.end_ns == 70);
    CHECK_INT(count_pieces(&t), 2);
    tracesegment_at(&s, 2, &t);
    CHECK(t.id[0] == 5 && count_pieces(&t) == 1);
    fsx_unmap(bytes);
}

TEST(tracesegment_of_nothing_is_one)
{
    struct tracesegment_writer *w;
    struct tracesegment_totals totals;
    struct tracesegment s;
    struct slice bytes;

    CHECK_OK(tracesegment_create(tmp_path("pieces"), &w));
    CHECK_OK(tracesegment_finish(w, &totals));
    tracesegment_writer_free(w);
    CHECK_OK(fsx_map(tmp_path("pieces"), &bytes));
    CHECK_OK(tracesegment_open(bytes, &s));
    CHECK_INT(s.totals.traces, 0);
    CHECK(s.totals.start_ns == 0 && s.totals.end_ns == 0);
    fsx_unmap(bytes);
}

/* A byte that is another is seen: at once, or when the piece it is in is read. */
TEST(tracesegment_sees_every_changed_byte)
{
    struct tracesegment_totals totals;
    struct slice bytes = write_some(tmp_path("pieces"), &totals);
    uint8_t *copy = mem_alloc(bytes.len);

    for (size_t i = 0; i < bytes.len; i++) {
        struct tracesegment s;
        struct err *e;

        memcpy(copy, bytes.ptr, bytes.len);
        copy[i] ^= 0x10;
        e = tracesegment_open(slice_of(copy, bytes.len), &s);
        for (uint64_t k = 0; !e && k < s.totals.traces; k++) {
            struct tracesegment_trace t;
            struct slice piece = SLICE("x");
            struct reader r;

            tracesegment_at(&s, k, &t);
            r = reader_new(t.bytes);
            while (!e && piece.len)
                e = tracesegment_piece(&r, t.id, &piece);
        }
        CHECK(err_is(e, ERR_CORRUPT));
        err_free(e);
    }
    for (size_t n = 0; n < bytes.len; n++) {
        struct tracesegment s;

        CHECK_ERR(tracesegment_open(slice_of(bytes.ptr, n), &s), ERR_CORRUPT, "segment of traces");
    }
    mem_free(copy);
    fsx_unmap(bytes);
}

TEST(tracesegment_that_was_not_finished_is_gone)
{
    struct tracesegment_writer *w;

    CHECK_OK(tracesegment_create(tmp_path("pieces"), &w));
    put(w, 1, 1, 100, 200);
    tracesegment_writer_free(w);
    CHECK(!fsx_exists(tmp_path("pieces")));
}
