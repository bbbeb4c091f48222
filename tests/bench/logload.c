/*
 * Load of log lines for the benchmarks: loggen's lines of one kind by Loki's push (protobuf, snappy), as a few
 * agents send them. Lines are made in the order of their times; a batch goes to whichever connection is free.
 *
 *   logload --addr HOST:PORT --kind json [--bytes 67108864] [--streams 8] [--connections 2] [--batch 1000000]
 *           [--seed 1] [--start-ns T] [--path /loki/api/v1/push] [--tenant bench] [--file FILE]
 *
 * --bytes are those of all lines, their line feeds included; --batch likewise, of a request. --start-ns: Unix time of
 * the first line; without it all are of the past, the last about now. --file gets the lines as they are sent, for
 * zstd and grep; lines of Java have line feeds inside. Without --addr it is all that is done.
 *
 * A stream is {app=KIND, service="svc-N", host="node-N"}. A request that is refused for now (429, 503) is sent again
 * until a minute has gone by.
 *
 * Prints one JSON object: lines and bytes that were acknowledged (without line feeds at the ends of lines), bytes
 * refused, the times of the first and the last line, requests that were sent again, seconds. Exit status 1 when anything was
 * refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "tests/bench/loggen.h"
#include "tests/bench/poster.h"

#define MAX_STREAMS 4096 /* loggen knows no more pods */
#define MEAN_GAP_NS 4000000ll
#define PAUSE_US 100000
#define MAX_TRIES 600

struct opts {
    const char *addr, *kind_name, *path, *tenant, *file;
    enum loggen_kind kind;
    uint64_t bytes, streams, connections, batch, seed;
    int64_t start_ns;
};

/* What all senders take from: guarded by mutex. */
struct source {
    pthread_mutex_t mutex;
    struct loggen gen;
    FILE *file; /* NULL: none is wanted */
    uint64_t left;
    int64_t first_ns, last_ns;
};

struct made_line {
    int64_t ts_ns;
    uint32_t stream;
    uint32_t len; /* without its line feed */
};

struct batch {
    struct buf raw; /* lines, each with a line feed */
    VEC(struct made_line) lines;
    uint64_t bytes; /* of lines without line feeds */
};

struct sender {
    const struct opts *o;
    struct source *src;
    struct batch batch;
    struct buf *streams; /* one for each: its part of the request */
    struct buf proto;
    char *snappy;
    size_t snappy_cap;
    uint64_t lines, bytes, refused_bytes, again;
    char first_error[256];
};

static void die(const char *what, const char *which)
{
    fprintf(stderr, "logload: %s: %s\n", what, which);
    exit(2);
}

/* ---- making ---- */

/* False: all have been made. */
static bool next_batch(struct source *src, const struct opts *o, struct batch *ret)
{
    struct loggen *g = &src->gen;

    buf_reset(&ret->raw);
    ret->lines.len = 0;
    ret->bytes = 0;
    (void)pthread_mutex_lock(&src->mutex);
    while (src->left && ret->raw.len < o->batch) {
        size_t start = ret->raw.len, len;
        struct made_line made;

        loggen_line(g, &ret->raw);
        len = ret->raw.len - start;
        buf_byte(&ret->raw, '\n');
        made = (struct made_line){g->ts_ns, g->stream, (uint32_t)len};
        vec_push(&ret->lines, made);
        ret->bytes += len;
        src->left -= ORR_MIN(src->left, len + 1);
        src->first_ns = src->first_ns ? src->first_ns : g->ts_ns;
        src->last_ns = g->ts_ns;
    }
    if (src->file && fwrite(ret->raw.ptr, 1, ret->raw.len, src->file) != ret->raw.len)
        die("write", strerror(errno));
    (void)pthread_mutex_unlock(&src->mutex);
    return ret->lines.len > 0;
}

static void put_stream(const struct opts *o, size_t i, struct buf *out)
{
    char labels[256];
    int n = snprintf(labels, sizeof(labels), "{app=\"%s\", host=\"node-%zu\", service=\"svc-%zu\"}",
                     o->kind_name, i, i % 8);

    buf_byte(out, 0x0a);
    buf_lstr(out, slice_of(labels, (size_t)n));
}

