/*
 * For catalogue_json.c and catalogue_store.c.
 */
#pragma once
#include "common/base/vec.h"
#include "common/block/catalogue.h"

/* What a block named that has expired. */
struct catalogue_expired {
    int64_t at_ms;
    const struct slice *segments;
    size_t n_segments;
};

struct catalogue {
    struct arena *arena; /* of all texts; what is removed stays until the end */
    uint64_t version;
    struct slice signal, tenant;
    VEC(struct catalogue_block) blocks; /* by min_t, ulid */
    VEC(struct catalogue_retired) retired;
    VEC(struct catalogue_expired) expired; /* in the order of their time */
};

void catalogue_bump(struct catalogue *c);   /* the next version */
void catalogue_settle(struct catalogue *c); /* orders the lists, which were filled as they came */
