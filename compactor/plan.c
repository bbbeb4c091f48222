#include "compactor/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/ring/quorum.h"

#define FORGET_MS 3600000ll /* what was not listed for so long is forgotten */
#define MAX_DOUBLINGS 20
#define SAME_CUT_MS 60000 /* segments of one ingester made within this time come from one cut */

/* What is remembered of a segment from round to round. */
struct seg_memory {
    int64_t first_ms, listed_ms;
    int64_t cut_ms;              /* Unix */
    int64_t named_ms;            /* when first seen named; -1: not yet */
    int64_t quarantined_till_ms; /* 0: it is not */
    bool is_early;               /* see plan.h */
};

struct window_memory {
    unsigned failures;
    int64_t next_ms, touched_ms;
};

/* One listing of a segment by one ingester, in this round. */
struct listed {
    struct plan_segment seg;
    unsigned position;
    int64_t window_ms;
    struct seg_memory *memory;
    enum plan_named named;
};

struct plan {
    struct plan_opts opts;
    struct map segments; /* "tenant/ULID" → struct seg_memory */
    struct map windows;  /* "tenant/window" → struct window_memory */
    int64_t now_ms, next_ms;
    const struct ring_read_set *set;
    struct quorum_read quorum;
    bool *leaving;          /* per position */
    bool *has;              /* per position, of the window at hand */
    struct buf last_tenant; /* of the newest round's last job: the next round begins behind it */
    struct arena *arena;
    VEC(struct listed) listed;
    VEC(struct plan_job) jobs;
    VEC(struct plan_drop) drops;
    VEC(struct plan_row) rows;
};

static const char *const wait_texts[] = {
#define X(sym, text) text,
    PLAN_WAITS(X)
#undef X
};

const char *plan_wait_text(enum plan_wait w)
{
    return wait_texts[w];
}

/* ---- life ---- */

struct plan *plan_new(const struct plan_opts *opts)
{
    struct plan *p = mem_new(struct plan);

    p->opts = *opts;
    p->next_ms = INT64_MAX;
    p->arena = arena_new(0);
    return p;
}

void plan_set_opts(struct plan *p, const struct plan_opts *opts)
{
    p->opts = *opts;
}

static void end_round(struct plan *p)
{
    if (p->set)
        quorum_read_done(&p->quorum);
    p->set = NULL;
    mem_free(p->leaving);
    mem_free(p->has);
    p->leaving = p->has = NULL;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    end_round(p);
    MAP_FOREACH (en, &p->segments)
        mem_free(en->value);
    MAP_FOREACH (en, &p->windows)
        mem_free(en->value);
    map_done(&p->segments);
    map_done(&p->windows);
    arena_free(p->arena);
    buf_done(&p->last_tenant);
    vec_done(&p->listed);
    vec_done(&p->jobs);
    vec_done(&p->drops);
    vec_done(&p->rows);
    mem_free(p);
}

/* ---- keys ---- */

struct key {
    char text[256];
    size_t len;
};

static struct slice key_slice(const struct key *k)
{
    return slice_of(k->text, k->len);
}

static struct key key_of_window(struct slice tenant, int64_t window_ms)
{
    struct key k;
    int n = snprintf(k.text, sizeof(k.text), "%.*s/%lld", SLICE_ARG(tenant), (long long)window_ms);

    k.len = (size_t)ORR_MIN(n, (int)sizeof(k.text) - 1);
    return k;
}

static struct key key_of_segment(struct slice tenant, struct ulid ulid)
{
    struct key k;
    int n = snprintf(k.text, sizeof(k.text), "%.*s/%s", SLICE_ARG(tenant), ulid_print(ulid).s);

    k.len = (size_t)ORR_MIN(n, (int)sizeof(k.text) - 1);
    return k;
}

int64_t plan_window(int64_t min_ms)
{
    int64_t rest = min_ms % PLAN_WINDOW_MS;

    return min_ms - rest - (rest < 0 ? PLAN_WINDOW_MS : 0);
}

uint32_t plan_key(struct slice tenant, int64_t window_ms)
{
    struct key k = key_of_window(tenant, window_ms);

    return ring_key(key_slice(&k));
}

/* ---- what was said ---- */

void plan_begin(struct plan *p, int64_t now_ms, const struct ring_read_set *set)
{
    end_round(p);
    arena_reset(p->arena);
    vec_clear(&p->listed);
    vec_clear(&p->jobs);
    vec_clear(&p->drops);
    vec_clear(&p->rows);
    p->now_ms = now_ms;
    p->next_ms = INT64_MAX;
    p->set = set;
    quorum_read_init(&p->quorum, set);
    p->leaving = mem_new_array(bool, set->n + 1);
    p->has = mem_new_array(bool, set->n + 1);
}

