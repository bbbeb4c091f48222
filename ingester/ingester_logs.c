/*
 * Log lines in the ingester: their own write-ahead log and head (DIR/logs), the door's sink, which brings
 * batches to their replicas as metrics are brought, and what others ask (common/model/logs_rpc.h).
 *
 *   GET /ingester/logs?query={…}[&start=ns][&end=ns][&direction=forward|backward][&limit=n]
 *       what this ingester holds, not the cluster: JSON lines {"stream":{…},"values":[["ns","line",{…}]…]}
 */
#include <stdatomic.h>

#include "common/auth/auth.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/lang/logql.h"
#include "common/model/logs_rpc.h"
#include "common/model/tenant.h"
#include "ingester/door/log_grpc.h"
#include "ingester/door/log_http.h"
#include "ingester/ingester_internal.h"
#include "ingester/log_shards.h"
#include "ingester/logs/loghead.h"

#define UPKEEP_MS 1000
#define BURST_S 5.0 /* of a stream, if the tenant has none of its own */
#define PAGE_LIMIT 1000
#define PAGE_MAX_LIMIT 100000
#define PAGE_MAX_BYTES (64u << 20)

struct ingester_logs {
    struct ingester *ing;
    struct wal *wal;
    struct loghead *head;
    struct distribute *distribute;
    struct log_door *door;
    struct log_sink sink;
    struct log_shards *shards;
    struct message_door *messages;
    _Atomic bool is_sealed;
    /* upkeep */
    pthread_t thread;
    bool has_thread, is_stopping;
    struct lock lock; /* rank LEAF_MODULE: is_stopping */
    pthread_cond_t wake;
};

/* ---- to the replicas ---- */

static struct ring *logs_ring(void *arg)
{
    struct ingester_logs *l = arg;

    return membership_ring(process_membership(l->ing->process), MEMBER_INGESTER, MEMBER_LOGS);
}

static size_t active_ingesters(void *arg)
{
    struct ring *r = logs_ring(arg);
    size_t n = ring_active(r);

    ring_unref(r);
    return n;
}

static enum loghead_place place_stream(void *arg, struct slice tenant, struct hash128 fp)
{
    struct ingester_logs *l = arg;
    struct ring *ring = logs_ring(l), *of_tenant;
    struct tenant_limits tl;
    enum loghead_place place;

    limits_get(l->ing->limits, tenant, &tl);
    of_tenant = ring_subring(ring, tenant, (unsigned)tl.ingestion_tenant_shard_size, INT64_MAX);
    place = log_shards_place(of_tenant, slice_cstr(process_instance(l->ing->process)), tenant, fp);
    ring_unref(of_tenant);
    ring_unref(ring);
    return place;
}

/* As one of the replicas: the tenant's limits, or why nothing is taken. */
static struct err *head_limits(struct ingester_logs *l, struct slice tenant,
                               struct loghead_limits *ret)
{
    struct loghead_limits limits = {0};
    struct tenant_limits tl;

    if (atomic_load(&l->is_sealed))
        return err_new(ERR_UNAVAILABLE, "this ingester is leaving");
    limits_get(l->ing->limits, tenant, &tl);
    limits.max_streams = (uint64_t)tl.max_streams_per_user;
    if (tl.max_global_streams_per_user) {
        struct ring *ring = logs_ring(l);

        limits.max_homes =
            replica_share(tl.max_global_streams_per_user, ring, tl.ingestion_tenant_shard_size);
        ring_unref(ring);
    }
    limits.stream_rate = (double)tl.per_stream_rate_limit;
    limits.stream_burst = tl.per_stream_rate_limit_burst ? (double)tl.per_stream_rate_limit_burst
                                                         : BURST_S * limits.stream_rate;
    *ret = limits;
    return NULL;
}

static struct err *take_batch(struct ingester_logs *l, struct slice tenant, struct slice bytes,
                              loghead_push_fn *done, void *arg)
{
    struct loghead_limits limits;
    struct err *e = head_limits(l, tenant, &limits);

    return e ? e : loghead_push(l->head, tenant, bytes, &limits, done, arg);
}

