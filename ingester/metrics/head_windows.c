/*
 * Which 2-hour windows a tenant has samples of in the head. Each of them becomes a segment, and a
 * block, of its own: a tenant's limit of them keeps one push from making thousands.
 *
 * The window of the clock, the one before and the one after are always taken.
 *
 * A shard knows the windows of its part; the tenant counts those that any of its shards has. Samples
 * that come while a cut writes what it took keep their window.
 */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

static struct head_window *find(const struct head_ts *ts, int64_t start_ms)
{
    VEC_FOREACH (w, &ts->windows)
        if (w->start_ms == start_ms)
            return w;
    return NULL;
}

/* With the head's lock held. */
static struct head_tenant_window *find_shared(const struct head_tenant *t, int64_t start_ms)
{
    VEC_FOREACH (w, &t->windows)
        if (w->start_ms == start_ms)
            return w;
    return NULL;
}

/* What is written now always has its window: old ones must not lock it out. */
static bool is_of_now(const struct head *h, int64_t start_ms)
{
    int64_t now_ms = head_window_start(clock_wall_ms(h->opts.clock));

    return start_ms >= now_ms - HEAD_WINDOW_MS && start_ms <= now_ms + HEAD_WINDOW_MS;
}

bool head_window_fits(struct head_ts *ts, int64_t t_ms, uint32_t max)
{
    int64_t start_ms = head_window_start(t_ms);
    struct head_window *w = find(ts, start_ms);
    struct head *h = ts->shard->head;
    bool fits;

    if (w) {
        w->is_touched = true;
        ts->window_ms = start_ms;
        return true;
    }
    if (!max || is_of_now(h, start_ms))
        return true;
    lock_take(&h->lock);
    fits = ts->tenant->windows.len < max || find_shared(ts->tenant, start_ms);
    lock_release(&h->lock);
    return fits;
}

void head_window_note(struct head_ts *ts, int64_t t_ms)
{
    int64_t start_ms = head_window_start(t_ms);
    struct head_window *w = find(ts, start_ms);
    struct head *h = ts->shard->head;
    struct head_tenant_window *shared;

    ts->window_ms = start_ms;
    if (w) {
        w->is_touched = true;
        return;
    }
    vec_push(&ts->windows, ((struct head_window){start_ms, true}));
    lock_take(&h->lock);
    if ((shared = find_shared(ts->tenant, start_ms)))
        shared->shards++;
    else
        vec_push(&ts->tenant->windows, ((struct head_tenant_window){start_ms, 1}));
    lock_release(&h->lock);
}

void head_windows_begin_cut(struct head_ts *ts)
{
    VEC_FOREACH (w, &ts->windows)
        w->is_touched = false;
    ts->window_ms = HEAD_NO_TIME;
}

/* With the head's lock held. */
static void let_go(struct head_tenant *t, int64_t start_ms)
{
    struct head_tenant_window *w = find_shared(t, start_ms);

    if (w && --w->shards == 0)
        vec_remove_swap(&t->windows, (size_t)(w - t->windows.ptr));
}

void head_windows_end_cut(struct head_ts *ts, int64_t up_to_ms)
{
    struct head *h = ts->shard->head;
    size_t kept = 0;

    lock_take(&h->lock);
    VEC_FOREACH (w, &ts->windows) {
        /* its last ms lies before the bound */
        if (!w->is_touched && w->start_ms < up_to_ms &&
            (uint64_t)up_to_ms - (uint64_t)w->start_ms >= HEAD_WINDOW_MS)
            let_go(ts->tenant, w->start_ms);
        else
            ts->windows.ptr[kept++] = *w;
    }
    lock_release(&h->lock);
    ts->windows.len = kept;
    ts->window_ms = HEAD_NO_TIME;
}

void head_windows_forget(struct head_ts *ts)
{
    struct head *h = ts->shard->head;

    lock_take(&h->lock);
    VEC_FOREACH (w, &ts->windows)
        let_go(ts->tenant, w->start_ms);
    lock_release(&h->lock);
    vec_done(&ts->windows);
}
