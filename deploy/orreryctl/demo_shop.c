#include "deploy/orreryctl/demo_shop.h"

#include <inttypes.h>
#include <math.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "deploy/orreryctl/demo_metrics.h"

#define LOCKED_QUERY_MAX_MS 8000 /* the database's own limit */
#define DEADLINE_MS 2000         /* of checkout, for payments */
#define DEPLOY_AT 0.25
#define STORM_AT 0.50
#define EXPLOSION_AT 0.63
#define GOOD_VERSION "1.4.1"
#define BAD_VERSION "1.4.2"

enum service { GATEWAY, CHECKOUT, ORDERS, PAYMENTS, INVENTORY, SERVICES };
static const char *const service_names[SERVICES] = {"gateway", "checkout", "orders", "payments",
                                                    "inventory"};
enum kind { INTERNAL = 1, SERVER, CLIENT };

struct demo_shop {
    struct demo_shop_opts opts;
    int64_t from_s, now_s;
    double due; /* requests, of which some may be a fraction */
    struct rng rng;
    struct demo_metrics *metrics;
    struct buf spans[SERVICES], lines[SERVICES], events;
    const char *version; /* of checkout */
    bool is_locked;
};

/* A request under way, or rather over: times are ms since its start. */
struct request {
    uint64_t trace_hi, trace_lo;
    int64_t start_ns;
    const char *route;
};

struct attribute {
    const char *key, *text; /* text NULL: n */
    int64_t n;
};
struct span {
    enum service service;
    uint64_t id, parent; /* parent 0: none */
    enum kind kind;
    const char *name, *failure; /* NULL: none */
    double from_ms, to_ms;
    struct attribute attributes[4]; /* key NULL: the end */
};

struct demo_shop *demo_shop_new(const struct demo_shop_opts *opts, int64_t from_s)
{
    struct demo_shop *s = mem_new(struct demo_shop);

    s->opts = *opts;
    s->opts.cycle_s = ORR_MAX(opts->cycle_s, DEMO_SHOP_MIN_CYCLE_S);
    s->from_s = s->now_s = from_s;
    s->version = GOOD_VERSION;
    s->metrics = demo_metrics_new(from_s);
    rng_seed(&s->rng, opts->seed);
    return s;
}

void demo_shop_free(struct demo_shop *s)
{
    if (!s)
        return;
    for (int i = 0; i < SERVICES; i++) {
        buf_done(&s->spans[i]);
        buf_done(&s->lines[i]);
    }
    buf_done(&s->events);
    demo_metrics_free(s->metrics);
    mem_free(s);
}

/* ---- the schedule ---- */

/* Seconds since the lock was taken last. */
static int64_t in_cycle(const struct demo_shop *s)
{
    int64_t since = (s->now_s - s->opts.lock_s) % s->opts.cycle_s;

    return since < 0 ? since + s->opts.cycle_s : since;
}

static bool is_in(const struct demo_shop *s, double at, double length)
{
    double phase = (double)in_cycle(s) / (double)s->opts.cycle_s;

    return phase >= at && phase < at + length;
}

/* For how long the lock has been held; below 0: it is not. */
static int64_t locked_s(const struct demo_shop *s)
{
    return in_cycle(s) < DEMO_SHOP_LOCK_S ? in_cycle(s) : -1;
}

/* ---- writing ---- */

static double takes(struct demo_shop *s, double usual_ms)
{
    double ms = usual_ms * (0.6 + 0.8 * rng_unit(&s->rng));

    return rng_chance(&s->rng, 0.01) ? ms * 6 : ms;
}

static void put_text(struct buf *out, const char *text)
{
    buf_json_str(out, slice_cstr(text));
}

static void put_attributes(struct buf *out, const struct attribute *a, size_t max)
{
    buf_str(out, "\"attributes\":[");
    for (size_t i = 0; i < max && a[i].key; i++) {
        buf_str(out, i ? ",{\"key\":" : "{\"key\":");
        put_text(out, a[i].key);
        if (a[i].text) {
            buf_str(out, ",\"value\":{\"stringValue\":");
            put_text(out, a[i].text);
            buf_str(out, "}}");
        } else {
            buf_printf(out, ",\"value\":{\"intValue\":\"%" PRId64 "\"}}", a[i].n);
        }
    }
    buf_byte(out, ']');
}

