/*
 * The index file of a block, parsed once: where symbols, label values and postings lists are.
 * Within common/block only; block_reader.h is for everyone.
 *
 * Kept in memory beside the bytes: 4 bytes per symbol and per label pair.
 *
 * Immutable once open.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct block_index_name {
    struct slice name;
    uint32_t first, n; /* entries of the postings table: its values, in byte order */
};

struct block_index {
    const char *block; /* for messages; borrowed */
    struct slice bytes;
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
void block_index_done(struct block_index *x);

struct slice block_index_symbol(const struct block_index *x, uint32_t i);
/* NULL if no series has the label. */
const struct block_index_name *block_index_find(const struct block_index *x, struct slice name);
struct slice block_index_value(const struct block_index *x, uint32_t entry);
/* First entry of the name whose value is not before value (n->first + n->n if there is none). */
uint32_t block_index_lower_bound(const struct block_index *x, const struct block_index_name *n,
                                 struct slice value);

/* Big-endian refs as they stand in the file. */
struct block_index_list {
    const uint8_t *ptr;
    uint32_t n;
};
ORR_CHECKED struct err *block_index_postings(const struct block_index *x, uint32_t entry,
                                             struct block_index_list *ret);
ORR_CHECKED struct err *block_index_all(const struct block_index *x, struct block_index_list *ret);
/* The checked body of the series entry at ref. */
ORR_CHECKED struct err *block_index_series(const struct block_index *x, uint32_t ref,
                                           struct slice *ret);

static inline uint32_t block_index_ref(const struct block_index_list *l, uint32_t i)
{
    uint32_t v;

    memcpy(&v, l->ptr + (size_t)i * 4, 4);
    return __builtin_bswap32(v);
}
