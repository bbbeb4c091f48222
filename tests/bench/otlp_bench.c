/*
 * What OpenTelemetry costs at the door beside remote write: the same series, decoded into a push.
 * Steady state: every series is known and has one sample. Without decompression.
 *
 *     otlp_bench [SERIES [LABELS [ROUNDS [NAME]]]]      100000 series, 10 labels, 10 rounds, all
 *
 * In OTLP the labels are job and instance (of a resource that 100 points share), the name (of a
 * metric that 20 points share), and attributes, one in three with a dot in its name. Prints
 * nanoseconds of CPU a point, and points per second of CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/mem.h"
#include "ingester/door/otlp_json.h"
#include "ingester/door/otlp_proto.h"
#include "ingester/door/otlp_translate.h"
#include "ingester/door/write_request.h"
#include "tests/unit/ingester/door/rw_build.h"

#define PER_REQUEST 2000
#define PER_RESOURCE 100
#define PER_METRIC 20
#define T0_MS 1767225600000

static const char *const names[] = {"cluster",        "container", "http.method",   "http_route",
                                    "http.status",    "namespace", "pod",           "region",
                                    "server.address", "service",   "telemetry.sdk", "zone"};
static const char *const escaped[] = {"cluster",        "container", "http_method",   "http_route",
                                      "http_status",    "namespace", "pod",           "region",
                                      "server_address", "service",   "telemetry_sdk", "zone"};

/* One way in: requests, and how they are decoded. */
struct way {
    const char *name;
    struct buf *requests;
    struct fp_cache known;
    size_t bytes;
    void (*put)(struct buf *req, size_t first, size_t labels);
    struct err *(*decode)(struct push_builder *b);
};

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "otlp_bench: %s\n", err_msg(e));
    exit(1);
}

static void value_of(size_t i, size_t k, char out[64])
{
    (void)snprintf(out, 64, "%s-%zu", names[k], k == 3 ? i : i % (7 * (k + 1)));
}

/* ---- the same in each encoding ---- */

static void put_write(struct buf *req, size_t first, size_t labels)
{
    for (size_t i = first; i < first + PER_REQUEST; i++) {
        struct buf m = {0};
        char value[64];

        (void)snprintf(value, sizeof(value), "requests_%zu_total", i / PER_METRIC % 200);
        rw_build_label(&m, "__name__", value);
        for (size_t k = 0; k + 3 < labels && k < ORR_COUNT(names); k++) {
            if (k == 5) { /* i… and j… are in their places between http_… and namespace */
                (void)snprintf(value, sizeof(value), "i-%zu", i / PER_RESOURCE);
                rw_build_label(&m, "instance", value);
                rw_build_label(&m, "job", "shop");
            }
            value_of(i, k, value);
            rw_build_label(&m, escaped[k], value);
        }
        rw_build_sample(&m, (double)i * 1.5, T0_MS);
        rw_build_field(req, 1, &m);
    }
}

static void put_attr(struct buf *to, unsigned number, const char *key, const char *value)
{
    struct buf kv = {0}, v = {0};

    rw_build_text(&kv, 1, key);
    rw_build_text(&v, 1, value);
    rw_build_field(&kv, 2, &v);
    rw_build_field(to, number, &kv);
}

static void put_fixed64(struct buf *b, unsigned number, uint64_t v)
{
    buf_uvarint(b, number << 3 | 1);
    buf_u64le(b, v);
}

static void put_point(struct buf *sum, size_t i, size_t labels)
{
    struct buf p = {0};
    char value[64];

    put_fixed64(&p, 2, (T0_MS - 100000) * 1000000ull);
    put_fixed64(&p, 3, T0_MS * 1000000ull);
    rw_build_double(&p, 4, (double)i * 1.5);
    for (size_t k = 0; k + 3 < labels && k < ORR_COUNT(names); k++) {
        value_of(i, k, value);
        put_attr(&p, 7, names[k], value);
    }
    rw_build_field(sum, 1, &p);
}

static void put_proto(struct buf *req, size_t first, size_t labels)
{
    struct buf rm = {0}, res = {0}, sm = {0}, m = {0}, sum = {0};
    char text[64];

    for (size_t i = first; i < first + PER_REQUEST; i++) {
        if (i % PER_RESOURCE == 0) {
            (void)snprintf(text, sizeof(text), "i-%zu", i / PER_RESOURCE);
            put_attr(&res, 1, "service.name", "shop");
            put_attr(&res, 1, "service.instance.id", text);
            rw_build_field(&rm, 1, &res);
        }
        put_point(&sum, i, labels);
        if ((i + 1) % PER_METRIC)
            continue;
        rw_build_varint(&sum, 2, OTLP_CUMULATIVE);
        rw_build_varint(&sum, 3, 1);
        (void)snprintf(text, sizeof(text), "requests.%zu", i / PER_METRIC % 200);
        rw_build_text(&m, 1, text);
        rw_build_field(&m, 7, &sum);
        rw_build_field(&sm, 2, &m);
        if ((i + 1) % PER_RESOURCE)
            continue;
        rw_build_field(&rm, 2, &sm);
        rw_build_field(req, 1, &rm);
    }
}

