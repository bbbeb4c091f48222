/* Bytes as a file of a segment of traces: whatever opens, all of it can be walked and looked up. */
#include "common/traces/tracesegment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct tracesegment *s)
{
    struct tracesegment_trace t;
    struct slice piece;
    struct err *e = NULL;

    for (uint64_t i = 0; i < s->totals.traces; i++) {
        struct reader r;

        tracesegment_at(s, i, &t);
        ORR_ASSERT(tracesegment_find(s, 0, t.id) == i);
        r = reader_new(t.bytes);
        while (!(e = tracesegment_piece(&r, t.id, &piece)) && piece.len)
            ORR_ASSERT(piece.len <= t.bytes.len);
        err_free(e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tracesegment s;
    struct err *e = tracesegment_open(slice_of(data, size), &s);

    if (!e)
        walk(&s);
    err_free(e);
    return 0;
}
