/* What the head reads back from the log: shard records and raw batches. */
#include "ingester/metrics/head_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum;

static void on_series(void *arg, uint32_t ref, struct hash128 fp, struct slice canonical)
{
    (void)arg;
    sum += ref + fp.lo + batch_labels_valid(canonical);
}

static void on_sample(void *arg, uint32_t ref, int64_t t_ms, double v)
{
    (void)arg;
    sum += ref + (uint64_t)t_ms + sample_bits(v);
}

static void on_histogram(void *arg, uint32_t ref, int64_t t_ms, struct slice encoded)
{
    struct histogram h;

    sum += ref + (uint64_t)t_ms;
    err_free(batch_histogram_decode(arg, encoded, &h));
}

static void on_exemplar(void *arg, uint32_t ref, const struct batch_exemplar *ex)
{
    (void)arg;
    sum += ref + (uint64_t)ex->t_ms + ex->labels.len;
}

static void on_metadata(void *arg, const struct batch_meta *m)
{
    (void)arg;
    sum += m->type + m->help.len;
}

static void on_raw(void *arg, uint64_t seq)
{
    (void)arg;
    sum += seq;
}

static void on_start(void *arg, uint32_t ref, int64_t t_ms, int64_t st_ms)
{
    (void)arg;
    sum += ref + (uint64_t)t_ms + (uint64_t)st_ms;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct head_log_visitor visitor = {
        .series = on_series,
        .sample = on_sample,
        .histogram = on_histogram,
        .exemplar = on_exemplar,
        .metadata = on_metadata,
        .start = on_start,
        .raw_through = on_raw,
    };
    struct arena *a = arena_new(0);
    struct head_limits limits;
    struct batch b;
    uint32_t shard;

    (void)head_log_shard_of(slice_of(data, size), &shard);
    err_free(head_log_visit(slice_of(data, size), &visitor, a));
    err_free(head_log_raw_open(slice_of(data, size), &limits, &b));
    arena_free(a);
    return 0;
}
