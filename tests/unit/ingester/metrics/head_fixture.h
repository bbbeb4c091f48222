/* What the head's tests share: a head on a log in a temporary directory, pushes that wait, and what is
 * read back as text. */
#pragma once
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/vec.h"
#include "common/block/chunk.h"
#include "common/model/labels.h"
#include "ingester/metrics/head.h"
#include "tests/unit/test.h"

/* ---- a head on a log, and pushes that wait ---- */

struct fixture {
    struct wal *wal;
    struct head *head;
    struct clock_fake clock;
    struct batch_writer w;
    struct batch_reply reply; /* of the last push */
    struct buf canonical;
    unsigned shards;
    struct head_limits limits;
    int64_t replay_queue_bytes, memory_chunk_bytes, regex_cache_bytes;
};

static inline void fx_open_only(struct fixture *f)
{
    struct head_opts opts = {.dir = tmp_path("data"),
                             .shards = f->shards ? f->shards : 2,
                             .clock = &f->clock.clock,
                             .memory_chunk_bytes = f->memory_chunk_bytes,
                             .regex_cache_bytes = f->regex_cache_bytes,
                             .replay_queue_bytes = f->replay_queue_bytes};

    CHECK_OK(
        wal_open(&(struct wal_opts){.dir = tmp_path("data"), .segment_bytes = 4 << 20}, &f->wal));
    opts.wal = f->wal;
    CHECK_OK(head_open(&opts, &f->head));
}

static inline void fx_open(struct fixture *f)
{
    clock_fake_init(&f->clock, 1700000000ll * NS_PER_S);
    fx_open_only(f);
    CHECK_OK(head_wait_ready(f->head));
}

static inline void fx_crash(struct fixture *f)
{
    head_abandon(f->head);
    CHECK_OK(wal_close(f->wal));
}

static inline void fx_close(struct fixture *f)
{
    CHECK_OK(head_close(f->head));
    CHECK_OK(wal_close(f->wal));
    batch_reply_done(&f->reply);
    batch_writer_done(&f->w);
    buf_done(&f->canonical);
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
    struct err *err;
    struct batch_reply *into;
};

static inline void on_done(void *arg, struct err *e, struct batch_reply *reply)
{
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mutex);
    w->err = e;
    *w->into = *reply;
    *reply = (struct batch_reply){0};
    w->is_done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static inline struct err *fx_push_bytes(struct fixture *f, const char *tenant, struct slice bytes)
{
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, NULL, &f->reply};
    struct err *e;

    batch_reply_done(&f->reply);
    e = head_push(f->head, slice_cstr(tenant), bytes, &f->limits, on_done, &w);
    if (e)
        return e;
    pthread_mutex_lock(&w.mutex);
    while (!w.is_done)
        pthread_cond_wait(&w.cond, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    return w.err;
}

/* Pushes what the writer holds and empties it. */
static inline struct err *fx_push(struct fixture *f, const char *tenant)
{
    struct buf b = {0};
    struct err *e;

    batch_finish(&f->w, &b);
    e = fx_push_bytes(f, tenant, buf_slice(&b));
    buf_done(&b);
    return e;
}

/* "a=1,b=2" → labels in test memory (leaks nothing: static room). */
static inline struct labels parse_labels(const char *text, struct label *ls)
{
    struct slice rest = slice_cstr(text), part, name;
    size_t n = 0;

    while (slice_split(&rest, ',', &part)) {
        CHECK(slice_split(&part, '=', &name));
        ls[n++] = (struct label){name, part};
    }
    CHECK(labels_sort(ls, n, &name));
    return (struct labels){ls, n};
}

static inline struct hash128 fp_of(const char *text)
{
    struct label ls[32];

    return labels_fingerprint(parse_labels(text, ls));
}

static inline void add(struct fixture *f, const char *text, int64_t t_ms, double v,
                       bool with_labels)
{
    struct label ls[32];
    struct labels labels = parse_labels(text, ls);

    if (!with_labels) {
        batch_sample(&f->w, labels_fingerprint(labels), t_ms, v);
        return;
    }
    buf_reset(&f->canonical);
    labels_canonical(&f->canonical, labels);
    batch_series_begin(&f->w, labels_fingerprint(labels));
    batch_series_labels(&f->w, buf_slice(&f->canonical));
    batch_series_sample(&f->w, t_ms, v);
    batch_series_end(&f->w);
}

