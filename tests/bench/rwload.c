/*
 * Load for the benchmarks: remote write 1.0 as a fleet of agents sends it. Bodies are made once and
 * only the time and value of each sample are patched, so that the generator costs little beside
 * what it measures; it is the same for Orrery and for Prometheus.
 *
 *   rwload --addr HOST:PORT [--addr …] [--path /api/v1/push] [--tenant bench] [--series 1000000]
 *          [--batch 2000] [--connections 4] [--start-ms T] [--step-ms 15000] [--rounds 10]
 *          [--rate SAMPLES/S] [--metric http_server_requests] [--shape counters|buckets|wide]
 *
 * Shapes: counters, ten thousand series of each metric, at most 1,667 pods; wide, the same with a pod for
 * every six series however many there are; buckets, classic histograms of ten buckets.
 *
 * Each round sends one sample of every series. Prints one JSON object: samples acknowledged and
 * refused, seconds, and the slowest request. Exit status 1 when anything was refused.
 */
#include <inttypes.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "tests/bench/poster.h"

enum shape { SHAPE_COUNTERS, SHAPE_BUCKETS, SHAPE_WIDE };

struct opts {
    const char *addrs[16];
    size_t n_addrs;
    const char *path, *tenant, *metric;
    enum shape shape;
    uint64_t series, batch, connections, rounds, rate;
    int64_t start_ms, step_ms;
};

/* A request body and where in it the samples are. */
struct body {
    struct buf proto;
    VEC(uint32_t) values; /* offset of each 8-byte value; its 6-byte time follows 1 byte behind */
};

struct sender {
    const struct opts *o;
    size_t index;
    struct body *bodies; /* this sender's share */
    size_t n_bodies;
    struct rng rng;
    double *levels; /* per series: the counter's value */
    uint64_t first; /* series */
    double grown;   /* the last bucket's step */
    uint64_t acknowledged, refused;
    int64_t slowest_ns;
    char *snappy;
    char first_error[256];
};

static void put_label(struct buf *b, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);

    buf_byte(b, 0x0a);
    buf_uvarint(b, n + v + 4);
    buf_byte(b, 0x0a);
    buf_uvarint(b, n);
    buf_append(b, name, n);
    buf_byte(b, 0x12);
    buf_uvarint(b, v);
    buf_append(b, value, v);
}

static const char *const bounds[] = {"0.005", "0.01", "0.025", "0.05", "0.1",
                                     "0.25",  "0.5",  "1",     "2.5",  "+Inf"};

/* Ten labels, as a Kubernetes scrape has them. */
static void put_labels(struct buf *b, const struct opts *o, uint64_t i)
{
    static const char *const methods[] = {"GET", "POST", "PUT"};
    bool is_buckets = o->shape == SHAPE_BUCKETS;
    uint64_t group = is_buckets ? i / ORR_COUNT(bounds) : i;
    uint64_t k = o->shape == SHAPE_COUNTERS ? group % 10000 : group, pod = k / 6;
    char text[96];

    if (is_buckets)
        snprintf(text, sizeof(text), "%s_bucket", o->metric);
    else
        snprintf(text, sizeof(text), "%s_%03" PRIu64 "_total", o->metric, i / 10000);
    put_label(b, "__name__", text);
    put_label(b, "cluster", "prod-eu-west-1");
    snprintf(text, sizeof(text), "container-%" PRIu64, pod % 20);
    put_label(b, "container", text);
    put_label(b, "endpoint", "http-metrics");
    snprintf(text, sizeof(text), "10.%" PRIu64 ".%" PRIu64 ".%" PRIu64 ":8080", pod / 62500,
             pod / 250 % 250, pod % 250);
    put_label(b, "instance", text);
    snprintf(text, sizeof(text), "service-%" PRIu64, pod % 50);
    put_label(b, "job", text);
    if (is_buckets)
        put_label(b, "le", bounds[i % ORR_COUNT(bounds)]);
    put_label(b, "method", methods[k % 3]);
    snprintf(text, sizeof(text), "namespace-%" PRIu64, pod % 30);
    put_label(b, "namespace", text);
    snprintf(text, sizeof(text), "service-%" PRIu64 "-7d9f8b6c5d-%05" PRIx64, pod % 50, pod);
    put_label(b, "pod", text);
    put_label(b, "status", k / 3 % 2 ? "200" : "500");
}

