/*
 * What differs between the signals whose segments the compactor makes blocks of. All else, planners, fetch, catalogue, drops,
 * levels and sweep, is one and the same for each, and is told the signal.
 *
 * To add one: a row in signal.c, with how its inputs are checked (as segcheck.h) and how they become a block (as blockmake.h).
 *
 * Constant; any thread.
 */
#pragma once
#include "common/model/limits.h"
#include "compactor/blockmake.h"

#define SIGNALS(X) X(SIGNAL_METRICS) X(SIGNAL_LOGS) X(SIGNAL_TRACES)
enum signal_kind {
#define X(sym) sym,
    SIGNALS(X)
#undef X
        SIGNAL_COUNT
};

struct signal {
    const char *name;          /* the bucket's prefix, and part of the key of gossip */
    const char *metric_labels; /* of what is counted; NULL: none, which is metrics' */
    unsigned member;           /* bit of the ingesters that have it */
    /* RPC methods of ingesters */
    const char *list_method, *read_method, *dropped_method;
    bool begins_with_id; /* the id of a segment is made when it is begun; else when it is cut */
    /* Files that a segment may have, beside those in a directory whose names are six digits. */
    bool (*has_file)(struct slice name);
    const char *numbered_dir;
    bool is_joined; /* those become one file, named as the directory, in the order of their list */
    size_t max_files;
    /* Added to keys on the compactor ring, so a tenant's signals need not all be one compactor's. */
    uint32_t key_offset;
    bool has_ends; /* levels go by the ends of its blocks: levels_by_end() */
    /* Its times are what clients' clocks say. For its age a block ends SIGNAL_LATEST_MS behind its id's time at the latest: one span of the
     * year 2262 would keep all of it for ever, and from being merged. */
    bool has_free_times;
    bool has_tiers; /* its blocks can be downsampled, and split by series */
    /* Its deletions can be taken back until they are begun (tombstone_list.h): no other is applied. */
    bool has_states;

    /* Open and check an input whose files are in ret->dir; ret->ulid is the one that was asked for. Whoever opened closes.
     * ERR_CORRUPT: the bytes are wrong; another code: they could not be read. */
    struct err *(*open_segment)(struct blockmake_input *ret, struct slice tenant);
    /* external: labels that its series get besides their own. */
    struct err *(*open_block)(struct blockmake_input *ret, struct slice tenant,
                              struct labels external);
    /* Looks again, at all of a segment that is open: make() met wrong bytes. ERR_CORRUPT: they are this one's. NULL: open_segment()
     * has looked at all. */
    struct err *(*check_again)(struct blockmake_input *in);
    void (*close)(struct blockmake_input *in); /* what is not open is allowed */
    struct err *(*make)(const struct blockmake_opts *opts, struct arena *a,
                        struct block_meta *ret_meta);

    /* Whether a block holds anything that a tombstone deletes; *stop (may be NULL): ERR_CANCELED. NULL: what its index names are
     * chunks of samples, which are looked into, or the signal has no tombstones. */
    struct err *(*holds)(struct block_reader *streams, const struct tombstone *t,
                         const atomic_bool *stop, bool *ret);
    /* A question for ingesters whose answer is empty if they hold nothing of a tombstone. NULL: it has no tombstones. */
    const char *held_method;
    void (*ask_held)(struct buf *out, const struct tombstone *t);
    /* How long blocks are kept. now_ms is left open. */
    struct retention (*retention)(const struct tenant_limits *limits,
                                  const struct tenant_rules *rules);
};

const struct signal *signal_of(enum signal_kind kind);
#define SIGNAL_LATEST_MS                                                                           \
    (26 * 3600000ll) /* a window and a day: ids are made when a segment begins */
/* The end of a block, exclusive, for whoever asks for its age. */
int64_t signal_end_ms(const struct signal *sig, const struct catalogue_block *b);
/* Blocks that end then; copies in the arena, if any end is another. */
const struct catalogue_block *signal_blocks(const struct signal *sig,
                                            const struct catalogue_block *blocks, size_t n,
                                            struct arena *a);
static inline bool signal_has_tombstones(const struct signal *sig)
{
    return sig->held_method != NULL;
}
/* The tenant's deletions that are to be applied to what is written now. */
ORR_CHECKED struct err *signal_tombstones(const struct signal *sig, struct objstore *store,
                                          struct slice tenant, struct tombstone_list **ret);
static inline struct slice signal_name(const struct signal *sig)
{
    return slice_cstr(sig->name);
}
/* Of a job or a sweep on the compactor ring: key is that of metrics. */
static inline uint32_t signal_key(const struct signal *sig, uint32_t key)
{
    return key + sig->key_offset;
}
