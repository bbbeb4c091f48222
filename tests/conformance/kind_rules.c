/*
 * rules/: rule files that Prometheus takes or refuses; a group of rules evaluated over and over,
 * with the engine over a table of samples in the place of the cluster.
 */
#include <math.h>

#include "common/base/conf.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/vec.h"
#include "common/lang/promql_series.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "ruler/rule_group.h"
#include "ruler/rule_view.h"
#include "tests/conformance/conformance.h"

CONFORMANCE(rules, config_cases)
{
    struct rule_file *f = NULL;
    struct err *e = rule_file_parse("rules", conformance_text(c, "rules"), RULE_PROMQL, &f);

    (void)conformance_check_ok(c, "ok", e, conformance_bool(c, "ok"));
    rule_file_unref(f);
}

/* ---- eval_cases ---- */

struct bench {
    struct conformance *c;
    struct engine *eng;
    struct memstore *store;
    const struct rule_group_settings *set;
    int64_t ts_ms;
    struct map stored; /* canonical labels → json object {labels, samples} */
    json_t *notified;
};

static struct err *bench_query(void *arg, struct arena *a, enum rule_lang lang, struct slice promql,
                               int64_t t_ms, struct rule_vector *ret)
{
    struct bench *b = arg;
    struct engine_query q = {.expr = promql, .start_ms = t_ms, .end_ms = t_ms};
    struct engine_result res = {0};
    struct err *e = engine_query(b->eng, &q, memstore_storage(b->store), a, &res);
    struct rule_sample *out;

    (void)lang; /* cases are PromQL's */
    if (e)
        return e;
    if (res.type != ENGINE_VECTOR && res.type != ENGINE_SCALAR)
        return err_new(ERR_EXEC, "rule result is not a vector or scalar");
    out = arena_array(a, struct rule_sample, res.n_series + 1);
    for (size_t i = 0; i < res.n_series; i++) {
        out[i].labels = res.series[i].labels;
        if (res.series[i].n_hist)
            out[i].h = res.series[i].hist[0];
        else
            out[i].v = res.series[i].v[0];
    }
    *ret = (struct rule_vector){out, res.n_series};
    return NULL;
}

static json_t *labels_object(struct labels ls)
{
    struct buf b = {0};
    json_t *j;

    labels_json(&b, ls);
    j = json_loadb((const char *)b.ptr, b.len, 0, NULL);
    buf_done(&b);
    return j;
}

static json_t *value_text(double v)
{
    struct buf b = {0};
    json_t *j;

    if (sample_is_stale(v))
        return json_string("stale");
    buf_f64_text(&b, v);
    j = json_string(buf_cstr(&b));
    buf_done(&b);
    return j;
}

static struct err *bench_write(void *arg, const struct rule_series *s, size_t n)
{
    struct bench *b = arg;
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++) {
        const json_t *last;
        struct buf key = {0};
        json_t *point, *samples;
        void **slot;

        labels_canonical(&key, s[i].labels);
        slot = map_slot(&b->stored, buf_slice(&key));
        buf_done(&key);
        if (!*slot) {
            *slot = json_object();
            (void)json_object_set_new(*slot, "labels", labels_object(s[i].labels));
            (void)json_object_set_new(*slot, "samples", json_array());
        }
        samples = json_object_get(*slot, "samples");
        last = json_array_get(samples, json_array_size(samples) - 1);
        if (last && json_integer_value(json_array_get(last, 0)) == s[i].t_ms) {
            /* of one time a store keeps what came first, and refuses what differs */
            json_t *text = value_text(s[i].v);

            if (!json_equal(text, json_array_get(last, 1)) && !e)
                e = err_new(ERR_CONFLICT, "duplicate sample");
            json_decref(text);
            continue;
        }
        memstore_add(b->store, s[i].labels, s[i].t_ms, s[i].v, s[i].h, 0);
        point = json_array();
        (void)json_array_append_new(point, json_integer(s[i].t_ms));
        (void)json_array_append_new(point, value_text(s[i].v));
        (void)json_array_append_new(samples, point);
    }
    return e;
}

