#include "common/traces/traceout.h"
#include "querier/traces/tracesearch.h"

void tracesearch_json_value(struct buf *out, const struct traceql_static *v)
{
    struct otlp_value as = {.kind = OTLP_VALUE_TEXT};
    struct buf text = {0};

    switch (v->type) {
    case TRACEQL_INT:
        as = (struct otlp_value){.kind = OTLP_VALUE_INT, .i = v->v.i};
        break;
    case TRACEQL_FLOAT:
        as = (struct otlp_value){.kind = OTLP_VALUE_DOUBLE, .d = v->v.f};
        break;
    case TRACEQL_BOOL:
        as = (struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = v->v.b};
        break;
    case TRACEQL_STRING:
        as.text = v->v.s;
        break;
    default:
        traceql_print_static(&text, v);
        as.text = buf_slice(&text);
    }
    traceout_json_value(out, &as);
    buf_done(&text);
}

static void put_values(struct buf *out, const struct tracehit_value *values, size_t n)
{
    buf_str(out, ",\"attributes\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"key\":" : "{\"key\":");
        buf_json_str(out, values[i].name);
        buf_str(out, ",\"value\":");
        tracesearch_json_value(out, &values[i].value);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void put_span(struct buf *out, const struct tracehit_span *s)
{
    buf_printf(out, "{\"spanID\":\"%016llx\",\"name\":", (unsigned long long)s->id);
    buf_json_str(out, s->name);
    buf_printf(out, ",\"startTimeUnixNano\":\"%lld\",\"durationNanos\":\"%lld\"",
               (long long)s->start_ns, (long long)(s->end_ns - s->start_ns));
    if (s->n_values)
        put_values(out, s->values, s->n_values);
    buf_byte(out, '}');
}

static void put_set(struct buf *out, const struct tracehit_set *set)
{
    buf_str(out, "{\"spans\":[");
    for (uint32_t i = 0; i < set->n_spans; i++) {
        if (i)
            buf_byte(out, ',');
        put_span(out, &set->spans[i]);
    }
    buf_printf(out, "],\"matched\":%u", set->matched);
    if (set->n_values)
        put_values(out, set->values, set->n_values);
    buf_byte(out, '}');
}

static void put_services(struct buf *out, const struct tracehit *h)
{
    buf_str(out, ",\"serviceStats\":{");
    for (size_t i = 0; i < h->n_services; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, h->services[i].name);
        buf_printf(out, ":{\"spanCount\":%u", h->services[i].spans);
        if (h->services[i].errors)
            buf_printf(out, ",\"errorCount\":%u", h->services[i].errors);
        buf_byte(out, '}');
    }
    buf_byte(out, '}');
}

static void put_hit(struct buf *out, const struct tracehit *h)
{
    int64_t ms = (h->end_ns - h->start_ns) / 1000000;

    buf_str(out, "{\"traceID\":\"");
    buf_hex(out, h->id, sizeof(h->id));
    buf_str(out, "\",\"rootServiceName\":");
    buf_json_str(out, h->root_service);
    buf_str(out, ",\"rootTraceName\":");
    buf_json_str(out, h->root_name);
    buf_printf(out, ",\"startTimeUnixNano\":\"%lld\"", (long long)h->start_ns);
    if (ms)
        buf_printf(out, ",\"durationMs\":%lld", (long long)ms);
    if (h->n_sets) {
        buf_str(out, ",\"spanSet\":"); /* of before there were several */
        put_set(out, &h->sets[0]);
    }
    buf_str(out, ",\"spanSets\":[");
    for (size_t i = 0; i < h->n_sets; i++) {
        if (i)
            buf_byte(out, ',');
        put_set(out, &h->sets[i]);
    }
    buf_byte(out, ']');
    put_services(out, h);
    buf_byte(out, '}');
}

void tracesearch_json(struct buf *out, const struct tracesearch_result *res)
{
    buf_str(out, "{\"traces\":[");
    for (size_t i = 0; i < res->n; i++) {
        if (i)
            buf_byte(out, ',');
        put_hit(out, &res->hits[i]);
    }
    buf_printf(
        out,
        "],\"metrics\":{\"inspectedTraces\":%llu,\"inspectedSpans\":\"%llu\",\"completedJobs\":1,"
        "\"totalJobs\":1}}",
        (unsigned long long)res->stats.traces, (unsigned long long)res->stats.spans);
}
