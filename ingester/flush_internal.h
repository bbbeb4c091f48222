/* flush.c: the thread and its requests; flush_upload.c: blocks made from here; flush_signal.c: of which signal. */
#pragma once
#include <stdatomic.h>

#include "common/base/metric.h"
#include "common/block/block_meta.h"
#include "ingester/flush.h"

struct flush_metrics {
    uint64_t cuts, cut_failures, uploads, upload_failures, hints;
};

/* A leaving ingester does not wait longer than this for a compactor. */
#define FLUSH_LEAVE_UPLOAD_MS 600000

/* Uploads segments that have waited too long, and drops those whose blocks readers know by now. *stop: it is to end, what is
 * under way fails. The flush thread. */
struct flush_upload;
struct flush_upload *flush_upload_new(const struct flush_opts *opts, struct flush_metrics *m);
void flush_upload_free(struct flush_upload *u);
void flush_upload_run(struct flush_upload *u, bool is_leaving, const atomic_bool *stop);

struct flush_waiting { /* a segment */
    char tenant[152], ulid[27];
    int64_t since_ms; /* Unix ms when it was cut */
};
struct flush_block { /* it as a block */
    const char *dir; /* its files and meta.json */
    struct block_meta meta;
    union { /* pinned */
        struct head_segment row;
        struct loghead_segment log_row;
        struct tracehead_segment trace_row;
    };
};
struct flush_signal {
    const char *name;
    /* The caller mem_free()s. */
    size_t (*list)(const struct flush_opts *o, struct flush_waiting **ret);
    /* In the arena; until close. */
    struct err *(*open)(const struct flush_opts *o, struct arena *a, const struct flush_waiting *w,
                        const atomic_bool *stop, struct flush_block *ret);
    void (*close)(const struct flush_opts *o, struct flush_block *b);
    struct err *(*drop)(const struct flush_opts *o, struct slice tenant, struct slice ulid,
                        uint64_t version);
};
extern const struct flush_signal flush_signal_metrics, flush_signal_logs, flush_signal_traces;