static void make_body(struct body *body, const struct opts *o, uint64_t first, uint64_t n)
{
    struct buf series = {0};

    for (uint64_t i = first; i < first + n; i++) {
        buf_reset(&series);
        put_labels(&series, o, i);
        buf_byte(&series, 0x12); /* sample: value fixed64, time as a varint of 6 bytes */
        buf_uvarint(&series, 16);
        buf_byte(&series, 0x09);
        buf_u64le(&series, 0);
        buf_byte(&series, 0x10);
        buf_fill(&series, 0, 6);
        buf_byte(&body->proto, 0x0a);
        buf_uvarint(&body->proto, series.len);
        vec_push(&body->values, (uint32_t)(body->proto.len + series.len - 15));
        buf_slice_append(&body->proto, buf_slice(&series));
    }
    buf_done(&series);
}

static void patch(uint8_t *at, int64_t t_ms, double v)
{
    uint64_t t = (uint64_t)t_ms;

    memcpy(at, &v, 8);
    for (int i = 0; i < 6; i++) /* Unix ms are between 2^35 and 2^42: exactly six varint bytes */
        at[9 + i] = (uint8_t)((t >> (7 * i) & 0x7f) | (i < 5 ? 0x80 : 0));
}

static int post(struct sender *s, int fd, const char *addr, const void *body, size_t n)
{
    char head[512], reply[POSTER_REPLY_BYTES];
    int len = snprintf(head, sizeof(head),
                       "POST %s HTTP/1.1\r\nHost: %s\r\nX-Scope-OrgID: %s\r\n"
                       "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n"
                       "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: %zu\r\n\r\n",
                       s->o->path, addr, s->o->tenant, n);
    int status = poster_send(fd, slice_of(head, (size_t)len), slice_of(body, n), reply);

    if (status && status / 100 != 2 && !s->first_error[0])
        snprintf(s->first_error, sizeof(s->first_error), "%d: %.200s", status, poster_body(reply));
    return status;
}

static void pace(const struct opts *o, int64_t began_ns, uint64_t sent)
{
    int64_t due, now;

    if (!o->rate)
        return;
    due = began_ns + (int64_t)((double)sent / ((double)o->rate / (double)o->connections) * 1e9);
    now = clock_mono_ns(&clock_system);
    if (due > now)
        usleep((useconds_t)((due - now) / 1000));
}

/* By how much a counter grows: a bucket by no less than the one before it. */
static double step_of(struct sender *s, const double *level)
{
    uint64_t i = s->first + (uint64_t)(level - s->levels);

    if (s->o->shape != SHAPE_BUCKETS)
        return (double)rng_below(&s->rng, 100);
    if (i % ORR_COUNT(bounds) == 0)
        s->grown = 0;
    s->grown += (double)rng_below(&s->rng, 10);
    return s->grown;
}

static void *send_rounds(void *arg)
{
    struct sender *s = arg;
    const char *addr = s->o->addrs[s->index % s->o->n_addrs];
    int fd = poster_connect(addr);
    int64_t began = clock_mono_ns(&clock_system);
    uint64_t sent = 0;

    for (uint64_t round = 0; round < s->o->rounds; round++) {
        int64_t t_ms = s->o->start_ms + (int64_t)round * s->o->step_ms;
        double *level = s->levels;

        for (size_t b = 0; b < s->n_bodies; b++) {
            struct body *body = &s->bodies[b];
            size_t n = snappy_max_compressed_length(body->proto.len);
            int64_t start;
            int status;

            VEC_FOREACH (at, &body->values) {
                *level += step_of(s, level);
                patch(body->proto.ptr + *at, t_ms, *level++);
            }
            snappy_compress((const char *)body->proto.ptr, body->proto.len, s->snappy, &n);
            start = clock_mono_ns(&clock_system);
            status = fd >= 0 ? post(s, fd, addr, s->snappy, n) : 0;
            s->slowest_ns = ORR_MAX(s->slowest_ns, clock_mono_ns(&clock_system) - start);
            if (status / 100 == 2) {
                s->acknowledged += body->values.len;
            } else {
                s->refused += body->values.len;
                if (status == 0) {
                    close(fd);
                    fd = poster_connect(addr);
                }
            }
            sent += body->values.len;
            pace(s->o, began, sent);
        }
    }
    close(fd);
    return NULL;
}

