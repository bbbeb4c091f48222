/*
 * Traces in the ingester: their own write-ahead log and head (DIR/traces), the door's sink, which brings pieces of traces to their replicas
 * as metrics are brought, and what others ask (common/model/traces_rpc.h). With ingester.traces off there is none of it: ing->traces is NULL.
 *
 *   GET /ingester/traces[?id=HEX…][&start=ns][&end=ns][&limit=n]
 *       what this ingester holds, not the cluster: JSON lines {"trace_id":"…","pieces":n,"spans":n,"span_ids":["…",…]}, each span once
 */
#include <stdatomic.h>

#include "common/auth/auth.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/model/tenant.h"
#include "common/model/traces_rpc.h"
#include "common/traces/tracepiece.h"
#include "ingester/door/trace_grpc.h"
#include "ingester/door/trace_http.h"
#include "ingester/ingester_internal.h"
#include "ingester/traces/tracehead.h"

#define UPKEEP_MS 1000
#define PAGE_LIMIT 100
#define PAGE_MAX_LIMIT 10000
#define PAGE_MAX_BYTES (64u << 20)

struct ingester_traces {
    struct ingester *ing;
    struct wal *wal;
    struct tracehead *head;
    struct distribute *distribute;
    struct trace_door *door;
    struct trace_sink sink;
    _Atomic bool is_sealed;
    /* upkeep */
    pthread_t thread;
    bool has_thread, is_stopping;
    struct lock lock; /* rank LEAF_MODULE: is_stopping */
    pthread_cond_t wake;
};

/* ---- to the replicas ---- */

static struct ring *traces_ring(void *arg)
{
    struct ingester_traces *t = arg;

    return membership_ring(process_membership(t->ing->process), MEMBER_INGESTER, MEMBER_TRACES);
}

struct ring *ingester_traces_ring(struct ingester *ing, struct slice tenant)
{
    struct ring *all = traces_ring(ing->traces), *ret;
    struct tenant_limits limits;

    limits_get(ing->limits, tenant, &limits);
    ret = ring_subring(all, tenant, (unsigned)limits.ingestion_tenant_shard_size, INT64_MAX);
    ring_unref(all);
    return ret;
}

static size_t active_ingesters(void *arg)
{
    struct ring *r = traces_ring(arg);
    size_t n = ring_active(r);

    ring_unref(r);
    return n;
}

/* As one of the replicas: the tenant's limits, then the head. */
static struct err *take_batch(struct ingester_traces *t, struct slice tenant, struct slice bytes,
                              tracehead_push_fn *done, void *arg)
{
    struct tracehead_limits limits = {0};
    struct tenant_limits tl;

    if (atomic_load(&t->is_sealed))
        return err_new(ERR_UNAVAILABLE, "this ingester is leaving");
    limits_get(t->ing->limits, tenant, &tl);
    limits.max_trace_bytes = (uint64_t)tl.max_bytes_per_trace;
    limits.max_traces = (uint64_t)tl.max_traces_per_user;
    if (tl.max_global_traces_per_user) {
        struct ring *ring = traces_ring(t);
        uint64_t share =
            replica_share(tl.max_global_traces_per_user, ring, tl.ingestion_tenant_shard_size);

        limits.max_traces = limits.max_traces ? ORR_MIN(limits.max_traces, share) : share;
        ring_unref(ring);
    }
    return tracehead_push(t->head, tenant, bytes, &limits, done, arg);
}

static struct err *push_local(void *arg, struct slice tenant, struct slice bytes, bool is_late,
                              distribute_local_fn *done, void *done_arg)
{
    (void)is_late; /* only samples are */
    return take_batch(arg, tenant, bytes, done, done_arg);
}

static void push_remote(void *arg, const struct member *to, struct slice tenant, struct slice bytes,
                        bool is_late, int64_t timeout_ms, rpc_reply_fn *on_reply, void *reply_arg)
{
    struct ingester_traces *t = arg;

    (void)is_late;
    rpc_call(rpc_pool_peer(process_peers(t->ing->process), to->rpc_addr),
             &(struct rpc_call_opts){
                 .method = "ingester.push_traces", .tenant = tenant, .timeout_ms = timeout_ms},
             bytes, on_reply, reply_arg, NULL);
}

