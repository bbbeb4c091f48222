/*
 * Reads a block in Prometheus' TSDB format, index versions 1's successor 2 (what has been written
 * since 2018).
 *
 * All bytes are taken as hostile: every offset and length is checked, the TOC, the symbols and the
 * postings table are checksummed when the block is opened, postings lists, series and chunks when
 * they are read. What fails is ERR_CORRUPT naming block and section.
 *
 * A series is named by its ref: its offset in the index divided by 16. Refs ascend in label order, but for
 * external labels (block_external.h), with which the order of the labels can be another one.
 * Slices that are returned point into the block (symbols, mapped chunks) or into the arena given,
 * and are valid as long as both.
 *
 * Immutable once open: any number of threads may read. Everything may block on I/O.
 */
#pragma once
#include "common/block/block_meta.h"
#include "common/block/block_source.h"
#include "common/block/chunk.h"
#include "common/model/matcher.h"

struct block_reader;

struct block_reader_opts {
    bool verify_all;        /* check every section and chunk now (slow: reads the whole block) */
    struct labels external; /* that each series has besides its own; copied */
};

/* Takes the source over, also on failure. opts may be NULL. */
ORR_CHECKED struct err *block_reader_open(struct block_source *src,
                                          const struct block_reader_opts *opts,
                                          struct block_reader **ret);
ORR_CHECKED struct err *block_reader_open_dir(const char *path, struct block_reader **ret);
/* Checks every postings list, of which a merge reads one: the rest of verify_all is what it does anyway. */
ORR_CHECKED struct err *block_reader_verify_postings(const struct block_reader *r);
/* Checks the first bytes of each file of chunks, which no read looks at. */
ORR_CHECKED struct err *block_reader_verify_chunk_heads(const struct block_reader *r);
void block_reader_close(struct block_reader *r); /* NULL is allowed */

const struct block_meta *block_reader_meta(const struct block_reader *r);
const char *block_reader_name(const struct block_reader *r); /* for messages */

/* Lent, as long as the reader is open: for who reads files of the block that are not Prometheus'. */
struct block_source *block_reader_source(const struct block_reader *r);

/* Bytes that it takes in memory as long as it is open; what is mapped is not counted. */
size_t block_reader_memory(const struct block_reader *r);

size_t block_reader_symbol_count(const struct block_reader *r);
struct slice block_reader_symbol(const struct block_reader *r, size_t i); /* in byte order */

struct block_names {
    struct slice *ptr;
    size_t n;
};
/* Sorted names of labels; of all series, or of those with the given refs. */
ORR_CHECKED struct err *block_reader_label_names(const struct block_reader *r, struct arena *a,
                                                 struct block_names *ret);
/* Sorted values of one label. */
ORR_CHECKED struct err *block_reader_label_values(const struct block_reader *r, struct arena *a,
                                                  struct slice name, struct block_names *ret);

struct block_refs {
    uint32_t *ptr;
    size_t n;
};
/*
 * Refs of the series that all matchers accept, in label order. As in Prometheus a matcher that accepts
 * the empty string also accepts series without the label. No matchers: all series.
 */
ORR_CHECKED struct err *block_reader_select(const struct block_reader *r, struct arena *a,
                                            struct matchers ms, struct block_refs *ret);
/* Narrowed to series with samples in [min_t, max_t] (by chunk bounds, tombstones taken off). */
ORR_CHECKED struct err *block_reader_select_range(const struct block_reader *r, struct arena *a,
                                                  struct matchers ms, int64_t min_t, int64_t max_t,
                                                  struct block_refs *ret);
/* Names of the labels, or values of one label, that the series with these refs have. */
ORR_CHECKED struct err *block_reader_names_of(const struct block_reader *r, struct arena *a,
                                              struct block_refs refs, struct block_names *ret);
ORR_CHECKED struct err *block_reader_values_of(const struct block_reader *r, struct arena *a,
                                               struct block_refs refs, struct slice name,
                                               struct block_names *ret);

