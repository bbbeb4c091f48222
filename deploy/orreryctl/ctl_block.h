/*
 * A block where it lies in a bucket, as orreryctl's commands look at one.
 *
 * One thread. What is returned is in the arena that is given.
 */
#pragma once
#include "common/block/block_reader.h"
#include "common/block/catalogue.h"
#include "deploy/orreryctl/ctl.h"

struct ctl_block {
    struct ulid ulid; /* of the directory's name */
    struct slice dir; /* key of the directory, no slash behind it */
    struct block_meta meta;
    struct block_file *files; /* that are there, meta.json and marks left out, sorted */
    size_t n_files;
    uint64_t bytes;                 /* of all of them */
    bool is_deleted, is_no_compact; /* it has a mark of Thanos or Mimir */
    bool has_no_chunks;             /* it is of another signal than metrics */
};

/* Of --signal. ERR_INVALID, with ctl_usage(): there is no such, or none that has blocks. */
ORR_CHECKED struct err *ctl_signal(struct ctl *c, struct slice *ret);
/* Names ending in a ULID directly below a directory ("" for the top). */
ORR_CHECKED struct err *ctl_block_dirs(struct ctl *c, struct arena *a, struct slice parent,
                                       struct slice **ret, size_t *ret_n);
/* Lists and reads meta.json. ERR_NOT_FOUND: there is none; ERR_CORRUPT: it is no meta.json, or that of another block. */
ORR_CHECKED struct err *ctl_block_load(struct ctl *c, struct arena *a, struct slice dir,
                                       struct ctl_block *ret);
/* Files against meta: the index, chunks (of metrics), each file that meta names, with its size. ERR_CORRUPT names one. */
ORR_CHECKED struct err *ctl_block_check(const struct ctl_block *b);
/* Opens it where it is. labels: the external ones. */
ORR_CHECKED struct err *ctl_block_open(struct ctl *c, struct slice dir, struct labels labels,
                                       struct block_reader **ret);

/* A copy of a block in a local directory: the bucket's own when it is one, else fetched and removed at done. */
struct ctl_copy {
    char *path; /* on the heap */
    char *made; /* what done() removes; NULL: nothing */
};
ORR_CHECKED struct err *ctl_copy_make(struct ctl *c, struct slice dir, struct ulid ulid,
                                      struct ctl_copy *ret);
void ctl_copy_done(struct ctl_copy *k);

/* Everything in a block's directory on disk: files against meta, index, chunks, tombstones, sidecars, meta's numbers.
 * The error begins with the file's name. */
ORR_CHECKED struct err *ctl_whole_check(const char *path, const struct block_meta *meta,
                                        struct labels labels);
/* The same of a block of log lines or traces. */
ORR_CHECKED struct err *ctl_whole_check_of(const char *path, struct slice signal);
/* The files of a directory: as those of a ctl_block. */
ORR_CHECKED struct err *ctl_whole_files(struct arena *a, const char *path, struct block_file **ret,
                                        size_t *ret_n);
/* The meta.json of a directory. */
ORR_CHECKED struct err *ctl_whole_meta(struct arena *a, const char *path, struct block_meta *ret);