/* ---- the door's sink ---- */

struct sinking {
    struct ingester *ing;
    struct loop *loop;
    struct trace_batch *batch; /* until done was called */
    trace_sink_done_fn *done;
    void *arg;
    bool counts; /* for the generator */
};

static uint32_t freight_token(const void *arg, size_t i)
{
    const struct trace_batch *b = arg;

    return trace_batch_token(b->tenant, b->traces.ptr[i].id);
}

static void freight_encode(const void *arg, const uint32_t *items, size_t n, bool with_labels,
                           struct buf *out)
{
    (void)with_labels; /* a piece says all itself */
    trace_batch_encode(arg, items, n, out);
}

static size_t freight_memory(const void *arg)
{
    return trace_batch_memory(arg);
}

static void freight_end(void *arg)
{
    trace_batch_free(arg);
}

static const struct distribute_cargo_ops freight_ops = {
    .token = freight_token,
    .encode = freight_encode,
    .memory = freight_memory,
    .end = freight_end,
};

/* What a tenant can do about it. */
static void put_advice(const struct tenant_limits *l, enum batch_reason reason, struct buf *out)
{
    if (reason == BATCH_TRACE_TOO_LARGE)
        buf_printf(out, " (%lld bytes)", (long long)l->max_bytes_per_trace);
    if (reason != BATCH_MAX_TRACES_LIMIT)
        return;
    if (l->max_traces_per_user)
        buf_printf(out, " (%lld at each ingester)", (long long)l->max_traces_per_user);
    if (l->max_global_traces_per_user)
        buf_printf(out, " or max_global_traces_per_user (%lld over the cluster)",
                   (long long)l->max_global_traces_per_user);
}

static void put_example(const struct trace_batch *b, const struct distribute_result *r,
                        enum batch_reason reason, struct buf *out)
{
    for (size_t i = 0; i < r->n_examples; i++) {
        if (r->examples[i].reason != reason || r->examples[i].series >= b->traces.len)
            continue;
        buf_str(out, "; trace ");
        buf_hex(out, b->traces.ptr[r->examples[i].series].id, 16);
        return;
    }
}

/* Spans of the traces that were refused, for one reason. */
static uint64_t refused_spans(const struct trace_batch *b, const struct distribute_result *r,
                              enum batch_reason reason)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->n_refusals; i++)
        if (r->refusals[i].what.reason == reason && r->refusals[i].what.series < b->traces.len)
            n += b->traces.ptr[r->refusals[i].what.series].n_spans;
    return n;
}

/* What of it was refused, as the client reads it. NULL: nothing. */
static struct err *refusals(const struct trace_batch *b, const struct distribute_result *r,
                            uint64_t *ret_spans)
{
    struct buf text = {0};
    enum err_code code = ERR_LIMIT;
    uint64_t spans;
    struct err *e;

    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++) {
        if (!r->rejected[i])
            continue;
        spans = refused_spans(b, r, (enum batch_reason)i);
        *ret_spans += spans;
        buf_printf(&text, "%s%llu spans of %llu traces were refused: %s", text.len ? "; " : "",
                   (unsigned long long)spans, (unsigned long long)r->rejected[i],
                   batch_reason_text((enum batch_reason)i));
        put_advice(&b->limits, (enum batch_reason)i, &text);
        put_example(b, r, (enum batch_reason)i, &text);
    }
    if (!text.len)
        return NULL;
    e = err_new(code, "%s", buf_cstr(&text));
    buf_done(&text);
    return e;
}