static int64_t ns_of(const struct request *r, double ms)
{
    return r->start_ns + (int64_t)(ms * NS_PER_MS);
}

static void put_span(struct demo_shop *s, const struct request *r, const struct span *sp)
{
    struct buf *out = &s->spans[sp->service];

    buf_json_comma(out);
    buf_printf(out, "{\"traceId\":\"%016" PRIx64 "%016" PRIx64 "\",\"spanId\":\"%016" PRIx64 "\"",
               r->trace_hi, r->trace_lo, sp->id);
    if (sp->parent)
        buf_printf(out, ",\"parentSpanId\":\"%016" PRIx64 "\"", sp->parent);
    buf_str(out, ",\"name\":");
    put_text(out, sp->name);
    buf_printf(out,
               ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64 "\",\"endTimeUnixNano\":\"%" PRId64
               "\",",
               (int)sp->kind, ns_of(r, sp->from_ms), ns_of(r, sp->to_ms));
    put_attributes(out, sp->attributes, ORR_COUNT(sp->attributes));
    if (sp->failure) {
        buf_str(out, ",\"status\":{\"code\":2,\"message\":");
        put_text(out, sp->failure);
        buf_printf(out, "},\"events\":[{\"name\":\"exception\",\"timeUnixNano\":\"%" PRId64 "\",",
                   ns_of(r, sp->to_ms));
        put_attributes(out, &(struct attribute){"exception.message", sp->failure, 0}, 1);
        buf_str(out, "}]");
    }
    buf_byte(out, '}');
}

/* A line of a service, about a span. */
static void put_line(struct demo_shop *s, enum service service, const struct request *r,
                     const struct span *sp, const char *text)
{
    struct buf *out = &s->lines[service];

    buf_json_comma(out);
    buf_printf(out,
               "{\"timeUnixNano\":\"%" PRId64
               "\",\"severityNumber\":%d,\"severityText\":\"%s\",\"traceId\":\"%016" PRIx64
               "%016" PRIx64 "\",\"spanId\":\"%016" PRIx64 "\",\"body\":{\"stringValue\":",
               ns_of(r, sp->to_ms), sp->failure ? 17 : 9, sp->failure ? "ERROR" : "INFO",
               r->trace_hi, r->trace_lo, sp->id);
    put_text(out, text);
    buf_str(out, "}}");
}

/* A server's span is measured and logged, besides. */
static void put_served(struct demo_shop *s, const struct request *r, const struct span *sp,
                       int status)
{
    struct buf line = {0};
    struct demo_seen seen = {.service = service_names[sp->service],
                             .route = r->route,
                             .status = status,
                             .seconds = (sp->to_ms - sp->from_ms) / 1000,
                             .t_ns = ns_of(r, sp->to_ms),
                             .trace_hi = r->trace_hi,
                             .trace_lo = r->trace_lo,
                             .span = sp->id};

    put_span(s, r, sp);
    demo_metrics_served(s->metrics, &seen);
    if (sp->service == GATEWAY)
        buf_printf(&line, "level=%s msg=\"%s\" status=%d duration_ms=%.1f",
                   sp->failure ? "error" : "info", r->route, status, sp->to_ms - sp->from_ms);
    else if (sp->failure)
        buf_printf(&line,
                   "{\"level\":\"error\",\"msg\":\"%s failed: %s\",\"status\":%d,\"duration_ms\":"
                   "%.1f}",
                   sp->name, sp->failure, status, sp->to_ms - sp->from_ms);
    else
        buf_printf(&line, "{\"level\":\"info\",\"msg\":\"%s\",\"status\":%d,\"duration_ms\":%.1f}",
                   sp->name, status, sp->to_ms - sp->from_ms);
    put_line(s, sp->service, r, sp, buf_cstr(&line));
    buf_done(&line);
}

/* ---- requests: each function appends the spans of a service and of all below, and returns when it ended; the failure is NULL if all is well ---- */

