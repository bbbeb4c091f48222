/*
 * Load of spans for the benchmarks: OTLP in protobuf over HTTP, as a collector sends it. A body is made once, of some traces of a shop (five
 * services, client and server spans, six attributes a span), and gets other trace ids for each request.
 *
 *   spanload --addr HOST:PORT [--traces 50000] [--spans 20] [--batch 50] [--connections 2] [--tenant bench] [--seed 1]
 *
 * --spans: of a trace; --batch: traces of a request. A request that is refused for now (429, 503) is sent again until a minute has gone by.
 *
 * Prints one JSON object: spans and traces that were acknowledged, bytes sent, requests that were sent again, seconds. Exit status 1 when
 * anything was refused.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "tests/bench/poster.h"

#define SERVICES 5
#define PAUSE_US 100000
#define MAX_TRIES 600

struct opts {
    const char *addr, *tenant;
    uint64_t traces, spans, batch, connections, seed;
};

/* A body, and where its trace ids stand. */
struct body {
    struct buf bytes;
    VEC(struct place {
        size_t at;
        uint32_t trace;
    })
    ids;
};

struct sender {
    const struct opts *o;
    struct body body;
    struct rng rng;
    uint64_t requests, bytes, again;
    char first_error[256];
};

/* ---- making ---- */

static void put_message(struct buf *out, unsigned number, struct buf *message)
{
    buf_uvarint(out, number << 3 | 2);
    buf_lstr(out, buf_slice(message));
    buf_done(message);
}

static void put_text(struct buf *out, unsigned number, const char *text)
{
    buf_uvarint(out, number << 3 | 2);
    buf_lstr(out, slice_cstr(text));
}

/* text NULL: a number. */
static void put_attribute(struct buf *out, unsigned number, const char *key, const char *text,
                          uint64_t n)
{
    struct buf kv = {0}, value = {0};

    put_text(&kv, 1, key);
    if (text) {
        put_text(&value, 1, text);
    } else {
        buf_uvarint(&value, 3 << 3);
        buf_uvarint(&value, n);
    }
    put_message(&kv, 2, &value);
    put_message(out, number, &kv);
}

static void put_fixed(struct buf *out, unsigned number, uint64_t v)
{
    buf_uvarint(out, number << 3 | 1);
    buf_u64le(out, v);
}

static void put_id(struct buf *out, unsigned number, uint64_t id)
{
    buf_uvarint(out, number << 3 | 2);
    buf_uvarint(out, 8);
    buf_u64le(out, id);
}

/* The k-th span of a trace; its trace id is right behind its tag and length. */
static void put_span(struct buf *out, uint64_t trace, uint64_t k, int64_t now_ns, struct rng *rng)
{
    static const char *const names[] = {"GET /cart", "POST /buy", "SELECT orders", "GET /stock",
                                        "charge card"};
    static const char zeros[16];
    bool is_client = k % 2;
    char path[64];
    struct buf status = {0};
    uint64_t start = (uint64_t)now_ns - 1000000000 + k * 1000000, ms = 1 + rng_below(rng, 300);

    (void)snprintf(path, sizeof(path), "/api/items/%llu", (unsigned long long)rng_below(rng, 5000));
    buf_uvarint(out, 1 << 3 | 2);
    buf_uvarint(out, 16);
    buf_append(out, zeros, 16);
    put_id(out, 2, trace * 1000 + k + 1);
    if (k)
        put_id(out, 4, trace * 1000 + k);
    put_text(out, 5, names[(k / 2) % ORR_COUNT(names)]);
    buf_uvarint(out, 6 << 3);
    buf_uvarint(out, is_client ? 3 : 2);
    put_fixed(out, 7, start);
    put_fixed(out, 8, start + ms * 1000000);
    put_attribute(out, 9, "http.request.method", k % 4 ? "GET" : "POST", 0);
    put_attribute(out, 9, "http.response.status_code", NULL, k % 20 == 19 ? 500 : 200);
    put_attribute(out, 9, "url.path", path, 0);
    put_attribute(out, 9, "network.peer.address", "10.12.3.44", 0);
    put_attribute(out, 9, "user.id", NULL, rng_below(rng, 100000));
    put_attribute(out, 9, "thread.name", "worker-7", 0);
    if (k % 20 == 19) {
        buf_uvarint(&status, 3 << 3);
        buf_uvarint(&status, 2);
        put_message(out, 15, &status);
    }
}

