#include "ingester/door/trace_door.h"

#include <stdio.h>

#include "common/base/arena_room.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/tenant_gate.h"

struct trace_door_metrics {
    uint64_t writes, traces, spans, bytes, malformed;
    uint64_t cut_values, cut_attributes, cut_events, cut_links;
    int64_t inflight_bytes;
    uint64_t discarded[TRACE_REASON_COUNT];
};
static const struct metric_field trace_door_fields[] = {
    METRIC_COUNTER(struct trace_door_metrics, writes, "orrery_trace_door_writes_total",
                   "Writes of spans."),
    METRIC_COUNTER(struct trace_door_metrics, traces, "orrery_trace_door_traces_total",
                   "Traces that writes had spans of, summed over writes."),
    METRIC_COUNTER(struct trace_door_metrics, spans, "orrery_trace_door_spans_total",
                   "Spans received that keep to the limits."),
    METRIC_COUNTER(struct trace_door_metrics, bytes, "orrery_trace_door_bytes_total",
                   "Bytes of those spans, as they are kept."),
    METRIC_COUNTER(struct trace_door_metrics, malformed, "orrery_trace_door_malformed_total",
                   "Writes of spans that could not be read at all."),
    METRIC_COUNTER(struct trace_door_metrics, cut_values, "orrery_trace_door_cut_values_total",
                   "Keys, values and names that were cut at limit max_attribute_bytes."),
    METRIC_COUNTER(struct trace_door_metrics, cut_attributes,
                   "orrery_trace_door_cut_attributes_total",
                   "Attributes left out beyond limit max_attributes_per_span."),
    METRIC_COUNTER(struct trace_door_metrics, cut_events, "orrery_trace_door_cut_events_total",
                   "Events left out beyond limit max_events_per_span."),
    METRIC_COUNTER(struct trace_door_metrics, cut_links, "orrery_trace_door_cut_links_total",
                   "Links left out beyond limit max_links_per_span."),
    METRIC_GAUGE(struct trace_door_metrics, inflight_bytes, "orrery_trace_door_inflight_bytes",
                 "Memory of writes of spans under way."),
};

struct trace_door {
    struct trace_door_opts opts;
    struct tenant_gate *gate;
    struct trace_door_metrics m;
};

/* One write under way. Owner: its loop. */
struct writing {
    struct trace_door *d;
    struct trace_batch *batch;
    struct err *refusals;
    struct trace_written written;
    size_t body_bytes;
    int64_t held_bytes;
    struct err *no_room; /* why its decoding got no more */
    trace_door_done_fn *done;
    void *arg;
};

/* ---- life ---- */

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char *const name = "orrery_trace_door_discarded_spans_total";
    struct trace_door *d = arg;
    char labels[96];

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name,
                        "Spans refused by the door, by reason.");
    for (unsigned i = 0; i < TRACE_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       trace_reason_name((enum trace_reason)i));
        metric_write_u64(out, name, labels, METRIC_GET(d->m.discarded[i]));
    }
}

struct trace_door *trace_door_new(const struct trace_door_opts *opts)
{
    struct trace_door *d = mem_new(struct trace_door);

    d->opts = *opts;
    d->gate = tenant_gate_new(opts->clock);
    metric_register(&d->m, trace_door_fields, ORR_COUNT(trace_door_fields), NULL);
    metric_register_collector(collect, d);
    return d;
}

void trace_door_free(struct trace_door *d)
{
    if (!d)
        return;
    metric_unregister_collector(collect, d);
    metric_unregister(&d->m);
    tenant_gate_free(d->gate);
    mem_free(d);
}

size_t trace_door_max_body_bytes(const struct trace_door *d)
{
    return d->opts.max_body_bytes;
}

static size_t share(const struct trace_door *d)
{
    return d->opts.share ? d->opts.share(d->opts.share_arg) : 1;
}

/* A write is let in when nothing else is under way, however large it is. */
static struct err *room_for(const struct trace_door *d, size_t bytes)
{
    int64_t held = METRIC_GET(d->m.inflight_bytes);

    return d->opts.max_inflight_bytes && held > 0 &&
                   (size_t)held + bytes > d->opts.max_inflight_bytes
               ? err_new(ERR_UNAVAILABLE, "too many writes are in flight, try again")
               : NULL;
}

struct err *trace_door_admit(struct trace_door *d, struct slice tenant, size_t body_bytes)
{
    struct tenant_limits limits;
    struct err *e = room_for(d, body_bytes);

    if (e)
        return e;
    limits_get(d->opts.limits, tenant, &limits);
    return tenant_gate_request(d->gate, tenant, &limits, share(d));
}

/* ---- writes ---- */

static void end(struct writing *w, struct err *e)
{
    METRIC_ADD(w->d->m.inflight_bytes, -w->held_bytes);
    w->done(w->arg, e, &w->written);
    trace_batch_free(w->batch);
    mem_free(w);
}

bool trace_written_is_partial(const struct trace_written *w, const struct err *e)
{
    return w->is_decoded && w->spans > 0 && (err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT));
}

