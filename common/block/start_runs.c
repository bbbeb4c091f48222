#include "common/block/start_runs.h"

#include <stdlib.h>

void start_runs_encode(struct buf *out, const struct start_run *runs, size_t n)
{
    const struct start_run *last = NULL;
    size_t known = 0;

    for (size_t i = 0; i < n; i++)
        known += runs[i].st_ms != 0;
    buf_uvarint(out, known);
    for (size_t i = 0; i < n; i++) {
        const struct start_run *r = &runs[i];

        if (!r->st_ms)
            continue;
        if (last)
            buf_uvarint(out, (uint64_t)r->from_ms - (uint64_t)last->to_ms);
        else
            buf_varint(out, r->from_ms);
        buf_uvarint(out, (uint64_t)r->to_ms - (uint64_t)r->from_ms);
        buf_varint(out,
                   (int64_t)((uint64_t)r->st_ms - (uint64_t)(last ? last->to_ms : r->from_ms)));
        last = r;
    }
}

bool start_runs_chunk(struct arena *a, const struct start_run *runs, size_t n, struct chunk *ret)
{
    struct buf b = {0};

    while (n && !runs[n - 1].st_ms)
        n--;
    while (n && !runs->st_ms) {
        runs++;
        n--;
    }
    if (!n)
        return false;
    start_runs_encode(&b, runs, n);
    *ret = (struct chunk){CHUNK_STARTS, runs[0].from_ms, runs[n - 1].to_ms,
                          arena_dup(a, buf_slice(&b))};
    buf_done(&b);
    return true;
}

void start_set_clear(struct start_set *s)
{
    vec_clear(&s->runs);
}

void start_set_done(struct start_set *s)
{
    vec_done(&s->runs);
    vec_done(&s->heap);
    vec_done(&s->flat);
}

/* last: the run before, NULL for the first. */
static bool next_run(struct reader *r, const struct start_run *last, struct start_run *ret)
{
    uint64_t gap = last ? reader_uvarint(r) : 1;
    int64_t from = last ? (int64_t)((uint64_t)last->to_ms + gap) : reader_varint(r);
    int64_t to = (int64_t)((uint64_t)from + reader_uvarint(r));
    int64_t st = (int64_t)((uint64_t)reader_varint(r) + (uint64_t)(last ? last->to_ms : from));

    *ret = (struct start_run){from, to, st};
    return reader_ok(r) && gap && (!last || from > last->to_ms) && to >= from && st != 0;
}

struct err *start_set_add(struct start_set *s, struct slice bytes)
{
    struct reader r = reader_new(bytes);
    uint64_t n = reader_uvarint(&r);
    struct start_run last;

    if (!reader_ok(&r) || n > reader_left(&r) / 3)
        return err_new(ERR_CORRUPT, "start timestamps: impossible count of runs");
    vec_reserve(&s->runs, (size_t)n);
    for (uint64_t i = 0; i < n; i++) {
        struct start_run run;

        if (!next_run(&r, i ? &last : NULL, &run))
            return err_new(ERR_CORRUPT, "start timestamps: malformed run");
        vec_push(&s->runs, run);
        last = run;
    }
    return reader_left(&r) ? err_new(ERR_CORRUPT, "start timestamps: bytes behind the last run")
                           : NULL;
}

void start_set_clip(struct start_set *s, int64_t min_ms, int64_t max_ms)
{
    size_t out = 0;

    for (size_t i = 0; i < s->runs.len; i++) {
        struct start_run r = s->runs.ptr[i];

        r.from_ms = ORR_MAX(r.from_ms, min_ms);
        r.to_ms = ORR_MIN(r.to_ms, max_ms);
        if (r.from_ms <= r.to_ms)
            s->runs.ptr[out++] = r;
    }
    s->runs.len = out;
}

/* ---- flattening: the skyline of the runs, from left to right, with a heap of those that lie over the
 * place, the latest start on top ---- */

static int by_from(const void *a, const void *b)
{
    const struct start_run *x = a, *y = b;

    if (x->from_ms != y->from_ms)
        return x->from_ms < y->from_ms ? -1 : 1;
    if (x->to_ms != y->to_ms)
        return x->to_ms < y->to_ms ? -1 : 1;
    return (x->st_ms > y->st_ms) - (x->st_ms < y->st_ms);
}

