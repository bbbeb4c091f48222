/* What wal.c (appending) and wal_replay.c (reading) share. */
#pragma once
#include "common/base/lock.h"
#include "common/base/metric.h"
#include "common/base/vec.h"
#include "common/wal/wal.h"
#include "common/wal/walio.h"

struct wal_file {
    char *path;
    uint64_t first_seq;
};

struct wal_waiter {
    wal_done_fn *done;
    void *arg;
};

struct wal_group {
    struct buf bytes; /* starts with room for the group's header */
    VEC(struct wal_waiter) waiters;
    uint64_t first_seq;
    uint32_t records;
};

struct wal_metrics {
    uint64_t records, bytes, groups, failures;
    uint64_t replayed_records, torn_bytes, quarantined, quarantined_bytes;
    int64_t is_healthy, is_uring, segments;
    struct metric_hist sync_s;
};

struct wal {
    char *dir; /* DIR/wal */
    struct walio *io;
    const struct clock *clock;
    int64_t segment_bytes, max_group_bytes;
    bool is_sync, has_thread;
    struct wal_metrics m;

    struct lock lock; /* guards what follows, down to the blank line */
    pthread_cond_t wake;
    struct wal_group *open; /* being filled */
    uint64_t next_seq;
    bool is_stopping, is_healthy;
    size_t syncing_bytes;       /* of the group in flight */
    VEC(struct wal_file) files; /* oldest first; the last is being written */

    int fd;                     /* the wal thread's, like what follows */
    VEC(struct wal_file) empty; /* files without records, to be removed */
    uint64_t offset;
    struct wal_group *spare;
    struct err *failure; /* why it is not healthy */
    pthread_t thread;

    /* Of files, at open: what wal_replay() may read. Guarded by lock. */
    size_t old_files;
    bool is_replayed; /* the replaying thread's */
};

/* Lists DIR/wal into files, cuts the torn tail off the last one, and returns the number that
 * follows the last record. */
ORR_CHECKED struct err *wal_scan_dir(struct wal *w, uint64_t *ret_next_seq);
/* Removes the files without records that the scan found. Once a newer file is there. */
void wal_remove_empty(struct wal *w);
