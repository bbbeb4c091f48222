#include "querier/store/series_merge.h"

#include "common/base/clock.h"
#include "common/base/vec.h"

#define CHECK_EVERY 64 /* series between two looks at deadline and cancel flag */

struct head {
    struct series_source *src;
    size_t no; /* of the source */
    struct source_series cur;
};

struct merge {
    struct series_set set;
    struct series_merge_opts opts;
    struct head *heap; /* smallest labels first; sources at their end are closed */
    size_t n;
    struct head *waiting; /* to be moved on before the next series */
    size_t n_waiting;
    size_t *place; /* by number of a source: 1 + where it waits, while a series is gathered */
    VEC(struct columns_chunk) chunks;
    struct columns *columns;
    struct arena *arena; /* histograms of the current series */
    struct err *err;
    uint64_t pulled;
};

/* ---- the heap ---- */

static bool less(const struct merge *m, const struct head *a, const struct head *b)
{
    if (m->opts.is_keyed)
        return hash128_cmp(a->cur.fp, b->cur.fp) < 0;
    return labels_cmp(a->cur.labels, b->cur.labels) < 0;
}

static bool is_same(const struct merge *m, const struct source_series *a,
                    const struct source_series *b)
{
    return m->opts.is_keyed ? hash128_eq(a->fp, b->fp) : labels_eq(a->labels, b->labels);
}

static void sift_down(struct merge *m, size_t i)
{
    for (;;) {
        size_t k = 2 * i + 1;
        struct head tmp;

        if (k >= m->n)
            return;
        if (k + 1 < m->n && less(m, &m->heap[k + 1], &m->heap[k]))
            k++;
        if (!less(m, &m->heap[k], &m->heap[i]))
            return;
        tmp = m->heap[i];
        m->heap[i] = m->heap[k];
        m->heap[k] = tmp;
        i = k;
    }
}

static void push(struct merge *m, struct head h)
{
    size_t i = m->n++;

    m->heap[i] = h;
    while (i && less(m, &m->heap[i], &m->heap[(i - 1) / 2])) {
        struct head tmp = m->heap[i];

        m->heap[i] = m->heap[(i - 1) / 2];
        m->heap[(i - 1) / 2] = tmp;
        i = (i - 1) / 2;
    }
}

/* Moves the source at the top to the waiting ones. What it lent stays until it is moved on. */
static void pop(struct merge *m)
{
    m->waiting[m->n_waiting++] = m->heap[0];
    m->heap[0] = m->heap[--m->n];
    sift_down(m, 0);
}

static struct err *advance_waiting(struct merge *m)
{
    while (m->n_waiting) {
        struct head h = m->waiting[m->n_waiting - 1];
        bool more = false;
        struct err *e;

        h.cur = (struct source_series){0};
        if ((e = h.src->ops->next(h.src, &h.cur, &more)))
            return e;
        m->n_waiting--;
        if (more)
            push(m, h);
        else
            h.src->ops->close(h.src);
    }
    return NULL;
}

/* ---- series ---- */

static struct err *check_caller(const struct merge *m)
{
    const struct series_merge_opts *o = &m->opts;

    if (o->cancel && atomic_load_explicit(o->cancel, memory_order_relaxed))
        return err_new(ERR_CANCELED, "query canceled");
    if (o->deadline_mono_ms && clock_mono_ms(&clock_system) >= o->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "query timed out while reading series");
    if (o->arena && arena_over(o->arena))
        return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                       arena_limit(o->arena));
    return NULL;
}

static struct err *charge(struct merge *m)
{
    struct series_budget *b = m->opts.budget;
    uint64_t series, bytes = 0;

