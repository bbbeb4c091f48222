#include "common/ring/ring.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ring/ring_internal.h"

/* ---- building ---- */

static int cmp_name(const void *a, const void *b)
{
    const struct ring_input *x = a, *y = b;

    return strcmp(x->member->instance, y->member->instance);
}

static int cmp_point(const void *a, const void *b)
{
    const struct ring_point *x = a, *y = b;

    return x->token != y->token ? (x->token > y->token) - (x->token < y->token)
                                : (x->instance > y->instance) - (x->instance < y->instance);
}

static int cmp_cstr(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void build_zones(struct ring *r)
{
    bool *owning;
    size_t kept = 0;

    r->zones = mem_new_array(const char *, r->n + 1);
    for (size_t i = 0; i < r->n; i++)
        r->zones[i] = r->instances[i].member->zone;
    qsort(r->zones, r->n, sizeof(*r->zones), cmp_cstr);
    for (size_t i = 0; i < r->n; i++)
        if (i == 0 || strcmp(r->zones[i], r->zones[kept - 1]) != 0)
            r->zones[kept++] = r->zones[i];
    r->n_zones = kept;
    owning = mem_new_array(bool, kept + 1);
    for (size_t i = 0; i < r->n; i++) {
        struct ring_instance *in = &r->instances[i];
        const char **z = bsearch(&in->member->zone, r->zones, kept, sizeof(*r->zones), cmp_cstr);

        in->zone = (uint16_t)(z - r->zones);
        owning[in->zone] |= ring_owns(in->member);
    }
    for (size_t z = 0; z < kept; z++)
        r->owning_zones += owning[z];
    mem_free(owning);
}

static void build_points(struct ring *r)
{
    size_t total = 0;

    for (size_t i = 0; i < r->n; i++)
        total += r->instances[i].member->n_tokens;
    r->all = mem_new_array(struct ring_point, total + 1);
    for (size_t i = 0; i < r->n; i++) {
        const struct member *m = r->instances[i].member;

        for (size_t t = 0; t < m->n_tokens; t++)
            r->all[r->n_all++] = (struct ring_point){m->tokens[t], (uint16_t)i};
    }
    qsort(r->all, r->n_all, sizeof(*r->all), cmp_point);
    r->points = mem_new_array(struct ring_point, total + 1);
    for (size_t i = 0; i < r->n_all; i++)
        if (r->instances[r->all[i].instance].member->state == MEMBER_ACTIVE)
            r->points[r->n_points++] = r->all[i];
}

/* A table over the leading bits of the token, about one entry a point: a lookup then reads one
 * entry and a point or two. */
static void build_buckets(struct ring *r)
{
    unsigned bits = 1;
    size_t n, at = 0;

    while (bits < 20 && ((size_t)1 << bits) < r->n_points)
        bits++;
    n = (size_t)1 << bits;
    r->shift = 32 - bits;
    r->buckets = mem_new_array(uint32_t, n + 1);
    for (size_t b = 0; b < n; b++) {
        while (at < r->n_points && r->points[at].token < (uint64_t)b << r->shift)
            at++;
        r->buckets[b] = (uint32_t)at;
    }
    r->buckets[n] = (uint32_t)r->n_points;
}

size_t ring_point_of(const struct ring *r, uint32_t token)
{
    uint32_t b = token >> r->shift;
    size_t lo = r->buckets[b], hi = r->buckets[b + 1];

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->points[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == r->n_points ? 0 : lo;
}

/* One walk around the ring for each token; scratch shared by all of them. */
struct set_walk {
    unsigned allowance;  /* instances of one zone in a set */
    unsigned reachable;  /* how many a walk can find at all: it stops there */
    uint32_t stamp;      /* of this walk */
    uint32_t *seen;      /* per instance: stamp of the walk that took it */
    uint32_t *zone_seen; /* per zone: likewise */
    unsigned *zone_n;
    uint32_t *table; /* hash of set content → index + 1 */
    size_t table_mask;
};

static void set_walk_init(struct set_walk *w, const struct ring *r)
{
    unsigned *healthy = mem_new_array(unsigned, r->n_zones + 1);
    size_t size = 64;

    w->allowance = 1;
    if (!r->opts.needs_zones && r->owning_zones > 0 && r->owning_zones < r->opts.rf)
        w->allowance = (unsigned)((r->opts.rf + r->owning_zones - 1) / r->owning_zones);
    for (size_t i = 0; i < r->n; i++)
        if (r->instances[i].member->state == MEMBER_ACTIVE && r->instances[i].is_healthy &&
            r->instances[i].member->n_tokens)
            healthy[r->instances[i].zone]++;
    for (size_t z = 0; z < r->n_zones; z++)
        w->reachable += ORR_MIN(healthy[z], w->allowance);
    w->reachable = ORR_MIN(w->reachable, r->opts.rf);
    mem_free(healthy);
    while (size < 2 * r->n_points)
        size *= 2;
    w->table = mem_new_array(uint32_t, size);
    w->table_mask = size - 1;
    w->seen = mem_new_array(uint32_t, r->n + 1);
    w->zone_seen = mem_new_array(uint32_t, r->n_zones + 1);
    w->zone_n = mem_new_array(unsigned, r->n_zones + 1);
}

static void set_walk_done(struct set_walk *w)
{
    mem_free(w->table);
    mem_free(w->seen);
    mem_free(w->zone_seen);
    mem_free(w->zone_n);
}

/* The replica set of the keys that point from ends; sorted by instance. */
static unsigned walk(struct set_walk *w, const struct ring *r, size_t from, uint16_t *ret)
{
    unsigned n = 0;

    w->stamp++;
    for (size_t step = 0; step < r->n_points && n < w->reachable; step++) {
        uint16_t i = r->points[(from + step) % r->n_points].instance, at;
        const struct ring_instance *in = &r->instances[i];

        if (!in->is_healthy || w->seen[i] == w->stamp)
            continue;
        if (w->zone_seen[in->zone] != w->stamp) {
            w->zone_seen[in->zone] = w->stamp;
            w->zone_n[in->zone] = 0;
        }
        if (w->zone_n[in->zone] == w->allowance)
            continue;
        w->zone_n[in->zone]++;
        w->seen[i] = w->stamp;
        for (at = (uint16_t)n++; at > 0 && ret[at - 1] > i; at--)
            ret[at] = ret[at - 1];
        ret[at] = i;
    }
    return n;
}

/* The number of the set with this content, a new one if it is new. */
static uint32_t intern_set(struct set_walk *w, struct ring *r, const uint16_t *set, unsigned n)
{
    size_t rf = r->opts.rf;
    size_t slot = hash_xxh64(slice_of(set, n * sizeof(*set)), n) & w->table_mask;

    for (; w->table[slot]; slot = (slot + 1) & w->table_mask) {
        uint32_t s = w->table[slot] - 1;

        if (r->set_sizes[s] == n && memcmp(r->sets + s * rf, set, n * sizeof(*set)) == 0)
            return s;
    }
    memcpy(r->sets + r->n_sets * rf, set, n * sizeof(*set));
    r->set_sizes[r->n_sets] = (uint8_t)n;
    w->table[slot] = ++r->n_sets;
    return r->n_sets - 1;
}

static void build_sets(struct ring *r)
{
    struct set_walk w = {0};
    uint16_t set[RING_MAX_RF] = {0};

    r->sets = mem_new_array(uint16_t, (r->n_points + 1) * r->opts.rf);
    r->set_sizes = mem_new_array(uint8_t, r->n_points + 1);
    r->set_of = mem_new_array(uint32_t, r->n_points + 1);
    set_walk_init(&w, r);
    for (size_t p = 0; p < r->n_points; p++)
        r->set_of[p] = intern_set(&w, r, set, walk(&w, r, p, set));
    if (r->n_points == 0)
        r->set_of[0] = intern_set(&w, r, set, 0); /* the empty set, so that 0 always names one */
    set_walk_done(&w);
}

static void ring_free(struct snapshot *s)
{
    struct ring *r = (struct ring *)s;

    MAP_FOREACH (e, &r->subrings)
        ring_unref(e->value);
    map_done(&r->subrings);
    lock_done(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        member_unref(r->instances[i].member);
    mem_free(r->instances);
    mem_free(r->zones);
    mem_free(r->all);
    mem_free(r->points);
    mem_free(r->set_of);
    mem_free(r->buckets);
    mem_free(r->sets);
    mem_free(r->set_sizes);
    mem_free(r);
}

struct ring *ring_build(const struct ring_input *in, size_t n, const struct ring_opts *opts,
                        int64_t zones_since_ms)
{
    struct ring *r = mem_new(struct ring);

    ORR_ASSERT(opts->rf >= 1 && opts->rf <= RING_MAX_RF);
    snapshot_init(&r->snap, ring_free);
    lock_init(&r->lock, LOCK_RING);
    r->opts = *opts;
    r->zones_since_ms = zones_since_ms;
    r->instances = mem_new_array(struct ring_instance, n + 1);
    for (size_t i = 0; i < n && r->n < RING_MAX_INSTANCES; i++)
        if (in[i].member->state != MEMBER_LEFT)
            r->instances[r->n++] = (struct ring_instance){
                .member = member_ref(in[i].member),
                .name_hash = hash_xxh64(slice_cstr(in[i].member->instance), 0),
                .is_healthy = in[i].is_healthy};
    build_zones(r);
    build_points(r);
    build_buckets(r);
    build_sets(r);
    return r;
}

struct ring *ring_new(const struct ring_input *in, size_t n, const struct ring_opts *opts)
{
    struct ring_input *mine = mem_new_array(struct ring_input, n + 1);
    size_t kept = 0;
    struct ring *r;

    for (size_t i = 0; i < n; i++)
        if ((in[i].member->roles & opts->role) &&
            (!opts->signal || (in[i].member->signals & opts->signal)))
            mine[kept++] = in[i];
    qsort(mine, kept, sizeof(*mine), cmp_name);
    r = ring_build(mine, kept, opts, ring_zones_since(mine, kept, opts->rf));
    mem_free(mine);
    return r;
}

struct ring *ring_ref(const struct ring *r)
{
    return (struct ring *)snapshot_ref((struct snapshot *)&r->snap);
}

void ring_unref(const struct ring *r)
{
    if (r)
        snapshot_unref((struct snapshot *)&r->snap);
}

/* ---- asking ---- */

unsigned ring_rf(const struct ring *r)
{
    return r->opts.rf;
}

unsigned ring_write_quorum(const struct ring *r)
{
    return r->opts.rf / 2 + 1;
}

size_t ring_size(const struct ring *r)
{
    return r->n;
}

size_t ring_active(const struct ring *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->instances[i].is_healthy && r->instances[i].member->state == MEMBER_ACTIVE;
    return n;
}

size_t ring_zones(const struct ring *r)
{
    return r->owning_zones;
}

const struct member *ring_member(const struct ring *r, size_t i)
{
    ORR_ASSERT(i < r->n);
    return r->instances[i].member;
}

bool ring_is_healthy(const struct ring *r, size_t i)
{
    ORR_ASSERT(i < r->n);
    return r->instances[i].is_healthy;
}

unsigned ring_zone(const struct ring *r, size_t i)
{
    ORR_ASSERT(i < r->n);
    return r->instances[i].zone;
}

int ring_find(const struct ring *r, struct slice instance)
{
    size_t lo = 0, hi = r->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(slice_cstr(r->instances[mid].member->instance), instance);

        if (c == 0)
            return (int)mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

uint64_t ring_fingerprint(const struct ring *r)
{
    uint64_t h = r->opts.rf;

    for (size_t i = 0; i < r->n; i++) {
        const struct member *m = r->instances[i].member;

        h = hash_xxh64(slice_cstr(m->instance), h);
        h = hash_xxh64(slice_cstr(m->zone), h + (uint64_t)m->state);
        h = hash_xxh64(slice_of(m->tokens, m->n_tokens * sizeof(*m->tokens)), h);
    }
    return h;
}

uint32_t ring_set_index(const struct ring *r, uint32_t token)
{
    return r->n_points ? r->set_of[ring_point_of(r, token)] : 0;
}

uint32_t ring_set_count(const struct ring *r)
{
    return r->n_sets;
}

struct ring_set ring_set(const struct ring *r, uint32_t index)
{
    ORR_ASSERT(index < r->n_sets);
    return (struct ring_set){r->sets + index * (size_t)r->opts.rf, r->set_sizes[index]};
}

struct ring_set ring_replicas(const struct ring *r, uint32_t token)
{
    return ring_set(r, ring_set_index(r, token));
}

/* Bids of one instance for different keys must be unrelated, and so must those of different
 * instances for one key: the finalizer of SplitMix64 over both. */
static uint64_t bid_of(const struct ring_instance *in, uint32_t key)
{
    uint64_t x = in->name_hash ^ (key * 0x9e3779b97f4a7c15ull);

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

size_t ring_order(const struct ring *r, uint32_t key, uint16_t *ret, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        const struct ring_instance *in = &r->instances[i];
        uint64_t bid = bid_of(in, key);
        size_t at;

        if (!in->is_healthy || in->member->state != MEMBER_ACTIVE || in->member->n_tokens == 0)
            continue;
        for (at = n; at > 0 && bid_of(&r->instances[ret[at - 1]], key) < bid; at--)
            if (at < max)
                ret[at] = ret[at - 1];
        if (at < max)
            ret[at] = (uint16_t)i;
        n = ORR_MIN(n + 1, max);
    }
    return n;
}

int ring_owner(const struct ring *r, uint32_t key)
{
    uint16_t i;

    return ring_order(r, key, &i, 1) ? i : -1;
}

uint32_t ring_key(struct slice name)
{
    return (uint32_t)(hash_xxh64(name, 0) >> 32);
}