static size_t uvarint_len(uint64_t v)
{
    size_t n = 1;

    for (; v >= 128; v >>= 7)
        n++;
    return n;
}

static void put_entry(const struct made_line *l, const uint8_t *text, struct buf *out)
{
    uint64_t s = (uint64_t)(l->ts_ns / 1000000000), ns = (uint64_t)(l->ts_ns % 1000000000);
    size_t time_len = 2 + uvarint_len(s) + uvarint_len(ns);

    buf_byte(out, 0x12);
    buf_uvarint(out, 2 + time_len + 1 + uvarint_len(l->len) + l->len);
    buf_byte(out, 0x0a);
    buf_uvarint(out, time_len);
    buf_byte(out, 0x08);
    buf_uvarint(out, s);
    buf_byte(out, 0x10);
    buf_uvarint(out, ns);
    buf_byte(out, 0x12);
    buf_lstr(out, slice_of(text, l->len));
}

static size_t encode(struct sender *s)
{
    const uint8_t *at = s->batch.raw.ptr;
    size_t n;

    for (size_t i = 0; i < s->o->streams; i++)
        buf_reset(&s->streams[i]);
    VEC_FOREACH (l, &s->batch.lines) {
        struct buf *b = &s->streams[l->stream];

        if (!b->len)
            put_stream(s->o, l->stream, b);
        put_entry(l, at, b);
        at += l->len + 1;
    }
    buf_reset(&s->proto);
    for (size_t i = 0; i < s->o->streams; i++) {
        if (!s->streams[i].len)
            continue;
        buf_byte(&s->proto, 0x0a);
        buf_lstr(&s->proto, buf_slice(&s->streams[i]));
    }
    n = snappy_max_compressed_length(s->proto.len);
    if (n > s->snappy_cap) {
        s->snappy_cap = n;
        s->snappy = mem_realloc(s->snappy, n);
    }
    snappy_compress((const char *)s->proto.ptr, s->proto.len, s->snappy, &n);
    return n;
}

/* ---- sending ---- */

/* The status that was its last. */
static int post(struct sender *s, int *fd, size_t n)
{
    char head[512], reply[POSTER_REPLY_BYTES];
    int status = 0,
        len = snprintf(head, sizeof(head),
                       "POST %s HTTP/1.1\r\nHost: %s\r\nX-Scope-OrgID: %s\r\n"
                       "Content-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                       s->o->path, s->o->addr, s->o->tenant, n);

    if (len >= (int)sizeof(head))
        die("too long", s->o->path);
    for (int i = 0; i < MAX_TRIES; i++) {
        status = poster_send(*fd, slice_of(head, (size_t)len), slice_of(s->snappy, n), reply);
        /* it may have been taken: lines are kept once, so it can be sent again */
        if (status == 0) {
            if (*fd >= 0)
                close(*fd);
            *fd = poster_connect(s->o->addr);
        }
        if (status && status != 429 && status != 503)
            break;
        s->again++;
        usleep(PAUSE_US);
    }
    if (status / 100 != 2 && !s->first_error[0])
        snprintf(s->first_error, sizeof(s->first_error), "%d: %.200s", status, poster_body(reply));
    return status;
}

static void *send_batches(void *arg)
{
    struct sender *s = arg;
    int fd = s->o->addr ? poster_connect(s->o->addr) : -1;

    while (next_batch(s->src, s->o, &s->batch)) {
        if (!s->o->addr)
            continue;
        if (post(s, &fd, encode(s)) / 100 == 2) {
            s->lines += s->batch.lines.len;
            s->bytes += s->batch.bytes;
        } else {
            s->refused_bytes += s->batch.bytes;
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void sender_done(struct sender *s, const struct opts *o)
{
    for (size_t i = 0; i < o->streams; i++)
        buf_done(&s->streams[i]);
    mem_free(s->streams);
    buf_done(&s->batch.raw);
    vec_done(&s->batch.lines);
    buf_done(&s->proto);
    mem_free(s->snappy);
}

/* ---- options ---- */

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (*end || end == text)
        die("not a number", text);
    return v;
}

static enum loggen_kind kind_of(const char *text)
{
    for (int i = 0; i < LOGGEN_ALL; i++)
        if (!strcmp(text, loggen_name((enum loggen_kind)i)))
            return (enum loggen_kind)i;
    die("not a kind of lines", text);
    return LOGGEN_ALL;
}

static bool set_number(struct opts *o, const char *k, const char *v)
{
    const struct {
        const char *name;
        uint64_t *to;
    } all[] = {{"--bytes", &o->bytes},
               {"--streams", &o->streams},
               {"--connections", &o->connections},
               {"--batch", &o->batch},
               {"--seed", &o->seed}};

    for (size_t i = 0; i < ORR_COUNT(all); i++)
        if (!strcmp(k, all[i].name)) {
            *all[i].to = number(v);
            return true;
        }
    return false;
}

static void parse(int argc, char **argv, struct opts *o)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];

        if (set_number(o, k, v))
            continue;
        if (!strcmp(k, "--addr"))
            o->addr = v;
        else if (!strcmp(k, "--kind"))
            o->kind_name = v;
        else if (!strcmp(k, "--path"))
            o->path = v;
        else if (!strcmp(k, "--tenant"))
            o->tenant = v;
        else if (!strcmp(k, "--file"))
            o->file = v;
        else if (!strcmp(k, "--start-ns"))
            o->start_ns = (int64_t)number(v);
        else
            die("unknown option", k);
    }
    if (argc % 2 == 0 || !o->kind_name || !(o->addr || o->file) || !o->batch || !o->connections ||
        !o->streams || o->streams > MAX_STREAMS)
        die("usage", "logload --addr HOST:PORT --kind json [--bytes N] …; see logload.c");
    o->kind = kind_of(o->kind_name);
}

