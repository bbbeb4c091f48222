/*
 * Segments: which frames compactors take together, and how they go.
 *
 *   growing ─ its window is over, or a cut ─▶ closed ─ the last of its frames is written ─▶ cut ─ a block has it ─▶ gone
 *
 * A shard's thread joins a generation to its tenant's growing segment of the window when it closes it, so what is closed
 * before a cut is in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"
#include "ingester/metrics/dropped_by.h"

int64_t loghead_window(int64_t t_ms)
{
    int64_t rest = t_ms % LOGHEAD_WINDOW_MS;

    return t_ms - (rest < 0 ? rest + LOGHEAD_WINDOW_MS : rest);
}

/* ---- opening ---- */

struct err *logsegments_open(struct loghead *h)
{
    struct logsegments *sg = mem_new(struct logsegments);
    char *dir = mem_printf("%s/dropped-by", h->dir);
    struct err *e;

    h->segments = sg;
    lock_init(&sg->lock, LOCK_LEAF_MODULE);
    rng_seed_system(&sg->rng);
    e = dropped_by_open(dir, &sg->dropped_by);
    mem_free(dir);
    return e;
}

static void segment_free(struct logsegment *g)
{
    VEC_FOREACH (s, &g->frames)
        logsealed_unref(*s);
    vec_done(&g->frames);
    mem_free(g);
}

void logsegments_close(struct loghead *h)
{
    struct logsegments *sg = h->segments;

    if (!sg)
        return;
    VEC_FOREACH (g, &sg->all)
        segment_free(*g);
    vec_done(&sg->all);
    dropped_by_close(sg->dropped_by);
    lock_done(&sg->lock);
    mem_free(sg);
    h->segments = NULL;
}

/* ---- growing ---- */

static struct logsegment *add_segment(struct logsegments *sg, struct logtenant *t, struct ulid id,
                                      int64_t window_ms)
{
    struct logsegment *g = mem_new(struct logsegment);

    *g = (struct logsegment){.id = id, .tenant = t, .window_ms = window_ms, .refs = 1};
    vec_push(&sg->all, g);
    vec_push(&t->segments, g);
    return g;
}

static struct ulid new_id(struct loghead *h)
{
    uint64_t random[2] = {rng_u64(&h->segments->rng), rng_u64(&h->segments->rng)};

    return ulid_make(clock_wall_ms(h->opts.clock), (const uint8_t *)random);
}

struct logsegment *logsegment_join(struct logtenant *t, struct loghead *h, int64_t window_ms,
                                   uint32_t *ret_number)
{
    struct logsegments *sg = h->segments;
    struct logsegment *g = NULL;

    lock_take(&sg->lock);
    VEC_FOREACH (x, &t->segments)
        if ((*x)->is_growing && (*x)->window_ms == window_ms)
            g = *x;
    if (!g) {
        g = add_segment(sg, t, new_id(h), window_ms);
        g->is_growing = true;
    }
    *ret_number = ++g->numbers;
    g->awaited++;
    lock_release(&sg->lock);
    return g;
}

static void take_frame(struct logsegment *g, struct logsealed *s)
{
    logsealed_ref(s);
    vec_push(&g->frames, s);
    g->streams += s->frame.head.n_streams;
    g->entries += s->frame.head.entries;
    g->bytes += s->frame.bytes.len;
}

void logsegment_add(struct loghead *h, struct logsegment *g, struct logsealed *s)
{
    lock_take(&h->segments->lock);
    ORR_ASSERT(g->awaited > 0 && !g->is_cut);
    g->awaited--;
    take_frame(g, s);
    lock_release(&h->segments->lock);
}

void logsegment_found(struct loghead *h, struct logtenant *t, struct logsealed *s)
{
    struct logsegments *sg = h->segments;
    struct logsegment *g = NULL;

    lock_take(&sg->lock);
    VEC_FOREACH (x, &t->segments)
        if (ulid_eq((*x)->id, s->frame.head.segment))
            g = *x;
    if (!g)
        g = add_segment(sg, t, s->frame.head.segment, s->frame.head.window_ms);
    take_frame(g, s);
    lock_release(&sg->lock);
}

/* ---- cutting ---- */

