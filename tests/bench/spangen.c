#include "tests/bench/spangen.h"

#include <stdlib.h>

#include "common/base/mem.h"

enum { GATEWAY, CHECKOUT, ORDERS, PAYMENTS, INVENTORY, SHIPPING, CATALOG };
static const char *const services[SPANGEN_SERVICES] = {
    "gateway", "checkout", "orders", "payments", "inventory", "shipping", "catalog"};
static const char *const libraries[SPANGEN_SERVICES] = {
    "io.opentelemetry.tomcat-10.0",
    "io.opentelemetry.spring-webmvc-6.0",
    "io.opentelemetry.jdbc",
    "@opentelemetry/instrumentation-http",
    "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
    "opentelemetry.instrumentation.kafka",
    "opentelemetry.instrumentation.flask"};
static const char *const agents[] = {
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "okhttp/4.12.0",
    "shop-ios/7.31.2",
    "shop-android/7.30.0"};

/* ---- attributes ---- */

struct attrs {
    struct spangen *g;
    struct otlp_member m[24];
    uint32_t n;
};

static void text(struct attrs *a, const char *key, const char *value)
{
    a->m[a->n++] =
        (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(value)}};
}

static void number(struct attrs *a, const char *key, int64_t value)
{
    a->m[a->n++] = (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_INT, .i = value}};
}

static struct tracepiece_attributes end_attrs(struct attrs *a, struct arena *arena)
{
    return (struct tracepiece_attributes){a->n, 0, arena_copy(arena, a->m, a->n)};
}

static const char *uuid(struct spangen *g, struct arena *a)
{
    uint64_t x = rng_u64(&g->r), y = rng_u64(&g->r);

    return arena_printf(a, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(x >> 32),
                        (unsigned)(x >> 16) & 0xffff, (unsigned)x & 0xfff,
                        (unsigned)(y >> 48 & 0x3fff) | 0x8000,
                        (unsigned long long)(y & 0xffffffffffff));
}

/* ---- what is there from the beginning ---- */

static void make_resource(struct spangen *g, unsigned service, unsigned instance)
{
    struct attrs at = {.g = g};
    const char *name = services[service];

    text(&at, "service.name", name);
    text(&at, "service.namespace", "shop");
    text(&at, "service.version", arena_printf(g->kept, "1.%u.3", service));
    text(&at, "service.instance.id", uuid(g, g->kept));
    text(&at, "deployment.environment", "production");
    text(&at, "k8s.namespace.name", "shop");
    text(&at, "k8s.deployment.name", name);
    text(&at, "k8s.pod.name",
         arena_printf(g->kept, "%s-%08x-%05x", name, rng_u32(&g->r), rng_u32(&g->r) & 0xfffff));
    text(&at, "k8s.node.name", arena_printf(g->kept, "node-%u", (unsigned)rng_below(&g->r, 12)));
    text(&at, "host.arch", "amd64");
    text(&at, "os.type", "linux");
    number(&at, "process.pid", 1 + (int64_t)rng_below(&g->r, 30));
    text(&at, "telemetry.sdk.name", "opentelemetry");
    text(&at, "telemetry.sdk.language", service % 2 ? "go" : "java");
    text(&at, "telemetry.sdk.version", "1.43.0");
    g->resources[service * 3 + instance] = (struct tracepiece_resource){
        SLICE("https://opentelemetry.io/schemas/1.26.0"), end_attrs(&at, g->kept)};
}

void spangen_init(struct spangen *g, uint64_t seed, uint64_t start_ns, uint64_t step_ns)
{
    *g = (struct spangen){.start_ns = start_ns, .step_ns = step_ns};
    rng_seed(&g->r, seed);
    g->a = arena_new(0);
    g->kept = arena_new(0);
    for (unsigned i = 0; i < SPANGEN_SERVICES; i++) {
        for (unsigned k = 0; k < 3; k++)
            make_resource(g, i, k);
        g->scopes[i] = (struct tracepiece_scope){
            slice_cstr(libraries[i]), SLICE("2.9.0-alpha"), SLICE_EMPTY, {0}};
    }
}