static void on_brought(void *arg, const struct push *none, const struct distribute_result *r)
{
    struct sinking *s = arg;
    uint64_t spans = 0;
    struct err *e = r->error ? err_copy(r->error) : refusals(s->batch, r, &spans);

    (void)none;
    if (s->counts && !r->error)
        ingester_generator_take(s->ing, s->loop, s->batch, r);
    else if (s->counts)
        ingester_generator_leave(s->ing);
    s->done(s->arg, e, spans);
    mem_free(s);
}

/* The door counts what waits for a quorum; here is what a slow replica holds on to after that. */
static void sink_write(void *arg, struct loop *loop, struct trace_batch *batch,
                       trace_sink_done_fn *done, void *done_arg)
{
    struct ingester_traces *t = arg;
    struct distribute_cargo cargo = {.ops = &freight_ops,
                                     .arg = batch,
                                     .tenant = batch->tenant,
                                     .shard_size =
                                         (unsigned)batch->limits.ingestion_tenant_shard_size,
                                     .n = batch->traces.len,
                                     .n_series = batch->traces.len};
    struct sinking *s;
    bool counts;

    if (!distribute_has_room(t->distribute, trace_batch_memory(batch))) {
        done(done_arg, err_new(ERR_UNAVAILABLE, "too many writes are in flight, try again"), 0);
        return;
    }
    if (!ingester_generator_enter(t->ing, batch->tenant, &counts)) {
        done(done_arg, err_new(ERR_UNAVAILABLE, "this ingester is stopping, try another"), 0);
        return;
    }
    trace_batch_ref(batch);
    s = mem_new(struct sinking);
    *s = (struct sinking){t->ing, loop, batch, done, done_arg, counts};
    distribute_bring(t->distribute, loop, &cargo, on_brought, s);
}

/* ---- RPC ---- */

static void on_push_traces(void *arg, struct rpc_call *call)
{
    struct slice tenant = rpc_call_tenant(call);
    struct err *e = tenant_check(tenant);

    if (!e)
        e = take_batch(arg, tenant, rpc_call_payload(call), ingester_rpc_answer, call);
    if (e)
        rpc_reply_err(call, e);
}

struct traces_read {
    struct ingester_traces *t;
    struct rpc_call *call;
    char *tenant;
    struct buf request; /* which q points into */
    struct rpc_traces_select q;
    struct tracehead_set *set;
};

static void read_close(void *src)
{
    struct traces_read *r = src;

    err_free(tracehead_set_close(r->set));
    buf_done(&r->request);
    mem_free(r->tenant);
    mem_free(r);
}

/* What is in the answer is fixed from here on; what is not, since it was dropped, the reader finds in the blocks of
 * this version of the catalogue or a later one. */
static struct err *read_open(void *src)
{
    struct traces_read *r = src;
    struct tracehead_query q = {.tenant = slice_cstr(r->tenant),
                                .start_ns = r->q.start_ns,
                                .end_ns = r->q.end_ns,
                                .after_ns = r->q.after_ns,
                                .has_ids = r->q.has_ids,
                                .ids = r->q.ids,
                                .n_ids = r->q.n_ids,
                                .ids_only = r->q.ids_only,
                                .max_bytes = r->q.max_bytes};
    struct err *e;

    memcpy(q.first, r->q.first, sizeof(q.first));
    memcpy(q.last, r->q.last, sizeof(q.last));
    e = tracehead_select(r->t->head, &q, &r->set);
    rpc_call_mark(r->call, tracehead_dropped_by(r->t->head, slice_cstr(r->tenant)));
    return e;
}

/* A trace of many pieces as several items, so that no frame has much more than it should. */
static void put_trace(struct buf *frame, const struct tracehead_trace *t)
{
    uint32_t from = 0, to = 0;

    do {
        size_t bytes = 0;

        while (to < t->n && bytes < TRACES_RPC_FRAME_BYTES)
            bytes += t->pieces[to++].len;
        rpc_traces_item_encode(frame,
                               &(struct rpc_traces_item){t->id, t->pieces + from, to - from});
        from = to;
    } while (to < t->n);
}

