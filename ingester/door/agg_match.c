#include "ingester/door/agg_match.h"

#include "common/base/mem.h"

#define FIRST_SLOTS 256

struct slot {
    struct hash128 fp;  /* zeros: free */
    struct hash128 key; /* under its rule; zeros: no rule matches */
    uint32_t token;
    bool is_dropped;
    bool is_sent; /* the owner has its labels */
};

struct agg_match {
    struct tenant_rules *rules;
    size_t max_bytes;
    struct slot *slots; /* open addressing by fp, at most two thirds full */
    size_t mask, n;
};

void agg_load_done(struct agg_load *l)
{
    vec_done(&l->items);
}

struct agg_match *agg_match_new(struct tenant_rules *rules, size_t cache_bytes)
{
    struct agg_match *m;

    if (!rules->aggregation.n)
        return NULL;
    m = mem_new(struct agg_match);
    snapshot_ref(&rules->snap);
    m->rules = rules;
    m->max_bytes = cache_bytes;
    return m;
}

void agg_match_free(struct agg_match *m)
{
    if (!m)
        return;
    mem_free(m->slots);
    tenant_rules_unref(m->rules);
    mem_free(m);
}

size_t agg_match_bytes(const struct agg_match *m)
{
    return m && m->slots ? (m->mask + 1) * sizeof(*m->slots) : 0;
}

void agg_match_clear(struct agg_match *m)
{
    if (!m)
        return;
    mem_free(m->slots);
    m->slots = NULL;
    m->mask = m->n = 0;
}

/* ---- the cache ---- */

static bool is_zero(struct hash128 h)
{
    return (h.lo | h.hi) == 0;
}

static struct slot *find(const struct agg_match *m, struct hash128 fp)
{
    size_t i = fp.lo & m->mask;

    while (!is_zero(m->slots[i].fp) && !hash128_eq(m->slots[i].fp, fp))
        i = (i + 1) & m->mask;
    return &m->slots[i];
}

static void make_room(struct agg_match *m)
{
    struct slot *old = m->slots;
    size_t n = old ? m->mask + 1 : 0, slots = n ? 2 * n : FIRST_SLOTS;

    if (old && 3 * (m->n + 1) <= 2 * n)
        return;
    if (n && slots * sizeof(*old) > m->max_bytes) {
        memset(old, 0, n * sizeof(*old));
        m->n = 0;
        return;
    }
    m->slots = mem_calloc(slots, sizeof(*old));
    m->mask = slots - 1;
    for (size_t i = 0; i < n; i++)
        if (!is_zero(old[i].fp))
            *find(m, old[i].fp) = old[i];
    mem_free(old);
}

static void judge(struct agg_match *m, const struct push *p, const struct push_series *s,
                  struct slot *slot)
{
    struct arena *a = arena_new(0);
    const struct agg_rule *r;
    struct labels ls;

    *slot = (struct slot){.fp = s->fp};
    if (labels_of_canonical(a, s->labels, &ls) &&
        (r = agg_rules_find(&m->rules->aggregation, ls))) {
        slot->key = agg_rule_key(r, s->fp);
        slot->token = labels_token(p->tenant, agg_rule_place(r, a, agg_rule_group(r, a, ls)));
        slot->is_dropped = r->drops_input;
    }
    arena_free(a);
}

static const struct slot *judged(struct agg_match *m, const struct push *p,
                                 const struct push_series *s)
{
    struct slot *slot;

    make_room(m);
    slot = find(m, s->fp);
    if (is_zero(slot->fp)) {
        judge(m, p, s, slot);
        m->n++;
    }
    return slot;
}

/* ---- times that the head would refuse ---- */

struct agg_times {
    int64_t min_t_ms, max_t_ms; /* both allowed */
    uint64_t *rejected;         /* by reason; NULL: not counted here */
};

static bool is_in_time(const struct agg_times *times, int64_t t_ms)
{
    if (ORR_LIKELY(t_ms >= times->min_t_ms && t_ms <= times->max_t_ms))
        return true;
    if (times->rejected)
        times->rejected[t_ms < times->min_t_ms ? BATCH_TOO_OLD : BATCH_TOO_FAR]++;
    return false;
}

