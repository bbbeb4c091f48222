/*
 * Several sources of entries, each in the order of pages (by stream, by time, as they came), as one: what a flush
 * does with the pages of replicas, and compaction with those of blocks.
 *
 * An entry that is there more than once (equal stream, time, line and structured metadata; in one source or
 * several) comes once. Entries of equal time and different text all come: those of the first source in its order, then those that
 * only the second has, and so on.
 *
 * Nothing is copied. Of the entries of one stream and time a hash of 16 bytes each is kept, while that time lasts;
 * two texts of the same XXH3-128 would be taken for one, as label sets are (labels.h). Each step to a new time asks all sources:
 * meant for tens of them, not thousands.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/logblock/logpage.h"

struct logmerge_source {
    /* The next entry, lent until the call after; *ret_is_end instead if there is none. */
    struct err *(*next)(void *arg, struct logpage_entry *ret, bool *ret_is_end);
    void *arg;
    /* Of sources of one stream: none of its entries is earlier. It is asked for the first one when that time comes.
     * INT64_MIN: not known. */
    int64_t from_ns;
};

struct logmerge;

/* Copies the list. */
struct logmerge *logmerge_new(const struct logmerge_source *sources, size_t n);
void logmerge_free(struct logmerge *m); /* NULL is allowed */
/* The next entry, lent until the call after. ERR_CORRUPT if a source is out of order; after an error there is no
 * next call. */
ORR_CHECKED struct err *logmerge_next(struct logmerge *m, struct logpage_entry *ret,
                                      bool *ret_is_end);
uint64_t logmerge_duplicates(const struct logmerge *m); /* left out so far */

/* All entries of a page as a source, in the page's arena. */
ORR_CHECKED struct err *logmerge_page(struct arena *a, struct logpage *p,
                                      struct logmerge_source *ret);
