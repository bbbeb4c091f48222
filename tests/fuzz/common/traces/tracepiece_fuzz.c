/* Bytes as a piece of a trace: what can be read can be written, and is read the same; united with itself it is one. */
#include "common/traces/tracepiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct arena *a, const struct tracepiece *p)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct tracepiece again, twice[2] = {*p, *p}, one;
    struct buf first = {0}, second = {0};
    struct tracebuild *b = tracebuild_new(a);
    struct tracepiece_rows rows;

    tracepiece_encode(e, p, &first);
    ORR_ASSERT(!tracepiece_decode(a, buf_slice(&first), &again));
    tracepiece_encode(e, &again, &second);
    ORR_ASSERT(slice_eq(buf_slice(&first), buf_slice(&second)));
    tracepiece_unite(a, twice, 2, &one);
    ORR_ASSERT(one.n_spans <= p->n_spans && (one.n_spans || !p->n_spans));
    tracepiece_rows_init(&rows, b);
    tracepiece_build(&rows, a, &one);
    tracepiece_rows_done(&rows);
    ORR_ASSERT(tracebuild_end(b)->n_spans == one.n_spans);
    buf_done(&first);
    buf_done(&second);
    tracepiece_encoder_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct tracepiece p;
    struct err *e = tracepiece_decode(a, slice_of(data, size), &p);

    if (!e)
        look(a, &p);
    err_free(e);
    arena_free(a);
    return 0;
}
