#include "common/block/tiers.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"

/* ---- what blocks stand for ---- */

static void put_key(struct buf *b, const struct catalogue_block *block, struct slice name)
{
    buf_reset(b);
    buf_printf(b, "%u/%u/", block->shard, ORR_MAX(block->shards, 1u));
    buf_slice_append(b, name);
}

struct slice *tier_names_of(struct arena *a, const struct catalogue_block *b, size_t *ret_n)
{
    struct slice *names = arena_array(a, struct slice, b->n_segments + 1);

    if (b->n_segments)
        memcpy(names, b->segments, b->n_segments * sizeof(*names));
    else
        names[0] = slice_cstr(arena_strdup(a, ulid_print(b->ulid).s));
    *ret_n = ORR_MAX(b->n_segments, (size_t)1);
    return names;
}

struct tier_names *tier_names_new(const struct catalogue_block *blocks, size_t n)
{
    struct tier_names *t = mem_new(struct tier_names);
    struct buf key = {0};

    for (size_t i = 0; i < n; i++) {
        unsigned tier = tier_of(blocks[i].resolution_ms);
        struct ulid_text own = ulid_print(blocks[i].ulid);

        for (size_t k = 0; k < blocks[i].n_segments; k++) {
            put_key(&key, &blocks[i], blocks[i].segments[k]);
            (void)map_slot(&t->of[tier], buf_slice(&key));
        }
        if (blocks[i].n_segments == 0) {
            put_key(&key, &blocks[i], slice_cstr(own.s));
            (void)map_slot(&t->of[tier], buf_slice(&key));
        }
    }
    buf_done(&key);
    return t;
}

void tier_names_free(struct tier_names *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < TIERS; i++)
        map_done(&t->of[i]);
    mem_free(t);
}

bool tier_names_have(const struct tier_names *t, unsigned tier, const struct catalogue_block *b)
{
    const struct map *set = &t->of[tier];
    struct buf key = {0};
    bool has = set->len != 0;

    for (size_t i = 0; has && i < b->n_segments; i++) {
        put_key(&key, b, b->segments[i]);
        has = map_has(set, buf_slice(&key));
    }
    if (has && b->n_segments == 0) {
        put_key(&key, b, slice_cstr(ulid_print(b->ulid).s));
        has = map_has(set, buf_slice(&key));
    }
    buf_done(&key);
    return has;
}

/* ---- ranges of time: sorted, apart from one another, max exclusive ---- */

struct range {
    int64_t min, max;
};
typedef VEC(struct range) ranges_t;

static int by_min(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return (x->min > y->min) - (x->min < y->min);
}

static void sort_and_join(ranges_t *r)
{
    size_t out = 0;

    if (r->len)
        qsort(r->ptr, r->len, sizeof(*r->ptr), by_min);
    for (size_t i = 0; i < r->len; i++) {
        if (out && r->ptr[i].min <= r->ptr[out - 1].max)
            r->ptr[out - 1].max = ORR_MAX(r->ptr[out - 1].max, r->ptr[i].max);
        else
            r->ptr[out++] = r->ptr[i];
    }
    r->len = out;
}

/* a without b. */
static void subtract(ranges_t *a, const ranges_t *b)
{
    ranges_t out = {0};
    size_t k = 0;

    for (size_t i = 0; i < a->len; i++) {
        struct range left = a->ptr[i];

        while (k < b->len && b->ptr[k].max <= left.min)
            k++;
        for (size_t j = k; j < b->len && b->ptr[j].min < left.max; j++) {
            if (b->ptr[j].min > left.min)
                vec_push(&out, ((struct range){left.min, b->ptr[j].min}));
            left.min = b->ptr[j].max;
        }
        if (left.min < left.max)
            vec_push(&out, left);
    }
    vec_done(a);
    a->ptr = out.ptr;
    a->len = out.len;
    a->cap = out.cap;
}

static bool holds(const ranges_t *r, int64_t t)
{
    size_t lo = 0, n = r->len;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (r->ptr[mid].max <= t)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo < r->len && r->ptr[lo].min <= t;
}

/* ---- where they are read ---- */

struct tiers {
    ranges_t there[TIERS]; /* blocks of the tier, of which something is in no finer one any more */
    ranges_t readable[TIERS]; /* where it stands for all finer ones */
};

/* All that it stands for is live itself: where that is not, there is nothing. */
static bool is_in_finer(const struct tier_names *names, unsigned own,
                        const struct catalogue_block *b)
{
    for (unsigned tier = 0; tier < own; tier++)
        if (tier_names_have(names, tier, b))
            return true;
    return false;
}

static void add_blocks(struct tiers *t, ranges_t *missing, const struct tier_names *names,
                       const struct catalogue_block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct range r = {blocks[i].min_t, blocks[i].max_t};
        unsigned own = tier_of(blocks[i].resolution_ms);

        if (!is_in_finer(names, own, &blocks[i]))
            vec_push(&t->there[own], r);
        vec_push(&t->readable[own], r);
        for (unsigned tier = own + 1; tier < TIERS; tier++)
            if (!tier_names_have(names, tier, &blocks[i]))
                vec_push(&missing[tier], r);
    }
}