static void count(struct trace_door *d, const struct trace_builder *b)
{
    METRIC_ADD(d->m.traces, b->batch->traces.len);
    METRIC_ADD(d->m.spans, b->batch->spans);
    METRIC_ADD(d->m.bytes, b->batch->pieces.len);
    METRIC_ADD(d->m.cut_values, b->cut_values);
    METRIC_ADD(d->m.cut_attributes, b->cut_attributes);
    METRIC_ADD(d->m.cut_events, b->cut_events);
    METRIC_ADD(d->m.cut_links, b->cut_links);
    for (size_t i = 0; i < TRACE_REASON_COUNT; i++)
        METRIC_ADD(d->m.discarded[i], b->refused[i]);
}

/* What it takes from now on. */
static void hold(struct writing *w, size_t bytes)
{
    METRIC_ADD(w->d->m.inflight_bytes, (int64_t)bytes - w->held_bytes);
    w->held_bytes = (int64_t)bytes;
}

static void on_stored(void *arg, struct err *e, uint64_t refused_spans)
{
    struct writing *w = arg;
    struct err *refusals = w->refusals;

    w->written.refused += refused_spans;
    w->refusals = NULL;
    if (err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT)) {
        /* Both say what was refused. */
        if (refusals)
            e = err_wrap(e, "%s; besides", err_msg(refusals));
        err_free(refusals);
        end(w, e);
        return;
    }
    end(w, err_first(e, refusals));
}

/* What limits leave of it; NULL: *w->batch is to be stored. */
static struct err *check(struct writing *w, struct trace_builder *b)
{
    struct trace_door *d = w->d;
    struct trace_batch *batch = w->batch;
    struct err *e = tenant_gate_span_bytes(d->gate, batch->tenant, &batch->limits, share(d),
                                           batch->spans, batch->pieces.len);

    if (e) {
        b->refused[TRACE_RATE_LIMITED] = batch->spans;
        vec_clear(&batch->traces);
        buf_reset(&batch->pieces);
        batch->spans = 0;
    }
    count(d, b);
    w->written.spans = batch->spans;
    w->written.refused = trace_builder_refused(b);
    if (!e)
        w->refusals = trace_builder_answer(b);
    return e;
}

/* Of a body with many tiny things: a write that is let in when it is alone may take all there is for writes. */
static struct err *room_beyond(const struct writing *w, size_t bytes)
{
    size_t max = w->d->opts.max_inflight_bytes, held = (size_t)w->held_bytes + bytes;
    size_t alone = ORR_MAX(max, w->body_bytes * (TRACE_DOOR_DECODE_FACTOR + 1));
    int64_t others = METRIC_GET(w->d->m.inflight_bytes) - w->held_bytes;

    if (!max)
        return NULL;
    if (held > alone)
        return err_new(ERR_TOO_LARGE,
                       "the spans of %zu bytes take more than %zu bytes of memory to be read: send "
                       "fewer at once",
                       w->body_bytes, alone);
    return others > 0 ? room_for(w->d, bytes) : NULL;
}

/* arena_grant_fn */
static size_t grant(void *arg, size_t bytes)
{
    struct writing *w = arg;
    size_t more = ORR_MAX(bytes, (size_t)TRACE_DOOR_GRANT_BYTES);

    if (w->no_room || (w->no_room = room_beyond(w, more)))
        return 0;
    hold(w, (size_t)w->held_bytes + more);
    return more;
}

/* Bytes are decoded while others, on other loops, are let in or not. */
static struct err *decode(struct writing *w, const struct trace_decoder *decoder)
{
    size_t beforehand = decoder->body_bytes * TRACE_DOOR_DECODE_FACTOR;
    struct arena *a;
    struct trace_builder b;
    struct err *e;

    if ((e = room_for(w->d, beforehand)))
        return e;
    w->body_bytes = decoder->body_bytes;
    hold(w, beforehand);
    a = arena_new(ORR_MAX(beforehand, (size_t)1));
    arena_on_limit(a, grant, w);
    trace_builder_init(&b, w->batch, a);
    e = decoder->decode(&b, decoder->arg);
    if (w->no_room) {
        err_free(e);
        e = w->no_room;
        w->no_room = NULL;
    } else if (e) {
        METRIC_ADD(w->d->m.malformed, 1);
    } else {
        w->written.is_decoded = true;
        hold(w, arena_used(a));
        e = check(w, &b);
    }
    trace_builder_done(&b);
    arena_free(a);
    return e;
}

void trace_door_write(struct trace_door *d, struct loop *loop, struct slice tenant,
                      const struct trace_decoder *decoder, trace_door_done_fn *done, void *arg)
{
    struct writing *w = mem_new(struct writing);
    struct tenant_limits limits;
    struct err *e;

    METRIC_ADD(d->m.writes, 1);
    limits_get(d->opts.limits, tenant, &limits);
    *w = (struct writing){
        .d = d, .batch = trace_batch_new(tenant, &limits), .done = done, .arg = arg};
    if (!d->opts.sink)
        e = err_new(ERR_UNSUPPORTED, "this process does not store traces");
    else
        e = decode(w, decoder);
    hold(w, trace_batch_memory(w->batch));
    if (e || w->batch->traces.len == 0) {
        end(w, err_first(e, w->refusals));
        return;
    }
    d->opts.sink->write(d->opts.sink->arg, loop, w->batch, on_stored, w);
}
