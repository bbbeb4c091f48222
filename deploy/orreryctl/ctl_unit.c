/* Files of unit tests: YAML to structs. */
#include "deploy/orreryctl/ctl_unit.h"

#include "common/base/clock.h"
#include "common/base/gonum.h"
#include "common/base/gotime.h"
#include "common/lang/promql_series.h"
#include "deploy/orreryctl/ctl_yaml.h"

#define DEFAULT_INTERVAL_MS (60 * 1000)

static void parse_series(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_unit_series *ret)
{
    static const char *const names[] = {"series", "values", NULL};

    ctl_yaml_fields(w, n, names);
    ret->labels = ctl_yaml_text(w, yaml_get(n, "series"));
    ret->values = ctl_yaml_text(w, yaml_get(n, "values"));
}

static void parse_alert(struct ctl_yaml *w, const struct yaml_node *n, struct slice name,
                        struct ctl_unit_alert *ret)
{
    static const char *const names[] = {"exp_labels", "exp_annotations", NULL};
    struct labels_builder b;

    ctl_yaml_fields(w, n, names);
    labels_builder_init(&b, w->a, ctl_yaml_labels(w, yaml_get(n, "exp_labels")));
    labels_builder_set(&b, SLICE("alertname"), name);
    ret->labels = labels_builder_labels(&b);
    ret->annotations = ctl_yaml_labels(w, yaml_get(n, "exp_annotations"));
}

static void parse_alerts(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_unit_alerts *ret)
{
    static const char *const names[] = {"eval_time", "alertname", "exp_alerts", NULL};
    struct yaml_node **items;

    ctl_yaml_fields(w, n, names);
    ret->at_ms = ctl_yaml_duration(w, yaml_get(n, "eval_time"), 0);
    ret->name = ctl_yaml_text(w, yaml_get(n, "alertname"));
    if (!ret->name.len && !yaml_is_null(n))
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "an alert_rule_test has no alertname"));
    items = ctl_yaml_list(w, yaml_get(n, "exp_alerts"), &ret->n);
    ret->expected = arena_array(w->a, struct ctl_unit_alert, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        parse_alert(w, items[i], ret->name, &ret->expected[i]);
}

/* Of a series in its notation, with one value; the labels may be absent. */
static void parse_value(struct ctl_yaml *w, const struct yaml_node *n, struct slice labels,
                        struct slice value, struct ctl_unit_sample *ret)
{
    char *text = arena_printf(w->a, "%.*s %.*s", SLICE_ARG(labels.len ? labels : SLICE("{}")),
                              SLICE_ARG(value));
    struct promql_series s = {.n = 0};
    struct err *e = promql_series_parse(w->a, slice_cstr(text), &s);

    if (!e && s.n != 1)
        e = err_new(ERR_INVALID, "one value is expected");
    if (e) {
        ctl_yaml_fail(w, n, e);
        return;
    }
    ret->labels = s.labels;
    ret->h = s.values[0].h;
}

static void parse_sample(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_unit_sample *ret)
{
    static const char *const names[] = {"labels", "value", "histogram", NULL};
    struct slice histogram = ctl_yaml_text(w, yaml_get(n, "histogram"));
    struct slice value = ctl_yaml_text(w, yaml_get(n, "value"));

    ctl_yaml_fields(w, n, names);
    if (!yaml_is_null(n))
        parse_value(w, n, ctl_yaml_text(w, yaml_get(n, "labels")),
                    histogram.len ? histogram : SLICE("0"), ret);
    if (value.len && value.ptr[0] == '.') /* .inf, .nan */
        value = slice_from(value, 1);
    if (value.len && !gonum_number(value, &ret->v))
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "value: %.*s is no number", SLICE_ARG(value)));
}