static void push_remote(void *arg, const struct member *to, struct slice tenant, struct slice bytes,
                        bool is_late, int64_t timeout_ms, rpc_reply_fn *on_reply, void *reply_arg)
{
    struct ingester_logs *l = arg;

    (void)is_late;
    rpc_call(rpc_pool_peer(process_peers(l->ing->process), to->rpc_addr),
             &(struct rpc_call_opts){
                 .method = "ingester.push_logs", .tenant = tenant, .timeout_ms = timeout_ms},
             bytes, on_reply, reply_arg, NULL);
}

/* ---- the door's sink ---- */

/* A batch on its way; its items are the streams that have entries. */
struct log_freight {
    struct ingester_logs *l;
    struct log_batch *batch;
    VEC(uint32_t) streams;
};
struct sinking {
    struct log_freight *freight; /* until done was called */
    log_sink_done_fn *done;
    void *arg;
};

static uint32_t freight_token(const void *arg, size_t i)
{
    const struct log_freight *f = arg;

    return log_shards_token(f->batch, &f->batch->streams.ptr[f->streams.ptr[i]]);
}

/* The batch's streams that items (NULL: all) are; the caller mem_free()s. */
static uint32_t *streams_of(const struct log_freight *f, const uint32_t *items, size_t n)
{
    uint32_t *streams = mem_new_array(uint32_t, n + 1);

    for (size_t i = 0; i < n; i++)
        streams[i] = f->streams.ptr[items ? items[i] : i];
    return streams;
}

static void freight_encode(const void *arg, const uint32_t *items, size_t n, bool with_labels,
                           struct buf *out)
{
    const struct log_freight *f = arg;
    uint32_t *streams = streams_of(f, items, n);

    log_batch_encode(f->batch, streams, n, with_labels, out);
    mem_free(streams);
}

static struct err *freight_store(void *arg, const uint32_t *items, size_t n, bool with_labels,
                                 distribute_local_fn *done, void *done_arg)
{
    const struct log_freight *f = arg;
    struct loghead_limits limits;
    struct err *e = head_limits(f->l, f->batch->tenant, &limits);
    uint32_t *streams;

    if (e)
        return e;
    streams = streams_of(f, items, n);
    e = loghead_push_batch(f->l->head, f->batch, streams, n, with_labels, &limits, done, done_arg);
    mem_free(streams);
    return e;
}

static size_t freight_memory(const void *arg)
{
    return log_batch_memory(((const struct log_freight *)arg)->batch);
}

static void freight_end(void *arg)
{
    struct log_freight *f = arg;

    log_batch_free(f->batch);
    vec_done(&f->streams);
    mem_free(f);
}

static const struct distribute_cargo_ops freight_ops = {.token = freight_token,
                                                        .encode = freight_encode,
                                                        .memory = freight_memory,
                                                        .store = freight_store,
                                                        .end = freight_end};

/* The stream of the first refusal for this reason. */
static void put_stream(const struct log_freight *f, const struct distribute_result *r,
                       enum batch_reason reason, struct buf *out)
{
    struct arena *a;
    struct buf labels = {0};
    struct labels ls;
    size_t i = 0;

    while (i < r->n_examples && r->examples[i].reason != reason)
        i++;
    if (i == r->n_examples || r->examples[i].series >= f->streams.len)
        return;
    a = arena_new(0);
    if (labels_of_canonical(a, f->batch->streams.ptr[f->streams.ptr[r->examples[i].series]].labels,
                            &ls)) {
        labels_text(&labels, ls);
        buf_printf(out, "; stream: %.*s", (int)ORR_MIN(labels.len, (size_t)1024), labels.ptr);
    }
    arena_free(a);
    buf_done(&labels);
}

/* What a tenant can do about it. */
static void put_advice(const struct log_freight *f, const struct distribute_result *r,
                       enum batch_reason reason, struct buf *out)
{
    const struct tenant_limits *l = &f->batch->limits;