void plan_answer(struct plan *p, unsigned position, bool is_leaving)
{
    (void)quorum_read_ok(&p->quorum, position);
    if (position < p->set->n)
        p->leaving[position] = is_leaving;
}

static struct seg_memory *remember(struct plan *p, const struct plan_segment *seg)
{
    struct key k = key_of_segment(seg->tenant, seg->ulid);
    void **slot = map_slot(&p->segments, key_slice(&k));
    struct seg_memory *m = *slot;

    if (!m) {
        *slot = m = mem_new(struct seg_memory);
        m->first_ms = p->now_ms;
        m->cut_ms = seg->cut_ms ? seg->cut_ms : ulid_time_ms(seg->ulid);
        m->named_ms = -1;
    }
    m->listed_ms = p->now_ms;
    return m;
}

void plan_segment(struct plan *p, unsigned position, const struct plan_segment *seg)
{
    struct listed *l;

    if (position >= p->set->n)
        return;
    l = vec_add(&p->listed);
    l->seg = *seg;
    l->position = position;
    l->window_ms = plan_window(seg->min_ms);
    l->memory = remember(p, seg);
}

/* By window, tenant, ulid, position: windows are groups, oldest first. */
static int cmp_listed(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    int c;

    if (x->window_ms != y->window_ms)
        return x->window_ms < y->window_ms ? -1 : 1;
    if ((c = slice_cmp(x->seg.tenant, y->seg.tenant)))
        return c;
    if ((c = ulid_cmp(x->seg.ulid, y->seg.ulid)))
        return c;
    return (x->position > y->position) - (x->position < y->position);
}

static bool is_same_window(const struct listed *a, const struct listed *b)
{
    return a->window_ms == b->window_ms && slice_eq(a->seg.tenant, b->seg.tenant);
}

/* ---- the window at hand: n listings ---- */

static void wake_at(struct plan *p, int64_t ms)
{
    if (ms > p->now_ms && ms < p->next_ms)
        p->next_ms = ms;
}

static void add_drop(struct plan *p, struct slice tenant, const struct listed *l)
{
    struct seg_memory *m = l->memory;

    if (m->named_ms < 0)
        m->named_ms = p->now_ms;
    if (p->now_ms < m->named_ms + p->opts.drop_delay_ms) {
        wake_at(p, m->named_ms + p->opts.drop_delay_ms);
        return;
    }
    vec_push(&p->drops, ((struct plan_drop){tenant, l->seg.ulid, l->position}));
}

struct group {
    const struct listed *at;
    size_t n;
    struct slice tenant;     /* in the plan's arena */
    int64_t first_ms;        /* when the first pending one was seen */
    bool all_have, is_early; /* see plan.h */
    struct window_memory *memory;
};

static bool is_quarantined(const struct plan *p, const struct listed *l)
{
    return l->memory->quarantined_till_ms > p->now_ms;
}

/* Sums the group up in row; PLAN_UNKNOWN anywhere makes it wait for the catalogue. */
static void look_over(struct plan *p, struct group *g, struct plan_row *row)
{
    size_t holders = 0;
    bool is_unknown = false;

    memset(p->has, 0, p->set->n);
    g->first_ms = INT64_MAX;
    row->oldest_ms = INT64_MAX;
    for (size_t i = 0; i < g->n; i++) {
        const struct listed *l = &g->at[i];

        holders += !p->has[l->position];
        p->has[l->position] = true;
        is_unknown |= l->named == PLAN_UNKNOWN;
        if (l->named == PLAN_NAMED) {
            row->named++;
        } else if (is_quarantined(p, l)) {
            row->quarantined++;
            wake_at(p, l->memory->quarantined_till_ms);
        } else {
            row->pending++;
            row->bytes += l->seg.bytes;
            row->oldest_ms = ORR_MIN(row->oldest_ms, l->memory->cut_ms);
            g->first_ms = ORR_MIN(g->first_ms, l->memory->first_ms);
            g->is_early |= l->memory->is_early || p->leaving[l->position];
        }
    }
    g->all_have = holders == p->set->n;
    if (row->pending == 0)
        row->oldest_ms = 0;
    row->wait = is_unknown ? PLAN_WAITS_FOR_CATALOGUE : PLAN_READY;
}

static enum plan_wait judge(struct plan *p, const struct group *g, const struct plan_row *row)
{
    int64_t wait_ms = g->is_early ? p->opts.early_wait_ms : p->opts.flush_wait_ms;

