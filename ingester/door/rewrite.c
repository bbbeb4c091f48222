#include "ingester/door/rewrite.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

#define FIRST_SLOTS 256
#define TENANT_LABEL "__meta_tenant_id"

struct slot {
    struct hash128 key; /* zeros: free */
    struct hash128 fp;
    const uint8_t *labels;
    uint32_t len;
    uint32_t pair : 31;
    uint32_t is_dropped : 1;
};

struct pair {
    struct slice cluster, replica; /* in the texts */
};

struct rewrite {
    struct tenant_rules *rules;
    bool accept_ha;
    char *tenant;
    size_t max_bytes;
    struct slot *slots;
    size_t mask, n;
    struct arena *texts;     /* of slots and pairs */
    VEC(struct pair) pairs;  /* number - 1 */
    struct map pair_numbers; /* cluster 0xff replica → number */
    uint64_t epoch;
};

struct rewrite *rewrite_new(struct slice tenant, struct tenant_rules *rules, bool accept_ha,
                            size_t cache_bytes)
{
    struct rewrite *w;

    if (!accept_ha && !rules->metric_relabel && !rules->drop_labels.n) {
        tenant_rules_unref(rules);
        return NULL;
    }
    w = mem_new(struct rewrite);
    w->rules = rules;
    w->accept_ha = accept_ha;
    w->tenant = slice_dup(tenant);
    w->max_bytes = cache_bytes;
    w->texts = arena_new(0);
    return w;
}

void rewrite_free(struct rewrite *w)
{
    if (!w)
        return;
    rewrite_clear(w);
    arena_free(w->texts);
    tenant_rules_unref(w->rules);
    mem_free(w->tenant);
    mem_free(w);
}

size_t rewrite_bytes(const struct rewrite *w)
{
    if (!w)
        return 0;
    return (w->slots ? (w->mask + 1) * sizeof(*w->slots) : 0) + arena_used(w->texts) +
           w->pairs.cap * sizeof(struct pair) + w->pair_numbers.cap * sizeof(struct map_entry);
}

void rewrite_clear(struct rewrite *w)
{
    if (!w)
        return;
    mem_free(w->slots);
    w->slots = NULL;
    w->mask = w->n = 0;
    vec_done(&w->pairs);
    map_done(&w->pair_numbers);
    arena_reset(w->texts);
    w->epoch++;
}

uint64_t rewrite_epoch(const struct rewrite *w)
{
    return w->epoch;
}

/* ---- the cache ---- */

static bool is_free(const struct slot *s)
{
    return (s->key.lo | s->key.hi) == 0;
}

/* The key's slot, or the free one where it belongs. At most two thirds are taken. */
static struct slot *find(const struct rewrite *w, struct hash128 key)
{
    size_t i = key.lo & w->mask;

    while (!is_free(&w->slots[i]) && !hash128_eq(w->slots[i].key, key))
        i = (i + 1) & w->mask;
    return &w->slots[i];
}

bool rewrite_known(const struct rewrite *w, struct hash128 key, struct rewrite_result *ret)
{
    const struct slot *s;

    if (!w->slots || is_free(s = find(w, key)))
        return false;
    *ret = (struct rewrite_result){slice_of(s->labels, s->len), s->fp, s->pair, s->is_dropped != 0};
    return true;
}

static void grow(struct rewrite *w)
{
    struct slot *old = w->slots;
    size_t n = old ? w->mask + 1 : 0, slots = n ? 2 * n : FIRST_SLOTS;

    w->slots = mem_calloc(slots, sizeof(*old));
    w->mask = slots - 1;
    for (size_t i = 0; i < n; i++)
        if (!is_free(&old[i]))
            *find(w, old[i].key) = old[i];
    mem_free(old);
}

void rewrite_remember(struct rewrite *w, struct hash128 key, const struct rewrite_result *r)
{
    struct slot *s;

    if ((key.lo | key.hi) == 0 || r->labels.len > UINT32_MAX)
        return;
    if (rewrite_bytes(w) + r->labels.len > w->max_bytes) {
        rewrite_clear(w);
        return; /* r's pair has no number any more: the next time */
    }
    if (!w->slots || 3 * (w->n + 1) > 2 * (w->mask + 1))
        grow(w);
    s = find(w, key);
    w->n += is_free(s);
    *s = (struct slot){.key = key,
                       .fp = r->fp,
                       .labels = arena_dup(w->texts, r->labels).ptr,
                       .len = (uint32_t)r->labels.len,
                       .pair = r->pair & 0x7fffffff,
                       .is_dropped = r->is_dropped};
}

/* ---- pairs ---- */

static uint32_t number_of(struct rewrite *w, struct slice cluster, struct slice replica)
{
    struct buf key = {0};
    void **slot;

    buf_slice_append(&key, cluster);
    buf_byte(&key, 0xff); /* in no valid label value, so two pairs never look the same */
    buf_slice_append(&key, replica);
    slot = map_slot(&w->pair_numbers, buf_slice(&key));
    buf_done(&key);
    if (!*slot) {
        vec_push(&w->pairs,
                 ((struct pair){arena_dup(w->texts, cluster), arena_dup(w->texts, replica)}));
        *slot = (void *)(uintptr_t)w->pairs.len;
    }
    return (uint32_t)(uintptr_t)*slot;
}

void rewrite_pair(const struct rewrite *w, uint32_t pair, struct slice *ret_cluster,
                  struct slice *ret_replica)
{
    *ret_cluster = w->pairs.ptr[pair - 1].cluster;
    *ret_replica = w->pairs.ptr[pair - 1].replica;
}

/* ---- labels ---- */

static struct labels without(struct arena *a, struct labels ls, struct slice name)
{
    struct label *out;
    size_t n = 0;

    if (!labels_has(ls, name))
        return ls;
    out = arena_array(a, struct label, ls.n);
    for (size_t i = 0; i < ls.n; i++)
        if (!slice_eq(ls.ptr[i].name, name))
            out[n++] = ls.ptr[i];
    return (struct labels){out, n};
}

static struct labels with_tenant(struct rewrite *w, struct arena *a, struct labels ls)
{
    struct labels_builder b;

    labels_builder_init(&b, a, ls);
    labels_builder_set(&b, SLICE(TENANT_LABEL), slice_cstr(w->tenant));
    return labels_builder_labels(&b);
}

bool rewrite_labels(struct rewrite *w, struct arena *a, struct labels ls, struct labels *ret,
                    uint32_t *ret_pair)
{
    const struct tenant_rules *r = w->rules;

    *ret_pair = 0;
    if (w->accept_ha) {
        struct slice cluster = labels_get(ls, r->ha_cluster_label);
        struct slice replica = labels_get(ls, r->ha_replica_label);

        if (cluster.len && replica.len) {
            if (w->pairs.len >= REWRITE_MAX_PAIRS)
                rewrite_clear(w);
            *ret_pair = number_of(w, cluster, replica);
            ls = without(a, ls, r->ha_replica_label);
        }
    }
    if (r->metric_relabel) {
        if (!relabel_apply(r->metric_relabel, a, with_tenant(w, a, ls), &ls))
            return false;
        ls = without(a, ls, SLICE(TENANT_LABEL));
    }
    for (size_t i = 0; i < r->drop_labels.n; i++)
        ls = without(a, ls, r->drop_labels.ptr[i]);
    *ret = ls;
    return ls.n > 0;
}