static int cmp_frame(const void *a, const void *b)
{
    const struct logsealed *x = *(struct logsealed *const *)a, *y = *(struct logsealed *const *)b;

    return (x->frame.head.number > y->frame.head.number) -
           (x->frame.head.number < y->frame.head.number);
}

/* Under the lock. */
static void set_cut(struct loghead *h, struct logsegment *g)
{
    struct ulid_text id = ulid_print(g->id);

    if (g->frames.len > 1)
        qsort(g->frames.ptr, g->frames.len, sizeof(*g->frames.ptr), cmp_frame);
    g->is_cut = true;
    g->cut_ms =
        ORR_MIN(clock_wall_ms(h->opts.clock), g->window_ms + LOGHEAD_WINDOW_MS + h->opts.grace_ms);
    METRIC_ADD(h->m.segments_cut, 1);
    METRIC_ADD(h->m.segments, 1);
    METRIC_ADD(h->m.segment_bytes, (int64_t)g->bytes);
    LOG_INFO(head, "segment of log lines cut", KV_STR("tenant", g->tenant->id),
             KV_STR("block", id.s), KV_U64("samples", g->entries), KV_I64("min_ms", g->window_ms),
             KV_U64("bytes", g->bytes));
}

size_t loghead_cut_due(struct loghead *h)
{
    struct logsegments *sg = h->segments;
    int64_t now_ms = clock_wall_ms(h->opts.clock);
    size_t n = 0;

    if (!loghead_is_ready(h))
        return 0;
    lock_take(&sg->lock);
    VEC_FOREACH (x, &sg->all) {
        struct logsegment *g = *x;

        if (g->is_cut || now_ms - g->window_ms - LOGHEAD_WINDOW_MS < h->opts.grace_ms)
            continue;
        g->is_growing = false;
        if (g->awaited)
            continue;
        set_cut(h, g);
        n++;
    }
    lock_release(&sg->lock);
    return n;
}

static bool run_close(struct logshard *sh, void *arg)
{
    const struct slice *tenant = arg;

    VEC_FOREACH (tb, &sh->tables)
        if (!tenant->len || slice_eq((*tb)->tenant->slice, *tenant))
            logtable_close_open(*tb);
    return false;
}

static bool run_seal_error(struct logshard *sh, void *arg)
{
    if (sh->seal_error)
        *(struct err **)arg = err_copy(sh->seal_error);
    return false;
}

/* What keeps frames from being written; NULL: nothing. */
static struct err *seal_trouble(struct loghead *h)
{
    struct err *errs[LOGHEAD_MAX_SHARDS] = {0}, *e = NULL;

    logshard_call_all(h, run_seal_error, errs, sizeof(*errs));
    for (uint32_t i = 0; i < h->n_shards; i++)
        e = err_first(e, errs[i]);
    return e;
}

struct closing {
    VEC(struct logsegment *) list; /* referenced */
};

static void close_segments(struct logsegments *sg, struct slice tenant, struct closing *ret)
{
    lock_take(&sg->lock);
    VEC_FOREACH (x, &sg->all) {
        struct logsegment *g = *x;

        if (g->is_cut || (tenant.len && !slice_eq(tenant, g->tenant->slice)))
            continue;
        g->is_growing = false;
        g->refs++;
        vec_push(&ret->list, g);
    }
    lock_release(&sg->lock);
}

/* Cuts those that have all their frames; true: that are all. */
static bool cut_complete(struct loghead *h, struct closing *c, size_t *io_n)
{
    bool are_all = true;

    lock_take(&h->segments->lock);
    VEC_FOREACH (x, &c->list) {
        struct logsegment *g = *x;

        if (g->is_cut)
            continue;
        if (g->awaited) {
            are_all = false;
        } else {
            set_cut(h, g);
            ++*io_n;
        }
    }
    lock_release(&h->segments->lock);
    return are_all;
}

void logsegment_unref(struct loghead *h, struct logsegment *g)
{
    bool is_last;

    lock_take(&h->segments->lock);
    is_last = --g->refs == 0;
    lock_release(&h->segments->lock);
    if (is_last)
        segment_free(g);
}

struct err *loghead_cut(struct loghead *h, struct slice tenant, size_t *ret_segments)
{
    struct closing c = {0};
    size_t n = 0;
    struct err *e;

