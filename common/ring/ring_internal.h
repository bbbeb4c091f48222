/* What the files of the ring share: its layout and how one is built. */
#pragma once
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/ring/ring.h"

struct ring_instance {
    const struct member *member;
    uint64_t name_hash;
    uint16_t zone;
    bool is_healthy;
};

struct ring_point {
    uint32_t token;
    uint16_t instance;
};

struct ring {
    struct snapshot snap;
    struct ring_opts opts;
    struct ring_instance *instances; /* in order of name */
    size_t n;
    const char **zones; /* names, ascending; lent by the members */
    size_t n_zones;
    size_t owning_zones;
    int64_t zones_since_ms; /* RF zones own since then; INT64_MAX: they do not */

    struct ring_point *all; /* tokens of all instances, ascending by (token, instance) */
    size_t n_all;

    /* Tokens of ACTIVE instances, with the replica set of the keys they end. */
    struct ring_point *points;
    uint32_t *set_of;
    size_t n_points;
    uint32_t *buckets; /* first point whose token >= bucket << shift; one more at the end */
    unsigned shift;
    uint16_t *sets; /* RF places each */
    uint8_t *set_sizes;
    uint32_t n_sets;

    struct lock lock;
    struct map subrings; /* guarded by lock */
};

/* Owns tokens: has been ACTIVE and is not on its way out, whether it is up or down. */
static inline bool ring_owns(const struct member *m)
{
    return m->registered_ms != 0 && m->left_ms == 0 && m->state != MEMBER_LEFT;
}

/* As ring_new(), but which zones there were is given. in must be in order of name. */
struct ring *ring_build(const struct ring_input *in, size_t n, const struct ring_opts *opts,
                        int64_t zones_since_ms);
/* Since when RF zones own tokens without a gap, by the entries' own times. */
int64_t ring_zones_since(const struct ring_input *in, size_t n, unsigned rf);
/* Index of the point that owns token: the first at or after it, wrapping. n > 0. */
size_t ring_point_of(const struct ring *r, uint32_t token);
