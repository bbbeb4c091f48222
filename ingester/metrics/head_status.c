/* Cardinality of a tenant's head, for the TSDB status page. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

struct counting {
    struct head_tenant *tenant;
    struct buf
        out; /* { u8 kind, lstr name, uvarint count, or a hash of the value (BY_LABEL) }... */
    uint64_t series, pairs;
};

enum kind { BY_METRIC, BY_LABEL, BY_PAIR, KINDS };

static void put(struct counting *c, enum kind kind, struct slice name, uint64_t count)
{
    buf_byte(&c->out, (uint8_t)kind);
    buf_lstr(&c->out, name);
    buf_uvarint(&c->out, count);
}

static bool run_count(struct head_shard *sh, void *arg)
{
    struct counting *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];
    struct buf pair = {0};

    if (!ts)
        return false;
    c->series = ts->n_series;
    c->pairs = ts->index.live_pairs;
    VEC_FOREACH (np, &ts->index.names) {
        bool is_metric = slice_eq_cstr((*np)->text, LABEL_NAME);

        VEC_FOREACH (id, &(*np)->pairs) {
            const struct head_pair *p = head_pair_at(&ts->index, *id);

            if (!p->n)
                continue;
            put(c, BY_LABEL, (*np)->text, hash_xxh64(head_value_text(p->value), 0));
            if (is_metric)
                put(c, BY_METRIC, head_value_text(p->value), p->n);
            if (p->n < ts->n_series / 1000)
                continue; /* cannot be among the largest, and there may be millions */
            buf_reset(&pair);
            buf_slice_append(&pair, (*np)->text);
            buf_byte(&pair, '=');
            buf_slice_append(&pair, head_value_text(p->value));
            put(c, BY_PAIR, buf_slice(&pair), p->n);
        }
    }
    buf_done(&pair);
    return false;
}

static int cmp_count(const void *a, const void *b)
{
    const struct head_cardinality *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return slice_cmp(x->name, y->name);
}

static void largest(const struct map *counts, size_t top, struct arena *a,
                    struct head_cardinality **ret, size_t *ret_n)
{
    struct head_cardinality *all = mem_new_array(struct head_cardinality, counts->len + 1);
    size_t n = 0;

    MAP_FOREACH (en, counts)
        all[n++] = (struct head_cardinality){en->key, (uintptr_t)en->value};
    qsort(all, n, sizeof(*all), cmp_count);
    n = ORR_MIN(n, top);
    *ret = arena_array(a, struct head_cardinality, n);
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = (struct head_cardinality){arena_dup(a, all[i].name), all[i].count};
    *ret_n = n;
    mem_free(all);
}

/* A value that several shards have counts once. */
static bool is_new_value(struct map *seen, struct slice name, uint64_t value_hash)
{
    uint64_t key[2] = {hash_xxh64(name, 0), value_hash};

    return !map_put(seen, slice_of(key, sizeof(key)), seen);
}

static void sum(struct map *counts, struct map *seen, struct slice bytes)
{
    struct reader r = reader_new(bytes);

    while (reader_left(&r)) {
        uint8_t kind = reader_u8(&r);
        struct slice name = reader_lstr(&r);
        uint64_t n = reader_uvarint(&r);
        void **slot = map_slot(&counts[kind], name);

        if (kind == BY_LABEL)
            n = is_new_value(seen, name, n);
        *slot = (void *)((uintptr_t)*slot + (uintptr_t)n);
    }
}

struct err *head_status_get(struct head *h, struct slice tenant, size_t top, struct arena *a,
                            struct head_status *ret)
{
    struct counting cs[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    struct map counts[KINDS] = {0}, seen = {0};
    struct head_tenant *t = head_tenant_find(h, tenant);

    if (!head_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
    *ret = (struct head_status){0};
    if (!t)
        return NULL;
    for (uint32_t i = 0; i < h->n_shards; i++) {
        cs[i] = (struct counting){.tenant = t};
        args[i] = &cs[i];
    }
    head_call_all(h, run_count, args);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        sum(counts, &seen, buf_slice(&cs[i].out));
        ret->series += cs[i].series;
        ret->label_pairs += cs[i].pairs;
        buf_done(&cs[i].out);
    }
    largest(&counts[BY_METRIC], top, a, &ret->by_metric, &ret->n_by_metric);
    largest(&counts[BY_LABEL], top, a, &ret->by_label_values, &ret->n_by_label_values);
    largest(&counts[BY_PAIR], top, a, &ret->by_label_pair, &ret->n_by_label_pair);
    map_done(&seen);
    for (size_t i = 0; i < KINDS; i++)
        map_done(&counts[i]);
    return NULL;
}
