/* Unit tests of rules at work. */
#include <glob.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/promdur.h"
#include "common/base/vec.h"
#include "common/base/yaml.h"
#include "common/lang/promql_series.h"
#include "deploy/orreryctl/ctl_unit.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "ruler/rule_group.h"

#define MAX_STEPS 1000000 /* evaluations of a test */
#define RULE_MAX_BYTES (1u << 30)

struct input {
    struct promql_series series;
    size_t next; /* value that is not in the store yet */
};

/* One test at work. */
struct bench {
    struct arena *a;
    const struct ctl_unit *unit;
    const struct ctl_unit_test *test;
    struct buf *out;
    struct engine *eng;
    struct memstore *store;
    struct rule_group_settings set;
    struct input *inputs;
    VEC(struct rule_file *) files;
    VEC(struct rule_group_run *) groups; /* in the order of evaluation */
    bool has_failed;
};

static void fail(struct bench *b, const char *fmt, ...) ORR_PRINTF(2, 3);
static void fail(struct bench *b, const char *fmt, ...)
{
    va_list ap;

    if (!b->has_failed && b->test->name.len)
        buf_printf(b->out, "    name: %.*s,\n", SLICE_ARG(b->test->name));
    b->has_failed = true;
    va_start(ap, fmt);
    buf_str(b->out, "    ");
    buf_vprintf(b->out, fmt, ap);
    buf_byte(b->out, '\n');
    va_end(ap);
}

/* Takes e. */
static void fail_err(struct bench *b, struct err *e)
{
    fail(b, "%s", err_msg(e));
    err_free(e);
}

static const char *duration_text(struct bench *b, int64_t ms)
{
    struct buf text = {0};
    const char *ret;

    promdur_print(&text, ms * NS_PER_MS);
    ret = arena_cstr(b->a, buf_slice(&text));
    buf_done(&text);
    return ret;
}

/* ---- what rules ask and write ---- */

static struct err *query(struct bench *b, struct arena *a, struct slice expr, int64_t t_ms,
                         struct rule_vector *ret)
{
    struct engine_query q = {.expr = expr, .start_ms = t_ms, .end_ms = t_ms};
    struct engine_result res = {0};
    struct err *e = engine_query(b->eng, &q, memstore_storage(b->store), a, &res);
    struct rule_sample *out;

    if (e)
        return e;
    if (res.type != ENGINE_VECTOR && res.type != ENGINE_SCALAR)
        return err_new(ERR_EXEC, "rule result is not a vector or scalar");
    out = arena_array(a, struct rule_sample, res.n_series + 1);
    for (size_t i = 0; i < res.n_series; i++) {
        const struct engine_series *s = &res.series[i];

        out[i] = (struct rule_sample){
            .labels = s->labels, .v = s->n_hist ? 0 : s->v[0], .h = s->n_hist ? s->hist[0] : NULL};
    }
    *ret = (struct rule_vector){out, res.n_series};
    return NULL;
}

static struct err *on_query(void *arg, struct arena *a, enum rule_lang lang, struct slice expr,
                            int64_t t_ms, struct rule_vector *ret)
{
    (void)lang; /* of files of PromQL */
    return query(arg, a, expr, t_ms, ret);
}

static struct err *on_write(void *arg, const struct rule_series *s, size_t n)
{
    struct bench *b = arg;

    for (size_t i = 0; i < n; i++)
        memstore_add(b->store, s[i].labels, s[i].t_ms, s[i].v, s[i].h, 0);
    return NULL;
}

static void on_notify(void *arg, const struct rule *r, const struct rule_alert *const *alerts,
                      size_t n)
{
    (void)arg;
    (void)r;
    (void)alerts;
    (void)n;
}

/* ---- getting ready ---- */

static void read_inputs(struct bench *b)
{
    b->inputs = arena_array(b->a, struct input, b->test->n_series + 1);
    for (size_t i = 0; i < b->test->n_series; i++) {
        const struct ctl_unit_series *s = &b->test->series[i];
        char *text = arena_printf(b->a, "%.*s %.*s", SLICE_ARG(s->labels), SLICE_ARG(s->values));
        struct err *e = promql_series_parse(b->a, slice_cstr(text), &b->inputs[i].series);

        if (e)
            fail_err(b, err_wrap(e, "input_series %.*s", SLICE_ARG(s->labels)));
    }
}