static void put_json(struct buf *req, size_t first, size_t labels)
{
    char value[64];

    for (size_t i = first; i < first + PER_REQUEST; i++) {
        buf_str(req, i == first ? "{\"resourceMetrics\":[" : i % PER_METRIC ? "," : "");
        if (i % PER_RESOURCE == 0)
            buf_printf(req,
                       "%s{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                       "{\"stringValue\":\"shop\"}},{\"key\":\"service.instance.id\",\"value\":"
                       "{\"stringValue\":\"i-%zu\"}}]},\"scopeMetrics\":[{\"metrics\":[",
                       i == first ? "" : ",", i / PER_RESOURCE);
        if (i % PER_METRIC == 0)
            buf_printf(req,
                       "%s{\"name\":\"requests.%zu\",\"sum\":{\"aggregationTemporality\":2,"
                       "\"isMonotonic\":true,\"dataPoints\":[",
                       i % PER_RESOURCE ? "," : "", i / PER_METRIC % 200);
        buf_printf(req,
                   "{\"startTimeUnixNano\":\"%lld000000\",\"timeUnixNano\":\"%lld000000\","
                   "\"asDouble\":%g,\"attributes\":[",
                   (long long)T0_MS - 100000, (long long)T0_MS, (double)i * 1.5);
        for (size_t k = 0; k + 3 < labels && k < ORR_COUNT(names); k++) {
            value_of(i, k, value);
            buf_printf(req, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":\"%s\"}}", k ? "," : "",
                       names[k], value);
        }
        buf_str(req, "]}");
        buf_str(req, (i + 1) % PER_METRIC ? "" : "]}}");
        buf_str(req, (i + 1) % PER_RESOURCE ? "" : "]}]}");
    }
    buf_str(req, "]}");
}

/* ---- decoding ---- */

static struct err *decode_write(struct push_builder *b)
{
    return write_request_decoder.decode(b, NULL);
}

static struct err *decode_otlp(struct push_builder *b, bool is_json, bool translates)
{
    static char none[] = "";
    static const struct otlp_config config = {
        .prefix = none, .has_key_prefix = true, .keeps_underscores = true};
    struct arena *tmp = arena_new(0);
    struct jsonval_doc *doc = NULL;
    struct otlp_metrics m;
    struct err *e = is_json ? otlp_json_decode(tmp, push_builder_body(b), &doc, &m)
                            : otlp_proto_decode(tmp, push_builder_body(b), &m);

    if (!e && translates)
        e = otlp_translate(b, &m, &config, NULL, tmp);
    jsonval_free(doc);
    arena_free(tmp);
    return e;
}

static struct err *decode_proto(struct push_builder *b)
{
    return decode_otlp(b, false, true);
}

static struct err *decode_proto_only(struct push_builder *b)
{
    return decode_otlp(b, false, false);
}

static struct err *decode_json(struct push_builder *b)
{
    return decode_otlp(b, true, true);
}

static struct err *decode_json_only(struct push_builder *b)
{
    return decode_otlp(b, true, false);
}

/* ---- measuring ---- */

static size_t run(struct way *w, size_t n)
{
    size_t series = 0;

    for (size_t r = 0; r < n; r++) {
        struct push *p = push_new(SLICE("bench"), &(struct tenant_limits){.generation = 1});
        struct push_builder b;

        p->body = w->requests[r]; /* lent */
        push_builder_init(&b, p, &w->known, T0_MS);
        must(w->decode(&b));
        push_builder_remember(p, &w->known);
        series += p->series.len;
        p->body = (struct buf){0};
        push_free(p);
    }
    return series;
}

static double measure(struct way *w, size_t n, size_t labels, size_t rounds)
{
    int64_t start;
    double ns;

    w->requests = mem_new_array(struct buf, n);
    for (size_t r = 0; r < n; r++) {
        w->put(&w->requests[r], r * PER_REQUEST, labels);
        w->bytes += w->requests[r].len;
    }
    fp_cache_init(&w->known, 256 << 20);
    (void)run(w, n);
    start = cpu_ns();
    for (size_t i = 0; i < rounds; i++)
        (void)run(w, n);
    ns = (double)(cpu_ns() - start) / (double)(rounds * n * PER_REQUEST);
    printf("%-28s %8.0f ns a point %10.2f million points per CPU-second %6.0f bytes a point\n",
           w->name, ns, 1e3 / ns, (double)w->bytes / (double)(n * PER_REQUEST));
    for (size_t r = 0; r < n; r++)
        buf_done(&w->requests[r]);
    mem_free(w->requests);
    fp_cache_done(&w->known);
    return ns;
}

int main(int argc, char **argv)
{
    size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t labels = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    size_t n = (series + PER_REQUEST - 1) / PER_REQUEST;
    struct way ways[] = {
        {.name = "remote write 1.0", .put = put_write, .decode = decode_write},
        {.name = "OTLP protobuf, decoded", .put = put_proto, .decode = decode_proto_only},
        {.name = "OTLP protobuf, into a push", .put = put_proto, .decode = decode_proto},
        {.name = "OTLP JSON, decoded", .put = put_json, .decode = decode_json_only},
        {.name = "OTLP JSON, into a push", .put = put_json, .decode = decode_json},
    };
    const char *only = argc > 4 ? argv[4] : NULL;
    double ns[ORR_COUNT(ways)] = {0};

    for (size_t i = 0; i < ORR_COUNT(ways); i++)
        if (!only || strstr(ways[i].name, only))
            ns[i] = measure(&ways[i], n, labels, rounds);
    if (!only)
        printf("OTLP protobuf / remote write %.2f, JSON / remote write %.2f\n", ns[2] / ns[0],
               ns[4] / ns[0]);
    return 0;
}