void spangen_done(struct spangen *g)
{
    arena_free(g->a);
    arena_free(g->kept);
}

/* ---- spans ---- */

/* Its number in the trace. */
static uint32_t add_span(struct spangen *g, unsigned service, unsigned kind, const char *name,
                         uint32_t parent, uint64_t start_ns, uint64_t took_ns, struct attrs *at)
{
    struct tracepiece_span *s;

    g->p.spans = arena_more(g->a, g->p.spans, g->p.n_spans);
    s = &g->p.spans[g->p.n_spans];
    *s = (struct tracepiece_span){
        .span_id = rng_u64(&g->r) | 1,
        .parent_id = parent == UINT32_MAX ? 0 : g->p.spans[parent].span_id,
        .resource = service * 3 + (uint32_t)(g->p.trace_id[service] % 3),
        .scope = service,
        .kind = (uint8_t)kind,
        .flags = 0x101,
        .start_ns = start_ns,
        .end_ns = start_ns + took_ns,
        .name = slice_cstr(name),
        .attributes = end_attrs(at, g->a),
    };
    return g->p.n_spans++;
}

static uint64_t micros(struct spangen *g, unsigned least, unsigned most)
{
    double u = rng_unit(&g->r);

    /* a long tail */
    return least * 1000ull + (uint64_t)((double)(most - least) * 1000 * u * u * u * u) +
           rng_below(&g->r, 1000);
}

static void http(struct spangen *g, struct attrs *at, const char *method, const char *route,
                 const char *path, int status)
{
    text(at, "http.request.method", method);
    text(at, "url.path", path);
    text(at, "http.route", route);
    number(at, "http.response.status_code", status);
    text(at, "network.protocol.version", "1.1");
    text(at, "url.scheme", "https");
    (void)g;
}

/* A call from one service to another: client and server span. The server's. */
static uint32_t call(struct spangen *g, unsigned from, unsigned to, uint32_t parent, uint64_t at_ns,
                     uint64_t took_ns, const char *method, const char *route, const char *path)
{
    struct attrs c = {.g = g}, s = {.g = g};
    uint32_t client;

    text(&c, "http.request.method", method);
    text(&c, "url.full", arena_printf(g->a, "https://%s.shop.svc:8443%s", services[to], path));
    text(&c, "server.address", arena_printf(g->a, "%s.shop.svc", services[to]));
    number(&c, "server.port", 8443);
    number(&c, "http.response.status_code", 200);
    client = add_span(g, from, 3, method, parent, at_ns, took_ns, &c);
    http(g, &s, method, route, path, 200);
    text(&s, "client.address", arena_printf(g->a, "10.4.%u.%u", from, g->p.trace_id[0] % 12u));
    return add_span(g, to, 2, arena_printf(g->a, "%s %s", method, route), client,
                    at_ns + micros(g, 80, 900), took_ns - took_ns / 8, &s);
}

static void database(struct spangen *g, unsigned service, uint32_t parent, uint64_t at_ns,
                     const char *operation, const char *table, const char *statement)
{
    struct attrs at = {.g = g};

    text(&at, "db.system", "postgresql");
    text(&at, "db.namespace", services[service]);
    text(&at, "db.operation.name", operation);
    text(&at, "db.collection.name", table);
    text(&at, "db.query.text", statement);
    text(&at, "server.address", "pg-primary.shop.svc");
    number(&at, "server.port", 5432);
    number(&at, "db.response.returned_rows", (int64_t)rng_below(&g->r, 40));
    (void)add_span(g, service, 3, arena_printf(g->a, "%s %s", operation, table), parent, at_ns,
                   micros(g, 300, 40000), &at);
}

static void cache(struct spangen *g, unsigned service, uint32_t parent, uint64_t at_ns,
                  const char *key)
{
    struct attrs at = {.g = g};

    text(&at, "db.system", "redis");
    text(&at, "db.operation.name", "GET");
    text(&at, "db.query.text", arena_printf(g->a, "GET %s", key));
    text(&at, "server.address", "redis.shop.svc");
    number(&at, "server.port", 6379);
    (void)add_span(g, service, 3, "GET", parent, at_ns, micros(g, 60, 2000), &at);
}

