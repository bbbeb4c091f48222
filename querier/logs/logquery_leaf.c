/*
 * Range aggregations over lines. What only counts (lines, bytes) is added up per step as the lines
 * go by: where a line comes into a window and where it leaves one, so that memory is series x steps.
 * The others hold the samples of each series until all lines have been read.
 *
 * Of a query in pieces each makes such a leaf of its own, of the steps that its lines can come into. They are put together in
 * the order of the pieces: samples one behind the other, as one reader would have come across them; what only counts is whole
 * numbers, whose sum has no order. So the answer is the same, bit for bit, however it is cut.
 */
#include <math.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/promdur.h"
#include "querier/logs/logquery_internal.h"

struct series {
    struct labels labels;
    /* counts: what changes at each step from the leaf's first, one step more than there are */
    double *change, *change_n;
    struct logquery_sample *samples;
    size_t n, cap;
    struct hash128 stream; /* whose line came last */
    bool is_mixed;         /* samples of several streams, one behind the other */
};

struct leaf {
    struct logquery_run *run;
    const struct logql_range *range;
    const struct logquery_grid *grid;
    const struct pipeline *pipeline;
    struct arena *arena, *tmp;
    bool counts;
    size_t first_step, n_steps; /* that lines may come into */
    struct series **series;
    size_t n, cap;
    struct map index; /* canonical labels -> number + 1 */
    struct buf key;
    struct hash128 stream; /* that is read; unless it counts */
    size_t plain;          /* of the stream's lines without changes; number + 1 */
    uint64_t held;
};

static bool is_count(const struct logql_range *r)
{
    switch (r->op) {
    case LOGQL_COUNT_OVER_TIME:
    case LOGQL_BYTES_OVER_TIME:
    case LOGQL_BYTES_RATE:
    case LOGQL_ABSENT_OVER_TIME:
        return true;
    case LOGQL_RATE:
        return r->unwrap == LOGQL_UNWRAP_NONE;
    default:
        return false;
    }
}

static struct err *add_series(struct leaf *f, struct labels ls, struct series **ret)
{
    uint64_t max = f->run->q->max_series ? f->run->q->max_series : LOGQUERY_MAX_SERIES;
    struct series *s;

    if (f->n >= max)
        return err_new(ERR_LIMIT,
                       "%s() makes more than %llu series, the most that a query over lines may "
                       "hold; aggregate by fewer labels",
                       logql_range_op_name(f->range->op), (unsigned long long)max);
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;

        f->series =
            arena_grow(f->arena, f->series, f->cap * sizeof(*f->series), cap * sizeof(*f->series));
        f->cap = cap;
    }
    s = arena_new_of(f->arena, struct series);
    s->labels = labels_dup(f->arena, ls);
    if (f->counts) {
        s->change = arena_array(f->arena, double, f->n_steps + 1);
        s->change_n = arena_array(f->arena, double, f->n_steps + 1);
    }
    f->series[f->n++] = s;
    *ret = s;
    return NULL;
}

/* The series with these labels; *ret_number counts from 1. */
static struct err *find_series(struct leaf *f, struct labels ls, size_t *ret_number)
{
    struct series *s;
    struct err *e;
    void **slot;

    buf_reset(&f->key);
    labels_canonical(&f->key, ls);
    slot = map_slot(&f->index, buf_slice(&f->key));
    if (!*slot) {
        if ((e = add_series(f, ls, &s)))
            return e;
        *slot = (void *)(uintptr_t)f->n;
    }
    *ret_number = (uintptr_t)*slot;
    return NULL;
}

/* The series of the line just run. */
static struct err *series_of(struct leaf *f, struct pipeline_state *state, bool is_plain,
                             struct series **ret)
{
    struct err *e;
    size_t number;

    if (f->n && f->range->op == LOGQL_ABSENT_OVER_TIME) {
        *ret = f->series[0]; /* only whether there are lines matters */
        return NULL;
    }
    if (is_plain && f->plain) {
        *ret = f->series[f->plain - 1];
        return NULL;
    }
    arena_reset(f->tmp);
    if ((e = find_series(f, pipeline_state_labels(state, f->tmp), &number)))
        return e;
    if (is_plain)
        f->plain = number;
    *ret = f->series[number - 1];
    return NULL;
}

