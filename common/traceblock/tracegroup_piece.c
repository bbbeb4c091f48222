/* Traces of a row group as they were sent. */
#include "common/base/mem.h"
#include "common/traceblock/tracegroup_internal.h"

/* Where the values of a table's next row are. */
struct cursor {
    uint32_t row;
    uint64_t *at; /* by column */
};

/* What stays between two pieces. */
struct tracegroup_whole {
    bool is_ready;
    struct tracegroup_read *columns[TG_SHAPES];
    const int64_t *dropped[TRACE_TABLES]; /* NULL: none */
    struct cursor cursors[TRACE_TABLES];
    struct tracepiece_resource *resources;
    struct tracepiece_scope *scopes;
    const uint32_t *first_event, *first_link; /* spans + 1 */
    uint64_t *ids, *parents;
    uint32_t *resource_seen, *scope_seen; /* number + 1 in the piece that is made */
};

/* ---- values that may be all 0, or empty ---- */

static int64_t int_at(const struct tracegroup_whole *w, enum tracegroup_column column, uint64_t i)
{
    return w->columns[column] ? w->columns[column]->ints[i] : 0;
}

static struct slice text_at(const struct tracegroup_whole *w, enum tracegroup_column column,
                            uint64_t i)
{
    return w->columns[column] ? tracegroup_text(w->columns[column], i) : SLICE_EMPTY;
}

/* ---- attributes ---- */

/* Goes to a row, which is seldom another than the next one. */
static void seek(const struct tracegroup_shapes *s, struct cursor *c, uint32_t row)
{
    if (row < c->row) {
        memset(c->at, 0, s->n_columns * sizeof(*c->at));
        c->row = 0;
    }
    for (; c->row < row; c->row++) {
        uint32_t shape = s->shape ? (uint32_t)s->shape[c->row] : 0;

        for (uint32_t k = s->first[shape]; k < s->first[shape + 1]; k++)
            c->at[s->list[k]]++;
    }
}

static struct err *get_attributes(struct tracegroup *g, enum tracetable table, uint32_t row,
                                  struct arena *a, struct tracepiece_attributes *ret)
{
    const struct tracegroup_shapes *s = &g->shapes[table];
    struct cursor *c = &g->whole->cursors[table];
    uint32_t shape = s->shape ? (uint32_t)s->shape[row] : 0;
    struct err *e;

    if (arena_left(a) / sizeof(*ret->ptr) < s->first[shape + 1] - s->first[shape])
        return tracegroup_no_room(a);
    seek(s, c, row);
    ret->dropped = g->whole->dropped[table] ? (uint32_t)g->whole->dropped[table][row] : 0;
    ret->n = s->first[shape + 1] - s->first[shape];
    ret->ptr = arena_array(a, struct otlp_member, ret->n);
    for (uint32_t k = 0; k < ret->n; k++) {
        uint32_t number = s->list[s->first[shape] + k];

        if ((e = tracegroup_value(g, s->columns[number], c->at[number]++, a, &ret->ptr[k])))
            return e;
    }
    c->row = row + 1;
    return NULL;
}

/* ---- once for all pieces ---- */

struct err *tracegroup_span_ids(struct tracegroup *g, uint64_t *ret_ids)
{
    struct tracegroup_read *c;
    struct err *e = tracegroup_need(g, TG_SPAN_ID, g->about.spans, &c);

    if (e)
        return e;
    if (!c)
        return tracegroup_corrupt("it has no ids");
    for (uint32_t i = 0; i < g->about.spans; i++)
        ret_ids[i] = tracegroup_id(c, i);
    return NULL;
}

/* How many parents are not in their traces. */
static struct err *check_parents(struct tracegroup *g, const struct tracegroup_read *c,
                                 uint64_t *ret)
{
    for (uint32_t t = 0; t < g->about.traces; t++)
        for (uint32_t i = g->first_span[t]; i < g->first_span[t + 1]; i++) {
            if (c->ints[i] < -1 || c->ints[i] > g->first_span[t + 1] - g->first_span[t])
                return tracegroup_corrupt("a parent that is not in the trace");
            *ret += c->ints[i] == -1;
        }
    return NULL;
}

struct err *tracegroup_parents(struct tracegroup *g, const uint64_t *ids, uint64_t *ret)
{
    struct tracegroup_read *parent, *elsewhere;
    uint64_t n = 0;
    struct err *e = tracegroup_need(g, TG_SPAN_PARENT, g->about.spans, &parent);

