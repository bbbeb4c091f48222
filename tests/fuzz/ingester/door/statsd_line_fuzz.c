/* StatsD lines into sums, and a flush of them into a push; twice, with an expiry at the end. */
#include "ingester/door/statsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void flush(struct statsd *s, int64_t now_ms)
{
    struct tenant_limits limits = {.generation = 1};
    struct fp_cache known;
    struct push_builder b;

    fp_cache_init(&known, 1 << 20);
    for (statsd_flush(s, now_ms); !statsd_flush_is_done(s);) {
        struct push *p = push_new(SLICE("t"), &limits);

        push_builder_init(&b, p, &known, now_ms);
        err_free(statsd_decode(&b, s));
        push_free(p);
    }
    fp_cache_done(&known);
}

static void run(struct slice lines, bool has_histograms)
{
    struct statsd *s = statsd_new(&(struct statsd_opts){.max_series = 100,
                                                        .max_bytes = 1 << 20,
                                                        .expiry_ms = 100,
                                                        .instance_label = "instance",
                                                        .instance = "i",
                                                        .has_histograms = has_histograms,
                                                        .seed = 1});

    statsd_take(s, lines, 1000);
    flush(s, 1000);
    statsd_take(s, lines, 1001);
    flush(s, 2000);
    if (statsd_metrics(s)->series || statsd_metrics(s)->bytes)
        __builtin_trap();
    statsd_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(slice_of(data, size), false);
    run(slice_of(data, size), true);
    return 0;
}
