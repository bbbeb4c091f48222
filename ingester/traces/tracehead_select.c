/* Reading: live traces, and files of segments, merged by id. */
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"
#include "ingester/traces/tracehead_internal.h"

#define LOOK_EVERY 256 /* traces passed over */

struct cursor { /* in a file */
    struct tracefile *file;
    uint64_t at;
    struct tracesegment_trace trace; /* that it stands at */
};
struct tracehead_set {
    struct tracehead *head;
    struct tracehead_query q;
    struct arena *arena; /* of one trace */
    struct arena *scratch;
    struct kv_iter *it;
    uint8_t prefix[4];   /* of the tenant's keys */
    struct cursor *heap; /* the least id first; those at their end have left it */
    size_t n_heap, n_cursors;
    struct cursor *cursors; /* all, to be freed */
    size_t next_id;
    uint64_t given_bytes, seen;
    VEC(struct slice) pieces;
    uint8_t id[16];
    bool is_deleted; /* the trace */
    struct err *err;
};

/* ---- the heap of files ---- */

static bool is_before(const struct cursor *a, const struct cursor *b)
{
    int c = memcmp(a->trace.id, b->trace.id, 16);

    return c ? c < 0 : a->file->number < b->file->number;
}

static void sift(struct tracehead_set *s, size_t i)
{
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;
        struct cursor c;

        if (left < s->n_heap && is_before(&s->heap[left], &s->heap[least]))
            least = left;
        if (right < s->n_heap && is_before(&s->heap[right], &s->heap[least]))
            least = right;
        if (least == i)
            return;
        c = s->heap[i];
        s->heap[i] = s->heap[least];
        s->heap[least] = c;
        i = least;
    }
}

/* The first cursor, to the first trace at or behind its place with an id not less than id. */
static void move_first(struct tracehead_set *s, const uint8_t id[16])
{
    struct cursor *c = &s->heap[0];

    c->at = tracesegment_find(&c->file->seg, c->at, id);
    if (c->at < c->file->seg.totals.traces)
        tracesegment_at(&c->file->seg, c->at, &c->trace);
    else
        *c = s->heap[--s->n_heap];
    sift(s, 0);
}

static void open_cursors(struct tracehead_set *s)
{
    s->heap = mem_new_array(struct cursor, s->n_cursors + 1);
    for (size_t i = 0; i < s->n_cursors; i++) {
        struct cursor c = s->cursors[i];

        c.at = tracesegment_find(&c.file->seg, 0, s->q.first);
        if (c.at == c.file->seg.totals.traces)
            continue;
        tracesegment_at(&c.file->seg, c.at, &c.trace);
        s->heap[s->n_heap++] = c;
    }
    for (size_t i = s->n_heap / 2; i-- > 0;)
        sift(s, i);
}

/* ---- opening ---- */

/* The snapshot was taken before: tracehead_internal.h says why. */
static void take_files(struct tracehead_set *s, const struct tracetenant *t)
{
    VEC(struct cursor) all = {0};

    VEC_FOREACH (d, &t->segments)
        VEC_FOREACH (f, &(*d)->files) {
            (void)atomic_fetch_add(&(*f)->refs, 1);
            vec_push(&all, ((struct cursor){.file = *f}));
        }
    s->cursors = all.ptr;
    s->n_cursors = all.len;
}

static bool is_empty_range(const struct tracehead_query *q)
{
    return q->start_ns >= q->end_ns || memcmp(q->first, q->last, 16) > 0 ||
           (q->has_ids && !q->n_ids);
}

struct err *tracehead_select(struct tracehead *h, const struct tracehead_query *q,
                             struct tracehead_set **ret)
{
    struct tracehead_set *s;
    struct tracetenant *t;