static void internal(struct spangen *g, unsigned service, uint32_t parent, uint64_t at_ns,
                     const char *name, uint64_t customer)
{
    struct attrs at = {.g = g};

    number(&at, "thread.id", 20 + (int64_t)rng_below(&g->r, 40));
    text(&at, "thread.name",
         arena_printf(g->a, "http-nio-8443-exec-%u", (unsigned)rng_below(&g->r, 40)));
    number(&at, "app.customer.id", (int64_t)customer);
    (void)add_span(g, service, 1, name, parent, at_ns, micros(g, 10, 3000), &at);
}

static void fail(struct spangen *g, uint32_t span)
{
    struct tracepiece_span *s = &g->p.spans[span];
    struct attrs at = {.g = g};

    s->status = 2;
    s->message = SLICE("card declined");
    text(&at, "exception.type", "com.shop.payments.CardDeclinedException");
    text(&at, "exception.message",
         arena_printf(g->a, "card declined for order %u", (unsigned)rng_below(&g->r, 100000000)));
    text(&at, "exception.stacktrace",
         "com.shop.payments.CardDeclinedException: card declined\n"
         "\tat com.shop.payments.Gateway.charge(Gateway.java:118)\n"
         "\tat com.shop.payments.PaymentService.pay(PaymentService.java:64)\n"
         "\tat com.shop.payments.PaymentController.post(PaymentController.java:41)\n"
         "\tat "
         "org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:885)\n");
    s->events = arena_new_of(g->a, struct tracepiece_event);
    *s->events =
        (struct tracepiece_event){s->end_ns - 1000, SLICE("exception"), end_attrs(&at, g->a)};
    s->n_events = 1;
}

static void queue(struct spangen *g, uint32_t parent, uint64_t at_ns, uint64_t order)
{
    struct attrs p = {.g = g}, c = {.g = g};
    uint32_t sent;

    text(&p, "messaging.system", "kafka");
    text(&p, "messaging.destination.name", "orders.placed");
    text(&p, "messaging.operation.type", "publish");
    number(&p, "messaging.kafka.message.offset", (int64_t)order / 7);
    number(&p, "messaging.destination.partition.id", (int64_t)rng_below(&g->r, 24));
    sent = add_span(g, ORDERS, 4, "orders.placed publish", parent, at_ns, micros(g, 500, 9000), &p);
    text(&c, "messaging.system", "kafka");
    text(&c, "messaging.destination.name", "orders.placed");
    text(&c, "messaging.operation.type", "process");
    text(&c, "messaging.consumer.group.name", "shipping");
    number(&c, "messaging.kafka.message.offset", (int64_t)order / 7);
    (void)add_span(g, SHIPPING, 5, "orders.placed process", sent, at_ns + micros(g, 2000, 60000),
                   micros(g, 800, 30000), &c);
}

static int by_start(const void *a, const void *b)
{
    const struct tracepiece_span *l = a, *r = b;

    if (l->start_ns != r->start_ns)
        return l->start_ns < r->start_ns ? -1 : 1;
    return (l->span_id > r->span_id) - (l->span_id < r->span_id);
}