static size_t place_of(const struct bench *b, struct slice group)
{
    for (size_t i = 0; i < b->unit->n_order; i++)
        if (slice_eq(b->unit->order[i], group))
            return i;
    return 0; /* as the first one, as promtool has it */
}

/* Behind those that are to be evaluated before it. */
static void add_group(struct bench *b, const struct rule_file *f, size_t index)
{
    struct rule_group_run *g = rule_group_new(f, index, false, &b->set);
    size_t at;

    vec_push(&b->groups, g);
    for (at = b->groups.len - 1;
         at > 0 && place_of(b, b->groups.ptr[at - 1]->group->name) > place_of(b, g->group->name);
         at--)
        b->groups.ptr[at] = b->groups.ptr[at - 1];
    b->groups.ptr[at] = g;
}

static void read_rules(struct bench *b, const char *path)
{
    struct rule_file *f = NULL;
    struct buf text = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = rule_file_parse(path, buf_slice(&text), RULE_PROMQL, &f);
    buf_done(&text);
    if (e) {
        fail_err(b, e);
        return;
    }
    vec_push(&b->files, f);
    for (size_t i = 0; i < f->n_groups; i++)
        add_group(b, f, i);
}

/* rule_files are patterns, and lie where the tests do. */
static void read_rule_files(struct bench *b, struct slice pattern)
{
    const char *slash = strrchr(b->unit->path, '/');
    int dir = slash && pattern.len && pattern.ptr[0] != '/' ? (int)(slash + 1 - b->unit->path) : 0;
    char *path = arena_printf(b->a, "%.*s%.*s", dir, b->unit->path, SLICE_ARG(pattern));
    glob_t g;

    if (glob(path, 0, NULL, &g) != 0) {
        buf_printf(b->out, "    WARNING: no file matches %s\n", path);
        return;
    }
    for (size_t i = 0; i < g.gl_pathc; i++)
        read_rules(b, g.gl_pathv[i]);
    globfree(&g);
}

/* ---- one evaluation ---- */

/* The samples up to then. */
static void add_samples(struct bench *b, int64_t ts_ms)
{
    bool has_hist = false;

    for (size_t i = 0; i < b->test->n_series; i++) {
        struct input *in = &b->inputs[i];

        for (; in->next < in->series.n; in->next++) {
            const struct promql_value *v = &in->series.values[in->next];
            int64_t t_ms = b->test->start_ms + (int64_t)in->next * b->test->interval_ms;

            if (t_ms > ts_ms)
                break;
            if (v->is_omitted)
                continue;
            memstore_add(b->store, in->series.labels, t_ms, v->v, v->h, 0);
            has_hist = has_hist || v->h;
        }
    }
    if (has_hist)
        memstore_derive_hints(b->store);
}

/* False: a rule failed, and the test ends. */
static bool evaluate(struct bench *b, int64_t ts_ms)
{
    struct rule_group_ops ops = {
        .query = on_query, .write = on_write, .notify = on_notify, .arg = b};
    bool is_well = true;

    add_samples(b, ts_ms);
    VEC_FOREACH (gp, &b->groups) {
        const struct rule_group_run *g = *gp;

        rule_group_eval(*gp, &b->set, &ops, ts_ms, NULL);
        for (size_t i = 0; i < g->group->n_rules; i++) {
            if (!g->states[i]->error)
                continue;
            fail(b, "rule: %.*s, time: %s, err: %s", SLICE_ARG(g->group->rules[i].name),
                 duration_text(b, ts_ms - b->test->start_ms), g->states[i]->error);
            is_well = false;
        }
    }
    return is_well;
}

/* ---- what is expected ---- */

static void put_alert(struct buf *out, const struct ctl_unit_alert *al)
{
    buf_str(out, " Labels:");
    labels_text(out, al->labels);
    buf_str(out, " Annotations:");
    labels_text(out, al->annotations);
}