static int64_t div_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* The steps whose windows hold the moment: from … to - 1. */
static bool steps_of(const struct leaf *f, int64_t ts_ns, size_t *ret_from, size_t *ret_to)
{
    const struct logquery_grid *g = f->grid;
    int64_t first = ts_ns + f->range->offset_ns - g->start_ns, step = g->step_ns ? g->step_ns : 1;
    int64_t from = div_up(first, step), to = div_up(first + f->range->range_ns, step);

    from = ORR_MAX(from, 0);
    to = ORR_MIN(to, (int64_t)g->n);
    *ret_from = (size_t)from;
    *ret_to = (size_t)ORR_MAX(to, 0);
    return from < to;
}

/* Room for n more. */
static struct err *grow_samples(struct leaf *f, struct series *s, size_t n)
{
    uint64_t max = f->run->q->max_samples ? f->run->q->max_samples : ENGINE_MAX_SAMPLES;
    size_t cap = s->cap ? s->cap : 16;

    f->held += n;
    if (f->held > max)
        return err_new(ERR_LIMIT,
                       "query processing would load too many samples into memory in query "
                       "execution: the limit is %llu (limits.max-samples-per-query)",
                       (unsigned long long)max);
    while (cap < s->n + n)
        cap *= 2;
    if (cap == s->cap)
        return NULL;
    s->samples = mem_reallocarray(s->samples, cap, sizeof(*s->samples));
    arena_charge(f->arena, (int64_t)((cap - s->cap) * sizeof(*s->samples)));
    s->cap = cap;
    return NULL;
}

static struct err *hold(struct leaf *f, struct series *s, int64_t ts_ns, double v)
{
    struct err *e = grow_samples(f, s, 1);

    if (e)
        return e;
    s->is_mixed |= s->n && !hash128_eq(s->stream, f->stream);
    s->stream = f->stream;
    s->samples[s->n++] = (struct logquery_sample){ts_ns, v};
    return NULL;
}

static struct err *add_line(struct leaf *f, struct pipeline_state *state, int64_t ts_ns,
                            const struct pipeline_line *line)
{
    struct slice error, details;
    struct series *s;
    size_t from, to;
    struct err *e;

    if (!steps_of(f, ts_ns, &from, &to))
        return NULL;
    if (f->range->op != LOGQL_ABSENT_OVER_TIME && pipeline_state_fails(state, &error, &details))
        return err_new(ERR_INVALID,
                       "pipeline error: %.*s (%.*s); | __error__=\"\" passes such lines over",
                       SLICE_ARG(error), SLICE_ARG(slice_sub(details, 0, 500)));
    if ((e = series_of(f, state, line->is_plain, &s)))
        return e;
    if (!f->counts)
        return hold(f, s, ts_ns, line->value);
    from -= f->first_step;
    to -= f->first_step;
    ORR_ASSERT(to <= f->n_steps);
    s->change[from] += line->value;
    s->change[to] -= line->value;
    s->change_n[from] += 1;
    s->change_n[to] -= 1;
    return NULL;
}

static struct err *read_stream(struct leaf *f, struct pipeline_state *state,
                               struct logsource_set *set)
{
    struct logsource_entry entry;
    struct err *e;

    while (logsource_set_entry(set, &entry)) {
        struct pipeline_line line;

        if ((e = logquery_run_line(f->run, entry.line.len)))
            return e;
        if (!pipeline_state_line(state, entry.ts_ns, entry.line, entry.metadata, &line))
            continue;
        f->run->stats->lines_kept++;
        if ((e = add_line(f, state, entry.ts_ns, &line)))
            return e;
    }
    return NULL;
}

static struct err *read_set(struct leaf *f, struct pipeline_state *state, struct logsource_set *set)
{
    struct labels stream;
    struct err *e;
    int64_t t_ns;

    do {
        while (logsource_set_stream(set, &stream)) {
            f->plain = 0;
            if (!f->counts)
                f->stream = labels_fingerprint(stream);
            pipeline_state_stream(state, stream);
            if ((e = logquery_run_stream(f->run, set)) || (e = read_stream(f, state, set)))
                return e;
        }
    } while (logsource_set_more(set, &t_ns));
    return NULL;
}

static struct err *read_all(struct leaf *f, const struct logsource_request *req)
{
    struct pipeline_state *state = pipeline_state_new(f->pipeline, f->arena);
    struct logsource_set *set;
    struct err *e = logsource_select(f->run->source, f->arena, req, &set);

    if (!e) {
        e = read_set(f, state, set);
        e = err_first(e, logquery_run_close(f->run, set));
    }
    pipeline_state_free(state);
    return e;
}

/* ---- pieces ---- */

