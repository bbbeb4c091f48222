/* Objectives to unit tests of their rules. */
#include "common/base/clock.h"
#include "common/base/promdur.h"
#include "common/lang/promql.h"
#include "deploy/orreryctl/ctl_slo.h"
#include "ruler/rule_yaml.h"

#define INTERVAL_MS (60 * MS_PER_S)       /* of samples */
#define EVALUATION_MS (5 * 60 * MS_PER_S) /* in which they are evaluated: days would take long */
#define PER_INTERVAL 1000000              /* what is counted between two samples */
#define TRIES 6

/* Series whose counts are an objective's errors, and what is not wrong. */
struct examples {
    struct labels errors, rest;
    bool is_counted; /* errors are part of the total */
    bool is_known;   /* else: of the recorded shares */
};

/* ---- series that a selector matches ---- */

/* The first of a class of characters that begins at i; where it ends. */
static size_t put_one_of(struct buf *out, struct slice pattern, size_t i)
{
    ptrdiff_t end = slice_find_byte(pattern, ']', i);

    if (end < 0)
        return pattern.len;
    if (pattern.ptr[i] != '^')
        buf_byte(out, pattern.ptr[i]);
    return (size_t)end;
}

/* Something that a pattern may match, tried one after the other. */
static struct slice guess(struct arena *a, const struct matcher *m, unsigned try)
{
    static const char *const simple[] = {"x", "", "1"};
    struct buf out = {0};
    struct slice ret;

    if (try < ORR_COUNT(simple))
        return slice_cstr(simple[try]);
    for (size_t i = 0; i < m->value.len; i++) {
        uint8_t c = m->value.ptr[i];

        if (c == '|' || c == ')')
            break;
        if (c == '\\' && i + 1 < m->value.len)
            buf_byte(&out, m->value.ptr[++i] == 'd' ? '1' : m->value.ptr[i]);
        else if (c == '.')
            buf_byte(&out, try == 3 ? '0' : 'x');
        else if (c == '[')
            i = put_one_of(&out, m->value, i + 1);
        else if (!strchr("*+?^$(", c))
            buf_byte(&out, c);
    }
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static bool value_for(struct arena *a, const struct matcher *m, struct slice *ret)
{
    if (m->op == MATCHER_EQ) {
        *ret = m->value;
        return true;
    }
    if (m->set_n && m->op == MATCHER_RE) {
        *ret = m->set[0];
        return true;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        *ret = guess(a, m, i);
        if (slice_is_utf8(*ret) && slice_find_byte(*ret, 0, 0) < 0 && matcher_matches(m, *ret))
            return true;
    }
    return false;
}

static bool matches_all(struct matchers ms, struct labels ls)
{
    for (size_t i = 0; i < ms.n; i++)
        if (!matcher_matches(&ms.ptr[i], labels_get(ls, ms.ptr[i].name)))
            return false;
    return true;
}

/* by labels are there, with some value. */
static bool example_of(struct arena *a, const struct ctl_slo *s, struct matchers ms,
                       struct labels *ret)
{
    struct labels_builder b;

    labels_builder_init(&b, a, (struct labels){0});
    for (size_t i = 0; i < s->n_by; i++)
        labels_builder_set(&b, s->by[i], SLICE("x"));
    for (size_t i = 0; i < ms.n; i++) {
        struct slice value;

        if (!value_for(a, &ms.ptr[i], &value))
            return false;
        labels_builder_set(&b, ms.ptr[i].name, value);
    }
    *ret = labels_builder_labels(&b);
    return matches_all(ms, *ret) && labels_get(*ret, SLICE(LABEL_NAME)).len;
}

/* Of what is counted but no error: where the total says nothing of a label that errors have, it has another value. */
static bool find_rest(struct arena *a, const struct ctl_slo *s, struct matchers total,
                      struct matchers errors, struct labels *ret)
{
    struct labels_builder b;

