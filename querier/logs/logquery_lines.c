/*
 * Queries for lines. Streams are read one after the other, each in the direction asked for and only
 * as long as its lines can still be among the first ones: those kept so far are a heap with the
 * worst on top. A line in it owns its bytes, so that memory is that of the lines kept. A stretch of time none of
 * whose lines can be among them is not read, nor are those behind it.
 *
 * Of a query in pieces each has a heap of its own. They are put together in the order of the pieces, until no line of the
 * next piece can be among the first ones.
 */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "querier/logs/logquery_internal.h"

/* One block of memory: the labels' key and the line behind it. */
struct kept {
    int64_t ts_ns;
    uint64_t order; /* of coming, for lines of one time */
    size_t key_len, line_len;
    uint8_t bytes[];
};

struct lines {
    struct logquery_run *run;
    const struct pipeline *pipeline;
    bool is_forward;
    size_t limit;
    struct kept **heap; /* the worst first */
    size_t n, cap;
    uint64_t order;
    struct buf key;    /* of the line looked at: three label sets, one behind the other */
    bool is_plain_key; /* key is that of a plain line of the stream */
    struct arena *tmp;
    size_t charged;
};

static size_t limit_of(const struct logquery *q)
{
    return q->limit ? q->limit : LOGQUERY_LIMIT;
}

/* Whether a comes before b in the answer. */
static bool is_before(const struct lines *l, const struct kept *a, const struct kept *b)
{
    if (a->ts_ns != b->ts_ns)
        return (a->ts_ns < b->ts_ns) == l->is_forward;
    return a->order < b->order;
}

static void swap(struct lines *l, size_t a, size_t b)
{
    struct kept *k = l->heap[a];

    l->heap[a] = l->heap[b];
    l->heap[b] = k;
}

static void sift_down(struct lines *l, size_t i)
{
    for (;;) {
        size_t worst = i;

        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < l->n; c++)
            if (is_before(l, l->heap[worst], l->heap[c]))
                worst = c;
        if (worst == i)
            return;
        swap(l, i, worst);
        i = worst;
    }
}

