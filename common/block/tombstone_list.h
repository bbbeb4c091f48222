/*
 * The tombstone list: per tenant one object, <signal>/<tenant>/tombstones, of what was deleted and
 * is to be seen by nobody: the samples in a range of time of the series that some matchers accept. Of log lines, those
 * of the streams that they accept, and of these all or what a LogQL pipeline lets through (common/logblock/linetombs.h).
 * It stands beside the catalogue, is changed in the same way (load, edit, conditional put) and its
 * version is gossiped, so queriers filter by it at once, whatever head, segment or block the samples
 * lie in. Who writes a block leaves them out (tombstone_stream.h); when nothing is left of them the
 * tombstone is taken off.
 *
 *   "ORRTMB" 0 1 | uvarint version | lstr tenant | uvarint count
 *   | { 16 bytes ulid, varint created ms, varint min ms, varint max ms, lstr matchers }...
 *   | u32le CRC-32C of all before it
 *
 * or, if any of it has a query or a state, "ORRTMB" 0 2, and of each behind the matchers: lstr query, u8 state, varint processed ms
 *
 * Both ends of a range are inclusive; matchers as matchers_encode() writes them. A tombstone ends at
 * the time it was made at the latest, so what is written afterwards with newer times is kept.
 *
 * What is written afterwards with times in the range (late, or in the place of what was deleted) is hidden and left out of
 * blocks as well, until the tombstone is off the list. Prometheus deletes what is there at the time and nothing else. That takes
 * to know of each sample whether it came before the tombstone, and nothing here does:
 *   - a sample is (series, time, value). Neither log, chunk nor block keep when it was accepted; a chunk, a cut window and a
 *     block have samples from before and after side by side;
 *   - the order is one per ingester: of three replicas two may have a sample before they hear of the deletion and the third after
 *     it, one that was down brings its own back days later, and they are merged sample by sample, whichever comes first;
 *   - the filter stands behind that merge, where no sample has a place of its own any more.
 * Times of arrival would be wrong, too: of two clocks, in a log that is replayed. To be right a deletion has to be a barrier: every
 * ingester cuts the tenant's head when it hears of it, so that each segment is of before or of after; an ingester that does not
 * answer keeps the rule above for what it holds; readers and writers of blocks filter each input by itself, before the merge; and
 * a block names in meta.json and catalogue the tombstones that were applied to it, among them all that its inputs came after.
 * That is a change of the format of both and of "ingester.select"; until it is made, samples that are to stand in the place
 * of deleted ones are written when the list is empty.
 *
 * A deletion of log lines can be taken back, so it goes through states: nothing is left out of a block by one that is only
 * received. The compactor puts down that it is begun before it leaves out anything, and that it is processed when nothing is
 * left, from when on it hides nothing. Deletions of samples have no states: they are applied as they stand there, and then go.
 *
 * Bounded: 16 MiB, TOMBSTONE_LIST_MAX tombstones, and a list that is full refuses more (ERR_LIMIT).
 *
 * A struct tombstone_list is reference-counted (snapshot.h) and immutable once loaded: any thread.
 * load and update block.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/snapshot.h"
#include "common/block/ulid.h"
#include "common/model/matcher.h"
#include "common/objstore/objstore.h"

#define TOMBSTONE_LIST_MAX_BYTES (16u << 20)
#define TOMBSTONE_LIST_MAX 10000

/* X(symbol): as they are written, from 0 on */
#define TOMBSTONE_STATES(X) X(TOMBSTONE_RECEIVED) X(TOMBSTONE_BEGUN) X(TOMBSTONE_PROCESSED)
enum tombstone_state {
#define X(sym) sym,
    TOMBSTONE_STATES(X)
#undef X
        TOMBSTONE_STATE_COUNT
};

struct tombstone {
    struct ulid ulid; /* its time is when it was made */
    int64_t created_ms, min_ms, max_ms;
    struct matchers matchers;
    /* of log lines */
    struct slice query; /* as it was asked for; empty: all lines of the streams */
    enum tombstone_state state;
    int64_t processed_ms; /* Unix, since when it is TOMBSTONE_PROCESSED */
};

static inline bool tombstone_reaches(const struct tombstone *t, int64_t min_ms, int64_t max_ms)
{
    return t->state != TOMBSTONE_PROCESSED && t->min_ms <= max_ms && t->max_ms >= min_ms;
}

/* The end of its range, exclusive, in ns. */
static inline int64_t tombstone_after_ns(const struct tombstone *t)
{
    return t->max_ms < INT64_MAX / NS_PER_MS ? (t->max_ms + 1) * NS_PER_MS : INT64_MAX;
}

struct tombstone_list; /* starts with a struct snapshot */

struct tombstone_list *tombstone_list_new(struct slice tenant); /* empty, version 0 */
struct tombstone_list *tombstone_list_ref(struct tombstone_list *l);
void tombstone_list_unref(struct tombstone_list *l); /* NULL is allowed */
ORR_CHECKED struct err *tombstone_list_parse(struct slice bytes, struct tombstone_list **ret);
void tombstone_list_write(struct buf *out, const struct tombstone_list *l);

