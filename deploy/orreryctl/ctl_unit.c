/* Files of unit tests: YAML to structs. */
#include "deploy/orreryctl/ctl_unit.h"

#include "common/base/clock.h"
#include "common/base/gonum.h"
#include "common/base/gotime.h"
#include "common/base/promdur.h"
#include "common/base/yaml.h"
#include "common/lang/promql_series.h"

#define DEFAULT_INTERVAL_MS (60 * 1000)

/* A walk over the tree ends with its first error. */
struct walk {
    struct arena *a;
    struct err *error;
};

static void fail(struct walk *w, const struct yaml_node *n, struct err *e)
{
    w->error = err_first(w->error, err_wrap(e, "%u", n->line));
}

static struct slice text_of(struct walk *w, const struct yaml_node *n)
{
    if (yaml_is_null(n))
        return SLICE_EMPTY;
    if (n->kind == YAML_KIND_SCALAR)
        return n->text;
    fail(w, n, err_new(ERR_INVALID, "a text is expected"));
    return SLICE_EMPTY;
}

static int64_t duration_of(struct walk *w, const struct yaml_node *n, int64_t absent_ms)
{
    int64_t ns = 0;
    struct err *e;

    if (yaml_is_null(n))
        return absent_ms;
    if ((e = promdur_parse(text_of(w, n), &ns)))
        fail(w, n, e);
    return ns / NS_PER_MS;
}

/* The items of a list; none when it is absent. */
static struct yaml_node **list_of(struct walk *w, const struct yaml_node *n, size_t *ret_n)
{
    *ret_n = 0;
    if (yaml_is_null(n))
        return NULL;
    if (n->kind != YAML_KIND_SEQ) {
        fail(w, n, err_new(ERR_INVALID, "a list is expected"));
        return NULL;
    }
    *ret_n = n->n;
    return n->items;
}

/* A mapping of these fields (NULL-terminated), or nothing. */
static void check_fields(struct walk *w, const struct yaml_node *n, const char *const *names)
{
    if (yaml_is_null(n))
        return;
    if (n->kind != YAML_KIND_MAP) {
        fail(w, n, err_new(ERR_INVALID, "a mapping is expected"));
        return;
    }
    for (size_t i = 0; i < n->n; i++) {
        bool is_known = false;

        for (size_t k = 0; names[k]; k++)
            is_known = is_known || slice_eq_cstr(n->keys[i].text, names[k]);
        if (!is_known)
            fail(w, n, err_new(ERR_INVALID, "field %.*s not found", SLICE_ARG(n->keys[i].text)));
    }
}

static struct labels labels_of(struct walk *w, const struct yaml_node *n)
{
    struct label *ls;
    struct slice dup;

    if (yaml_is_null(n))
        return (struct labels){0};
    if (n->kind != YAML_KIND_MAP) {
        fail(w, n, err_new(ERR_INVALID, "a mapping is expected"));
        return (struct labels){0};
    }
    ls = arena_array(w->a, struct label, n->n + 1);
    for (size_t i = 0; i < n->n; i++)
        ls[i] = (struct label){n->keys[i].text, text_of(w, n->items[i])};
    (void)labels_sort(ls, n->n, &dup); /* the reader of YAML refused doubles */
    return (struct labels){ls, n->n};
}

static void parse_series(struct walk *w, const struct yaml_node *n, struct ctl_unit_series *ret)
{
    static const char *const names[] = {"series", "values", NULL};

    check_fields(w, n, names);
    ret->labels = text_of(w, yaml_get(n, "series"));
    ret->values = text_of(w, yaml_get(n, "values"));
}

static void parse_alert(struct walk *w, const struct yaml_node *n, struct slice name,
                        struct ctl_unit_alert *ret)
{
    static const char *const names[] = {"exp_labels", "exp_annotations", NULL};
    struct labels_builder b;