    if (!loghead_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the log of log lines is still being read back");
    if ((e = loghead_maintain(h))) /* what failed before is tried again */
        return e;
    logshard_call_all(h, run_close, &tenant, 0);
    close_segments(h->segments, tenant, &c);
    while (!e && !cut_complete(h, &c, &n)) {
        if (atomic_load(&h->is_closing))
            e = err_new(ERR_UNAVAILABLE, "the ingester is closing");
        else if (!(e = seal_trouble(h)))
            (void)usleep(1000);
    }
    VEC_FOREACH (g, &c.list)
        logsegment_unref(h, *g);
    vec_done(&c.list);
    if (ret_segments)
        *ret_segments = n;
    return e ? err_wrap(e, "cut log lines") : loghead_maintain(h);
}

/* ---- listing and reading ---- */

static void fill_row(const struct logsegment *g, struct loghead_segment *ret)
{
    struct ulid_text id = ulid_print(g->id);

    *ret = (struct loghead_segment){.min_ms = g->window_ms,
                                    .max_ms = g->window_ms + LOGHEAD_WINDOW_MS,
                                    .streams = g->streams,
                                    .entries = g->entries,
                                    .bytes = g->bytes,
                                    .frames = (uint32_t)g->frames.len,
                                    .cut_ms = g->cut_ms};
    (void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", g->tenant->id);
    memcpy(ret->ulid, id.s, sizeof(ret->ulid));
}

static int cmp_row(const void *a, const void *b)
{
    const struct loghead_segment *x = a, *y = b;
    int c = strcmp(x->tenant, y->tenant);

    if (c)
        return c;
    if (x->min_ms != y->min_ms)
        return x->min_ms < y->min_ms ? -1 : 1;
    return strcmp(x->ulid, y->ulid);
}

void loghead_segments(struct loghead *h, struct loghead_segment **ret, size_t *ret_n)
{
    struct logsegments *sg = h->segments;
    size_t n = 0;

    lock_take(&sg->lock);
    *ret = mem_new_array(struct loghead_segment, sg->all.len + 1);
    VEC_FOREACH (g, &sg->all)
        if ((*g)->is_cut)
            fill_row(*g, &(*ret)[n++]);
    lock_release(&sg->lock);
    qsort(*ret, n, sizeof(**ret), cmp_row);
    *ret_n = n;
}

struct err *logsegment_not_found(struct slice tenant, struct slice ulid)
{
    return err_new(ERR_NOT_FOUND, "no segment %.*s of log lines of tenant %.*s", SLICE_ARG(ulid),
                   SLICE_ARG(tenant));
}

/* Compactors may know one from before a restart: then it is asked for before it is cut. */
static bool may_be_taken(struct loghead *h, struct logsegment *g)
{
    if (!g->is_cut && !g->is_growing && !g->awaited && loghead_is_ready(h))
        set_cut(h, g);
    return g->is_cut;
}

struct logsegment *logsegment_find(struct loghead *h, struct slice tenant, struct slice ulid)
{
    struct logtenant *t = loghead_tenant_find(h, tenant);
    struct logsegment *g = NULL;
    struct ulid id;

    if (!t || !ulid_parse(ulid, &id))
        return NULL;
    lock_take(&h->segments->lock);
    VEC_FOREACH (x, &t->segments)
        if (ulid_eq((*x)->id, id))
            g = *x;
    if (g && !may_be_taken(h, g))
        g = NULL;
    if (g)
        g->refs++;
    lock_release(&h->segments->lock);
    return g;
}

struct err *loghead_segment_pin(struct loghead *h, struct slice tenant, struct slice ulid,
                                struct loghead_segment *ret)
{
    struct logsegment *g = logsegment_find(h, tenant, ulid);

    if (!g)
        return logsegment_not_found(tenant, ulid);
    fill_row(g, ret);
    ret->pin = g;
    return NULL;
}

void loghead_segment_unpin(struct loghead *h, const struct loghead_segment *pinned)
{
    logsegment_unref(h, pinned->pin);
}

bool loghead_segment_frame(const struct loghead_segment *pinned, size_t i, uint32_t *ret_number,
                           struct slice *ret_bytes)
{
    const struct logsegment *g = pinned->pin;

    if (i >= g->frames.len)
        return false;
    *ret_number = g->frames.ptr[i]->frame.head.number;
    *ret_bytes = g->frames.ptr[i]->frame.bytes;
    return true;
}
