/* What the trace head's tests share: a head on a log in a temporary directory, pushes that wait, and what is read back as
 * text. */
#pragma once
#include <pthread.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/tracehead.h"
#include "tests/unit/test.h"

struct fixture {
    struct wal *wal;
    struct tracehead *head;
    struct clock_fake clock;
    struct tracehead_limits limits;
    struct tracehead_opts opts; /* what is not 0 is used */
    struct batch_reply reply;   /* of the last push */
};

static inline void fx_open_only(struct fixture *f)
{
    struct tracehead_opts opts = f->opts;

    opts.dir = tmp_path("traces");
    opts.clock = &f->clock.clock;
    opts.write_buffer_bytes = 1 << 20;
    CHECK_OK(
        wal_open(&(struct wal_opts){.dir = tmp_path("traces"), .segment_bytes = 1 << 20}, &f->wal));
    opts.wal = f->wal;
    CHECK_OK(tracehead_open(&opts, &f->head));
}

static inline void fx_open(struct fixture *f)
{
    clock_fake_init(&f->clock, 1700000000ll * NS_PER_S);
    fx_open_only(f);
    CHECK_OK(tracehead_wait_ready(f->head));
}

/* What is live is in the log alone: as after a kill. */
static inline void fx_close(struct fixture *f)
{
    tracehead_close(f->head);
    CHECK_OK(wal_close(f->wal));
    batch_reply_done(&f->reply);
}

static inline void fx_reopen(struct fixture *f)
{
    fx_close(f);
    fx_open_only(f);
    CHECK_OK(tracehead_wait_ready(f->head));
}

/* ---- pushing ---- */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
    struct err *err;
    struct batch_reply *reply;
};

static inline void fx_pushed(void *arg, struct err *e, struct batch_reply *reply)
{
    struct waiting *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    w->err = e;
    *w->reply = *reply;
    memset(reply, 0, sizeof(*reply));
    w->is_done = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
}

static inline struct err *fx_push_bytes(struct fixture *f, const char *tenant, struct slice bytes)
{
    struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct err *e;

    batch_reply_done(&f->reply);
    w.reply = &f->reply;
    if ((e = tracehead_push(f->head, slice_cstr(tenant), bytes, &f->limits, fx_pushed, &w)))
        return e;
    (void)pthread_mutex_lock(&w.lock);
    while (!w.is_done)
        (void)pthread_cond_wait(&w.cond, &w.lock);
    (void)pthread_mutex_unlock(&w.lock);
    return w.err;
}

/* A piece with one span, of a trace whose id begins with id. */
static inline void fx_piece_with(struct buf *out, uint32_t id, uint64_t span, uint64_t start_ns,
                                 uint8_t status)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct tracepiece_resource res = {0};
    struct tracepiece_scope scope = {0};
    struct tracepiece_span s = {.span_id = span,
                                .start_ns = start_ns,
                                .end_ns = start_ns + 5,
                                .name = SLICE("GET /"),
                                .status = status};
    struct tracepiece p = {.trace_id = {(uint8_t)(id >> 8), (uint8_t)id},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &res,
                           .scopes = &scope,
                           .spans = &s};
    struct buf piece = {0};

    tracepiece_encode(enc, &p, &piece);
    buf_lstr(out, buf_slice(&piece));
    buf_done(&piece);
    tracepiece_encoder_free(enc);
}

static inline void fx_piece(struct buf *out, uint32_t id, uint64_t span, uint64_t start_ns)
{
    fx_piece_with(out, id, span, start_ns, 0);
}

/* "Trace, span" pairs; the spans start at start_ns, all in one batch. */
static inline struct err *fx_push(struct fixture *f, const char *tenant, uint64_t start_ns,
                                  const uint32_t (*spans)[2], size_t n)
{
    struct buf b = {0};
    struct err *e;

    buf_byte(&b, TRACE_BATCH_VERSION);
    for (size_t i = 0; i < n; i++)
        fx_piece(&b, spans[i][0], spans[i][1], start_ns);
    e = fx_push_bytes(f, tenant, buf_slice(&b));
    buf_done(&b);
    return e;
}

static inline void fx_push_one(struct fixture *f, uint32_t trace, uint32_t span)
{
    CHECK_OK(fx_push(f, "t", 100, (const uint32_t[][2]){{trace, span}}, 1));
}

/* ---- reading ---- */

static inline struct tracehead_query fx_all(const char *tenant)
{
    struct tracehead_query q = {
        .tenant = slice_cstr(tenant), .start_ns = INT64_MIN, .end_ns = INT64_MAX};

    memset(q.last, 0xff, sizeof(q.last));
    return q;
}

static inline int fx_cmp_spans(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* "trace:span,span …": spans sorted, those there several times as often. */
static inline struct err *fx_read_query(struct fixture *f, const struct tracehead_query *q,
                                        struct buf *out)
{
    struct arena *a = arena_new(0);
    struct tracehead_trace t;
    struct tracehead_set *s;
    struct err *e = tracehead_select(f->head, q, &s);

    if (e) {
        arena_free(a);
        return e;
    }
    while (tracehead_set_next(s, &t)) {
        uint64_t spans[64];
        size_t n = 0;

        buf_printf(out, "%s%u:", out->len ? " " : "", (unsigned)(t.id[0] << 8 | t.id[1]));
        for (uint32_t i = 0; i < t.n; i++) {
            struct tracepiece p;

            CHECK_OK(tracepiece_decode(a, t.pieces[i], &p));
            for (uint32_t k = 0; k < p.n_spans && n < ORR_COUNT(spans); k++)
                spans[n++] = p.spans[k].span_id;
        }
        qsort(spans, n, sizeof(*spans), fx_cmp_spans);
        for (size_t i = 0; i < n; i++)
            buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)spans[i]);
    }
    arena_free(a);
    return tracehead_set_close(s);
}

static inline void fx_check_query(struct fixture *f, const struct tracehead_query *q,
                                  const char *want)
{
    struct buf out = {0};

    CHECK_OK(fx_read_query(f, q, &out));
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static inline void fx_check(struct fixture *f, const char *want)
{
    struct tracehead_query q = fx_all("t");

    fx_check_query(f, &q, want);
}

static inline struct tracehead_stats fx_stats(struct fixture *f)
{
    struct tracehead_stats s;

    tracehead_stats_get(f->head, &s);
    return s;
}
