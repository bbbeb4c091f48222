/* traces/{id}, v2/traces/{id}. */
#include "common/base/hex.h"
#include "common/traces/traceout.h"
#include "querier/api/loki_param.h"
#include "querier/api/tempo_api_internal.h"

struct trace_params {
    const struct tempo_api *api;
    uint8_t id[16];
    struct tempo_range range;
    bool is_proto, is_v2;
};

/* ---- on a worker ---- */

/* TraceByIDResponse { Trace trace = 1; … }, Trace { repeated ResourceSpans resource_spans = 1; } */
static void put_proto(struct buf *out, const struct tracepiece *p, bool is_v2)
{
    struct buf trace = {0};

    if (!is_v2) {
        traceout_proto(out, p);
        return;
    }
    traceout_proto(&trace, p);
    buf_byte(out, 1 << 3 | 2);
    buf_lstr(out, buf_slice(&trace));
    buf_done(&trace);
}

static void put_json(struct buf *out, const struct tracepiece *p, bool is_v2)
{
    buf_str(out, is_v2 ? "{\"trace\":{\"resourceSpans\":" : "{\"batches\":");
    traceout_json(out, p);
    buf_str(out, is_v2 ? "},\"metrics\":{}}" : "}");
}

static struct err *run(struct prom_task *t)
{
    const struct trace_params *p = t->params;
    struct tracesource source;
    struct tracescan_opts scan;
    struct tracepiece trace;
    struct err *e;

    t->content_type = p->is_proto ? "application/protobuf" : HTTP_JSON;
    if ((e = tempo_api_scan(p->api, t, p->range, &source, &scan)) ||
        (e = tracescan_find(&scan, p->id, &trace)))
        return e;
    if (!trace.n_spans)
        return err_new(ERR_NOT_FOUND, "trace not found");
    if (p->is_proto)
        put_proto(&t->out, &trace, p->is_v2);
    else
        put_json(&t->out, &trace, p->is_v2);
    return NULL;
}

/* ---- on a loop ---- */

/* What is missing is zeros in front, as ids of 64 bits are stored. */
static struct err *parse_id(struct slice text, uint8_t ret[16])
{
    ptrdiff_t bad;

    if (!text.len || text.len > 32)
        return err_new(ERR_INVALID, "trace IDs have 1 to 32 hexadecimal digits, not %zu", text.len);
    bad = hex_id(text, ret, 16);
    return bad < 0 ? NULL
                   : err_new(ERR_INVALID,
                             "trace IDs can only contain hex characters: invalid character at "
                             "position %td",
                             bad + 1);
}

/* What is not said of start and end is open: an id is enough to find a trace. */
static struct err *range_of(struct http_request *r, struct tempo_range *ret)
{
    struct tempo_range all = TEMPO_ALL_TIMES;
    struct err *e;

    if ((e = loki_param_time("start", http_param(r, "start"), all.start_ns, &ret->start_ns)) ||
        (e = loki_param_time("end", http_param(r, "end"), all.end_ns, &ret->end_ns)))
        return e;
    return ret->end_ns > ret->start_ns
               ? NULL
               : err_new(ERR_INVALID, "http parameter start must be before end");
}

static void answer(struct http_request *r, bool is_v2)
{
    struct trace_params *p = arena_new_of(r->arena, struct trace_params);
    struct slice tenant, accept = http_request_header(r, "Accept");
    struct err *e;

    p->api = r->arg;
    p->is_v2 = is_v2;
    p->is_proto = accept.ptr && (slice_find(accept, SLICE("application/protobuf"), 0) >= 0 ||
                                 slice_find(accept, SLICE("application/x-protobuf"), 0) >= 0);
    if (!tempo_api_begin(r, &tenant))
        return;
    if (!(e = parse_id(http_request_segment(r, "id"), p->id)))
        e = range_of(r, &p->range);
    if (!tempo_api_failed(r, e))
        tempo_api_task(r, tenant, run, p);
}

void tempo_trace(struct http_request *r)
{
    answer(r, false);
}

void tempo_trace_v2(struct http_request *r)
{
    answer(r, true);
}
