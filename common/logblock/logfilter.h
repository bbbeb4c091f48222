/*
 * The needle filter: which pages can hold a text, substring for substring, from a few KB of a file.
 *
 * *Minimizers*: the grams (LOGFILTER_GRAM bytes each) of a line are hashed, and of each LOGFILTER_WINDOW
 * grams in a row the one of the least hash is kept: about one of four. A text of
 * LOGFILTER_MIN_NEEDLE bytes or more has at least one whole window; what is kept of it is kept of every
 * line it is in, too. So there are no words and no delimiters that writer and asker must agree on, and
 * never a wrong no. Shorter texts are in all pages, as far as the filter knows (logpage_lacks() knows
 * more).
 *
 * A page's filter is a Bloom filter of its kept grams, LOGFILTER_HASHES bits a gram. Its size is one
 * of a few classes, so that pages of like load form a *group* of at most LOGFILTER_GROUP, which is
 * stored bit-sliced: row r holds bit r of all its pages. The bits of a gram lie in one stripe of
 * LOGFILTER_STRIPE rows. A lookup reads a stripe, or the rows themselves, per gram, ands them, and has
 * the candidates: KBs, however many pages there are.
 *
 * The file of a block:
 *     groups, back to back:  rows, each of ceil(pages/8) bytes
 *     table:   u32 groups; each: u64 offset, u32 class, u32 pages, u32 crc32c per stripe...,
 *              then its pages' numbers (uvarint, each less the one before)
 *     footer:  u64 offset of the table, u32 bytes of the table, u32 crc32c of it, magic "ORRLFL" 0 1
 *
 * Owner: one thread each; an open reader is immutable.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/vec.h"

#define LOGFILTER_GRAM 6
#define LOGFILTER_WINDOW 7
#define LOGFILTER_MIN_NEEDLE (LOGFILTER_GRAM + LOGFILTER_WINDOW - 1)
#define LOGFILTER_HASHES 3
#define LOGFILTER_GROUP 1024
#define LOGFILTER_STRIPE 256

/* ---- the grams of a page ---- */

/* Hashes of kept grams, each once, in no order; none is 0. {0} is empty. Of 16 KiB: not for the stack of a deep call. */
struct logfilter_grams {
    VEC(uint32_t) hashes;
    uint32_t *slots; /* open addressing: a hash, 0: free */
    size_t n_slots;
    uint32_t recent[4096]; /* by their upper bits, some that are in already */
};
void logfilter_grams_done(struct logfilter_grams *g);
void logfilter_grams_clear(struct logfilter_grams *g);
/* Those that are kept of text, which is a line, or a needle. */
void logfilter_grams_add(struct logfilter_grams *g, struct slice text);

/* ---- the filter of one page ---- */

/* A page that is not in a block yet (a head's): bits of their own. */
struct logfilter_bits {
    uint32_t size_class;
    uint64_t *words; /* owned */
};
void logfilter_bits_done(struct logfilter_bits *f);
struct logfilter_bits logfilter_bits_of(const struct logfilter_grams *g);
size_t logfilter_bits_bytes(const struct logfilter_bits *f);
/* False: no line of the page holds the needle whose grams these are (none: it may). */
bool logfilter_bits_may(const struct logfilter_bits *f, const struct logfilter_grams *needle);