/* What of a leaf is not its own state. */
static void leaf_init(struct leaf *f, const struct leaf *of, struct logquery_run *r)
{
    *f = (struct leaf){.run = r,
                       .range = of->range,
                       .grid = of->grid,
                       .pipeline = of->pipeline,
                       .counts = of->counts,
                       .n_steps = of->grid->n};
    f->arena = r->arena;
    f->tmp = arena_child(r->arena, 0);
}

static void leaf_done(struct leaf *f)
{
    for (size_t i = 0; i < f->n; i++) {
        arena_charge(f->arena, -(int64_t)(f->series[i]->cap * sizeof(struct logquery_sample)));
        mem_free(f->series[i]->samples);
    }
    map_done(&f->index);
    buf_done(&f->key);
    arena_free(f->tmp);
}

/* In the whole leaf, arg; it is the same for all pieces. */
static struct leaf *begin_piece(void *arg, struct logquery_piece *p)
{
    struct leaf *f = arena_new_of(p->run.arena, struct leaf);
    size_t from, to, end;

    leaf_init(f, arg, &p->run);
    p->state = f;
    if (p->at.from_ns >= p->at.to_ns)
        return f;
    (void)steps_of(f, p->at.from_ns, &from, &to);
    (void)steps_of(f, p->at.to_ns - 1, &to, &end);
    f->first_step = ORR_MIN(from, end);
    f->n_steps = end - f->first_step;
    return f;
}

static struct err *read_piece(void *arg, struct logquery_piece *p)
{
    struct leaf *f = begin_piece(arg, p);

    return p->at.from_ns < p->at.to_ns ? read_all(f, &p->req) : NULL;
}

static void drop_piece(void *state)
{
    leaf_done(state);
}

static struct err *add_samples(struct leaf *f, struct series *s, const struct series *add)
{
    struct err *e;

    if (!add->n)
        return NULL;
    if ((e = grow_samples(f, s, add->n)))
        return e;
    s->is_mixed |= add->is_mixed || (s->n && !hash128_eq(s->stream, add->stream));
    s->stream = add->stream;
    memcpy(s->samples + s->n, add->samples, add->n * sizeof(*s->samples));
    s->n += add->n;
    return NULL;
}

static void add_counts(struct series *s, const struct leaf *of, const struct series *add)
{
    for (size_t i = 0; i <= of->n_steps; i++) {
        s->change[of->first_step + i] += add->change[i];
        s->change_n[of->first_step + i] += add->change_n[i];
    }
}

static struct err *take_piece(void *arg, const struct logquery_piece *p, int64_t next_ns,
                              bool *ret_is_enough)
{
    const struct leaf *of = p->state;
    struct leaf *f = arg;

    (void)next_ns;
    for (size_t i = 0; i < of->n; i++) {
        const struct series *add = of->series[i];
        struct series *s;
        struct err *e;
        size_t number = 1;

        if (f->range->op != LOGQL_ABSENT_OVER_TIME || !f->n)
            if ((e = find_series(f, add->labels, &number)))
                return e;
        s = f->series[number - 1];
        if (f->counts)
            add_counts(s, of, add);
        else if ((e = add_samples(f, s, add)))
            return e;
        if ((e = logquery_run_memory(f->run)))
            return e;
    }
    *ret_is_enough = false;
    return NULL;
}

/* ---- pieces that others run ---- */

/*
 * uvarint series, each: uvarint labels, lstr name and value of each, and
 *     counts:  uvarint steps that change anything, each: uvarint steps since the one before | f64le change of the sum, of the number
 *     else:    u64le twice, the stream of the last sample | u8 1: of several streams | uvarint samples, each:
 *              varint time since the one before | f64le
 */
static void save_counts(const struct leaf *f, const struct series *s, struct buf *out)
{
    size_t n = 0, last = 0;

    for (size_t i = 0; i <= f->n_steps; i++)
        n += s->change[i] != 0 || s->change_n[i] != 0;
    buf_uvarint(out, n);
    for (size_t i = 0; i <= f->n_steps; i++) {
        if (s->change[i] == 0 && s->change_n[i] == 0)
            continue;
        buf_uvarint(out, i - last);
        buf_f64le(out, s->change[i]);
        buf_f64le(out, s->change_n[i]);
        last = i;
    }
}

