/*
 * The inverted index of one tenant in one shard: label names, label pairs (name, value), and for
 * each pair the refs of the series that have it.
 *
 * A series' labels are its pairs' ids as varints: uvarint count, then each pair's id; in the order of
 * the labels. They stand in an append-only arena and are found by offset.
 *
 * Postings adapt to their size n: up to 2 refs inside the pair, up to HEAD_POSTING_ARRAY a sorted
 * array, beyond that a roaring bitmap. Most values (instance, pod, le × …) have few series.
 *
 * Names and values of pairs never move and stay readable for other threads that hold a pin: removal
 * puts a pair into limbo until the pins are gone. All else belongs to the shard thread.
 */
#pragma once
#include <roaring/roaring.h>
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/reader.h"
#include "common/base/slice.h"
#include "common/base/vec.h"
#include "common/model/matcher.h"

#define HEAD_POSTING_ARRAY 128u
#define HEAD_PAIR_SLAB 64u
#define HEAD_LABEL_BLOCK 16384u

/* Open addressing, linear probing. A slot is tag << 32 | id + 1; its home is tag & (cap - 1), so
 * growing and deleting need nothing but the slots. */
struct head_slots {
    uint64_t *ptr;
    uint32_t cap, len;
};
void head_slots_add(struct head_slots *t, uint32_t tag, uint32_t id);
void head_slots_del(struct head_slots *t, uint32_t tag, uint32_t id);
void head_slots_reserve(struct head_slots *t, uint32_t n);
void head_slots_done(struct head_slots *t);
/* The next id with this tag; *io_at: the tag to begin with. False: there is no other. */
static inline bool head_slots_next(const struct head_slots *t, uint32_t tag, uint32_t *io_at,
                                   uint32_t *ret_id)
{
    uint32_t mask = t->cap - 1;

    while (t->cap && t->ptr[*io_at & mask]) {
        uint64_t slot = t->ptr[(*io_at)++ & mask];

        if (slot >> 32 == tag) {
            *ret_id = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}
/* Tag of what is found by a fingerprint, whose lower half chooses the shard. */
static inline uint32_t head_fp_tag(struct hash128 fp)
{
    return (uint32_t)fp.hi;
}

/* Which pairs of a name a regex accepts, kept from one query to the next: dashboards and rules ask
 * the same again and again. As new pairs only follow the old ones, only they have to be looked at. */
struct head_accepted {
    struct slice pattern; /* owned; NULL: free */
    VEC(uint32_t) ids;    /* pairs */
    size_t seen;          /* pairs of the name that were looked at */
    uint32_t removals;    /* the name's, then */
    uint64_t used_at;     /* the head_regexes' clock */
    uint32_t name;
    bool is_new; /* not used for an answer yet */
};
#define HEAD_ACCEPTED_SLOTS 8u
#define HEAD_ACCEPTED_IDS 16384u  /* more are not kept: 64 KiB a slot at most */
#define HEAD_ACCEPTED_VALUES 256u /* names with fewer values are looked at as a whole each time */

struct head_name {
    struct slice text;
    uint32_t id;
    VEC(uint32_t) pairs; /* live ones, in no order */
    bool is_dirty;       /* some pairs died */
    uint32_t removals;   /* how often that was */
};

struct head_pair {
    uint8_t *value; /* uvarint length, bytes; NULL: free */
    uint32_t name;
    uint32_t n; /* series */
    union {
        uint32_t in[2];
        uint32_t *array;
        roaring_bitmap_t *bitmap;
    } refs;
};

struct head_index {
    VEC(struct head_name *) names;
    struct map name_ids; /* name → id + 1 */
    VEC(struct head_pair *) slabs;
    uint32_t n_pairs;
    VEC(uint32_t) free_pairs, limbo;
    uint64_t live_pairs;
    struct head_slots pair_table;
    VEC(uint8_t *) blocks;          /* label arena */
    uint32_t block_used, block_cap; /* of the last block, which grows up to HEAD_LABEL_BLOCK */
    uint64_t dead_bytes, used_bytes;
    struct head_accepted accepted[HEAD_ACCEPTED_SLOTS];
    bool has_accepted; /* is among the head_regexes' indexes */
    _Atomic uint32_t pins;
};

static inline struct head_pair *head_pair_at(const struct head_index *x, uint32_t id)
{
    return &x->slabs.ptr[id / HEAD_PAIR_SLAB][id % HEAD_PAIR_SLAB];
}
static inline struct slice head_value_text(const uint8_t *v)
{
    uint32_t n = *v & 0x7f;

    for (unsigned shift = 7; *v++ & 0x80; shift += 7)
        n |= (uint32_t)(*v & 0x7f) << shift;
    return slice_of(v, n);
}

void head_index_done(struct head_index *x);
/* Packs canonical (checked) labels, making names and pairs, and adds ref to their postings. Returns
 * the offset of the packed labels. */
uint32_t head_index_add(struct head_index *x, uint32_t ref, struct slice canonical);
/* The same from packed labels whose pairs exist; false if an id does not. */
bool head_index_add_packed(struct head_index *x, uint32_t ref, struct slice packed,
                           uint32_t *ret_off);
struct slice head_index_packed(const struct head_index *x, uint32_t offset);
/* Appends the canonical bytes of packed labels. */
void head_index_canonical(const struct head_index *x, struct slice packed, struct buf *out);
/* Iterates pair ids. */
bool head_packed_next(struct reader *r, uint32_t *ret_pair);
/* Takes refs (sorted, in dead) out of all postings of the pairs in affected. */
void head_index_remove(struct head_index *x, const roaring_bitmap_t *dead,
                       const roaring_bitmap_t *affected);
void head_index_reap(struct head_index *x); /* limbo, when no pins are left */
/* Moves live packed labels into a fresh arena; for each live series the caller stores the offset. */
void head_index_repack_begin(struct head_index *x, struct head_index *ret_old);
uint32_t head_index_repack_move(struct head_index *x, const struct head_index *old,
                                uint32_t offset);
void head_index_repack_end(struct head_index *old);

/* Name id or -1; pair id or -1. */
int64_t head_index_name(const struct head_index *x, struct slice name);
int64_t head_index_pair(const struct head_index *x, uint32_t name, struct slice value);
/* The name that has the most values, and how many; none: empty. */
struct slice head_index_widest(const struct head_index *x, uint64_t *ret_values);
/* For the checkpoint: rebuild names and pairs under their ids. */
void head_index_load_name(struct head_index *x, struct slice name);
bool head_index_load_pair(struct head_index *x, uint32_t id, uint32_t name, struct slice value);
void head_index_finish_load(struct head_index *x);

/* ---- evaluation ---- */

void head_posting_or(const struct head_pair *p, roaring_bitmap_t *into);
bool head_posting_intersects(const struct head_pair *p, const roaring_bitmap_t *with);
uint64_t head_posting_count(const struct head_pair *p, const roaring_bitmap_t *with);
