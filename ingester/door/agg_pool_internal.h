/* Shared by agg_pool.c (inputs come in) and agg_pool_out.c (outputs go out). All with the pool's
 * lock held. */
#pragma once
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/metric.h"
#include "common/model/fhist.h"
#include "ingester/door/agg_pool.h"

struct agg_group;

struct agg_input {
    struct hash128 key;
    struct agg_group *group;
    double v;              /* the newest float that is not stale */
    double base;           /* the newest finite one, from which a counter grows */
    int64_t t_ms, seen_ms; /* newest sample: its own time, and ours when it came */
    uint8_t *hist;         /* the newest histogram that is not stale, encoded; NULL: none */
    uint32_t hist_len, at; /* at: in the group's inputs */
    bool has_base, is_hist, is_live;
};

enum agg_ending { AGG_STAYS, AGG_MOVED, AGG_GONE };

struct agg_group {
    uint64_t rule;
    struct hash128 place;
    uint32_t token;
    uint32_t outputs;
    int64_t interval_ms, staleness_ms;
    int64_t born_ms, next_ms, last_ms;      /* last output; 0: none yet */
    struct labels labels[AGG_OUTPUT_COUNT]; /* of each output; heap */
    VEC(struct agg_input *) inputs;
    uint32_t shown; /* outputs that had a value, and no stale marker since */
    bool has_float_total;
    enum agg_ending ending;
    bool begins; /* the next output begins a total: it is zero */
    double total, written;
    struct arena *arena; /* of both; NULL: none */
    size_t arena_base;
    const struct fhist *hist_written, *hist_new; /* the total said, and what is to be added to it */
};

struct agg_tenant {
    struct agg_input **slots; /* open addressing by key; at most two thirds full */
    size_t mask, n_inputs;
    VEC(struct agg_group *) groups;
    struct map places; /* hash128 → struct agg_group */
    size_t n_series;
    int64_t looked_ms; /* 0: not yet */
    bool was_alone;
    uint64_t rules_generation;
    struct ring *ring; /* of the last look; NULL: none yet */
};

struct agg_pool_metrics {
    uint64_t samples, late, mixed, refused_inputs, refused_series, conflicts, not_ours, resets;
    uint64_t outputs, begun, moved, gone, expired, restarts;
    int64_t inputs, series, bytes;
};

struct agg_pool {
    struct lock lock;
    struct map tenants; /* guarded: struct agg_tenant */
    bool is_sealed;     /* guarded */
    struct agg_pool_metrics m;
};

void agg_pool_drop_input(struct agg_pool *pool, struct agg_tenant *t, struct agg_input *in);
/* With all its inputs; i: its place among the tenant's. */
void agg_pool_drop_group(struct agg_pool *pool, struct agg_tenant *t, size_t i);
/* The total of histograms with what came since it was written last. */
const struct fhist *agg_pool_hist_total(struct agg_pool *pool, struct agg_group *g);
/* Silence, and a new beginning of totals, as of a group that is new. */
void agg_pool_begin_anew(struct agg_group *g, int64_t now_ms);