    if (reason == BATCH_MAX_STREAMS_LIMIT) {
        if (l->max_global_streams_per_user)
            buf_printf(out, " (%lld over the cluster)", (long long)l->max_global_streams_per_user);
        if (l->max_streams_per_user)
            buf_printf(out, " or max_streams_per_user (%lld at each ingester)",
                       (long long)l->max_streams_per_user);
        if (r->widest.len)
            buf_printf(out,
                       "; the label with the most values is \"%.*s\": what differs from line to "
                       "line belongs into the line or its structured metadata",
                       (int)ORR_MIN(r->widest.len, (size_t)128), (const char *)r->widest.ptr);
    }
    if (reason == BATCH_STREAM_RATE)
        buf_printf(out,
                   " of %lld bytes per second; send it slower, split it by a label, or have the "
                   "limit raised",
                   (long long)l->per_stream_rate_limit);
}

/*
 * What of it was refused, as the client reads it. NULL: nothing. Too many streams, or too fast ones, are 429, as
 * in Loki: agents come again when streams may have become idle.
 */
static struct err *refusals(const struct log_freight *f, const struct distribute_result *r)
{
    struct buf text = {0};
    enum err_code code = ERR_RATE;
    struct err *e;

    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++) {
        if (!r->rejected[i])
            continue;
        buf_printf(&text, "%s%llu log lines were refused: %s", text.len ? "; " : "",
                   (unsigned long long)r->rejected[i], batch_reason_text((enum batch_reason)i));
        put_advice(f, r, (enum batch_reason)i, &text);
        put_stream(f, r, (enum batch_reason)i, &text);
        code = i == BATCH_MAX_STREAMS_LIMIT || i == BATCH_STREAM_RATE ? code : ERR_INVALID;
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
    struct err *e = r->error ? err_copy(r->error) : refusals(s->freight, r);

    (void)none;
    s->done(s->arg, e);
    mem_free(s);
}

static void shard(struct ingester_logs *l, struct log_batch *batch)
{
    struct ring *ring = logs_ring(l),
                *part =
                    ring_subring(ring, batch->tenant,
                                 (unsigned)batch->limits.ingestion_tenant_shard_size, INT64_MAX);

    log_shards_split(l->shards, batch, ring_set_count(part), ring_active(ring));
    ring_unref(part);
    ring_unref(ring);
}

/* The door counts what waits for a quorum; here is what a slow replica holds on to after that. */
static void sink_write(void *arg, struct loop *loop, struct log_batch *batch,
                       log_sink_done_fn *done, void *done_arg)
{
    struct ingester_logs *l = arg;
    struct log_freight *f;
    struct sinking *s;
    struct distribute_cargo cargo;

    if (!distribute_has_room(l->distribute, log_batch_memory(batch))) {
        done(done_arg, err_new(ERR_UNAVAILABLE, "too many writes are in flight, try again"));
        return;
    }
    f = mem_new(struct log_freight);
    s = mem_new(struct sinking);
    cargo = (struct distribute_cargo){.ops = &freight_ops,
                                      .arg = f,
                                      .tenant = batch->tenant,
                                      .shard_size =
                                          (unsigned)batch->limits.ingestion_tenant_shard_size};
    log_batch_ref(batch);
    shard(l, batch);
    f->l = l;
    f->batch = batch;
    for (uint32_t i = 0; i < batch->streams.len; i++)
        if (batch->streams.ptr[i].n)
            vec_push(&f->streams, i);
    cargo.n = cargo.n_series = f->streams.len;
    *s = (struct sinking){f, done, done_arg};
    distribute_bring(l->distribute, loop, &cargo, on_brought, s);
}

/* ---- RPC ---- */

static void on_push_logs(void *arg, struct rpc_call *call)
{
    struct slice tenant = rpc_call_tenant(call);
    struct err *e = tenant_check(tenant);

    if (!e)
        e = take_batch(arg, tenant, rpc_call_payload(call), ingester_rpc_answer, call);
    if (e)
        rpc_reply_err(call, e);
}

struct logs_read {
    struct ingester_logs *l;
    struct rpc_call *call;
    struct arena *arena;
    char *tenant;
    struct rpc_logs_select q;
    struct logblock_bound bound;
    struct loghead_set *set;
    bool is_in_stream;
    uint64_t sent;   /* of the stream; of the names */
    uint64_t *steps; /* bytes of the stream's; NULL: not asked for */
    size_t n_steps, step;
    struct loghead_names names;
    size_t at;
};