static struct err *read_next(void *src, struct buf *frame, bool *ret_more)
{
    struct traces_read *r = src;
    struct tracehead_set *set = r->set;
    struct tracehead_trace t;

    while (frame->len < TRACES_RPC_FRAME_BYTES) {
        if (!tracehead_set_next(set, &t)) {
            *ret_more = false;
            r->set = NULL;
            return tracehead_set_close(set);
        }
        put_trace(frame, &t);
    }
    return NULL;
}

static const struct feed_ops read_ops = {read_open, read_next, read_close};

static void on_select_traces(void *arg, struct rpc_call *call)
{
    struct ingester_traces *t = arg;
    struct traces_read *r = mem_new(struct traces_read);
    struct err *e = tenant_check(rpc_call_tenant(call));

    *r = (struct traces_read){.t = t, .call = call};
    r->tenant = slice_dup(rpc_call_tenant(call));
    buf_slice_append(&r->request, rpc_call_payload(call));
    if (!e)
        e = rpc_traces_select_decode(buf_slice(&r->request), &r->q);
    if (e) {
        read_close(r);
        rpc_reply_err(call, e);
        return;
    }
    feed_start(t->ing->feeds, call, &read_ops, r);
}

void ingester_traces_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    if (!ing->traces)
        return;
    rpc_server_handle(s, "ingester.push_traces", on_push_traces, ing->traces);
    rpc_server_handle(s, "ingester.select_traces", on_select_traces, ing->traces);
    ingester_sampling_handle(ing);
}

/* ---- the page ---- */

struct page_task {
    struct ingester_traces *t;
    struct http_request *request;
    struct arena *arena; /* of one trace */
    char *tenant;
    uint8_t id[1][16];
    struct tracehead_query q;
    int64_t limit;
    struct buf out;
    struct err *err;
};

static void page_free(struct page_task *t)
{
    arena_free(t->arena);
    buf_done(&t->out);
    mem_free(t->tenant);
    mem_free(t);
}

static struct err *write_trace(struct page_task *t, const struct tracehead_trace *tr)
{
    struct tracepiece *pieces = arena_array(t->arena, struct tracepiece, tr->n), all;
    struct err *e = NULL;

    for (uint32_t i = 0; !e && i < tr->n; i++)
        e = tracepiece_decode(t->arena, tr->pieces[i], &pieces[i]);
    if (e)
        return e;
    tracepiece_unite(t->arena, pieces, tr->n, &all);
    buf_str(&t->out, "{\"trace_id\":\"");
    buf_hex(&t->out, tr->id, 16);
    buf_printf(&t->out, "\",\"pieces\":%u,\"spans\":%u,\"span_ids\":[", tr->n, all.n_spans);
    for (uint32_t i = 0; i < all.n_spans; i++)
        buf_printf(&t->out, "%s\"%016llx\"", i ? "," : "",
                   (unsigned long long)all.spans[i].span_id);
    buf_str(&t->out, "]}\n");
    return NULL;
}

static void page_work(void *arg)
{
    struct page_task *t = arg;
    struct tracehead_trace tr;
    struct tracehead_set *s;

    if ((t->err = tracehead_select(t->t->head, &t->q, &s)))
        return;
    while (!t->err && t->limit-- > 0 && tracehead_set_next(s, &tr)) {
        t->err = write_trace(t, &tr);
        arena_reset(t->arena);
        if (!t->err && t->out.len >= PAGE_MAX_BYTES)
            t->err = err_new(ERR_LIMIT, "an answer of more than %u bytes: ask for fewer traces",
                             PAGE_MAX_BYTES);
    }
    t->err = err_first(t->err, tracehead_set_close(s));
}

static void page_done(void *arg)
{
    struct page_task *t = arg;

    if (t->err)
        http_reply_err(t->request, t->err);
    else
        http_reply_buf(t->request, 200, "application/x-ndjson", &t->out);
    page_free(t);
}

static struct err *page_number(struct http_request *r, const char *name, int64_t *io)
{
    struct slice s = http_param(r, name);