static void save_samples(const struct series *s, struct buf *out)
{
    int64_t last = 0;

    buf_u64le(out, s->stream.hi);
    buf_u64le(out, s->stream.lo);
    buf_byte(out, s->is_mixed);
    buf_uvarint(out, s->n);
    for (size_t i = 0; i < s->n; i++) {
        buf_varint(out, (int64_t)((uint64_t)s->samples[i].ts_ns - (uint64_t)last));
        buf_f64le(out, s->samples[i].v);
        last = s->samples[i].ts_ns;
    }
}

static void save_piece(const void *state, struct buf *out)
{
    const struct leaf *f = state;

    buf_uvarint(out, f->n);
    for (size_t i = 0; i < f->n && buf_ok(out); i++) {
        const struct series *s = f->series[i];

        buf_uvarint(out, s->labels.n);
        for (size_t k = 0; k < s->labels.n; k++) {
            buf_lstr(out, s->labels.ptr[k].name);
            buf_lstr(out, s->labels.ptr[k].value);
        }
        if (f->counts)
            save_counts(f, s, out);
        else
            save_samples(s, out);
    }
}

static void load_counts(const struct leaf *f, struct series *s, struct reader *r)
{
    size_t at = 0;

    for (size_t n = reader_count(r, 17); n > 0; n--) {
        uint64_t gap = reader_uvarint(r);

        if (gap > f->n_steps - at)
            reader_fail(r);
        if (!reader_ok(r))
            return;
        at += gap;
        s->change[at] += reader_f64le(r);
        s->change_n[at] += reader_f64le(r);
    }
}

static struct err *load_samples(struct leaf *f, struct series *s, struct reader *r)
{
    struct hash128 stream = {0};
    struct err *e;
    int64_t ts_ns = 0;
    size_t n;

    stream.hi = reader_u64le(r);
    stream.lo = reader_u64le(r);
    s->is_mixed = reader_u8(r) != 0;
    n = reader_count(r, 9);
    if (s->n) /* a series twice */
        reader_fail(r);
    if (!reader_ok(r) || !n)
        return NULL;
    if ((e = grow_samples(f, s, n)))
        return e;
    s->stream = stream;
    for (; s->n < n; s->n++) {
        ts_ns = (int64_t)((uint64_t)ts_ns + (uint64_t)reader_varint(r));
        s->samples[s->n] = (struct logquery_sample){ts_ns, reader_f64le(r)};
    }
    return NULL;
}

static struct err *load_series(struct leaf *f, struct reader *r)
{
    size_t n, number;
    struct label *ls;
    struct err *e;

    arena_reset(f->tmp);
    n = reader_count(r, 2);
    ls = arena_array(f->tmp, struct label, n);
    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
    }
    if (!reader_ok(r))
        return NULL;
    if ((e = find_series(f, (struct labels){ls, n}, &number)))
        return e;
    if (!f->counts)
        return load_samples(f, f->series[number - 1], r);
    load_counts(f, f->series[number - 1], r);
    return NULL;
}

static struct err *load_piece(void *arg, struct logquery_piece *p, struct reader *r)
{
    struct leaf *f = begin_piece(arg, p);
    struct err *e = NULL;

    for (size_t n = reader_count(r, 2); n > 0 && !e && reader_ok(r); n--)
        if (!(e = load_series(f, r)))
            e = logquery_run_memory(&p->run);
    return e;
}

/* ---- the answer ---- */

static void finish_counts(const struct leaf *f, const struct series *s, double *v, bool *has)
{
    bool is_rate = f->range->op == LOGQL_RATE || f->range->op == LOGQL_BYTES_RATE;
    double sum = 0, n = 0;

    for (size_t i = 0; i < f->grid->n; i++) {
        sum += s->change[i];
        n += s->change_n[i];
        has[i] = n > 0;
        v[i] = is_rate ? sum / promdur_seconds(f->range->range_ns) : sum;
    }
}

/* Of one time by value, NaN first: lines of several streams have no order then, whether or not they come one behind the other. */
static int by_time(const void *a, const void *b)
{
    const struct logquery_sample *x = a, *y = b;

    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    if (isnan(x->v) || isnan(y->v))
        return isnan(y->v) - isnan(x->v);
    return (x->v > y->v) - (x->v < y->v);
}

static struct err *finish(struct leaf *f, struct logquery_series **ret, size_t *ret_n)
{
    struct logquery_series *out = arena_array(f->arena, struct logquery_series, f->n);
    struct err *e;