static void read_close(void *src)
{
    struct logs_read *r = src;

    err_free(loghead_set_close(r->set));
    matchers_done(r->q.matchers);
    arena_free(r->arena);
    mem_free(r->tenant);
    mem_free(r);
}

static struct err *read_by(struct logs_read *r)
{
    struct loghead_query q = {.tenant = slice_cstr(r->tenant),
                              .matchers = r->q.matchers,
                              .from_ns = r->q.from_ns,
                              .to_ns = r->q.to_ns,
                              .is_backward = r->q.is_backward,
                              .max_streams = r->q.max_streams};

    if (r->q.kind == RPC_LOGS_STREAMS && r->q.steps.step_ns) {
        r->n_steps = log_steps_count(&r->q.steps);
        r->steps = arena_array(r->arena, uint64_t, r->n_steps);
    }
    if (r->q.kind == RPC_LOGS_ENTRIES) {
        q.needles = r->q.needles;
        q.n_needles = r->q.n_needles;
        if (r->q.bound) {
            r->bound =
                (struct logblock_bound){r->q.bound->is_logfmt ? LOGPAGE_LOGFMT : LOGPAGE_JSON,
                                        r->q.bound->name, r->q.bound->min, r->q.bound->max};
            q.bound = &r->bound;
        }
    }
    if (r->q.kind == RPC_LOGS_NAMES)
        return loghead_label_names(r->l->head, &q, r->arena, &r->names);
    if (r->q.kind == RPC_LOGS_VALUES)
        return loghead_label_values(r->l->head, &q, r->q.name, r->arena, &r->names);
    return loghead_select(r->l->head, &q, &r->set);
}

/* What is in the answer is fixed from here on; what is not, since it was dropped, the reader finds in the blocks of
 * this version of the catalogue or a later one. */
static struct err *read_open(void *src)
{
    struct logs_read *r = src;
    struct err *e = read_by(r);

    rpc_call_mark(r->call, loghead_dropped_by(r->l->head, slice_cstr(r->tenant)));
    return e;
}

/* The next step of the stream in which it has something. */
static bool next_step(struct logs_read *r, struct rpc_logs_item *ret)
{
    while (r->step < r->n_steps) {
        size_t i = r->step++;

        if (!r->steps[i])
            continue;
        *ret = (struct rpc_logs_item){.tag = RPC_LOGS_STEP, .step = i, .bytes = r->steps[i]};
        return true;
    }
    return false;
}

static void take_volume(struct logs_read *r, struct loghead_volume *ret)
{
    loghead_set_volume(r->set, ret);
    if (!r->steps)
        return;
    memset(r->steps, 0, r->n_steps * sizeof(*r->steps));
    loghead_set_steps(r->set, &r->q.steps, r->steps);
    r->step = 0;
}

static bool next_item(struct logs_read *r, struct rpc_logs_item *ret)
{
    struct loghead_entry en;
    struct loghead_stream st;
    struct loghead_volume v = {0};

    if (r->is_in_stream && r->q.kind == RPC_LOGS_ENTRIES && (!r->q.limit || r->sent < r->q.limit) &&
        loghead_set_entry(r->set, &en)) {
        r->sent++;
        *ret = (struct rpc_logs_item){
            .tag = RPC_LOGS_ENTRY, .text = en.line, .t_ns = en.t_ns, .metadata = en.metadata};
        return true;
    }
    if (r->is_in_stream && r->steps && next_step(r, ret))
        return true;
    if (!loghead_set_stream(r->set, &st))
        return false;
    r->is_in_stream = true;
    r->sent = 0;
    if (r->q.kind == RPC_LOGS_STREAMS)
        take_volume(r, &v);
    *ret = (struct rpc_logs_item){.tag = RPC_LOGS_STREAM,
                                  .fp = st.fp,
                                  .text = st.labels,
                                  .entries = v.entries,
                                  .bytes = v.bytes};
    return true;
}

static struct err *read_next(void *src, struct buf *frame, bool *ret_more)
{
    struct logs_read *r = src;
    struct rpc_logs_item item;
    struct loghead_set *set = r->set;