    memset(ret, 0, g->about.spans * sizeof(*ret));
    if (e || !parent || (e = tracegroup_need_spans(g)) || (e = check_parents(g, parent, &n)) ||
        (e = tracegroup_need(g, TG_PARENT_ID, n, &elsewhere)))
        return e;
    if (n && !elsewhere)
        return tracegroup_corrupt("parents without ids");
    n = 0;
    for (uint32_t t = 0; t < g->about.traces; t++)
        for (uint32_t i = g->first_span[t]; i < g->first_span[t + 1]; i++) {
            int64_t at = parent->ints[i];

            if (at)
                ret[i] = at < 0 ? tracegroup_id(elsewhere, n++) : ids[g->first_span[t] + at - 1];
        }
    return NULL;
}

static uint64_t rows_of(const struct tracegroup *g, enum tracegroup_column column)
{
    if (column <= TG_TRACE_START)
        return g->about.traces;
    if (column == TG_RESOURCE_SCHEMA)
        return g->n_rows[TRACE_RESOURCES];
    if (column == TG_SCOPE_NAME || column == TG_SCOPE_VERSION || column == TG_SCOPE_SCHEMA)
        return g->n_rows[TRACE_LIBRARIES];
    if (column == TG_EVENT_TIME || column == TG_EVENT_NAME)
        return g->n_rows[TRACE_EVENTS];
    if (column >= TG_LINK_TRACE && column <= TG_LINK_FLAGS)
        return g->n_rows[TRACE_LINKS];
    return g->about.spans;
}

static struct err *need_columns(struct tracegroup *g, struct tracegroup_whole *w)
{
    struct err *e;

    for (unsigned i = 0; i < TG_SHAPES; i++)
        if (i != TG_PARENT_ID &&
            (e = tracegroup_need(g, (enum tracegroup_column)i,
                                 rows_of(g, (enum tracegroup_column)i), &w->columns[i])))
            return e;
    if (!w->columns[TG_TRACE_ID] ||
        (g->n_rows[TRACE_LINKS] && (!w->columns[TG_LINK_SPAN] || !w->columns[TG_LINK_TRACE])))
        return tracegroup_corrupt("it has no ids");
    if ((e = tracegroup_check_below(w->columns[TG_SPAN_RESOURCE], g->n_rows[TRACE_RESOURCES],
                                    "a resource that is not there")) ||
        (e = tracegroup_check_below(w->columns[TG_SPAN_SCOPE], g->n_rows[TRACE_LIBRARIES],
                                    "a scope that is not there")) ||
        (e = tracegroup_check_below(w->columns[TG_SPAN_KIND], 256, "a kind that cannot be")))
        return e;
    w->ids = arena_array(g->arena, uint64_t, g->about.spans);
    w->parents = arena_array(g->arena, uint64_t, g->about.spans);
    return (e = tracegroup_span_ids(g, w->ids)) ? e : tracegroup_parents(g, w->ids, w->parents);
}

static struct err *need_tables(struct tracegroup *g, struct tracegroup_whole *w)
{
    struct tracegroup_read *dropped;
    struct err *e;

    for (unsigned i = 0; i < TRACE_TABLES; i++) {
        if ((e = tracegroup_need_shapes(g, (enum tracetable)i)) ||
            (e = tracegroup_need_of(g, TG_DROPPED, (enum tracetable)i, g->n_rows[i], &dropped)))
            return e;
        w->dropped[i] = dropped ? dropped->ints : NULL;
        w->cursors[i].at = arena_array(g->arena, uint64_t, g->shapes[i].n_columns);
    }
    return NULL;
}

static struct err *make_shared(struct tracegroup *g, struct tracegroup_whole *w)
{
    uint32_t n = g->n_rows[TRACE_RESOURCES], m = g->n_rows[TRACE_LIBRARIES];
    struct err *e;

