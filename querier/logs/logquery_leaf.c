/*
 * A range aggregation at every step, from lines: what becomes of them is logleaf.h's.
 *
 * Of a query in pieces each makes such a leaf of its own, of the steps that its lines can come into. They are put together in
 * the order of the pieces: samples one behind the other, as one reader would have come across them; what only counts is whole
 * numbers, whose sum has no order. So the answer is the same, bit for bit, however it is cut.
 */
#include "querier/logs/logleaf.h"

static struct err *read_stream(struct logleaf *f, struct pipeline_state *state,
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
        if ((e = logleaf_line(f, state, entry.ts_ns, &line)))
            return e;
    }
    return NULL;
}

static struct err *read_set(struct logleaf *f, struct pipeline_state *state,
                            struct logsource_set *set)
{
    struct labels stream;
    struct err *e;
    int64_t t_ns;

    do {
        while (logsource_set_stream(set, &stream)) {
            logleaf_stream(f, stream);
            pipeline_state_stream(state, stream);
            if ((e = logquery_run_stream(f->run, set)) || (e = read_stream(f, state, set)))
                return e;
        }
    } while (logsource_set_more(set, &t_ns));
    return NULL;
}

static struct err *read_all(struct logleaf *f, const struct logsource_request *req)
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

static struct logleaf *begin_piece(const struct logleaf *whole, struct logquery_piece *p)
{
    struct logleaf *f = arena_new_of(p->run.arena, struct logleaf);

    logleaf_init(f, &p->run, whole->range, whole->grid, whole->pipeline);
    logleaf_narrow(f, p->at.from_ns, p->at.to_ns);
    p->state = f;
    return f;
}

static struct err *read_piece(void *arg, struct logquery_piece *p)
{
    struct logleaf *f = begin_piece(arg, p);

    return p->at.from_ns < p->at.to_ns ? read_all(f, &p->req) : NULL;
}

static void drop_piece(void *state)
{
    logleaf_done(state);
}

static struct err *take_piece(void *arg, const struct logquery_piece *p, int64_t next_ns,
                              bool *ret_is_enough)
{
    (void)next_ns;
    *ret_is_enough = false;
    return logleaf_add(arg, p->state);
}

static void save_piece(const void *state, struct buf *out)
{
    logleaf_save(state, out);
}

static struct err *load_piece(void *arg, struct logquery_piece *p, struct reader *r)
{
    return logleaf_load(begin_piece(arg, p), &p->at, r);
}

static struct err *read_lines(struct logleaf *f, struct slice text,
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
    struct logleaf f;
    struct pipeline *p;
    struct err *e;

    if (range->range_ns > LOGQUERY_MAX_RANGE_NS || range->offset_ns > LOGQUERY_MAX_RANGE_NS ||
        range->offset_ns < -LOGQUERY_MAX_RANGE_NS)
        return err_new(ERR_INVALID, "a range or an offset is longer than 36 years");
    if ((e = pipeline_make(r->arena, &range->logs, &opts, &p)))
        return e;
    logleaf_init(&f, r, range, grid, p);
    e = read_lines(&f, text, &req);
    if (!e && !r->only)
        e = range->op == LOGQL_ABSENT_OVER_TIME ? logleaf_finish_absent(&f, ret, ret_n)
                                                : logleaf_finish(&f, ret, ret_n);
    logleaf_done(&f);
    pipeline_done(p);
    return e;
}
