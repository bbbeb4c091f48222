/* A receiver of one integration, told of two alerts in a group "g": its requests and judgements, without a network. */
#pragma once
#include <string.h>

#include "alertmanager/notify_render.h"
#include "common/base/mem.h"
#include "tests/unit/test.h"

struct notify_bench {
    struct amconf *conf;
    struct notify_render *render;
    const struct notify_request *request;
    bool may_retry;
    struct buf text;
};

static inline struct notify_bench *notify_bench_told(struct amconf *conf, bool is_firing,
                                                     const char *annotation)
{
    static const struct label first[] = {{SLICE_INIT("a"), SLICE_INIT("1 \"")},
                                         {SLICE_INIT("s"), SLICE_INIT("x")}};
    static const struct label second[] = {{SLICE_INIT("a"), SLICE_INIT("2")},
                                          {SLICE_INIT("s"), SLICE_INIT("x")}};
    struct label text[] = {{SLICE_INIT("summary"), slice_cstr(annotation)}};
    struct notify_bench *t = mem_new(struct notify_bench);
    alert_vec alerts = {0};
    struct dispatch_note note = {
        .group_key = SLICE_INIT("g"),
        .receiver = conf->receivers[0].name,
        .integration = &conf->receivers[0].integrations[0],
        .group_labels = {(struct label *)(uintptr_t)&first[1], 1},
        .alerts = &alerts,
        .now_ns = 1000000000000,
        .reason = NFLOG_FIRST,
        .left_ms = 1000,
    };

    vec_push(&alerts,
             alert_new((struct labels){first, 2}, (struct labels){text, 1}, SLICE("http://prom")));
    vec_push(&alerts, alert_new((struct labels){second, 2}, (struct labels){text, 1}, SLICE("")));
    for (size_t i = 0; i < 2; i++) {
        alerts.ptr[i]->starts_ns = 500000000000;
        alerts.ptr[i]->ends_ns = is_firing ? 2000000000000 : 900000000000;
    }
    t->conf = conf;
    t->render = notify_render_new(conf, &note, SLICE("http://am"), note.now_ns);
    alert_vec_done(&alerts);
    return t;
}

/* Takes conf. */
static inline struct notify_bench *notify_bench_of(struct amconf *conf)
{
    return notify_bench_told(conf, true, "sum");
}

static inline struct amconf *notify_bench_conf_of(unsigned flags, const char *integration)
{
    char *text = mem_printf("receivers:\n- name: r\n  %s\n", integration);
    struct amconf *conf;

    CHECK_OK(amconf_parse("am.yml", slice_cstr(text), AMCONF_NO_ROUTE | flags, &conf));
    CHECK(!conf->receivers[0].integrations[0].unsupported);
    mem_free(text);
    return conf;
}

static inline struct amconf *notify_bench_conf(const char *integration)
{
    return notify_bench_conf_of(0, integration);
}

static inline struct notify_bench *notify_bench(const char *integration)
{
    return notify_bench_of(notify_bench_conf(integration));
}

static inline struct err *notify_bench_error(struct notify_bench *t)
{
    return notify_render_next(t->render, &t->request, &t->may_retry);
}

/* "METHOD URL\nHeader: value\n…", "" when all is said. */
static inline const char *notify_bench_next(struct notify_bench *t)
{
    buf_reset(&t->text);
    CHECK_OK(notify_bench_error(t));
    if (t->request) {
        buf_printf(&t->text, "%s %.*s\n", t->request->method, SLICE_ARG(t->request->url));
        for (size_t i = 0; i < t->request->n_headers; i++)
            buf_printf(&t->text, "%s\n", t->request->headers[i]);
    }
    return buf_cstr(&t->text);
}

static inline bool notify_bench_has(const struct notify_bench *t, const char *text)
{
    if (slice_find(t->request->body, slice_cstr(text), 0) >= 0)
        return true;
    fprintf(stderr, "no %s in %.*s\n", text, SLICE_ARG(t->request->body));
    return false;
}

static inline struct err *notify_bench_answer(struct notify_bench *t, int status, const char *type,
                                              const char *body)
{
    struct notify_answer a = {status, slice_cstr(type), slice_cstr(body)};

    return notify_render_judge(t->render, &a, &t->may_retry);
}

static inline bool notify_bench_may_retry(const struct notify_bench *t)
{
    return t->may_retry;
}

static inline const struct notify_request *notify_bench_request(const struct notify_bench *t)
{
    return t->request;
}

static inline struct notify_render *notify_bench_render(struct notify_bench *t)
{
    return t->render;
}

static inline void notify_bench_free(struct notify_bench *t)
{
    notify_render_free(t->render);
    amconf_unref(t->conf);
    buf_done(&t->text);
    mem_free(t);
}

#define NOTIFY_BENCH_HASH                                                                          \
    "cd0aa9856147b6c5b4ff2b7dfee5da20aa38253099ef1b4a64aced233c9afe29" /* of "g" */

/* n of this rune */
static inline char *notify_bench_runes(const char *rune, size_t n)
{
    struct buf b = {0};
    char *ret;

    for (size_t i = 0; i < n; i++)
        buf_str(&b, rune);
    ret = slice_dup(buf_slice(&b));
    buf_done(&b);
    return ret;
}

/* One request of the integration, with an annotation, has this in its body. */
static inline void notify_bench_sends(const char *integration, bool is_firing,
                                      const char *annotation, const char *head, const char *body)
{
    struct notify_bench *t =
        notify_bench_told(notify_bench_conf(integration), is_firing, annotation);

    CHECK_STR(notify_bench_next(t), head);
    CHECK_STR(t->request->content_type, "application/json");
    if (!notify_bench_has(t, body))
        test_fail(__FILE__, __LINE__, "body of %s", integration);
    notify_bench_free(t);
}

/* A text of n runes that is over by one is cut to the last but one and an ellipsis. */
static inline void notify_bench_cuts(const char *integration, const char *key, size_t n)
{
    for (size_t over = 0; over < 2; over++) {
        char *text = notify_bench_runes("\xc3\xbc", n + over),
             *kept = notify_bench_runes("\xc3\xbc", n - over);
        char *want = mem_printf("\"%s\":\"%s%s\"", key, kept, over ? "\xe2\x80\xa6" : "");
        struct notify_bench *t = notify_bench_told(notify_bench_conf(integration), true, text);

        (void)notify_bench_next(t);
        if (slice_find(t->request->body, slice_cstr(want), 0) < 0)
            test_fail(__FILE__, __LINE__, "%s of %s, over by %zu", key, integration, over);
        notify_bench_free(t);
        mem_free(text);
        mem_free(kept);
        mem_free(want);
    }
}

static inline void notify_bench_judges(const char *integration, int status, const char *type,
                                       const char *body, bool is_told, bool may_retry)
{
    struct notify_bench *t = notify_bench(integration);
    struct err *e;

    (void)notify_bench_next(t);
    e = notify_bench_answer(t, status, type, body);
    if (!e != is_told || (e && t->may_retry != may_retry))
        test_fail(__FILE__, __LINE__, "%s: %d %s: %d %d", integration, status, body, !e,
                  t->may_retry);
    err_free(e);
    notify_bench_free(t);
}
