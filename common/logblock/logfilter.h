/*
 * The needle filter: which pages can hold a text, substring for substring, from a few KB of a file.
 *
 * *Minimizers*: the grams (LOGFILTER_GRAM bytes each) of a line are hashed, and of each LOGFILTER_WINDOW
 * grams in a row the one of the least hash is kept: about two of five. A text of
 * LOGFILTER_MIN_NEEDLE bytes or more has at least one whole window; what is kept of it is kept of every
 * line it is in, too. So there are no words and no delimiters that writer and asker must agree on, and
 * never a wrong no. Shorter texts are in all pages, as far as the filter knows (logpage_lacks() knows
 * more).
 *
 * Of an id of 16 digits four are kept, as a rule, and two at least; with a window of seven, as it was once, often just one
 * was, and then one of seven pages was searched. Bits are better spent on more grams than on more bits of each.
 *
 * A page's filter is a Bloom filter of its kept grams, LOGFILTER_HASHES bits a gram. Its size is one
 * of a few classes, so that pages of like load form a *group* of at most LOGFILTER_GROUP, which is
 * stored bit-sliced: row r holds bit r of all its pages. The bits of a gram lie in one stripe of
 * LOGFILTER_STRIPE rows, which has a checksum and is read as a whole: 8 KiB for a gram of 1024 pages, which
 * hold a GiB of lines. Three rows of it are anded, and so on until no page is left or all grams are done.
 *
 * The file of a block:
 *     groups, back to back: stripes of LOGFILTER_STRIPE rows, each row of as many bits as the group has pages,
 *             bit after bit, so that a group of few wastes nothing
 *     table   uvarint groups; each: uvarint offset, uvarint class, uvarint pages, the number of each
 *             (uvarint, less that of the page before, less one), u32 crc32c of each stripe
 *     footer  u64 offset of the table, u32 its bytes, u32 crc32c of it, magic "ORRLFL" 0 2
 *
 * Version 1 had other grams. A file of it says nothing: every page may hold every needle, until the block is compacted.
 *
 * Owner: one thread each; an open reader is immutable.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/vec.h"

#define LOGFILTER_GRAM 6
#define LOGFILTER_WINDOW 4
#define LOGFILTER_MIN_NEEDLE (LOGFILTER_GRAM + LOGFILTER_WINDOW - 1)
#define LOGFILTER_HASHES 3
#define LOGFILTER_GROUP 1024
#define LOGFILTER_STRIPE 64

/* ---- the grams of a page ---- */

/* Hashes of kept grams, each once, in no order; none is 0. {0} is empty. Of 64 KiB: not for the stack of a deep call. */
struct logfilter_grams {
    VEC(uint32_t) hashes;
    uint32_t *slots; /* open addressing: a hash, 0: free */
    size_t n_slots;
    /* Some that are in already, by their upper bits: the bits between those and the lowest, which is 1. */
    uint16_t recent[1 << 15];
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
/* As bytes, little endian: what a frame has beside a page. Reading copies; false: there is no such class, or it is of another length. */
void logfilter_bits_write(const struct logfilter_bits *f, struct buf *out);
bool logfilter_bits_read(uint32_t size_class, struct slice bytes, struct logfilter_bits *ret);
/* False: no line of the page holds the needle whose grams these are (none: it may). */
bool logfilter_bits_may(const struct logfilter_bits *f, const struct logfilter_grams *needle);

/* ---- the filters of a block ---- */

/* Collects the filters of pages, and writes them as groups fill. */
struct logfilter_out;

struct logfilter_out *logfilter_out_new(void);
void logfilter_out_free(struct logfilter_out *o); /* NULL is allowed */
/* Takes the bits. Pages are added by number, from 0, in order. Appends to out what is complete; who writes it to
 * a file may empty out between calls. */
void logfilter_out_add(struct logfilter_out *o, struct logfilter_bits *f, struct buf *out);
/* The rest, the table and the footer. */
void logfilter_out_end(struct logfilter_out *o, struct buf *out);

struct logfilter;

struct logfilter_range {
    uint64_t off;
    size_t len;
};
/* How the file is read; of one thread. */
struct logfilter_io {
    /* Lends [off, off+len) of the file until the next call, at least. */
    struct err *(*fetch)(void *arg, uint64_t off, size_t len, struct slice *ret);
    /* Where each read is a request: the ranges that come next, as many as ahead_max, are worth fetching together.
     * What was told before is done with. NULL: not wanted. */
    struct err *(*ahead)(void *arg, const struct logfilter_range *ranges, size_t n);
    size_t ahead_max;
    void *arg;
};

/* Whether a file that ends in these LOGFILTER_END_BYTES is of version 1, which does not follow from the pages as it does today. */
#define LOGFILTER_END_BYTES 8
bool logfilter_is_of_before(struct slice end);
/* Reads footer and table, of a file of size bytes and n_pages pages; lives in the arena. */
ORR_CHECKED struct err *logfilter_open(struct arena *a, uint64_t size, uint32_t n_pages,
                                       const struct logfilter_io *io, struct logfilter **ret);

/*
 * What was found out of the last needles that a file was asked for. A query comes to a block in pieces, and each has pages of the
 * same groups, whose stripes would be read for every one of them; and who shows a query again asks for the same. Up to
 * LOGFILTER_MEMO_NEEDLES, as many as LOGFILTER_MEMO_BYTES have room for, and one at least.
 *
 * Any thread: of those that ask for one needle at once one reads, the others wait for it and have what it has read.
 */
#define LOGFILTER_MEMO_NEEDLES 8
#define LOGFILTER_MEMO_BYTES (64u << 10)
struct logfilter_memo;
struct logfilter_memo *logfilter_memo_new(const struct logfilter *f);
void logfilter_memo_free(struct logfilter_memo *m); /* NULL is allowed */
size_t logfilter_memo_bytes(struct logfilter_memo *m);

/* Takes out of a set of pages (a bit each) those that cannot hold the needle whose grams these are. What is of no page of the
 * set is not read, nor what the memo (NULL: none) has. *touched is raised by the bytes that were read. */
ORR_CHECKED struct err *logfilter_narrow(const struct logfilter *f, const struct logfilter_io *io,
                                         const struct logfilter_grams *needle,
                                         struct logfilter_memo *memo, uint64_t *set,
                                         uint64_t *touched);
