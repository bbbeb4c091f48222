/* What the log head's tests share: a head on a log in a temporary directory, pushes that wait, and
 * what is read back as text. */
#pragma once
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "ingester/door/log_batch.h"
#include "ingester/logs/loghead.h"
#include "tests/unit/test.h"

struct fixture {
    struct wal *wal;
    struct loghead *head;
    struct clock_fake clock;
    struct loghead_limits limits;
    struct loghead_opts opts; /* what is not 0 is used */
    struct batch_reply reply; /* of the last push */
    uint32_t pushes;
};

static inline void fx_open_only(struct fixture *f)
{
    struct loghead_opts opts = f->opts;

    opts.dir = tmp_path("logs");
    opts.clock = &f->clock.clock;
    if (!opts.shards)
        opts.shards = 2;
    CHECK_OK(
        wal_open(&(struct wal_opts){.dir = tmp_path("logs"), .segment_bytes = 1 << 20}, &f->wal));
    opts.wal = f->wal;
    CHECK_OK(loghead_open(&opts, &f->head));
}

static inline void fx_open(struct fixture *f)
{
    clock_fake_init(&f->clock, 1700000000ll * NS_PER_S);
    fx_open_only(f);
    CHECK_OK(loghead_wait_ready(f->head));
}

/* What is open is in the log alone: as after a kill. */
static inline void fx_close(struct fixture *f)
{
    loghead_close(f->head);
    CHECK_OK(wal_close(f->wal));
    batch_reply_done(&f->reply);
    memset(&f->reply, 0, sizeof(f->reply));
}

static inline void fx_reopen(struct fixture *f)
{
    fx_close(f);
    fx_open_only(f);
    CHECK_OK(loghead_wait_ready(f->head));
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

static inline struct waiting fx_waiting(struct fixture *f)
{
    batch_reply_done(&f->reply);
    memset(&f->reply, 0, sizeof(f->reply));
    return (struct waiting){
        .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .reply = &f->reply};
}

/* e: that of the call. */
static inline struct err *fx_wait(struct waiting *w, struct err *e)
{
    if (e)
        return e;
    (void)pthread_mutex_lock(&w->lock);
    while (!w->is_done)
        (void)pthread_cond_wait(&w->cond, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
    return w->err;
}

static inline struct err *fx_push_bytes(struct fixture *f, const char *tenant, struct slice bytes)
{
    struct waiting w = fx_waiting(f);

    return fx_wait(&w, loghead_push(f->head, slice_cstr(tenant), bytes, &f->limits, fx_pushed, &w));
}

/* Streams of b with these indexes (NULL: all), as the door of the same process brings them. */
static inline struct err *fx_push_items(struct fixture *f, const struct log_batch *b,
                                        const uint32_t *streams, size_t n, bool with_labels)
{
    struct waiting w = fx_waiting(f);

    return fx_wait(
        &w, loghead_push_batch(f->head, b, streams, n, with_labels, &f->limits, fx_pushed, &w));
}

static inline struct log_batch *fx_batch(void)
{
    struct tenant_limits limits;

    memset(&limits, 0, sizeof(limits));
    return log_batch_new(SLICE("t"), &limits);
}

/* A line of stream {app="…", kind="test"}. */
static inline void fx_line(struct log_batch *b, const char *app, int64_t t_ns, struct slice line,
                           struct labels meta)
{
    struct label ls[] = {{SLICE("app"), slice_cstr(app)}, {SLICE("kind"), SLICE("test")}};
    struct slice canonical = labels_canonical_dup(b->arena, (struct labels){ls, 2});
    struct hash128 fp = labels_fingerprint_of_canonical(canonical);
    uint32_t at = log_batch_find(b, fp);

    if (at == LOG_BATCH_NONE)
        at = log_batch_put(b, fp, canonical);
    log_batch_add(b, at,
                  &(struct log_entry){.t_ns = t_ns,
                                      .line = arena_dup(b->arena, line),
                                      .metadata = meta.ptr,
                                      .n_metadata = (uint32_t)meta.n,
                                      .next = LOG_BATCH_NONE});
}

/* Takes b. Every other push of the tenant t is one of bytes, as other processes send it. */
static inline struct err *fx_push(struct fixture *f, const char *tenant, struct log_batch *b,
                                  bool with_labels)
{
    struct buf bytes = {0};
    struct err *e;

    VEC_FOREACH (s, &b->streams)
        s->is_known = true;
    if (f->pushes++ % 2 && slice_eq_cstr(b->tenant, tenant)) {
        e = fx_push_items(f, b, NULL, b->streams.len, with_labels);
    } else {
        log_batch_encode(b, NULL, 0, with_labels, &bytes);
        e = fx_push_bytes(f, tenant, buf_slice(&bytes));
        buf_done(&bytes);
    }
    log_batch_free(b);
    return e;
}

static inline struct err *fx_push_one(struct fixture *f, const char *app, int64_t t_ns,
                                      const char *line)
{
    struct log_batch *b = fx_batch();

    fx_line(b, app, t_ns, slice_cstr(line), (struct labels){0});
    return fx_push(f, "t", b, true);
}

/* ---- reading ---- */

/* Streams in the order of their app, each "app: time=line{name=value} …\n". The caller frees. */
struct fx_text {
    struct buf app, text;
};
static inline int fx_cmp_text(const void *a, const void *b)
{
    return slice_cmp(buf_slice(&((const struct fx_text *)a)->app),
                     buf_slice(&((const struct fx_text *)b)->app));
}

static inline struct err *fx_read_query(struct fixture *f, const struct loghead_query *q,
                                        struct buf *out)
{
    VEC(struct fx_text) all = {0};
    struct loghead_stream st;
    struct loghead_entry en;
    struct loghead_set *s;
    struct err *e = loghead_select(f->head, q, &s);

    if (e)
        return e;
    while (loghead_set_stream(s, &st)) {
        struct fx_text t = {0};
        struct reader r = reader_new(st.labels);
        struct label l;

        CHECK(labels_next_canonical(&r, &l));
        buf_slice_append(&t.app, l.value);
        while (loghead_set_entry(s, &en)) {
            buf_printf(&t.text, " %lld=%.*s", (long long)en.t_ns, SLICE_ARG(en.line));
            for (size_t i = 0; i < en.metadata.n; i++)
                buf_printf(&t.text, "{%.*s=%.*s}", SLICE_ARG(en.metadata.ptr[i].name),
                           SLICE_ARG(en.metadata.ptr[i].value));
        }
        vec_push(&all, t);
    }
    if (all.len > 1)
        qsort(all.ptr, all.len, sizeof(*all.ptr), fx_cmp_text);
    VEC_FOREACH (t, &all) {
        if (t->text.len) /* streams without entries may come, too */
            buf_printf(out, "%.*s:%.*s\n", SLICE_ARG(buf_slice(&t->app)),
                       SLICE_ARG(buf_slice(&t->text)));
        buf_done(&t->app);
        buf_done(&t->text);
    }
    vec_done(&all);
    return loghead_set_close(s);
}

static inline struct err *fx_read(struct fixture *f, const char *tenant, int64_t from, int64_t to,
                                  bool is_backward, struct buf *out)
{
    return fx_read_query(
        f,
        &(struct loghead_query){
            .tenant = slice_cstr(tenant), .from_ns = from, .to_ns = to, .is_backward = is_backward},
        out);
}

static inline void fx_check(struct fixture *f, int64_t from, int64_t to, bool is_backward,
                            const char *want)
{
    struct buf out = {0};

    CHECK_OK(fx_read(f, "t", from, to, is_backward, &out));
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}
