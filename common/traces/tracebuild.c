#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/traces/tracetree.h"

struct column {
    struct slice key;
    VEC(uint32_t) rows;
    VEC(uint8_t) types;
    VEC(uint64_t) values;
};

struct table {
    uint32_t n_rows;
    VEC(struct column *) columns;
    struct map by_key;
};

struct tracebuild {
    struct arena *arena;
    struct map codes; /* text -> number in the dict + 1 */
    VEC(struct slice) dict;
    VEC(struct tracearray) arrays;
    VEC(struct tracecols_trace) traces;
    VEC(struct tracebuild_span) spans;
    VEC(uint32_t) names, messages, traces_of, services;
    VEC(uint32_t) library_names, library_versions;
    VEC(uint32_t) event_firsts, link_firsts, event_names;
    VEC(int64_t) event_times;
    VEC(uint64_t) link_spans;
    VEC(struct { uint8_t id[16]; }) link_traces;
    struct table tables[TRACE_TABLES];
};

struct tracebuild *tracebuild_new(struct arena *a)
{
    struct tracebuild *b = mem_new(struct tracebuild);

    b->arena = a;
    return b;
}

void tracebuild_free(struct tracebuild *b)
{
    if (!b)
        return;
    map_done(&b->codes);
    vec_done(&b->dict);
    vec_done(&b->arrays);
    vec_done(&b->traces);
    vec_done(&b->spans);
    vec_done(&b->names);
    vec_done(&b->messages);
    vec_done(&b->traces_of);
    vec_done(&b->services);
    vec_done(&b->library_names);
    vec_done(&b->library_versions);
    vec_done(&b->event_firsts);
    vec_done(&b->link_firsts);
    vec_done(&b->event_names);
    vec_done(&b->event_times);
    vec_done(&b->link_spans);
    vec_done(&b->link_traces);
    for (size_t t = 0; t < TRACE_TABLES; t++) {
        VEC_FOREACH (c, &b->tables[t].columns) {
            vec_done(&(*c)->rows);
            vec_done(&(*c)->types);
            vec_done(&(*c)->values);
            mem_free(*c);
        }
        vec_done(&b->tables[t].columns);
        map_done(&b->tables[t].by_key);
    }
    mem_free(b);
}

