/*
 * Queries for lines. Streams are read one after the other, each in the direction asked for and only
 * as long as its lines can still be among the first ones (logkept.h). A stretch of time none of
 * whose lines can be among them is not read, nor are those behind it.
 *
 * Of a query in pieces each keeps first lines of its own. They are put together in the order of the pieces, until no line of the
 * next piece can be among the first ones.
 */
#include <stdlib.h>

#include "common/base/map.h"
#include "querier/logs/logkept.h"

struct lines {
    struct logquery_run *run;
    const struct pipeline *pipeline;
    struct logkept kept;
    struct buf key;    /* of the line looked at */
    bool is_plain_key; /* key is that of a plain line of the stream */
    struct arena *tmp;
};

static size_t limit_of(const struct logquery *q)
{
    return q->limit ? q->limit : LOGQUERY_LIMIT;
}

static void make_key(struct lines *l, struct pipeline_state *s, bool is_plain)
{
    if (is_plain && l->is_plain_key)
        return;
    arena_reset(l->tmp);
    buf_reset(&l->key);
    logkept_put_key(&l->key, pipeline_state_categories(s, l->tmp));
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
        if (!logkept_has_room(&l->kept, entry.ts_ns))
            return NULL;
        if ((e = logquery_run_line(l->run, entry.line.len)))
            return e;
        if (!pipeline_state_line(s, entry.ts_ns, entry.line, entry.metadata, &out))
            continue;
        l->run->stats->lines_kept++;
        make_key(l, s, out.is_plain);
        logkept_add(&l->kept, entry.ts_ns, buf_slice(&l->key), out.line);
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
    } while (logsource_set_more(set, &t_ns) && logkept_has_room(&l->kept, t_ns));
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

/* ---- pieces ---- */

static void lines_init(struct lines *l, struct logquery_run *r, const struct pipeline *p)
{
    const struct logquery *q = r->q;

    *l = (struct lines){.run = r, .pipeline = p, .tmp = arena_child(r->arena, 0)};
    l->kept = (struct logkept){.run = r,
                               .is_forward = q->is_forward,
                               /* with an interval it shows only in the end which lines count */
                               .limit = q->interval_ns ? SIZE_MAX : limit_of(q)};
}

static void lines_done(struct lines *l)
{
    logkept_done(&l->kept);
    arena_free(l->tmp);
    buf_done(&l->key);
}

static struct lines *begin_piece(const struct lines *whole, struct logquery_piece *p)
{
    struct lines *l = arena_new_of(p->run.arena, struct lines);

    lines_init(l, &p->run, whole->pipeline);
    p->state = l;
    return l;
}

static struct err *read_piece(void *arg, struct logquery_piece *p)
{
    struct lines *l = begin_piece(arg, p);
    struct err *e = read_all(l, &p->req);

    if (!e)
        logkept_sort(&l->kept);
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

    logkept_take(&l->kept, &of->kept);
    *ret_is_enough = !logkept_has_room(&l->kept, next_ns);
    return logquery_run_memory(l->run);
}

static void save_piece(const void *state, struct buf *out)
{
    logkept_save(&((const struct lines *)state)->kept, out);
}

static struct err *load_piece(void *arg, struct logquery_piece *p, struct reader *r)
{
    return logkept_load(&begin_piece(arg, p)->kept, &p->at, r);
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

struct grouped {
    struct logquery_stream *ptr;
    struct logquery_line **lines;
    size_t n, *caps;
};

/* Borrows nothing of k. */
static void add_line(struct arena *a, struct map *index, struct grouped *g,
                     const struct logkept_line *k)
{
    struct slice key = logkept_key(k), line;
    void **slot = map_slot(index, key);
    struct logquery_stream *s;
    size_t i;

    if (!*slot) {
        struct pipeline_labels ls = logkept_labels(a, arena_dup(a, key));

        s = &g->ptr[g->n];
        s->stream = ls.stream;
        s->metadata = ls.metadata;
        s->parsed = ls.parsed;
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
    line = arena_dup(a, logkept_text(k));
    g->lines[i][s->n++] = (struct logquery_line){k->ts_ns, line};
    s->lines = g->lines[i];
}

static void answer(const struct logkept *l, struct logquery_result *ret)
{
    struct arena *a = l->run->arena;
    struct grouped g = {0};
    struct map index = {0};

    g.ptr = arena_array(a, struct logquery_stream, l->n);
    g.lines = arena_array(a, struct logquery_line *, l->n);
    g.caps = arena_array(a, size_t, l->n);
    for (size_t i = 0; i < l->n; i++)
        add_line(a, &index, &g, l->heap[i]);
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
    lines_init(&l, r, p);
    if (!(e = read_lines(&l, &req)) && !r->only) {
        logkept_sort(&l.kept);
        if (q->interval_ns)
            logkept_thin(&l.kept, q->interval_ns, limit_of(q));
        answer(&l.kept, ret);
    }
    lines_done(&l);
    pipeline_done(p);
    return e;
}
