/* template/: Go's text/template, Prometheus' expander over a small storage, Alertmanager's templates. */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/gostr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/lang/promql_series.h"
#include "common/template/template_am.h"
#include "common/template/template_loki.h"
#include "common/template/template_prom.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "tests/conformance/conformance.h"

/* go_cases */

struct go_state {
    json_t *data[8];
};

static void go_setup(struct conformance *c)
{
    struct go_state *s = mem_new(struct go_state);
    struct slice text, line;
    struct err *e = conformance_read(c, "go_data.jsonl", &text);

    c->state = s;
    if (e) {
        err_free(e);
        return;
    }
    while (slice_split(&text, '\n', &line)) {
        json_t *o = line.len ? json_loadb((const char *)line.ptr, line.len, 0, NULL) : NULL;
        size_t i = (size_t)json_integer_value(json_object_get(o, "data_set"));

        if (o && i < ORR_COUNT(s->data))
            s->data[i] = json_incref(json_object_get(o, "data"));
        json_decref(o);
    }
}

static enum template_missing missing_of(struct conformance *c)
{
    struct slice s = conformance_text(c, "missingkey");

    return slice_eq_cstr(s, "zero")    ? TEMPLATE_MISSING_ZERO
           : slice_eq_cstr(s, "error") ? TEMPLATE_MISSING_ERROR
                                       : TEMPLATE_MISSING_DEFAULT;
}

/* JSON cannot hold bytes that are not UTF-8: in the cases each stands as U+FFFD. */
static struct slice as_utf8(struct conformance *c, const struct buf *out)
{
    struct slice s = buf_slice(out), ret;
    struct buf b = {0};

    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        gostr_put_rune(&b, r);
        s = slice_from(s, n);
    }
    ret = arena_dup(c->arena, buf_slice(&b));
    buf_done(&b);
    return ret;
}

CONFORMANCE(template, go_cases, .setup = go_setup)
{
    const struct go_state *s = c->state;
    struct template_set *set = template_new(NULL);
    struct template_run run = {.arena = c->arena, .missing = missing_of(c)};
    struct err *e = template_parse(set, SLICE("t"), conformance_text(c, "text"));
    bool is_parsed = !e, is_ok;
    struct buf out = {0};

    (void)conformance_check_bool(c, "parses", is_parsed, !conformance_has(c, "parse_error"));
    if (!e)
        e = template_execute(
            set, SLICE("t"),
            value_of_json(c->arena, s->data[(size_t)conformance_int(c, "data_set") & 7]), &run,
            &out);
    is_ok = !e;
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_parsed)
        (void)conformance_check_text(c, is_ok ? "output" : "output before the error",
                                     as_utf8(c, &out),
                                     conformance_text(c, is_ok ? "output" : "output_before_error"));
    buf_done(&out);
    template_free(set);
}

/* prometheus_cases */

struct prom_state {
    struct engine *engine;
    struct memstore *store;
};

/* The load commands of prometheus_data.test. */
static void load_series(struct memstore *store, struct arena *a, struct slice text)
{
    struct slice line;

    while (slice_split(&text, '\n', &line)) {
        struct promql_series series;

        if (!slice_has_prefix(line, SLICE("  ")))
            continue; /* a comment, or "load 1m" */
        if (promql_series_parse(a, slice_trim(line), &series))
            continue;
        for (size_t i = 0; i < series.n; i++)
            if (!series.values[i].is_omitted)
                memstore_add(store, series.labels, (int64_t)i * 60000, series.values[i].v, NULL, 0);
    }
}

static void prom_setup(struct conformance *c)
{
    struct prom_state *s = mem_new(struct prom_state);
    struct slice text;
    struct err *e = conformance_read(c, "prometheus_data.test", &text);

    s->engine = engine_new(NULL);
    s->store = memstore_new();
    c->state = s;
    if (!e)
        load_series(s->store, c->arena, text);
    err_free(e);
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct template_prom_sample *)a)->labels,
                      ((const struct template_prom_sample *)b)->labels);
}

static struct err *run_query(void *arg, struct arena *a, struct slice promql, int64_t now_ms,
                             struct template_prom_vector *ret)
{
    const struct prom_state *s = arg;
    struct engine_query q = {.expr = promql, .start_ms = now_ms, .end_ms = now_ms};
    struct template_prom_sample *samples;
    struct engine_result r = {0};
    struct err *e = engine_query(s->engine, &q, memstore_storage(s->store), a, &r);

    if (e)
        return e;
    if (r.type != ENGINE_VECTOR && r.type != ENGINE_SCALAR)
        return err_new(ERR_EXEC, "query result is not a vector or scalar");
    samples = arena_array(a, struct template_prom_sample, r.n_series);
    for (size_t i = 0; i < r.n_series; i++)
        samples[i] =
            (struct template_prom_sample){r.series[i].labels, r.series[i].n ? r.series[i].v[0] : 0};
    qsort(samples, r.n_series, sizeof(*samples), by_labels);
    *ret = (struct template_prom_vector){samples, r.n_series};
    return NULL;
}

static struct labels labels_of(struct conformance *c, const json_t *o)
{
    struct label *ls = arena_array(c->arena, struct label, json_object_size(o));
    struct labels ret = {ls, json_object_size(o)};
    struct slice dup;
    const char *key;
    json_t *value;
    size_t i = 0;

    json_object_foreach((json_t *)o, key, value)
    {
        ls[i].name = slice_cstr(key);
        ls[i++].value = slice_of(json_string_value(value), json_string_length(value));
    }
    (void)labels_sort(ls, ret.n, &dup);
    return ret;
}