static const char *alerts_text(struct bench *b, const struct ctl_unit_alert *alerts, size_t n)
{
    struct buf text = {0};
    const char *ret;

    buf_byte(&text, '[');
    for (size_t i = 0; i < n; i++) {
        buf_printf(&text, "\n            %zu:", i);
        put_alert(&text, &alerts[i]);
    }
    buf_str(&text, n ? "\n        ]" : "]");
    ret = arena_cstr(b->a, buf_slice(&text));
    buf_done(&text);
    return ret;
}

static int cmp_alerts(const void *pa, const void *pb)
{
    const struct ctl_unit_alert *x = pa, *y = pb;
    int c = labels_cmp(x->labels, y->labels);

    return c ? c : labels_cmp(x->annotations, y->annotations);
}

/* What fires under that name now, in the arena. */
static struct ctl_unit_alert *firing(struct bench *b, struct slice name, size_t *ret_n)
{
    VEC(struct ctl_unit_alert) found = {0};
    struct ctl_unit_alert *ret;

    VEC_FOREACH (gp, &b->groups)
        for (size_t i = 0; i < (*gp)->group->n_rules; i++) {
            const struct rule_state *s = (*gp)->states[i];

            if (!s->rule->is_alert || !slice_eq(s->rule->name, name))
                continue;
            MAP_FOREACH (e, &s->active) {
                const struct rule_alert *al = e->value;

                if (al->state == RULE_FIRING)
                    vec_push(&found, ((struct ctl_unit_alert){labels_dup(b->a, al->labels),
                                                              labels_dup(b->a, al->annotations)}));
            }
        }
    *ret_n = found.len;
    ret = arena_array(b->a, struct ctl_unit_alert, found.len + 1);
    for (size_t i = 0; i < found.len; i++)
        ret[i] = found.ptr[i];
    vec_done(&found);
    return ret;
}

static void check_alerts(struct bench *b, const struct ctl_unit_alerts *want)
{
    size_t n;
    struct ctl_unit_alert *got = firing(b, want->name, &n);
    bool is_same = n == want->n;

    qsort(got, n, sizeof(*got), cmp_alerts);
    qsort(want->expected, want->n, sizeof(*want->expected), cmp_alerts);
    for (size_t i = 0; i < n && is_same; i++)
        is_same = cmp_alerts(&got[i], &want->expected[i]) == 0;
    if (!is_same)
        fail(b, "alertname: %.*s, time: %s,\n        exp:%s,\n        got:%s",
             SLICE_ARG(want->name), duration_text(b, want->at_ms),
             alerts_text(b, want->expected, want->n), alerts_text(b, got, n));
}

static void put_sample(struct buf *out, struct labels ls, double v, const struct histogram *h)
{
    labels_text(out, ls);
    buf_byte(out, ' ');
    if (h)
        promql_histogram_print(out, h);
    else
        buf_f64_text(out, v);
}

static const char *samples_text(struct bench *b, const struct ctl_unit_sample *samples, size_t n)
{
    struct buf text = {0};
    const char *ret;

    for (size_t i = 0; i < n; i++) {
        buf_str(&text, "\n            ");
        put_sample(&text, samples[i].labels, samples[i].v, samples[i].h);
    }
    ret = n ? arena_cstr(b->a, buf_slice(&text)) : " nil";
    buf_done(&text);
    return ret;
}

static int cmp_samples(const void *pa, const void *pb)
{
    const struct ctl_unit_sample *x = pa, *y = pb;

    return labels_cmp(x->labels, y->labels);
}

static bool same_value(const struct bench *b, double x, double y)
{
    return x == y ||
           (b->unit->is_fuzzy && (nextafter(x, -INFINITY) == y || nextafter(x, INFINITY) == y));
}

static bool same_histogram(const struct histogram *x, const struct histogram *y)
{
    struct buf a = {0}, b = {0};
    bool is_same;

    if (!x || !y)
        return x == y;
    promql_histogram_print(&a, x);
    promql_histogram_print(&b, y);
    is_same = slice_eq(buf_slice(&a), buf_slice(&b));
    buf_done(&a);
    buf_done(&b);
    return is_same;
}

