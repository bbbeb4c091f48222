#include "common/base/arena_room.h"
#include "ingester/door/otlp_json.h"
#include "ingester/door/otlp_traces_internal.h"

static void attributes(struct otlp_json *j, struct jsonval v, struct tracepiece_attributes *ret)
{
    size_t n;

    ret->ptr = otlp_json_members(j, v, "attributes", &n);
    ret->n = (uint32_t)n;
}

/* A number, or one of the names behind the prefix. */
static uint8_t choice(struct otlp_json *j, struct jsonval v, const char *member, const char *prefix,
                      const char *const *names, size_t n)
{
    struct slice text;
    int64_t number;

    if (jsonval_kind(v) != JSONVAL_TEXT || !slice_has_prefix(jsonval_text(v), slice_cstr(prefix))) {
        number = otlp_json_i32(j, v, member);
        return number < 0 || (size_t)number >= n ? 0 : (uint8_t)number;
    }
    text = slice_from(jsonval_text(v), strlen(prefix));
    for (size_t i = 0; i < n; i++)
        if (slice_eq_cstr(text, names[i]))
            return (uint8_t)i;
    otlp_json_fail(j, member, "no such name");
    return 0;
}

static uint8_t kind(struct otlp_json *j, struct jsonval v)
{
    static const char *const names[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                        "CLIENT",      "PRODUCER", "CONSUMER"};

    return choice(j, v, "kind", "SPAN_KIND_", names, ORR_COUNT(names));
}

static void status(struct otlp_json *j, struct jsonval v, struct tracepiece_span *s)
{
    static const char *const names[] = {"UNSET", "OK", "ERROR"};
    struct jsonval_iter it = otlp_json_walk(j, v, "status");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "message"))
            s->message = otlp_json_text(j, m, "message");
        else if (otlp_json_is(key, "code"))
            s->status = choice(j, m, "code", "STATUS_CODE_", names, ORR_COUNT(names));
}

static void event(struct otlp_json *j, struct jsonval v, struct tracepiece_event *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "events");
    struct jsonval m;
    struct slice key;

    ret->name = SLICE_EMPTY;
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "timeUnixNano"))
            ret->t_ns = otlp_json_u64(j, m, "timeUnixNano");
        else if (otlp_json_is(key, "name"))
            ret->name = otlp_json_text(j, m, "name");
        else if (otlp_json_is(key, "attributes"))
            attributes(j, m, &ret->attributes);
        else if (otlp_json_is(key, "droppedAttributesCount"))
            ret->attributes.dropped = otlp_json_u32(j, m, "droppedAttributesCount");
}

/* Whether its ids are ids. */
static bool link(struct otlp_json *j, struct jsonval v, struct tracepiece_link *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "links");
    struct slice trace = SLICE_EMPTY, span = SLICE_EMPTY, key;
    struct jsonval m;

    *ret = (struct tracepiece_link){.state = SLICE_EMPTY};
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "traceId"))
            trace = otlp_json_hex(j, m, "traceId");
        else if (otlp_json_is(key, "spanId"))
            span = otlp_json_hex(j, m, "spanId");
        else if (otlp_json_is(key, "traceState"))
            ret->state = otlp_json_text(j, m, "traceState");
        else if (otlp_json_is(key, "attributes"))
            attributes(j, m, &ret->attributes);
        else if (otlp_json_is(key, "droppedAttributesCount"))
            ret->attributes.dropped = otlp_json_u32(j, m, "droppedAttributesCount");
        else if (otlp_json_is(key, "flags"))
            ret->flags = otlp_json_u32(j, m, "flags");
    return trace_builder_link(ret, trace, span);
}

static void events(struct otlp_json *j, struct jsonval v, struct tracepiece_span *s)
{
    struct jsonval_iter list;
    struct jsonval item;
    struct slice key;
    size_t n;

    s->events = otlp_json_array(j, v, sizeof(*s->events), "events", &n);
    s->n_events = 0;
    for (list = jsonval_iter(v); s->n_events < n && jsonval_next(&list, &key, &item);)
        event(j, item, &s->events[s->n_events++]);
}

