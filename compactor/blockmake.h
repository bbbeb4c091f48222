/*
 * The part that flush and compaction share: verified inputs on disk become one block on disk.
 *
 * Series are merged (block_merge.h) without what tombstones delete and those whose retention is over, sidecars likewise; a corrupt sidecar is left
 * out, logged and counted, and its samples are kept. Memory: one series at a time, the symbols of the
 * block, and the sidecars.
 *
 * Blocking; owner: the calling thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/metric.h"
#include "common/block/tombstone_list.h"
#include "compactor/retention.h"
#include "compactor/segcheck.h"

struct logcheck;
struct tracecheck;

struct blockmake_input {
    struct ulid ulid;
    const char *dir; /* its files */
    struct segcheck found;
    struct block_reader *reader; /* of a block, and of a segment of metrics; else NULL */
    union {                      /* what else its signal has open; NULL: nothing */
        struct logcheck *lines;
        struct tracecheck *traces;
    };
};

struct blockmake_stats { /* written atomically: shared by several threads */
    uint64_t bad_sidecars, deleted_samples, expired_series;
    uint64_t chunks_copied, chunks_deduplicated, chunks_decoded;
    uint64_t duplicate_lines, duplicate_spans; /* of logs, of traces: that several inputs had */
    uint64_t cut_traces;                       /* that took too much memory, and have lost spans */
};

/* Blocks that were made whole and that no catalogue came to name, by reason; written atomically. */
#define BLOCKMAKE_WASTE(X)                                                                         \
    X(failed)   /* it could not be uploaded, or the catalogue not be changed: to be tried again */ \
    X(outdated) /* its segments have come to be named by other blocks, or inputs are not live */   \
    X(twice)    /* another made the same block at the same time */                                 \
    X(nothing)  /* rewritten, and nothing was to be left out */
struct blockmake_waste {
#define X(reason) uint64_t reason;
    BLOCKMAKE_WASTE(X)
#undef X
};
/* As one counter, of a single uint64_t, by reason; labels (NULL: none) stand before. field outlives the registration. */
void blockmake_waste_register(const struct blockmake_waste *w, const struct metric_field *field,
                              const char *labels);
void blockmake_waste_unregister(const struct blockmake_waste *w);

struct blockmake_opts {
    const struct blockmake_input *inputs;
    size_t n;
    const struct tombstone_list *tombstones;
    bool keeps_cut;                    /* of aggregates only windows go that are deleted whole */
    const struct retention *retention; /* may be NULL */
    const char *dir;                   /* the block comes to be in dir/<ULID> */
    const struct block_meta *meta;     /* as in block_writer.h; the range is that of the inputs */
    bool is_split;           /* only the series of the shard of meta: the inputs have others, too */
    const atomic_bool *stop; /* may be NULL; ERR_CANCELED */
    _Atomic uint64_t *done_series; /* may be NULL: counts on while it works */
    struct blockmake_stats *stats;
};

/* Gives m the range of times of the inputs. */
void blockmake_range(const struct blockmake_opts *opts, struct block_meta *m);
/* ret_meta: in the arena. */
ORR_CHECKED struct err *blockmake(const struct blockmake_opts *opts, struct arena *a,
                                  struct block_meta *ret_meta);
/* Two compactors that know different deletions write different blocks, so those deletions that reach into the
 * inputs are part of the name. Reads filter both by the newest. */
struct ulid blockmake_id(struct ulid id, const struct tombstone_list *tombstones,
                         const struct blockmake_input *inputs, size_t n);
/* A name that stands on the retired list cannot be added till its files are deleted. So one takes the next: the i-th name that is
 * derived from the first; for 0 that itself. */
struct ulid blockmake_again(struct ulid first, uint32_t i);
