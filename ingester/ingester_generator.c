/*
 * Metrics of spans in the ingester (ingester/generator): spans of writes that were acknowledged go to a worker, halves of edges to and from the
 * other ingesters (RPC ingester.push_edges; bytes: ingester/generator/servicegraph.h), and the tenant's page:
 *
 * A stop: first no more writes are taken of tenants whose spans are counted (503: the client sends them to another), then all that were are counted, then
 * the tables are written a last time. So what was acknowledged is counted, and what is counted is written.
 *
 *   GET /ingester/generator   what this ingester makes of the tenant's spans; JSON (generator_status())
 */
#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/tenant.h"
#include "ingester/door/drained.h"
#include "ingester/door/trace_batch.h"
#include "ingester/generator/generator.h"
#include "ingester/ingester_internal.h"

#define SEND_TIMEOUT_MS 5000
#define QUEUE_BYTES                                                                                \
    (64 << 20) /* of writes that wait for a worker; beyond, who brings one works itself */

/* Outlives the rest: an answer may come late. */
struct edges_out {
    _Atomic uint32_t refs;
    uint64_t lost;
};
static const struct metric_field edges_fields[] = {
    METRIC_COUNTER(struct edges_out, lost, "orrery_generator_lost_halves_bytes_total",
                   "Bytes of halves of edges that did not get to the owners of their traces."),
};
struct ingester_generator {
    struct ingester *ing;
    struct generator *g;
    struct ownfeed *feed;
    struct edges_out *out;
    _Atomic int64_t queued_bytes;
    struct drained under_way; /* writes that are to be counted, and one until it is sealed */
    _Atomic bool is_sealed;
};

/* ---- what the generator asks of the process ---- */

static struct tenant_rules *rules_of(void *arg, struct slice tenant)
{
    return limits_rules(((struct ingester_generator *)arg)->ing->limits, tenant);
}

static struct ring *tenant_ring(void *arg, struct slice tenant)
{
    return ingester_traces_ring(((struct ingester_generator *)arg)->ing, tenant);
}

static void edges_out_unref(struct edges_out *o)
{
    if (atomic_fetch_sub(&o->refs, 1) == 1)
        mem_free(o);
}

struct sent_edges {
    struct edges_out *out;
    size_t bytes;
};

static void on_sent(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct sent_edges *s = arg;

    (void)payload;
    if (!is_last)
        return;
    if (e)
        METRIC_ADD(s->out->lost, s->bytes);
    edges_out_unref(s->out);
    mem_free(s);
}

static void send_edges(void *arg, const struct member *to, struct slice tenant, struct slice halves)
{
    struct ingester_generator *ig = arg;
    struct sent_edges *s;

    if (!to) {
        METRIC_ADD(ig->out->lost, halves.len);
        return;
    }
    s = mem_new(struct sent_edges);
    *s = (struct sent_edges){ig->out, halves.len};
    (void)atomic_fetch_add(&ig->out->refs, 1);
    rpc_call(rpc_pool_peer(process_peers(ig->ing->process), to->rpc_addr),
             &(struct rpc_call_opts){
                 .method = "ingester.push_edges", .tenant = tenant, .timeout_ms = SEND_TIMEOUT_MS},
             halves, on_sent, s, NULL);
}

/* ---- spans ---- */

struct taking {
    struct ingester_generator *ig;
    struct trace_batch *batch;
    int64_t bytes;
    VEC(struct slice) pieces;
};

static void take_work(void *arg)
{
    struct taking *t = arg;

    generator_take(t->ig->g, t->batch->tenant, t->pieces.ptr, t->pieces.len);
}

static void take_done(void *arg)
{
    struct taking *t = arg;

    (void)atomic_fetch_sub(&t->ig->queued_bytes, t->bytes);
    trace_batch_free(t->batch);
    vec_done(&t->pieces);
    drained_one(&t->ig->under_way);
    mem_free(t);
}

/* Traces of which replicas refused anything are left out: all of their spans here are refused. */
static void list_pieces(const struct trace_batch *b, const struct distribute_result *r,
                        struct taking *t)
{
    bool *is_refused = mem_new_array(bool, b->traces.len + 1);

    for (size_t i = 0; i < r->n_refusals; i++)
        if (r->refusals[i].what.series < b->traces.len)
            is_refused[r->refusals[i].what.series] = true;
    for (size_t i = 0; i < b->traces.len; i++)
        if (!is_refused[i])
            vec_push(&t->pieces,
                     slice_of(b->pieces.ptr + b->traces.ptr[i].at, b->traces.ptr[i].len));
    mem_free(is_refused);
}

/* False: the workers have too much to do. */
static bool queue(struct taking *t, struct loop *loop)
{
    struct err *e;

    if (atomic_fetch_add(&t->ig->queued_bytes, t->bytes) > QUEUE_BYTES)
        return false;
    e = job_run(process_jobs(t->ig->ing->process), loop, take_work, take_done, t);
    if (!e)
        return true;
    err_free(e);
    return false;
}

