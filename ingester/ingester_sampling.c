/*
 * Tail sampling in the ingester: the sampler's questions and verdicts to and from the other replicas (RPC ingester.trace_evidence,
 * ingester.trace_verdicts; their bytes: ingester/traces/sampler.h), and the tenant's page:
 *
 *   GET /ingester/sampling   what was kept and dropped here of the tenant's traces, by policy; JSON (sampler_status())
 */
#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "common/rpc/peercall.h"
#include "ingester/ingester_internal.h"
#include "ingester/traces/tracehead.h"

#define ASK_TIMEOUT_MS 3000

/* ---- what the sampler asks of the process ---- */

static struct ring *tenant_ring(void *arg, struct slice tenant)
{
    return ingester_traces_ring(arg, tenant);
}

static struct tenant_rules *rules_of(void *arg, struct slice tenant)
{
    return limits_rules(((struct ingester *)arg)->limits, tenant);
}

static void ask(void *arg, struct slice tenant, struct sampler_call *calls, size_t n)
{
    struct ingester *ing = arg;
    struct peercall_opts opts = {.pool = process_peers(ing->process),
                                 .loop = process_loop(ing->process, 0),
                                 .method = "ingester.trace_evidence",
                                 .tenant = tenant,
                                 .timeout_ms = ASK_TIMEOUT_MS,
                                 .max_bytes = SAMPLER_MAX_ANSWER_BYTES,
                                 .patience_ms = ASK_TIMEOUT_MS + 1000};
    struct peercall **all = mem_new_array(struct peercall *, n);

    for (size_t i = 0; i < n; i++) {
        opts.address = calls[i].to->rpc_addr;
        all[i] = peercall_start(&opts, calls[i].question);
    }
    for (size_t i = 0; i < n; i++)
        calls[i].err = peercall_wait(all[i], &calls[i].answer);
    mem_free(all);
}

/* Who was not told asks. */
static void on_told(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    (void)arg;
    (void)payload;
    (void)is_last;
    (void)e;
}

static void tell(void *arg, struct slice tenant, const struct member *to, struct slice verdicts)
{
    struct ingester *ing = arg;

    rpc_call(rpc_pool_peer(process_peers(ing->process), to->rpc_addr),
             &(struct rpc_call_opts){.method = "ingester.trace_verdicts",
                                     .tenant = tenant,
                                     .timeout_ms = ASK_TIMEOUT_MS},
             verdicts, on_told, NULL, NULL);
}

/* ---- asked by others ---- */

struct answering {
    struct ingester *ing;
    struct rpc_call *call;
    struct buf answer;
    struct err *err;
};

static struct err *look(void *arg, struct slice tenant, const struct tail_rules *rules,
                        const uint8_t (*ids)[16], size_t n, struct sampling_evidence *ret)
{
    return tracehead_evidence(arg, tenant, rules, ids, n, ret);
}

static void answer_work(void *arg)
{
    struct answering *an = arg;
    struct slice tenant = rpc_call_tenant(an->call);
    struct tenant_rules *rules = rules_of(an->ing, tenant);

    an->err = sampler_answer(an->ing->sampler, tenant, &rules->tail, rpc_call_payload(an->call),
                             look, ingester_traces_head(an->ing), &an->answer);
    tenant_rules_unref(rules);
}

static void answer_done(void *arg)
{
    struct answering *an = arg;

    if (an->err)
        rpc_reply_err(an->call, an->err);
    else
        rpc_reply_buf(an->call, &an->answer);
    buf_done(&an->answer);
    mem_free(an);
}

static void on_evidence(void *arg, struct rpc_call *call)
{
    struct ingester *ing = arg;
    struct answering *an;
    struct err *e = tenant_check(rpc_call_tenant(call));

    if (!e) {
        an = mem_new(struct answering);
        *an = (struct answering){.ing = ing, .call = call};
        if (!(e = job_run(process_jobs(ing->process), rpc_call_loop(call), answer_work, answer_done,
                          an)))
            return;
        mem_free(an);
    }
    rpc_reply_err(call, e);
}

static void on_verdicts(void *arg, struct rpc_call *call)
{
    struct ingester *ing = arg;
    struct slice tenant = rpc_call_tenant(call);
    struct err *e = tenant_check(tenant);

    if (!e) {
        struct tenant_rules *rules = rules_of(ing, tenant);

        e = sampler_told(ing->sampler, tenant, &rules->tail, rpc_call_payload(call));
        tenant_rules_unref(rules);
    }
    if (e)
        rpc_reply_err(call, e);
    else
        rpc_reply(call, SLICE_EMPTY);
}

/* ---- the page ---- */

static void sampling_page(struct http_request *r)
{
    struct ingester *ing = r->arg;
    struct buf out = {0};
    struct slice tenant;
    struct err *e = http_param_check(r);

    if (e || (e = auth_single_tenant(r, &tenant))) {
        http_reply_err(r, e);
        return;
    }
    sampler_status(ing->sampler, tenant, &out);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

/* ---- life ---- */

void ingester_sampling_open(struct ingester *ing, struct tracehead_sampling *ret)
{
    const struct ingester_conf *c = &ing->conf;

    ing->sampler = sampler_new(
        &(struct sampler_opts){.instance = process_instance(ing->process),
                               .ops = {tenant_ring, ask, tell, ing},
                               .max_remembered = (size_t)c->traces_remembered,
                               .wait_ms = c->traces_verdict_wait_ns / NS_PER_MS,
                               .live_ms = (c->traces_idle_ns + c->traces_max_live_ns) / NS_PER_MS,
                               .burst_s = 3 * (double)c->traces_cut_period_ns / NS_PER_S});
    *ret = (struct tracehead_sampling){ing->sampler, rules_of, ing};
}

void ingester_sampling_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    rpc_server_handle(s, "ingester.trace_evidence", on_evidence, ing);
    rpc_server_handle(s, "ingester.trace_verdicts", on_verdicts, ing);
    http_server_route(process_http(ing->process),
                      &(struct http_route){.methods = HTTP_GET,
                                           .pattern = "/ingester/sampling",
                                           .handler = sampling_page,
                                           .arg = ing});
}

void ingester_sampling_free(struct ingester *ing)
{
    sampler_free(ing->sampler);
    ing->sampler = NULL;
}
