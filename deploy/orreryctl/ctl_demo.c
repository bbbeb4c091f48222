/*
 * orreryctl demo: the shop of demo_shop.h, sent to a running Orrery: first what would have been said lately, then each second as it passes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_ruleapi.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/demo_shop.h"

#define STEP_S 5          /* a sample of each series */
#define BACK_STEP_S 15    /* of those that come late */
#define PATIENCE_MS 60000 /* for how long a server may be away */
#define AGAIN_MS 1000
#define MAX_RATE 1000
#define NAMESPACE "demo"

struct demo {
    struct ctl *ctl;
    struct demo_shop *shop;
    bool has_no_traces, has_past;
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

/* What a server does not take for now is offered again. */
static struct err *post(struct demo *d, const char *path, struct buf *body)
{
    int64_t until_ms = clock_mono_ms(&clock_system) + PATIENCE_MS;
    bool is_told = false;
    struct err *e;

    while ((e = ctl_http(d->ctl, "POST", slice_cstr(path), "application/json", buf_slice(body),
                         NULL)) &&
           (err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_NET) || err_is(e, ERR_TIMEOUT)) &&
           !must_end && clock_mono_ms(&clock_system) < until_ms) {
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
    struct err *e = post(d, "/otlp/v1/traces", body);

    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    if (!d->has_no_traces)
        fprintf(stderr, "orreryctl: no traces are taken there (ingester.traces)\n");
    d->has_no_traces = true;
    err_free(e);
    return NULL;
}

/* Where the shop was before, its past is there, and newer samples. */
static struct err *post_metrics(struct demo *d, struct buf *body, bool is_past)
{
    struct err *e = post(d, "/otlp/v1/metrics", body);

    if (!is_past || !err_is(e, ERR_INVALID))
        return e;
    if (!d->has_past)
        fprintf(stderr, "orreryctl: samples of the past are left out, newer ones are there: %s\n",
                err_msg(e));
    d->has_past = true;
    err_free(e);
    return NULL;
}

static struct err *send_all(struct demo *d, bool is_past)
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
        e = post_metrics(d, &body, is_past);
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
            e = send_all(d, true);
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
            e = send_all(d, false);
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
    struct buf ui = {0};

    ctl_http_url(d->ctl, SLICE("/ui/"), &ui);
    if (!e)
        e = send_past(d, now_s - back_s, now_s);
    if (!e && !must_end && for_s != 0)
        fprintf(stderr, "orreryctl: the shop is open: look at %s; it goes on until ctrl-c\n",
                buf_cstr(&ui));
    if (!e)
        e = send_present(d, now_s, for_s < 0 ? INT64_MAX : now_s + for_s);
    fprintf(stderr, "orreryctl: %llu requests, %.1f MB sent\n", (unsigned long long)d->posts,
            (double)d->sent_bytes / 1e6);
    buf_done(&ui);
    return e;
}

struct err *ctl_demo(struct ctl *c)
{
    struct demo d = {.ctl = c};
    struct demo_shop_opts opts = {0};
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
    d.shop = demo_shop_new(&opts, now_s - back_s);
    e = run(&d, back_s, for_s);
    demo_shop_free(d.shop);
    return e;
}