    if (row->wait != PLAN_READY)
        return row->wait;
    if (row->pending == 0)
        return PLAN_WAITS_IN_QUARANTINE;
    if (g->memory && p->now_ms < g->memory->next_ms) {
        wake_at(p, g->memory->next_ms);
        return PLAN_WAITS_FOR_RETRY;
    }
    if (p->quorum.verdict != QUORUM_OK)
        return PLAN_WAITS_FOR_ANSWERS;
    if (!g->all_have && p->now_ms < g->first_ms + wait_ms) {
        wake_at(p, g->first_ms + wait_ms);
        return PLAN_WAITS_FOR_OTHERS;
    }
    return PLAN_READY;
}

static void add_job(struct plan *p, const struct group *g, size_t max_inputs)
{
    struct plan_input *in = arena_array(p->arena, struct plan_input, max_inputs);
    size_t n = 0;

    for (size_t i = 0; i < g->n && n < PLAN_MAX_INPUTS; i++) {
        const struct listed *l = &g->at[i];

        if (l->named != PLAN_PENDING || is_quarantined(p, l))
            continue;
        if (n && ulid_eq(in[n - 1].ulid, l->seg.ulid))
            continue; /* one segment listed by two: any of them will do */
        in[n++] = (struct plan_input){l->seg.ulid,   l->position,   l->seg.min_ms,
                                      l->seg.max_ms, l->seg.series, l->seg.bytes};
    }
    vec_push(&p->jobs, ((struct plan_job){g->tenant, g->at->window_ms, in, n}));
}

static void plan_group(struct plan *p, const struct listed *at, size_t n)
{
    struct key k = key_of_window(at->seg.tenant, at->window_ms);
    struct group g = {.at = at, .n = n, .tenant = arena_dup(p->arena, at->seg.tenant)};
    struct plan_row row = {.tenant = g.tenant, .window_ms = at->window_ms};

    g.memory = map_get(&p->windows, key_slice(&k));
    look_over(p, &g, &row);
    for (size_t i = 0; i < n; i++)
        if (at[i].named == PLAN_NAMED)
            add_drop(p, g.tenant, &at[i]);
    if (g.memory) {
        g.memory->touched_ms = p->now_ms;
        row.failures = g.memory->failures;
    }
    if (row.pending == 0 && row.quarantined == 0)
        return;
    row.wait = judge(p, &g, &row);
    if (row.wait == PLAN_READY)
        add_job(p, &g, row.pending);
    vec_push(&p->rows, row);
}

/* ---- cuts before their time ---- */

static struct key key_of_holder(const struct listed *l)
{
    return key_of_window(l->seg.tenant, l->position);
}

static bool is_cut_early(const struct plan *p, const struct listed *l)
{
    return l->memory->cut_ms < l->seg.max_ms + p->opts.grace_ms;
}

/* Notes the time of the last cut of each tenant and ingester that took a window before its time; what
 * else it made then was cut by command too. */
static void mark_early(struct plan *p)
{
    struct map cuts = {0};

    VEC_FOREACH (l, &p->listed) {
        struct key k = key_of_holder(l);
        int64_t **slot;

        if (!is_cut_early(p, l))
            continue;
        slot = (int64_t **)map_slot(&cuts, key_slice(&k));
        if (!*slot)
            *slot = arena_new_of(p->arena, int64_t);
        **slot = ORR_MAX(**slot, l->memory->cut_ms);
    }
    VEC_FOREACH (l, &p->listed) {
        struct key k = key_of_holder(l);
        const int64_t *at = map_get(&cuts, key_slice(&k));

        l->memory->is_early |= at && llabs(l->memory->cut_ms - *at) <= SAME_CUT_MS;
    }
    map_done(&cuts);
}

/* ---- fairness ---- */

struct turn {
    struct plan_job job;
    size_t nth;       /* of its tenant's jobs, oldest window first */
    bool is_next_lap; /* its tenant is not behind the last one served */
};

static int cmp_turn(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    int c;

    if (x->nth != y->nth)
        return x->nth < y->nth ? -1 : 1;
    if (x->is_next_lap != y->is_next_lap)
        return x->is_next_lap ? 1 : -1;
    if ((c = slice_cmp(x->job.tenant, y->job.tenant)))
        return c;
    return (x->job.window_ms > y->job.window_ms) - (x->job.window_ms < y->job.window_ms);
}

/* One job of each tenant, then the second of each ...; what is beyond the bounds waits for the next
 * round, which comes at once and goes on with the next tenant. */
