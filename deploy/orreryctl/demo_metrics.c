#include "deploy/orreryctl/demo_metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

#define SCALE 3      /* buckets of an exponential histogram: 2^SCALE to a doubling */
#define LOWEST (-88) /* index of the first: 2^(LOWEST / 2^SCALE), half a millisecond */
#define BUCKETS 152  /* up to 256 s */
#define MAX_SERVED 32
#define MAX_QUERIED 4
#define MAX_SESSIONS 2000

static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                0.25,  0.5,    1,     2.5,  5,     10};

struct served {            /* of a service, route and status */
    struct demo_seen last; /* the exemplar; its names and status are the key */
    bool has_exemplar;
    uint64_t count, buckets[BUCKETS];
    double sum;
};
struct queried {
    const char *service, *database;
    uint64_t count, buckets[ORR_COUNT(bounds) + 1];
    double sum;
};
struct demo_metrics {
    int64_t from_s, now_s;
    struct served served[MAX_SERVED];
    struct queried queried[MAX_QUERIED];
    size_t n_served, n_queried, n_sessions;
    uint64_t hits, misses, orders;
    uint64_t sessions[MAX_SESSIONS];
};

struct demo_metrics *demo_metrics_new(int64_t from_s)
{
    struct demo_metrics *m = mem_new(struct demo_metrics);

    m->from_s = m->now_s = from_s;
    return m;
}

void demo_metrics_free(struct demo_metrics *m)
{
    mem_free(m);
}

/* ---- counting ---- */

static struct served *served_of(struct demo_metrics *m, const struct demo_seen *seen)
{
    struct served *s;

    for (s = m->served; s < m->served + m->n_served; s++)
        if (s->last.status == seen->status && strcmp(s->last.service, seen->service) == 0 &&
            strcmp(s->last.route, seen->route) == 0)
            return s;
    ORR_ASSERT(m->n_served < MAX_SERVED); /* services, routes and statuses are few */
    m->n_served++;
    return s;
}

void demo_metrics_served(struct demo_metrics *m, const struct demo_seen *seen)
{
    struct served *s = served_of(m, seen);
    /* bucket i is above base^i and up to base^(i + 1) */
    int index = (int)ceil(log2(seen->seconds) * (1 << SCALE)) - 1 - LOWEST;

    s->buckets[ORR_MIN(ORR_MAX(index, 0), BUCKETS - 1)]++;
    s->count++;
    s->sum += seen->seconds;
    if (!s->has_exemplar || seen->seconds > s->last.seconds)
        s->last = *seen; /* the slowest since the last time */
    s->has_exemplar = true;
}

void demo_metrics_queried(struct demo_metrics *m, const char *service, const char *database,
                          double seconds)
{
    struct queried *q;
    size_t b = 0;

    for (q = m->queried; q < m->queried + m->n_queried; q++)
        if (strcmp(q->database, database) == 0)
            break;
    if (q == m->queried + m->n_queried) {
        ORR_ASSERT(m->n_queried < MAX_QUERIED);
        m->n_queried++;
        q->service = service;
        q->database = database;
    }
    while (b < ORR_COUNT(bounds) && seconds > bounds[b])
        b++;
    q->buckets[b]++;
    q->count++;
    q->sum += seconds;
}

void demo_metrics_cached(struct demo_metrics *m, bool is_hit)
{
    if (is_hit)
        m->hits++;
    else
        m->misses++;
}

void demo_metrics_ordered(struct demo_metrics *m)
{
    m->orders++;
}

void demo_metrics_session(struct demo_metrics *m, uint64_t id)
{
    if (m->n_sessions < MAX_SESSIONS)
        m->sessions[m->n_sessions++] = id;
}

void demo_metrics_end(struct demo_metrics *m, int64_t t_s)
{
    m->now_s = t_s;
}

/* ---- writing ---- */

static void begin_service(struct buf *out, const char *service)
{
    buf_json_comma(out);
    buf_printf(
        out,
        "{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":"
        "\"%s\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"orrery-demo\"},\"metrics\":[",
        service);
}

static void end_service(struct buf *out)
{
    buf_str(out, "]}]}");
}

static void begin_metric(struct buf *out, const char *name, const char *unit, const char *kind)
{
    buf_json_comma(out);
    buf_printf(out, "{\"name\":\"%s\",\"unit\":\"%s\",\"%s\":{", name, unit, kind);
    if (strcmp(kind, "gauge") != 0)
        buf_str(out, "\"aggregationTemporality\":2,");
    if (strcmp(kind, "sum") == 0)
        buf_str(out, "\"isMonotonic\":true,");
    buf_str(out, "\"dataPoints\":[");
}

static void end_metric(struct buf *out)
{
    buf_str(out, "]}}");
}

/* Up to where the attributes come, of which value NULL is the end. */
static void begin_point(struct buf *out, const struct demo_metrics *m)
{
    buf_json_comma(out);
    buf_printf(out,
               "{\"startTimeUnixNano\":\"%" PRId64 "\",\"timeUnixNano\":\"%" PRId64
               "\",\"attributes\":[",
               (int64_t)(m->from_s * NS_PER_S), (int64_t)(m->now_s * NS_PER_S));
}

static void put_attribute(struct buf *out, const char *key, const char *value)
{
    buf_json_comma(out);
    buf_printf(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":\"%s\"}}", key, value);
}