static void bench_notify(void *arg, const struct rule *r, const struct rule_alert *const *alerts,
                         size_t n)
{
    struct bench *b = arg;

    for (size_t i = 0; i < n; i++) {
        const struct rule_alert *al = alerts[i];
        json_t *j = json_object();
        struct buf link = {0};

        rule_view_link(&link, b->set, r->lang, r->query);
        (void)json_object_set_new(j, "generator_url", json_string(buf_cstr(&link)));
        (void)json_object_set_new(j, "labels", labels_object(al->labels));
        (void)json_object_set_new(j, "annotations", labels_object(al->annotations));
        (void)json_object_set_new(j, "eval_ms", json_integer(b->ts_ms));
        (void)json_object_set_new(j, "starts_at_ms", json_integer(al->fired_ms));
        (void)json_object_set_new(j, "ends_at_ms", json_integer(rule_view_ends_ms(al)));
        if (al->resolved_ms != RULE_NEVER)
            (void)json_object_set_new(j, "resolved", json_true());
        (void)json_array_append_new(b->notified, j);
        buf_done(&link);
    }
}

/* The alerts of one evaluation, as the case tells them. */
static void collect_alerts(const struct bench *b, const struct rule_group_run *g, json_t *out)
{
    for (size_t i = 0; i < g->group->n_rules; i++) {
        const struct rule_state *s = g->states[i];

        if (s->error) {
            json_t *j = json_object();

            (void)json_object_set_new(j, "rule", json_integer((json_int_t)i));
            (void)json_object_set_new(j, "eval_ms", json_integer(b->ts_ms));
            (void)json_object_set_new(j, "error", json_true());
            (void)json_array_append_new(out, j);
        }
        MAP_FOREACH (e, &s->active) {
            const struct rule_alert *al = e->value;
            json_t *j;

            if (al->state == RULE_INACTIVE || s->error)
                continue;
            j = json_object();
            (void)json_object_set_new(j, "rule", json_integer((json_int_t)i));
            (void)json_object_set_new(j, "eval_ms", json_integer(b->ts_ms));
            (void)json_object_set_new(j, "labels", labels_object(al->labels));
            (void)json_object_set_new(j, "annotations", labels_object(al->annotations));
            (void)json_object_set_new(j, "state", json_string(rule_alert_state_name(al->state)));
            (void)json_object_set_new(j, "active_at_ms", json_integer(al->active_ms));
            (void)json_object_set_new(j, "value", value_text(al->value));
            if (al->keep_since_ms != RULE_NEVER)
                (void)json_object_set_new(j, "keep_firing_since_ms",
                                          json_integer(al->keep_since_ms));
            (void)json_array_append_new(out, j);
        }
    }
}

static bool same_number(const char *a, const char *b)
{
    double x, y;

    if (strcmp(a, b) == 0)
        return true;
    if (!num_parse(slice_cstr(a), &x) || !num_parse(slice_cstr(b), &y))
        return false;
    return (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y));
}

/* Equal, numbers that stand as texts with tolerance. */
static bool same_json(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;

    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return same_number(json_string_value(a), json_string_value(b));
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!same_json(json_array_get(a, i), json_array_get(b, i)))
                return false;
        return true;
    }
    if (!json_is_object(a))
        return json_equal(a, b) != 0;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, value)
    {
        const json_t *other = json_object_get(b, key);

        if (!other || !same_json(value, other))
            return false;
    }
    return true;
}

/* As sets. */
static void check_set(struct conformance *c, const char *what, const json_t *got,
                      const json_t *want_list)
{
    json_t *want = json_deep_copy(want_list);
    const json_t *item;
    json_t *w;
    size_t i, k;

    json_array_foreach(want, k, w) if (json_object_get(w, "error"))(void)
        json_object_set_new(w, "error", json_true()); /* texts are not compared */
    json_array_foreach(got, i, item)
    {
        bool is_there = false;

        json_array_foreach(want, k, w)
        {
            if (same_json(item, w)) {
                (void)json_array_remove(want, k);
                is_there = true;
                break;
            }
        }
        if (!is_there) {
            char *text = json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);

            conformance_fail(c, what, "%s / nothing like it", text);
            free(text);
            break;
        }
    }
    if (!c->has_failed && json_array_size(want)) {
        char *text = json_dumps(json_array_get(want, 0), JSON_COMPACT | JSON_SORT_KEYS);

        conformance_fail(c, what, "nothing / %s", text);
        free(text);
    }
    json_decref(want);
}