/* Where a chunk is: file number in the upper half of ref (from 0), offset in the lower. */
struct block_chunk_meta {
    int64_t min_t, max_t;
    uint64_t ref;
};
struct block_reader_series {
    struct labels labels;
    struct block_chunk_meta *chunks;
    size_t n_chunks;
};
/* Whether a series with these chunks has any in the range, by their bounds, tombstones taken off. */
bool block_reader_reaches(const struct block_reader *r, uint32_t ref,
                          const struct block_chunk_meta *metas, size_t n, int64_t min_t,
                          int64_t max_t);
ORR_CHECKED struct err *block_reader_series(const struct block_reader *r, struct arena *a,
                                            uint32_t ref, struct block_reader_series *ret);
/* The same; h, which may be NULL, spares a look into the pages if it holds the entry. Nothing is lent by it. */
ORR_CHECKED struct err *block_reader_held_series(const struct block_reader *r, struct arena *a,
                                                 const struct objpages_hold *h, uint32_t ref,
                                                 struct block_reader_series *ret);
/* Its chunks alone. */
ORR_CHECKED struct err *block_reader_metas(const struct block_reader *r, struct arena *a,
                                           uint32_t ref, struct block_chunk_meta **ret,
                                           size_t *ret_n);
/* Fetches n chunks of one series (neighbours in one read), checks their CRC. ret has room for n. */
ORR_CHECKED struct err *block_reader_chunks(const struct block_reader *r, struct arena *a,
                                            const struct block_chunk_meta *metas, size_t n,
                                            struct chunk *ret);
/* The same; what h holds of them is not copied, but lent by it. h may be NULL. */
ORR_CHECKED struct err *block_reader_held_chunks(const struct block_reader *r, struct arena *a,
                                                 const struct objpages_hold *h,
                                                 const struct block_chunk_meta *metas, size_t n,
                                                 struct chunk *ret);

/*
 * Reading ahead. Of a block that is not at hand each read may be a request, so who reads many series says first
 * which, and they come together. What is held is there until it is let go, in the same thread or another;
 * nothing else depends on it. Of a block that is at hand nothing is held: *ret is NULL.
 */
#define BLOCK_READER_AHEAD                                                                         \
    (32u << 20) /* so many bytes beyond what is held are worth being told of */
struct block_chunk_list {
    const struct block_chunk_meta *ptr;
    size_t n;
    bool is_ahead; /* not held: read later, in this order, behind what is held (objpages.h) */
};
/* About how many bytes to hold at a time of this block when n_users blocks are read at once; 0: it is at hand. */
size_t block_reader_room(const struct block_reader *r, size_t n_users);
/* Whether what is ahead is had later without a request. */
bool block_reader_keeps_ahead(const struct block_reader *r);
/* The entries of the first *ret_n series, at least one if there are any: as many as have room. */
ORR_CHECKED struct err *block_reader_hold_series(const struct block_reader *r, const uint32_t *refs,
                                                 size_t n, size_t room, size_t *ret_n,
                                                 struct objpages_hold **ret);
/* The chunks of n series. */
ORR_CHECKED struct err *block_reader_hold_chunks(const struct block_reader *r,
                                                 const struct block_chunk_list *lists, size_t n,
                                                 struct objpages_hold **ret);
/* About how many bytes those of one series are. */
size_t block_reader_chunk_span(const struct block_chunk_meta *metas, size_t n);
/* Something read of the block was ERR_CORRUPT: whatever a cache has of it is read again, in case it is only there
 * that it is broken. */
void block_reader_distrust(const struct block_reader *r);
void block_reader_unhold(const struct block_reader *r,
                         struct objpages_hold *h); /* NULL is allowed */

/* Start timestamps of a series as a chunk of the encoding CHUNK_STARTS (start_runs.h), lent; false: none
 * are known. */
bool block_reader_starts(const struct block_reader *r, uint32_t ref, struct chunk *ret);
/* The file of them is broken or missing: it was reported when the block was opened, and left out. */
bool block_reader_has_bad_starts(const struct block_reader *r);

struct block_interval {
    int64_t min_t, max_t; /* both inclusive */
};
/* Deleted ranges of a series, sorted, not overlapping; n 0 if none. Lent. */
const struct block_interval *block_reader_tombstones(const struct block_reader *r, uint32_t ref,
                                                     size_t *ret_n);