    w->resources = arena_array(g->arena, struct tracepiece_resource, n);
    w->scopes = arena_array(g->arena, struct tracepiece_scope, m);
    w->resource_seen = arena_array(g->arena, uint32_t, n);
    w->scope_seen = arena_array(g->arena, uint32_t, m);
    for (uint32_t i = 0; i < n; i++) {
        w->resources[i].schema_url = text_at(w, TG_RESOURCE_SCHEMA, i);
        if ((e = get_attributes(g, TRACE_RESOURCES, i, g->arena, &w->resources[i].attributes)))
            return e;
    }
    for (uint32_t i = 0; i < m; i++) {
        w->scopes[i].name = text_at(w, TG_SCOPE_NAME, i);
        w->scopes[i].version = text_at(w, TG_SCOPE_VERSION, i);
        w->scopes[i].schema_url = text_at(w, TG_SCOPE_SCHEMA, i);
        if ((e = get_attributes(g, TRACE_LIBRARIES, i, g->arena, &w->scopes[i].attributes)))
            return e;
    }
    return NULL;
}

static struct err *need_whole(struct tracegroup *g)
{
    struct tracegroup_whole *w;
    const uint8_t(*ids)[16];
    struct err *e;

    if (g->whole && g->whole->is_ready)
        return NULL;
    w = arena_new_of(g->arena, struct tracegroup_whole);
    g->whole = w;
    if ((e = tracegroup_need_all(g, TRACEGROUP_FRONT)) ||
        (e = tracegroup_need_all(g, TRACEGROUP_BACK)) || (e = tracegroup_ids(g, &ids)) ||
        (e = tracegroup_need_spans(g)) || (e = need_columns(g, w)) || (e = need_tables(g, w)) ||
        (e = tracegroup_firsts(g, TG_SPAN_EVENTS, TRACE_EVENTS, g->arena, &w->first_event)) ||
        (e = tracegroup_firsts(g, TG_SPAN_LINKS, TRACE_LINKS, g->arena, &w->first_link)) ||
        (e = make_shared(g, w)))
        return e;
    w->is_ready = true;
    return NULL;
}

/* ---- a piece ---- */

static struct err *get_event(struct tracegroup *g, uint32_t row, uint64_t start_ns, struct arena *a,
                             struct tracepiece_event *ret)
{
    ret->t_ns = start_ns + (uint64_t)int_at(g->whole, TG_EVENT_TIME, row);
    ret->name = text_at(g->whole, TG_EVENT_NAME, row);
    return get_attributes(g, TRACE_EVENTS, row, a, &ret->attributes);
}

static struct err *get_link(struct tracegroup *g, uint32_t row, struct arena *a,
                            struct tracepiece_link *ret)
{
    const struct tracegroup_whole *w = g->whole;

    memcpy(ret->trace_id, w->columns[TG_LINK_TRACE]->fixed + (size_t)row * 16, 16);
    ret->span_id = tracegroup_id(w->columns[TG_LINK_SPAN], row);
    ret->state = text_at(w, TG_LINK_STATE, row);
    ret->flags = (uint32_t)int_at(w, TG_LINK_FLAGS, row);
    return get_attributes(g, TRACE_LINKS, row, a, &ret->attributes);
}

static struct err *get_rest(struct tracegroup *g, uint32_t row, struct arena *a,
                            struct tracepiece_span *s)
{
    const struct tracegroup_whole *w = g->whole;
    uint32_t event = w->first_event[row], link = w->first_link[row];
    struct err *e = NULL;

    s->n_events = w->first_event[row + 1] - event;
    s->n_links = w->first_link[row + 1] - link;
    if (arena_left(a) < s->n_events * sizeof(*s->events) + s->n_links * sizeof(*s->links))
        return tracegroup_no_room(a);
    s->dropped_events = (uint32_t)int_at(w, TG_SPAN_DROPPED_EVENTS, row);
    s->dropped_links = (uint32_t)int_at(w, TG_SPAN_DROPPED_LINKS, row);
    s->events = arena_array(a, struct tracepiece_event, s->n_events);
    s->links = arena_array(a, struct tracepiece_link, s->n_links);
    for (uint32_t i = 0; i < s->n_events && !e; i++)
        e = get_event(g, event + i, s->start_ns, a, &s->events[i]);
    for (uint32_t i = 0; i < s->n_links && !e; i++)
        e = get_link(g, link + i, a, &s->links[i]);
    return e;
}

/* Resources of the piece are those that its spans have, in their order. */
static uint32_t number_in_piece(uint32_t *seen, uint32_t *n)
{
    if (!*seen)
        *seen = ++*n;
    return *seen - 1;
}