static void take_turns(struct plan *p)
{
    struct turn *turns = arena_array(p->arena, struct turn, p->jobs.len + 1);
    struct map counts = {0}; /* tenant → jobs seen */
    size_t n = 0;

    for (size_t i = 0; i < p->jobs.len; i++) {
        void **count = map_slot(&counts, p->jobs.ptr[i].tenant);

        turns[i] = (struct turn){p->jobs.ptr[i], (uintptr_t)*count,
                                 slice_cmp(p->jobs.ptr[i].tenant, buf_slice(&p->last_tenant)) <= 0};
        *count = (void *)((uintptr_t)*count + 1);
    }
    map_done(&counts);
    qsort(turns, p->jobs.len, sizeof(*turns), cmp_turn);
    while (n < p->jobs.len && n < PLAN_MAX_JOBS && turns[n].nth < PLAN_MAX_TENANT_JOBS) {
        p->jobs.ptr[n] = turns[n].job;
        n++;
    }
    if (n < p->jobs.len)
        p->next_ms = p->now_ms;
    p->jobs.len = n;
    if (p->jobs.len) {
        buf_reset(&p->last_tenant);
        buf_slice_append(&p->last_tenant, vec_last(&p->jobs).tenant);
    }
}

/* ---- forgetting ---- */

static void forget_segments(struct plan *p)
{
    VEC(struct slice) old = {0};

    MAP_FOREACH (en, &p->segments)
        if (((struct seg_memory *)en->value)->listed_ms < p->now_ms - FORGET_MS)
            vec_push(&old, arena_dup(p->arena, en->key));
    VEC_FOREACH (key, &old)
        mem_free(map_del(&p->segments, *key));
    vec_done(&old);
}

static void forget_windows(struct plan *p)
{
    VEC(struct slice) old = {0};

    MAP_FOREACH (en, &p->windows)
        if (((struct window_memory *)en->value)->touched_ms < p->now_ms - FORGET_MS)
            vec_push(&old, arena_dup(p->arena, en->key));
    VEC_FOREACH (key, &old)
        mem_free(map_del(&p->windows, *key));
    vec_done(&old);
}

void plan_end(struct plan *p, plan_named_fn *named, void *arg)
{
    size_t n;

    if (p->listed.len)
        qsort(p->listed.ptr, p->listed.len, sizeof(*p->listed.ptr), cmp_listed);
    mark_early(p);
    VEC_FOREACH (l, &p->listed)
        l->named = named(arg, l->seg.tenant, l->seg.ulid);
    for (size_t i = 0; i < p->listed.len; i += n) {
        const struct listed *at = &p->listed.ptr[i];

        for (n = 1; i + n < p->listed.len && is_same_window(at, at + n); n++)
            ;
        plan_group(p, at, n);
    }
    take_turns(p);
    vec_clear(&p->listed);
    forget_segments(p);
    forget_windows(p);
    end_round(p);
}

/* ---- the plan, and how it went ---- */

const struct plan_job *plan_jobs(const struct plan *p, size_t *ret_n)
{
    *ret_n = p->jobs.len;
    return p->jobs.ptr;
}

const struct plan_drop *plan_drops(const struct plan *p, size_t *ret_n)
{
    *ret_n = p->drops.len;
    return p->drops.ptr;
}

const struct plan_row *plan_rows(const struct plan *p, size_t *ret_n)
{
    *ret_n = p->rows.len;
    return p->rows.ptr;
}

int64_t plan_next_ms(const struct plan *p)
{
    return p->next_ms;
}

void plan_flushed(struct plan *p, const struct plan_job *job, int64_t now_ms)
{
    struct key k = key_of_window(job->tenant, job->window_ms);

    mem_free(map_del(&p->windows, key_slice(&k)));
    for (size_t i = 0; i < job->n; i++) {
        struct key sk = key_of_segment(job->tenant, job->inputs[i].ulid);
        struct seg_memory *m = map_get(&p->segments, key_slice(&sk));

        if (m && m->named_ms < 0)
            m->named_ms = now_ms;
    }
    if (now_ms + p->opts.drop_delay_ms < p->next_ms)
        p->next_ms = now_ms + p->opts.drop_delay_ms;
}

void plan_failed(struct plan *p, const struct plan_job *job, int64_t now_ms)
{
    struct key k = key_of_window(job->tenant, job->window_ms);
    void **slot = map_slot(&p->windows, key_slice(&k));
    struct window_memory *m = *slot;
    int64_t wait = p->opts.retry_min_ms;

    if (!m)
        *slot = m = mem_new(struct window_memory);
    for (unsigned i = 0; i < m->failures && i < MAX_DOUBLINGS && wait < p->opts.retry_max_ms; i++)
        wait *= 2;
    m->failures++;
    m->touched_ms = now_ms;
    m->next_ms = now_ms + ORR_MIN(wait, p->opts.retry_max_ms);
    if (m->next_ms < p->next_ms)
        p->next_ms = m->next_ms;
}

void plan_quarantine(struct plan *p, struct slice tenant, struct ulid segment, int64_t now_ms)
{
    struct key k = key_of_segment(tenant, segment);
    struct seg_memory *m = map_get(&p->segments, key_slice(&k));

    if (m)
        m->quarantined_till_ms = now_ms + p->opts.quarantine_ms;
}
