/* Label pairs with their series, and what a tenant has in memory: for cardinality and status. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define TURN_SERIES 4096u

struct pairing {
    const struct head_query *q;
    struct head_tenant *tenant;
    const struct slice *name; /* NULL: all */
    struct buf out;           /* { lstr name, lstr value, uvarint series }... */
    uint64_t series;
};

static void put_name(struct pairing *p, const struct head_index *x, const struct head_name *name,
                     const roaring_bitmap_t *of)
{
    VEC_FOREACH (id, &name->pairs) {
        const struct head_pair *pair = head_pair_at(x, *id);
        uint64_t n = of ? head_posting_count(pair, of) : pair->n;

        if (!n)
            continue;
        buf_lstr(&p->out, name->text);
        buf_lstr(&p->out, head_value_text(pair->value));
        buf_uvarint(&p->out, n);
    }
}

static bool run_pairing(struct head_shard *sh, void *arg)
{
    struct pairing *p = arg;
    struct head_ts *ts = p->tenant->ts[sh->index];
    roaring_bitmap_t *of = NULL;

    if (!ts)
        return false;
    if (p->q->matchers.n)
        of = head_match(ts, p->q->matchers);
    p->series = of ? roaring_bitmap_get_cardinality(of) : ts->n_series;
    if (p->name) {
        int64_t id = head_index_name(&ts->index, *p->name);

        if (id >= 0)
            put_name(p, &ts->index, ts->index.names.ptr[id], of);
    } else {
        VEC_FOREACH (np, &ts->index.names)
            put_name(p, &ts->index, *np, of);
    }
    if (of)
        roaring_bitmap_free(of);
    return false;
}

static int cmp_pair(const void *a, const void *b)
{
    const struct head_pair_count *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    return c ? c : slice_cmp(x->value, y->value);
}

static struct head_pair_count *join(struct pairing *ps, uint32_t n_shards, struct arena *a,
                                    size_t *ret_n)
{
    VEC(struct head_pair_count) all = {0};
    struct head_pair_count *out;
    size_t n = 0;

    for (uint32_t i = 0; i < n_shards; i++) {
        struct reader r = reader_new(arena_dup(a, buf_slice(&ps[i].out)));

        while (reader_left(&r)) {
            struct head_pair_count c = {.name = reader_lstr(&r)};

            c.value = reader_lstr(&r);
            c.series = reader_uvarint(&r);
            vec_push(&all, c);
        }
    }
    if (all.len > 1)
        qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_pair);
    out = arena_array(a, struct head_pair_count, all.len);
    for (size_t i = 0; i < all.len; i++) {
        if (n && cmp_pair(&out[n - 1], &all.ptr[i]) == 0)
            out[n - 1].series += all.ptr[i].series;
        else
            out[n++] = all.ptr[i];
    }
    vec_done(&all);
    *ret_n = n;
    return out;
}

static struct err *check_ready(const struct head *h)
{
    return head_is_ready(h) ? NULL
                            : err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
}

struct err *head_pairs_list(struct head *h, const struct head_query *q, const struct slice *name,
                            struct arena *a, struct head_pair_count **ret, size_t *ret_n,
                            uint64_t *ret_series)
{
    struct pairing ps[HEAD_MAX_SHARDS] = {0};
    void *args[HEAD_MAX_SHARDS];
    struct head_tenant *t = head_tenant_find(h, q->tenant);
    struct err *e = check_ready(h);

    *ret_n = 0;
    *ret_series = 0;
    if (e || !t)
        return e;
    for (uint32_t i = 0; i < h->n_shards; i++) {
        ps[i] = (struct pairing){.q = q, .tenant = t, .name = name};
        args[i] = &ps[i];
    }
    head_call_all(h, run_pairing, args);
    *ret = join(ps, h->n_shards, a, ret_n);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        *ret_series += ps[i].series;
        buf_done(&ps[i].out);
    }
    return NULL;
}

/* ---- counts ---- */

struct tally {
    struct head_tenant *tenant;
    uint32_t at;
    uint64_t pairs, chunks;
};

static bool run_tally(struct head_shard *sh, void *arg)
{
    struct tally *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];
    uint32_t end;

    if (!ts)
        return false;
    c->pairs = ts->index.live_pairs;
    end = ORR_MIN(c->at + TURN_SERIES, ts->n_refs);
    for (; c->at < end; c->at++)
        if (head_ref_is_used(ts, c->at))
            c->chunks += head_range_chunks(ts, c->at);
    return c->at < ts->n_refs;
}

struct err *head_count(struct head *h, struct slice tenant, uint64_t *ret_pairs,
                       uint64_t *ret_chunks)
{
    struct tally ts[HEAD_MAX_SHARDS] = {0};
    void *args[HEAD_MAX_SHARDS];
    struct head_tenant *t = head_tenant_find(h, tenant);
    struct err *e = check_ready(h);

    *ret_pairs = *ret_chunks = 0;
    if (e || !t)
        return e;
    for (uint32_t i = 0; i < h->n_shards; i++) {
        ts[i].tenant = t;
        args[i] = &ts[i];
    }
    head_call_all(h, run_tally, args);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        *ret_pairs += ts[i].pairs;
        *ret_chunks += ts[i].chunks;
    }
    return NULL;
}