    if (!tracehead_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the log of spans is being replayed");
    s = mem_new(struct tracehead_set);
    s->head = h;
    s->q = *q;
    s->arena = arena_new(0);
    s->scratch = arena_new(0);
    if (!is_empty_range(q))
        s->it = kv_iter_new(h->kv);
    lock_take(&h->lock);
    t = tracehead_tenant_find(h, q->tenant);
    if (t && s->it)
        take_files(s, t);
    lock_release(&h->lock);
    if (t && s->it) {
        uint8_t key[TRACEHEAD_KEY_BYTES];

        tracehead_key(key, t->number, q->first, 0);
        memcpy(s->prefix, key, sizeof(s->prefix));
        kv_iter_seek(s->it, slice_of(key, sizeof(key)));
        open_cursors(s);
        memcpy(s->id, q->first, 16);
    } else {
        s->err = kv_iter_close(s->it);
        s->it = NULL;
    }
    *ret = s;
    return NULL;
}

/* ---- walking ---- */

/* The trace of the pair RocksDB's iterator stands at, NULL: it has no more of the tenant. */
static const uint8_t *live_id(struct tracehead_set *s, struct slice *ret_piece)
{
    struct slice key;

    if (!kv_iter_pair(s->it, &key, ret_piece) || key.len != TRACEHEAD_KEY_BYTES ||
        memcmp(key.ptr, s->prefix, sizeof(s->prefix)) != 0)
        return NULL;
    return key.ptr + sizeof(s->prefix);
}

/* All cursors to the first trace not less than id. */
static void seek(struct tracehead_set *s, const uint8_t id[16])
{
    uint8_t key[TRACEHEAD_KEY_BYTES];
    struct slice piece;
    const uint8_t *live = live_id(s, &piece);

    if (live && memcmp(live, id, 16) < 0) {
        tracehead_key(key, 0, id, 0);
        memcpy(key, s->prefix, sizeof(s->prefix));
        kv_iter_seek(s->it, slice_of(key, sizeof(key)));
    }
    while (s->n_heap && memcmp(s->heap[0].trace.id, id, 16) < 0)
        move_first(s, id);
}

static bool overlaps(const struct tracehead_query *q, int64_t start_ns, int64_t end_ns)
{
    return start_ns < q->end_ns && end_ns >= q->start_ns;
}

static bool wants_times(const struct tracehead_query *q)
{
    return q->start_ns != INT64_MIN || q->end_ns != INT64_MAX || q->after_ns;
}

/* Some of the trace s->id is of these times. */
static bool look_at(struct tracehead_set *s, int64_t start_ns, int64_t end_ns)
{
    s->is_deleted = s->is_deleted || start_ns < s->q.after_ns;
    return overlaps(&s->q, start_ns, end_ns);
}

static bool piece_overlaps(struct tracehead_set *s, struct slice piece)
{
    int64_t start_ns, end_ns;
    uint32_t n;
    struct err *e = tracesegment_extent(s->scratch, piece, &n, &start_ns, &end_ns);
    bool ret = !e && look_at(s, start_ns, end_ns);

    arena_reset(s->scratch);
    err_free(e); /* it is left out when its trace is cut */
    return ret;
}

/* Of the trace s->id; true: some of it is of the range. */
static bool take_live(struct tracehead_set *s)
{
    bool is_wanted = false;
    struct slice piece;
    const uint8_t *id;

    while ((id = live_id(s, &piece)) && memcmp(id, s->id, 16) == 0) {
        if (!is_wanted || s->q.after_ns)
            is_wanted |= !wants_times(&s->q) || piece_overlaps(s, piece);
        if (!s->q.ids_only)
            vec_push(&s->pieces, arena_dup(s->arena, piece));
        kv_iter_next(s->it);
    }
    return is_wanted;
}

static bool take_cut(struct tracehead_set *s)
{
    bool is_wanted = false;

    while (s->n_heap && memcmp(s->heap[0].trace.id, s->id, 16) == 0) {
        struct cursor *c = &s->heap[0];
        struct reader r = reader_new(c->trace.bytes);
        struct slice piece = SLICE("x");

        is_wanted |= look_at(s, c->trace.start_ns, c->trace.end_ns);
        while (!s->q.ids_only && !s->err && piece.len) {
            s->err = tracesegment_piece(&r, s->id, &piece);
            if (!s->err && piece.len)
                vec_push(&s->pieces, piece);
        }
        if (++c->at < c->file->seg.totals.traces)
            tracesegment_at(&c->file->seg, c->at, &c->trace);
        else
            *c = s->heap[--s->n_heap];
        sift(s, 0);
    }
    return is_wanted;
}

/* The least id that any cursor stands at, into s->id. */
static bool least_id(struct tracehead_set *s)
{
    struct slice piece;
    const uint8_t *id = live_id(s, &piece);

    if (s->n_heap && (!id || memcmp(s->heap[0].trace.id, id, 16) < 0))
        id = s->heap[0].trace.id;
    if (!id || memcmp(id, s->q.last, 16) > 0)
        return false;
    memcpy(s->id, id, 16);
    return true;
}

/* The next trace that is asked for, or may be, into s->id. */
static bool next_id(struct tracehead_set *s)
{
    while (s->q.has_ids) {
        if (s->next_id == s->q.n_ids)
            return false;
        seek(s, s->q.ids[s->next_id]);
        if (!least_id(s))
            return false;
        while (s->next_id < s->q.n_ids && memcmp(s->q.ids[s->next_id], s->id, 16) < 0)
            s->next_id++;
        if (s->next_id < s->q.n_ids && memcmp(s->q.ids[s->next_id], s->id, 16) == 0) {
            s->next_id++;
            return true;
        }
    }
    return least_id(s);
}

static bool is_over(struct tracehead_set *s)
{
    VEC_FOREACH (p, &s->pieces)
        s->given_bytes += p->len;
    s->given_bytes += 16;
    if (s->q.max_bytes && s->given_bytes > s->q.max_bytes)
        s->err = err_new(ERR_LIMIT, "more than %llu bytes of traces are asked for",
                         (unsigned long long)s->q.max_bytes);
    return s->err != NULL;
}

static bool is_canceled(struct tracehead_set *s)
{
    if (s->seen++ % LOOK_EVERY == 0 && s->q.cancel && atomic_load(s->q.cancel))
        s->err = err_new(ERR_CANCELED, "the query was canceled");
    return s->err != NULL;
}

bool tracehead_set_next(struct tracehead_set *s, struct tracehead_trace *ret)
{
    while (!s->err && s->it && next_id(s) && !is_canceled(s)) {
        bool is_wanted;

        arena_reset(s->arena);
        vec_clear(&s->pieces);
        s->is_deleted = false;
        is_wanted = take_live(s);
        is_wanted |= take_cut(s);
        if (s->err || !is_wanted || s->is_deleted)
            continue;
        if (is_over(s))
            return false;
        *ret = (struct tracehead_trace){s->id, s->pieces.ptr, (uint32_t)s->pieces.len};
        return true;
    }
    return false;
}

struct err *tracehead_set_close(struct tracehead_set *s)
{
    struct err *e;

    if (!s)
        return NULL;
    e = err_first(s->err, kv_iter_close(s->it));
    for (size_t i = 0; i < s->n_cursors; i++)
        tracefile_unref(s->cursors[i].file);
    mem_free(s->cursors);
    mem_free(s->heap);
    vec_done(&s->pieces);
    arena_free(s->arena);
    arena_free(s->scratch);
    mem_free(s);
    return e;
}
