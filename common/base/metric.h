/*
 * The process's own metrics, exposed as OpenMetrics 1.0 text and as Prometheus text 0.0.4 at
 * /metrics.
 *
 * Counters and gauges are plain members of the object that counts (uint64_t, int64_t or double
 * read without locks: an aligned word never tears), registered once with their table:
 *
 *     struct wal_metrics { uint64_t appended_bytes; struct metric_hist sync_s; };
 *     static const struct metric_field wal_fields[] = {
 *         METRIC_COUNTER(struct wal_metrics, appended_bytes, "orrery_wal_appended_bytes_total",
 *                        "Payload bytes appended."),
 *         METRIC_HIST(struct wal_metrics, sync_s, "orrery_wal_sync_seconds", "Time of a sync."),
 *     };
 *     metric_register(&wal->m, wal_fields, ORR_COUNT(wal_fields), NULL);
 *
 * A counter's name ends in _total (asserted); OpenMetrics takes the suffix off the family's name.
 * Every process also shows process_* (CPU, memory, descriptors, start time), orrery_build_info and
 * what the log and the heap count.
 *
 * Each object has one writing thread (or uses METRIC_ADD for atomic adds). Registration and
 * exposition: any thread.
 */
#pragma once
#include "common/base/buf.h"

enum metric_type {
    METRIC_T_COUNTER,
    METRIC_T_GAUGE,
    METRIC_T_GAUGE_F64,
    METRIC_T_COUNTER_F64,
    METRIC_T_HIST
};

struct metric_field {
    enum metric_type type;
    size_t offset;
    const char *name, *help;
};

/* Seconds, in powers of four from 64 us to 268 s, and +Inf. */
#define METRIC_HIST_BUCKETS 12
struct metric_hist {
    uint64_t buckets[METRIC_HIST_BUCKETS + 1];
    uint64_t count;
    double sum;
};
void metric_hist_observe(struct metric_hist *h, double seconds); /* any thread */

#define METRIC_COUNTER(type, member, name, help)                                                   \
    {                                                                                              \
        METRIC_T_COUNTER, offsetof(type, member), (name), (help)                                   \
    }
#define METRIC_COUNTER_F64(type, member, name, help)                                               \
    {                                                                                              \
        METRIC_T_COUNTER_F64, offsetof(type, member), (name), (help)                               \
    }
#define METRIC_GAUGE(type, member, name, help)                                                     \
    {                                                                                              \
        METRIC_T_GAUGE, offsetof(type, member), (name), (help)                                     \
    }
#define METRIC_GAUGE_F64(type, member, name, help)                                                 \
    {                                                                                              \
        METRIC_T_GAUGE_F64, offsetof(type, member), (name), (help)                                 \
    }
#define METRIC_HIST(type, member, name, help)                                                      \
    {                                                                                              \
        METRIC_T_HIST, offsetof(type, member), (name), (help)                                      \
    }

/* For members that several threads write. */
#define METRIC_ADD(member, n) ((void)__atomic_fetch_add(&(member), (n), __ATOMIC_RELAXED))
#define METRIC_GET(member) __atomic_load_n(&(member), __ATOMIC_RELAXED) /* for collectors */
#define METRIC_SET(member, n) __atomic_store_n(&(member), (n), __ATOMIC_RELAXED)

/*
 * labels: NULL or `signal="metrics",peer="x"` (already escaped; copied), put on every series of
 * this object, so several objects may share one table. fields must outlive the registration.
 */
void metric_register(const void *object, const struct metric_field *fields, size_t n,
                     const char *labels);
void metric_unregister(const void *object);
/*
 * Called at exposition for families built on the fly: writes whole families with
 * metric_write_family() and the samples that belong to it. A family may be written by several
 * collectors (and tables): it is put together under one HELP and TYPE. No lock is held that a
 * collector may need, save that unregistering waits for a running exposition: unregister with no
 * lock held.
 */
typedef void metric_collect_fn(void *arg, struct buf *out, bool is_openmetrics);
void metric_register_collector(metric_collect_fn *fn, void *arg);
void metric_unregister_collector(metric_collect_fn *fn, void *arg);
/* All of it; families sorted by name, HELP and TYPE once. OpenMetrics ends with # EOF. */
void metric_write(struct buf *out, bool is_openmetrics);
/* A family's head, then its samples. name: as in a table, a counter's with _total. labels as in
 * metric_register. */
void metric_write_family(struct buf *out, bool is_openmetrics, enum metric_type type,
                         const char *name, const char *help);
void metric_write_u64(struct buf *out, const char *name, const char *labels, uint64_t v);
void metric_write_f64(struct buf *out, const char *name, const char *labels, double v);
void metric_write_hist(struct buf *out, const char *name, const char *labels,
                       const struct metric_hist *h);

/* Escapes a label value into out (no quotes). */
void metric_escape(struct buf *out, struct slice value);
