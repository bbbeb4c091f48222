/*
 * What the door of logs costs: pushes of each encoding into a batch, limits, service name and level
 * found as by default, and the batch's bytes as replicas get them. Steady state: streams are known.
 *
 *     logdoor_bench [LINES [STREAMS [ROUNDS [NAME]]]]     200000 lines, 100 streams, 10 rounds, all
 *
 * Lines are JSON of about 500 bytes with ids, 1000 in a request. Prints MB (10^6) of lines per
 * second of CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/net/codec.h"
#include "ingester/door/log_request.h"
#include "tests/unit/ingester/door/rw_build.h"

#define PER_REQUEST 1000
#define T0_NS 1767225600000000000ll
#define MAX_BODY_BYTES (64u << 20)

static const struct tenant_limits limits = {.generation = 1,
                                            .max_label_names_per_stream = 15,
                                            .max_label_name_length = 1024,
                                            .max_stream_label_value_length = 2048,
                                            .max_line_size = 256 << 10,
                                            .reject_old_samples = true,
                                            .reject_old_samples_max_age_ns = 604800000000000ll,
                                            .creation_grace_period_ns = 600000000000ll,
                                            .allow_structured_metadata = true,
                                            .max_structured_metadata_size = 64 << 10,
                                            .max_structured_metadata_entries_count = 128,
                                            .discover_service_name = true,
                                            .discover_log_levels = true};

struct way {
    const char *name;
    struct log_request q; /* without its body */
    enum codec codec;
    void (*put)(struct buf *req, struct buf *lines, size_t n_streams);
    bool encodes, no_levels;
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
    fprintf(stderr, "logdoor_bench: %s\n", err_msg(e));
    exit(1);
}

/* ---- requests ---- */

static void make_line(struct rng *r, size_t i, struct buf *out)
{
    static const char *const levels[] = {"info", "info", "info", "debug", "warn", "error"};
    static const char *const paths[] = {"/api/v1/orders", "/api/v1/cart", "/checkout", "/health"};

    buf_printf(
        out,
        "{\"ts\":\"2026-01-01T00:00:%02zu.%03uZ\",\"level\":\"%s\",\"service\":\"shop\","
        "\"msg\":\"request finished after the usual steps\",\"method\":\"GET\",\"path\":\"%s\","
        "\"status\":%u,\"latency_ms\":%u,\"trace_id\":\"%016llx%016llx\",\"span_id\":"
        "\"%016llx\",\"user_id\":%u,\"session\":\"%016llx\",\"host\":\"node-%u.example.org\","
        "\"agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0\","
        "\"caller\":\"handler.go:%u\"}",
        i % 60, (unsigned)rng_below(r, 1000), levels[rng_below(r, ORR_COUNT(levels))],
        paths[rng_below(r, ORR_COUNT(paths))], rng_chance(r, 0.05) ? 500u : 200u,
        (unsigned)rng_below(r, 2000), (unsigned long long)rng_u64(r),
        (unsigned long long)rng_u64(r), (unsigned long long)rng_u64(r),
        (unsigned)rng_below(r, 1000000), (unsigned long long)rng_u64(r), (unsigned)rng_below(r, 50),
        (unsigned)rng_below(r, 500));
}

static void stream_value(size_t i, char out[32])
{
    (void)snprintf(out, 32, "pod-%zu", i);
}

/* Lines of a request in their streams, one after the other. */
static void put_proto(struct buf *req, struct buf *lines, size_t n_streams)
{
    for (size_t s = 0; s < n_streams; s++) {
        struct buf m = {0};
        char pod[32], text[160];

        stream_value(s, pod);
        (void)snprintf(text, sizeof(text),
                       "{app=\"shop\", cluster=\"eu-1\", namespace=\"prod\", pod=\"%s\"}", pod);
        rw_build_text(&m, 1, text);
        for (size_t i = s; i < PER_REQUEST; i += n_streams) {
            struct buf e = {0}, t = {0};

            rw_build_varint(&t, 1, T0_NS / 1000000000);
            rw_build_varint(&t, 2, i * 1000);
            rw_build_field(&e, 1, &t);
            rw_build_slice(&e, 2, buf_slice(&lines[i]));
            rw_build_field(&m, 2, &e);
        }
        rw_build_field(req, 1, &m);
    }
}

static void put_json(struct buf *req, struct buf *lines, size_t n_streams)
{
    buf_str(req, "{\"streams\":[");
    for (size_t s = 0; s < n_streams; s++) {
        char pod[32];

        stream_value(s, pod);
        buf_printf(req,
                   "%s{\"stream\":{\"app\":\"shop\",\"cluster\":\"eu-1\",\"namespace\":\"prod\","
                   "\"pod\":\"%s\"},\"values\":[",
                   s ? "," : "", pod);
        for (size_t i = s; i < PER_REQUEST; i += n_streams) {
            buf_printf(req, "%s[\"%lld\",", i == s ? "" : ",", T0_NS + (long long)i * 1000);
            buf_json_str(req, buf_slice(&lines[i]));
            buf_byte(req, ']');
        }
        buf_str(req, "]}");
    }
    buf_str(req, "]}");
}

static void put_attr(struct buf *to, unsigned number, const char *key, const char *value)
{
    struct buf kv = {0}, v = {0};

    rw_build_text(&kv, 1, key);
    rw_build_text(&v, 1, value);
    rw_build_field(&kv, 2, &v);
    rw_build_field(to, number, &kv);
}