static uint32_t code_of(struct tracebuild *b, struct slice text)
{
    void **slot = map_slot(&b->codes, text);

    if (!*slot) {
        vec_push(&b->dict, arena_dup(b->arena, text));
        *slot = (void *)(uintptr_t)b->dict.len;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

uint32_t tracebuild_resource(struct tracebuild *b)
{
    vec_push(&b->services, code_of(b, SLICE("")));
    return b->tables[TRACE_RESOURCES].n_rows++;
}

uint32_t tracebuild_library(struct tracebuild *b, struct slice name, struct slice version)
{
    vec_push(&b->library_names, code_of(b, name));
    vec_push(&b->library_versions, code_of(b, version));
    return b->tables[TRACE_LIBRARIES].n_rows++;
}

void tracebuild_trace(struct tracebuild *b, const uint8_t id[16])
{
    struct tracecols_trace *t = vec_add(&b->traces);

    memcpy(t->id, id, sizeof(t->id));
    t->first = (uint32_t)b->spans.len;
    t->root = UINT32_MAX;
}

uint32_t tracebuild_span(struct tracebuild *b, const struct tracebuild_span *s)
{
    vec_push(&b->spans, *s);
    vec_push(&b->names, code_of(b, s->name));
    vec_push(&b->messages, code_of(b, s->message));
    vec_push(&b->traces_of, (uint32_t)b->traces.len - 1);
    vec_push(&b->event_firsts, (uint32_t)b->event_names.len);
    vec_push(&b->link_firsts, (uint32_t)b->link_spans.len);
    vec_last(&b->traces).n++;
    return b->tables[TRACE_SPANS].n_rows++;
}

uint32_t tracebuild_event(struct tracebuild *b, struct slice name, int64_t time_ns)
{
    vec_push(&b->event_names, code_of(b, name));
    vec_push(&b->event_times, time_ns);
    return b->tables[TRACE_EVENTS].n_rows++;
}

uint32_t tracebuild_link(struct tracebuild *b, const uint8_t trace_id[16], uint64_t span_id)
{
    memcpy(vec_add(&b->link_traces)->id, trace_id, 16);
    vec_push(&b->link_spans, span_id);
    return b->tables[TRACE_LINKS].n_rows++;
}

static struct column *column_of(struct table *t, struct arena *a, struct slice key)
{
    void **slot = map_slot(&t->by_key, key);

    if (!*slot) {
        struct column *c = mem_new(struct column);

        c->key = arena_dup(a, key);
        vec_push(&t->columns, c);
        *slot = c;
    }
    return *slot;
}

static uint64_t scalar_cell(struct tracebuild *b, const struct tracevalue *v)
{
    uint64_t bits;

    switch (v->type) {
    case TRACECELL_INT:
        return (uint64_t)v->v.i;
    case TRACECELL_FLOAT:
        memcpy(&bits, &v->v.f, sizeof(bits));
        return bits;
    case TRACECELL_STRING:
        return code_of(b, v->v.s);
    default:
        return v->v.b;
    }
}

static bool is_scalar(const struct tracevalue *v)
{
    return v->type != TRACECELL_NONE && v->type != TRACECELL_ARRAY;
}

static bool has_value(const struct tracevalue *v)
{
    if (v->type != TRACECELL_ARRAY)
        return v->type != TRACECELL_NONE;
    for (size_t i = 0; i < v->v.array.n; i++)
        if (is_scalar(&v->v.array.ptr[i]))
            return true;
    return false;
}

static uint64_t array_cell(struct tracebuild *b, const struct tracevalue *v)
{
    size_t max = v->v.array.n;
    uint8_t *types = arena_array(b->arena, uint8_t, max);
    uint64_t *values = arena_array(b->arena, uint64_t, max);
    uint32_t n = 0;

    for (size_t i = 0; i < max; i++) {
        const struct tracevalue *item = &v->v.array.ptr[i];

        if (!is_scalar(item))
            continue;
        types[n] = (uint8_t)item->type;
        values[n++] = scalar_cell(b, item);
    }
    vec_push(&b->arrays, ((struct tracearray){n, types, values}));
    return b->arrays.len - 1;
}

void tracebuild_attribute(struct tracebuild *b, enum tracetable table, struct slice key,
                          const struct tracevalue *v)
{
    struct table *t = &b->tables[table];
    uint32_t row = t->n_rows - 1;
    struct column *c;

    if (!has_value(v))
        return;
    c = column_of(t, b->arena, key);
    if (c->rows.len && vec_last(&c->rows) == row)
        return;
    vec_push(&c->rows, row);
    vec_push(&c->types, (uint8_t)v->type);
    vec_push(&c->values, v->type == TRACECELL_ARRAY ? array_cell(b, v) : scalar_cell(b, v));
    if (table == TRACE_RESOURCES && v->type == TRACECELL_STRING &&
        slice_eq(key, SLICE("service.name")))
        vec_last(&b->services) = (uint32_t)vec_last(&c->values);
}

/* Rows of parents; of spans with one id the first counts. */
static void find_parents(const struct tracebuild *b, const struct tracecols_trace *t,
                         struct tracetree_id *ids, uint32_t *parent)
{
    for (uint32_t i = 0; i < t->n; i++)
        ids[i] = (struct tracetree_id){b->spans.ptr[t->first + i].span_id, t->first + i};
    tracetree_ids_sort(ids, t->n);
    for (uint32_t row = t->first; row < t->first + t->n; row++) {
        uint64_t id = b->spans.ptr[row].parent_id;

        parent[row] = id ? tracetree_ids_find(ids, t->n, id) : UINT32_MAX;
        if (parent[row] == row)
            parent[row] = UINT32_MAX;
    }
}

static void build_trees(struct tracebuild *b, struct tracecols *t)
{
    uint32_t n = (uint32_t)b->spans.len, *parent = arena_array(b->arena, uint32_t, n);
    struct tracetree_id *ids = arena_array(b->arena, struct tracetree_id, n);
    uint8_t *is_root = arena_array(b->arena, uint8_t, n);

    VEC_FOREACH (trace, &b->traces) {
        trace->start_ns = INT64_MAX;
        trace->end_ns = INT64_MIN;
        for (uint32_t row = trace->first; row < trace->first + trace->n; row++) {
            const struct tracebuild_span *s = &b->spans.ptr[row];

            trace->start_ns = ORR_MIN(trace->start_ns, s->start_ns);
            trace->end_ns = ORR_MAX(trace->end_ns, s->end_ns);
            is_root[row] = !s->parent_id;
        }
        find_parents(b, trace, ids, parent);
    }
    t->parent = parent;
    tracetree_build(b->arena, b->traces.ptr, b->traces.len, is_root, t);
}

static void build_spans(struct tracebuild *b, struct tracecols *t)
{
    size_t n = b->spans.len;
    int64_t *start = arena_array(b->arena, int64_t, n), *end = arena_array(b->arena, int64_t, n);
    uint64_t *id = arena_array(b->arena, uint64_t, n), *parent = arena_array(b->arena, uint64_t, n);
    uint8_t *kind = arena_array(b->arena, uint8_t, n), *status = arena_array(b->arena, uint8_t, n);
    uint32_t *resource = arena_array(b->arena, uint32_t, n);
    uint32_t *library = arena_array(b->arena, uint32_t, n);
    uint32_t *service = arena_array(b->arena, uint32_t, n);

    for (size_t i = 0; i < n; i++) {
        const struct tracebuild_span *s = &b->spans.ptr[i];

        start[i] = s->start_ns;
        end[i] = s->end_ns;
        id[i] = s->span_id;
        parent[i] = s->parent_id;
        kind[i] = s->kind;
        status[i] = s->status;
        resource[i] = s->resource;
        library[i] = s->library;
        service[i] = b->services.ptr[s->resource];
    }
    t->n_spans = (uint32_t)n;
    t->start_ns = start;
    t->end_ns = end;
    t->span_id = id;
    t->parent_id = parent;
    t->kind = kind;
    t->status = status;
    t->resource = resource;
    t->library = library;
    t->service = service;
    t->name = arena_copy(b->arena, b->names.ptr, n);
    t->message = arena_copy(b->arena, b->messages.ptr, n);
    t->trace = arena_copy(b->arena, b->traces_of.ptr, n);
}

static void build_tables(struct tracebuild *b, struct tracecols *t)
{
    for (size_t i = 0; i < TRACE_TABLES; i++) {
        struct table *from = &b->tables[i];
        struct tracecol *cols = arena_array(b->arena, struct tracecol, from->columns.len);

        for (size_t k = 0; k < from->columns.len; k++) {
            const struct column *c = from->columns.ptr[k];

            cols[k] = (struct tracecol){
                .key = c->key,
                .n = (uint32_t)c->rows.len,
                .rows = arena_copy(b->arena, c->rows.ptr, c->rows.len),
                .types = arena_copy(b->arena, c->types.ptr, c->types.len),
                .values = arena_copy(b->arena, c->values.ptr, c->values.len),
            };
        }
        t->n_rows[i] = from->n_rows;
        t->n_cols[i] = from->columns.len;
        t->cols[i] = cols;
    }
}

const struct tracecols *tracebuild_end(struct tracebuild *b)
{
    struct arena *a = b->arena;
    struct tracecols *t = arena_new_of(a, struct tracecols);

    vec_push(&b->event_firsts, (uint32_t)b->event_names.len);
    vec_push(&b->link_firsts, (uint32_t)b->link_spans.len);
    build_spans(b, t);
    build_trees(b, t);
    build_tables(b, t);
    t->n_traces = (uint32_t)b->traces.len;
    t->traces = arena_copy(a, b->traces.ptr, b->traces.len);
    t->library_name = arena_copy(a, b->library_names.ptr, b->library_names.len);
    t->library_version = arena_copy(a, b->library_versions.ptr, b->library_versions.len);
    t->event_first = arena_copy(a, b->event_firsts.ptr, b->event_firsts.len);
    t->link_first = arena_copy(a, b->link_firsts.ptr, b->link_firsts.len);
    t->event_name = arena_copy(a, b->event_names.ptr, b->event_names.len);
    t->event_ns = arena_copy(a, b->event_times.ptr, b->event_times.len);
    t->link_trace = arena_copy_bytes(a, b->link_traces.ptr, b->link_traces.len * 16);
    t->link_span = arena_copy(a, b->link_spans.ptr, b->link_spans.len);
    t->arrays = arena_copy(a, b->arrays.ptr, b->arrays.len);
    t->n_dict = (uint32_t)b->dict.len;
    t->dict = arena_copy(a, b->dict.ptr, b->dict.len);
    tracebuild_free(b);
    return t;
}

const struct tracecol *tracecols_find(const struct tracecols *t, enum tracetable table,
                                      struct slice key)
{
    for (size_t i = 0; i < t->n_cols[table]; i++)
        if (slice_eq(t->cols[table][i].key, key))
            return &t->cols[table][i];
    return NULL;
}
