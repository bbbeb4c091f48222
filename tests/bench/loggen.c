#include "tests/bench/loggen.h"

#include <math.h>
#include <time.h>

#define PICK(g, list) (list)[rng_below(&(g)->rng, ORR_COUNT(list))]

static const char *const names[] = {
#define X(sym, name) name,
    LOGGEN_KINDS(X)
#undef X
};

const char *loggen_name(enum loggen_kind kind)
{
    return names[kind];
}

void loggen_init(struct loggen *g, enum loggen_kind kind, uint64_t seed)
{
    *g = (struct loggen){.kind = kind, .ts_ns = 1795946645000000000ll, .n_streams = 8};
    rng_seed(&g->rng, seed);
    for (size_t i = 0; i < ORR_COUNT(g->pool); i++)
        g->pool[i] = rng_u64(&g->rng);
}

/* Few of n come often. */
static uint64_t skewed(struct loggen *g, uint64_t n)
{
    double u = rng_unit(&g->rng);

    return (uint64_t)(u * u * u * (double)n);
}

static uint64_t from_pool(struct loggen *g, uint64_t n)
{
    return g->pool[skewed(g, n)];
}

/* About log-normal: most are small, some are not. */
static double latency(struct loggen *g)
{
    double x = 0;

    for (int i = 0; i < 6; i++)
        x += rng_unit(&g->rng);
    return exp((x - 3) * 1.6 + 3.2);
}

static const char *level(struct loggen *g)
{
    double u = rng_unit(&g->rng);

    return u < 0.86 ? "info" : u < 0.93 ? "debug" : u < 0.98 ? "warn" : "error";
}

static const char *const services[] = {"checkout", "cart",   "catalogue", "payment",
                                       "search",   "orders", "gateway",   "users"};
