/* Files of objectives: YAML to structs. */
#include "deploy/orreryctl/ctl_slo.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/gonum.h"
#include "common/base/map.h"
#include "common/lang/promql.h"
#include "deploy/orreryctl/ctl_yaml.h"

#define WINDOW_MS (30LL * 24 * 3600 * MS_PER_S)

static double number_of(struct ctl_yaml *w, const struct yaml_node *n, const char *what)
{
    double v = 0;

    if (yaml_is_null(n) || !gonum_float(ctl_yaml_text(w, n), &v) || !isfinite(v)) {
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "%s must be a number", what));
        return 0;
    }
    return v;
}

/* Prometheus would expand it, and the tests could not foresee to what. */
static void check_text(struct ctl_yaml *w, const struct yaml_node *n, struct slice text)
{
    if (slice_find(text, SLICE("{{"), 0) >= 0)
        ctl_yaml_fail(w, n,
                      err_new(ERR_INVALID, "texts with {{ in them are templates, which are not "
                                           "taken here"));
}

static struct slice required(struct ctl_yaml *w, const struct yaml_node *n, const char *key)
{
    const struct yaml_node *v = yaml_get(n, key);
    struct slice text = slice_trim(ctl_yaml_text(w, v));

    if (!text.len)
        ctl_yaml_fail(w, v ? v : n, err_new(ERR_INVALID, "%s is missing", key));
    check_text(w, v ? v : n, text);
    return text;
}

/* A selector of counters, as PromQL prints it. */
static struct slice selector_of(struct ctl_yaml *w, const struct yaml_node *n, const char *key)
{
    const struct yaml_node *v = yaml_get(n, key);
    struct slice text = required(w, n, key), ret = SLICE_EMPTY;
    struct promql q = {0};
    struct buf out = {0};
    struct err *e;

    if (!text.len)
        return ret;
    if ((e = promql_parse(w->a, text, NULL, &q))) {
        ctl_yaml_fail(w, v, err_wrap(e, "%s", key));
        return ret;
    }
    if (q.root->kind != PROMQL_SELECTOR || q.root->u.selector.has_offset ||
        q.root->u.selector.at != PROMQL_AT_NONE)
        ctl_yaml_fail(w, v,
                      err_new(ERR_INVALID,
                              "%s must be a selector alone, as requests_total{job=\"a\"}: rates "
                              "over windows are made of it",
                              key));
    promql_print(&out, q.root);
    ret = arena_dup(w->a, buf_slice(&out));
    buf_done(&out);
    promql_done(&q);
    return ret;
}

static void default_burns(struct ctl_slo *s)
{
#define X(factor, long_min, short_min, for_min, severity)                                          \
    s->burns[s->n_burns++] =                                                                       \
        (struct ctl_slo_burn){factor, (long_min)*60LL * MS_PER_S, (short_min)*60LL * MS_PER_S,     \
                              (for_min)*60LL * MS_PER_S, SLICE(severity)};
    CTL_SLO_BURNS(X)
#undef X
}

static void parse_burn(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo_burn *ret)
{
    static const char *const names[] = {"factor", "long", "short", "for", "severity", NULL};

    ctl_yaml_fields(w, n, names);
    if (w->error)
        return;
    ret->factor = number_of(w, yaml_get(n, "factor") ? yaml_get(n, "factor") : n, "factor");
    ret->long_ms = ctl_yaml_duration(w, yaml_get(n, "long"), 0);
    ret->short_ms = ctl_yaml_duration(w, yaml_get(n, "short"), 0);
    ret->for_ms = ctl_yaml_duration(w, yaml_get(n, "for"), 0);
    ret->severity = required(w, n, "severity");
    if (!(ret->factor > 0) || ret->long_ms <= 0 || ret->short_ms < 0 ||
        ret->short_ms >= ret->long_ms)
        ctl_yaml_fail(w, n,
                      err_new(ERR_INVALID, "a burn rate needs a factor above 0, and a long window "
                                           "that is longer than the short one"));
}

static void parse_burns(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo *s)
{
    size_t count;
    struct yaml_node **items = ctl_yaml_list(w, n, &count);

    if (!count)
        default_burns(s);
    if (count > CTL_SLO_MAX_BURNS)
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "more than %d burn rates", CTL_SLO_MAX_BURNS));
    for (size_t i = 0; i < count && !w->error; i++)
        parse_burn(w, items[i], &s->burns[s->n_burns++]);
}

static void parse_ratio(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo *s)
{
    static const char *const names[] = {"errors", "total", NULL};

    ctl_yaml_fields(w, n, names);
    s->kind = CTL_SLO_RATIO;
    s->errors = selector_of(w, n, "errors");
    s->total = selector_of(w, n, "total");
}

static void parse_latency(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo *s)
{
    static const char *const names[] = {"buckets", "histogram", "threshold", NULL};
    bool is_native = !yaml_is_null(yaml_get(n, "histogram"));

    ctl_yaml_fields(w, n, names);
    if (is_native == !yaml_is_null(yaml_get(n, "buckets")))
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "either buckets or histogram must be there"));
    s->kind = is_native ? CTL_SLO_NATIVE : CTL_SLO_BUCKETS;
    s->total = selector_of(w, n, is_native ? "histogram" : "buckets");
    s->threshold =
        number_of(w, yaml_get(n, "threshold") ? yaml_get(n, "threshold") : n, "threshold");
    if (!(s->threshold > 0))
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "threshold must be above 0"));
}

