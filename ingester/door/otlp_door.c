#include "ingester/door/otlp_door.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/otlp_json.h"
#include "ingester/door/otlp_proto.h"
#include "ingester/door/otlp_translate.h"

struct otlp_door_metrics {
    uint64_t requests, points, refused, partial;
};
static const struct metric_field otlp_metric_fields[] = {
    METRIC_COUNTER(struct otlp_door_metrics, requests, "orrery_otlp_requests_total",
                   "OpenTelemetry export requests of metrics."),
    METRIC_COUNTER(struct otlp_door_metrics, points, "orrery_otlp_points_total",
                   "Data points in them that could be read."),
    METRIC_COUNTER(struct otlp_door_metrics, refused, "orrery_otlp_untranslatable_total",
                   "Requests refused because the temporality of a metric in them is not taken."),
    METRIC_COUNTER(struct otlp_door_metrics, partial, "orrery_otlp_partial_total",
                   "Requests of which only a part was stored."),
};

struct otlp_door {
    struct door *door;
    struct limits *limits;
    struct otlp_delta *delta;
    struct snapshot_cell conf; /* struct conf */
    struct otlp_door_metrics m;
};

/* A tenant's settings, and what keeps them. */
struct settings {
    struct otlp_config config;
    struct snapshot *conf;
    struct tenant_rules *rules;
};

/* One request. Owner: its loop. */
struct otlp_write {
    struct otlp_door *o;
    struct settings settings;
    struct slice body;
    bool is_json, is_decoded;
    uint64_t points;
    uint64_t offered; /* samples and histograms that were taken or refused one by one */
    otlp_done_fn *done;
    void *arg;
};

/* ---- settings ---- */

static const struct otlp_config *section(const struct snapshot *conf)
{
    return conf_section((const struct conf *)conf, "otlp");
}

struct err *otlp_door_new(struct door *d, struct limits *limits, const struct conf *c,
                          struct otlp_door **ret)
{
    struct err *e = otlp_config_check(conf_section(c, "otlp"));
    struct otlp_door *o;

    if (e)
        return err_wrap(e, "otlp");
    o = mem_new(struct otlp_door);
    o->door = d;
    o->limits = limits;
    o->delta = otlp_delta_new();
    snapshot_cell_init(&o->conf, LOCK_CONF);
    snapshot_cell_set(&o->conf, (struct snapshot *)conf_ref((struct conf *)c));
    metric_register(&o->m, otlp_metric_fields, ORR_COUNT(otlp_metric_fields), NULL);
    *ret = o;
    return NULL;
}

void otlp_door_free(struct otlp_door *o)
{
    if (!o)
        return;
    metric_unregister(&o->m);
    snapshot_cell_done(&o->conf);
    otlp_delta_free(o->delta);
    mem_free(o);
}

void otlp_door_set_conf(struct otlp_door *o, const struct conf *c)
{
    struct err *e = otlp_config_check(conf_section(c, "otlp"));

    if (e)
        LOG_ERROR(conf, "settings of OpenTelemetry refused, the old ones stay", KV_ERR(e));
    else
        snapshot_cell_set(&o->conf, (struct snapshot *)conf_ref((struct conf *)c));
    err_free(e);
}

struct door *otlp_door_door(struct otlp_door *o)
{
    return o->door;
}

static void settings_get(struct otlp_door *o, struct slice tenant, struct settings *ret)
{
    ret->rules = limits_rules(o->limits, tenant);
    ret->conf = snapshot_cell_get(&o->conf);
    ret->config = otlp_config_merge(section(ret->conf), &ret->rules->otlp);
}

static void settings_done(struct settings *s)
{
    snapshot_unref(s->conf);
    tenant_rules_unref(s->rules);
}

/* ---- decoding ---- */

static uint64_t count_rejects(const struct push_builder *b)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < DOOR_REASON_COUNT; i++)
        sum += b->rejects.samples[i];
    return sum;
}

static struct err *decode(struct push_builder *b, const void *arg)
{
    struct otlp_write *w = (struct otlp_write *)(uintptr_t)arg; /* what is const is the pointer */
    struct arena *tmp = arena_new(0);
    struct jsonval_doc *doc = NULL;
    struct otlp_metrics m;
    struct err *e =
        w->is_json ? otlp_json_decode(tmp, w->body, &doc, &m) : otlp_proto_decode(tmp, w->body, &m);

    if (!e) {
        w->points = m.n_points;
        METRIC_ADD(w->o->m.points, m.n_points);
        e = otlp_translate(b, &m, &w->settings.config, w->o->delta, tmp);
    }
    jsonval_free(doc);
    arena_free(tmp);
    w->is_decoded = !e;
    w->offered = b->push->samples + b->push->histograms + count_rejects(b);
    return e;
}

/* ---- the end ---- */

static void end(struct otlp_write *w, struct err *e, uint64_t rejected, const char *text)
{
    w->done(w->arg, e, rejected, text);
    mem_free(w);
}

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct otlp_write *w = arg;
    bool is_partial = w->is_decoded && (err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT));
    uint64_t stored = written->samples + written->histograms;
    uint64_t rejected;

    if (err_is(e, ERR_UNSUPPORTED))
        METRIC_ADD(w->o->m.refused, 1);
    if (!is_partial) {
        end(w, e, 0, NULL);
        return;
    }
    if (!stored) { /* a client should not take that for a success */
        end(w, err_first(err_new(ERR_INVALID, "%s", err_msg(e)), e), 0, NULL);
        return;
    }
    METRIC_ADD(w->o->m.partial, 1);
    rejected = w->offered > stored ? w->offered - stored : 1;
    end(w, NULL, ORR_MIN(rejected, ORR_MAX(w->points, (uint64_t)1)), err_msg(e));
    err_free(e);
}

void otlp_door_write(struct otlp_door *o, struct loop *loop, struct slice tenant, struct slice body,
                     bool is_json, otlp_done_fn *done, void *arg)
{
    struct otlp_write *w = mem_new(struct otlp_write);
    struct settings settings;
    struct push_decoder decoder = {.name = "otlp", .decode = decode, .arg = w};

    METRIC_ADD(o->m.requests, 1);
    settings_get(o, tenant, &settings);
    *w = (struct otlp_write){
        .o = o, .settings = settings, .body = body, .is_json = is_json, .done = done, .arg = arg};
    door_write(o->door, loop, tenant, &decoder, &(struct buf){0}, on_written, w);
    settings_done(&settings); /* what was decoded needs them no more; w may be gone */
}