static bool is_disjoint(const struct start_set *s)
{
    for (size_t i = 1; i < s->runs.len; i++)
        if (s->runs.ptr[i].from_ms <= s->runs.ptr[i - 1].to_ms)
            return false;
    return true;
}

static inline int64_t st_of(const struct start_set *s, size_t at)
{
    return s->runs.ptr[s->heap.ptr[at]].st_ms;
}

static void heap_swap(struct start_set *s, size_t a, size_t b)
{
    uint32_t x = s->heap.ptr[a];

    s->heap.ptr[a] = s->heap.ptr[b];
    s->heap.ptr[b] = x;
}

static void heap_push(struct start_set *s, uint32_t run)
{
    size_t at = s->heap.len;

    vec_push(&s->heap, run);
    for (; at && st_of(s, at) > st_of(s, (at - 1) / 2); at = (at - 1) / 2)
        heap_swap(s, at, (at - 1) / 2);
}

static void heap_pop(struct start_set *s)
{
    size_t at = 0, kid;

    s->heap.ptr[0] = vec_last(&s->heap);
    s->heap.len--;
    while ((kid = 2 * at + 1) < s->heap.len) {
        if (kid + 1 < s->heap.len && st_of(s, kid + 1) > st_of(s, kid))
            kid++;
        if (st_of(s, at) >= st_of(s, kid))
            break;
        heap_swap(s, at, kid);
        at = kid;
    }
}

static void put_flat(struct start_set *s, int64_t from, int64_t to, int64_t st)
{
    struct start_run *last = s->flat.len ? &vec_last(&s->flat) : NULL;

    if (last && last->st_ms == st && last->to_ms + 1 == from)
        last->to_ms = to;
    else
        vec_push(&s->flat, ((struct start_run){from, to, st}));
}

static void flatten(struct start_set *s)
{
    size_t next = 0, n = s->runs.len;
    int64_t at = s->runs.ptr[0].from_ms;

    vec_clear(&s->flat);
    vec_clear(&s->heap);
    for (;;) {
        const struct start_run *top;
        int64_t end;

        while (s->heap.len && s->runs.ptr[s->heap.ptr[0]].to_ms < at)
            heap_pop(s);
        if (!s->heap.len) {
            if (next == n)
                break;
            at = ORR_MAX(at, s->runs.ptr[next].from_ms);
        }
        for (; next < n && s->runs.ptr[next].from_ms <= at; next++)
            if (s->runs.ptr[next].to_ms >= at)
                heap_push(s, (uint32_t)next);
        if (!s->heap.len)
            continue;
        top = &s->runs.ptr[s->heap.ptr[0]];
        end = top->to_ms;
        if (next < n && s->runs.ptr[next].from_ms <= end)
            end = s->runs.ptr[next].from_ms - 1;
        put_flat(s, at, end, top->st_ms);
        if (end == INT64_MAX)
            break;
        at = end + 1;
    }
}

void start_set_flatten(struct start_set *s)
{
    size_t len = s->runs.len, cap = s->runs.cap;
    struct start_run *runs = s->runs.ptr;

    if (is_disjoint(s)) /* of one source */
        return;
    qsort(runs, len, sizeof(*runs), by_from);
    if (is_disjoint(s))
        return;
    flatten(s);
    s->runs.ptr = s->flat.ptr;
    s->runs.len = s->flat.len;
    s->runs.cap = s->flat.cap;
    s->flat.ptr = runs;
    s->flat.len = 0;
    s->flat.cap = cap;
}

bool start_set_fill(const struct start_set *s, const int64_t *t, size_t n, int64_t *ret)
{
    const struct start_run *r, *end;
    bool has_any = false;

    if (!s->runs.len)
        return false;
    r = s->runs.ptr;
    end = r + s->runs.len;
    for (size_t i = 0; i < n; i++) {
        while (r < end && r->to_ms < t[i])
            r++;
        if (r < end && r->from_ms <= t[i]) {
            if (!has_any)
                memset(ret, 0, n * sizeof(*ret));
            has_any = true;
            ret[i] = r->st_ms;
        }
    }
    return has_any;
}