/* x, or a copy without those that are not in time. */
static const struct push_extra *extra_in_time(const struct agg_times *times, struct arena *a,
                                              const struct push_extra *x)
{
    const struct agg_times quiet = {times->min_t_ms, times->max_t_ms, NULL};
    struct push_histogram *histograms;
    struct push_extra *ret;
    struct sample *samples;
    uint32_t in_time = 0;

    for (uint32_t i = 0; i < x->n_samples; i++)
        in_time += is_in_time(&quiet, x->samples[i].t_ms);
    for (uint32_t i = 0; i < x->n_histograms; i++)
        in_time += is_in_time(&quiet, x->histograms[i].t_ms);
    if (ORR_LIKELY(in_time == x->n_samples + x->n_histograms))
        return x;
    ret = arena_alloc(a, sizeof(*ret));
    *ret = *x;
    ret->samples = samples = arena_alloc(a, (x->n_samples + 1) * sizeof(*samples));
    ret->histograms = histograms = arena_alloc(a, (x->n_histograms + 1) * sizeof(*histograms));
    ret->n_samples = ret->n_histograms = 0;
    for (uint32_t i = 0; i < x->n_samples; i++)
        if (is_in_time(times, x->samples[i].t_ms))
            samples[ret->n_samples++] = x->samples[i];
    for (uint32_t i = 0; i < x->n_histograms; i++)
        if (is_in_time(times, x->histograms[i].t_ms))
            histograms[ret->n_histograms++] = x->histograms[i];
    return ret;
}

/* False: nothing of it is left. */
static bool keep_in_time(const struct agg_times *times, struct arena *a, struct push_series *s)
{
    if (!s->extra)
        return is_in_time(times, s->sample.t_ms);
    s->extra = extra_in_time(times, a, s->extra);
    return s->extra->n_samples + s->extra->n_histograms > 0;
}

/* ---- a push ---- */

static void drop(struct push *p, const struct push_series *s, struct fp_cache *known,
                 struct agg_load *ret)
{
    uint64_t samples = s->extra ? s->extra->n_samples : 1;
    uint64_t histograms = s->extra ? s->extra->n_histograms : 0;
    uint64_t exemplars = s->extra ? s->extra->n_exemplars : 0;

    p->samples -= samples;
    p->histograms -= histograms;
    p->exemplars -= exemplars;
    ret->samples += samples;
    ret->histograms += histograms;
    ret->exemplars += exemplars;
    if (!s->is_known)
        fp_cache_add(known, s->fp);
}

static void load(struct push *p, const struct push_series *s, const struct slot *slot,
                 const struct limits_times *limits, struct agg_load *ret)
{
    struct agg_times times = {.min_t_ms = limits->min_t_ms ? limits->min_t_ms : INT64_MIN,
                              .max_t_ms = limits->max_t_ms ? limits->max_t_ms : INT64_MAX,
                              .rejected = slot->is_dropped ? ret->rejected : NULL};
    struct agg_item item = {.s = *s, .token = slot->token};

    if (!keep_in_time(&times, p->arena, &item.s))
        return;
    item.s.fp = slot->key;
    item.s.is_known = slot->is_sent;
    vec_push(&ret->items, item);
}

void agg_match_take(struct agg_match *m, struct push *p, struct fp_cache *known, int64_t now_ms,
                    struct agg_load *ret)
{
    struct limits_times times = limits_times_at(&p->limits, now_ms);
    size_t kept = 0;

    for (size_t i = 0; i < p->series.len; i++) {
        struct push_series *s = &p->series.ptr[i];
        const struct slot *slot = judged(m, p, s);

        if (!is_zero(slot->key))
            load(p, s, slot, &times, ret);
        if (!is_zero(slot->key) && slot->is_dropped)
            drop(p, s, known, ret);
        else
            p->series.ptr[kept++] = *s;
    }
    p->series.len = kept;
}

void agg_match_remember(struct agg_match *m, const struct agg_load *l)
{
    VEC_FOREACH (item, &l->items) {
        struct slot *slot;

        if (item->s.is_known || !m->slots)
            continue;
        slot = find(m, labels_fingerprint_of_canonical(item->s.labels));
        if (!is_zero(slot->fp))
            slot->is_sent = true;
    }
}
