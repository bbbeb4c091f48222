#include "ingester/door/jaeger_span.h"

#include "common/lang/traceql.h"

/* What OpenTelemetry's exporters write for none. */
#define NO_SERVICE "OTLPResourceNoServiceName"

void jaeger_spans_init(struct jaeger_spans *j, struct trace_builder *b)
{
    *j = (struct jaeger_spans){.b = b};
}

void jaeger_spans_done(struct jaeger_spans *j)
{
    scope_tags_done(&j->scopes);
}

void jaeger_span_init(struct jaeger_span *s)
{
    *s = (struct jaeger_span){
        .in = {.trace_id = SLICE_EMPTY,
               .span_id = SLICE_EMPTY,
               .parent_id = SLICE_EMPTY,
               .span = {.name = SLICE_EMPTY, .message = SLICE_EMPTY, .state = SLICE_EMPTY}}};
}

static bool is_text(const struct otlp_member *m)
{
    return m->value.kind == OTLP_VALUE_TEXT;
}

static struct otlp_value text_value(struct slice s)
{
    return (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = s};
}

/* ---- processes ---- */

static bool has_key(const struct tracepiece_attributes *a, const char *key)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (slice_eq_cstr(a->ptr[i].key, key))
            return true;
    return false;
}

/* Names that OpenTelemetry has others for, unless those are there, too. */
static void rename_tags(struct arena *a, struct tracepiece_attributes *tags)
{
    bool has_host = has_key(tags, "host.name");
    bool has_version = has_key(tags, "opencensus.exporterversion");

    for (uint32_t i = 0; i < tags->n; i++) {
        struct otlp_member *m = &tags->ptr[i];

        if (!has_host && slice_eq_cstr(m->key, "hostname")) {
            m->key = SLICE("host.name");
        } else if (!has_version && slice_eq_cstr(m->key, "jaeger.version") && is_text(m)) {
            m->key = SLICE("opencensus.exporterversion");
            m->value.text = slice_cstr(arena_printf(a, "Jaeger-%.*s", SLICE_ARG(m->value.text)));
        }
    }
}

uint32_t jaeger_spans_process(struct jaeger_spans *j, struct slice service,
                              struct tracepiece_attributes tags)
{
    struct tracepiece_resource r = {.schema_url = SLICE_EMPTY};

    rename_tags(j->b->arena, &tags);
    if (service.len && !slice_eq_cstr(service, NO_SERVICE)) {
        memmove(tags.ptr + 1, tags.ptr, tags.n * sizeof(*tags.ptr));
        tags.ptr[0] = (struct otlp_member){SLICE("service.name"), text_value(service)};
        tags.n++;
    }
    r.attributes = tags;
    return trace_builder_resource(j->b, &r);
}

/* ---- tags ---- */

static uint8_t kind_of(struct slice text)
{
    for (uint8_t i = TRACEQL_KIND_INTERNAL; i <= TRACEQL_KIND_CONSUMER; i++)
        if (slice_eq_nocase(text, slice_cstr(traceql_kind_text(i))))
            return i;
    return TRACEQL_KIND_UNSPECIFIED;
}

static bool is_true(const struct otlp_value *v)
{
    return v->kind == OTLP_VALUE_BOOL
               ? v->b
               : v->kind == OTLP_VALUE_TEXT && slice_eq_cstr(v->text, "true");
}

/* What tags said that is no attribute, or more than one. */
struct said {
    bool is_error;
    struct slice code, description; /* ptr NULL: not said */
    struct slice http_message;
    int64_t http_code;
    struct tracepiece_scope scope;
};

/* Whether the tag is none to be kept. */
static bool take_tag(struct said *said, struct tracepiece_span *s, const struct otlp_member *m)
{
    if (slice_eq_cstr(m->key, "error") && is_true(&m->value))
        return said->is_error = true;
    if (slice_eq_cstr(m->key, "http.status_code")) {
        uint64_t n = 0;

        if (m->value.kind == OTLP_VALUE_INT)
            said->http_code = m->value.i;
        else if (is_text(m) && slice_to_u64(m->value.text, &n) && n < 1000)
            said->http_code = (int64_t)n;
        return false;
    }
    if (!is_text(m))
        return false;
    if (slice_eq_cstr(m->key, "span.kind")) {
        s->kind = kind_of(m->value.text);
        return true;
    }
    if (slice_eq_cstr(m->key, "otel.status_code")) {
        said->code = m->value.text;
        return true;
    }
    if (slice_eq_cstr(m->key, "otel.status_description")) {
        said->description = m->value.text;
        return true;
    }
    if (slice_eq_cstr(m->key, "w3c.tracestate")) {
        s->state = m->value.text;
        return true;
    }
    if (slice_eq_cstr(m->key, "http.status_message"))
        said->http_message = m->value.text;
    return scope_tags_take(&said->scope, m->key, m->value.text);
}

