#include "querier/traces/tracenames.h"

#include "common/base/map.h"
#include "common/base/num.h"

struct giving {
    const struct tracecols *cols;
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

static void give_attribute(struct giving *g, const struct tracesource_names_request *req)
{
    const struct tracecol *c = tracecols_find(g->cols, req->table, req->attribute);

    for (uint32_t i = 0; c && i < c->n; i++)
        give_cell(g, c->types[i], c->values[i]);
}

static void give_dict(struct giving *g, const uint32_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (g->cols->dict[codes[i]].len)
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
    for (uint32_t t = 0; t < g->cols->n_traces; t++)
        if (g->cols->traces[t].root != UINT32_MAX)
            give_dict(g, &codes[g->cols->traces[t].root], 1);
}

static void give_intrinsic(struct giving *g, enum traceql_intrinsic i)
{
    const struct tracecols *c = g->cols;

    switch (i) {
    case TRACEQL_NAME:
        give_dict(g, c->name, c->n_spans);
        break;
    case TRACEQL_STATUS_MESSAGE:
        give_dict(g, c->message, c->n_spans);
        break;
    case TRACEQL_SPAN_STATUS:
        for (uint32_t s = 0; s < c->n_spans; s++)
            give(g, slice_cstr(status_text(c->status[s])), TRACECELL_NONE);
        break;
    case TRACEQL_KIND:
        for (uint32_t s = 0; s < c->n_spans; s++)
            give(g, slice_cstr(traceql_kind_text(c->kind[s])), TRACECELL_NONE);
        break;
    case TRACEQL_ROOT_NAME:
        give_roots(g, c->name);
        break;
    case TRACEQL_ROOT_SERVICE:
        give_roots(g, c->service);
        break;
    case TRACEQL_EVENT_NAME:
        give_dict(g, c->event_name, c->n_rows[TRACE_EVENTS]);
        break;
    case TRACEQL_LIBRARY_NAME:
        give_dict(g, c->library_name, c->n_rows[TRACE_LIBRARIES]);
        break;
    case TRACEQL_LIBRARY_VERSION:
        give_dict(g, c->library_version, c->n_rows[TRACE_LIBRARIES]);
        break;
    default:
        break;
    }
}

void tracenames_of(const struct tracecols *cols, const struct tracesource_names_request *req,
                   tracesource_name_fn *fn, void *arg)
{
    struct giving g = {
        .cols = cols, .give = fn, .arg = arg, .left = req->max ? req->max : SIZE_MAX};

    if (req->attribute.len)
        give_attribute(&g, req);
    else if (req->intrinsic != TRACEQL_NO_INTRINSIC)
        give_intrinsic(&g, req->intrinsic);
    else
        for (size_t i = 0; i < cols->n_cols[req->table]; i++)
            give(&g, cols->cols[req->table][i].key, TRACECELL_STRING);
    map_done(&g.given);
    buf_done(&g.key);
}