    while (frame->len < LOGS_RPC_FRAME_BYTES) {
        if (!set && (r->at == r->names.n || (r->q.limit && r->at == r->q.limit))) {
            *ret_more = false;
            return NULL;
        }
        if (!set) {
            item = (struct rpc_logs_item){.tag = RPC_LOGS_NAME, .text = r->names.ptr[r->at++]};
        } else if (!next_item(r, &item)) {
            *ret_more = false;
            r->set = NULL;
            return loghead_set_close(set);
        }
        rpc_logs_item_encode(frame, &item);
    }
    return NULL;
}

static const struct feed_ops read_ops = {read_open, read_next, read_close};

static void on_select_logs(void *arg, struct rpc_call *call)
{
    struct ingester_logs *l = arg;
    struct logs_read *r = mem_new(struct logs_read);
    struct err *e = tenant_check(rpc_call_tenant(call));

    *r = (struct logs_read){.l = l, .call = call, .arena = arena_new(0)};
    r->tenant = slice_dup(rpc_call_tenant(call));
    if (!e)
        e = rpc_logs_select_decode(r->arena, arena_dup(r->arena, rpc_call_payload(call)), &r->q);
    if (e) {
        read_close(r);
        rpc_reply_err(call, e);
        return;
    }
    feed_start(l->ing->feeds, call, &read_ops, r);
}

void ingester_logs_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    rpc_server_handle(s, "ingester.push_logs", on_push_logs, ing->logs);
    rpc_server_handle(s, "ingester.select_logs", on_select_logs, ing->logs);
}

/* ---- the page ---- */

struct page_task {
    struct ingester_logs *l;
    struct http_request *request;
    struct arena *arena;
    char *tenant;
    struct matchers matchers;
    struct loghead_query q;
    int64_t limit;
    struct buf out;
    struct err *err;
};

static void page_free(struct page_task *t)
{
    matchers_done(t->matchers);
    arena_free(t->arena);
    buf_done(&t->out);
    mem_free(t->tenant);
    mem_free(t);
}

static void write_entry(struct buf *out, const struct loghead_entry *en, bool is_first)
{
    buf_printf(out, "%s[\"%lld\",", is_first ? "" : ",", (long long)en->t_ns);
    buf_json_str(out, en->line);
    if (en->metadata.n) {
        buf_byte(out, ',');
        labels_json(out, en->metadata);
    }
    buf_byte(out, ']');
}

static struct err *write_streams(struct page_task *t, struct loghead_set *s)
{
    struct loghead_stream st;
    struct loghead_entry en;
    struct err *e;

    while (t->limit > 0 && t->out.len < PAGE_MAX_BYTES && loghead_set_stream(s, &st)) {
        struct labels ls;
        size_t before = t->out.len;
        bool is_first = true;

        if (!labels_of_canonical(t->arena, st.labels, &ls))
            continue;
        buf_str(&t->out, "{\"stream\":");
        labels_json(&t->out, ls);
        buf_str(&t->out, ",\"values\":[");
        for (; t->limit > 0 && t->out.len < PAGE_MAX_BYTES && loghead_set_entry(s, &en);
             t->limit--) {
            write_entry(&t->out, &en, is_first);
            is_first = false;
        }
        buf_str(&t->out, "]}\n");
        if (is_first)
            t->out.len = before;
    }
    e = loghead_set_close(s);
    if (!e && t->out.len >= PAGE_MAX_BYTES)
        e = err_new(ERR_LIMIT, "an answer of more than %u bytes: ask for fewer lines or less time",
                    PAGE_MAX_BYTES);
    return e;
}