/* Ids of spans are not 0. */
static uint64_t span_id(struct demo_shop *s)
{
    return rng_u64(&s->rng) | 1;
}

static double database(struct demo_shop *s, const struct request *r, enum service service,
                       uint64_t parent, double from_ms, const char *statement, const char *failure)
{
    bool is_accounts = service == PAYMENTS;
    int64_t since = is_accounts ? locked_s(s) : -1;
    double ms = takes(s, is_accounts ? 6 : 4);
    struct span sp = {service,
                      span_id(s),
                      parent,
                      CLIENT,
                      is_accounts ? "UPDATE accounts" : "INSERT orders",
                      failure,
                      from_ms,
                      0,
                      {{"db.system.name", "postgresql", 0},
                       {"db.namespace", is_accounts ? "accounts" : "orders", 0},
                       {"db.query.text", statement, 0}}};

    if (since >= 0)
        ms = ORR_MIN((double)since * 1000 + ms, LOCKED_QUERY_MAX_MS + takes(s, 50));
    sp.to_ms = from_ms + ms;
    put_span(s, r, &sp);
    if (since >= 0)
        put_line(s, service, r, &(struct span){.id = sp.id, .to_ms = sp.to_ms, .failure = "lock"},
                 "{\"level\":\"error\",\"msg\":\"could not obtain lock on relation accounts: held "
                 "by nightly-reconciliation\",\"relation\":\"accounts\"}");
    demo_metrics_queried(s->metrics, service_names[service], is_accounts ? "accounts" : "orders",
                         ms / 1000);
    return sp.to_ms;
}

static double orders(struct demo_shop *s, const struct request *r, uint64_t parent, double from_ms)
{
    struct span sp = {.service = ORDERS,
                      .id = span_id(s),
                      .parent = parent,
                      .kind = SERVER,
                      .name = "create order",
                      .from_ms = from_ms,
                      .attributes = {{"order.items", NULL, 1 + (int64_t)rng_below(&s->rng, 5)}}};

    sp.to_ms = database(s, r, ORDERS, sp.id, from_ms + takes(s, 1),
                        "INSERT INTO orders VALUES ($1, $2)", NULL) +
               takes(s, 1);
    put_served(s, r, &sp, 200);
    return sp.to_ms;
}

static double payments(struct demo_shop *s, const struct request *r, uint64_t parent,
                       double from_ms, const char **ret_failure)
{
    struct span sp = {.service = PAYMENTS,
                      .id = span_id(s),
                      .parent = parent,
                      .kind = SERVER,
                      .name = "charge",
                      .from_ms = from_ms,
                      .attributes = {{"payment.method", "card", 0}}};
    double begin = from_ms + takes(s, 1);
    double end = database(s, r, PAYMENTS, sp.id, begin,
                          "UPDATE accounts SET balance = balance - $1 WHERE id = $2", NULL);

    *ret_failure = end - begin > DEADLINE_MS ? "deadline exceeded while charging" : NULL;
    sp.failure = *ret_failure;
    sp.to_ms = end + takes(s, 1);
    put_served(s, r, &sp, sp.failure ? 504 : 200);
    return sp.to_ms;
}

static double inventory(struct demo_shop *s, const struct request *r, uint64_t parent,
                        double from_ms, const char *name, const char **ret_failure)
{
    bool is_down = is_in(s, STORM_AT, 1.0 / 16) && rng_chance(&s->rng, 0.6);
    struct span sp = {.service = INVENTORY,
                      .id = span_id(s),
                      .parent = parent,
                      .kind = SERVER,
                      .name = name,
                      .failure = is_down ? "connection to cache refused" : NULL,
                      .from_ms = from_ms,
                      .attributes = {{"item.id", NULL, (int64_t)rng_below(&s->rng, 200)}}};
    struct span cache = {.service = INVENTORY,
                         .id = span_id(s),
                         .parent = sp.id,
                         .kind = CLIENT,
                         .name = "GET item",
                         .failure = sp.failure,
                         .from_ms = from_ms + takes(s, 0.5),
                         .attributes = {{"db.system.name", "redis", 0}}};

    cache.to_ms = cache.from_ms + takes(s, 0.4);
    put_span(s, r, &cache);
    demo_metrics_cached(s->metrics, !is_down && rng_chance(&s->rng, 0.9));
    sp.to_ms = cache.to_ms + takes(s, 0.5);
    put_served(s, r, &sp, is_down ? 500 : 200);
    *ret_failure = sp.failure;
    return sp.to_ms;
}

