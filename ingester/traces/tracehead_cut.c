/* From live traces to files of segments. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"
#include "ingester/traces/tracehead_internal.h"

#define ROUND_TRACES 100000u /* taken out of memory's index at once */
#define DELETE_PIECES 10000u /* from RocksDB in one write */
#define CROWDED(max) ((max) / 4 * 3)

/* ---- which ---- */

static bool is_wanted(const struct tracelive *l, int64_t tenant)
{
    return tenant < 0 || l->tenant == (uint32_t)tenant;
}

static void take(struct tracehead *h, uint32_t i)
{
    struct tracelive l = tracelives_remove(&h->lives, i);

    h->by_number.ptr[l.tenant]->n_live--;
    vec_push(&h->out, l);
}

/* Into h->out those that nobody heard of since before_ms, the oldest first. tenant -1: of all. False: there are none. */
static bool take_out(struct tracehead *h, int64_t tenant, int64_t before_ms)
{
    lock_take(&h->lock);
    for (uint32_t i = h->lives.oldest, newer; i != TRACELIVE_NONE && h->out.len < ROUND_TRACES;
         i = newer) {
        const struct tracelive *l = &h->lives.all.ptr[i];

        newer = l->newer;
        if (l->last_ms > before_ms)
            break;
        if (is_wanted(l, tenant))
            take(h, i);
    }
    METRIC_SET(h->m.live, (int64_t)h->lives.n);
    METRIC_SET(h->m.live_bytes, (int64_t)h->lives.bytes);
    lock_release(&h->lock);
    return h->out.len > 0;
}

static void put_back(struct tracehead *h, size_t from)
{
    bool is_new;

    lock_take(&h->lock);
    for (size_t i = h->out.len; i-- > from;) {
        tracelives_restore(&h->lives, &h->out.ptr[i], &is_new);
        h->by_number.ptr[h->out.ptr[i].tenant]->n_live += is_new;
    }
    h->out.len = 0;
    lock_release(&h->lock);
}

/* ---- writing one file ---- */

static int64_t window_of(int64_t ms)
{
    int64_t rest = ms % TRACEHEAD_WINDOW_MS;

    return ms - (rest < 0 ? rest + TRACEHEAD_WINDOW_MS : rest);
}

static int by_file(const void *a, const void *b)
{
    const struct tracelive *x = a, *y = b;
    int64_t wx = window_of(x->first_ms), wy = window_of(y->first_ms);

    if (x->tenant != y->tenant)
        return x->tenant < y->tenant ? -1 : 1;
    if (wx != wy)
        return wx < wy ? -1 : 1;
    return memcmp(x->id, y->id, sizeof(x->id));
}

struct writing {
    struct tracehead *h;
    struct kv_iter *it;
    struct tracesegment_writer *w;
    VEC(uint64_t) numbers;  /* of pieces that are in the file, */
    VEC(uint32_t) n_pieces; /* so many of each trace */
};

uint64_t tracehead_key_number(struct slice key)
{
    struct reader r = reader_new(slice_from(key, TRACEHEAD_KEY_BYTES - 8));

    return reader_u64be(&r);
}

static struct err *write_trace(struct writing *wr, const struct tracelive *l)
{
    uint8_t prefix[TRACEHEAD_KEY_BYTES];
    struct slice key, piece;
    struct err *e;
    uint32_t n = 0;

    tracehead_key(prefix, l->tenant, l->id, 0);
    kv_iter_seek(wr->it, slice_of(prefix, sizeof(prefix)));
    for (; kv_iter_pair(wr->it, &key, &piece) &&
           slice_has_prefix(key, slice_of(prefix, TRACEHEAD_KEY_BYTES - 8));
         kv_iter_next(wr->it)) {
        e = tracesegment_add(wr->w, piece);
        if (err_is(e, ERR_CORRUPT)) {
            LOG_ERROR(head, "a piece of a trace cannot be read, it is left out", KV_ERR(e));
            METRIC_ADD(wr->h->m.broken, 1);
            err_free(e);
        } else if (e) {
            return e;
        }
        vec_push(&wr->numbers, tracehead_key_number(key));
        n++;
    }
    vec_push(&wr->n_pieces, n);
    return NULL;
}

