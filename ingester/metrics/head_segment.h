/*
 * The registry of local segments, and what lies in one.
 *
 *   DIR/segments/<tenant>/<ULID>/          a Prometheus block (common/block/block_writer.h), and
 *     exemplars, metadata                common/block/sidecar.h; only when there is something in them,
 *     starts                             common/block/block_starts.h; the same
 *   DIR/segments/<tenant>/<ULID>.tmp       being written; removed at start
 *   DIR/segments/<tenant>/<ULID>.dropped   on its way out; removed at start
 *   DIR/dropped-by/<tenant>                the highest catalogue version by which one was dropped (dropped_by.h)
 *
 * A registered segment keeps its reader open. Readers hold references; a dropped segment disappears
 * from the list at once and from the disk with its last reference. Any thread.
 */
#pragma once
#include "common/block/block_reader.h"
#include "ingester/metrics/head_internal.h"

struct head_seg {
    struct head_segment row;
    struct block_reader *reader;
    uint32_t refs; /* the registry's own among them; under its lock */
};

/* Registers a finished segment directory. */
ORR_CHECKED struct err *head_registry_add(struct head *h, struct slice tenant, const char *path);
/* Segments of the tenant that overlap the range, referenced; caller mem_free()s the array after
 * giving each back. */
struct head_seg **head_registry_find(struct head *h, struct slice tenant, int64_t min_ms,
                                     int64_t max_ms, size_t *ret_n);
void head_registry_unref(struct head *h, struct head_seg *seg);