static void put_otlp(struct buf *req, struct buf *lines, size_t n_streams)
{
    for (size_t s = 0; s < n_streams; s++) {
        struct buf rl = {0}, sl = {0}, res = {0};
        char pod[32];

        stream_value(s, pod);
        put_attr(&res, 1, "service.name", "shop");
        put_attr(&res, 1, "k8s.pod.name", pod);
        put_attr(&res, 1, "host.name", "node-1.example.org");
        rw_build_field(&rl, 1, &res);
        for (size_t i = s; i < PER_REQUEST; i += n_streams) {
            struct buf rec = {0}, v = {0};

            buf_uvarint(&rec, 1 << 3 | 1);
            buf_u64le(&rec, (uint64_t)T0_NS + i * 1000);
            rw_build_varint(&rec, 2, 9);
            rw_build_slice(&v, 1, buf_slice(&lines[i]));
            rw_build_field(&rec, 5, &v);
            put_attr(&rec, 6, "http.method", "GET");
            rw_build_field(&sl, 2, &rec);
        }
        rw_build_field(&rl, 2, &sl);
        rw_build_field(req, 1, &rl);
    }
}

static void put_lines(struct buf *req, struct buf *lines, size_t n_streams)
{
    (void)n_streams;
    for (size_t i = 0; i < PER_REQUEST; i++) {
        buf_slice_append(req, buf_slice(&lines[i]));
        buf_byte(req, '\n');
    }
}

/* ---- measuring ---- */

static void run(const struct way *w, struct buf *requests, size_t n, struct fp_cache *known)
{
    for (size_t i = 0; i < n; i++) {
        struct tenant_limits l = limits;
        struct log_batch *batch;
        struct log_request q = w->q;
        struct log_builder b;
        struct buf out = {0};

        l.discover_log_levels = !w->no_levels;
        batch = log_batch_new(SLICE("bench"), &l);
        q.body = buf_slice(&requests[i]);
        q.max_body_bytes = MAX_BODY_BYTES;
        log_builder_init(&b, batch, known, T0_NS);
        must(log_request_decode(&b, &q));
        if (batch->entries.len != PER_REQUEST)
            must(err_new(ERR_INTERNAL, "%zu lines", batch->entries.len));
        if (w->encodes)
            log_batch_encode(batch, NULL, 0, false, &out);
        log_builder_remember(batch, known);
        buf_done(&out);
        log_batch_free(batch);
    }
}

static void measure(const struct way *w, size_t n, size_t n_streams, size_t rounds)
{
    struct buf *requests = mem_new_array(struct buf, n);
    struct buf *lines = mem_new_array(struct buf, PER_REQUEST);
    struct fp_cache known;
    size_t bytes = 0, sent = 0;
    struct rng r;
    int64_t start;
    double s;

    rng_seed(&r, 1);
    for (size_t k = 0; k < n; k++) {
        struct buf plain = {0};

        for (size_t i = 0; i < PER_REQUEST; i++) {
            buf_reset(&lines[i]);
            make_line(&r, i, &lines[i]);
            bytes += lines[i].len;
        }
        w->put(&plain, lines, n_streams);
        must(codec_encode(w->codec, 0, buf_slice(&plain), &requests[k]));
        sent += requests[k].len;
        buf_done(&plain);
    }
    fp_cache_init(&known, 64 << 20);
    run(w, requests, n, &known);
    start = cpu_ns();
    for (size_t i = 0; i < rounds; i++)
        run(w, requests, n, &known);
    s = (double)(cpu_ns() - start) / 1e9;
    printf("%-44s %8.0f MB/CPU-s %8.0f ns a line %6.2f of the lines' bytes sent\n", w->name,
           (double)bytes * (double)rounds / 1e6 / s, s * 1e9 / (double)(rounds * n * PER_REQUEST),
           (double)sent / (double)bytes);
    for (size_t k = 0; k < n; k++)
        buf_done(&requests[k]);
    for (size_t i = 0; i < PER_REQUEST; i++)
        buf_done(&lines[i]);
    fp_cache_done(&known);
    mem_free(requests);
    mem_free(lines);
}

int main(int argc, char **argv)
{
    size_t lines = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    size_t streams = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    size_t n = (lines + PER_REQUEST - 1) / PER_REQUEST;
    struct log_request proto = {.content_type = SLICE("application/x-protobuf"),
                                .content_encoding = SLICE("")};
    struct log_request json = {.content_type = SLICE("application/json"),
                               .content_encoding = SLICE("")};
    struct log_request otlp = proto, jsonl = json;
    const char *only = argc > 4 ? argv[4] : NULL;

    otlp.kind = LOG_REQUEST_OTLP;
    jsonl.kind = LOG_REQUEST_LINES;
    jsonl.lines = (struct json_lines_opts){SLICE("service"), SLICE("ts"), SLICE_EMPTY};
    struct way ways[] = {
        {"Loki protobuf+snappy", proto, CODEC_SNAPPY, put_proto, false, false},
        {"Loki protobuf+snappy, levels off", proto, CODEC_SNAPPY, put_proto, false, true},
        {"Loki protobuf+snappy, into replicas' bytes", proto, CODEC_SNAPPY, put_proto, true, false},
        {"Loki JSON", json, CODEC_IDENTITY, put_json, false, false},
        {"OTLP protobuf", otlp, CODEC_IDENTITY, put_otlp, false, false},
        {"JSON lines", jsonl, CODEC_IDENTITY, put_lines, false, false},
    };

    streams = ORR_MIN(ORR_MAX(streams, (size_t)1), (size_t)PER_REQUEST);
    for (size_t i = 0; i < ORR_COUNT(ways); i++)
        if (!only || strstr(ways[i].name, only))
            measure(&ways[i], n, streams, rounds);
    return 0;
}
