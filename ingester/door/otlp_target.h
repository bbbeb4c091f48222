/*
 * target_info: what a resource says about itself beyond job and instance.
 *
 *   target_info{job="shop", instance="i-1", host_name="a"} 1
 *
 * A sample at the first and at the last time of the resource's points, and every
 * OTLP_TARGET_EVERY_MS between, so that a query finds it wherever it finds the points (at most
 * OTLP_TARGET_SAMPLES, the latest ones). Resources that are the same are one series; all of a
 * request are pushed at its end. None without job and instance, nor where they are all there is.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/hash.h"
#include "ingester/door/otlp_labels.h"
#include "ingester/door/push_builder.h"

#define OTLP_TARGET_EVERY_MS 150000 /* half of the lookback of a query */
#define OTLP_TARGET_SAMPLES 1024

struct otlp_target_times {
    uint64_t first_ns, last_ns;
};
#define OTLP_TARGET_NEVER ((struct otlp_target_times){UINT64_MAX, 0})
void otlp_target_see(struct otlp_target_times *times, const struct otlp_metric *m);

struct otlp_target {
    struct hash128 fp;
    struct labels labels;
    struct otlp_target_times times;
};
struct otlp_targets { /* {0}: none; in the arena of the labels */
    struct otlp_target *ptr;
    size_t n, cap;
};
/* Texts of attrs must last until the push. */
ORR_CHECKED struct err *otlp_target_add(struct otlp_targets *ts, struct otlp_labels *l,
                                        struct otlp_attrs attrs,
                                        const struct otlp_target_times *times);
ORR_CHECKED struct err *otlp_target_push(struct otlp_targets *ts, const struct otlp_config *config,
                                         struct push_builder *b, struct arena *tmp);
