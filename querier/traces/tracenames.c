#include "querier/traces/tracenames.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"

struct giving {
    const struct tracecols *cols;
    const uint8_t *spans; /* that are meant; NULL: all */
    uint8_t *rows;        /* of the request's table, that are; NULL: all */
    tracesource_name_fn *give;
    void *arg;
    struct map given; /* type and text */
    struct buf key;
    size_t left;
    bool is_over;
};

static void give(struct giving *g, struct slice s, enum tracecell_type type)
{
    void **slot;

    if (g->is_over)
        return;
    buf_reset(&g->key);
    buf_byte(&g->key, (uint8_t)type);
    buf_slice_append(&g->key, s);
    slot = map_slot(&g->given, buf_slice(&g->key));
    if (*slot)
        return;
    *slot = g;
    g->is_over = !g->left-- || !g->give(g->arg, s, type);
}

static void give_cell(struct giving *g, uint8_t type, uint64_t value)
{
    struct buf text = {0};
    double d;

    switch (type) {
    case TRACECELL_STRING:
        give(g, g->cols->dict[value], TRACECELL_STRING);
        return;
    case TRACECELL_INT:
        buf_printf(&text, "%lld", (long long)(int64_t)value);
        break;
    case TRACECELL_FLOAT:
        memcpy(&d, &value, sizeof(d));
        buf_f64_text(&text, d);
        break;
    case TRACECELL_BOOL:
        buf_str(&text, value ? "true" : "false");
        break;
    case TRACECELL_ARRAY:
        for (uint32_t i = 0; i < g->cols->arrays[value].n; i++)
            give_cell(g, g->cols->arrays[value].types[i], g->cols->arrays[value].values[i]);
        return;
    default:
        return;
    }
    give(g, buf_slice(&text), (enum tracecell_type)type);
    buf_done(&text);
}

static bool is_meant(const uint8_t *rows, size_t row)
{
    return !rows || rows[row];
}

static void give_attribute(struct giving *g, const struct tracesource_names_request *req)
{
    const struct tracecol *c = tracecols_find(g->cols, req->table, req->attribute);

    for (uint32_t i = 0; c && i < c->n; i++)
        if (is_meant(g->rows, c->rows[i]))
            give_cell(g, c->types[i], c->values[i]);
}

static void give_keys(struct giving *g, enum tracetable table)
{
    for (size_t i = 0; i < g->cols->n_cols[table]; i++) {
        const struct tracecol *c = &g->cols->cols[table][i];
        bool is_there = false;

        for (uint32_t k = 0; k < c->n && !is_there; k++)
            is_there = is_meant(g->rows, c->rows[k]);
        if (is_there)
            give(g, c->key, TRACECELL_STRING);
    }
}

static void give_dict(struct giving *g, const uint8_t *rows, const uint32_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_meant(rows, i) && g->cols->dict[codes[i]].len)
            give(g, g->cols->dict[codes[i]], TRACECELL_STRING);
}

static const char *status_text(uint8_t status)
{
    static const char *const texts[] = {
#define X(sym, text) text,
        TRACEQL_STATUSES(X)
#undef X
    };

    return texts[status < ORR_COUNT(texts) ? status : 0];
}

static void give_roots(struct giving *g, const uint32_t *codes)
{
    for (uint32_t t = 0; t < g->cols->n_traces; t++) {
        const struct tracecols_trace *trace = &g->cols->traces[t];
        bool is_there = !g->spans || memchr(g->spans + trace->first, 1, trace->n);

        if (is_there && trace->root != UINT32_MAX)
            give_dict(g, NULL, &codes[trace->root], 1);
    }
}

static void give_intrinsic(struct giving *g, enum traceql_intrinsic i)
{
    const struct tracecols *c = g->cols;

    switch (i) {
    case TRACEQL_NAME:
        give_dict(g, g->spans, c->name, c->n_spans);
        break;
    case TRACEQL_STATUS_MESSAGE:
        give_dict(g, g->spans, c->message, c->n_spans);
        break;
    case TRACEQL_SPAN_STATUS:
        for (uint32_t s = 0; s < c->n_spans; s++)
            if (is_meant(g->spans, s))
                give(g, slice_cstr(status_text(c->status[s])), TRACECELL_NONE);
        break;
    case TRACEQL_KIND:
        for (uint32_t s = 0; s < c->n_spans; s++)
            if (is_meant(g->spans, s))
                give(g, slice_cstr(traceql_kind_text(c->kind[s])), TRACECELL_NONE);
        break;
    case TRACEQL_ROOT_NAME:
        give_roots(g, c->name);
        break;
    case TRACEQL_ROOT_SERVICE:
        give_roots(g, c->service);
        break;
    case TRACEQL_EVENT_NAME:
        give_dict(g, g->rows, c->event_name, c->n_rows[TRACE_EVENTS]);
        break;
    case TRACEQL_LIBRARY_NAME:
        give_dict(g, g->rows, c->library_name, c->n_rows[TRACE_LIBRARIES]);
        break;
    case TRACEQL_LIBRARY_VERSION:
        give_dict(g, g->rows, c->library_version, c->n_rows[TRACE_LIBRARIES]);
        break;
    default:
        break;
    }
}

/* The table whose rows an intrinsic is of. */
static enum tracetable table_of(const struct tracesource_names_request *req)
{
    switch (req->intrinsic) {
    case TRACEQL_NO_INTRINSIC:
        return req->table;
    case TRACEQL_EVENT_NAME:
        return TRACE_EVENTS;
    case TRACEQL_LIBRARY_NAME:
    case TRACEQL_LIBRARY_VERSION:
        return TRACE_LIBRARIES;
    default:
        return TRACE_SPANS;
    }
}

static void mark(uint8_t *rows, const uint32_t *first, uint32_t span)
{
    for (uint32_t i = first[span]; i < first[span + 1]; i++)
        rows[i] = 1;
}

/* Rows of the table that spans which are meant have. */
static uint8_t *rows_of(const struct tracecols *c, enum tracetable table, const uint8_t *spans)
{
    uint8_t *rows = mem_calloc((size_t)c->n_rows[table] + c->n_spans + 1, 1);

    for (uint32_t s = 0; s < c->n_spans; s++) {
        if (!spans[s])
            continue;
        if (table == TRACE_EVENTS && c->event_first)
            mark(rows, c->event_first, s);
        else if (table == TRACE_LINKS && c->link_first)
            mark(rows, c->link_first, s);
        else if (table == TRACE_SPANS)
            rows[s] = 1;
        else if (table == TRACE_RESOURCES || table == TRACE_LIBRARIES)
            rows[table == TRACE_RESOURCES ? c->resource[s] : c->library[s]] = 1;
    }
    return rows;
}

bool tracenames_of(const struct tracecols *cols, const struct tracesource_names_request *req,
                   const uint8_t *spans, tracesource_name_fn *fn, void *arg)
{
    struct giving g = {.cols = cols,
                       .spans = spans,
                       .rows = spans ? rows_of(cols, table_of(req), spans) : NULL,
                       .give = fn,
                       .arg = arg,
                       .left = req->max ? req->max : SIZE_MAX};

    if (req->attribute.len)
        give_attribute(&g, req);
    else if (req->intrinsic != TRACEQL_NO_INTRINSIC)
        give_intrinsic(&g, req->intrinsic);
    else
        give_keys(&g, req->table);
    map_done(&g.given);
    buf_done(&g.key);
    mem_free(g.rows);
    return !g.is_over;
}
