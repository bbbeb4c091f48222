/*
 * orreryctl demo: the shop of demo_shop.h, sent to a running Orrery: first what would have been said lately, then each second as it passes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/tenant.h"
#include "common/net/http_client.h"
#include "deploy/orreryctl/ctl_ruleapi.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/demo_shop.h"

#define STEP_S 5       /* a sample of each series */
#define BACK_STEP_S 15 /* of those that come late */
#define TIMEOUT_MS 30000
#define PATIENCE_MS 60000 /* for how long a server may be away */
#define AGAIN_MS 1000
#define MAX_RATE 1000
#define NAMESPACE "demo"

struct demo {
    struct ctl *ctl;
    struct demo_shop *shop;
    const char *base; /* URL without a / at its end */
    uint64_t sent_bytes, posts;
};

static volatile sig_atomic_t must_end;

static void on_signal(int number)
{
    (void)number;
    must_end = 1;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS};

    (void)nanosleep(&t, NULL); /* a signal ends it early, as it should */
}

/* ---- sending ---- */

static struct err *post_once(struct demo *d, const char *path, struct slice body, bool *ret_again)
{
    char *url = mem_printf("%s%s", d->base, path);
    char *header = mem_printf(TENANT_HEADER ": %s", d->ctl->opts.tenant ? d->ctl->opts.tenant : "");
    const char *headers[] = {header};
    struct http_client_reply reply = {0};
    struct err *e =
        http_client_blocking(NULL,
                             &(struct http_client_req){.method = "POST",
                                                       .url = url,
                                                       .headers = headers,
                                                       .header_count = d->ctl->opts.tenant ? 1 : 0,
                                                       .body = body,
                                                       .content_type = "application/json",
                                                       .bearer = d->ctl->opts.token,
                                                       .timeout_ms = TIMEOUT_MS},
                             &reply);

    *ret_again = e != NULL;
    if (!e && reply.status / 100 != 2) {
        *ret_again = reply.status == 429 || reply.status >= 500;
        e = err_new(ERR_UNAVAILABLE, "POST %s: %d: %.*s", url, reply.status,
                    (int)ORR_MIN(reply.body.len, (size_t)500), buf_cstr(&reply.body));
    }
    http_client_reply_done(&reply);
    mem_free(header);
    mem_free(url);
    return e;
}

/* What a server does not take for now is offered again. */
static struct err *post(struct demo *d, const char *path, struct buf *body)
{
    int64_t until_ms = clock_mono_ms(&clock_system) + PATIENCE_MS;
    bool again = false, is_told = false;
    struct err *e;

    while ((e = post_once(d, path, buf_slice(body), &again)) && again && !must_end &&
           clock_mono_ms(&clock_system) < until_ms) {
        if (!is_told)
            fprintf(stderr, "orreryctl: %s; trying again\n", err_msg(e));
        is_told = true;
        err_free(e);
        sleep_ms(AGAIN_MS);
    }
    d->sent_bytes += body->len;
    d->posts++;
    buf_reset(body);
    return e;
}

/* Traces are not kept everywhere: then the shop has none. */
static struct err *post_traces(struct demo *d, struct buf *body)
{
    static bool is_told;
    struct err *e = post(d, "/otlp/v1/traces", body);

    if (!e || !strstr(err_msg(e), ": 404:"))
        return e;
    if (!is_told)
        fprintf(stderr, "orreryctl: no traces: start Orrery with --ingester.traces=true\n");
    is_told = true;
    err_free(e);
    return NULL;
}

static struct err *send_all(struct demo *d)
{
    struct buf body = {0};
    struct err *e = NULL;

    if (demo_shop_traces(d->shop, &body))
        e = post_traces(d, &body);
    buf_reset(&body);
    if (!e && demo_shop_lines(d->shop, &body))
        e = post(d, "/otlp/v1/logs", &body);
    buf_reset(&body);
    if (!e && demo_shop_events(d->shop, &body))
        e = post(d, "/api/v1/events", &body);
    buf_reset(&body);
    demo_shop_metrics(d->shop, &body);
    if (!e)
        e = post(d, "/otlp/v1/metrics", &body);
    buf_done(&body);
    return e;
}

