/* Label pairs with their series, and how much ingesters hold of a tenant. */
#include <stdlib.h>

#include "common/base/map.h"
#include "querier/store/store_internal.h"

/* Reads every frame of every stream; closes f, which may be NULL. */
typedef struct err *census_fn(void *arg, struct slice frame);

static struct err *read_frames(struct fanout *f, census_fn *fn, void *arg, double *ret_copies)
{
    struct err *e = NULL;
    bool any = f != NULL;

    *ret_copies = 1;
    while (any && !e && !(e = fanout_wait(f))) {
        any = false;
        for (size_t i = 0; !e && i < fanout_streams(f); i++) {
            struct slice bytes;

            if (!fanout_frame(f, i, &bytes))
                continue;
            any = true;
            e = fn(arg, bytes);
            fanout_pop(f, i);
        }
    }
    if (f && !e)
        *ret_copies = fanout_copies(f);
    fanout_close(f);
    return e;
}

/* A count over replicas to one over series: never less than one that is there. */
static uint64_t without_copies(uint64_t n, double copies)
{
    uint64_t one = copies > 1 ? (uint64_t)((double)n / copies + 0.5) : n;

    return n && !one ? 1 : one;
}

/* ---- pairs ---- */

struct pairs {
    struct store_query *sq;
    struct map index; /* "name 0xff value" → number + 1 */
    VEC(struct store_pair) list;
    uint64_t series;
    struct buf key;
};

static struct err *add_pair(struct pairs *ps, const struct rpc_pair *p)
{
    struct arena *a = ps->sq->opts.arena;
    void **slot;

    if (!p->name.len) { /* the head of an answer */
        ps->series += p->series;
        return NULL;
    }
    buf_reset(&ps->key);
    buf_slice_append(&ps->key, p->name);
    buf_byte(&ps->key, 0xff);
    buf_slice_append(&ps->key, p->value);
    slot = map_slot(&ps->index, buf_slice(&ps->key));
    if (!*slot) {
        vec_push(&ps->list,
                 ((struct store_pair){arena_dup(a, p->name), arena_dup(a, p->value), 0}));
        *slot = (void *)(uintptr_t)ps->list.len;
    }
    ps->list.ptr[(uintptr_t)*slot - 1].series += p->series;
    return arena_over(a) ? err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                                   arena_limit(a))
                         : NULL;
}

static struct err *pairs_frame(void *arg, struct slice frame)
{
    struct reader r = reader_new(frame);
    struct rpc_pair p;
    struct err *e = NULL;

    while (!e && rpc_pair_decode(&r, &p))
        e = add_pair(arg, &p);
    if (!e && !reader_ok(&r))
        e = err_new(ERR_CORRUPT, "an ingester's answer is malformed");
    return e;
}

static int by_pair(const void *a, const void *b)
{
    const struct store_pair *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    return c ? c : slice_cmp(x->value, y->value);
}

struct err *store_pairs(struct store_query *sq, struct matchers ms, struct slice label,
                        struct store_pair **ret, size_t *ret_n, uint64_t *ret_series)
{
    struct rpc_select rs = {.kind = label.ptr ? RPC_SELECT_VALUES : RPC_SELECT_NAMES,
                            .matchers = ms,
                            .min_ms = INT64_MIN,
                            .max_ms = INT64_MAX,
                            .name = label.ptr ? label : SLICE_EMPTY};
    struct pairs ps = {.sq = sq};
    struct fanout *f = NULL;
    struct buf b = {0};
    double copies;
    struct err *e;

    rpc_select_encode(&b, &rs);
    e = store_ask(sq, "ingester.pairs", buf_slice(&b), &f);
    buf_done(&b);
    if (!e)
        e = read_frames(f, pairs_frame, &ps, &copies);
    if (!e) {
        if (ps.list.len > 1)
            qsort(ps.list.ptr, ps.list.len, sizeof(*ps.list.ptr), by_pair);
        *ret = arena_array(sq->opts.arena, struct store_pair, ps.list.len + 1);
        for (size_t i = 0; i < ps.list.len; i++) {
            (*ret)[i] = ps.list.ptr[i];
            (*ret)[i].series = without_copies((*ret)[i].series, copies);
        }
        *ret_n = ps.list.len;
        *ret_series = without_copies(ps.series, copies);
    }
    map_done(&ps.index);
    vec_done(&ps.list);
    buf_done(&ps.key);
    return e;
}

/* ---- heads ---- */

static struct err *head_frame(void *arg, struct slice frame)
{
    struct rpc_head *sum = arg, one;
    struct err *e = rpc_head_decode(frame, &one);

    if (e)
        return e;
    sum->series += one.series;
    sum->chunks += one.chunks;
    sum->appended += one.appended;
    sum->rate_milli += one.rate_milli;
    sum->pairs = ORR_MAX(sum->pairs, one.pairs);
    sum->min_ms = ORR_MIN(sum->min_ms, one.min_ms);
    sum->max_ms = ORR_MAX(sum->max_ms, one.max_ms);
    return NULL;
}

struct err *store_head(struct store_query *sq, struct rpc_head *ret)
{
    struct rpc_head sum = {.min_ms = INT64_MAX, .max_ms = INT64_MIN};
    struct fanout *f = NULL;
    double copies;
    struct err *e = store_ask(sq, "ingester.head", SLICE_EMPTY, &f);

    if (!e)
        e = read_frames(f, head_frame, &sum, &copies);
    if (e)
        return e;
    sum.series = without_copies(sum.series, copies);
    sum.chunks = without_copies(sum.chunks, copies);
    sum.appended = without_copies(sum.appended, copies);
    sum.rate_milli = without_copies(sum.rate_milli, copies);
    *ret = sum;
    return NULL;
}

/* ---- blocks ---- */

struct err *store_blocks(struct store_query *sq, struct block_meta **ret, size_t *ret_n)
{
    struct blockset_view v;
    struct err *e = store_take_blocks(sq, INT64_MIN, INT64_MAX, NULL, &v);

    if (e)
        return e;
    *ret = arena_array(sq->opts.arena, struct block_meta, v.n + 1);
    *ret_n = v.n;
    for (size_t i = 0; i < v.n; i++)
        (*ret)[i] = block_meta_dup(sq->opts.arena, block_reader_meta(v.readers[i]));
    if (sq->store->blocks)
        blockset_release(sq->store->blocks, &v);
    return NULL;
}
