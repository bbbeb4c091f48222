/* What the files of the sampler share. */
#pragma once
#include "common/base/lock.h"
#include "common/base/map.h"
#include "ingester/traces/sampler.h"
#include "ingester/traces/sampling_memory.h"

struct sampler_count {
    char *policy;
    uint64_t traces[2], spans[2]; /* dropped, kept */
};
struct sampler_tenant {
    uint32_t number;
    char *id;
    VEC(struct sampler_count) counts;
    /* who judges: */
    uint64_t rules;
    VEC(struct tokenbucket) buckets;
};
struct sampler_metrics {
    uint64_t asked, ask_failures, adopted, undecided, moved, told;
    int64_t remembered;
};
struct sampler {
    struct sampler_opts opts;
    char *instance;
    struct sampler_metrics m;
    struct lock lock; /* rank LEAF_MODULE: all below, but for buckets */
    struct map tenants;
    struct sampling_memory memory;
};

/* The lock is held. */
struct sampler_tenant *sampler_tenant_of(struct sampler *s, struct slice id);
void sampler_count_add(struct sampler_tenant *t, struct slice policy, bool is_kept, uint32_t spans);
void sampler_remember(struct sampler *s, const struct sampling_judged *j);

#define SAMPLER_FORMAT 1
#define SAMPLER_STATE_NONE 0
#define SAMPLER_STATE_DROPPED 1
#define SAMPLER_STATE_KEPT 2