static void page_work(void *arg)
{
    struct page_task *t = arg;
    struct loghead_set *s;

    if (!(t->err = loghead_select(t->l->head, &t->q, &s)))
        t->err = write_streams(t, s);
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

static struct err *page_params(struct page_task *t, struct http_request *r)
{
    struct slice tenant, direction = http_param(r, "direction");
    struct err *e;

    t->q = (struct loghead_query){.from_ns = INT64_MIN + 1, .to_ns = INT64_MAX};
    t->limit = PAGE_LIMIT;
    if ((e = http_param_check(r)) || (e = auth_single_tenant(r, &tenant)) ||
        (e = page_number(r, "start", &t->q.from_ns)) || (e = page_number(r, "end", &t->q.to_ns)) ||
        (e = page_number(r, "limit", &t->limit)))
        return e;
    if (t->limit < 1 || t->limit > PAGE_MAX_LIMIT)
        return err_new(ERR_INVALID, "limit is not in 1..%d", PAGE_MAX_LIMIT);
    if (direction.ptr && !slice_eq_cstr(direction, "forward") &&
        !slice_eq_cstr(direction, "backward"))
        return err_new(ERR_INVALID, "direction is neither forward nor backward");
    t->q.is_backward = slice_eq_cstr(direction, "backward");
    if ((e = logql_parse_selector(t->arena, arena_dup(t->arena, http_param(r, "query")),
                                  &t->matchers)))
        return e;
    t->tenant = slice_dup(tenant);
    t->q.tenant = slice_cstr(t->tenant);
    t->q.matchers = t->matchers;
    return NULL;
}

static void logs_page(struct http_request *r)
{
    struct ingester_logs *l = r->arg;
    struct page_task *t = mem_new(struct page_task);
    struct err *e;

    *t = (struct page_task){.l = l, .request = r, .arena = arena_new(0)};
    if (!(e = page_params(t, r)))
        e = job_run(process_jobs(l->ing->process), r->loop, page_work, page_done, t);
    if (e) {
        page_free(t);
        http_reply_err(r, e);
    }
}

void ingester_logs_routes(struct ingester *ing, struct http_server *s)
{
    log_http_routes(s, ing->logs->door);
    if (s == process_http(ing->process))
        http_server_route(s, &(struct http_route){.methods = HTTP_GET,
                                                  .pattern = "/ingester/logs",
                                                  .handler = logs_page,
                                                  .arg = ing->logs});
}

void ingester_logs_methods(struct ingester *ing, struct grpc_server *g)
{
    log_grpc_methods(g, ing->logs->door);
}

/* ---- life ---- */

static struct err *open_store(struct ingester_logs *l)
{
    const struct ingester_conf *c = &l->ing->conf;
    char *dir = mem_printf("%s/logs", process_data_dir(l->ing->process));
    struct wal_opts wal = {.dir = dir,
                           .labels = "signal=\"logs\"",
                           .segment_bytes = c->wal_segment_bytes,
                           .max_group_bytes = c->wal_buffer_bytes,
                           .without_io_uring = !c->wal_io_uring};
    struct loghead_opts head = {.dir = dir,
                                .shards = (unsigned)c->shards,
                                .open_bytes = c->logs_open_bytes,
                                .seal_bytes = c->logs_seal_bytes,
                                .seal_age_ms = c->logs_seal_age_ns / NS_PER_MS,
                                .seal_wal_bytes = c->logs_seal_wal_bytes,
                                .push_queue_bytes = c->push_queue_bytes,
                                .idle_ms = c->logs_idle_ns / NS_PER_MS,
                                .has_filters = process_rf(l->ing->process) == 1,
                                .place = place_stream,
                                .place_arg = l,
                                .grace_ms = c->cut_grace_ns / NS_PER_MS};
    struct err *e = wal_open(&wal, &l->wal);

    if (!e) {
        head.wal = l->wal;
        e = loghead_open(&head, &l->head);
    }
    mem_free(dir);
    return e;
}

struct err *ingester_logs_open(struct ingester *ing)
{
    const struct ingester_conf *c = &ing->conf;
    struct ingester_logs *l = mem_new(struct ingester_logs);
    size_t n = process_loop_count(ing->process);
    struct loop **loops;
    struct err *e;

    ing->logs = l;
    l->ing = ing;
    lock_init(&l->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&l->wake);
    if ((e = open_store(l)))
        return e;
    l->distribute = distribute_new(
        &(struct distribute_opts){.ops = {.ring = logs_ring, .remote = push_remote, .arg = l},
                                  .instance = process_instance(ing->process),
                                  .timeout_ms = c->push_timeout_ns / NS_PER_MS,
                                  .max_inflight_bytes = c->max_inflight_bytes,
                                  .metric_labels = "signal=\"logs\""});
    l->sink = (struct log_sink){sink_write, l};
    l->shards = log_shards_new(NULL);
    loops = mem_new_array(struct loop *, n);
    for (size_t i = 0; i < n; i++)
        loops[i] = process_loop(ing->process, i);
    l->door =
        log_door_new(&(struct log_door_opts){.loops = loops,
                                             .n_loops = n,
                                             .limits = ing->limits,
                                             .sink = &l->sink,
                                             .share = active_ingesters,
                                             .share_arg = l,
                                             .cache_bytes = (size_t)c->logs_cache_bytes,
                                             .max_body_bytes = (size_t)c->max_body_bytes,
                                             .max_inflight_bytes = (size_t)c->max_inflight_bytes});
    e = message_door_new(&(struct message_door_opts){.conf = &c->messages,
                                                     .door = l->door,
                                                     .loops = loops,
                                                     .n_loops = n,
                                                     .max_connections = c->lines.max_connections,
                                                     .idle_ms = c->lines.idle_ns / NS_PER_MS},
                         &l->messages);
    mem_free(loops);
    return e;
}

bool ingester_logs_drain(struct ingester *ing, int64_t timeout_ms)
{
    return message_door_drain(ing->logs->messages, timeout_ms);
}

void ingester_logs_reload(struct ingester *ing)
{
    struct err *e = message_door_reload(ing->logs->messages);

    if (e)
        LOG_ERROR(door, "the certificate of syslog over TLS stays as it is", KV_ERR(e));
    err_free(e);
}

struct loghead *ingester_logs_head(struct ingester *ing)
{
    return ing->logs->head;
}

static void upkeep_once(struct ingester_logs *l)
{
    struct err *e = loghead_maintain(l->head);

    if (e)
        LOG_ERROR(head, "upkeep of the log head failed, it will be tried again", KV_ERR(e));
    err_free(e);
}

static void *upkeep(void *arg)
{
    struct ingester_logs *l = arg;
    bool is_stopping = false;

    while (!is_stopping) {
        struct timespec until;

        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += UPKEEP_MS / 1000;
        lock_take(&l->lock);
        if (!l->is_stopping)
            (void)lock_wait_until(&l->lock, &l->wake, &until);
        is_stopping = l->is_stopping;
        lock_release(&l->lock);
        if (!is_stopping)
            upkeep_once(l);
    }
    return NULL;
}

struct err *ingester_logs_start(struct ingester *ing)
{
    struct err *e = thread_start("log-upkeep", upkeep, ing->logs, &ing->logs->thread);

    ing->logs->has_thread = !e;
    return e;
}

const char *ingester_logs_trouble(const struct ingester *ing)
{
    if (!loghead_is_ready(ing->logs->head))
        return "the log of log lines is being replayed";
    return wal_is_healthy(ing->logs->wal) ? NULL : "the log of log lines cannot be written";
}

void ingester_logs_seal(struct ingester *ing)
{
    atomic_store(&ing->logs->is_sealed, true);
}

void ingester_logs_stop(struct ingester *ing)
{
    struct ingester_logs *l = ing->logs;
    struct err *e = NULL;

    if (!l)
        return;
    lock_take(&l->lock);
    l->is_stopping = true;
    (void)pthread_cond_signal(&l->wake);
    lock_release(&l->lock);
    if (l->has_thread)
        (void)pthread_join(l->thread, NULL);
    l->has_thread = false;
    loghead_close(l->head);
    l->head = NULL;
    if (l->wal)
        e = wal_close(l->wal);
    l->wal = NULL;
    if (e)
        LOG_ERROR(head, "closing the log of log lines failed, it will be replayed", KV_ERR(e));
    err_free(e);
}

void ingester_logs_free(struct ingester *ing)
{
    struct ingester_logs *l = ing->logs;

    if (!l)
        return;
    distribute_free(l->distribute);
    message_door_free(l->messages);
    log_door_free(l->door);
    log_shards_free(l->shards);
    lock_done(&l->lock);
    (void)pthread_cond_destroy(&l->wake);
    mem_free(l);
    ing->logs = NULL;
}