static void put_resource(struct buf *out, uint64_t service)
{
    static const char *const services[] = {"front", "cart", "stock", "orders", "payment"};
    struct buf resource = {0};
    char pod[64];

    (void)snprintf(pod, sizeof(pod), "%s-7d4f9c6b8-x2k9%llu", services[service],
                   (unsigned long long)service);
    put_attribute(&resource, 1, "service.name", services[service], 0);
    put_attribute(&resource, 1, "service.version", "1.42.0", 0);
    put_attribute(&resource, 1, "k8s.pod.name", pod, 0);
    put_attribute(&resource, 1, "k8s.namespace.name", "shop", 0);
    put_attribute(&resource, 1, "telemetry.sdk.language", "go", 0);
    put_message(out, 1, &resource);
}

/* Twice: lengths stand before what they are of. */
static void make_body(struct sender *s)
{
    int64_t now_ns = clock_wall_ns(&clock_system);

    for (uint64_t service = 0; service < SERVICES; service++) {
        struct buf rs = {0}, ss = {0}, scope = {0};
        struct body part = {0};

        put_resource(&rs, service);
        put_text(&scope, 1, "go.opentelemetry.io/otel");
        put_message(&ss, 1, &scope);
        for (uint64_t t = 0; t < s->o->batch; t++)
            for (uint64_t k = 0; k < s->o->spans; k++) {
                struct buf span = {0};

                if (k % SERVICES != service)
                    continue;
                put_span(&span, t, k, now_ns, &s->rng);
                buf_uvarint(&ss, 2 << 3 | 2);
                buf_uvarint(&ss, span.len);
                vec_push(&part.ids, ((struct place){ss.len + 2, (uint32_t)t}));
                buf_slice_append(&ss, buf_slice(&span));
                buf_done(&span);
            }
        buf_uvarint(&rs, 2 << 3 | 2);
        buf_uvarint(&rs, ss.len);
        VEC_FOREACH (p, &part.ids)
            p->at += rs.len;
        buf_slice_append(&rs, buf_slice(&ss));
        buf_uvarint(&s->body.bytes, 1 << 3 | 2);
        buf_uvarint(&s->body.bytes, rs.len);
        VEC_FOREACH (p, &part.ids)
            vec_push(&s->body.ids, ((struct place){p->at + s->body.bytes.len, p->trace}));
        buf_slice_append(&s->body.bytes, buf_slice(&rs));
        vec_done(&part.ids);
        buf_done(&ss);
        buf_done(&rs);
    }
}

static void set_ids(struct sender *s)
{
    uint64_t *ids = mem_new_array(uint64_t, 2 * s->o->batch);

    for (uint64_t i = 0; i < 2 * s->o->batch; i++)
        ids[i] = rng_u64(&s->rng) | 1;
    VEC_FOREACH (p, &s->body.ids)
        memcpy(s->body.bytes.ptr + p->at, &ids[2 * p->trace], 16);
    mem_free(ids);
}

/* ---- sending ---- */