static void make_sender(struct sender *s, const struct opts *o, size_t index)
{
    uint64_t unit = o->shape == SHAPE_BUCKETS ? ORR_COUNT(bounds) : 1; /* not to be torn */
    uint64_t first = o->series / unit * index / o->connections * unit;
    uint64_t end = o->series / unit * (index + 1) / o->connections * unit;
    size_t largest = 0;

    s->o = o;
    s->index = index;
    s->n_bodies = (end - first + o->batch - 1) / o->batch;
    s->bodies = mem_new_array(struct body, s->n_bodies);
    for (size_t b = 0; b < s->n_bodies; b++) {
        uint64_t from = first + b * o->batch;

        make_body(&s->bodies[b], o, from, ORR_MIN(o->batch, end - from));
        largest = ORR_MAX(largest, s->bodies[b].proto.len);
    }
    s->snappy = mem_alloc(snappy_max_compressed_length(largest));
    rng_seed(&s->rng, index + 1);
    s->first = first;
    s->levels = mem_new_array(double, end - first);
    for (uint64_t i = 0; i < end - first && o->shape != SHAPE_BUCKETS; i++)
        s->levels[i] = (double)((first + i) % 1000 * 1000);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (*end || end == text) {
        fprintf(stderr, "rwload: not a number: %s\n", text);
        exit(2);
    }
    return v;
}

static enum shape shape_of(const char *text)
{
    static const char *const names[] = {"counters", "buckets", "wide"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (!strcmp(text, names[i]))
            return (enum shape)i;
    fprintf(stderr, "rwload: not a shape: %s\n", text);
    exit(2);
}

static void parse(int argc, char **argv, struct opts *o)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];

        if (!strcmp(k, "--addr") && o->n_addrs < ORR_COUNT(o->addrs))
            o->addrs[o->n_addrs++] = v;
        else if (!strcmp(k, "--path"))
            o->path = v;
        else if (!strcmp(k, "--tenant"))
            o->tenant = v;
        else if (!strcmp(k, "--metric"))
            o->metric = v;
        else if (!strcmp(k, "--shape"))
            o->shape = shape_of(v);
        else if (!strcmp(k, "--series"))
            o->series = number(v);
        else if (!strcmp(k, "--batch"))
            o->batch = number(v);
        else if (!strcmp(k, "--connections"))
            o->connections = number(v);
        else if (!strcmp(k, "--rounds"))
            o->rounds = number(v);
        else if (!strcmp(k, "--rate"))
            o->rate = number(v);
        else if (!strcmp(k, "--start-ms"))
            o->start_ms = (int64_t)number(v);
        else if (!strcmp(k, "--step-ms"))
            o->step_ms = (int64_t)number(v);
        else {
            fprintf(stderr, "rwload: unknown option %s\n", k);
            exit(2);
        }
    }
    if (o->n_addrs == 0 || argc % 2 == 0 || !o->batch || !o->connections || !o->series) {
        fprintf(stderr,
                "usage: rwload --addr HOST:PORT [--series N] [--rounds N] …; see rwload.c\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct opts o = {.path = "/api/v1/push",
                     .tenant = "bench",
                     .metric = "http_server_requests",
                     .series = 1000000,
                     .batch = 2000,
                     .connections = 4,
                     .rounds = 10,
                     .step_ms = 15000};
    uint64_t acknowledged = 0, refused = 0;
    struct sender *senders;
    int64_t began, slowest = 0;
    pthread_t *threads;
    const char *error = "";

    parse(argc, argv, &o);
    if (!o.start_ms)
        o.start_ms = clock_wall_ms(&clock_system) - (int64_t)o.rounds * o.step_ms;
    senders = mem_new_array(struct sender, o.connections);
    threads = mem_new_array(pthread_t, o.connections);
    for (size_t i = 0; i < o.connections; i++)
        make_sender(&senders[i], &o, i);
    began = clock_mono_ns(&clock_system);
    for (size_t i = 0; i < o.connections; i++)
        if (pthread_create(&threads[i], NULL, send_rounds, &senders[i]))
            abort();
    for (size_t i = 0; i < o.connections; i++) {
        (void)pthread_join(threads[i], NULL);
        acknowledged += senders[i].acknowledged;
        refused += senders[i].refused;
        slowest = ORR_MAX(slowest, senders[i].slowest_ns);
        if (senders[i].first_error[0])
            error = senders[i].first_error;
    }
    if (error[0])
        fprintf(stderr, "rwload: first refusal: %s\n", error);
    printf("{\"acknowledged\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"seconds\": %.3f, "
           "\"slowest_ms\": %.1f}\n",
           acknowledged, refused, (double)(clock_mono_ns(&clock_system) - began) / 1e9,
           (double)slowest / 1e6);
    return refused ? 1 : 0;
}