static void buy(struct spangen *g, uint32_t root, uint64_t at, uint64_t customer)
{
    uint64_t order = rng_below(&g->r, 100000000);
    const char *path = arena_printf(g->a, "/api/orders/%llu", (unsigned long long)order);
    uint32_t checkout = call(g, GATEWAY, CHECKOUT, root, at + 700000, micros(g, 20000, 900000),
                             "POST", "/checkout", "/checkout");
    uint32_t orders, stock, pay;

    internal(g, CHECKOUT, checkout, at + 1500000, "CheckoutService.validate", customer);
    stock = call(g, CHECKOUT, INVENTORY, checkout, at + 2600000, micros(g, 4000, 90000), "GET",
                 "/stock/{sku}",
                 arena_printf(g->a, "/stock/sku-%05u", (unsigned)rng_below(&g->r, 20000)));
    cache(g, INVENTORY, stock, at + 3100000,
          arena_printf(g->a, "stock:sku-%05u", (unsigned)rng_below(&g->r, 20000)));
    database(g, INVENTORY, stock, at + 4200000, "UPDATE", "stock",
             "UPDATE stock SET reserved = reserved + $1 WHERE sku = $2 AND available >= $1");
    orders = call(g, CHECKOUT, ORDERS, checkout, at + 9000000, micros(g, 6000, 200000), "PUT",
                  "/api/orders/{id}", path);
    database(g, ORDERS, orders, at + 9900000, "INSERT", "orders",
             "INSERT INTO orders (id, customer_id, total, currency, placed_at) VALUES ($1, $2, $3, "
             "$4, $5)");
    database(g, ORDERS, orders, at + 12000000, "INSERT", "order_lines",
             "INSERT INTO order_lines (order_id, sku, quantity, price) VALUES ($1, $2, $3, $4)");
    queue(g, orders, at + 15000000, order);
    pay = call(g, CHECKOUT, PAYMENTS, checkout, at + 17000000, micros(g, 9000, 400000), "POST",
               "/payments", "/payments");
    internal(g, PAYMENTS, pay, at + 17800000, "PaymentService.pay", customer);
    database(g, PAYMENTS, pay, at + 19000000, "INSERT", "payments",
             "INSERT INTO payments (id, order_id, amount, method) VALUES ($1, $2, $3, $4)");
    if (rng_chance(&g->r, 0.02))
        fail(g, pay);
}

static void look(struct spangen *g, uint32_t root, uint64_t at, uint64_t customer)
{
    unsigned n = 2 + (unsigned)rng_below(&g->r, 5);
    uint32_t page = call(g, GATEWAY, CATALOG, root, at + 500000, micros(g, 4000, 200000), "GET",
                         "/products", "/products");

    internal(g, CATALOG, page, at + 900000, "ProductView.render", customer);
    for (unsigned i = 0; i < n; i++) {
        cache(g, CATALOG, page, at + 1000000 + i * 400000,
              arena_printf(g->a, "product:%u", (unsigned)rng_below(&g->r, 50000)));
        database(g, CATALOG, page, at + 1200000 + i * 400000, "SELECT", "products",
                 "SELECT id, name, price, image_url FROM products WHERE category_id = $1 ORDER BY "
                 "rank LIMIT 20");
    }
}

const struct tracepiece *spangen_trace(struct spangen *g)
{
    uint64_t at = g->start_ns, customer;
    struct attrs root = {.g = g};
    bool is_order = rng_chance(&g->r, 0.7);
    uint32_t first;

    g->start_ns += rng_below(&g->r, 2 * g->step_ns);
    arena_reset(g->a);
    g->p = (struct tracepiece){.n_resources = SPANGEN_SERVICES * 3,
                               .n_scopes = SPANGEN_SERVICES,
                               .resources = g->resources,
                               .scopes = g->scopes};
    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t x = rng_u64(&g->r);

        memcpy(g->p.trace_id + i, &x, sizeof(x));
    }
    customer = rng_below(&g->r, 2000000);
    http(g, &root, is_order ? "POST" : "GET", is_order ? "/api/checkout" : "/api/products",
         is_order ? "/api/checkout" : "/api/products", 200);
    text(&root, "user_agent.original", agents[rng_below(&g->r, ORR_COUNT(agents))]);
    text(&root, "client.address",
         arena_printf(g->a, "%u.%u.%u.%u", (unsigned)rng_below(&g->r, 223),
                      (unsigned)rng_below(&g->r, 256), (unsigned)rng_below(&g->r, 256),
                      (unsigned)rng_below(&g->r, 256)));
    text(&root, "session.id", uuid(g, g->a));
    number(&root, "enduser.id", (int64_t)customer);
    first = add_span(g, GATEWAY, 2, is_order ? "POST /api/checkout" : "GET /api/products",
                     UINT32_MAX, at, micros(g, 30000, 1500000), &root);
    if (is_order)
        buy(g, first, at, customer);
    else
        look(g, first, at, customer);
    qsort(g->p.spans, g->p.n_spans, sizeof(*g->p.spans), by_start);
    return &g->p;
}