static double checkout(struct demo_shop *s, const struct request *r, uint64_t parent,
                       double from_ms, const char **ret_failure, int *ret_status)
{
    struct span sp = {.service = CHECKOUT,
                      .id = span_id(s),
                      .parent = parent,
                      .kind = SERVER,
                      .name = "place order",
                      .from_ms = from_ms};
    const char *failure;
    double t = inventory(s, r, sp.id, from_ms + takes(s, 1), "reserve item", &failure);

    *ret_status = failure ? 500 : 200;
    if (!failure && s->version != (const char *)GOOD_VERSION && rng_chance(&s->rng, 0.3)) {
        failure = "no price for item: currency is null";
        *ret_status = 500;
    }
    if (!failure)
        t = orders(s, r, sp.id, t + takes(s, 0.5));
    if (!failure) {
        t = payments(s, r, sp.id, t + takes(s, 0.5), &failure);
        *ret_status = failure ? 504 : 200;
    }
    sp.failure = *ret_failure = failure;
    sp.to_ms = t + takes(s, 1);
    put_served(s, r, &sp, *ret_status);
    if (!failure)
        demo_metrics_ordered(s->metrics);
    if (is_in(s, EXPLOSION_AT, 1.0 / 16))
        demo_metrics_session(s->metrics, rng_u64(&s->rng));
    return sp.to_ms;
}

static void run_request(struct demo_shop *s, int64_t end_ns)
{
    struct request r = {.trace_hi = rng_u64(&s->rng), .trace_lo = rng_u64(&s->rng) | 1};
    bool is_checkout = rng_chance(&s->rng, 0.4);
    struct span sp = {.service = GATEWAY, .id = span_id(s), .kind = SERVER};
    const char *failure;
    int status;

    r.route = sp.name = is_checkout ? "POST /checkout" : "GET /products";
    r.start_ns = end_ns;
    if (is_checkout && locked_s(s) >= 0) /* it ends now, so it began as long ago as it waited */
        r.start_ns -= (int64_t)ORR_MIN(locked_s(s) * 1000, LOCKED_QUERY_MAX_MS) * NS_PER_MS;
    if (is_checkout) {
        sp.to_ms = checkout(s, &r, sp.id, takes(s, 1), &failure, &status);
    } else {
        sp.to_ms = inventory(s, &r, sp.id, takes(s, 1), "list items", &failure);
        status = failure ? 500 : 200;
    }
    sp.to_ms += takes(s, 1);
    sp.failure = failure ? "bad answer from upstream" : NULL;
    sp.attributes[0] = (struct attribute){"http.request.method", is_checkout ? "POST" : "GET", 0};
    sp.attributes[1] = (struct attribute){"http.response.status_code", NULL, status};
    put_served(s, &r, &sp, status);
}

/* ---- events ---- */

static void put_event(struct demo_shop *s, const char *kind, const char *title, const char *service,
                      int64_t lasts_s)
{
    struct buf *out = &s->events;

    buf_json_comma(out);
    buf_printf(out, "{\"kind\":\"%s\",\"title\":\"%s\",\"service\":\"%s\",\"time\":\"%" PRId64 "\"",
               kind, title, service, (int64_t)(s->now_s * NS_PER_S));
    if (lasts_s)
        buf_printf(out, ",\"end\":\"%" PRId64 "\"", (int64_t)((s->now_s + lasts_s) * NS_PER_S));
    buf_byte(out, '}');
}