/* "load 30s\n  series values\n …" */
static struct err *load(struct conformance *c, struct memstore *store, struct slice text)
{
    struct slice line;
    int64_t step_ns = 0;

    while (slice_split(&text, '\n', &line)) {
        struct promql_series s;
        struct err *e;

        line = slice_trim(line);
        if (line.len == 0)
            continue;
        if (slice_has_prefix(line, SLICE("load "))) {
            if ((e = conf_parse_duration(slice_trim(slice_from(line, 5)), &step_ns)))
                return e;
            continue;
        }
        if ((e = promql_series_parse(c->arena, line, &s)))
            return e;
        for (size_t i = 0; i < s.n; i++)
            if (!s.values[i].is_omitted)
                memstore_add(store, s.labels, (int64_t)i * (step_ns / NS_PER_MS), s.values[i].v,
                             s.values[i].h, 0);
    }
    return NULL;
}

static struct labels object_labels(struct arena *a, const json_t *j)
{
    struct label *ls = arena_array(a, struct label, json_object_size(j) + 1);
    const char *key;
    json_t *value;
    struct slice dup;
    size_t n = 0;

    json_object_foreach((json_t *)j, key, value) ls[n++] =
        (struct label){slice_cstr(key), slice_cstr(json_string_value(value))};
    (void)labels_sort(ls, n, &dup);
    return (struct labels){ls, n};
}

static void run_group(struct bench *b, const struct rule_file *f)
{
    struct conformance *c = b->c;
    struct rule_group_ops ops = {
        .query = bench_query, .write = bench_write, .notify = bench_notify, .arg = b};
    struct rule_group_run *g = rule_group_new(f, 0, false, b->set);
    json_t *alerts = json_array(), *stored = json_array();
    int64_t interval = conformance_int(c, "interval_ms");

    for (int64_t i = 0; i < conformance_int(c, "evaluations"); i++) {
        b->ts_ms = conformance_int(c, "first_eval_ms") + i * interval;
        rule_group_eval(g, b->set, &ops, b->ts_ms, NULL);
        collect_alerts(b, g, alerts);
    }
    MAP_FOREACH (e, &b->stored)
        (void)json_array_append_new(stored, e->value);
    check_set(c, "stored", stored, conformance_get(c, "stored"));
    check_set(c, "alerts", alerts, conformance_get(c, "alerts"));
    check_set(c, "notified", b->notified, conformance_get(c, "notified"));
    json_decref(alerts);
    json_decref(stored);
    rule_group_free(g);
}

static void drop_line(void *arg, struct slice line)
{
    (void)arg;
    (void)line;
}

/* Failing rules are part of the cases: their log lines would drown the results. */
static void quiet(struct conformance *c)
{
    (void)c;
    log_set_sink(drop_line, NULL);
}

CONFORMANCE(rules, eval_cases, .setup = quiet)
{
    struct rule_group_settings set = {
        .default_interval_ms = conformance_int(c, "default_interval_ms"),
        .resend_ms = conformance_int(c, "resend_delay_ms"),
        .external_labels = object_labels(c->arena, conformance_get(c, "external_labels")),
        .external_url = conformance_text(c, "external_url"),
    };
    struct bench b = {.c = c,
                      .eng = engine_new(NULL),
                      .store = memstore_new(),
                      .set = &set,
                      .notified = json_array()};
    struct rule_file *f = NULL;
    struct err *e = rule_file_parse("rules", conformance_text(c, "rules"), RULE_PROMQL, &f);

    if (!e)
        e = load(c, b.store, conformance_text(c, "load"));
    if (e) {
        conformance_fail(c, "input", "%s", err_msg(e));
        err_free(e);
    } else {
        run_group(&b, f);
    }
    rule_file_unref(f);
    json_decref(b.notified);
    map_done(&b.stored);
    memstore_free(b.store);
    engine_free(b.eng);
}