/* 4xx is the client's failure, not the server's. */
static bool is_http_error(int64_t code, uint8_t kind)
{
    return code >= 500 || (code >= 400 && kind != TRACEQL_KIND_SERVER);
}

static void set_status(const struct said *said, struct tracepiece_span *s)
{
    if (said->is_error) {
        s->status = TRACEQL_STATUS_ERROR;
        s->message = said->description.ptr ? said->description : said->http_message;
    } else if (said->code.ptr) {
        s->status = slice_eq_nocase(said->code, SLICE("ERROR")) ? TRACEQL_STATUS_ERROR
                    : slice_eq_nocase(said->code, SLICE("OK"))  ? TRACEQL_STATUS_OK
                                                                : TRACEQL_STATUS_UNSET;
        s->message = said->description;
    } else if (said->http_code && is_http_error(said->http_code, s->kind)) {
        s->status = TRACEQL_STATUS_ERROR;
        s->message = said->http_message;
    }
    if (!s->message.ptr)
        s->message = SLICE_EMPTY;
}

static void read_tags(struct tracepiece_span *s, struct said *said)
{
    struct tracepiece_attributes *a = &s->attributes;
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->n; i++)
        if (!take_tag(said, s, &a->ptr[i]))
            a->ptr[n++] = a->ptr[i];
    if (said->description.ptr && !said->is_error && !said->code.ptr) /* of no status */
        a->ptr[n++] =
            (struct otlp_member){SLICE("otel.status_description"), text_value(said->description)};
    a->n = n;
    set_status(said, s);
}

/* ---- logs ---- */

static void read_events(struct tracepiece_span *s)
{
    for (uint32_t i = 0; i < s->n_events; i++) {
        struct tracepiece_event *e = &s->events[i];
        uint32_t n = 0;

        e->name = SLICE_EMPTY;
        for (uint32_t k = 0; k < e->attributes.n; k++) {
            const struct otlp_member *m = &e->attributes.ptr[k];

            if (slice_eq_cstr(m->key, "event") && is_text(m))
                e->name = m->value.text;
            else
                e->attributes.ptr[n++] = *m;
        }
        e->attributes.n = n;
    }
}

/* ---- references ---- */

static bool is_id(struct slice id, size_t n)
{
    for (size_t i = 0; id.len == n && i < n; i++)
        if (id.ptr[i])
            return true;
    return false;
}

static struct slice find_parent(const struct jaeger_span *s)
{
    const struct jaeger_ref *found = NULL;

    for (size_t i = 0; i < s->n_refs; i++) {
        const struct jaeger_ref *r = &s->refs[i];

        if (slice_eq(r->trace_id, s->in.trace_id) && is_id(r->span_id, 8) &&
            (!found || (found->is_follows && !r->is_follows)))
            found = r;
    }
    return found ? found->span_id : SLICE_EMPTY;
}

static void add_link(struct arena *a, struct tracepiece_span *s, const struct jaeger_ref *r)
{
    struct tracepiece_link *l = &s->links[s->n_links];

    if (!is_id(r->trace_id, 16) || !is_id(r->span_id, 8)) {
        s->dropped_links++;
        return;
    }
    s->n_links++;
    (void)trace_builder_link(l, r->trace_id, r->span_id);
    l->state = SLICE_EMPTY;
    l->attributes.ptr = arena_new_of(a, struct otlp_member);
    l->attributes.ptr[0] =
        (struct otlp_member){SLICE("opentracing.ref_type"),
                             text_value(r->is_follows ? SLICE("follows_from") : SLICE("child_of"))};
    l->attributes.n = 1;
}

static void read_refs(struct arena *a, struct jaeger_span *s)
{
    if (!is_id(s->in.parent_id, 8))
        s->in.parent_id = find_parent(s);
    for (size_t i = 0; i < s->n_refs; i++)
        if (s->refs[i].is_follows || !slice_eq(s->refs[i].span_id, s->in.parent_id))
            add_link(a, &s->in.span, &s->refs[i]);
}

/* ---- spans ---- */

void jaeger_span_end(struct jaeger_spans *j, struct jaeger_span *s)
{
    struct said said = {.code = {NULL, 0},
                        .description = {NULL, 0},
                        .http_message = {NULL, 0},
                        .scope = {.name = SLICE_EMPTY, .version = SLICE_EMPTY}};
    struct tracepiece_attributes *a = &s->in.span.attributes;

    read_tags(&s->in.span, &said);
    read_events(&s->in.span);
    read_refs(j->b->arena, s);
    if (s->n_warnings)
        a->ptr[a->n++] = (struct otlp_member){
            SLICE("@jaeger@warnings"),
            {.kind = OTLP_VALUE_LIST, .members = s->warnings, .n = s->n_warnings}};
    s->in.span.scope = scope_tags_number(&j->scopes, j->b, &said.scope);
    trace_builder_span(j->b, &s->in);
}