    check_fields(w, n, names);
    labels_builder_init(&b, w->a, labels_of(w, yaml_get(n, "exp_labels")));
    labels_builder_set(&b, SLICE("alertname"), name);
    ret->labels = labels_builder_labels(&b);
    ret->annotations = labels_of(w, yaml_get(n, "exp_annotations"));
}

static void parse_alerts(struct walk *w, const struct yaml_node *n, struct ctl_unit_alerts *ret)
{
    static const char *const names[] = {"eval_time", "alertname", "exp_alerts", NULL};
    struct yaml_node **items;

    check_fields(w, n, names);
    ret->at_ms = duration_of(w, yaml_get(n, "eval_time"), 0);
    ret->name = text_of(w, yaml_get(n, "alertname"));
    if (!ret->name.len && !yaml_is_null(n))
        fail(w, n, err_new(ERR_INVALID, "an alert_rule_test has no alertname"));
    items = list_of(w, yaml_get(n, "exp_alerts"), &ret->n);
    ret->expected = arena_array(w->a, struct ctl_unit_alert, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        parse_alert(w, items[i], ret->name, &ret->expected[i]);
}

/* Of a series in its notation, with one value; the labels may be absent. */
static void parse_value(struct walk *w, const struct yaml_node *n, struct slice labels,
                        struct slice value, struct ctl_unit_sample *ret)
{
    char *text = arena_printf(w->a, "%.*s %.*s", SLICE_ARG(labels.len ? labels : SLICE("{}")),
                              SLICE_ARG(value));
    struct promql_series s = {.n = 0};
    struct err *e = promql_series_parse(w->a, slice_cstr(text), &s);

    if (!e && s.n != 1)
        e = err_new(ERR_INVALID, "one value is expected");
    if (e) {
        fail(w, n, e);
        return;
    }
    ret->labels = s.labels;
    ret->h = s.values[0].h;
}

static void parse_sample(struct walk *w, const struct yaml_node *n, struct ctl_unit_sample *ret)
{
    static const char *const names[] = {"labels", "value", "histogram", NULL};
    struct slice histogram = text_of(w, yaml_get(n, "histogram"));
    struct slice value = text_of(w, yaml_get(n, "value"));

    check_fields(w, n, names);
    if (!yaml_is_null(n))
        parse_value(w, n, text_of(w, yaml_get(n, "labels")), histogram.len ? histogram : SLICE("0"),
                    ret);
    if (value.len && value.ptr[0] == '.') /* .inf, .nan */
        value = slice_from(value, 1);
    if (value.len && !gonum_number(value, &ret->v))
        fail(w, n, err_new(ERR_INVALID, "value: %.*s is no number", SLICE_ARG(value)));
}

static void parse_expr(struct walk *w, const struct yaml_node *n, struct ctl_unit_expr *ret)
{
    static const char *const names[] = {"expr", "eval_time", "exp_samples", NULL};
    struct yaml_node **items;

    check_fields(w, n, names);
    ret->expr = text_of(w, yaml_get(n, "expr"));
    ret->at_ms = duration_of(w, yaml_get(n, "eval_time"), 0);
    items = list_of(w, yaml_get(n, "exp_samples"), &ret->n);
    ret->expected = arena_array(w->a, struct ctl_unit_sample, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        parse_sample(w, items[i], &ret->expected[i]);
}

static int64_t start_of(struct walk *w, const struct yaml_node *n)
{
    int64_t ms = 0;
    struct err *e;

    if (!yaml_is_null(n) && (e = gotime_parse_api(text_of(w, n), &ms)))
        fail(w, n, err_wrap(e, "start_timestamp"));
    return ms;
}

static void parse_test(struct walk *w, const struct yaml_node *n, int64_t interval_ms,
                       struct ctl_unit_test *ret)
{
    static const char *const names[] = {"interval",        "input_series",    "name",
                                        "start_timestamp", "alert_rule_test", "promql_expr_test",
                                        "external_labels", "external_url",    NULL};
    struct yaml_node **items;

    check_fields(w, n, names);
    ret->name = text_of(w, yaml_get(n, "name"));
    ret->external_url = text_of(w, yaml_get(n, "external_url"));
    ret->external_labels = labels_of(w, yaml_get(n, "external_labels"));
    ret->start_ms = start_of(w, yaml_get(n, "start_timestamp"));
    ret->interval_ms = duration_of(w, yaml_get(n, "interval"), 0);
    if (ret->interval_ms == 0)
        ret->interval_ms = interval_ms;
    items = list_of(w, yaml_get(n, "input_series"), &ret->n_series);
    ret->series = arena_array(w->a, struct ctl_unit_series, ret->n_series + 1);
    for (size_t i = 0; i < ret->n_series; i++)
        parse_series(w, items[i], &ret->series[i]);
    items = list_of(w, yaml_get(n, "alert_rule_test"), &ret->n_alerts);
    ret->alerts = arena_array(w->a, struct ctl_unit_alerts, ret->n_alerts + 1);
    for (size_t i = 0; i < ret->n_alerts; i++)
        parse_alerts(w, items[i], &ret->alerts[i]);
    items = list_of(w, yaml_get(n, "promql_expr_test"), &ret->n_exprs);
    ret->exprs = arena_array(w->a, struct ctl_unit_expr, ret->n_exprs + 1);
    for (size_t i = 0; i < ret->n_exprs; i++)
        parse_expr(w, items[i], &ret->exprs[i]);
}

static struct slice *texts_of(struct walk *w, const struct yaml_node *n, size_t *ret_n)
{
    struct yaml_node **items = list_of(w, n, ret_n);
    struct slice *out = arena_array(w->a, struct slice, *ret_n + 1);

    for (size_t i = 0; i < *ret_n; i++)
        out[i] = text_of(w, items[i]);
    return out;
}

static void check_order(struct walk *w, const struct yaml_node *n, const struct ctl_unit *u)
{
    for (size_t i = 0; i < u->n_order; i++)
        for (size_t k = 0; k < i; k++)
            if (slice_eq(u->order[i], u->order[k]))
                fail(w, n,
                     err_new(ERR_INVALID, "group name repeated in evaluation order: %.*s",
                             SLICE_ARG(u->order[i])));
}

static void parse_root(struct walk *w, const struct yaml_node *root, struct ctl_unit *ret)
{
    static const char *const names[] = {
        "rule_files", "evaluation_interval", "fuzzy_compare", "group_eval_order", "tests", NULL};
    const struct yaml_node *fuzzy = yaml_get(root, "fuzzy_compare");
    struct yaml_node **items;

    check_fields(w, root, names);
    ret->rule_files = texts_of(w, yaml_get(root, "rule_files"), &ret->n_rule_files);
    ret->order = texts_of(w, yaml_get(root, "group_eval_order"), &ret->n_order);
    check_order(w, root, ret);
    ret->interval_ms = duration_of(w, yaml_get(root, "evaluation_interval"), 0);
    if (ret->interval_ms == 0)
        ret->interval_ms = DEFAULT_INTERVAL_MS;
    if (!yaml_is_null(fuzzy) && !yaml_bool(fuzzy, &ret->is_fuzzy))
        fail(w, fuzzy, err_new(ERR_INVALID, "fuzzy_compare is true or false"));
    items = list_of(w, yaml_get(root, "tests"), &ret->n_tests);
    ret->tests = arena_array(w->a, struct ctl_unit_test, ret->n_tests + 1);
    for (size_t i = 0; i < ret->n_tests; i++)
        parse_test(w, items[i], ret->interval_ms, &ret->tests[i]);
}

struct err *ctl_unit_parse(struct arena *a, const char *path, struct slice text,
                           struct ctl_unit *ret)
{
    struct walk w = {.a = a};
    struct yaml_node *root = NULL;
    struct err *e = yaml_load(path, text, a, &root);

    *ret = (struct ctl_unit){.path = path};
    if (e)
        return e;
    if (!yaml_is_null(root))
        parse_root(&w, root, ret);
    return err_wrap(w.error, "%s", path);
}