static void sift_up(struct lines *l, size_t i)
{
    while (i > 0 && is_before(l, l->heap[(i - 1) / 2], l->heap[i])) {
        swap(l, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static size_t size_of(const struct kept *k)
{
    return sizeof(*k) + k->key_len + k->line_len;
}

static void charge(struct lines *l, int64_t bytes)
{
    arena_charge(l->run->arena, bytes);
    l->charged += (size_t)bytes;
}

/* Whether a line of that time would be kept. */
static bool has_room(const struct lines *l, int64_t ts_ns)
{
    if (l->n < l->limit)
        return true;
    return l->is_forward ? ts_ns < l->heap[0]->ts_ns : ts_ns > l->heap[0]->ts_ns;
}

/* Takes it. There is room for it. */
static void put(struct lines *l, struct kept *k)
{
    k->order = l->order++;
    charge(l, (int64_t)size_of(k));
    if (l->n == l->limit) {
        charge(l, -(int64_t)size_of(l->heap[0]));
        mem_free(l->heap[0]);
        l->heap[0] = k;
        sift_down(l, 0);
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->heap = mem_reallocarray(l->heap, l->cap, sizeof(*l->heap));
    }
    l->heap[l->n++] = k;
    sift_up(l, l->n - 1);
}

static void keep(struct lines *l, int64_t ts_ns, struct slice line)
{
    struct kept *k = mem_alloc(sizeof(*k) + l->key.len + line.len);

    *k = (struct kept){ts_ns, 0, l->key.len, line.len};
    memcpy(k->bytes, l->key.ptr, l->key.len);
    if (line.len)
        memcpy(k->bytes + l->key.len, line.ptr, line.len);
    put(l, k);
}

static void put_labels(struct buf *out, struct labels ls)
{
    buf_uvarint(out, ls.n);
    for (size_t i = 0; i < ls.n; i++) {
        buf_lstr(out, ls.ptr[i].name);
        buf_lstr(out, ls.ptr[i].value);
    }
}

static void make_key(struct lines *l, struct pipeline_state *s, bool is_plain)
{
    struct pipeline_labels ls;

    if (is_plain && l->is_plain_key)
        return;
    arena_reset(l->tmp);
    ls = pipeline_state_categories(s, l->tmp);
    buf_reset(&l->key);
    put_labels(&l->key, ls.stream);
    put_labels(&l->key, ls.metadata);
    put_labels(&l->key, ls.parsed);
    l->is_plain_key = is_plain;
}

static struct err *read_stream(struct lines *l, struct pipeline_state *s, struct logsource_set *set)
{
    const struct logquery *q = l->run->q;
    struct logsource_entry entry;
    struct err *e;

    while (logsource_set_entry(set, &entry)) {
        struct pipeline_line out;

        if (entry.ts_ns < q->start_ns || entry.ts_ns >= q->end_ns)
            continue;
        if (!has_room(l, entry.ts_ns))
            return NULL;
        if ((e = logquery_run_line(l->run, entry.line.len)))
            return e;
        if (!pipeline_state_line(s, entry.ts_ns, entry.line, entry.metadata, &out))
            continue;
        l->run->stats->lines_kept++;
        make_key(l, s, out.is_plain);
        keep(l, entry.ts_ns, out.line);
    }
    return NULL;
}

static struct err *read_stretch(struct lines *l, struct pipeline_state *s,
                                struct logsource_set *set)
{
    struct labels stream;

    while (logsource_set_stream(set, &stream)) {
        struct err *e;

        l->is_plain_key = false;
        pipeline_state_stream(s, stream);
        if ((e = logquery_run_stream(l->run, set)) || (e = read_stream(l, s, set)))
            return e;
    }
    return NULL;
}

static struct err *read_set(struct lines *l, struct pipeline_state *s, struct logsource_set *set)
{
    struct err *e;
    int64_t t_ns;

    do {
        if ((e = read_stretch(l, s, set)))
            return e;
    } while (logsource_set_more(set, &t_ns) && has_room(l, t_ns));
    return NULL;
}

static struct err *read_all(struct lines *l, const struct logsource_request *req)
{
    struct pipeline_state *s = pipeline_state_new(l->pipeline, l->run->arena);
    struct logsource_set *set;
    struct err *e = logsource_select(l->run->source, l->run->arena, req, &set);

    if (!e) {
        e = read_set(l, s, set);
        e = err_first(e, logquery_run_close(l->run, set));
    }
    pipeline_state_free(s);
    return e;
}

/* In the order of the answer: the heap, emptied. */
static void sort_heap(struct lines *l)
{
    size_t n = l->n;

    while (l->n > 1) {
        swap(l, 0, l->n - 1);
        l->n--;
        sift_down(l, 0);
    }
    l->n = n;
}

/* ---- pieces ---- */

/* What of it is not its own state. */
static void lines_init(struct lines *l, const struct lines *of, struct logquery_run *r)
{
    *l = (struct lines){
        .run = r, .pipeline = of->pipeline, .is_forward = of->is_forward, .limit = of->limit};
    l->tmp = arena_child(r->arena, 0);
}

static void lines_done(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->heap[i]);
    mem_free(l->heap);
    charge(l, -(int64_t)l->charged);
    arena_free(l->tmp);
    buf_done(&l->key);
}

static struct err *read_piece(void *arg, struct logquery_piece *p)
{
    struct lines *l = arena_new_of(p->run.arena, struct lines);
    struct err *e;

    lines_init(l, arg, &p->run);
    p->state = l;
    e = read_all(l, &p->req);
    if (!e)
        sort_heap(l);
    return e;
}

static void drop_piece(void *state)
{
    lines_done(state);
}

/* The lines of a piece are in order; of one moment those of the piece before come first. */
static struct err *take_piece(void *arg, const struct logquery_piece *p, int64_t next_ns,
                              bool *ret_is_enough)
{
    struct lines *l = arg, *of = p->state;
    size_t i;

    for (i = 0; i < of->n && has_room(l, of->heap[i]->ts_ns); i++) {
        charge(of, -(int64_t)size_of(of->heap[i]));
        put(l, of->heap[i]);
    }
    if (i) /* without lines there is no heap */
        memmove(of->heap, of->heap + i, (of->n - i) * sizeof(*of->heap));
    of->n -= i;
    *ret_is_enough = !has_room(l, next_ns);
    return logquery_run_memory(l->run);
}

/* uvarint lines, each: varint time since the one before | lstr key, empty: that of the one before | lstr line */
static void save_piece(const void *state, struct buf *out)
{
    const struct lines *l = state;
    struct slice last = SLICE_EMPTY;
    int64_t last_ns = 0;

    buf_uvarint(out, l->n);
    for (size_t i = 0; i < l->n; i++) {
        const struct kept *k = l->heap[i];
        struct slice key = slice_of(k->bytes, k->key_len);

        buf_varint(out, (int64_t)((uint64_t)k->ts_ns - (uint64_t)last_ns));
        buf_lstr(out, slice_eq(key, last) ? SLICE_EMPTY : key);
        buf_lstr(out, slice_of(k->bytes + k->key_len, k->line_len));
        last = key;
        last_ns = k->ts_ns;
    }
}

static bool is_key(struct slice key)
{
    struct reader r = reader_new(key);

    for (int set = 0; set < 3; set++)
        for (size_t n = reader_count(&r, 2); n > 0; n--) {
            (void)reader_lstr(&r);
            (void)reader_lstr(&r);
        }
    return reader_ok(&r) && !reader_left(&r);
}

/* Behind those that are there, as they are in order. */
static void append(struct lines *l, struct kept *k)
{
    charge(l, (int64_t)size_of(k));
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->heap = mem_reallocarray(l->heap, l->cap, sizeof(*l->heap));
    }
    l->heap[l->n++] = k;
}

static void load_line(struct lines *l, const struct logsource_piece *at, int64_t *io_ns,
                      struct slice *io_key, struct reader *r)
{
    int64_t ts_ns = (int64_t)((uint64_t)*io_ns + (uint64_t)reader_varint(r));
    struct slice key = reader_lstr(r), line = reader_lstr(r);
    bool is_in_order = !l->n || (l->is_forward ? ts_ns >= *io_ns : ts_ns <= *io_ns);
    struct kept *k;

    if (!key.len)
        key = *io_key;
    else if (!is_key(key))
        reader_fail(r);
    if (!key.len || !is_in_order || ts_ns < at->from_ns || ts_ns >= at->to_ns || l->n == l->limit)
        reader_fail(r);
    if (!reader_ok(r))
        return;
    k = mem_alloc(sizeof(*k) + key.len + line.len);
    *k = (struct kept){ts_ns, 0, key.len, line.len};
    memcpy(k->bytes, key.ptr, key.len);
    if (line.len)
        memcpy(k->bytes + key.len, line.ptr, line.len);
    append(l, k);
    *io_ns = ts_ns;
    *io_key = key;
}

static struct err *load_piece(void *arg, struct logquery_piece *p, struct reader *r)
{
    struct lines *l = arena_new_of(p->run.arena, struct lines);
    struct slice key = SLICE_EMPTY;
    int64_t ns = 0;
    struct err *e = NULL;

    lines_init(l, arg, &p->run);
    p->state = l;
    /* one key may stand for many lines, each of which takes it */
    for (size_t n = reader_count(r, 3); n > 0 && reader_ok(r) && !e; n--) {
        load_line(l, &p->at, &ns, &key, r);
        e = logquery_run_memory(&p->run);
    }
    return e;
}

static struct err *read_lines(struct lines *l, const struct logsource_request *req)
{
    const struct logquery_pieces pieces = {.run = l->run,
                                           .req = req,
                                           .read = read_piece,
                                           .take = take_piece,
                                           .drop = drop_piece,
                                           .save = save_piece,
                                           .load = load_piece,
                                           .arg = l};
    struct err *e;

    return logquery_pieces_run(&pieces, &e) ? e : read_all(l, req);
}

/* ---- the answer ---- */

static struct labels take_labels(struct arena *a, struct reader *r)
{
    size_t n = reader_uvarint(r);
    struct label *out = arena_array(a, struct label, n);

    for (size_t i = 0; i < n; i++) {
        out[i].name = reader_lstr(r);
        out[i].value = reader_lstr(r);
    }
    return (struct labels){out, n};
}

static struct labels joined(struct arena *a, const struct logquery_stream *s)
{
    struct label *out = arena_array(a, struct label, s->stream.n + s->metadata.n + s->parsed.n);
    size_t n = 0;

    for (size_t i = 0; i < s->stream.n; i++)
        out[n++] = s->stream.ptr[i];
    for (size_t i = 0; i < s->metadata.n; i++)
        out[n++] = s->metadata.ptr[i];
    for (size_t i = 0; i < s->parsed.n; i++)
        out[n++] = s->parsed.ptr[i];
    (void)labels_sort(out, n, NULL); /* none is there twice */
    return (struct labels){out, n};
}

/* Of lines in order those at least an interval apart. */
static void thin(struct lines *l)
{
    int64_t interval = l->run->q->interval_ns, last = 0;
    size_t n = 0, limit = limit_of(l->run->q);

    for (size_t i = 0; i < l->n; i++) {
        struct kept *k = l->heap[i];
        int64_t gap = l->is_forward ? k->ts_ns - last : last - k->ts_ns;

        if (n == limit || (n > 0 && gap < interval)) {
            mem_free(k);
            continue;
        }
        last = k->ts_ns;
        l->heap[n++] = k;
    }
    l->n = n;
}

struct grouped {
    struct logquery_stream *ptr;
    struct logquery_line **lines;
    size_t n, *caps;
};

/* Borrows nothing of k. */
static void add_line(struct lines *l, struct map *index, struct grouped *g, struct kept *k)
{
    struct arena *a = l->run->arena;
    struct slice key = slice_of(k->bytes, k->key_len), line;
    void **slot = map_slot(index, key);
    struct logquery_stream *s;
    size_t i;

    if (!*slot) {
        struct reader r = reader_new(arena_dup(a, key));

        s = &g->ptr[g->n];
        s->stream = take_labels(a, &r);
        s->metadata = take_labels(a, &r);
        s->parsed = take_labels(a, &r);
        s->labels = joined(a, s);
        *slot = (void *)(uintptr_t)++g->n;
    }
    i = (uintptr_t)*slot - 1;
    s = &g->ptr[i];
    if (s->n == g->caps[i]) {
        size_t cap = s->n ? 2 * s->n : 4;

        g->lines[i] =
            arena_grow(a, g->lines[i], s->n * sizeof(**g->lines), cap * sizeof(**g->lines));
        g->caps[i] = cap;
    }
    line = arena_dup(a, slice_of(k->bytes + k->key_len, k->line_len));
    g->lines[i][s->n++] = (struct logquery_line){k->ts_ns, line};
    s->lines = g->lines[i];
}

static void answer(struct lines *l, struct logquery_result *ret)
{
    struct arena *a = l->run->arena;
    struct grouped g = {0};
    struct map index = {0};

    g.ptr = arena_array(a, struct logquery_stream, l->n);
    g.lines = arena_array(a, struct logquery_line *, l->n);
    g.caps = arena_array(a, size_t, l->n);
    for (size_t i = 0; i < l->n; i++)
        add_line(l, &index, &g, l->heap[i]);
    map_done(&index);
    if (g.n)
        qsort(g.ptr, g.n, sizeof(*g.ptr), logquery_by_labels);
    ret->streams = g.ptr;
    ret->n_streams = g.n;
    ret->stats.entries = l->n;
}

/* No line is dropped: then of no stream more lines than the limit are in the answer. */
static bool keeps_all(const struct logql_logs *logs, const struct logquery *q)
{
    return logs->n_stages == 0 && q->interval_ns == 0;
}

struct err *logquery_lines(struct logquery_run *r, const struct logql_logs *logs,
                           struct logquery_result *ret)
{
    const struct logquery *q = r->q;
    struct logsource_request req = {.matchers = logs->matchers,
                                    .start_ns = q->start_ns,
                                    .end_ns = q->end_ns,
                                    .is_forward = q->is_forward,
                                    .logs = logs,
                                    .max_entries = keeps_all(logs, q) ? limit_of(q) : 0,
                                    .wants_first = q->interval_ns == 0,
                                    .deadline_mono_ms = q->deadline_mono_ms,
                                    .cancel = q->cancel};
    struct pipeline *p;
    struct lines l;
    struct err *e;

    if ((e = pipeline_make(r->arena, logs, NULL, &p)))
        return e;
    lines_init(&l,
               &(struct lines){.pipeline = p,
                               .is_forward = q->is_forward,
                               /* with an interval it shows only in the end which lines count */
                               .limit = q->interval_ns ? SIZE_MAX : limit_of(q)},
               r);
    if (!(e = read_lines(&l, &req)) && !r->only) {
        sort_heap(&l);
        if (q->interval_ns)
            thin(&l);
        answer(&l, ret);
    }
    lines_done(&l);
    pipeline_done(p);
    return e;
}