    if (!example_of(a, s, total, ret))
        return false;
    if (!matches_all(errors, *ret))
        return true;
    labels_builder_init(&b, a, *ret);
    for (size_t i = 0; i < errors.n; i++)
        if (!slice_eq_cstr(errors.ptr[i].name, LABEL_NAME))
            labels_builder_set(&b, errors.ptr[i].name, SLICE("fine"));
    for (size_t i = 0; i < total.n; i++)
        labels_builder_set(&b, total.ptr[i].name, labels_get(*ret, total.ptr[i].name));
    *ret = labels_builder_labels(&b);
    return matches_all(total, *ret) && !matches_all(errors, *ret);
}

static void find_ratio(struct arena *a, const struct ctl_slo *s, struct examples *x)
{
    struct matchers errors = {0}, total = {0};
    struct err *e = promql_parse_selector(a, s->errors, &errors);

    if (!e)
        e = promql_parse_selector(a, s->total, &total);
    if (!e && example_of(a, s, errors, &x->errors)) {
        struct labels_builder b;

        /* errors may need labels of the total, too, to be part of it */
        labels_builder_init(&b, a, x->errors);
        for (size_t i = 0; i < total.n; i++) {
            struct slice value;

            if (!labels_has(x->errors, total.ptr[i].name) && value_for(a, &total.ptr[i], &value))
                labels_builder_set(&b, total.ptr[i].name, value);
        }
        x->errors = labels_builder_labels(&b);
        x->is_counted = matches_all(total, x->errors);
        x->is_known = matches_all(errors, x->errors) && find_rest(a, s, total, errors, &x->rest);
    }
    err_free(e);
    matchers_done(errors);
    matchers_done(total);
}

/* errors: the bucket of what is fast enough; rest: that of all. */
static void find_buckets(struct arena *a, const struct ctl_slo *s, struct examples *x)
{
    struct matchers ms = {0};
    struct err *e = promql_parse_selector(a, s->total, &ms);
    struct labels_builder b;

    if (!e && example_of(a, s, ms, &x->errors)) {
        labels_builder_init(&b, a, x->errors);
        labels_builder_set(&b, SLICE("le"), slice_cstr(arena_printf(a, "%.10g", s->threshold)));
        x->errors = labels_builder_labels(&b);
        labels_builder_set(&b, SLICE("le"), SLICE("+Inf"));
        x->rest = labels_builder_labels(&b);
        x->is_known = true;
    }
    err_free(e);
    matchers_done(ms);
}

static struct examples find_examples(struct arena *a, const struct ctl_slo *s)
{
    struct examples x = {.is_known = false};

    if (s->kind == CTL_SLO_RATIO)
        find_ratio(a, s, &x);
    else if (s->kind == CTL_SLO_BUCKETS)
        find_buckets(a, s, &x);
    return x;
}

/* ---- the tests ---- */

struct writer {
    struct arena *a;
    const struct ctl_slo_file *f;
    const struct ctl_slo *s;
    struct examples x;
    int64_t end_ms; /* when all that can fire does */
    struct buf *out;
};

static void put_series(struct writer *w, struct labels ls, const char *values)
{
    struct buf text = {0};

    labels_text(&text, ls);
    buf_str(w->out, "      - series: ");
    rule_yaml_text(w->out, buf_slice(&text));
    buf_printf(w->out, "\n        values: %s\n", values);
    buf_done(&text);
}

static const char *counter(struct writer *w, int64_t step)
{
    return arena_printf(w->a, "0+%lldx%lld", (long long)step, (long long)(w->end_ms / INTERVAL_MS));
}

/* share: of all that is counted. */
static void put_counters(struct writer *w, double share)
{
    int64_t wrong = (int64_t)(share * PER_INTERVAL);

    if (w->s->kind == CTL_SLO_BUCKETS) {
        put_series(w, w->x.errors, counter(w, PER_INTERVAL - wrong));
        put_series(w, w->x.rest, counter(w, PER_INTERVAL));
        return;
    }
    put_series(w, w->x.errors, counter(w, wrong));
    if (share < 1 || !w->x.is_counted)
        put_series(w, w->x.rest, counter(w, w->x.is_counted ? PER_INTERVAL - wrong : PER_INTERVAL));
}

static void put_recorded(struct writer *w, double share)
{
    int64_t windows[2 * CTL_SLO_MAX_BURNS + 1];
    size_t n = ctl_slo_windows(w->s, windows);

    for (size_t i = 0; i < n; i++) {
        struct labels_builder b;

        labels_builder_init(&b, w->a, (struct labels){0});
        labels_builder_set(&b, SLICE(LABEL_NAME), ctl_slo_record(w->a, windows[i]));
        labels_builder_set(&b, SLICE("service"), w->f->service);
        labels_builder_set(&b, SLICE("slo"), w->s->name);
        for (size_t k = 0; k < w->s->n_by; k++)
            labels_builder_set(&b, w->s->by[k], SLICE("x"));
        put_series(w, labels_builder_labels(&b),
                   arena_printf(w->a, "%.10g+0x%lld", share, (long long)(w->end_ms / INTERVAL_MS)));
    }
}

static void put_map(struct buf *out, const char *key, struct labels ls)
{
    buf_printf(out, "%s:\n", key);
    for (size_t i = 0; i < ls.n; i++) {
        buf_str(out, "              ");
        rule_yaml_text(out, ls.ptr[i].name);
        buf_str(out, ": ");
        rule_yaml_text(out, ls.ptr[i].value);
        buf_byte(out, '\n');
    }
}

/* Of the alert, and of the series that it is about. */
static struct labels expected_labels(struct writer *w, const struct ctl_slo_burn *b)
{
    struct labels_builder lb;
    struct labels own = ctl_slo_alert_labels(w->a, w->f, w->s, b);