    if (!b)
        return NULL;
    for (size_t i = 0; i < m->chunks.len; i++)
        bytes += m->chunks.ptr[i].chunk.data.len;
    series = __atomic_add_fetch(&b->series, 1, __ATOMIC_RELAXED);
    bytes = __atomic_add_fetch(&b->bytes, bytes, __ATOMIC_RELAXED);
    if (b->max_series && series > b->max_series)
        return err_new(ERR_LIMIT,
                       "the query touches more than %llu series "
                       "(limits.max-fetched-series-per-query)",
                       (unsigned long long)b->max_series);
    if (b->max_bytes && bytes > b->max_bytes)
        return err_new(ERR_LIMIT,
                       "the query fetches more than %llu bytes of chunks "
                       "(limits.max-fetched-bytes-per-query)",
                       (unsigned long long)b->max_bytes);
    return NULL;
}

/* Collects all copies of the smallest label set, in the order of the sources: blocks come by time, and what is in order
 * need not be sorted. */
static void gather(struct merge *m, struct labels *ret)
{
    const struct source_series first = m->heap[0].cur;
    size_t lo = SIZE_MAX, hi = 0;

    vec_clear(&m->chunks);
    *ret = first.labels;
    while (m->n && is_same(m, &m->heap[0].cur, &first)) {
        size_t no = m->heap[0].no;

        pop(m);
        m->place[no] = m->n_waiting;
        lo = ORR_MIN(lo, no);
        hi = ORR_MAX(hi, no);
    }
    for (size_t no = lo; no <= hi; no++) {
        const struct source_series *s;

        if (!m->place[no])
            continue;
        s = &m->waiting[m->place[no] - 1].cur;
        m->place[no] = 0;
        for (size_t i = 0; i < s->n_chunks; i++)
            vec_push(&m->chunks, s->chunks[i]);
    }
}

static bool merge_next(struct series_set *set, struct storage_series *ret)
{
    struct merge *m = (struct merge *)set;

    if (m->err)
        return false;
    if ((m->err = advance_waiting(m)) || !m->n)
        return false;
    if (m->pulled++ % CHECK_EVERY == 0 && (m->err = check_caller(m)))
        return false;
    *ret = (struct storage_series){0};
    arena_reset(m->arena);
    gather(m, &ret->labels);
    if ((m->err = charge(m)))
        return false;
    if (m->opts.labels_only)
        return true;
    m->err = columns_fill(m->columns, m->arena, m->chunks.ptr, m->chunks.len, m->opts.min_ms,
                          m->opts.max_ms, ret);
    if (m->err) {
        struct buf b = {0};

        labels_text(&b, ret->labels);
        m->err = err_wrap(m->err, "series %.*s", (int)ORR_MIN(b.len, 512), (char *)b.ptr);
        buf_done(&b);
    }
    return !m->err;
}

static struct err *merge_close(struct series_set *set)
{
    struct merge *m = (struct merge *)set;
    struct err *e = m->err;

    while (m->n)
        pop(m);
    for (size_t i = 0; i < m->n_waiting; i++)
        m->waiting[i].src->ops->close(m->waiting[i].src);
    if (m->opts.on_close)
        m->opts.on_close(m->opts.arg);
    mem_free(m->heap);
    mem_free(m->waiting);
    mem_free(m->place);
    vec_done(&m->chunks);
    columns_free(m->columns);
    arena_free(m->arena);
    mem_free(m);
    return e;
}

struct series_set *series_merge(const struct series_merge_opts *opts, struct series_source **srcs,
                                size_t n)
{
    static const struct series_set_ops ops = {merge_next, merge_close};
    struct merge *m = mem_new(struct merge);

    m->set.ops = &ops;
    m->opts = *opts;
    m->heap = mem_new_array(struct head, n + 1);
    m->waiting = mem_new_array(struct head, n + 1);
    m->place = mem_new_array(size_t, n + 1);
    for (size_t i = 0; i < n; i++)
        m->waiting[m->n_waiting++] = (struct head){.src = srcs[i], .no = i};
    m->columns = columns_new();
    columns_set_view(m->columns, &opts->view);
    m->arena = opts->arena ? arena_child(opts->arena, 0) : arena_new(0);
    return &m->set;
}
