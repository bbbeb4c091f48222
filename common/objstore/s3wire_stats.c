#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/objstore/s3wire_internal.h"

#define CALM_MS 5000               /* without a failure: it is over */
#define REMIND_MS (10 * 60 * 1000) /* while it lasts */
#define TENTHS 10

static const char *const op_names[] = {
#define X(sym, name, price) name,
    S3WIRE_OPS(X)
#undef X
};

enum { PRICE_READ, PRICE_WRITE, PRICE_FREE };
static const int op_prices[] = {
#define X(sym, name, price) PRICE_##price,
    S3WIRE_OPS(X)
#undef X
};

static const struct metric_field op_fields[] = {
    METRIC_COUNTER(struct s3wire_metrics, requests, "orrery_objstore_requests_total",
                   "Requests sent to the object store, retries and hedges among them."),
    METRIC_COUNTER(struct s3wire_metrics, errors, "orrery_objstore_request_errors_total",
                   "Those that got no answer, or 5xx or 429."),
    METRIC_COUNTER(struct s3wire_metrics, retries, "orrery_objstore_retries_total",
                   "Those that repeat a failed one."),
    METRIC_COUNTER(struct s3wire_metrics, hedges, "orrery_objstore_hedges_total",
                   "Reads asked a second time because no byte came."),
    METRIC_COUNTER(struct s3wire_metrics, hedges_won, "orrery_objstore_hedges_won_total",
                   "Those of which the second answer came first."),
    METRIC_COUNTER(struct s3wire_metrics, sent_bytes, "orrery_objstore_sent_bytes_total",
                   "Bytes of request bodies."),
    METRIC_COUNTER(struct s3wire_metrics, received_bytes, "orrery_objstore_received_bytes_total",
                   "Bytes of answers' bodies."),
    METRIC_HIST(struct s3wire_metrics, seconds, "orrery_objstore_request_seconds",
                "Time of an attempt, from the start of its transfer to its last byte."),
};
static const struct metric_field wire_fields[] = {
    METRIC_COUNTER(struct s3wire, throttled, "orrery_objstore_throttled_total",
                   "Answers that asked us to slow down."),
    METRIC_COUNTER(struct s3wire, budget_empty, "orrery_objstore_retry_budget_empty_total",
                   "Failed requests that were not repeated because the retry budget was used up."),
};

/* ---- cost ---- */

static double cost(const struct s3wire *w, int price, double per_1000)
{
    uint64_t n = 0;

    for (size_t i = 0; i < S3WIRE_OP_COUNT; i++)
        if (op_prices[i] == price)
            n += METRIC_GET(w->ops[i].requests);
    return (double)n * per_1000 / 1000.0;
}

static void collect_cost(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char name[] = "orrery_objstore_estimated_cost_dollars_total";
    const struct s3wire *w = arg;

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER_F64, name,
                        "What the requests cost, by s3.price-write-per-1000 and "
                        "s3.price-read-per-1000.");
    metric_write_f64(out, name, "class=\"write\"", cost(w, PRICE_WRITE, w->conf->price_write));
    metric_write_f64(out, name, "class=\"read\"", cost(w, PRICE_READ, w->conf->price_read));
}

void s3wire_stats_start(struct s3wire *w)
{
    w->budget = w->conf->retry_budget * TENTHS;
    for (size_t i = 0; i < S3WIRE_OP_COUNT; i++) {
        char labels[64];

        (void)snprintf(labels, sizeof(labels), "op=\"%s\"", op_names[i]);
        metric_register(&w->ops[i], op_fields, ORR_COUNT(op_fields), labels);
    }
    metric_register(w, wire_fields, ORR_COUNT(wire_fields), NULL);
    metric_register_collector(collect_cost, w);
}

void s3wire_stats_stop(struct s3wire *w)
{
    metric_unregister_collector(collect_cost, w);
    metric_unregister(w);
    for (size_t i = 0; i < S3WIRE_OP_COUNT; i++)
        metric_unregister(&w->ops[i]);
}

/* ---- retries ---- */

bool s3wire_take_retry(struct s3wire *w, enum s3wire_op op)
{
    bool has;

    lock_take(&w->lock);
    has = w->budget >= TENTHS;
    if (has)
        w->budget -= TENTHS;
    lock_release(&w->lock);
    if (has)
        METRIC_ADD(w->ops[op].retries, 1);
    else
        METRIC_ADD(w->budget_empty, 1);
    return has;
}

void s3wire_give_back(struct s3wire *w)
{
    lock_take(&w->lock);
    w->budget = ORR_MIN(w->budget + 1, w->conf->retry_budget * TENTHS);
    lock_release(&w->lock);
}

int64_t s3wire_backoff_ms(struct s3wire *w, int64_t attempt)
{
    int64_t most = w->conf->backoff_ns;
    uint64_t ns;

    for (int64_t i = 1; i < attempt && most < w->conf->max_backoff_ns; i++)
        most *= 2;
    most = ORR_MIN(most, w->conf->max_backoff_ns);
    lock_take(&w->lock);
    ns = rng_below(&w->rng, (uint64_t)most + 1);
    lock_release(&w->lock);
    return (int64_t)ns / NS_PER_MS;
}

/* ---- health ---- */

static void on_bad(struct s3wire *w, const struct err *e)
{
    int64_t now = clock_mono_ms(&clock_system), since_ms;
    bool is_first, is_told;
    uint64_t n;

    lock_take(&w->lock);
    is_first = !w->is_down;
    if (is_first) {
        w->is_down = true;
        w->down_ms = w->last_told_ms = now;
        w->bad_count = 0;
    }
    n = ++w->bad_count;
    w->last_bad_ms = now;
    since_ms = now - w->down_ms;
    is_told = is_first || now - w->last_told_ms >= REMIND_MS;
    if (is_told)
        w->last_told_ms = now;
    lock_release(&w->lock);
    if (is_first)
        LOG_WARN(objstore, "the object store fails; further failures are counted, not logged",
                 KV_STR("bucket", w->name), KV_ERR(e));
    else if (is_told)
        LOG_WARN(objstore, "the object store still fails", KV_STR("bucket", w->name),
                 KV_U64("count", n), KV_I64("duration_ms", since_ms), KV_ERR(e));
}

static void on_well(struct s3wire *w)
{
    int64_t now = clock_mono_ms(&clock_system), since_ms = 0;
    bool is_over;
    uint64_t n;

    lock_take(&w->lock);
    is_over = w->is_down && now - w->last_bad_ms >= CALM_MS;
    if (is_over) {
        w->is_down = false;
        since_ms = w->last_bad_ms - w->down_ms;
    }
    n = w->bad_count;
    lock_release(&w->lock);
    if (is_over)
        LOG_INFO(objstore, "the object store works again", KV_STR("bucket", w->name),
                 KV_U64("count", n), KV_I64("duration_ms", since_ms));
}

void s3wire_health(struct s3wire *w, const struct err *e)
{
    if (e)
        on_bad(w, e);
    else
        on_well(w);
}