    if (s.ptr && !slice_to_i64(s, io))
        return err_new(ERR_INVALID, "%s is no whole number", name);
    return NULL;
}

static struct err *page_id(struct page_task *t, struct slice s)
{
    if (!s.len || s.len > 32 || hex_id(s, t->id[0], 16) >= 0)
        return err_new(ERR_INVALID, "id is not 1 to 32 hexadecimal digits");
    t->q.has_ids = true;
    t->q.ids = (const uint8_t(*)[16])t->id;
    t->q.n_ids = 1;
    return NULL;
}

static struct err *page_params(struct page_task *t, struct http_request *r)
{
    struct slice tenant, id = http_param(r, "id");
    struct err *e;

    t->q = (struct tracehead_query){.start_ns = INT64_MIN, .end_ns = INT64_MAX};
    memset(t->q.last, 0xff, sizeof(t->q.last));
    t->limit = PAGE_LIMIT;
    if ((e = http_param_check(r)) || (e = auth_single_tenant(r, &tenant)) ||
        (e = page_number(r, "start", &t->q.start_ns)) ||
        (e = page_number(r, "end", &t->q.end_ns)) || (e = page_number(r, "limit", &t->limit)))
        return e;
    if (t->limit < 1 || t->limit > PAGE_MAX_LIMIT)
        return err_new(ERR_INVALID, "limit is not in 1..%d", PAGE_MAX_LIMIT);
    if (id.ptr && (e = page_id(t, id)))
        return e;
    t->tenant = slice_dup(tenant);
    t->q.tenant = slice_cstr(t->tenant);
    return NULL;
}

static void traces_page(struct http_request *r)
{
    struct ingester_traces *tr = r->arg;
    struct page_task *t = mem_new(struct page_task);
    struct err *e;

    *t = (struct page_task){.t = tr, .request = r, .arena = arena_new(0)};
    if (!(e = page_params(t, r)))
        e = job_run(process_jobs(tr->ing->process), r->loop, page_work, page_done, t);
    if (e) {
        page_free(t);
        http_reply_err(r, e);
    }
}

void ingester_traces_routes(struct ingester *ing, struct http_server *s)
{
    if (!ing->traces)
        return;
    trace_http_routes(s, ing->traces->door);
    if (s == process_http(ing->process))
        http_server_route(s, &(struct http_route){.methods = HTTP_GET,
                                                  .pattern = "/ingester/traces",
                                                  .handler = traces_page,
                                                  .arg = ing->traces});
}

void ingester_traces_methods(struct ingester *ing, struct grpc_server *g)
{
    if (ing->traces)
        trace_grpc_methods(g, ing->traces->door);
}

/* ---- life ---- */

static struct err *open_store(struct ingester_traces *t)
{
    const struct ingester_conf *c = &t->ing->conf;
    char *dir = mem_printf("%s/traces", process_data_dir(t->ing->process));
    struct wal_opts wal = {.dir = dir,
                           .labels = "signal=\"traces\"",
                           .segment_bytes = c->wal_segment_bytes,
                           .max_group_bytes = c->wal_buffer_bytes,
                           .without_io_uring = !c->wal_io_uring};
    struct tracehead_opts head = {.dir = dir,
                                  .idle_ms = c->traces_idle_ns / NS_PER_MS,
                                  .max_live_ms = c->traces_max_live_ns / NS_PER_MS,
                                  .cut_period_ms = c->traces_cut_period_ns / NS_PER_MS,
                                  .max_live = (uint64_t)c->traces_live_max,
                                  .segment_bytes = c->traces_segment_bytes,
                                  .push_queue_bytes = c->push_queue_bytes,
                                  .write_buffer_bytes = (size_t)c->traces_buffer_bytes,
                                  .grace_ms = c->cut_grace_ns / NS_PER_MS};
    struct err *e = wal_open(&wal, &t->wal);

    if (!e) {
        head.wal = t->wal;
        ingester_sampling_open(t->ing, &head.sampling);
        e = tracehead_open(&head, &t->head);
    }
    mem_free(dir);
    return e;
}