static void put_served(struct buf *out, const struct demo_metrics *m, struct served *s)
{
    char status[16];

    begin_point(out, m);
    put_attribute(out, "http.route", s->last.route);
    (void)snprintf(status, sizeof(status), "%d", s->last.status);
    put_attribute(out, "http.response.status_code", status);
    buf_printf(out,
               "],\"count\":\"%" PRIu64 "\",\"sum\":%.9g,\"scale\":%d,\"zeroCount\":\"0\","
               "\"positive\":{\"offset\":%d,\"bucketCounts\":[",
               s->count, s->sum, SCALE, LOWEST);
    for (size_t i = 0; i < BUCKETS; i++)
        buf_printf(out, i ? ",\"%" PRIu64 "\"" : "\"%" PRIu64 "\"", s->buckets[i]);
    buf_str(out, "]}");
    if (s->has_exemplar)
        buf_printf(out,
                   ",\"exemplars\":[{\"timeUnixNano\":\"%" PRId64
                   "\",\"asDouble\":%.9g,\"traceId\":\"%016" PRIx64 "%016" PRIx64
                   "\",\"spanId\":\"%016" PRIx64 "\"}]",
                   s->last.t_ns, s->last.seconds, s->last.trace_hi, s->last.trace_lo, s->last.span);
    buf_byte(out, '}');
    s->has_exemplar = false;
}

static void put_queried(struct buf *out, const struct demo_metrics *m, const struct queried *q)
{
    begin_metric(out, "db.client.operation.duration", "s", "histogram");
    begin_point(out, m);
    put_attribute(out, "db.namespace", q->database);
    buf_printf(out, "],\"count\":\"%" PRIu64 "\",\"sum\":%.9g,\"explicitBounds\":[", q->count,
               q->sum);
    for (size_t i = 0; i < ORR_COUNT(bounds); i++)
        buf_printf(out, i ? ",%g" : "%g", bounds[i]);
    buf_str(out, "],\"bucketCounts\":[");
    for (size_t i = 0; i < ORR_COUNT(q->buckets); i++)
        buf_printf(out, i ? ",\"%" PRIu64 "\"" : "\"%" PRIu64 "\"", q->buckets[i]);
    buf_str(out, "]}");
    end_metric(out);
}

static void put_counter(struct buf *out, const struct demo_metrics *m, const char *key,
                        const char *value, uint64_t n)
{
    begin_point(out, m);
    if (key)
        put_attribute(out, key, value);
    buf_printf(out, "],\"asInt\":\"%" PRIu64 "\"}", n);
}

/* Goes down as items are bought, and is filled up each quarter of an hour. */
static void put_stock(struct buf *out, const struct demo_metrics *m)
{
    char item[24];

    begin_metric(out, "shop.stock", "{item}", "gauge");
    for (int i = 0; i < DEMO_METRICS_ITEMS; i++) {
        (void)snprintf(item, sizeof(item), "item-%02d", i);
        put_counter(out, m, "item", item,
                    (uint64_t)(1000 - m->now_s % 900 * (i % 7 + 1) / 7 + i * 20));
    }
    end_metric(out);
}

static void put_sessions(struct buf *out, struct demo_metrics *m)
{
    char id[24];

    if (!m->n_sessions)
        return;
    begin_metric(out, "checkout.sessions", "{session}", "sum");
    for (size_t i = 0; i < m->n_sessions; i++) {
        (void)snprintf(id, sizeof(id), "%016" PRIx64, m->sessions[i]);
        put_counter(out, m, "session.id", id, 1);
    }
    end_metric(out);
    m->n_sessions = 0;
}

static bool has(const struct demo_metrics *m, size_t first, size_t i)
{
    return strcmp(m->served[i].last.service, m->served[first].last.service) == 0;
}

static void put_service(struct buf *out, struct demo_metrics *m, size_t first)
{
    const char *service = m->served[first].last.service;

    begin_service(out, service);
    begin_metric(out, "http.server.request.duration", "s", "exponentialHistogram");
    for (size_t i = first; i < m->n_served; i++)
        if (has(m, first, i))
            put_served(out, m, &m->served[i]);
    end_metric(out);
    for (size_t i = 0; i < m->n_queried; i++)
        if (strcmp(m->queried[i].service, service) == 0)
            put_queried(out, m, &m->queried[i]);
    if (strcmp(service, "checkout") == 0) {
        begin_metric(out, "shop.orders", "{order}", "sum");
        put_counter(out, m, NULL, NULL, m->orders);
        end_metric(out);
        put_sessions(out, m);
    }
    if (strcmp(service, "inventory") == 0) {
        begin_metric(out, "cache.requests", "{request}", "sum");
        put_counter(out, m, "result", "hit", m->hits);
        put_counter(out, m, "result", "miss", m->misses);
        end_metric(out);
        put_stock(out, m);
    }
    end_service(out);
}

void demo_metrics_put(struct demo_metrics *m, struct buf *out)
{
    buf_str(out, "{\"resourceMetrics\":[");
    for (size_t i = 0; i < m->n_served; i++) {
        bool is_first = true;

        for (size_t j = 0; j < i; j++)
            is_first = is_first && !has(m, i, j);
        if (is_first)
            put_service(out, m, i);
    }
    buf_str(out, "]}");
}