/* "check-out", "p99 latency" → CheckOutP99LatencyErrorBudgetBurn */
static struct slice alert_name(struct arena *a, struct slice service, struct slice slo)
{
    struct slice parts[] = {service, slo};
    struct buf out = {0};
    struct slice ret;

    for (size_t k = 0; k < ORR_COUNT(parts); k++) {
        bool is_first = true;

        for (size_t i = 0; i < parts[k].len; i++) {
            uint8_t c = parts[k].ptr[i];
            bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

            if (is_letter || (c >= '0' && c <= '9'))
                buf_byte(&out, is_first && is_letter ? (uint8_t)(c & ~0x20) : c);
            is_first = !is_letter && !(c >= '0' && c <= '9');
        }
    }
    buf_str(&out, "ErrorBudgetBurn");
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static struct slice replaced(struct arena *a, struct slice text, struct slice what,
                             struct slice with)
{
    struct buf out = {0};
    struct slice ret;
    ptrdiff_t at;
    size_t from = 0;

    while ((at = slice_find(text, what, from)) >= 0) {
        buf_slice_append(&out, slice_sub(text, from, (size_t)at));
        buf_slice_append(&out, with);
        from = (size_t)at + what.len;
    }
    buf_slice_append(&out, slice_from(text, from));
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static void parse_objective(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo *s)
{
    const struct yaml_node *v = yaml_get(n, "objective");
    double percent = number_of(w, v ? v : n, "objective");

    if (!(percent > 0 && percent < 100))
        ctl_yaml_fail(w, v ? v : n,
                      err_new(ERR_INVALID, "objective must be a percentage between 0 and 100"));
    s->objective = arena_printf(w->a, "%.10g", percent);
    s->budget = (100 - percent) / 100;
}

static void parse_by(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo *s)
{
    struct yaml_node **items = ctl_yaml_list(w, n, &s->n_by);

    s->by = arena_array(w->a, struct slice, s->n_by + 1);
    for (size_t i = 0; i < s->n_by; i++) {
        s->by[i] = ctl_yaml_text(w, items[i]);
        if (!labels_is_legacy_name(s->by[i]))
            ctl_yaml_fail(w, items[i], err_new(ERR_INVALID, "by must be names of labels"));
    }
}

static void parse_slo(struct ctl_yaml *w, const struct yaml_node *n, const struct ctl_slo_file *f,
                      struct slice runbook, struct ctl_slo *s)
{
    static const char *const names[] = {"name",  "description", "objective", "window",     "by",
                                        "ratio", "latency",     "alert",     "burn_rates", NULL};
    const struct yaml_node *ratio = yaml_get(n, "ratio"), *latency = yaml_get(n, "latency");

    ctl_yaml_fields(w, n, names);
    if (w->error)
        return;
    s->name = required(w, n, "name");
    s->description = slice_trim(ctl_yaml_text(w, yaml_get(n, "description")));
    check_text(w, n, s->description);
    s->window_ms = ctl_yaml_duration(w, yaml_get(n, "window"), WINDOW_MS);
    s->alert = ctl_yaml_text(w, yaml_get(n, "alert"));
    if (!s->alert.len)
        s->alert = alert_name(w->a, f->service, s->name);
    s->runbook_url = replaced(w->a, replaced(w->a, runbook, SLICE("{service}"), f->service),
                              SLICE("{slo}"), s->name);
    parse_objective(w, n, s);
    parse_by(w, yaml_get(n, "by"), s);
    if (yaml_is_null(ratio) == yaml_is_null(latency))
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "either ratio or latency must be there"));
    else if (ratio)
        parse_ratio(w, ratio, s);
    else
        parse_latency(w, latency, s);
    parse_burns(w, yaml_get(n, "burn_rates"), s);
    if (s->window_ms <= 0)
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "window must be above 0"));
}

static void parse_root(struct ctl_yaml *w, const struct yaml_node *n, struct ctl_slo_file *f)
{
    static const char *const names[] = {"service", "owner", "runbook_url", "labels", "slos", NULL};
    struct map seen = {0};
    struct slice runbook;
    struct yaml_node **items;

    ctl_yaml_fields(w, n, names);
    if (w->error)
        return;
    f->service = required(w, n, "service");
    f->owner = required(w, n, "owner");
    runbook = required(w, n, "runbook_url");
    f->labels = ctl_yaml_labels(w, yaml_get(n, "labels"));
    for (size_t i = 0; i < f->labels.n; i++)
        check_text(w, n, f->labels.ptr[i].value);
    items = ctl_yaml_list(w, yaml_get(n, "slos"), &f->n);
    f->slos = arena_array(w->a, struct ctl_slo, f->n + 1);
    for (size_t i = 0; i < f->n && !w->error; i++) {
        parse_slo(w, items[i], f, runbook, &f->slos[i]);
        if (!w->error &&
            (map_put(&seen, f->slos[i].name, f) || map_put(&seen, f->slos[i].alert, f)))
            ctl_yaml_fail(w, items[i], err_new(ERR_INVALID, "a name (or an alert) is there twice"));
    }
    if (!f->n && !w->error)
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "slos is empty"));
    map_done(&seen);
}

struct err *ctl_slo_parse(struct arena *a, const char *path, struct slice text,
                          struct ctl_slo_file *ret)
{
    struct ctl_yaml w = {.a = a};
    struct yaml_node *root = NULL;
    struct err *e = yaml_load(path, text, a, &root);

    *ret = (struct ctl_slo_file){.path = path};
    if (e)
        return e;
    if (yaml_is_null(root))
        return err_new(ERR_INVALID, "%s: it is empty", path);
    parse_root(&w, root, ret);
    return err_wrap(w.error, "%s", path);
}
