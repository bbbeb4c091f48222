/*
 * The index file of a block, parsed once: where symbols, label values and postings lists are.
 * Within common/block only; block_reader.h is for everyone.
 *
 *   header | symbols | series | … | postings lists | … | postings table | table of contents
 *
 * It is at hand whole, or read by parts: then the table of contents comes first, with as much of the end as is
 * likely to hold the postings table, then the symbols, both of which stay in memory or are mapped from the disk
 * (block_heads.h); lists and series are read when they are asked for. Each section's checksum is looked at when it is read, either way.
 *
 * Kept in memory beside the bytes: 4 bytes per symbol and per label pair.
 *
 * The postings table is the block's summary, too: that a block holds no series with a pair shows in it without
 * a read, so there is no filter beside it. A filter would be smaller, but it could not replace the table for
 * regexes, and a block that has once been asked has its table at hand, on the disk at least.
 *
 * Immutable once open.
 */
#pragma once
#include "common/base/arena.h"
#include "common/block/block_source.h"

struct block_index_name {
    struct slice name;
    uint32_t first, n; /* entries of the postings table: its values, in byte order */
};

struct block_index {
    const char *block;        /* for messages; borrowed */
    struct slice bytes;       /* when it is at hand whole */
    struct block_source *src; /* else; lent */
    struct arena *kept;       /* what is read by parts and stays … */
    struct slice head; /* … or where that is mapped: all of the index but [head_end, tail_at) */
    uint64_t head_end, tail_at;
    uint64_t size;
    uint64_t series_end;  /* no series entry begins behind this */
    struct slice symbols; /* the section's strings */
    uint32_t *symbol_at;  /* offset of each in it */
    uint32_t n_symbols;
    struct slice table; /* the postings table's entries */
    uint32_t *entry_at; /* where the value of each begins */
    uint32_t n_entries;
    struct block_index_name *names;
    size_t n_names;
    uint64_t all_postings; /* offset of the list of all series; 0: there is none */
};

ORR_CHECKED struct err *block_index_open(struct block_index *x, const char *block,
                                         struct slice bytes);
/* By parts, from src's index of that many bytes. */
ORR_CHECKED struct err *block_index_open_parts(struct block_index *x, const char *block,
                                               struct block_source *src, uint64_t size);
void block_index_done(struct block_index *x);
/* Bytes of memory that it takes, what is mapped not counted. */
size_t block_index_memory(const struct block_index *x);

struct slice block_index_symbol(const struct block_index *x, uint32_t i);
/* NULL if no series has the label. */
const struct block_index_name *block_index_find(const struct block_index *x, struct slice name);
struct slice block_index_value(const struct block_index *x, uint32_t entry);
/* First entry of the name whose value is not before value (n->first + n->n if there is none). */
uint32_t block_index_lower_bound(const struct block_index *x, const struct block_index_name *n,
                                 struct slice value);

/* About where the list is, for who wants to have it at hand beforehand. Entry n_entries: that of all series. */
struct block_source_range block_index_list_range(const struct block_index *x, uint32_t entry);
struct block_source_range block_index_series_range(const struct block_index *x, uint32_t ref);

/* Big-endian refs as they stand in the file. What is not at hand is read into the arena. */
struct block_index_list {
    const uint8_t *ptr;
    uint32_t n;
};
ORR_CHECKED struct err *block_index_postings(const struct block_index *x, struct arena *a,
                                             uint32_t entry, struct block_index_list *ret);
ORR_CHECKED struct err *block_index_all(const struct block_index *x, struct arena *a,
                                        struct block_index_list *ret);
/* The checked body of the series entry at ref: lent by h, which may be NULL, if that holds it. */
ORR_CHECKED struct err *block_index_series(const struct block_index *x, struct arena *a,
                                           const struct objpages_hold *h, uint32_t ref,
                                           struct slice *ret);

static inline uint32_t block_index_ref(const struct block_index_list *l, uint32_t i)
{
    uint32_t v;

    memcpy(&v, l->ptr + (size_t)i * 4, 4);
    return __builtin_bswap32(v);
}
