/* Batches and replies come from peers: whatever batch_open() lets through must be readable. */
#include "ingester/metrics/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_entry(const struct batch *b, uint32_t i, struct arena *a)
{
    struct batch_entry en;
    struct batch_exemplar ex;
    struct histogram h;
    struct slice enc;
    struct reader r;
    int64_t t;
    uint32_t n = 0;

    ORR_ASSERT(batch_entry_get(b, i, &en));
    (void)batch_labels_valid(en.labels.ptr ? en.labels : SLICE_EMPTY);
    for (uint32_t k = 0; k < en.n_samples; k++)
        (void)batch_entry_sample(&en, k);
    r = reader_new(en.histograms);
    for (; batch_next_histogram(&r, &t, &enc); n++)
        err_free(batch_histogram_decode(a, enc, &h));
    ORR_ASSERT(n == en.n_histograms);
    r = reader_new(en.exemplars);
    for (n = 0; batch_next_exemplar(&r, &ex); n++)
        (void)batch_labels_valid(ex.labels);
    ORR_ASSERT(n == en.n_exemplars);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct batch_reply reply;
    struct batch b;
    struct err *e = batch_open(slice_of(data, size), &b);

    if (!e)
        for (uint32_t i = 0; i < b.n; i++)
            read_entry(&b, i, a);
    err_free(e);
    if ((e = batch_reply_decode(slice_of(data, size), &reply)))
        err_free(e);
    else
        batch_reply_done(&reply);
    arena_free(a);
    return 0;
}