static inline void push_one(struct fixture *f, const char *text, int64_t t_ms, double v)
{
    add(f, text, t_ms, v, true);
    CHECK_OK(fx_push(f, "t"));
    CHECK_INT(batch_rejected(&f->reply), 0);
    CHECK_INT(f->reply.unknown.len, 0);
}

/* ---- reading back as text: {labels} t:v t:v ...\n, merged by time ---- */

static inline int cmp_sample(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static inline void print_series(struct buf *out, const struct head_series *s)
{
    struct arena *a = arena_new(0);
    VEC(struct sample) all = {0};

    labels_text(out, s->labels);
    for (size_t i = 0; i < s->n_chunks; i++) {
        struct chunk_columns c;

        CHECK_OK(chunk_decode(a, s->chunks[i].encoding, s->chunks[i].data, &c));
        CHECK_INT(c.n, s->chunks[i].samples);
        CHECK_INT(c.t[0], s->chunks[i].min_ms);
        CHECK_INT(c.t[c.n - 1], s->chunks[i].max_ms);
        for (size_t k = 0; k < c.n; k++)
            vec_push(&all, ((struct sample){c.t[k], c.v ? c.v[k] : c.h[k].count}));
    }
    if (all.len)
        qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_sample);
    for (size_t i = 0; i < all.len; i++) {
        if (i && all.ptr[i].t_ms == all.ptr[i - 1].t_ms) {
            CHECK(all.ptr[i].v == all.ptr[i - 1].v);
            continue;
        }
        buf_printf(out, " %lld:%g", (long long)all.ptr[i].t_ms, all.ptr[i].v);
    }
    buf_byte(out, '\n');
    vec_done(&all);
    arena_free(a);
}

struct match_text {
    enum matcher_op op;
    const char *name, *value;
};

static inline struct head_query query_of(struct arena *a, const struct match_text *ms, size_t n)
{
    struct matcher *list = arena_array(a, struct matcher, n);

    for (size_t i = 0; i < n; i++)
        CHECK_OK(
            matcher_init(a, ms[i].op, slice_cstr(ms[i].name), slice_cstr(ms[i].value), &list[i]));
    return (struct head_query){
        .tenant = SLICE("t"), .matchers = {list, n}, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
}

static inline void select_text(struct fixture *f, const struct head_query *q, struct buf *out)
{
    struct head_set *set;
    struct head_series s;

    CHECK_OK(head_select(f->head, q, &set));
    while (head_set_next(set, &s))
        print_series(out, &s);
    CHECK_OK(head_set_close(set));
}

static inline void check_all(struct fixture *f, const char *want)
{
    struct buf out = {0};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};

    select_text(f, &q, &out);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static inline void check_select(struct fixture *f, const struct match_text *ms, size_t n,
                                const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct head_query q = query_of(a, ms, n);

    q.without_chunks = true;
    select_text(f, &q, &out);
    CHECK_STR(buf_cstr(&out), want);
    matchers_done(q.matchers);
    buf_done(&out);
    arena_free(a);
}

#define T0 1699999200000ll /* a window's start */

static inline void fill(struct fixture *f, int series, int from, int to, int64_t step_ms)
{
    char text[64];

    for (int k = from; k < to; k++) {
        for (int s = 0; s < series; s++) {
            (void)snprintf(text, sizeof(text), "__name__=m,i=%03d", s);
            add(f, text, T0 + k * step_ms, k * 1000 + s, k == from);
        }
        CHECK_OK(fx_push(f, "t"));
        CHECK_INT(f->reply.accepted, series);
    }
}

static inline void check_filled(struct fixture *f, int series, int to, int64_t step_ms)
{
    struct buf want = {0};

    for (int s = 0; s < series; s++) {
        buf_printf(&want, "m{i=\"%03d\"}", s);
        for (int k = 0; k < to; k++)
            buf_printf(&want, " %lld:%g", (long long)(T0 + k * step_ms), (double)(k * 1000 + s));
        buf_byte(&want, '\n');
    }
    check_all(f, buf_cstr(&want));
    buf_done(&want);
}