static void tell_events(struct demo_shop *s)
{
    const char *version = is_in(s, DEPLOY_AT, 1.0 / 8) ? BAD_VERSION : GOOD_VERSION;
    bool is_locked = locked_s(s) >= 0;

    if (is_locked && !s->is_locked)
        put_event(s, "batch", "nightly reconciliation", "reconciliation", DEMO_SHOP_LOCK_S);
    if (version != s->version)
        put_event(s, "deployment",
                  version == (const char *)BAD_VERSION ? "checkout " BAD_VERSION
                                                       : "checkout back to " GOOD_VERSION,
                  "checkout", 0);
    s->is_locked = is_locked;
    s->version = version;
}

void demo_shop_tick(struct demo_shop *s, int64_t t_s)
{
    s->now_s = t_s;
    tell_events(s);
    for (s->due += s->opts.rate; s->due >= 1; s->due--)
        run_request(s, t_s * NS_PER_S + (int64_t)rng_below(&s->rng, NS_PER_S / 2));
    demo_metrics_end(s->metrics, t_s + 1);
}

/* ---- bodies ---- */

/* [{"resource":{…},MEMBERS:[{"scope":…,ITEMS:[…]}]}…] of the services that have something; it goes. */
static bool put_resources(struct demo_shop *s, struct buf *of, const char *kind,
                          const char *members, const char *items, struct buf *out)
{
    bool is_any = false;

    buf_printf(out, "{\"%s\":[", kind);
    for (int i = 0; i < SERVICES; i++) {
        struct attribute resource[] = {
            {"service.name", service_names[i], 0},
            {"service.version", i == CHECKOUT ? s->version : "2.0.0", 0}};

        if (!of[i].len)
            continue;
        buf_str(out, is_any ? ",{\"resource\":{" : "{\"resource\":{");
        put_attributes(out, resource, ORR_COUNT(resource));
        buf_printf(out, "},\"%s\":[{\"scope\":{\"name\":\"orrery-demo\"},\"%s\":[", members, items);
        buf_slice_append(out, buf_slice(&of[i]));
        buf_str(out, "]}]}");
        buf_reset(&of[i]);
        is_any = true;
    }
    buf_str(out, "]}");
    return is_any;
}

bool demo_shop_traces(struct demo_shop *s, struct buf *out)
{
    return put_resources(s, s->spans, "resourceSpans", "scopeSpans", "spans", out);
}

bool demo_shop_lines(struct demo_shop *s, struct buf *out)
{
    return put_resources(s, s->lines, "resourceLogs", "scopeLogs", "logRecords", out);
}

bool demo_shop_events(struct demo_shop *s, struct buf *out)
{
    if (!s->events.len)
        return false;
    buf_byte(out, '[');
    buf_slice_append(out, buf_slice(&s->events));
    buf_byte(out, ']');
    buf_reset(&s->events);
    return true;
}

void demo_shop_metrics(struct demo_shop *s, struct buf *out)
{
    demo_metrics_put(s->metrics, out);
}

const char *demo_shop_rules(void)
{
    return "name: shop\n"
           "interval: 5s\n"
           "rules:\n"
           "  - record: job:http_server_errors:ratio_rate1m\n"
           "    expr: |-\n"
           "      sum by (job) (histogram_count(rate(http_server_request_duration_seconds"
           "{http_response_status_code=~\"5..\"}[1m])))\n"
           "        / sum by (job) (histogram_count(rate("
           "http_server_request_duration_seconds[1m])))\n"
           "  - alert: CheckoutErrors\n"
           "    expr: |-\n"
           "      sum by (job) (histogram_count(rate(http_server_request_duration_seconds"
           "{job=\"checkout\", http_response_status_code=~\"5..\"}[1m]))) > 0.05\n"
           "    keep_firing_for: 2m\n"
           "    labels: {severity: page, owner: shop}\n"
           "    annotations:\n"
           "      summary: 'Checkout fails {{ $value | printf \"%.2f\" }} times a second'\n"
           "      runbook_url: https://runbooks.example/checkout-errors\n"
           "  - alert: InventoryErrors\n"
           "    expr: job:http_server_errors:ratio_rate1m{job=\"inventory\"} > 0.2\n"
           "    labels: {severity: ticket, owner: shop}\n"
           "    annotations: {summary: Inventory answers with errors, runbook_url: "
           "'https://runbooks.example/inventory'}\n";
}