    for (size_t i = 0; i < f->n; i++) {
        struct series *s = f->series[i];
        double *v = arena_array(f->arena, double, f->grid->n);
        bool *has = arena_array(f->arena, bool, f->grid->n);

        if ((e = logquery_run_memory(f->run)))
            return e;
        if (f->counts) {
            finish_counts(f, s, v, has);
        } else {
            if (s->is_mixed)
                qsort(s->samples, s->n, sizeof(*s->samples), by_time);
            if ((e = logquery_window(f->run, f->range, f->grid, s->samples, s->n, f->tmp, v, has)))
                return e;
        }
        out[i] = (struct logquery_series){s->labels, v, has};
    }
    if (f->n)
        qsort(out, f->n, sizeof(*out), logquery_by_labels);
    *ret = out;
    *ret_n = f->n;
    return NULL;
}

/* The labels that the selector's equalities give; a name matched again loses its value. */
static struct labels absent_labels(struct arena *a, struct matchers ms)
{
    struct labels_builder b;

    labels_builder_init(&b, a, (struct labels){0});
    for (size_t i = 0; i < ms.n; i++) {
        bool is_first = ms.ptr[i].op == MATCHER_EQ;

        for (size_t k = 0; k < i && is_first; k++)
            is_first = ms.ptr[k].op != MATCHER_EQ || !slice_eq(ms.ptr[k].name, ms.ptr[i].name);
        if (is_first)
            labels_builder_set(&b, ms.ptr[i].name, ms.ptr[i].value);
        else
            labels_builder_del(&b, ms.ptr[i].name);
    }
    return labels_builder_labels(&b);
}

/* One series, where no line is in the window. */
static struct err *finish_absent(struct leaf *f, struct logquery_series **ret, size_t *ret_n)
{
    double *v = arena_array(f->arena, double, f->grid->n);
    bool *has = arena_array(f->arena, bool, f->grid->n);
    struct logquery_series *lines, *out = arena_new_of(f->arena, struct logquery_series);
    struct err *e;
    size_t n;

    if ((e = finish(f, &lines, &n)))
        return e;
    for (size_t i = 0; i < f->grid->n; i++) {
        v[i] = 1;
        has[i] = n == 0 || !lines[0].has[i];
    }
    *out = (struct logquery_series){absent_labels(f->arena, f->range->logs.matchers), v, has};
    *ret = out;
    *ret_n = 1;
    return NULL;
}

static struct err *read_lines(struct leaf *f, struct slice text,
                              const struct logsource_request *req)
{
    const struct logquery_pieces pieces = {.run = f->run,
                                           .req = req,
                                           .read = read_piece,
                                           .take = take_piece,
                                           .drop = drop_piece,
                                           .save = save_piece,
                                           .load = load_piece,
                                           .leaf = text,
                                           .arg = f};
    struct err *e;

    return logquery_pieces_run(&pieces, &e) ? e : read_all(f, req);
}

struct err *logquery_leaf(struct logquery_run *r, const struct logql_range *range,
                          const struct logql_grouping *sum, struct slice text,
                          const struct logquery_grid *grid, struct logquery_series **ret,
                          size_t *ret_n)
{
    int64_t last_ns = grid->start_ns + (int64_t)(grid->n - 1) * grid->step_ns;
    struct logsource_request req = {.matchers = range->logs.matchers,
                                    .start_ns =
                                        grid->start_ns - range->offset_ns - range->range_ns + 1,
                                    .end_ns = last_ns - range->offset_ns + 1,
                                    .is_forward = true,
                                    .logs = &range->logs,
                                    .deadline_mono_ms = r->q->deadline_mono_ms,
                                    .cancel = r->q->cancel};
    struct pipeline_opts opts = {.range = range, .sum = sum};
    struct leaf f;
    struct pipeline *p;
    struct err *e;

    if (range->range_ns > LOGQUERY_MAX_RANGE_NS || range->offset_ns > LOGQUERY_MAX_RANGE_NS ||
        range->offset_ns < -LOGQUERY_MAX_RANGE_NS)
        return err_new(ERR_INVALID, "a range or an offset is longer than 36 years");
    if ((e = pipeline_make(r->arena, &range->logs, &opts, &p)))
        return e;
    leaf_init(
        &f, &(struct leaf){.range = range, .grid = grid, .pipeline = p, .counts = is_count(range)},
        r);
    e = read_lines(&f, text, &req);
    if (!e && !r->only)
        e = range->op == LOGQL_ABSENT_OVER_TIME ? finish_absent(&f, ret, ret_n)
                                                : finish(&f, ret, ret_n);
    leaf_done(&f);
    pipeline_done(p);
    return e;
}