struct tiers *tiers_new(const struct catalogue_block *blocks, size_t n)
{
    struct tiers *t = mem_new(struct tiers);
    struct tier_names *names = tier_names_new(blocks, n);
    ranges_t missing[TIERS] = {0};

    add_blocks(t, missing, names, blocks, n);
    for (unsigned i = 0; i < TIERS; i++) {
        sort_and_join(&t->there[i]);
        sort_and_join(&t->readable[i]);
        sort_and_join(&missing[i]);
        subtract(&t->readable[i], &missing[i]);
        vec_done(&missing[i]);
    }
    tier_names_free(names);
    return t;
}

void tiers_free(struct tiers *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < TIERS; i++) {
        vec_done(&t->there[i]);
        vec_done(&t->readable[i]);
    }
    mem_free(t);
}

/* The first of them that is not before a time; n: none. */
static size_t first_cut(const struct tier_cuts *cuts, int64_t at)
{
    size_t lo = 0, n = cuts->n;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (cuts->ptr[mid] < at)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

bool tier_cuts_have(const struct tier_cuts *cuts, int64_t at, int64_t resolution_ms)
{
    int64_t start = tier_window(at, resolution_ms);
    size_t i = first_cut(cuts, start + 1);

    return i < cuts->n && cuts->ptr[i] < start + resolution_ms;
}

static bool is_cut(const struct tier_cuts *cuts, int64_t at, unsigned tier)
{
    return cuts && tier_cuts_have(cuts, at, tier_resolution_ms(tier));
}

/* The tier to read at a time. */
static unsigned choose_at(const struct tiers *t, int64_t at, unsigned max_tier,
                          const struct tier_cuts *cuts)
{
    for (unsigned i = max_tier; i > 0; i--)
        if (holds(&t->readable[i], at) && !is_cut(cuts, at, i))
            return i;
    for (unsigned i = 0; i < TIERS; i++)
        if (holds(&t->there[i], at))
            return i;
    return 0; /* no block at all: what ingesters have */
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void put_edge(int64_t *out, size_t *io_n, int64_t at, int64_t min_ms, int64_t max_ms)
{
    if (at > min_ms && at <= max_ms)
        out[(*io_n)++] = at;
}

/* Where the answer may change between two times: sorted, the first one included. */
static int64_t *edges_of(const struct tiers *t, struct arena *a, int64_t min_ms, int64_t max_ms,
                         const struct tier_cuts *cuts, size_t *ret_n)
{
    size_t n = 1, cap = 1 + (cuts ? 2 * (TIERS - 1) * cuts->n : 0);
    int64_t *out;

    for (unsigned i = 0; i < TIERS; i++)
        cap += 2 * (t->there[i].len + t->readable[i].len);
    out = arena_array(a, int64_t, cap);
    out[0] = min_ms;
    for (unsigned i = 0; i < 2 * TIERS; i++) {
        const ranges_t *r = i < TIERS ? &t->there[i] : &t->readable[i - TIERS];

        for (size_t k = 0; k < r->len; k++) {
            put_edge(out, &n, r->ptr[k].min, min_ms, max_ms);
            put_edge(out, &n, r->ptr[k].max, min_ms, max_ms);
        }
    }
    for (size_t i = 0; cuts && i < cuts->n; i++)
        for (unsigned tier = 1; tier < TIERS; tier++) {
            int64_t window = tier_window(cuts->ptr[i], tier_resolution_ms(tier));

            put_edge(out, &n, window, min_ms, max_ms);
            put_edge(out, &n, window + tier_resolution_ms(tier), min_ms, max_ms);
        }
    qsort(out, n, sizeof(*out), by_value);
    *ret_n = n;
    return out;
}

struct tier_span *tiers_choose(const struct tiers *t, struct arena *a, int64_t min_ms,
                               int64_t max_ms, unsigned max_tier, const struct tier_cuts *cuts,
                               size_t *ret_n, bool *ret_is_coarser)
{
    size_t n_edges, n = 0;
    int64_t *edges = edges_of(t, a, min_ms, max_ms, cuts, &n_edges);
    struct tier_span *out = arena_array(a, struct tier_span, n_edges);

    *ret_is_coarser = false;
    for (size_t i = 0; i < n_edges; i++) {
        unsigned tier = choose_at(t, edges[i], max_tier, cuts);

        *ret_is_coarser = *ret_is_coarser || tier > max_tier;
        if (n && out[n - 1].tier == tier)
            continue;
        if (n)
            out[n - 1].max_ms = edges[i] - 1;
        out[n++] = (struct tier_span){edges[i], max_ms, tier};
    }
    *ret_n = n;
    return out;
}
