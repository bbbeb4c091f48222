/*
 * Pages of immutable objects, kept: 64 KiB each, in memory up to a budget and below it on a local disk
 * (struct objpages_below). One cache serves whatever is read of blocks by range: index headers, postings, series, chunks.
 *
 *   objpages_hold()   the pages of many ranges, of one object or several: those that are nowhere are fetched in
 *                     as few reads as that takes (pages less than 256 KiB apart go in one of up to 8 MiB),
 *                     several at once; the pages stay until they are let go. Ranges that are only ahead are
 *                     not held: where a read reaches their pages, or nearly, it goes on, up to 32 MiB, and these
 *                     go to the disk alone. What all read ahead at a time has room in half of the memory: who finds
 *                     too little waits for the others, so that reads do not become short and many
 *   objpages_read()   the bytes of one range, copied; reads ahead of nothing
 *
 * A page is fetched once for all who want it at the same time. An object must not change as long as its
 * pages are here: blocks do not.
 *
 * Memory: pages that nobody holds go, least recently used first, when all together, those being read among them,
 * are over max_bytes. Pages that are held cannot go: who holds asks objpages_room() beforehand how much it should take at once.
 *
 * Errors are those of objstore_get(); a range that begins past the end of an object is ERR_CORRUPT, since who
 * does that was told so by another part of the block.
 *
 * All calls but the last two block; any thread, many at once.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/objstore/objstore.h"

#define OBJPAGES_PAGE (64u << 10)

/* What lies below the memory. All may be called by any thread; what they fail to do is their own to log. */
struct objpages_below_page {
    struct slice key;      /* of the page */
    uint64_t object_bytes; /* of the whole object */
    struct slice bytes;
};
struct objpages_below {
    void *arg;
    /* ret: mem_alloc()ed, the caller's. */
    bool (*get)(void *arg, struct slice key, struct slice *ret, uint64_t *ret_object_bytes);
    void (*put)(void *arg, const struct objpages_below_page *pages, size_t n);
    void (*drop)(void *arg, struct slice key);
};

struct objpages_opts {
    struct objstore *store;       /* outlives it */
    size_t max_bytes;             /* in memory */
    unsigned threads;             /* that fetch, beside the caller's own; 0: 4 */
    struct objpages_below *below; /* outlives it; NULL: nothing */
};

struct objpages;
struct objpages_hold;

struct objpages *objpages_new(const struct objpages_opts *opts);
void objpages_free(struct objpages *p); /* when nothing is held; NULL is allowed */

struct objpages_range {
    struct slice object; /* its key */
    uint64_t off, len;
    bool is_ahead; /* will be asked for later, by who reads on: behind the others of the object */
};
/* Let go with objpages_unhold(). */
ORR_CHECKED struct err *objpages_hold(struct objpages *p, const struct objpages_range *ranges,
                                      size_t n, struct objpages_hold **ret);
void objpages_unhold(struct objpages *p, struct objpages_hold *h); /* NULL is allowed */
/* From off of the object (its key in two halves) to the end of its page, lent by the hold; empty if that page is not held. */
struct slice objpages_held(const struct objpages_hold *h, struct slice prefix, struct slice rest,
                           uint64_t off);
/* Whether the store had to be asked for some of it. NULL is allowed. */
bool objpages_hold_has_read(const struct objpages_hold *h);
/* Replaces what ret held by [off, off + len), or what there is of it. ret_object_bytes may be NULL. */
ORR_CHECKED struct err *objpages_read(struct objpages *p, struct slice object, uint64_t off,
                                      size_t len, struct buf *ret, uint64_t *ret_object_bytes);
/* What was read of the objects with this prefix is not what it should be: their pages that are in memory, and
 * these on the disk, are not used again. Who holds one keeps it. */
void objpages_distrust(struct objpages *p, struct slice prefix);
/* Other memory that is to stay within the same budget, and cannot go by itself (negative: it has gone). */
void objpages_charge(struct objpages *p, int64_t bytes);
/* Whether what is ahead goes anywhere. */
bool objpages_keeps_ahead(const struct objpages *p);
/* How many bytes can be held before the memory is over its budget. */
size_t objpages_room(struct objpages *p);

struct objpages_stats {
    uint64_t hits, misses;  /* pages found in memory, or being fetched already; not */
    uint64_t below_hits;    /* of the misses: found on the disk */
    uint64_t gets, fetched; /* reads of the object store, bytes of them */
    uint64_t evictions;     /* pages */
    size_t bytes, pages, held_bytes, max_bytes; /* now; held_bytes are those in use or charged */
};
void objpages_stats_get(struct objpages *p, struct objpages_stats *ret);