static struct err *write_file(struct writing *wr, const struct tracelive *ls, size_t n,
                              const char *path, struct tracesegment_totals *ret)
{
    struct err *e = tracesegment_create(path, &wr->w);

    for (size_t i = 0; !e && i < n; i++)
        e = write_trace(wr, &ls[i]);
    e = err_first(e, kv_iter_close(wr->it));
    wr->it = NULL;
    if (!e)
        e = tracesegment_finish(wr->w, ret);
    tracesegment_writer_free(wr->w);
    wr->w = NULL;
    return e;
}

struct err *tracehead_delete(struct tracehead *h, const struct tracelive *ls, size_t n,
                             const uint32_t *n_pieces, const uint64_t *numbers)
{
    struct kv_batch *b = kv_batch_new();
    uint8_t key[TRACEHEAD_KEY_BYTES];
    struct err *e = NULL;
    size_t k = 0;

    for (size_t i = 0; !e && i < n; i++) {
        for (uint32_t j = 0; j < n_pieces[i]; j++) {
            tracehead_key(key, ls[i].tenant, ls[i].id, numbers[k++]);
            kv_batch_delete(b, slice_of(key, sizeof(key)));
        }
        if (kv_batch_count(b) >= DELETE_PIECES || i + 1 == n) {
            e = kv_write(h->kv, b, false);
            kv_batch_clear(b);
        }
    }
    kv_batch_free(b);
    return e;
}

static struct tracetenant *tenant_at(struct tracehead *h, uint32_t number)
{
    struct tracetenant *t;

    lock_take(&h->lock);
    t = h->by_number.ptr[number];
    lock_release(&h->lock);
    return t;
}

static void publish(struct tracehead *h, struct tracesegdir *s, struct tracefile *f)
{
    const struct tracesegment_totals *t = &f->seg.totals;

    METRIC_ADD(h->m.cuts, 1);
    METRIC_ADD(h->m.cut_traces, t->traces);
    METRIC_ADD(h->m.cut_spans, t->spans);
    METRIC_ADD(h->m.cut_bytes, t->bytes);
    lock_take(&h->lock);
    tracesegdir_add(s, f);
    METRIC_ADD(h->m.segment_bytes, (int64_t)t->bytes);
    if (s->bytes >= (uint64_t)h->opts.segment_bytes)
        tracesegdir_cut(h, s, clock_wall_ms(h->opts.clock));
    lock_release(&h->lock);
}

/* n traces of one tenant and window. What of them is left in RocksDB after an error of its own is found there as well as in the file. */
static struct err *cut_group(struct tracehead *h, const struct tracelive *ls, size_t n)
{
    struct writing wr = {.h = h, .it = kv_iter_new(h->kv)};
    struct tracetenant *t = tenant_at(h, ls->tenant);
    struct tracesegment_totals totals = {0};
    struct tracefile *f = NULL;
    struct tracesegdir *s;
    char *path = NULL;
    struct err *e = tracesegdir_growing(h, t, window_of(ls->first_ms), &s);

    if (e) {
        err_free(kv_iter_close(wr.it));
        return e;
    }
    path = mem_printf("%s/%06u.pieces", s->path, s->last_number + 1);
    (void)unlink(path); /* left by a round that failed behind its end */
    if (!(e = write_file(&wr, ls, n, path, &totals)) && !(e = fsx_sync_dir(s->path)) &&
        !(e = tracefile_open(path, s->last_number + 1, &f))) {
        publish(h, s, f);
        e = tracehead_delete(h, ls, n, wr.n_pieces.ptr, wr.numbers.ptr); /* readers know the file */
        if (e)
            LOG_WARN(head, "cut traces stay in memory's store until the next start", KV_ERR(e));
        err_free(e);
        e = NULL;
    }
    vec_done(&wr.numbers);
    vec_done(&wr.n_pieces);
    mem_free(path);
    return e;
}

/* What is in h->out. */
static struct err *cut_out(struct tracehead *h, bool must)
{
    size_t from = 0;
    struct err *e;

    qsort(h->out.ptr, h->out.len, sizeof(*h->out.ptr), by_file);
    e = tracehead_judge(h, must);
    while (!e && from < h->out.len) {
        const struct tracelive *first = &h->out.ptr[from];
        size_t to = from + 1;

        while (to < h->out.len && first->tenant == h->out.ptr[to].tenant &&
               window_of(first->first_ms) == window_of(h->out.ptr[to].first_ms))
            to++;
        if (!(e = cut_group(h, first, to - from)))
            from = to;
    }
    put_back(h, from);
    return e;
}

