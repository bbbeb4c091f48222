/* Metrics that were decoded from foreign bytes into a push, twice (deltas add up). For the fuzz
 * targets of OTLP. */
#pragma once
#include "ingester/door/otlp_translate.h"

static inline void otlp_whole_way(const struct otlp_metrics *m, struct arena *a, unsigned how)
{
    static const struct tenant_limits limits = {.max_label_names_per_series = 20,
                                                .max_label_value_length = 50,
                                                .max_native_histogram_buckets = 100,
                                                .max_otel_delta_streams_per_user = 50};
    static char none[] = "", prefix[] = "p.x";
    struct otlp_config config = {
        .strategy = (int)(how & 3),
        .prefix = how & 4 ? prefix : none,
        .promotes_all = how & 8,
        .promotes_scope = how & 16,
        .to_nhcb = how & 32,
        .has_key_prefix = how & 64,
        .keeps_underscores = how & 128,
        .has_type_and_unit = how & 1,
        .keeps_identifying = how & 2,
        .delta = (int)(how >> 2 & 3) % 3,
    };
    struct otlp_delta *delta = otlp_delta_new();

    for (int i = 0; i < 2; i++) {
        struct push *p = push_new(SLICE("t"), &limits);
        struct push_builder b;
        struct fp_cache known;

        fp_cache_init(&known, 1 << 20);
        push_builder_init(&b, p, &known, 0);
        err_free(otlp_translate(&b, m, &config, delta, a));
        VEC_FOREACH (s, &p->series)
            ORR_ASSERT(hash128_eq(s->fp, labels_fingerprint_of_canonical(s->labels)));
        push_free(p);
        fp_cache_done(&known);
    }
    otlp_delta_free(delta);
}
