/*
 * Segments: which frames compactors take together, and how they go.
 *
 *   growing ─ its window is over, or a cut ─▶ closed ─ the last of its frames is written ─▶ cut ─ a block has it ─▶ gone
 *
 * A shard's thread joins a generation to its tenant's growing segment of the window when it closes it, so what is closed
 * before a cut is in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "ingester/logs/loghead_internal.h"
#include "ingester/metrics/dropped_by.h"

struct logsegment { /* under the lock; frames do not change any more once it is cut */
    struct ulid id;
    struct logtenant *tenant;
    int64_t window_ms, cut_ms;
    bool is_growing, is_cut;
    uint32_t refs;    /* one of those who list it, one of each pin */
    uint32_t numbers; /* given to frames */
    uint32_t awaited; /* frames that are not written yet */
    uint64_t streams, entries, bytes;
    VEC(struct logsealed *) frames; /* by number once it is cut */
};

struct logsegments {
    struct lock lock; /* rank LEAF_MODULE */
    VEC(struct logsegment *) all;
    struct rng rng;
    struct dropped_by *dropped_by;
};

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

struct ulid logsegment_id(const struct logsegment *g)
{
    return g->id;
}

int64_t logsegment_window(const struct logsegment *g)
{
    return g->window_ms;
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

static void segment_unref(struct loghead *h, struct logsegment *g)
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
        segment_unref(h, *g);
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

static struct err *not_found(struct slice tenant, struct slice ulid)
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

/* With a reference; NULL: there is none that is complete. */
static struct logsegment *find(struct loghead *h, struct slice tenant, struct slice ulid)
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
    struct logsegment *g = find(h, tenant, ulid);

    if (!g)
        return not_found(tenant, ulid);
    fill_row(g, ret);
    ret->pin = g;
    return NULL;
}

void loghead_segment_unpin(struct loghead *h, const struct loghead_segment *pinned)
{
    segment_unref(h, pinned->pin);
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

/* ---- dropping ---- */

#define TURN_STREAMS 4096u

struct forgetting { /* in a shard */
    const struct logsegment *segment;
    VEC(struct logsealed *) frames; /* that it had */
    bool has_taken;
    size_t frame;
    uint32_t stream;
};

/* Out of the table: whoever reads from now on does not find them. */
static void take_frames(struct logshard *sh, struct logtable *tb, struct forgetting *fo)
{
    size_t keep = 0;

    VEC_FOREACH (x, &tb->frames) {
        struct logsealed *s = *x;

        if (!ulid_eq(s->frame.head.segment, fo->segment->id)) {
            tb->frames.ptr[keep++] = s;
            continue;
        }
        atomic_store(&s->is_dropped, true);
        logfile_count_dropped(sh, s);
        vec_push(&fo->frames, s);
    }
    tb->frames.len = keep;
    fo->has_taken = true;
}

/* Some streams of the frame at hand; true: it is through. */
static bool let_go(struct logtable *tb, struct forgetting *fo)
{
    const struct logframe *f = &fo->frames.ptr[fo->frame]->frame;
    uint32_t end = (uint32_t)ORR_MIN((uint64_t)fo->stream + TURN_STREAMS, f->head.n_streams);

    for (; fo->stream < end; fo->stream++) {
        uint32_t ref = logtable_find(tb, logframe_stream_at(f, fo->stream).fp);

        ORR_ASSERT(ref != LOGHEAD_NO_REF); /* the frame held it */
        logtable_let_go(tb, &ref, 1);
    }
    return fo->stream == f->head.n_streams;
}

static bool run_forget(struct logshard *sh, void *arg)
{
    struct forgetting *fo = arg;
    struct logtable *tb = fo->segment->tenant->tables[sh->index];

    if (!tb)
        return false;
    if (!fo->has_taken)
        take_frames(sh, tb, fo);
    for (uint32_t n = 0; n < TURN_STREAMS && fo->frame < fo->frames.len;) {
        n += fo->frames.ptr[fo->frame]->frame.head.n_streams;
        if (!let_go(tb, fo))
            return true;
        fo->stream = 0;
        logsealed_unref(fo->frames.ptr[fo->frame++]); /* not the last: the segment has one */
    }
    if (fo->frame < fo->frames.len)
        return true;
    vec_done(&fo->frames);
    return false;
}

static void forget(struct loghead *h, const struct logsegment *g)
{
    struct forgetting fo[LOGHEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < h->n_shards; i++)
        fo[i] = (struct forgetting){.segment = g};
    logshard_call_all(h, run_forget, fo, sizeof(*fo));
}

static void remove_from(struct logsegment **ptr, size_t *len, const struct logsegment *g)
{
    size_t keep = 0;

    for (size_t i = 0; i < *len; i++)
        if (ptr[i] != g)
            ptr[keep++] = ptr[i];
    *len = keep;
}

/* No one finds it any more; false: somebody did it before. */
static bool unlist(struct loghead *h, struct logsegment *g)
{
    struct logsegments *sg = h->segments;
    size_t before;
    bool was_there;

    lock_take(&sg->lock);
    before = sg->all.len;
    remove_from(sg->all.ptr, &sg->all.len, g);
    remove_from(g->tenant->segments.ptr, &g->tenant->segments.len, g);
    was_there = sg->all.len < before;
    if (was_there) {
        METRIC_ADD(h->m.segments, -1);
        METRIC_ADD(h->m.segment_bytes, -(int64_t)g->bytes);
        METRIC_ADD(h->m.segments_dropped, 1);
    }
    lock_release(&sg->lock);
    return was_there;
}

static struct err *drop(struct loghead *h, struct logsegment *g, uint64_t version)
{
    struct logsegments *sg = h->segments;
    struct ulid_text id = ulid_print(g->id);
    struct err *e;

    /* First, so that no read finds the segment gone and does not hear of it. */
    if ((e = dropped_by_raise(sg->dropped_by, g->tenant->slice, version)))
        return e;
    if ((e = logfile_mark_dropped(g->frames.ptr, g->frames.len)))
        return e;
    if (!unlist(h, g))
        return not_found(g->tenant->slice, slice_cstr(id.s));
    forget(h, g);
    LOG_INFO(head, "segment of log lines dropped", KV_STR("tenant", g->tenant->id),
             KV_STR("block", id.s), KV_U64("version", version));
    segment_unref(h, g); /* of those who listed it */
    return NULL;
}

struct err *loghead_segment_dropped(struct loghead *h, struct slice tenant, struct slice ulid,
                                    uint64_t version)
{
    struct logsegment *g = find(h, tenant, ulid);
    struct err *e;

    if (!g)
        return not_found(tenant, ulid);
    e = drop(h, g, version);
    segment_unref(h, g);
    if (!e || err_is(e, ERR_NOT_FOUND))
        return e;
    METRIC_ADD(h->m.drop_failures, 1);
    return err_wrap(e, "segment %.*s stays", SLICE_ARG(ulid));
}

uint64_t loghead_dropped_by(struct loghead *h, struct slice tenant)
{
    return dropped_by_get(h->segments->dropped_by, tenant);
}