    labels_builder_init(&lb, w->a, (struct labels){0});
    for (size_t i = 0; i < w->s->n_by; i++)
        labels_builder_set(&lb, w->s->by[i],
                           w->x.is_known ? labels_get(w->x.errors, w->s->by[i]) : SLICE("x"));
    for (size_t i = 0; i < own.n; i++)
        labels_builder_set(&lb, own.ptr[i].name, own.ptr[i].value);
    return labels_builder_labels(&lb);
}

static void put_test(struct writer *w, const char *what, double share, bool fires)
{
    struct buf end = {0};
    char *name = arena_printf(w->a, "%.*s: %s", SLICE_ARG(w->s->name), what);

    promdur_print(&end, w->end_ms * NS_PER_MS);
    buf_str(w->out, "  - name: ");
    rule_yaml_text(w->out, slice_cstr(name));
    buf_str(w->out, "\n    interval: 1m\n    input_series:\n");
    if (w->x.is_known)
        put_counters(w, share);
    else
        put_recorded(w, share);
    buf_printf(w->out,
               "    alert_rule_test:\n      - eval_time: %s\n        alertname: ", buf_cstr(&end));
    rule_yaml_text(w->out, w->s->alert);
    buf_str(w->out, fires ? "\n        exp_alerts:\n" : "\n");
    for (size_t i = 0; fires && i < w->s->n_burns; i++) {
        const struct ctl_slo_burn *b = &w->s->burns[i];

        if (!ctl_slo_can_fire(w->s, b))
            continue;
        put_map(w->out, "          - exp_labels", expected_labels(w, b));
        put_map(w->out, "            exp_annotations",
                ctl_slo_annotations(w->a, w->f, w->s, b, "100%"));
    }
    buf_done(&end);
}

static int64_t end_of(const struct ctl_slo *s)
{
    int64_t longest_ms = 0;

    for (size_t i = 0; i < s->n_burns; i++)
        longest_ms = ORR_MAX(longest_ms, s->burns[i].for_ms);
    return (2 * longest_ms / EVALUATION_MS + 12) * EVALUATION_MS;
}

/* A quarter of the slowest burn that is told. */
static double harmless(const struct ctl_slo *s)
{
    double least = 1;

    for (size_t i = 0; i < s->n_burns; i++)
        least = ORR_MIN(least, s->burns[i].factor * s->budget);
    return least / 4;
}

void ctl_slo_tests(struct arena *a, const struct ctl_slo_file *f, const char *rules_name,
                   struct buf *out, struct buf *notes)
{
    buf_printf(out, "# Made by orreryctl slo generate of %s: change that.\nrule_files:\n  - ",
               f->path);
    rule_yaml_text(out, slice_cstr(rules_name));
    buf_str(out, "\nevaluation_interval: 5m\ntests:\n");
    for (size_t i = 0; i < f->n; i++) {
        const struct ctl_slo *s = &f->slos[i];
        struct writer w = {
            .a = a, .f = f, .s = s, .x = find_examples(a, s), .end_ms = end_of(s), .out = out};

        if (!w.x.is_known)
            buf_printf(
                notes,
                "%.*s: its tests begin with the recorded shares: no series is known that the "
                "selectors match\n",
                SLICE_ARG(s->name));
        put_test(&w, "nothing fires within the objective", harmless(s), false);
        put_test(&w, "all alerts fire when all is wrong", 1, true);
    }
}