static void source_init(struct source *src, const struct opts *o)
{
    /* An average line has at least 100 bytes, so the last one is not of the future. */
    int64_t span_ns = (int64_t)(o->bytes / 100 + 1) * MEAN_GAP_NS;

    *src = (struct source){.mutex = PTHREAD_MUTEX_INITIALIZER, .left = o->bytes};
    loggen_init(&src->gen, o->kind, o->seed);
    src->gen.ts_ns = o->start_ns ? o->start_ns : clock_wall_ms(&clock_system) * 1000000 - span_ns;
    src->gen.n_streams = (uint32_t)o->streams;
    if (o->file && !(src->file = fopen(o->file, "we")))
        die(o->file, strerror(errno));
}

int main(int argc, char **argv)
{
    struct opts o = {.path = "/loki/api/v1/push",
                     .tenant = "bench",
                     .bytes = 64u << 20,
                     .streams = 8,
                     .connections = 2,
                     .batch = 1000000,
                     .seed = 1};
    struct sender all = {0}, *senders;
    int64_t began = clock_mono_ns(&clock_system);
    struct source *src = mem_new(struct source);
    pthread_t *threads;

    parse(argc, argv, &o);
    source_init(src, &o);
    senders = mem_new_array(struct sender, o.connections);
    threads = mem_new_array(pthread_t, o.connections);
    for (size_t i = 0; i < o.connections; i++) {
        senders[i] = (struct sender){.o = &o, .src = src};
        senders[i].streams = mem_new_array(struct buf, o.streams);
        if (pthread_create(&threads[i], NULL, send_batches, &senders[i]))
            abort();
    }
    for (size_t i = 0; i < o.connections; i++) {
        (void)pthread_join(threads[i], NULL);
        all.lines += senders[i].lines;
        all.bytes += senders[i].bytes;
        all.refused_bytes += senders[i].refused_bytes;
        all.again += senders[i].again;
        if (senders[i].first_error[0])
            fprintf(stderr, "logload: first refusal: %s\n", senders[i].first_error);
        sender_done(&senders[i], &o);
    }
    if (src->file && fclose(src->file))
        die(o.file, strerror(errno));
    printf("{\"lines\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"refused_bytes\": %" PRIu64
           ", \"first_ns\": %" PRId64 ", \"last_ns\": %" PRId64 ", \"sent_again\": %" PRIu64
           ", \"seconds\": %.3f}\n",
           all.lines, all.bytes, all.refused_bytes, src->first_ns, src->last_ns, all.again,
           (double)(clock_mono_ns(&clock_system) - began) / 1e9);
    mem_free(src);
    mem_free(senders);
    mem_free(threads);
    return all.refused_bytes ? 1 : 0;
}