static bool same_samples(const struct bench *b, const struct ctl_unit_sample *x,
                         const struct ctl_unit_sample *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!labels_eq(x[i].labels, y[i].labels) || !same_histogram(x[i].h, y[i].h) ||
            (!x[i].h && !same_value(b, x[i].v, y[i].v)))
            return false;
    return true;
}

static void check_expr(struct bench *b, const struct ctl_unit_expr *want)
{
    struct rule_vector v = {NULL, 0};
    struct ctl_unit_sample *got;
    struct err *e = query(b, b->a, want->expr, b->test->start_ms + want->at_ms, &v);

    if (e) {
        fail_err(b, err_wrap(e, "expr: \"%.*s\", time: %s, err", SLICE_ARG(want->expr),
                             duration_text(b, want->at_ms)));
        return;
    }
    got = arena_array(b->a, struct ctl_unit_sample, v.n + 1);
    for (size_t i = 0; i < v.n; i++)
        got[i] = (struct ctl_unit_sample){v.ptr[i].labels, v.ptr[i].v, v.ptr[i].h};
    qsort(got, v.n, sizeof(*got), cmp_samples);
    qsort(want->expected, want->n, sizeof(*want->expected), cmp_samples);
    if (v.n != want->n || !same_samples(b, got, want->expected, v.n))
        fail(b, "expr: \"%.*s\", time: %s,\n        exp:%s\n        got:%s", SLICE_ARG(want->expr),
             duration_text(b, want->at_ms), samples_text(b, want->expected, want->n),
             samples_text(b, got, v.n));
}

/* ---- one test ---- */

static int64_t last_time(const struct ctl_unit_test *t)
{
    int64_t last = 0;

    for (size_t i = 0; i < t->n_alerts; i++)
        last = ORR_MAX(last, t->alerts[i].at_ms);
    for (size_t i = 0; i < t->n_exprs; i++)
        last = ORR_MAX(last, t->exprs[i].at_ms);
    return last;
}

static void run_steps(struct bench *b)
{
    int64_t last = last_time(b->test), step = b->unit->interval_ms;

    if (last / step >= MAX_STEPS) {
        fail(b, "more than %d evaluations", MAX_STEPS);
        return;
    }
    for (int64_t at = 0; at <= last; at += step) {
        if (!evaluate(b, b->test->start_ms + at))
            return;
        for (size_t i = 0; i < b->test->n_alerts; i++)
            if (b->test->alerts[i].at_ms >= at && b->test->alerts[i].at_ms < at + step)
                check_alerts(b, &b->test->alerts[i]);
    }
    for (size_t i = 0; i < b->test->n_exprs; i++)
        check_expr(b, &b->test->exprs[i]);
}

static bool run_test(struct arena *a, const struct ctl_unit *u, const struct ctl_unit_test *t,
                     struct buf *out)
{
    struct bench b = {.a = a,
                      .unit = u,
                      .test = t,
                      .out = out,
                      .eng = engine_new(NULL),
                      .store = memstore_new(),
                      .set = {.default_interval_ms = t->interval_ms,
                              .external_labels = t->external_labels,
                              .external_url = t->external_url,
                              .max_bytes = RULE_MAX_BYTES}};

    read_inputs(&b);
    for (size_t i = 0; i < u->n_rule_files; i++)
        read_rule_files(&b, u->rule_files[i]);
    if (!b.has_failed)
        run_steps(&b);
    VEC_FOREACH (g, &b.groups)
        rule_group_free(*g);
    VEC_FOREACH (f, &b.files)
        rule_file_unref(*f);
    vec_done(&b.groups);
    vec_done(&b.files);
    memstore_free(b.store);
    engine_free(b.eng);
    return !b.has_failed;
}

bool ctl_unit_run(struct arena *a, const struct ctl_unit *u, const char *run, struct buf *out)
{
    bool is_well = true;

    for (size_t i = 0; i < u->n_tests; i++)
        if (!run || slice_find(u->tests[i].name, slice_cstr(run), 0) >= 0)
            is_well &= run_test(a, u, &u->tests[i], out);
    return is_well;
}
