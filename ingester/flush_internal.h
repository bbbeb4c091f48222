/* flush.c: the thread and its requests; flush_upload.c: blocks made from here. */
#pragma once
#include "common/base/metric.h"
#include "ingester/flush.h"

struct flush_metrics {
    uint64_t cuts, cut_failures, uploads, upload_failures, hints;
};

/* A leaving ingester does not wait longer than this for a compactor. */
#define FLUSH_LEAVE_UPLOAD_MS 600000

/* Uploads segments that have waited too long, and drops those whose blocks readers know by now.
 * The flush thread. */
struct flush_upload;
struct flush_upload *flush_upload_new(const struct flush_opts *opts, struct flush_metrics *m);
void flush_upload_free(struct flush_upload *u);
void flush_upload_run(struct flush_upload *u, bool is_leaving);
