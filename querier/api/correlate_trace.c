/* The spans of a trace, in short. */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/lang/traceql.h"
#include "querier/api/correlate_internal.h"

static const char *const status_names[] = {
#define X(sym, name) [sym] = name,
    TRACEQL_STATUSES(X)
#undef X
};

static struct slice service_of(struct arena *a, const struct tracepiece_resource *r)
{
    for (uint32_t i = 0; i < r->attributes.n; i++)
        if (slice_eq_cstr(r->attributes.ptr[i].key, "service.name"))
            return otlp_value_text(a, &r->attributes.ptr[i].value);
    return SLICE_EMPTY;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct correlate_service *)a)->name,
                     ((const struct correlate_service *)b)->name);
}

/* Resources of one service are often several. */
static void count_services(struct correlate_run *r)
{
    const struct tracepiece *p = &r->trace;
    struct arena *a = r->t->arena;
    struct map numbers = {0}; /* of stats, + 1 */
    size_t *of = arena_array(a, size_t, p->n_resources + 1);

    r->services = arena_array(a, struct slice, p->n_resources + 1);
    r->stats = arena_array(a, struct correlate_service, p->n_resources + 1);
    for (uint32_t i = 0; i < p->n_resources; i++) {
        void **slot;

        r->services[i] = service_of(a, &p->resources[i]);
        slot = map_slot(&numbers, r->services[i]);
        if (!*slot) {
            r->stats[r->n_stats++].name = r->services[i];
            *slot = (void *)(uintptr_t)r->n_stats;
        }
        of[i] = (size_t)(uintptr_t)*slot - 1;
    }
    map_done(&numbers);
    for (uint32_t i = 0; i < p->n_spans; i++) {
        struct correlate_service *s = &r->stats[of[p->spans[i].resource]];

        s->spans++;
        if (p->spans[i].status == TRACEQL_STATUS_ERROR) {
            s->errors++;
            r->n_errors++;
        }
    }
    qsort(r->stats, r->n_stats, sizeof(*r->stats), by_name);
}

struct err *correlate_trace_find(struct correlate_run *r)
{
    struct tempo_range asked = {r->p->start_ns, r->p->end_ns};
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e;

    if ((e = tempo_api_scan(r->p->api->tempo, r->t, asked, &source, &scan)) ||
        (e = tracescan_find(&scan, r->p->id, &r->trace)))
        return e;
    r->times = (struct tempo_range){INT64_MAX, INT64_MIN};
    for (uint32_t i = 0; i < r->trace.n_spans; i++) {
        const struct tracepiece_span *s = &r->trace.spans[i];

        r->times.start_ns = ORR_MIN(r->times.start_ns, (int64_t)s->start_ns);
        r->times.end_ns =
            ORR_MAX(r->times.end_ns, ORR_MAX((int64_t)s->start_ns, (int64_t)s->end_ns));
    }
    count_services(r);
    return NULL;
}

/* ---- the answer ---- */

static uint64_t length_ns(uint64_t start_ns, uint64_t end_ns)
{
    return (int64_t)end_ns > (int64_t)start_ns ? end_ns - start_ns : 0;
}

static void put_span(struct correlate_run *r, struct buf *out, const struct tracepiece_span *s)
{
    buf_json_comma(out);
    buf_printf(out, "{\"spanID\":\"%016llx\"", (unsigned long long)s->span_id);
    if (s->parent_id)
        buf_printf(out, ",\"parentSpanID\":\"%016llx\"", (unsigned long long)s->parent_id);
    buf_str(out, ",\"serviceName\":");
    buf_json_str(out, r->services[s->resource]);
    buf_str(out, ",\"name\":");
    buf_json_str(out, s->name);
    if (s->kind <= TRACEQL_KIND_CONSUMER)
        buf_printf(out, ",\"kind\":\"%s\"", traceql_kind_text(s->kind));
    if (s->status < ORR_COUNT(status_names))
        buf_printf(out, ",\"status\":\"%s\"", status_names[s->status]);
    if (s->message.len) {
        buf_str(out, ",\"statusMessage\":");
        buf_json_str(out, s->message);
    }
    buf_printf(out, ",\"startTimeUnixNano\":\"%lld\",\"durationNanos\":\"%llu\"}",
               (long long)s->start_ns, (unsigned long long)length_ns(s->start_ns, s->end_ns));
}

static void put_root(struct correlate_run *r, struct buf *out)
{
    for (uint32_t i = 0; i < r->trace.n_spans; i++) {
        const struct tracepiece_span *s = &r->trace.spans[i];

        if (s->parent_id)
            continue;
        buf_printf(
            out, "\"rootSpanID\":\"%016llx\",\"rootServiceName\":", (unsigned long long)s->span_id);
        buf_json_str(out, r->services[s->resource]);
        buf_str(out, ",\"rootTraceName\":");
        buf_json_str(out, s->name);
        buf_byte(out, ',');
        return;
    }
}

static void put_services(struct correlate_run *r, struct buf *out)
{
    size_t n = ORR_MIN(r->n_stats, (size_t)r->p->limit);

    buf_str(out, ",\"serviceStats\":{");
    for (size_t i = 0; i < n; i++) {
        const struct correlate_service *s = &r->stats[i];

        buf_json_comma(out);
        buf_json_str(out, s->name);
        buf_printf(out, ":{\"spanCount\":%u,\"errorCount\":%u}", s->spans, s->errors);
    }
    buf_byte(out, '}');
    if (n < r->n_stats)
        correlate_truncated(r, "services");
}

void correlate_trace_put(struct correlate_run *r, struct buf *out)
{
    const struct tracepiece *p = &r->trace;
    size_t from = out->len;
    uint32_t n = 0;

    if (!p->n_spans) {
        buf_str(out, "null");
        return;
    }
    buf_byte(out, '{');
    put_root(r, out);
    buf_printf(out,
               "\"startTimeUnixNano\":\"%lld\",\"durationNanos\":\"%llu\",\"spanCount\":%u,"
               "\"errorCount\":%u",
               (long long)r->times.start_ns,
               (unsigned long long)r->times.end_ns - (unsigned long long)r->times.start_ns,
               p->n_spans, r->n_errors);
    put_services(r, out);
    buf_str(out, ",\"spans\":[");
    while (n < p->n_spans && n < r->p->limit && out->len - from < CORRELATE_MAX_BYTES)
        put_span(r, out, &p->spans[n++]);
    buf_str(out, "]}");
    if (n < p->n_spans)
        correlate_truncated(r, "spans");
}