static const char *const methods[] = {"GET", "GET", "GET", "GET", "POST", "PUT", "DELETE"};
static const char *const agents[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 "
    "Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36",
    "curl/8.11.0",
    "kube-probe/1.31",
    "Go-http-client/2.0",
    "python-requests/2.32.3",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"};

/* form with the number in the place of #. */
static void put_with(const char *form, unsigned id, struct buf *out)
{
    const char *at = strchrnul(form, '#');

    buf_append(out, form, (size_t)(at - form));
    if (*at) {
        buf_printf(out, "%u", id);
        buf_str(out, at + 1);
    }
}

/* A form of strftime() that its callers spell out. */
static void put_time(struct loggen *g, const char *form, int64_t before_ns, struct buf *out)
{
    int64_t t = g->ts_ns - before_ns;
    time_t s = t / 1000000000;
    struct tm tm;
    char text[64];

    gmtime_r(&s, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    strftime(text, sizeof(text), form, &tm);
#pragma GCC diagnostic pop
    buf_str(out, text);
}

static void put_path(struct loggen *g, struct buf *out)
{
    static const char *const forms[] = {"/api/v1/users/#/orders", "/api/v1/products/#",
                                        "/api/v1/cart/#/items",   "/api/v2/orders/#/status",
                                        "/static/js/app.#.js",    "/images/products/#.jpg"};
    uint64_t k = skewed(g, ORR_COUNT(forms) + 3);
    unsigned id = (unsigned)(from_pool(g, 4096) % 1000000);

    switch (k) {
    case 6:
        buf_str(out, "/healthz");
        break;
    case 7:
        buf_str(out, "/api/v1/login");
        break;
    case 8:
        buf_printf(out, "/search?q=%s&page=%u", PICK(g, services), (unsigned)skewed(g, 30));
        break;
    default:
        put_with(forms[k], id, out);
    }
}

static void put_json(struct loggen *g, struct buf *out)
{
    unsigned long long trace = rng_u64(&g->rng), trace_2 = rng_u64(&g->rng);
    unsigned status = rng_chance(&g->rng, 0.93)
                          ? 200
                          : (unsigned[]){201, 204, 301, 400, 404, 500, 503}[rng_below(&g->rng, 7)];
    double ms = latency(g);
    bool failed = status >= 500;

    buf_str(out, "{\"timestamp\":\"");
    put_time(g, "%Y-%m-%dT%H:%M:%S", 300000, out);
    buf_printf(out, ".%06uZ\",\"level\":\"%s\",\"service\":\"%s\",\"pod\":\"%s-7d9f8b6c5d-%05x\",",
               (unsigned)((g->ts_ns - 300000) % 1000000000 / 1000), failed ? "error" : level(g),
               services[g->stream % 8], services[g->stream % 8],
               (unsigned)(g->pool[g->stream] & 0xfffff));
    buf_printf(out, "\"trace_id\":\"%016llx%016llx\",\"span_id\":\"%016llx\",", trace, trace_2,
               (unsigned long long)rng_u64(&g->rng));
    buf_printf(out, "\"request_id\":\"%08x-%04x-4%03x-a%03x-%012llx\",", rng_u32(&g->rng),
               rng_u32(&g->rng) & 0xffff, rng_u32(&g->rng) & 0xfff, rng_u32(&g->rng) & 0xfff,
               (unsigned long long)(rng_u64(&g->rng) >> 16));
    buf_printf(out, "\"user_id\":%u,\"method\":\"%s\",\"path\":\"",
               (unsigned)(from_pool(g, 4096) % 10000000), PICK(g, methods));
    put_path(g, out);
    buf_printf(out, "\",\"status\":%u,\"latency_ms\":%.0f,\"bytes\":%u,\"client\":\"10.%u.%u.%u\",",
               status, ms, (unsigned)(latency(g) * 97), (unsigned)(g->pool[skewed(g, 64)] % 4),
               (unsigned)(from_pool(g, 256) & 255), (unsigned)(rng_u32(&g->rng) & 255));
    buf_printf(out, "\"user_agent\":\"%s\",\"msg\":\"%s\"}", agents[skewed(g, ORR_COUNT(agents))],
               failed ? "error: upstream request failed: connection reset by peer"
                      : "request completed");
}

static void put_logfmt(struct loggen *g, struct buf *out)
{
    static const char *const msgs[] = {"request completed", "cache miss",     "cache hit",
                                       "query executed",    "flushing chunk", "compaction done"};
    bool failed = rng_chance(&g->rng, 0.02);

    buf_str(out, "ts=");
    put_time(g, "%Y-%m-%dT%H:%M:%S", 200000, out);
    buf_printf(out, ".%03uZ caller=%s.go:%u level=%s ",
               (unsigned)((g->ts_ns - 200000) % 1000000000 / 1000000), PICK(g, services),
               (unsigned)(skewed(g, 20) * 37 + 11), failed ? "error" : level(g));
    buf_printf(out,
               "tenant=%s-%u trace_id=%016llx msg=\"%s\" duration=%.3fms bytes=%u user=user-%u",
               PICK(g, services), (unsigned)skewed(g, 40), (unsigned long long)rng_u64(&g->rng),
               failed ? "error writing response" : PICK(g, msgs), latency(g),
               (unsigned)(latency(g) * 1000), (unsigned)(from_pool(g, 4096) % 100000));
    if (failed)
        buf_printf(out, " err=\"write tcp 10.0.%u.%u:8080->10.0.%u.%u:%u: broken pipe\"",
                   rng_u32(&g->rng) & 255, rng_u32(&g->rng) & 255, rng_u32(&g->rng) & 255,
                   rng_u32(&g->rng) & 255, 32768 + (rng_u32(&g->rng) & 0x3fff));
}

static void put_nginx(struct loggen *g, struct buf *out)
{
    static const char *const referrers[] = {"-", "-", "https://shop.example.com/",
                                            "https://shop.example.com/cart",
                                            "https://www.google.com/"};
    uint64_t ip = from_pool(g, 2048);

    buf_printf(out, "%u.%u.%u.%u - - [", (unsigned)(ip & 127) + 1, (unsigned)(ip >> 8) & 255,
               (unsigned)(ip >> 16) & 255, (unsigned)(ip >> 24) & 255);
    put_time(g, "%d/%b/%Y:%H:%M:%S +0000", 1000000, out);
    buf_printf(out, "] \"%s ", PICK(g, methods));
    put_path(g, out);
    buf_printf(out, " HTTP/1.1\" %u %u \"%s\" \"%s\" %.3f", rng_chance(&g->rng, 0.95) ? 200 : 404,
               (unsigned)(latency(g) * 300), PICK(g, referrers),
               agents[skewed(g, ORR_COUNT(agents))], latency(g) / 1000);
}

static void put_stack(struct loggen *g, struct buf *out)
{
    static const char *const errors[] = {
        "java.lang.NullPointerException: Cannot invoke \"com.example.shop.model.User.getId()\" "
        "because \"user\" is null",
        "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, "
        "request timed out after #ms.",
        "org.springframework.web.client.ResourceAccessException: I/O error on GET request for "
        "\"http://inventory:8080/items/#\": Read timed out",
        "java.lang.IllegalStateException: Order # is already closed"};
    static const char *const classes[] = {"OrderController", "OrderService",   "CartService",
                                          "PaymentClient",   "UserRepository", "InventoryGateway"};
    static const char *const calls[] = {"handle", "create", "findById",
                                        "submit", "load",   "validate"};
    static const char *const frames[] = {
        "java.base/"
        "jdk.internal.reflect.DirectMethodHandleAccessor.invoke(DirectMethodHandleAccessor.java:"
        "103)",
        "java.base/java.lang.reflect.Method.invoke(Method.java:580)",
        "org.springframework.web.method.support.InvocableHandlerMethod.doInvoke("
        "InvocableHandlerMethod.java:255)",
        "org.springframework.web.method.support.InvocableHandlerMethod.invokeForRequest("
        "InvocableHandlerMethod.java:188)",
        "org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter."
        "handleInternal(RequestMappingHandlerAdapter.java:831)",
        "org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)",
        "org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:903)",
        "jakarta.servlet.http.HttpServlet.service(HttpServlet.java:658)",
        "org.apache.catalina.core.ApplicationFilterChain.internalDoFilter(ApplicationFilterChain."
        "java:195)",
        "org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:167)",
        "org.apache.coyote.http11.Http11Processor.service(Http11Processor.java:389)",
        "org.apache.tomcat.util.net.NioEndpoint$SocketProcessor.doRun(NioEndpoint.java:1741)",
        "java.base/java.lang.Thread.run(Thread.java:1583)"};
    size_t skip;

    buf_byte(out, '\n');
    put_with(PICK(g, errors), (unsigned)(from_pool(g, 4096) % 100000), out);
    for (size_t i = 0, n = 2 + rng_below(&g->rng, 5); i < n; i++) {
        size_t c = skewed(g, ORR_COUNT(classes)), m = skewed(g, ORR_COUNT(calls));

        buf_printf(out, "\n\tat com.example.shop.%s.%s(%s.java:%u)", classes[c], calls[m],
                   classes[c], (unsigned)((c * 7 + m) * 13 % 300 + 20));
    }
    skip = rng_below(&g->rng, 3);
    for (size_t i = skip; i < ORR_COUNT(frames); i++)
        buf_printf(out, "\n\tat %s", frames[i]);
}

static void put_java(struct loggen *g, struct buf *out)
{
    static const char *const loggers[] = {"c.e.shop.OrderController", "c.e.shop.OrderService  ",
                                          "c.e.shop.PaymentClient  ", "o.s.web.client.RestTempl"};
    bool failed = rng_chance(&g->rng, 0.08);

    put_time(g, "%Y-%m-%d %H:%M:%S", 500000, out);
    buf_printf(out, ".%03u %s 1 --- [nio-8080-exec-%u] %s : ",
               (unsigned)((g->ts_ns - 500000) % 1000000000 / 1000000),
               failed                      ? "ERROR"
               : rng_chance(&g->rng, 0.05) ? " WARN"
                                           : " INFO",
               (unsigned)rng_below(&g->rng, 200) + 1, PICK(g, loggers));
    if (failed) {
        buf_str(out, "Servlet.service() threw exception");
        put_stack(g, out);
        return;
    }
    switch (rng_below(&g->rng, 4)) {
    case 0:
        buf_printf(out, "Order %u created for customer %u in %.0f ms",
                   (unsigned)(rng_u32(&g->rng) % 10000000), (unsigned)(from_pool(g, 4096) % 100000),
                   latency(g));
        break;
    case 1:
        buf_printf(out, "Payment %08x-%04x-4%03x accepted, amount %.2f EUR", rng_u32(&g->rng),
                   rng_u32(&g->rng) & 0xffff, rng_u32(&g->rng) & 0xfff, latency(g));
        break;
    case 2:
        buf_printf(out, "Fetched %u items from inventory", (unsigned)skewed(g, 100));
        break;
    default:
        buf_printf(out, "Cache refresh finished, %u entries, %u evicted",
                   (unsigned)(latency(g) * 50), (unsigned)skewed(g, 500));
    }
}

static void put_syslog(struct loggen *g, struct buf *out)
{
    static const char *const users[] = {"root",   "admin",   "oracle",   "test",
                                        "ubuntu", "git",     "postgres", "deploy",
                                        "guest",  "ftpuser", "jenkins",  "nagios"};
    unsigned a = (unsigned)from_pool(g, 2048), pid = 600 + rng_u32(&g->rng) % 30000;

    put_time(g, "%b %d %H:%M:%S", 2000000, out);
    buf_printf(out, " web-%02u ", g->stream);
    switch (skewed(g, 8)) {
    case 0:
        buf_printf(out,
                   "sshd[%u]: Failed password for invalid user %s from %u.%u.%u.%u port %u ssh2",
                   pid, PICK(g, users), a & 127, a >> 7 & 255, a >> 15 & 255, a >> 23 & 255,
                   1024 + rng_u32(&g->rng) % 64000);
        break;
    case 1:
        buf_printf(
            out,
            "sshd[%u]: Connection closed by authenticating user %s %u.%u.%u.%u port %u [preauth]",
            pid, PICK(g, users), a & 127, a >> 7 & 255, a >> 15 & 255, a >> 23 & 255,
            1024 + rng_u32(&g->rng) % 64000);
        break;
    case 2:
        buf_printf(out, "CRON[%u]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
                   pid);
        break;
    case 3:
        buf_printf(out,
                   "kernel: [%u.%06u] [UFW BLOCK] IN=eth0 OUT= MAC=02:42:ac:11:00:02 "
                   "SRC=%u.%u.%u.%u DST=10.0.0.%u "
                   "LEN=40 TOS=0x00 PREC=0x00 TTL=%u ID=%u PROTO=TCP SPT=%u DPT=%u WINDOW=1024 "
                   "RES=0x00 SYN URGP=0",
                   (unsigned)(g->ts_ns / 1000000000 % 10000000), rng_u32(&g->rng) % 1000000,
                   a & 127, a >> 7 & 255, a >> 15 & 255, a >> 23 & 255, g->stream,
                   40 + rng_u32(&g->rng) % 200, rng_u32(&g->rng) & 0xffff,
                   1024 + rng_u32(&g->rng) % 64000, (unsigned)skewed(g, 10000));
        break;
    case 4:
        buf_printf(out, "systemd[1]: Started Session %u of user %s.", rng_u32(&g->rng) % 100000,
                   PICK(g, users));
        break;
    case 5:
        buf_str(out, "systemd[1]: logrotate.service: Deactivated successfully.");
        break;
    case 6:
        buf_printf(out, "dhclient[%u]: DHCPREQUEST for 10.0.0.%u on eth0 to 10.0.0.1 port 67",
                   700 + g->stream, g->stream);
        break;
    default:
        buf_printf(out, "postfix/smtpd[%u]: connect from unknown[%u.%u.%u.%u]", pid, a & 127,
                   a >> 7 & 255, a >> 15 & 255, a >> 23 & 255);
    }
}

void loggen_line(struct loggen *g, struct buf *out)
{
    /* Some milliseconds from one entry to the next, taken to the nanosecond. */
    g->ts_ns += (int64_t)(-log(1 - rng_unit(&g->rng)) * 4e6) + 1;
    g->stream = (uint32_t)rng_below(&g->rng, g->n_streams);
    switch (g->kind) {
    case LOGGEN_JSON:
        put_json(g, out);
        break;
    case LOGGEN_LOGFMT:
        put_logfmt(g, out);
        break;
    case LOGGEN_NGINX:
        put_nginx(g, out);
        break;
    case LOGGEN_JAVA:
        put_java(g, out);
        break;
    default:
        put_syslog(g, out);
    }
}

void loggen_text_make(struct loggen_text *t, enum loggen_kind kind, size_t bytes)
{
    struct loggen g;

    loggen_init(&g, kind, 42);
    while (t->bytes.len < bytes) {
        loggen_line(&g, &t->bytes);
        buf_byte(&t->bytes, '\n');
        vec_push(&t->ends, t->bytes.len);
        vec_push(&t->times, g.ts_ns);
        vec_push(&t->streams, g.stream);
    }
}

void loggen_text_done(struct loggen_text *t)
{
    buf_done(&t->bytes);
    vec_done(&t->ends);
    vec_done(&t->times);
    vec_done(&t->streams);
}

struct slice loggen_text_line(const struct loggen_text *t, size_t i)
{
    size_t start = i ? t->ends.ptr[i - 1] : 0;

    return slice_of(t->bytes.ptr + start, t->ends.ptr[i] - 1 - start);
}
