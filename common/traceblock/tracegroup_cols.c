/* A row group in the columns that TraceQL's engine looks at. */
#include "common/traceblock/tracegroup_cols.h"

#include "common/base/mem.h"
#include "common/traces/tracetree.h"

uint32_t tracegroup_number_of(struct tracegroup_making_cols *c, struct slice text)
{
    void **slot = map_slot(&c->texts, text);

    if (!*slot) {
        c->dict = arena_more(c->a, c->dict, c->n_dict);
        c->dict[c->n_dict++] = text;
        *slot = (void *)(uintptr_t)c->n_dict;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

/* Numbers of a column's texts in the dict; only those that some value has. */
uint32_t *tracegroup_numbers_of(struct tracegroup_making_cols *c, const struct tracegroup_read *col)
{
    uint32_t *numbers = arena_array(c->a, uint32_t, col->n_dict);

    for (size_t i = 0; i < col->n_dict; i++)
        numbers[i] = tracegroup_number_of(c, col->dict[i]);
    return numbers;
}

static struct err *text_column(struct tracegroup_making_cols *c, enum tracegroup_column column,
                               uint32_t n, const uint32_t **ret)
{
    uint32_t *to = arena_array(c->a, uint32_t, n);
    const uint32_t *numbers;
    struct tracegroup_read *col;
    struct err *e = tracegroup_need(c->g, column, n, &col);
    uint32_t empty;

    if (e)
        return e;
    *ret = to;
    if (!col) {
        empty = tracegroup_number_of(c, SLICE_EMPTY);
        for (uint32_t i = 0; i < n; i++)
            to[i] = empty;
        return NULL;
    }
    numbers = tracegroup_numbers_of(c, col);
    for (uint32_t i = 0; i < n; i++)
        to[i] = numbers[col->codes ? (uint64_t)col->codes[i] : i];
    return NULL;
}

/* Numbers below `below`. */
static struct err *row_column(struct tracegroup_making_cols *c, enum tracegroup_column column,
                              uint32_t below, const uint32_t **ret)
{
    uint32_t n = c->g->about.spans, *to = arena_array(c->a, uint32_t, n);
    struct tracegroup_read *col;
    struct err *e = tracegroup_need(c->g, column, n, &col);

    if (e || (e = tracegroup_check_below(col, below, "a row that is not there")))
        return e;
    for (uint32_t i = 0; i < n; i++)
        to[i] = col ? (uint32_t)col->ints[i] : 0;
    *ret = to;
    return NULL;
}

/* ---- what is always there ---- */

static struct err *put_traces(struct tracegroup_making_cols *c)
{
    struct tracegroup *g = c->g;
    struct tracecols_trace *traces = arena_array(c->a, struct tracecols_trace, g->about.traces);
    uint32_t *of = arena_array(c->a, uint32_t, g->about.spans);
    const uint8_t(*ids)[16];
    struct err *e;

    if ((e = tracegroup_ids(g, &ids)) || (e = tracegroup_need_spans(g)))
        return e;
    for (uint32_t i = 0; i < g->about.traces; i++) {
        struct tracecols_trace *t = &traces[i];

        memcpy(t->id, ids[i], sizeof(t->id));
        t->first = g->first_span[i];
        t->n = g->first_span[i + 1] - t->first;
        t->root = UINT32_MAX;
        for (uint32_t k = t->first; k < t->first + t->n; k++)
            of[k] = i;
    }
    c->out->n_traces = g->about.traces;
    c->out->traces = traces;
    c->out->n_spans = g->about.spans;
    c->out->trace = of;
    return NULL;
}

static struct err *put_times(struct tracegroup_making_cols *c)
{
    struct tracegroup *g = c->g;
    uint32_t n = g->about.spans;
    int64_t *start = arena_array(c->a, int64_t, n), *end = arena_array(c->a, int64_t, n);
    struct tracecols_trace *traces = (struct tracecols_trace *)c->out->traces;
    struct tracegroup_read *first, *behind, *duration;
    struct err *e;

    if ((e = tracegroup_need(g, TG_TRACE_START, g->about.traces, &first)) ||
        (e = tracegroup_need(g, TG_SPAN_START, n, &behind)) ||
        (e = tracegroup_need(g, TG_SPAN_DURATION, n, &duration)))
        return e;
    for (uint32_t t = 0; t < g->about.traces; t++) {
        uint64_t base = first ? (uint64_t)first->ints[t] : 0;

        traces[t].start_ns = INT64_MAX;
        traces[t].end_ns = INT64_MIN;
        for (uint32_t i = g->first_span[t]; i < g->first_span[t + 1]; i++) {
            uint64_t at = base + (behind ? (uint64_t)behind->ints[i] : 0);

            start[i] = (int64_t)at;
            end[i] = (int64_t)(at + (duration ? (uint64_t)duration->ints[i] : 0));
            traces[t].start_ns = ORR_MIN(traces[t].start_ns, start[i]);
            traces[t].end_ns = ORR_MAX(traces[t].end_ns, end[i]);
        }
    }
    c->out->start_ns = start;
    c->out->end_ns = end;
    return NULL;
}

static bool has_column(const struct tracecols *out, const struct tracegroup_key *key)
{
    for (size_t i = 0; i < out->n_cols[key->table]; i++)
        if (slice_eq(out->cols[key->table][i].key, key->key))
            return true;
    return false;
}

static struct err *put_one(struct tracegroup_making_cols *c, const struct tracegroup_key *key,
                           size_t room)
{
    struct tracecols *out = c->out;
    struct tracecol *cols = (struct tracecol *)out->cols[key->table], col;
    struct err *e;

    if (has_column(out, key))
        return NULL;
    if (!cols)
        out->cols[key->table] = cols = arena_array(c->a, struct tracecol, room);
    if ((e = tracegroup_attribute_column(c, key, &col)))
        return e;
    if (col.n)
        cols[out->n_cols[key->table]++] = col;
    return NULL;
}

static struct err *put_keys(struct tracegroup_making_cols *c, const struct tracegroup_want *want)
{
    static const struct tracegroup_key service = {TRACE_RESOURCES, SLICE_INIT("service.name")};
    struct err *e = put_one(c, &service, want->n_keys + 1);

    for (size_t i = 0; i < want->n_keys && !e; i++)
        e = put_one(c, &want->keys[i], want->n_keys + 1);
    for (unsigned i = 0; i < TRACE_TABLES; i++)
        c->out->n_rows[i] = c->g->n_rows[i];
    return e;
}

static void put_services(struct tracegroup_making_cols *c)
{
    struct tracecols *out = c->out;
    const struct tracecol *col = tracecols_find(out, TRACE_RESOURCES, SLICE("service.name"));
    uint32_t n = c->g->n_rows[TRACE_RESOURCES], empty = tracegroup_number_of(c, SLICE_EMPTY);
    uint32_t *of = arena_array(c->a, uint32_t, n);
    uint32_t *to = arena_array(c->a, uint32_t, out->n_spans);

    for (uint32_t i = 0; i < n; i++)
        of[i] = empty;
    for (uint32_t i = 0; col && i < col->n; i++)
        if (col->types[i] == TRACECELL_STRING)
            of[col->rows[i]] = (uint32_t)col->values[i];
    for (uint32_t i = 0; i < out->n_spans; i++)
        to[i] = of[out->resource[i]];
    out->service = to;
}

/* ---- what is wanted ---- */

static struct err *put_kinds(struct tracegroup_making_cols *c)
{
    uint32_t n = c->g->about.spans;
    uint8_t *kind = arena_array(c->a, uint8_t, n), *status = arena_array(c->a, uint8_t, n);
    struct tracegroup_read *col;
    struct err *e = tracegroup_need(c->g, TG_SPAN_KIND, n, &col);

    if (e)
        return e;
    for (uint32_t i = 0; i < n; i++) {
        kind[i] = col ? col->ints[i] & 15 : 0;
        status[i] = col ? col->ints[i] >> 4 & 15 : 0;
    }
    c->out->kind = kind;
    c->out->status = status;
    return NULL;
}

static struct err *put_events(struct tracegroup_making_cols *c)
{
    struct tracegroup *g = c->g;
    uint32_t n = g->n_rows[TRACE_EVENTS];
    int64_t *at = arena_array(c->a, int64_t, n);
    struct tracegroup_read *behind;
    struct err *e;

    if ((e = text_column(c, TG_EVENT_NAME, n, &c->out->event_name)) ||
        (e = tracegroup_need(g, TG_EVENT_TIME, n, &behind)))
        return e;
    for (uint32_t span = 0; span < g->about.spans; span++)
        for (uint32_t i = c->out->event_first[span]; i < c->out->event_first[span + 1]; i++)
            at[i] = (int64_t)((uint64_t)c->out->start_ns[span] +
                              (behind ? (uint64_t)behind->ints[i] : 0));
    c->out->event_ns = at;
    return NULL;
}

static struct err *put_links(struct tracegroup_making_cols *c)
{
    uint32_t n = c->g->n_rows[TRACE_LINKS];
    uint64_t *spans = arena_array(c->a, uint64_t, n);
    struct tracegroup_read *trace, *span;
    struct err *e;

    if ((e = tracegroup_need(c->g, TG_LINK_TRACE, n, &trace)) ||
        (e = tracegroup_need(c->g, TG_LINK_SPAN, n, &span)))
        return e;
    if (n && (!trace || !span))
        return tracegroup_corrupt("links without ids");
    for (uint32_t i = 0; i < n; i++)
        spans[i] = tracegroup_id(span, i);
    c->out->link_trace = n ? (const uint8_t(*)[16])trace->fixed : NULL;
    c->out->link_span = spans;
    return NULL;
}

static bool has_table(const struct tracegroup_want *want, enum tracetable table)
{
    for (size_t i = 0; i < want->n_keys; i++)
        if (want->keys[i].table == table)
            return true;
    return false;
}

static struct err *put_wanted(struct tracegroup_making_cols *c, const struct tracegroup_want *want)
{
    struct tracecols *out = c->out;
    uint32_t n = c->g->about.spans, libraries = c->g->n_rows[TRACE_LIBRARIES];
    struct err *e = NULL;

    if (want->fields & TRACEGROUP_NAME)
        e = text_column(c, TG_SPAN_NAME, n, &out->name);
    if (!e && want->fields & TRACEGROUP_MESSAGE)
        e = text_column(c, TG_SPAN_MESSAGE, n, &out->message);
    if (!e && want->fields & TRACEGROUP_KIND)
        e = put_kinds(c);
    if (!e && want->fields & TRACEGROUP_LIBRARY)
        e = text_column(c, TG_SCOPE_NAME, libraries, &out->library_name);
    if (!e && want->fields & TRACEGROUP_LIBRARY)
        e = text_column(c, TG_SCOPE_VERSION, libraries, &out->library_version);
    if (!e && (want->fields & TRACEGROUP_EVENTS || has_table(want, TRACE_EVENTS)))
        e = tracegroup_firsts(c->g, TG_SPAN_EVENTS, TRACE_EVENTS, c->a, &out->event_first);
    if (!e && (want->fields & TRACEGROUP_LINKS || has_table(want, TRACE_LINKS)))
        e = tracegroup_firsts(c->g, TG_SPAN_LINKS, TRACE_LINKS, c->a, &out->link_first);
    if (!e && want->fields & TRACEGROUP_EVENTS)
        e = put_events(c);
    if (!e && want->fields & TRACEGROUP_LINKS)
        e = put_links(c);
    return e;
}

/* Who is whose parent is written down by rows. */
static struct err *put_tree(struct tracegroup_making_cols *c)
{
    struct tracegroup *g = c->g;
    uint32_t n = g->about.spans, *parent = arena_array(c->a, uint32_t, n);
    uint8_t *is_root = arena_array(c->a, uint8_t, n);
    struct tracegroup_read *col;
    struct err *e = tracegroup_need(g, TG_SPAN_PARENT, n, &col);

    if (e)
        return e;
    for (uint32_t t = 0; t < g->about.traces; t++)
        for (uint32_t i = g->first_span[t]; i < g->first_span[t + 1]; i++) {
            int64_t at = col ? col->ints[i] : 0;

            if (at < -1 || at > g->first_span[t + 1] - g->first_span[t])
                return tracegroup_corrupt("a parent that is not in the trace");
            is_root[i] = at == 0;
            parent[i] = at > 0 ? g->first_span[t] + (uint32_t)at - 1 : UINT32_MAX;
            if (parent[i] == i)
                parent[i] = UINT32_MAX;
        }
    c->out->parent = parent;
    tracetree_build(c->a, (struct tracecols_trace *)c->out->traces, c->out->n_traces, is_root,
                    c->out);
    return NULL;
}

/* Once all else is there: spans stay, traces close up. */
static void leave_out(struct tracegroup_making_cols *c, const uint8_t *keep)
{
    struct tracecols *out = c->out;
    struct tracecols_trace *traces = (struct tracecols_trace *)out->traces;
    uint32_t *of = (uint32_t *)out->trace, n = 0;

    for (uint32_t i = 0; i < out->n_traces; i++) {
        struct tracecols_trace t = traces[i];

        for (uint32_t row = t.first; row < t.first + t.n; row++)
            of[row] = keep[i] ? n : 0;
        if (keep[i])
            traces[n++] = t;
    }
    out->n_traces = n;
}

static struct err *put_ids(struct tracegroup_making_cols *c)
{
    uint32_t n = c->g->about.spans;
    uint64_t *id = arena_array(c->a, uint64_t, n), *parent = arena_array(c->a, uint64_t, n);
    struct err *e = tracegroup_span_ids(c->g, id);

    if (e)
        return e;
    c->out->span_id = id;
    c->out->parent_id = parent;
    return tracegroup_parents(c->g, id, parent);
}

struct err *tracegroup_cols(struct tracegroup *g, struct arena *a,
                            const struct tracegroup_want *want, const struct tracecols **ret)
{
    struct tracegroup_making_cols c = {.g = g, .a = a, .scratch = arena_new(0)};
    struct err *e;

    c.out = arena_new_of(a, struct tracecols);
    if (!(e = put_traces(&c)) && !(e = put_times(&c)) &&
        !(e = row_column(&c, TG_SPAN_RESOURCE, g->n_rows[TRACE_RESOURCES], &c.out->resource)) &&
        !(e = row_column(&c, TG_SPAN_SCOPE, g->n_rows[TRACE_LIBRARIES], &c.out->library)) &&
        !(e = put_keys(&c, want)) && !(e = put_wanted(&c, want)) && want->fields & TRACEGROUP_IDS)
        e = put_ids(&c);
    if (!e && want->fields & TRACEGROUP_TREE)
        e = put_tree(&c);
    if (!e)
        put_services(&c);
    if (!e && want->keep)
        leave_out(&c, want->keep);
    c.out->dict = c.dict;
    c.out->n_dict = (uint32_t)c.n_dict;
    c.out->arrays = c.arrays;
    *ret = c.out;
    map_done(&c.texts);
    arena_free(c.scratch);
    return e;
}
