/*
 * A small ordered key/value store on the local disk (RocksDB): state that must outlive a restart
 * but not the disk, such as notification logs.
 *
 * Keys and values are bytes; keys are in byte order. A write that was acknowledged survives a crash
 * of the process; with is_sync also one of the machine. RocksDB checks its own checksums; a
 * directory that it refuses is an ERR_CORRUPT for the caller to act upon. When the file system has
 * less than 32 MiB left, opening and writing are ERR_IO with ENOSPC before RocksDB is asked.
 *
 * All calls block: workers and start-up only, never a loop. Any number of threads at a time.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

struct kv;
struct kv_batch;

struct kv_opts {
    size_t cache_bytes; /* blocks held in memory; 0: 8 MiB */
    /* Values of at least so many bytes lie in files of their own kind (RocksDB's blob files), which are not sorted again and
     * again as others are, and are read with one read; for large values that do not compress. 0: none do. */
    size_t min_blob_bytes;
    bool without_checksums;    /* what is read has checksums of the caller's own */
    size_t write_buffer_bytes; /* of writes held in memory, twice at most; 0: 4 MiB */
    /* What is here need not outlive the process: another log has it. Writes are not logged, is_sync means nothing. */
    bool without_log;
    bool is_compressed; /* LZ4, what has left memory */
};
/* Makes the directory if it is not there. One opener at a time (ERR_IO names the lock). opts may be
 * NULL. */
ORR_CHECKED struct err *kv_open(const char *dir, const struct kv_opts *opts, struct kv **ret);
/* NULL is allowed. No call may be running. */
void kv_close(struct kv *kv);

/* Replaces ret's content. *ret_found says whether the key is there. */
ORR_CHECKED struct err *kv_get(struct kv *kv, struct slice key, struct buf *ret, bool *ret_found);
/* The value is lent to see(), which is not called when the key is not there. */
typedef void kv_see_fn(void *arg, struct slice value);
ORR_CHECKED struct err *kv_see(struct kv *kv, struct slice key, kv_see_fn *see, void *arg);
ORR_CHECKED struct err *kv_put(struct kv *kv, struct slice key, struct slice value, bool is_sync);
ORR_CHECKED struct err *kv_delete(struct kv *kv, struct slice key, bool is_sync);

/* fn for each pair whose key begins with prefix, in order; slices are lent for the call. An error
 * of fn ends it and is returned. */
typedef struct err *kv_fn(void *arg, struct slice key, struct slice value);
ORR_CHECKED struct err *kv_each(struct kv *kv, struct slice prefix, kv_fn *fn, void *arg);

/* The pairs as they were when it was made, in order, whatever is written since. Owner: one thread. */
struct kv_iter;
struct kv_iter *kv_iter_new(struct kv *kv);
/* To the first key that is not less than key. */
void kv_iter_seek(struct kv_iter *it, struct slice key);
/* The pair it stands at, lent until it moves; then kv_iter_next(). False at the end, or after an error. */
bool kv_iter_pair(struct kv_iter *it, struct slice *ret_key, struct slice *ret_value);
void kv_iter_next(struct kv_iter *it);
/* NULL, or why it ended early. Frees it; NULL is allowed. */
ORR_CHECKED struct err *kv_iter_close(struct kv_iter *it);

/* Several changes as one: all or none. */
struct kv_batch *kv_batch_new(void);
void kv_batch_free(struct kv_batch *b);  /* NULL is allowed */
void kv_batch_clear(struct kv_batch *b); /* empty again */
void kv_batch_put(struct kv_batch *b, struct slice key, struct slice value);
void kv_batch_delete(struct kv_batch *b, struct slice key);
size_t kv_batch_count(const struct kv_batch *b);
/* The batch stays the caller's. */
ORR_CHECKED struct err *kv_write(struct kv *kv, struct kv_batch *b, bool is_sync);
