/* Blocks and files of segments as sources, and what becomes of them. */
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/traceblock/traceblock_internal.h"
#include "common/traces/tracesegment.h"

/* ---- a block ---- */

struct of_block {
    struct arena *arena;
    struct traceblock *block;
    struct traceblock_set *set; /* from the first trace on */
    struct traceblock_trace trace;
};

static struct err *begin_block(struct of_block *s)
{
    struct traceblock_query q = {.start_ns = INT64_MIN, .end_ns = INT64_MAX};

    memset(q.last, 0xff, sizeof(q.last));
    return traceblock_select(s->block, s->arena, &q, &s->set);
}

static struct err *block_trace(void *arg, const uint8_t **ret_id, uint32_t *ret_pieces)
{
    struct of_block *s = arg;
    struct err *e;

    *ret_id = NULL;
    if (!s->set && (e = begin_block(s)))
        return e;
    if (traceblock_set_next(s->set, &s->trace)) {
        *ret_id = s->trace.id;
        *ret_pieces = 1;
        return NULL;
    }
    e = traceblock_set_close(s->set);
    s->set = NULL;
    return e;
}

static struct err *block_piece(void *arg, struct arena *a, struct tracepiece *ret)
{
    struct of_block *s = arg;

    (void)a;
    *ret = *s->trace.piece;
    return NULL;
}

static void block_close(void *arg)
{
    struct of_block *s = arg;

    err_free(traceblock_set_close(s->set));
    arena_free(s->arena);
    mem_free(s);
}

struct err *traceblock_source_block(struct traceblock *b, struct traceblock_source *ret)
{
    struct of_block *s = mem_new(struct of_block);

    s->block = b;
    s->arena = arena_new(TRACEBLOCK_GROUP_BYTES);
    *ret = (struct traceblock_source){block_trace, block_piece, block_close, s};
    return NULL;
}

/* ---- a file of a segment ---- */

struct of_segment {
    const struct tracesegment *segment;
    uint64_t next;
    struct tracesegment_trace trace;
    struct reader pieces;
};

static struct err *segment_trace(void *arg, const uint8_t **ret_id, uint32_t *ret_pieces)
{
    struct of_segment *s = arg;

    *ret_id = NULL;
    if (s->next == s->segment->totals.traces)
        return NULL;
    tracesegment_at(s->segment, s->next++, &s->trace);
    s->pieces = reader_new(s->trace.bytes);
    *ret_id = s->trace.id;
    *ret_pieces = s->trace.n_pieces;
    return NULL;
}

static struct err *segment_piece(void *arg, struct arena *a, struct tracepiece *ret)
{
    struct of_segment *s = arg;
    struct slice piece;
    struct err *e = tracesegment_piece(&s->pieces, s->trace.id, &piece);

    if (!e && !piece.len)
        e = err_new(ERR_CORRUPT, "segment of traces: a trace with fewer pieces than it says");
    return e ? e : tracepiece_decode(a, piece, ret);
}

struct traceblock_source traceblock_source_segment(const struct tracesegment *segment)
{
    struct of_segment *s = mem_new(struct of_segment);

    s->segment = segment;
    return (struct traceblock_source){segment_trace, segment_piece, mem_free, s};
}

/* ---- the merge ---- */

struct head {
    const struct traceblock_source *source;
    size_t place; /* of equal ids the first source is first */
    const uint8_t *id;
    uint32_t n_pieces;
};

struct merge {
    VEC(struct head *) heap;
    VEC(struct head *) equal; /* those that have the trace, out of the heap */
    VEC(struct tracepiece) pieces;
    struct arena *arena; /* of a trace */
    struct traceblock_writer *w;
    struct traceblock_merged done;
    bool is_cut; /* the trace */
    size_t max_trace_bytes;
};

static bool is_before(const struct head *l, const struct head *r)
{
    int c = memcmp(l->id, r->id, 16);

    return c ? c < 0 : l->place < r->place;
}

static void put(struct merge *m, struct head *h)
{
    size_t i = m->heap.len;

    vec_push(&m->heap, h);
    for (; i && is_before(h, m->heap.ptr[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap.ptr[i] = m->heap.ptr[(i - 1) / 2];
    m->heap.ptr[i] = h;
}

static struct head *take(struct merge *m)
{
    struct head **h = m->heap.ptr, *top = h[0], *last = vec_pop(&m->heap);
    size_t n = m->heap.len, i = 0, k;

    for (; (k = 2 * i + 1) < n; i = k) {
        k += k + 1 < n && is_before(h[k + 1], h[k]);
        if (!is_before(h[k], last))
            break;
        h[i] = h[k];
    }
    if (n)
        h[i] = last;
    return top;
}

static struct err *advance(struct merge *m, struct head *h)
{
    struct err *e = h->source->trace(h->source->arg, &h->id, &h->n_pieces);

    if (!e && h->id)
        put(m, h);
    return e;
}

static struct err *add_pieces(struct merge *m, struct head *h)
{
    struct tracepiece p;
    struct err *e;

    for (uint32_t i = 0; i < h->n_pieces; i++) {
        m->is_cut = m->is_cut || arena_used(m->arena) > m->max_trace_bytes;
        if (m->is_cut)
            return NULL;
        if ((e = h->source->piece(h->source->arg, m->arena, &p)))
            return e;
        vec_push(&m->pieces, p);
    }
    return NULL;
}

static struct err *write_trace(struct merge *m)
{
    struct tracepiece whole;
    uint64_t spans = 0;

    VEC_FOREACH (p, &m->pieces)
        spans += p->n_spans;
    tracepiece_unite(m->arena, m->pieces.ptr, m->pieces.len, &whole);
    m->done.duplicates += spans - whole.n_spans;
    m->done.cut += m->is_cut;
    return traceblock_writer_trace(m->w, &whole);
}

/* The trace that the heap is at. */
static struct err *merge_trace(struct merge *m)
{
    struct err *e = NULL;

    arena_reset(m->arena);
    vec_clear(&m->pieces);
    vec_clear(&m->equal);
    m->is_cut = false;
    do {
        vec_push(&m->equal, take(m));
    } while (m->heap.len && memcmp(m->heap.ptr[0]->id, m->equal.ptr[0]->id, 16) == 0);
    VEC_FOREACH (h, &m->equal)
        if (!e)
            e = add_pieces(m, *h);
    if (!e)
        e = write_trace(m);
    VEC_FOREACH (h, &m->equal)
        if (!e)
            e = advance(m, *h);
    return e;
}

struct err *traceblock_merge(const struct traceblock_source *sources, size_t n,
                             size_t max_trace_bytes, const atomic_bool *stop,
                             struct traceblock_writer *w, struct traceblock_merged *ret)
{
    struct merge m = {.w = w,
                      .arena = arena_new(0),
                      .max_trace_bytes =
                          max_trace_bytes ? max_trace_bytes : TRACEBLOCK_TRACE_BYTES};
    struct head *heads = mem_new_array(struct head, n + 1);
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++) {
        heads[i] = (struct head){.source = &sources[i], .place = i};
        e = advance(&m, &heads[i]);
    }
    while (!e && m.heap.len) {
        e = merge_trace(&m);
        if (!e && stop && atomic_load_explicit(stop, memory_order_relaxed))
            e = err_new(ERR_CANCELED, "stopped while it merged traces");
    }
    for (size_t i = 0; i < n; i++)
        sources[i].close(sources[i].arg);
    vec_done(&m.heap);
    vec_done(&m.equal);
    vec_done(&m.pieces);
    arena_free(m.arena);
    mem_free(heads);
    if (ret)
        *ret = m.done;
    return e;
}