struct err *ingester_traces_open(struct ingester *ing)
{
    const struct ingester_conf *c = &ing->conf;
    struct ingester_traces *t;
    struct err *e;

    if (!c->has_traces)
        return NULL;
    ing->traces = t = mem_new(struct ingester_traces);
    t->ing = ing;
    lock_init(&t->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&t->wake);
    if ((e = open_store(t)))
        return e;
    t->distribute = distribute_new(&(struct distribute_opts){
        .ops = {.ring = traces_ring, .local = push_local, .remote = push_remote, .arg = t},
        .instance = process_instance(ing->process),
        .timeout_ms = c->push_timeout_ns / NS_PER_MS,
        .max_inflight_bytes = c->max_inflight_bytes,
        .metric_labels = "signal=\"traces\""});
    t->sink = (struct trace_sink){sink_write, t};
    t->door = trace_door_new(
        &(struct trace_door_opts){.limits = ing->limits,
                                  .sink = &t->sink,
                                  .share = active_ingesters,
                                  .share_arg = t,
                                  .max_body_bytes = (size_t)c->max_body_bytes,
                                  .max_inflight_bytes = (size_t)c->max_inflight_bytes});
    return NULL;
}

struct tracehead *ingester_traces_head(struct ingester *ing)
{
    return ing->traces ? ing->traces->head : NULL;
}

static void upkeep_once(struct ingester_traces *t)
{
    struct err *e = tracehead_maintain(t->head);

    if (e)
        LOG_ERROR(head, "upkeep of the trace head failed, it will be tried again", KV_ERR(e));
    err_free(e);
}

static void *upkeep(void *arg)
{
    struct ingester_traces *t = arg;
    bool is_stopping = false;

    while (!is_stopping) {
        struct timespec until;

        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += UPKEEP_MS / 1000;
        lock_take(&t->lock);
        if (!t->is_stopping)
            (void)lock_wait_until(&t->lock, &t->wake, &until);
        is_stopping = t->is_stopping;
        lock_release(&t->lock);
        if (!is_stopping)
            upkeep_once(t);
    }
    return NULL;
}

struct err *ingester_traces_start(struct ingester *ing)
{
    struct err *e;

    if (!ing->traces)
        return NULL;
    e = thread_start("trace-upkeep", upkeep, ing->traces, &ing->traces->thread);
    ing->traces->has_thread = !e;
    return e;
}

const char *ingester_traces_trouble(const struct ingester *ing)
{
    if (!ing->traces)
        return NULL;
    if (!tracehead_is_ready(ing->traces->head))
        return "the log of spans is being replayed";
    return wal_is_healthy(ing->traces->wal) ? NULL : "the log of spans cannot be written";
}

void ingester_traces_seal(struct ingester *ing)
{
    if (ing->traces)
        atomic_store(&ing->traces->is_sealed, true);
}

void ingester_traces_stop(struct ingester *ing)
{
    struct ingester_traces *t = ing->traces;
    struct err *e = NULL;

    if (!t)
        return;
    lock_take(&t->lock);
    t->is_stopping = true;
    (void)pthread_cond_signal(&t->wake);
    lock_release(&t->lock);
    if (t->has_thread)
        (void)pthread_join(t->thread, NULL);
    t->has_thread = false;
    tracehead_close(t->head);
    t->head = NULL;
    if (t->wal)
        e = wal_close(t->wal);
    t->wal = NULL;
    if (e)
        LOG_ERROR(head, "closing the log of spans failed, it will be replayed", KV_ERR(e));
    err_free(e);
}

void ingester_traces_free(struct ingester *ing)
{
    struct ingester_traces *t = ing->traces;

    if (!t)
        return;
    distribute_free(t->distribute);
    trace_door_free(t->door);
    ingester_sampling_free(ing);
    lock_done(&t->lock);
    (void)pthread_cond_destroy(&t->wake);
    mem_free(t);
    ing->traces = NULL;
}
