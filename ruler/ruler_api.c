/* What this ruler knows, for whoever serves /api/v1/rules (common/process/rules_page.h) and the APIs of rule
 * configurations (rules_config.h): itself, when its process has no querier. And what it does to the rules in the bucket for them. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/process/rules_page.h"
#include "ruler/rule_yaml.h"
#include "ruler/ruler_internal.h"

/* On loop 0, where RPC handlers run, but work_*(). */

static void on_rules_call(void *arg, struct rpc_call *call)
{
    struct ruler *r = arg;
    struct slice tenant = rpc_call_tenant(call);
    struct buf out = {0};

    buf_byte(&out, '[');
    MAP_FOREACH (e, &r->groups) {
        const struct ruler_group *g = e->value;

        if (!slice_eq_cstr(tenant, g->tenant))
            continue;
        if (out.len > 1)
            buf_byte(&out, ',');
        buf_slice_append(&out, buf_slice(&g->view));
    }
    buf_byte(&out, ']');
    rpc_reply_buf(call, &out);
    buf_done(&out);
}

/* A call about rule configurations, at work. */
struct config_call {
    struct ruler *ruler;
    struct rpc_call *call;
    struct rule_set *set; /* what was known when it came; NULL: nothing */
    struct rpc_rules asked;
    struct rpc_rules_change change; /* both borrow from the call */
    struct buf out;
    struct err *error;
};

static struct config_call *config_call_new(struct ruler *r, struct rpc_call *call)
{
    struct config_call *c = mem_new(struct config_call);

    c->ruler = r;
    c->call = call;
    c->set = r->set ? rule_set_ref(r->set) : NULL;
    return c;
}

static void answer(struct config_call *c)
{
    if (c->error)
        rpc_reply_err(c->call, c->error);
    else
        rpc_reply_buf(c->call, &c->out);
    buf_done(&c->out);
    rule_set_unref(c->set);
    mem_free(c);
}

static void run(struct config_call *c, struct job_pool *pool, loop_fn *work, loop_fn *done)
{
    struct ruler *r = c->ruler;
    struct err *e; /* c is the worker's once it is taken */

    if (!pool || r->is_stopping)
        e = err_new(ERR_UNAVAILABLE, "the ruler begins or ends");
    else
        e = job_run(pool, r->loop, work, done, c);
    if (!e) {
        r->n_loading++;
        return;
    }
    c->error = e;
    answer(c);
}

static void end(struct config_call *c)
{
    struct ruler *r = c->ruler;

    r->n_loading--;
    answer(c);
    ruler_groups_check_drained(r);
}

/* ---- reading: the files that are known, and the tenant's part of the bucket as it is now ---- */

static struct err *read_config(struct config_call *c, enum rule_lang lang)
{
    struct slice tenant = rpc_call_tenant(c->call);
    struct arena *a = arena_new(0);
    struct rule_store_opts opts = {.store = process_objstore(c->ruler->process),
                                   .jobs = process_jobs(c->ruler->process),
                                   .prefix = rule_object_lang_prefix(a, tenant, lang),
                                   .is_exact = true,
                                   .now_ms = clock_mono_ms(&clock_system)};
    struct rule_store *store = NULL;
    struct rule_set *now = NULL;
    bool is_changed;
    struct err *e = rule_store_load(&opts, c->set->store, &store, &is_changed);

    if (!e) {
        now = rule_set_new(c->set->dir, store);
        e = rule_yaml(&c->out, now, tenant, lang, c->asked.ns, c->asked.group);
    }
    rule_set_unref(now);
    rule_store_unref(store);
    arena_free(a);
    return e;
}

static void work_config(void *arg)
{
    struct config_call *c = arg;
    enum rule_lang lang;

    if (!rule_lang_read(c->asked.language, &lang))
        c->error = err_new(ERR_INVALID, "no rules are in that language");
    else if (!c->set)
        c->error = err_new(ERR_UNAVAILABLE, "rules have not been read");
    else
        c->error = read_config(c, lang);
}

static void on_config_done(void *arg)
{
    end(arg);
}

static void on_config_call(void *arg, struct rpc_call *call)
{
    struct config_call *c = config_call_new(arg, call);

    if ((c->error = rpc_rules_decode(rpc_call_payload(call), &c->asked)))
        answer(c);
    else
        run(c, process_jobs(c->ruler->process), work_config, on_config_done);
}

/* ---- changing ---- */

static void work_change(void *arg)
{
    struct config_call *c = arg;

    c->error = ruler_change_make(c->ruler, rpc_call_tenant(c->call), &c->change, c->set);
}

static void tell_others(struct ruler *r)
{
    r->news_version = ruler_next_news(r->news_version, clock_wall_ms(&clock_system));
    membership_kv_post(process_membership(r->process), SLICE(RULER_NEWS_PREFIX "changed"),
                       r->news_version, slice_cstr(process_instance(r->process)));
}

static void on_changed(void *arg)
{
    struct config_call *c = arg;
    struct ruler *r = c->ruler;

    if (c->error) {
        r->m.changes_refused++;
    } else {
        r->m.changes++;
        ruler_load_soon(r);
        tell_others(r);
    }
    end(c);
}

static void on_change_call(void *arg, struct rpc_call *call)
{
    struct ruler *r = arg;
    struct config_call *c = config_call_new(r, call);
    struct job_pool *changer = r->changers[ring_key(rpc_call_tenant(call)) % RULER_CHANGERS];

    if ((c->error = rpc_rules_change_decode(rpc_call_payload(call), &c->change)))
        answer(c);
    else
        run(c, changer, work_change, on_changed);
}

void ruler_api_open(struct ruler *r)
{
    if (!(process_roles(r->process) & MEMBER_QUERIER))
        rules_page_routes(r->process);
    rpc_server_handle(process_rpc(r->process), "ruler.rules", on_rules_call, r);
    rpc_server_handle(process_rpc(r->process), "ruler.config", on_config_call, r);
    rpc_server_handle(process_rpc(r->process), "ruler.change", on_change_call, r);
}