uint64_t tombstone_list_version(const struct tombstone_list *l);
struct slice tombstone_list_tenant(const struct tombstone_list *l);
/* Of traces, which have no other deletions: all that began before it (Unix ns) is deleted; 0: nothing is. */
int64_t tombstone_list_after_ns(const struct tombstone_list *l);
/* In the order they were made. Lent until the next change. */
const struct tombstone *tombstone_list_all(const struct tombstone_list *l, size_t *ret_n);

/* How many are not processed: that hide something. */
size_t tombstone_list_open(const struct tombstone_list *l);
/* NULL: it is not there. Lent likewise. */
const struct tombstone *tombstone_list_find(const struct tombstone_list *l, struct ulid ulid);

/* While it is the caller's alone. Copies matchers and query. One whose ulid is there already is left as it
 * is; ERR_LIMIT when the list is full. */
ORR_CHECKED struct err *tombstone_list_add(struct tombstone_list *l, const struct tombstone *t);
bool tombstone_list_remove(struct tombstone_list *l, struct ulid ulid);
/* It is further now; false: it is not there, or was so far already. now_ms: Unix. */
bool tombstone_list_advance(struct tombstone_list *l, struct ulid ulid, enum tombstone_state state,
                            int64_t now_ms);
/* Takes off those that were processed before that, and while the list is more than half full, by number or bytes, any others that are
 * processed, the first ones first. Whether there were such. */
bool tombstone_list_forget(struct tombstone_list *l, int64_t before_ms);
/* Takes off all that are not begun, for who applies those that are; the version stays. */
void tombstone_list_keep_begun(struct tombstone_list *l);

/* Absent: an empty list of version 0. ret_etag (may be NULL): OBJSTORE_ETAG_BYTES, "" if absent. */
ORR_CHECKED struct err *tombstone_list_load(struct objstore *store, struct slice signal,
                                            struct slice tenant, struct tombstone_list **ret,
                                            char *ret_etag);
/* What tombstone_list_load() would load now: "" when there is none. etag: OBJSTORE_ETAG_BYTES. */
ORR_CHECKED struct err *tombstone_list_stat(struct objstore *store, struct slice signal,
                                            struct slice tenant, char *ret_etag);
/* As catalogue_update(). ret may be NULL. */
typedef struct err *tombstone_list_edit_fn(void *arg, struct tombstone_list *l, bool *ret_changed);
ORR_CHECKED struct err *tombstone_list_update(struct objstore *store, struct slice signal,
                                              struct slice tenant, tombstone_list_edit_fn *edit,
                                              void *arg, struct tombstone_list **ret);
/*
 * A change of a list, for the one who may write it where objstore_needs_one_writer() says yes (writelease.h): RPC
 * "compactor.tombstones", whose answer is the uvarint version of the list with the change.
 *
 *   uvarint 2 * count, + 1: those that are begun, too | 16 bytes ulid, to be taken off...
 *   | what is to be added, as tombstone_list_write() writes a list; may be empty
 *
 * It may be made again: what is there is not added twice.
 */
struct tombstone_change {
    const struct ulid *gone;
    size_t n_gone;
    bool is_forced;                   /* they go though they are begun */
    const struct tombstone_list *add; /* may be NULL */
};
void tombstone_change_encode(struct buf *out, const struct tombstone_change *change);
/* ERR_INVALID, ERR_CORRUPT: it makes no sense, or what is to go is begun; ERR_LIMIT: the list is full. */
ORR_CHECKED struct err *tombstone_change_apply(struct slice change, struct tombstone_list *l,
                                               bool *ret_changed);
/* Key of the object, in the arena. */
char *tombstone_list_key(struct arena *a, struct slice signal, struct slice tenant);

/* ---- samples against tombstones ---- */

struct tombstone_span {
    int64_t min_ms, max_ms; /* both inclusive */
};
/* What is deleted of a series within [min_ms, max_ms]: spans that are sorted and do not touch, in
 * the arena. *ret_n 0: nothing is. */
struct tombstone_span *tombstone_list_spans(const struct tombstone_list *l, struct arena *a,
                                            struct labels ls, int64_t min_ms, int64_t max_ms,
                                            size_t *ret_n);
/* Times in [min_ms, max_ms] at which a deleted range begins, or has just ended, of any series that ms may accept (NULL: of
 * all): ascending, in the arena. */
int64_t *tombstone_list_edges(const struct tombstone_list *l, struct arena *a,
                              const struct matchers *ms, int64_t min_ms, int64_t max_ms,
                              size_t *ret_n);
/* Whether any tombstone reaches into the range. */
bool tombstone_list_reaches(const struct tombstone_list *l, int64_t min_ms, int64_t max_ms);
/* Whether some series may be meant by both. */
bool tombstone_may_mean(const struct tombstone *t, const struct matchers *ms);
/* Sorts them; joins those that touch or overlap, and gives how many are left. */
size_t tombstone_spans_join(struct tombstone_span *spans, size_t n);
bool tombstone_spans_have(const struct tombstone_span *spans, size_t n, int64_t t_ms);
