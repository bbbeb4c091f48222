#include "common/process/elastic_page.h"

#define VERSION "8.17.0" /* what shippers take for one that has _bulk and data streams */

void elastic_page_header(struct http_request *r)
{
    http_reply_header(r, "X-Elastic-Product", SLICE("Elasticsearch"));
}

/* ---- errors ---- */

static const struct {
    enum err_code code;
    int status;
    const char *type;
} kinds[] = {
    {ERR_INVALID, 400, "parsing_exception"},
    {ERR_UNSUPPORTED, 400, "parsing_exception"},
    {ERR_LIMIT, 400, "illegal_argument_exception"},
    {ERR_EXEC, 400, "illegal_argument_exception"},
    {ERR_NOT_FOUND, 404, "index_not_found_exception"},
    {ERR_RATE, 429, "es_rejected_execution_exception"},
    {ERR_TIMEOUT, 504, "timeout_exception"},
    {ERR_CANCELED, 499, "task_cancelled_exception"},
    {ERR_UNAUTHORIZED, 401, "security_exception"},
    {ERR_FORBIDDEN, 403, "security_exception"},
    {ERR_UNAVAILABLE, 503, "no_shard_available_action_exception"},
};

int elastic_page_error_text(struct buf *out, struct err *e)
{
    int status = err_code_http(err_code(e));
    const char *type = status < 500 ? "illegal_argument_exception" : "exception";

    for (size_t i = 0; i < ORR_COUNT(kinds); i++)
        if (err_is(e, kinds[i].code)) {
            status = kinds[i].status;
            type = kinds[i].type;
        }
    buf_printf(out, "{\"error\":{\"root_cause\":[{\"type\":\"%s\",\"reason\":", type);
    buf_json_str(out, slice_cstr(err_msg(e)));
    buf_printf(out, "}],\"type\":\"%s\",\"reason\":", type);
    buf_json_str(out, slice_cstr(err_msg(e)));
    buf_printf(out, "},\"status\":%d}", status);
    err_free(e);
    return status;
}

void elastic_page_error(struct http_request *r, struct err *e)
{
    struct buf b = {0};
    int status = elastic_page_error_text(&b, e);

    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    elastic_page_header(r);
    http_reply_buf(r, status, HTTP_JSON, &b);
}

/* ---- pages ---- */

static void reply_fixed(struct http_request *r, const char *text)
{
    elastic_page_header(r);
    http_reply(r, 200, HTTP_JSON, slice_cstr(text));
}

static void handle_root(struct http_request *r)
{
    reply_fixed(r, "{\"name\":\"orrery\",\"cluster_name\":\"orrery\",\"cluster_uuid\":\"orrery\","
                   "\"version\":{\"number\":\"" VERSION "\",\"build_flavor\":\"default\","
                   "\"lucene_version\":\"9.12.0\",\"minimum_wire_compatibility_version\":"
                   "\"7.17.0\",\"minimum_index_compatibility_version\":\"7.0.0\"},"
                   "\"tagline\":\"You Know, for Search\"}");
}

static void handle_license(struct http_request *r)
{
    reply_fixed(r, "{\"license\":{\"status\":\"active\",\"uid\":\"orrery\",\"type\":\"basic\","
                   "\"mode\":\"basic\",\"expiry_date_in_millis\":4000000000000}}");
}

static void handle_xpack(struct http_request *r)
{
    reply_fixed(r, "{\"license\":{\"uid\":\"orrery\",\"type\":\"basic\",\"mode\":\"basic\","
                   "\"status\":\"active\"},\"features\":{\"ilm\":{\"available\":true,"
                   "\"enabled\":true},\"security\":{\"available\":true,\"enabled\":false}}}");
}

static void handle_health(struct http_request *r)
{
    reply_fixed(r, "{\"cluster_name\":\"orrery\",\"status\":\"green\",\"timed_out\":false,"
                   "\"number_of_nodes\":1,\"number_of_data_nodes\":1}");
}

static void handle_nodes(struct http_request *r)
{
    reply_fixed(r, "{\"nodes\":{\"orrery\":{\"name\":\"orrery\",\"version\":\"" VERSION "\","
                   "\"ip\":\"127.0.0.1\",\"roles\":[\"ingest\",\"data\"]}}}");
}

/* Templates, policies, pipelines: they change nothing here. */
static void handle_setup(struct http_request *r)
{
    reply_fixed(r, r->method == HTTP_GET ? "{}" : "{\"acknowledged\":true}");
}

static void handle_cat_health(struct http_request *r)
{
    elastic_page_header(r);
    http_reply(r, 200, HTTP_TEXT, SLICE("orrery green 1 1\n"));
}

/* An index by itself is "there", and may be made; else Elasticsearch's words for "no such thing". */
static void handle_other(struct http_request *r)
{
    struct slice name = slice_from(r->path, sizeof("/elasticsearch/") - 1);
    struct buf b = {0};

    if (name.len && name.ptr[0] != '_' && slice_find_byte(name, '/', 0) < 0 &&
        r->method != HTTP_POST) {
        handle_setup(r);
        return;
    }
    elastic_page_header(r);
    buf_str(&b, "{\"error\":{\"type\":\"resource_not_found_exception\",\"reason\":");
    buf_json_str(&b, r->path);
    buf_str(&b, "},\"status\":404}");
    http_reply_buf(r, 404, HTTP_JSON, &b);
}

/* ---- routes ---- */

static void add_setup(struct http_server *s, const char *pattern,
                      void (*handler)(struct http_request *r))
{
    http_server_route(s, &(struct http_route){.methods = HTTP_GET | HTTP_PUT | HTTP_POST,
                                              .pattern = pattern,
                                              .max_body_bytes = 1 << 20,
                                              .handler = handler});
}

void elastic_page_routes(struct http_server *s)
{
    static const char *const setups[] = {
        "/elasticsearch/_ilm/policy/{name}",      "/elasticsearch/_index_template/{name}",
        "/elasticsearch/_template/{name}",        "/elasticsearch/_component_template/{name}",
        "/elasticsearch/_ingest/pipeline/{name}", "/elasticsearch/_data_stream/{name}",
        "/elasticsearch/_alias/{name}",           "/elasticsearch/_logstash/pipeline/{name}"};

    add_setup(s, "/elasticsearch", handle_root);
    add_setup(s, "/elasticsearch/", handle_root);
    add_setup(s, "/elasticsearch/_cat/health", handle_cat_health);
    add_setup(s, "/_cat/health", handle_cat_health); /* rsyslog asks it there */
    add_setup(s, "/elasticsearch/_license", handle_license);
    add_setup(s, "/elasticsearch/_xpack", handle_xpack);
    add_setup(s, "/elasticsearch/_cluster/health", handle_health);
    add_setup(s, "/elasticsearch/_nodes", handle_nodes);
    add_setup(s, "/elasticsearch/_nodes/*", handle_nodes);
    for (size_t i = 0; i < ORR_COUNT(setups); i++)
        add_setup(s, setups[i], handle_setup);
    add_setup(s, "/elasticsearch/*", handle_other);
}
