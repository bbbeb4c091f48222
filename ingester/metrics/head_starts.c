/*
 * Start timestamps of series in the head: runs (common/block/start_runs.h) that are open, until they
 * are many or a cut comes; then they go into the chunk files as chunks of their own (CHUNK_STARTS).
 *
 * Only series that were sent one have any of this (HEAD_STARTS). In such a series every new sample says
 * something, be it that its start is not known: a run of 0, so that the run before it does not reach
 * over it. No run reaches over the end of a 2-hour window, since segments hold one window.
 */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

static struct slice ref_key(const uint32_t *ref)
{
    return slice_of(ref, sizeof(*ref));
}

struct head_starts *head_starts_find(const struct head_ts *ts, uint32_t ref)
{
    return *head_flags_at(ts, ref) & HEAD_STARTS ? map_get(&ts->starts, ref_key(&ref)) : NULL;
}

void head_starts_begin(struct head_ts *ts, uint32_t ref)
{
    if (*head_flags_at(ts, ref) & HEAD_STARTS)
        return;
    map_put(&ts->starts, ref_key(&ref), mem_new(struct head_starts));
    *head_flags_at(ts, ref) |= HEAD_STARTS;
    METRIC_ADD(ts->shard->m.starts_series, 1);
}

void head_starts_drop(struct head_ts *ts, uint32_t ref)
{
    struct head_starts *s = head_starts_find(ts, ref);

    if (!s)
        return;
    (void)map_del(&ts->starts, ref_key(&ref));
    mem_free(s->runs);
    mem_free(s);
    *head_flags_at(ts, ref) &= (uint8_t)~HEAD_STARTS;
    METRIC_ADD(ts->shard->m.starts_series, -1);
}

static void insert(struct head_starts *s, uint32_t at, struct start_run run)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 2;
        s->runs = mem_reallocarray(s->runs, s->cap, sizeof(*s->runs));
    }
    memmove(s->runs + at + 1, s->runs + at, (s->n - at) * sizeof(*s->runs));
    s->runs[at] = run;
    s->n++;
}

/* A sample behind the newest one: it may lie between two runs, or in one, which is then split. */
static void set_old(struct head_starts *s, int64_t t_ms, int64_t st_ms)
{
    uint32_t at = s->n;
    struct start_run rest;

    while (at && s->runs[at - 1].from_ms > t_ms)
        at--;
    if (!at || s->runs[at - 1].to_ms < t_ms) {
        insert(s, at, (struct start_run){t_ms, t_ms, st_ms});
        return;
    }
    if (s->runs[at - 1].st_ms == st_ms)
        return;
    rest = s->runs[at - 1];
    rest.from_ms = t_ms + 1;
    if (rest.from_ms <= rest.to_ms)
        insert(s, at, rest);
    if (s->runs[at - 1].from_ms == t_ms) {
        s->runs[at - 1] = (struct start_run){t_ms, t_ms, st_ms};
        return;
    }
    s->runs[at - 1].to_ms = t_ms - 1;
    insert(s, at, (struct start_run){t_ms, t_ms, st_ms});
}

struct err *head_starts_set(struct head_ts *ts, uint32_t ref, int64_t t_ms, int64_t st_ms)
{
    struct head_starts *s = head_starts_find(ts, ref);
    struct start_run *last = s->n ? &s->runs[s->n - 1] : NULL;
    struct err *e;

    if (last && last->to_ms < t_ms && last->st_ms == st_ms &&
        head_window_start(last->to_ms) == head_window_start(t_ms)) {
        last->to_ms = t_ms;
        return NULL;
    }
    if (s->n >= HEAD_STARTS_MAX && (e = head_starts_close(ts, ref)))
        return e;
    if (!s->n || s->runs[s->n - 1].to_ms < t_ms)
        insert(s, s->n, (struct start_run){t_ms, t_ms, st_ms});
    else
        set_old(s, t_ms, st_ms);
    return NULL;
}

void head_starts_load(struct head_ts *ts, uint32_t ref, struct start_run run)
{
    struct head_starts *s = head_starts_find(ts, ref);

    insert(s, s->n, run);
}

bool head_starts_knows(const struct head_ts *ts, uint32_t ref, int64_t t_ms)
{
    const struct head_starts *s = head_starts_find(ts, ref);

    return s && s->n && s->runs[s->n - 1].from_ms <= t_ms && s->runs[s->n - 1].to_ms >= t_ms;
}

/* One chunk for each window. */
struct err *head_starts_close(struct head_ts *ts, uint32_t ref)
{
    struct head_starts *s = head_starts_find(ts, ref);
    struct arena *a;
    struct err *e = NULL;
    uint32_t from = 0, n;

    if (!s || !s->n)
        return NULL;
    a = arena_new(0);
    for (; from < s->n; from += n) {
        int64_t window = head_window_start(s->runs[from].from_ms);
        struct chunk c;

        for (n = 1; from + n < s->n && head_window_start(s->runs[from + n].from_ms) == window; n++)
            ;
        if (start_runs_chunk(a, s->runs + from, n, &c) &&
            (e = head_series_store(ts, ref, c.min_t, c.max_t, CHUNK_STARTS, 0, c.data)))
            break;
    }
    arena_free(a);
    memmove(s->runs, s->runs + from, (s->n - from) * sizeof(*s->runs)); /* the rest was stored */
    s->n -= from;
    return e;
}