bool ingester_generator_enter(struct ingester *ing, struct slice tenant, bool *ret_counts)
{
    struct ingester_generator *ig = ing->generator;

    *ret_counts = ig && generator_wants(ig->g, tenant);
    if (!*ret_counts)
        return true;
    drained_more(&ig->under_way);
    if (!atomic_load(&ig->is_sealed))
        return true;
    drained_one(&ig->under_way);
    return false;
}

void ingester_generator_leave(struct ingester *ing)
{
    drained_one(&ing->generator->under_way);
}

void ingester_generator_take(struct ingester *ing, struct loop *loop, struct trace_batch *batch,
                             const struct distribute_result *r)
{
    struct taking *t = mem_new(struct taking);

    *t = (struct taking){
        .ig = ing->generator, .batch = batch, .bytes = (int64_t)trace_batch_memory(batch)};
    trace_batch_ref(batch);
    list_pieces(batch, r, t);
    if (!queue(t, loop)) {
        take_work(t);
        take_done(t);
    }
}

/* ---- edges ---- */

struct edging {
    struct ingester_generator *ig;
    struct rpc_call *call;
    struct err *err;
};

static void edges_work(void *arg)
{
    struct edging *ed = arg;

    ed->err = generator_edges(ed->ig->g, rpc_call_tenant(ed->call), rpc_call_payload(ed->call));
}

static void edges_done(void *arg)
{
    struct edging *ed = arg;

    if (ed->err)
        rpc_reply_err(ed->call, ed->err);
    else
        rpc_reply(ed->call, SLICE_EMPTY);
    mem_free(ed);
}

static void on_push_edges(void *arg, struct rpc_call *call)
{
    struct ingester_generator *ig = arg;
    struct err *e = tenant_check(rpc_call_tenant(call));

    if (!e && atomic_load(&ig->is_sealed)) /* nobody would write what is counted now */
        e = err_new(ERR_UNAVAILABLE, "this ingester is stopping");
    if (!e) {
        struct edging *ed = mem_new(struct edging);

        *ed = (struct edging){.ig = ig, .call = call};
        if (!(e = job_run(process_jobs(ig->ing->process), rpc_call_loop(call), edges_work,
                          edges_done, ed)))
            return;
        mem_free(ed);
    }
    rpc_reply_err(call, e);
}

/* ---- the page ---- */

static void generator_page(struct http_request *r)
{
    struct ingester_generator *ig = r->arg;
    struct buf out = {0};
    struct slice tenant;
    struct err *e = http_param_check(r);

    if (e || (e = auth_single_tenant(r, &tenant))) {
        http_reply_err(r, e);
        return;
    }
    generator_status(ig->g, tenant, &out);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

/* ---- life ---- */

struct err *ingester_generator_open(struct ingester *ing)
{
    struct ingester_generator *ig;
    struct err *e;

    if (!ing->traces)
        return NULL;
    ing->generator = ig = mem_new(struct ingester_generator);
    ig->ing = ing;
    if ((e = drained_init(&ig->under_way)))
        return e;
    drained_expect(&ig->under_way, 1);
    ig->out = mem_new(struct edges_out);
    ig->out->refs = 1;
    metric_register(ig->out, edges_fields, ORR_COUNT(edges_fields), NULL);
    ig->g = generator_new(&(struct generator_opts){.instance = process_instance(ing->process),
                                                   .ops = {rules_of, tenant_ring, send_edges, ig}});
    return generator_feed(ig->g, process_loop(ing->process, 0), ing->door, &ig->feed);
}

void ingester_generator_handle(struct ingester *ing)
{
    if (!ing->generator)
        return;
    rpc_server_handle(process_rpc(ing->process), "ingester.push_edges", on_push_edges,
                      ing->generator);
    http_server_route(process_http(ing->process),
                      &(struct http_route){.methods = HTTP_GET,
                                           .pattern = "/ingester/generator",
                                           .handler = generator_page,
                                           .arg = ing->generator});
}

bool ingester_generator_drain(struct ingester *ing, int64_t timeout_ms)
{
    struct ingester_generator *ig = ing->generator;
    bool are_counted;

    if (!ig)
        return true;
    atomic_store(&ig->is_sealed, true);
    drained_one(&ig->under_way);
    are_counted = drained_wait(&ig->under_way, timeout_ms);
    return ownfeed_drain(ig->feed, timeout_ms) && are_counted;
}

void ingester_generator_free(struct ingester *ing)
{
    struct ingester_generator *ig = ing->generator;

    if (!ig)
        return;
    ownfeed_free(ig->feed);
    generator_free(ig->g);
    if (ig->out) {
        metric_unregister(ig->out);
        edges_out_unref(ig->out);
    }
    drained_done(&ig->under_way);
    mem_free(ig);
    ing->generator = NULL;
}