static struct err *get_span(struct tracegroup *g, uint32_t trace, uint32_t row, struct arena *a,
                            struct tracepiece *p, struct tracepiece_span *s)
{
    struct tracegroup_whole *w = g->whole;
    uint32_t resource = (uint32_t)int_at(w, TG_SPAN_RESOURCE, row);
    uint32_t scope = (uint32_t)int_at(w, TG_SPAN_SCOPE, row);
    uint8_t kind = (uint8_t)int_at(w, TG_SPAN_KIND, row);
    struct err *e;

    s->span_id = w->ids[row];
    s->parent_id = w->parents[row];
    s->resource = number_in_piece(&w->resource_seen[resource], &p->n_resources);
    s->scope = number_in_piece(&w->scope_seen[scope], &p->n_scopes);
    p->resources[s->resource] = w->resources[resource];
    p->scopes[s->scope] = w->scopes[scope];
    s->kind = kind & 15;
    s->status = kind >> 4;
    s->flags = (uint32_t)int_at(w, TG_SPAN_FLAGS, row);
    s->start_ns =
        (uint64_t)int_at(w, TG_TRACE_START, trace) + (uint64_t)int_at(w, TG_SPAN_START, row);
    s->end_ns = s->start_ns + (uint64_t)int_at(w, TG_SPAN_DURATION, row);
    s->name = text_at(w, TG_SPAN_NAME, row);
    s->message = text_at(w, TG_SPAN_MESSAGE, row);
    s->state = text_at(w, TG_SPAN_STATE, row);
    if ((e = get_attributes(g, TRACE_SPANS, row, a, &s->attributes)))
        return e;
    return get_rest(g, row, a, s);
}

/* The next piece numbers anew. */
static void forget_numbers(struct tracegroup *g, uint32_t first, uint32_t end)
{
    struct tracegroup_whole *w = g->whole;

    for (uint32_t row = first; row < end; row++) {
        w->resource_seen[int_at(w, TG_SPAN_RESOURCE, row)] = 0;
        w->scope_seen[int_at(w, TG_SPAN_SCOPE, row)] = 0;
    }
}

struct err *tracegroup_piece(struct tracegroup *g, uint32_t i, struct arena *a,
                             struct tracepiece *ret)
{
    struct err *e = need_whole(g);
    uint32_t first, n;

    memset(ret, 0, sizeof(*ret));
    if (e)
        return e;
    ORR_ASSERT(i < g->about.traces);
    first = g->first_span[i];
    n = g->first_span[i + 1] - first;
    memcpy(ret->trace_id, g->whole->columns[TG_TRACE_ID]->fixed + (size_t)i * 16, 16);
    if (arena_left(a) / sizeof(*ret->spans) < n)
        return tracegroup_no_room(a);
    ret->spans = arena_array(a, struct tracepiece_span, n);
    ret->resources =
        arena_array(a, struct tracepiece_resource, ORR_MIN(n, g->n_rows[TRACE_RESOURCES]));
    ret->scopes = arena_array(a, struct tracepiece_scope, ORR_MIN(n, g->n_rows[TRACE_LIBRARIES]));
    for (uint32_t k = 0; k < n && !e; k++)
        e = get_span(g, i, first + k, a, ret, &ret->spans[k]);
    forget_numbers(g, first, first + n);
    ret->n_spans = n;
    return e;
}

struct err *tracegroup_verify(struct tracegroup *g)
{
    struct arena *a = arena_child(g->arena, 0);
    int64_t start_ns = INT64_MAX, end_ns = INT64_MIN;
    struct tracepiece p;
    struct err *e = NULL;

    for (uint32_t i = 0; i < g->about.traces && !e; i++) {
        arena_reset(a);
        if (!(e = tracegroup_piece(g, i, a, &p)) && arena_over(a))
            e = tracegroup_no_room(a);
        for (uint32_t k = 0; k < p.n_spans && !e; k++) {
            int64_t start = (int64_t)p.spans[k].start_ns;

            start_ns = ORR_MIN(start_ns, start);
            end_ns = ORR_MAX(end_ns, ORR_MAX(start, (int64_t)p.spans[k].end_ns));
        }
    }
    arena_free(a);
    if (!e && (start_ns != g->about.start_ns || end_ns != g->about.end_ns))
        e = tracegroup_corrupt("it has other times than the directory says");
    return e;
}