/* ---- rounds; who cuts ---- */

static void end_waiting(struct tracehead *h)
{
    bool is_new;

    lock_take(&h->lock);
    for (size_t i = h->waiting.len; i-- > 0;) {
        tracelives_restore(&h->lives, &h->waiting.ptr[i], &is_new);
        h->by_number.ptr[h->waiting.ptr[i].tenant]->n_live += is_new;
    }
    METRIC_SET(h->m.live, (int64_t)h->lives.n);
    METRIC_SET(h->m.live_bytes, (int64_t)h->lives.bytes);
    vec_clear(&h->waiting);
    lock_release(&h->lock);
}

/* must: no verdict is waited for. */
static struct err *cut_until(struct tracehead *h, int64_t tenant, int64_t before_ms, bool must)
{
    int64_t began = clock_mono_ns(&clock_system);
    struct err *e = NULL;

    while (!e && take_out(h, tenant, before_ms))
        e = cut_out(h, must);
    end_waiting(h);
    if (e)
        METRIC_ADD(h->m.cut_failures, 1);
    metric_hist_observe(&h->m.cut_s, (double)(clock_mono_ns(&clock_system) - began) / 1e9);
    return e ? e : tracehead_floor_raise(h);
}

struct err *tracehead_maintain(struct tracehead *h)
{
    int64_t now_ms = clock_mono_ms(h->opts.clock);
    bool is_crowded = (uint64_t)METRIC_GET(h->m.live) >= CROWDED(h->opts.max_live);
    struct err *e = NULL;

    if (!tracehead_is_ready(h))
        return NULL;
    lock_take(&h->cutting);
    if (is_crowded) {
        METRIC_ADD(h->m.early, 1);
        e = cut_until(h, -1, INT64_MAX, true);
    } else if (now_ms >= h->next_cut_ms) {
        e = cut_until(h, -1, clock_wall_ms(h->opts.clock) - h->opts.idle_ms, false);
    }
    if (now_ms >= h->next_cut_ms)
        h->next_cut_ms = now_ms + h->opts.cut_period_ms;
    lock_release(&h->cutting);
    return e;
}

/* ---- on command, and by the clock ---- */

typedef bool due_fn(const struct tracehead *h, const struct tracesegdir *s);

static bool is_any(const struct tracehead *h, const struct tracesegdir *s)
{
    (void)h;
    (void)s;
    return true;
}

static bool is_past(const struct tracehead *h, const struct tracesegdir *s)
{
    return clock_wall_ms(h->opts.clock) >= s->window_ms + TRACEHEAD_WINDOW_MS + h->opts.grace_ms;
}

/* Who cuts. */
static size_t stop_growing(struct tracehead *h, int64_t tenant, due_fn *is_due)
{
    int64_t now_ms = clock_wall_ms(h->opts.clock);
    size_t n = 0;

    lock_take(&h->lock);
    VEC_FOREACH (t, &h->by_number)
        VEC_FOREACH (s, &(*t)->segments)
            if ((tenant < 0 || (*t)->number == (uint32_t)tenant) && !(*s)->is_cut &&
                (*s)->files.len && is_due(h, *s)) {
                tracesegdir_cut(h, *s, now_ms);
                n++;
            }
    lock_release(&h->lock);
    return n;
}

struct err *tracehead_cut(struct tracehead *h, struct slice tenant, size_t *ret_segments)
{
    int64_t number = -1;
    size_t n = 0;
    struct err *e;

    if (ret_segments)
        *ret_segments = 0;
    if (!tracehead_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the log of spans is being replayed");
    if (tenant.len) {
        struct tracetenant *t;

        lock_take(&h->lock);
        t = tracehead_tenant_find(h, tenant);
        lock_release(&h->lock);
        if (!t)
            return NULL;
        number = t->number;
    }
    lock_take(&h->cutting);
    if (!(e = cut_until(h, number, INT64_MAX, true)))
        n = stop_growing(h, number, is_any);
    lock_release(&h->cutting);
    if (ret_segments)
        *ret_segments = n;
    return e;
}

size_t tracehead_cut_due(struct tracehead *h)
{
    size_t n;

    lock_take(&h->cutting);
    n = stop_growing(h, -1, is_past);
    lock_release(&h->cutting);
    return n;
}