/* ---- time ---- */

static struct err *send_past(struct demo *d, int64_t from_s, int64_t to_s)
{
    struct ctl_progress p;
    struct err *e = NULL;

    ctl_progress_begin(&p, "seconds of the past", (uint64_t)(to_s - from_s), false);
    for (int64_t t = from_s; !e && t < to_s && !must_end; t++) {
        demo_shop_tick(d->shop, t);
        if ((t + 1) % BACK_STEP_S == 0 || t + 1 == to_s)
            e = send_all(d);
        ctl_progress_add(&p, 1);
    }
    ctl_progress_end(&p);
    return e;
}

static struct err *send_present(struct demo *d, int64_t from_s, int64_t until_s)
{
    struct err *e = NULL;

    for (int64_t t = from_s; !e && t < until_s && !must_end; t++) {
        int64_t wait_ms = (t + 1) * MS_PER_S - clock_wall_ms(&clock_system);

        if (wait_ms > 0)
            sleep_ms(wait_ms);
        demo_shop_tick(d->shop, t);
        if ((t + 1) % STEP_S == 0)
            e = send_all(d);
    }
    return e;
}

/* ---- the command ---- */

static struct err *number(struct ctl *c, const char *text, double otherwise, double max,
                          double *ret)
{
    char *end;

    *ret = text ? strtod(text, &end) : otherwise;
    if (text && (*end || !(*ret > 0) || *ret > max))
        return ctl_usage(c, "--rate is a number of requests a second, up to 1000");
    return NULL;
}

static struct err *seconds(const char *name, const char *text, const char *otherwise,
                           int64_t *ret_s)
{
    int64_t ns;
    struct err *e = conf_parse_duration(slice_cstr(text ? text : otherwise), &ns);

    *ret_s = e ? 0 : ns / NS_PER_S;
    return err_wrap(e, "--%s", name);
}

static struct err *run(struct demo *d, int64_t back_s, int64_t for_s)
{
    int64_t now_s = clock_wall_ms(&clock_system) / MS_PER_S;
    struct err *e = ctl_ruleapi_set(d->ctl, SLICE(NAMESPACE), slice_cstr(demo_shop_rules()));

    if (!e)
        e = send_past(d, now_s - back_s, now_s);
    if (!e && !must_end && for_s != 0)
        fprintf(stderr, "orreryctl: the shop is open: look at %s/ui/; it goes on until ctrl-c\n",
                d->base);
    if (!e)
        e = send_present(d, now_s, for_s < 0 ? INT64_MAX : now_s + for_s);
    fprintf(stderr, "orreryctl: %llu requests, %.1f MB sent\n", (unsigned long long)d->posts,
            (double)d->sent_bytes / 1e6);
    return e;
}

struct err *ctl_demo(struct ctl *c)
{
    struct demo d = {.ctl = c};
    struct demo_shop_opts opts = {0};
    struct buf base = {0};
    int64_t back_s, lock_s, for_s = -1, now_s = clock_wall_ms(&clock_system) / MS_PER_S;
    struct err *e;

    if ((e = number(c, c->opts.rate, 4, MAX_RATE, &opts.rate)) ||
        (e = seconds("backfill", c->opts.backfill, "30m", &back_s)) ||
        (e = seconds("cycle", c->opts.cycle, "10m", &opts.cycle_s)) ||
        (e = seconds("lock-in", c->opts.lock_in, "1m", &lock_s)) ||
        (c->opts.how_long && (e = seconds("for", c->opts.how_long, "", &for_s))))
        return e;
    if (opts.cycle_s < DEMO_SHOP_MIN_CYCLE_S)
        return err_new(ERR_INVALID, "--cycle is at least %d s", DEMO_SHOP_MIN_CYCLE_S);
    opts.seed = (uint64_t)now_s; /* another time's traces have other ids */
    opts.lock_s = now_s + lock_s;
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    ctl_ruleapi_base(c, &base);
    d.base = buf_cstr(&base);
    d.shop = demo_shop_new(&opts, now_s - back_s);
    e = run(&d, back_s, for_s);
    demo_shop_free(d.shop);
    buf_done(&base);
    return e;
}
