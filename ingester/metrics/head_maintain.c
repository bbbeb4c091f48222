/* What the clock asks of a head: cuts of windows that are past, and checkpoints. */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define SLICE_SERIES 16384u /* looked at per turn on a shard's thread */

struct oldest {
    struct head_tenant *tenant;
    int64_t before_ms;
    size_t at;
    bool found;
};

/* Is there anything before the bound? Stops at the first. */
static bool run_oldest(struct head_shard *sh, void *arg)
{
    struct oldest *o = arg;
    struct head_ts *ts = o->tenant->ts[sh->index];
    struct head_chunks_record rec;
    int64_t min_ms, max_ms;
    bool is_broken;
    size_t end;

    if (!ts)
        return false;
    end = ORR_MIN(o->at + SLICE_SERIES, ts->n_refs);
    for (; o->at < end && !o->found; o->at++) {
        uint32_t ref = (uint32_t)o->at;
        const struct head_ooo *ooo;

        if (!head_ref_is_used(ts, ref))
            continue;
        ooo = head_ooo_find(ts, ref);
        o->found = (ooo && ooo->s[0].t_ms < o->before_ms) ||
                   (head_series_open_range(ts, ref, &min_ms, &max_ms) && min_ms < o->before_ms);
        for (uint64_t pos = head_chunks_widen(&sh->chunks, head_series_at(ts, ref)->sealed);
             !o->found && head_chunks_read_own(&sh->chunks, pos, &rec, &is_broken); pos = rec.prev)
            o->found = rec.min_ms < o->before_ms &&
                       !head_cut_hides(ts->cuts.ptr, ts->cuts.len, pos, rec.max_ms);
    }
    return !o->found && o->at < ts->n_refs;
}

static bool has_data_before(struct head *h, struct head_tenant *t, int64_t before_ms)
{
    struct oldest os[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    bool found = false;

    for (uint32_t i = 0; i < h->n_shards; i++) {
        os[i] = (struct oldest){.tenant = t, .before_ms = before_ms};
        args[i] = &os[i];
    }
    head_call_all(h, run_oldest, args);
    for (uint32_t i = 0; i < h->n_shards; i++)
        found = found || os[i].found;
    return found;
}

static int64_t cut_bound(const struct head *h, struct head_tenant *t, int64_t now_ms)
{
    int64_t ooo = atomic_load_explicit(&t->ooo_window_ms, memory_order_relaxed);

    ooo = ORR_MIN(ORR_MAX(ooo, 0), h->opts.max_ooo_ms);
    return head_window_start(now_ms - ORR_MAX(h->opts.grace_ms, ooo));
}

/* cut_mutex held. Calls a second or less apart are one. */
static void note_rate(struct head_tenant *t, int64_t now_ms)
{
    uint64_t samples = atomic_load_explicit(&t->samples, memory_order_relaxed);
    int64_t took_ms = now_ms - t->rated_ms;

    if (took_ms <= 1000)
        return;
    if (t->rated_ms)
        atomic_store_explicit(
            &t->rate_milli,
            (uint64_t)((double)(samples - t->rated_samples) * 1e6 / (double)took_ms),
            memory_order_relaxed);
    t->rated_samples = samples;
    t->rated_ms = now_ms;
}

struct round {
    struct head *head;
    int64_t now_ms;
    _Atomic size_t segments;
    atomic_bool has_cut;
};

/* A tenant whose cut fails is tried again next time. */
static struct err *maintain_one(void *arg, struct head_tenant *t)
{
    struct round *r = arg;
    int64_t bound = cut_bound(r->head, t, r->now_ms);
    struct err *e;

    if (has_data_before(r->head, t, bound)) {
        atomic_store(&r->has_cut, true);
        if ((e = head_cut_tenant(r->head, t, bound, &r->segments)))
            return e;
    }
    t->maintained_ms = bound;
    return NULL;
}

struct err *head_maintain(struct head *h, int64_t now_ms)
{
    struct round r = {.head = h, .now_ms = now_ms};
    struct head_tenant **list;
    size_t n, due = 0;
    struct err *e;

    if (!head_is_ready(h))
        return NULL;
    list = head_tenant_list(h, &n);
    (void)pthread_mutex_lock(&h->cut_mutex);
    for (size_t i = 0; i < n; i++) {
        note_rate(list[i], now_ms);
        if (cut_bound(h, list[i], now_ms) > list[i]->maintained_ms &&
            atomic_load_explicit(&list[i]->series, memory_order_relaxed))
            list[due++] = list[i];
    }
    e = head_sweep(list, due, maintain_one, &r);
    if (atomic_load(&r.has_cut) ||
        (int64_t)(atomic_load(&h->logged_bytes) - atomic_load(&h->checkpoint_at_bytes)) >=
            h->opts.checkpoint_wal_bytes)
        e = err_first(e, head_checkpoint_locked(h));
    (void)pthread_mutex_unlock(&h->cut_mutex);
    mem_free(list);
    return e;
}
