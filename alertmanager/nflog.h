/*
 * The notification log: what each receiver has been told about each group of alerts, so that it is
 * told once, whichever peer of the cluster speaks.
 *
 * An entry (per tenant, group and integration) holds a record for each alert told of: firing,
 * resolved or gone (no longer part of the group), with a version. nflog_set() gives all records of
 * the new state one version more than any in the entry. Two copies of an entry merge record by
 * record, the higher version wins (of equal ones: firing over resolved over gone), and the times by
 * the later. So merging is commutative, associative and idempotent, and two halves of a cluster
 * that both spoke know after healing all that was said, and do not say it again.
 *
 * Gone records are kept as long as those they replaced might still be around (each record
 * expires), so that an old copy does not bring back "firing" and silence a new alert.
 *
 * Entry, integers LEB128: u8 format (1) | lstr key | zigzag notified_ms | zigzag expires_ms |
 *   n × { u64le alert | u8 state | version | zigzag expires_ms }, ascending by alert
 * State (full sync): entries, each as lstr.
 *
 * A pure state machine. Owner: one thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

#define NFLOG_MAX_RECORDS 1000000 /* in one entry */

struct nflog;

struct nflog *nflog_new(void);
void nflog_free(struct nflog *l);
size_t nflog_count(const struct nflog *l);

/* Appends the key of an entry. */
void nflog_key(struct buf *out, struct slice tenant, struct slice group_key, struct slice receiver,
               const char *kind, size_t index);

#define NFLOG_REASONS(X)                                                                           \
    X(NFLOG_NONE, "")                                                                              \
    X(NFLOG_FIRST, "first notification")                                                           \
    X(NFLOG_NEW, "new alerts added")                                                               \
    X(NFLOG_ALL_RESOLVED, "all alerts resolved")                                                   \
    X(NFLOG_RESOLVED, "some alerts resolved")                                                      \
    X(NFLOG_REPEAT, "repeat interval elapsed")
enum nflog_reason {
#define X(sym, text) sym,
    NFLOG_REASONS(X)
#undef X
};
const char *nflog_reason_text(enum nflog_reason r);

struct nflog_alerts {
    const uint64_t *firing, *resolved; /* fingerprints */
    size_t n_firing, n_resolved;
};
/* Why the receiver must be told now; NFLOG_NONE: it knows. */
enum nflog_reason nflog_check(const struct nflog *l, struct slice key,
                              const struct nflog_alerts *alerts, bool send_resolved,
                              int64_t repeat_ms, int64_t wall_ms);
/* Grows whenever somebody was told, here or elsewhere; 0: never. */
uint64_t nflog_version(const struct nflog *l, struct slice key);
/* It was told. keep_ms: how long the entry is good for. */
void nflog_set(struct nflog *l, struct slice key, const struct nflog_alerts *alerts,
               int64_t wall_ms, int64_t keep_ms);
/* Appends the entry's bytes; nothing if there is none. */
void nflog_entry(const struct nflog *l, struct slice key, struct buf *out);

/* An entry of a peer or of the disk. *ret_news: it changed ours. ERR_INVALID changes nothing. */
ORR_CHECKED struct err *nflog_merge(struct nflog *l, struct slice entry, int64_t wall_ms,
                                    bool *ret_news);
void nflog_write_state(const struct nflog *l, struct buf *out);
ORR_CHECKED struct err *nflog_merge_state(struct nflog *l, struct slice bytes, int64_t wall_ms);

/* Drops what has expired. */
void nflog_gc(struct nflog *l, int64_t wall_ms);
/* fn for each key set, merged or dropped since the last call; entry is empty if it is no more. */
typedef void nflog_dirty_fn(void *arg, struct slice key, struct slice entry);
void nflog_take_dirty(struct nflog *l, nflog_dirty_fn *fn, void *arg);
/* Gives a key back that could not be kept: the next call tells it again. */
void nflog_mark_dirty(struct nflog *l, struct slice key);