static void links(struct otlp_json *j, struct jsonval v, struct tracepiece_span *s)
{
    struct jsonval_iter list;
    struct jsonval item;
    struct slice key;
    size_t n, i = 0;

    s->links = otlp_json_array(j, v, sizeof(*s->links), "links", &n);
    s->n_links = 0;
    for (list = jsonval_iter(v); i < n && jsonval_next(&list, &key, &item); i++)
        if (link(j, item, &s->links[s->n_links]))
            s->n_links++;
        else
            s->dropped_links++;
}

/* What stands in the span as it is. */
static bool scalar(struct otlp_json *j, struct slice key, struct jsonval m, struct trace_in *in)
{
    struct tracepiece_span *s = &in->span;

    if (otlp_json_is(key, "traceId"))
        in->trace_id = otlp_json_hex(j, m, "traceId");
    else if (otlp_json_is(key, "spanId"))
        in->span_id = otlp_json_hex(j, m, "spanId");
    else if (otlp_json_is(key, "parentSpanId"))
        in->parent_id = otlp_json_hex(j, m, "parentSpanId");
    else if (otlp_json_is(key, "traceState"))
        s->state = otlp_json_text(j, m, "traceState");
    else if (otlp_json_is(key, "name"))
        s->name = otlp_json_text(j, m, "name");
    else if (otlp_json_is(key, "kind"))
        s->kind = kind(j, m);
    else if (otlp_json_is(key, "startTimeUnixNano"))
        s->start_ns = otlp_json_u64(j, m, "startTimeUnixNano");
    else if (otlp_json_is(key, "endTimeUnixNano"))
        s->end_ns = otlp_json_u64(j, m, "endTimeUnixNano");
    else if (otlp_json_is(key, "flags"))
        s->flags = otlp_json_u32(j, m, "flags");
    else
        return false;
    return true;
}

static void span(struct otlp_json *j, struct jsonval v, struct trace_in *in)
{
    struct tracepiece_span *s = &in->span;
    struct jsonval_iter it = otlp_json_walk(j, v, "spans");
    struct jsonval m;
    struct slice key;

    in->trace_id = in->span_id = in->parent_id = SLICE_EMPTY;
    s->name = s->message = s->state = SLICE_EMPTY;
    while (otlp_json_next(&it, &key, &m)) {
        if (scalar(j, key, m, in))
            continue;
        if (otlp_json_is(key, "attributes"))
            attributes(j, m, &s->attributes);
        else if (otlp_json_is(key, "droppedAttributesCount"))
            s->attributes.dropped = otlp_json_u32(j, m, "droppedAttributesCount");
        else if (otlp_json_is(key, "events"))
            events(j, m, s);
        else if (otlp_json_is(key, "droppedEventsCount"))
            s->dropped_events = otlp_json_u32(j, m, "droppedEventsCount");
        else if (otlp_json_is(key, "links"))
            links(j, m, s);
        else if (otlp_json_is(key, "droppedLinksCount"))
            s->dropped_links += otlp_json_u32(j, m, "droppedLinksCount");
        else if (otlp_json_is(key, "status"))
            status(j, m, s);
    }
}

/* Of an object: its list, which may stand before what describes it. */
struct listed {
    struct jsonval list;
    bool has_list;
};

static void each_span(struct otlp_json *j, struct trace_builder *b, const struct listed *l,
                      uint32_t resource_number, uint32_t scope_number)
{
    struct jsonval_iter it;
    struct jsonval item;
    struct slice key;

    if (!l->has_list)
        return;
    if (jsonval_kind(l->list) != JSONVAL_LIST) {
        otlp_json_fail(j, "spans", "not a list");
        return;
    }
    for (it = jsonval_iter(l->list); !j->bad && jsonval_next(&it, &key, &item);) {
        struct trace_in in = {.span = {.resource = resource_number, .scope = scope_number}};

        span(j, item, &in);
        trace_builder_span(b, &in);
    }
}

