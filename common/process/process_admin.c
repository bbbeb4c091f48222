/* The pages that every process has: readiness, metrics, configuration, log level, stop. */
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/process/process_internal.h"

static struct process *process_of(struct http_request *r)
{
    return r->arg;
}

static void ready(struct http_request *r)
{
    struct buf why = {0};
    bool is_ready = process_is_ready(process_of(r), &why);

    if (is_ready)
        buf_str(&why, "ready\n");
    else if (why.len == 0)
        buf_str(&why, "starting\n");
    http_reply_buf(r, is_ready ? 200 : 503, HTTP_TEXT, &why);
}

static void healthy(struct http_request *r)
{
    http_reply(r, 200, HTTP_TEXT, SLICE("healthy\n"));
}

static void metrics(struct http_request *r)
{
    struct slice accept = http_request_header(r, "Accept");
    bool is_om = accept.ptr && slice_find(accept, SLICE("application/openmetrics-text"), 0) >= 0;
    struct buf out = {0};

    metric_write(&out, is_om);
    http_reply_buf(r, 200,
                   is_om ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                         : "text/plain; version=0.0.4; charset=utf-8",
                   &out);
}

static void config(struct http_request *r)
{
    struct conf *c = process_conf(process_of(r));
    struct buf out = {0};

    conf_print(c, &out);
    conf_unref(c);
    http_reply_buf(r, 200, "text/plain; charset=utf-8", &out);
}

static void services(struct http_request *r)
{
    struct process *p = process_of(r);
    struct buf out = {0};

    for (size_t i = 0; i < p->n_roles; i++) {
        struct buf why = {0};
        bool is_ready = i < p->n_started &&
                        (!p->roles[i]->is_ready || p->roles[i]->is_ready(p->objects[i], &why));

        buf_printf(&out, "%s => %s\n", p->roles[i]->name,
                   p->phase == PROCESS_STOPPING ? "Stopping" : (is_ready ? "Running" : "Starting"));
        buf_done(&why);
    }
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static void log_level_get(struct http_request *r)
{
    struct buf out = {0};

    log_get_level(&out);
    buf_byte(&out, '\n');
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static void log_level_post(struct http_request *r)
{
    struct slice spec = http_param(r, "log_level");
    char *text;
    struct err *e;

    if (!spec.ptr) {
        http_reply_err(r, err_new(ERR_INVALID, "parameter log_level is missing: error, warn, info "
                                               "or debug, or info,wal=debug"));
        return;
    }
    text = arena_cstr(r->arena, spec);
    if ((e = log_set_level(text))) {
        http_reply_err(r, e);
        return;
    }
    LOG_INFO(admin, "log level changed", KV_STR("value", text));
    log_level_get(r);
}

static void shut_down(struct http_request *r)
{
    struct process *p = process_of(r);

    LOG_INFO(admin, "stopping on request", KV_STR("addr", r->remote));
    http_reply(r, 204, NULL, SLICE_EMPTY); /* r is gone */
    process_stop(p);
}

void process_admin_routes(struct process *p)
{
    const struct http_route routes[] = {
        {.methods = HTTP_GET, .pattern = "/ready", .handler = ready, .arg = p},
        {.methods = HTTP_GET, .pattern = "/healthy", .handler = healthy, .arg = p},
        {.methods = HTTP_GET, .pattern = "/-/ready", .handler = ready, .arg = p},
        {.methods = HTTP_GET, .pattern = "/-/healthy", .handler = healthy, .arg = p},
        {.methods = HTTP_GET, .pattern = "/metrics", .handler = metrics, .arg = p},
        {.methods = HTTP_GET, .pattern = "/config", .handler = config, .arg = p},
        {.methods = HTTP_GET, .pattern = "/services", .handler = services, .arg = p},
        {.methods = HTTP_GET, .pattern = "/log_level", .handler = log_level_get, .arg = p},
        {.methods = HTTP_POST, .pattern = "/log_level", .handler = log_level_post, .arg = p},
        {.methods = HTTP_POST, .pattern = "/shutdown", .handler = shut_down, .arg = p},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(p->http, &routes[i]);
}
