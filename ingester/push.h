/*
 * A client's write, whatever protocol it came in: series by fingerprint, metadata, and the memory
 * they lie in. A door fills it, distribute.h brings it to the replicas.
 *
 * Everything pointed to lives in body or arena, which the push owns until the last replica has
 * answered (labels may have to be sent a second time).
 *
 * Owner: the loop it was made on.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/vec.h"
#include "common/model/limits.h"
#include "common/model/sample.h"

struct push_histogram {
    int64_t t_ms;
    struct histogram h;
};
struct push_exemplar {
    struct slice labels; /* canonical */
    double v;
    int64_t t_ms;
};

/* A series that has anything but one float sample. */
struct push_extra {
    const struct sample *samples;
    const struct push_histogram *histograms;
    const struct push_exemplar *exemplars;
    uint32_t n_samples, n_histograms, n_exemplars;
    int64_t start_ms;   /* of all samples and histograms here, to be stored; 0: none */
    int64_t created_ms; /* a zero is to be stored there if the series has nothing newer; 0: none */
};

struct push_series {
    struct hash128 fp;
    struct slice labels; /* canonical bytes */
    struct sample sample;
    const struct push_extra *extra; /* NULL: sample is all there is */
    bool is_known;                  /* the replicas have been sent its labels before */
};

struct push_metadata {
    struct slice family, help, unit;
    enum sample_metric_type type;
};

struct push {
    struct buf body;
    struct arena *arena;
    struct slice tenant; /* in the arena */
    struct tenant_limits limits;
    VEC(struct push_series) series;
    VEC(struct push_metadata) metadata;
    uint64_t metadata_epoch; /* not 0: the door remembers that it stored metadata, for so long */
    uint64_t samples, histograms, exemplars; /* in series */
    bool is_late; /* older samples than their series have are taken, whatever the tenant's window */
};

/* Copies tenant. */
struct push *push_new(struct slice tenant, const struct tenant_limits *limits);
void push_free(struct push *p); /* NULL is allowed */
/* Memory it holds, roughly. */
size_t push_bytes(const struct push *p);