static void scope_spans(struct otlp_json *j, struct trace_builder *b, struct jsonval v,
                        uint32_t resource_number)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "scopeSpans");
    struct otlp_header s = otlp_header_empty();
    struct slice schema_url = SLICE_EMPTY;
    struct listed spans = {0};
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "scope"))
            otlp_header_json_scope(j, m, &s);
        else if (otlp_json_is(key, "schemaUrl"))
            schema_url = otlp_json_text(j, m, "schemaUrl");
        else if (otlp_json_is(key, "spans"))
            spans = (struct listed){m, true};
    each_span(j, b, &spans, resource_number, otlp_traces_scope(b, &s, schema_url));
}

static void resource_spans(struct otlp_json *j, struct trace_builder *b, struct jsonval v)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "resourceSpans");
    struct otlp_header r = otlp_header_empty();
    struct slice schema_url = SLICE_EMPTY;
    struct listed scopes = {0};
    struct jsonval m;
    struct slice key;
    uint32_t number;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "resource"))
            otlp_header_json_resource(j, m, &r);
        else if (otlp_json_is(key, "schemaUrl"))
            schema_url = otlp_json_text(j, m, "schemaUrl");
        else if (otlp_json_is(key, "scopeSpans"))
            scopes = (struct listed){m, true};
    number = otlp_traces_resource(b, &r, schema_url);
    if (!scopes.has_list)
        return;
    if (jsonval_kind(scopes.list) != JSONVAL_LIST) {
        otlp_json_fail(j, "scopeSpans", "not a list");
        return;
    }
    for (it = jsonval_iter(scopes.list); !j->bad && jsonval_next(&it, &key, &m);)
        scope_spans(j, b, m, number);
}

static void request(struct otlp_json *j, struct trace_builder *b, struct jsonval root)
{
    struct jsonval_iter it = otlp_json_walk(j, root, "request"), list;
    struct jsonval m, item;
    struct slice key;

    while (otlp_json_next(&it, &key, &m)) {
        if (!otlp_json_is(key, "resourceSpans"))
            continue;
        if (jsonval_kind(m) != JSONVAL_LIST) {
            otlp_json_fail(j, "resourceSpans", "not a list");
            return;
        }
        for (list = jsonval_iter(m); !j->bad && jsonval_next(&list, &key, &item);)
            resource_spans(j, b, item);
    }
}

struct err *otlp_traces_decode_json(struct trace_builder *b, struct slice body,
                                    struct jsonval_doc **ret_doc)
{
    struct otlp_json j = {.a = b->arena,
                          .max_bytes = arena_used(b->arena) + OTLP_TRACES_FACTOR * body.len +
                                       OTLP_TRACES_BASE_BYTES};
    struct jsonval_doc *doc;
    struct jsonval root;
    struct err *e;

    *ret_doc = NULL;
    if (body.len > OTLP_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes; protobuf may be larger",
                       OTLP_JSON_MAX_BYTES);
    if (!arena_room(b->arena, JSONVAL_FACTOR * body.len))
        return err_new(ERR_LIMIT, "JSON of %zu bytes takes more memory than there is for it",
                       body.len);
    if ((e = jsonval_parse(body, OTLP_JSON_MAX_DEPTH, &doc, &root)))
        return e;
    arena_charge(b->arena, (int64_t)jsonval_memory(doc));
    j.max_bytes += jsonval_memory(doc);
    request(&j, b, root);
    if (j.is_over)
        e = err_new(ERR_LIMIT, "JSON: %zu bytes that take more than %u times their room", body.len,
                    OTLP_TRACES_FACTOR);
    else if (j.bad)
        e = err_new(ERR_INVALID, "JSON: %s: %s", j.bad, j.why);
    if (e) {
        jsonval_free(doc);
        return e;
    }
    *ret_doc = doc;
    return NULL;
}
