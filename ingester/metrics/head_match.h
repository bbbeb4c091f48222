/*
 * Matchers → refs, of whatever has a head_index: the head of metrics, that of logs.
 *
 * Regexes on labels with many values are looked up in turns, and what they accept is remembered: per
 * index in a few places, over all indexes of a thread within a budget.
 *
 * Owner: the thread of the index.
 */
#pragma once
#include "ingester/metrics/head_index.h"

struct head_match_metrics {
    uint64_t hits, misses, evictions;
    int64_t entries, bytes;
};
/* What is remembered in the indexes of one thread. */
struct head_regexes {
    uint64_t clock;
    int64_t max_bytes;
    struct head_match_metrics *m;
    VEC(struct head_index *) indexes; /* that remember something */
};

struct head_matching {
    struct head_index *index;
    struct head_regexes *regexes;
    uint32_t n_refs; /* handed out so far, in use or not */
    bool (*is_used)(const void *arg, uint32_t ref);
    uint32_t (*labels)(const void *arg, uint32_t ref); /* offset of its packed labels */
    const void *arg;
};

/*
 * Looks at values for what head_matching_refs() will ask of regexes, for one turn; false: there is
 * more to do, after others had theirs. Who asks adds up the time and gives up beyond
 * HEAD_MATCH_MAX_NS.
 */
#define HEAD_MATCH_TURN_NS 2000000
#define HEAD_MATCH_MAX_NS 5000000000
bool head_matching_prepare(const struct head_matching *hm, struct matchers ms,
                           int64_t *io_spent_ns);
struct err *head_match_costly(void); /* that error */
/* Refs of those that the matchers accept; the caller frees. */
roaring_bitmap_t *head_matching_refs(const struct head_matching *hm, struct matchers ms);
/* All that is remembered in x, before it goes. */
void head_regexes_forget(struct head_regexes *rx, struct head_index *x);