CONFORMANCE(template, prometheus_cases, .setup = prom_setup)
{
    const struct template_prom_query query = {run_query, c->state};
    const json_t *data = conformance_get(c, "data");
    struct template_prom p = {
        .name = "T",
        .labels = labels_of(c, json_object_get(data, "labels")),
        .external_labels = labels_of(c, json_object_get(data, "external_labels")),
        .external_url = slice_cstr(json_string_value(json_object_get(data, "external_url"))),
        .now_ms = conformance_int(c, "now_ms"),
        .query = &query,
    };
    struct buf out = {0};
    struct err *e;
    bool is_ok;

    (void)num_parse(slice_cstr(json_string_value(json_object_get(data, "value"))), &p.value);
    e = template_prom_expand(&p, conformance_text(c, "text"), &out);
    is_ok = !e;
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        (void)conformance_check_text(c, "output", as_utf8(c, &out), conformance_text(c, "output"));
    buf_done(&out);
}

/* alertmanager_cases */

static struct gotime time_member(const json_t *o, const char *key)
{
    struct gotime t = {0};
    struct err *e = gotime_parse(SLICE(GOTIME_RFC3339_NANO),
                                 slice_cstr(json_string_value(json_object_get(o, key))), NULL, &t);

    err_free(e);
    return t;
}

static struct slice text_member(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? slice_cstr(s) : SLICE_EMPTY;
}

static struct template_am_alert am_alert(struct conformance *c, const json_t *o, int64_t now_ms)
{
    struct template_am_alert alert = {
        .labels = labels_of(c, json_object_get(o, "labels")),
        .annotations = labels_of(c, json_object_get(o, "annotations")),
        .starts_at = time_member(o, "startsAt"),
        .ends_at = time_member(o, "endsAt"),
        .generator_url = text_member(o, "generatorURL"),
        .fingerprint = HASH_FNV_OFFSET,
    };

    alert.is_resolved = json_object_get(o, "endsAt") && gotime_ms(alert.ends_at) <= now_ms;
    for (size_t i = 0; i < alert.labels.n; i++) {
        alert.fingerprint = hash_fnv1a(alert.fingerprint, alert.labels.ptr[i].name);
        alert.fingerprint = hash_fnv1a(alert.fingerprint, SLICE("\xff"));
        alert.fingerprint = hash_fnv1a(alert.fingerprint, alert.labels.ptr[i].value);
        alert.fingerprint = hash_fnv1a(alert.fingerprint, SLICE("\xff"));
    }
    return alert;
}

CONFORMANCE(template, alertmanager_cases)
{
    const json_t *data = conformance_get(c, "data"), *list = json_object_get(data, "alerts");
    size_t n = json_array_size(list);
    struct template_am_alert *alerts = arena_array(c->arena, struct template_am_alert, n);
    int64_t now_ms = gotime_ms(time_member(c->json, "now"));
    struct template_am am = {.receiver = text_member(data, "receiver"),
                             .external_url = text_member(data, "external_url"),
                             .reason = text_member(data, "notification_reason"),
                             .group_labels = labels_of(c, json_object_get(data, "group_labels")),
                             .route_labels = labels_of(c, json_object_get(data, "route_labels")),
                             .alerts = alerts,
                             .n_alerts = n,
                             .now_ns = now_ms * NS_PER_MS};
    struct template_run run = {.arena = c->arena, .ctx = &am, .missing = TEMPLATE_MISSING_ZERO};
    struct template_set *set;
    struct buf out = {0};
    struct err *e;
    bool is_ok;

    run.is_html = conformance_has(c, "html") && conformance_bool(c, "html");
    for (size_t i = 0; i < n; i++)
        alerts[i] = am_alert(c, json_array_get(list, i), now_ms);
    set = template_am_new();
    e = template_parse(set, SLICE(""), conformance_text(c, "text"));
    if (!e)
        e = template_execute(set, SLICE(""), template_am_data(c->arena, &am), &run, &out);
    is_ok = !e;
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        (void)conformance_check_text(c, "output", as_utf8(c, &out), conformance_text(c, "output"));
    buf_done(&out);
    template_free(set);
}

/* loki_cases */

CONFORMANCE(template, loki_cases)
{
    struct template_loki loki = {.line = conformance_text(c, "line"),
                                 .ts_ns = conformance_int(c, "ts_ns"),
                                 .now_ns = clock_wall_ns(&clock_system)};
    struct template_run run = {.arena = c->arena, .ctx = &loki, .missing = TEMPLATE_MISSING_ZERO};
    struct template_set *set = template_new(&template_loki_funcs);
    struct err *e = template_parse(set, SLICE("line"), conformance_text(c, "text"));
    bool is_parsed = !e, has_failed;
    struct buf out = {0};

    (void)conformance_check_bool(c, "parses", is_parsed, !conformance_has(c, "parse_error"));
    if (!e)
        e = template_execute(set, SLICE("line"),
                             value_labels(c->arena, labels_of(c, conformance_get(c, "labels"))),
                             &run, &out);
    has_failed = is_parsed && e;
    (void)conformance_check_bool(c, "fails", has_failed, conformance_has(c, "error"));
    if (is_parsed)
        (void)conformance_check_text(c, "output", has_failed ? loki.line : as_utf8(c, &out),
                                     conformance_text(c, "output"));
    err_free(e);
    buf_done(&out);
    template_free(set);
}
