#include "ingester/generator/spanmetrics.h"

#include "common/base/num.h"
#include "ingester/generator/spansize.h"

static const struct genkind kind = {
    .counters = {{"traces_spanmetrics_calls_total", "Total count of the spans"},
                 {"traces_spanmetrics_size_total", "Total size of the spans in bytes"}},
    .hists = {{"traces_spanmetrics_latency", "Duration of the spans in seconds"}}};

static const char *const kinds[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                    "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                    "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER"};
static const char *const codes[] = {"STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"};

static struct slice kind_name(const struct tracepiece_span *s)
{
    return slice_cstr(kinds[s->kind < ORR_COUNT(kinds) ? s->kind : 0]);
}

static struct slice code_name(const struct tracepiece_span *s)
{
    return slice_cstr(codes[s->status < ORR_COUNT(codes) ? s->status : 0]);
}

/* ---- attributes ---- */

struct slice spanmetrics_label(struct arena *a, struct slice attribute, const char *prefix)
{
    struct buf out = {0};
    struct slice ret;

    buf_str(&out, prefix);
    if (!out.len && attribute.len && attribute.ptr[0] >= '0' && attribute.ptr[0] <= '9')
        buf_byte(&out, '_');
    for (size_t i = 0; i < attribute.len; i++) {
        uint8_t c = attribute.ptr[i];
        bool is_plain = (uint8_t)((c | 0x20) - 'a') < 26 || (c >= '0' && c <= '9');

        buf_byte(&out, is_plain ? c : '_');
    }
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

#define MAX_TEXT 2048 /* of a label: doors bound texts, but not what lists and maps become */

static struct slice text_of(struct arena *a, struct otlp_value *v)
{
    struct slice text = otlp_value_text(a, v);

    return v->kind == OTLP_VALUE_TEXT ? text : slice_sub(text, 0, MAX_TEXT);
}

void spanmetrics_flatten(struct arena *a, struct tracepiece *p)
{
    for (uint32_t i = 0; i < p->n_resources; i++)
        for (uint32_t k = 0; k < p->resources[i].attributes.n; k++) {
            struct otlp_value *v = &p->resources[i].attributes.ptr[k].value;

            if (v->kind == OTLP_VALUE_LIST || v->kind == OTLP_VALUE_MAP ||
                v->kind == OTLP_VALUE_BYTES)
                *v = (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = text_of(a, v)};
        }
}

static bool find(struct arena *a, const struct tracepiece_attributes *attributes, struct slice key,
                 struct slice *ret)
{
    for (uint32_t i = 0; i < attributes->n; i++)
        if (slice_eq(attributes->ptr[i].key, key)) {
            *ret = text_of(a, &attributes->ptr[i].value);
            return true;
        }
    return false;
}

struct slice spanmetrics_attribute(struct arena *a, const struct tracepiece *p,
                                   const struct tracepiece_span *s, struct slice key)
{
    struct slice ret = SLICE_EMPTY;

    if (!find(a, &p->resources[s->resource].attributes, key, &ret))
        (void)find(a, &s->attributes, key, &ret);
    return ret;
}

struct slice spanmetrics_service(struct arena *a, const struct tracepiece *p,
                                 const struct tracepiece_span *s)
{
    struct slice ret = SLICE_EMPTY;

    (void)find(a, &p->resources[s->resource].attributes, SLICE("service.name"), &ret);
    return ret;
}

/* ---- filters ---- */

static bool is_text(const struct generator_match *m, struct slice text)
{
    return m->re ? re_match(m->re, text) : slice_eq(m->value, text);
}

static bool is_match(const struct generator_match *m, struct arena *a, const struct tracepiece *p,
                     const struct tracepiece_span *s)
{
    struct slice text = SLICE_EMPTY;

    switch (m->scope) {
    case GENERATOR_KIND:
        return is_text(m, kind_name(s));
    case GENERATOR_STATUS:
        return is_text(m, code_name(s));
    case GENERATOR_NAME:
        return is_text(m, s->name);
    case GENERATOR_SPAN:
        return find(a, &s->attributes, m->key, &text) && is_text(m, text);
    case GENERATOR_RESOURCE:
        return find(a, &p->resources[s->resource].attributes, m->key, &text) && is_text(m, text);
    case GENERATOR_ANY:
        return (find(a, &s->attributes, m->key, &text) && is_text(m, text)) ||
               (find(a, &p->resources[s->resource].attributes, m->key, &text) && is_text(m, text));
    }
    return false;
}

static size_t count_matches(const struct generator_matches *ms, struct arena *a,
                            const struct tracepiece *p, const struct tracepiece_span *s)
{
    size_t n = 0;

    for (size_t i = 0; i < ms->n; i++)
        n += is_match(&ms->ptr[i], a, p, s);
    return n;
}

static bool is_let_in(const struct generator_filter *f, struct arena *a, const struct tracepiece *p,
                      const struct tracepiece_span *s)
{
    if (f->include.is_set && count_matches(&f->include, a, p, s) < f->include.n)
        return false;
    if (f->include_any.is_set && !count_matches(&f->include_any, a, p, s))
        return false;
    return !f->exclude.is_set || count_matches(&f->exclude, a, p, s) < f->exclude.n;
}

/* ---- a span ---- */

static bool is_intrinsic(struct slice label)
{
#define X(member, name)                                                                            \
    if (slice_eq_cstr(label, name))                                                                \
        return true;
    GENERATOR_INTRINSICS(X)
#undef X
    return false;
}

static struct slice label_of(struct arena *a, struct slice attribute)
{
    struct slice plain = spanmetrics_label(a, attribute, "");

    return is_intrinsic(plain) ? spanmetrics_label(a, attribute, "__") : plain;
}

void spanmetrics_init(struct spanmetrics *m, const struct generator_rules *rules, struct arena *a)
{
    size_t n = rules->spans.dimensions.n;

    *m = (struct spanmetrics){.rules = rules};
    m->names = arena_array(a, struct slice, n + rules->spans.n_mappings);
    for (size_t i = 0; i < n; i++)
        m->names[i] = label_of(a, rules->spans.dimensions.ptr[i]);
    for (size_t i = 0; i < rules->spans.n_mappings; i++)
        m->names[n + i] = label_of(a, rules->spans.mappings[i].name);
}

static struct slice mapped(struct arena *a, const struct generator_mapping *m,
                           const struct tracepiece *p, const struct tracepiece_span *s)
{
    struct buf out = {0};
    struct slice ret;

    for (size_t i = 0; i < m->sources.n; i++) {
        struct slice v = spanmetrics_attribute(a, p, s, m->sources.ptr[i]);

        if (!v.len)
            continue;
        if (out.len)
            buf_slice_append(&out, m->join);
        buf_slice_append(&out, v);
    }
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static size_t list_labels(struct spanmetrics *m, struct arena *a, const struct tracepiece *p,
                          const struct tracepiece_span *s, struct label *ret)
{
    const struct generator_rules *r = m->rules;
    size_t n = 0;

    if (r->spans.has_service)
        ret[n++] = (struct label){SLICE("service"), spanmetrics_service(a, p, s)};
    if (r->spans.has_span_name)
        ret[n++] = (struct label){SLICE("span_name"), s->name};
    if (r->spans.has_span_kind)
        ret[n++] = (struct label){SLICE("span_kind"), kind_name(s)};
    if (r->spans.has_status_code)
        ret[n++] = (struct label){SLICE("status_code"), code_name(s)};
    if (r->spans.has_status_message)
        ret[n++] = (struct label){SLICE("status_message"), s->message};
    for (size_t i = 0; i < r->spans.dimensions.n; i++)
        ret[n++] =
            (struct label){m->names[i], spanmetrics_attribute(a, p, s, r->spans.dimensions.ptr[i])};
    for (size_t i = 0; i < r->spans.n_mappings; i++)
        ret[n++] = (struct label){m->names[r->spans.dimensions.n + i],
                                  mapped(a, &r->spans.mappings[i], p, s)};
    return n;
}

static double weight(const struct spanmetrics *m, struct arena *a, const struct tracepiece *p,
                     const struct tracepiece_span *s)
{
    struct slice key = m->rules->spans.multiplier_key;
    double share;

    if (!key.len || !num_parse(spanmetrics_attribute(a, p, s, key), &share) || !(share > 1e-6) ||
        !(share <= 1e6))
        return 1;
    return 1 / share;
}

bool spanmetrics_take(struct spanmetrics *m, struct gentable *t, struct arena *scratch,
                      const struct tracepiece *p, const struct tracepiece_span *s, int64_t now_ms)
{
    struct label labels[2 * GENERATOR_MAX_DIMENSIONS + 8];
    struct genrow *row;
    double n;

    for (size_t i = 0; i < m->rules->spans.n_filters; i++)
        if (!is_let_in(&m->rules->spans.filters[i], scratch, p, s))
            return false;
    row = gentable_row(t, &kind, labels, list_labels(m, scratch, p, s, labels),
                       &m->rules->spans.buckets, now_ms);
    if (!row)
        return true;
    n = weight(m, scratch, p, s);
    gentable_count(t, row, 0, n, now_ms);
    gentable_count(t, row, 1, (double)spansize_proto(s) * n, now_ms);
    gentable_observe(t, row, 0, spanmetrics_seconds(s->start_ns, s->end_ns), n, p->trace_id,
                     now_ms);
    return true;
}