static void parse_expr(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_unit_expr *ret)
{
    static const char *const names[] = {"expr", "eval_time", "exp_samples", NULL};
    struct yaml_node **items;

    ctl_yaml_fields(w, n, names);
    ret->expr = ctl_yaml_text(w, yaml_get(n, "expr"));
    ret->at_ms = ctl_yaml_duration(w, yaml_get(n, "eval_time"), 0);
    items = ctl_yaml_list(w, yaml_get(n, "exp_samples"), &ret->n);
    ret->expected = arena_array(w->a, struct ctl_unit_sample, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        parse_sample(w, items[i], &ret->expected[i]);
}

static int64_t start_of(struct ctl_yaml *w, const struct yaml_node *n)
{
    int64_t ms = 0;
    struct err *e;

    if (!yaml_is_null(n) && (e = gotime_parse_api(ctl_yaml_text(w, n), &ms)))
        ctl_yaml_fail(w, n, err_wrap(e, "start_timestamp"));
    return ms;
}

static void parse_test(struct ctl_yaml *w, const struct yaml_node *n, int64_t interval_ms,
                       struct ctl_unit_test *ret)
{
    static const char *const names[] = {"interval",        "input_series",    "name",
                                        "start_timestamp", "alert_rule_test", "promql_expr_test",
                                        "external_labels", "external_url",    NULL};
    struct yaml_node **items;

    ctl_yaml_fields(w, n, names);
    ret->name = ctl_yaml_text(w, yaml_get(n, "name"));
    ret->external_url = ctl_yaml_text(w, yaml_get(n, "external_url"));
    ret->external_labels = ctl_yaml_labels(w, yaml_get(n, "external_labels"));
    ret->start_ms = start_of(w, yaml_get(n, "start_timestamp"));
    ret->interval_ms = ctl_yaml_duration(w, yaml_get(n, "interval"), 0);
    if (ret->interval_ms == 0)
        ret->interval_ms = interval_ms;
    items = ctl_yaml_list(w, yaml_get(n, "input_series"), &ret->n_series);
    ret->series = arena_array(w->a, struct ctl_unit_series, ret->n_series + 1);
    for (size_t i = 0; i < ret->n_series; i++)
        parse_series(w, items[i], &ret->series[i]);
    items = ctl_yaml_list(w, yaml_get(n, "alert_rule_test"), &ret->n_alerts);
    ret->alerts = arena_array(w->a, struct ctl_unit_alerts, ret->n_alerts + 1);
    for (size_t i = 0; i < ret->n_alerts; i++)
        parse_alerts(w, items[i], &ret->alerts[i]);
    items = ctl_yaml_list(w, yaml_get(n, "promql_expr_test"), &ret->n_exprs);
    ret->exprs = arena_array(w->a, struct ctl_unit_expr, ret->n_exprs + 1);
    for (size_t i = 0; i < ret->n_exprs; i++)
        parse_expr(w, items[i], &ret->exprs[i]);
}

static struct slice *texts_of(struct ctl_yaml *w, const struct yaml_node *n, size_t *ret_n)
{
    struct yaml_node **items = ctl_yaml_list(w, n, ret_n);
    struct slice *out = arena_array(w->a, struct slice, *ret_n + 1);

    for (size_t i = 0; i < *ret_n; i++)
        out[i] = ctl_yaml_text(w, items[i]);
    return out;
}

static void check_order(struct ctl_yaml *w, const struct yaml_node *n, const struct ctl_unit *u)
{
    for (size_t i = 0; i < u->n_order; i++)
        for (size_t k = 0; k < i; k++)
            if (slice_eq(u->order[i], u->order[k]))
                ctl_yaml_fail(w, n,
                              err_new(ERR_INVALID, "group name repeated in evaluation order: %.*s",
                                      SLICE_ARG(u->order[i])));
}

static void parse_root(struct ctl_yaml *w, const struct yaml_node *root, struct ctl_unit *ret)
{
    static const char *const names[] = {
        "rule_files", "evaluation_interval", "fuzzy_compare", "group_eval_order", "tests", NULL};
    const struct yaml_node *fuzzy = yaml_get(root, "fuzzy_compare");
    struct yaml_node **items;

    ctl_yaml_fields(w, root, names);
    ret->rule_files = texts_of(w, yaml_get(root, "rule_files"), &ret->n_rule_files);
    ret->order = texts_of(w, yaml_get(root, "group_eval_order"), &ret->n_order);
    check_order(w, root, ret);
    ret->interval_ms = ctl_yaml_duration(w, yaml_get(root, "evaluation_interval"), 0);
    if (ret->interval_ms == 0)
        ret->interval_ms = DEFAULT_INTERVAL_MS;
    if (!yaml_is_null(fuzzy) && !yaml_bool(fuzzy, &ret->is_fuzzy))
        ctl_yaml_fail(w, fuzzy, err_new(ERR_INVALID, "fuzzy_compare is true or false"));
    items = ctl_yaml_list(w, yaml_get(root, "tests"), &ret->n_tests);
    ret->tests = arena_array(w->a, struct ctl_unit_test, ret->n_tests + 1);
    for (size_t i = 0; i < ret->n_tests; i++)
        parse_test(w, items[i], ret->interval_ms, &ret->tests[i]);
}

struct err *ctl_unit_parse(struct arena *a, const char *path, struct slice text,
                           struct ctl_unit *ret)
{
    struct ctl_yaml w = {.a = a};
    struct yaml_node *root = NULL;
    struct err *e = yaml_load(path, text, a, &root);

    *ret = (struct ctl_unit){.path = path};
    if (e)
        return e;
    if (!yaml_is_null(root))
        parse_root(&w, root, ret);
    return err_wrap(w.error, "%s", path);
}