static int post(struct sender *s, int *fd)
{
    char head[512], reply[POSTER_REPLY_BYTES];
    int status = 0,
        len = snprintf(head, sizeof(head),
                       "POST /v1/traces HTTP/1.1\r\nHost: %s\r\nX-Scope-OrgID: %s\r\n"
                       "Content-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                       s->o->addr, s->o->tenant, s->body.bytes.len);

    for (int i = 0; i < MAX_TRIES; i++) {
        status = poster_send(*fd, slice_of(head, (size_t)len), buf_slice(&s->body.bytes), reply);
        if (status == 0) {
            (void)close(*fd);
            *fd = poster_connect(s->o->addr);
        }
        if (status != 0 && status != 429 && status != 503)
            break;
        s->again++;
        (void)usleep(PAUSE_US);
    }
    if (status / 100 != 2 && !s->first_error[0])
        (void)snprintf(s->first_error, sizeof(s->first_error), "%d: %.200s", status,
                       poster_body(reply));
    return status;
}

static void *run(void *arg)
{
    struct sender *s = arg;
    int fd = poster_connect(s->o->addr);

    for (uint64_t i = 0; i < s->requests; i++) {
        set_ids(s);
        if (post(s, &fd) / 100 != 2)
            break;
        s->bytes += s->body.bytes.len;
    }
    (void)close(fd);
    return NULL;
}

/* ---- all ---- */

static void parse(struct opts *o, int argc, char **argv)
{
    struct {
        const char *name;
        uint64_t *number;
        const char **text;
    } known[] = {{"--addr", NULL, &o->addr},     {"--tenant", NULL, &o->tenant},
                 {"--traces", &o->traces, NULL}, {"--spans", &o->spans, NULL},
                 {"--batch", &o->batch, NULL},   {"--connections", &o->connections, NULL},
                 {"--seed", &o->seed, NULL}};

    for (int i = 1; i + 1 < argc; i += 2) {
        size_t k = 0;

        while (k < ORR_COUNT(known) && strcmp(argv[i], known[k].name) != 0)
            k++;
        if (k == ORR_COUNT(known) ||
            (known[k].number && !slice_to_u64(slice_cstr(argv[i + 1]), known[k].number))) {
            fprintf(stderr, "spanload: %s %s\n", argv[i], argv[i + 1]);
            exit(2);
        }
        if (known[k].text)
            *known[k].text = argv[i + 1];
    }
    if (!o->addr || !o->batch || !o->connections || argc % 2 == 0) {
        fprintf(stderr, "spanload: --addr HOST:PORT is needed\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct opts o = {
        .tenant = "bench", .traces = 50000, .spans = 20, .batch = 50, .connections = 2, .seed = 1};
    struct sender *senders;
    pthread_t *threads;
    int64_t began = clock_mono_ns(&clock_system);
    uint64_t bytes = 0, again = 0, sent = 0;
    bool is_bad = false;

    parse(&o, argc, argv);
    senders = mem_new_array(struct sender, o.connections);
    threads = mem_new_array(pthread_t, o.connections);
    for (uint64_t i = 0; i < o.connections; i++) {
        senders[i].o = &o;
        senders[i].requests = (o.traces / o.batch + o.connections - 1 - i) / o.connections;
        rng_seed(&senders[i].rng, o.seed * 1000 + i);
        make_body(&senders[i]);
        if (pthread_create(&threads[i], NULL, run, &senders[i]))
            exit(2);
    }
    for (uint64_t i = 0; i < o.connections; i++) {
        (void)pthread_join(threads[i], NULL);
        bytes += senders[i].bytes;
        again += senders[i].again;
        sent += senders[i].bytes / senders[i].body.bytes.len;
        if (senders[i].first_error[0]) {
            fprintf(stderr, "spanload: %s\n", senders[i].first_error);
            is_bad = true;
        }
        vec_done(&senders[i].body.ids);
        buf_done(&senders[i].body.bytes);
    }
    printf("{\"traces\":%llu,\"spans\":%llu,\"bytes\":%llu,\"again\":%llu,\"seconds\":%.3f}\n",
           (unsigned long long)(sent * o.batch), (unsigned long long)(sent * o.batch * o.spans),
           (unsigned long long)bytes, (unsigned long long)again,
           (double)(clock_mono_ns(&clock_system) - began) / 1e9);
    mem_free(senders);
    mem_free(threads);
    return is_bad;
}
