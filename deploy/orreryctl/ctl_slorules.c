/* Objectives to rules. */
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/promdur.h"
#include "deploy/orreryctl/ctl_slo.h"
#include "ruler/rule_yaml.h"

#define LONG_WINDOW_MS (2 * 3600 * MS_PER_S)   /* longer ones change slowly */
#define LONG_INTERVAL_MS (2 * 60 * MS_PER_S)   /* … and are evaluated so often */
#define BUDGET_INTERVAL_MS (5 * 60 * MS_PER_S) /* what looks over the whole window */

/* ---- what rules and tests share ---- */

static const char *duration(struct arena *a, int64_t ms)
{
    struct buf b = {0};
    const char *ret;

    promdur_print(&b, ms * NS_PER_MS);
    ret = arena_cstr(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

bool ctl_slo_can_fire(const struct ctl_slo *s, const struct ctl_slo_burn *b)
{
    return b->factor * s->budget < 1;
}

struct slice ctl_slo_record(struct arena *a, int64_t window_ms)
{
    return slice_cstr(arena_printf(a, "slo:sli_error:ratio_rate%s", duration(a, window_ms)));
}

static struct labels identity(struct arena *a, const struct ctl_slo_file *f,
                              const struct ctl_slo *s)
{
    struct labels_builder b;

    labels_builder_init(&b, a, (struct labels){0});
    labels_builder_set(&b, SLICE("service"), f->service);
    labels_builder_set(&b, SLICE("slo"), s->name);
    return labels_builder_labels(&b);
}

struct labels ctl_slo_alert_labels(struct arena *a, const struct ctl_slo_file *f,
                                   const struct ctl_slo *s, const struct ctl_slo_burn *b)
{
    struct labels_builder lb;

    labels_builder_init(&lb, a, f->labels);
    labels_builder_set(&lb, SLICE("service"), f->service);
    labels_builder_set(&lb, SLICE("slo"), s->name);
    labels_builder_set(&lb, SLICE("owner"), f->owner);
    labels_builder_set(&lb, SLICE("severity"), b->severity);
    labels_builder_set(&lb, SLICE("burn_rate"), slice_cstr(arena_printf(a, "%.10g", b->factor)));
    labels_builder_set(&lb, SLICE("window"), slice_cstr(duration(a, b->long_ms)));
    return labels_builder_labels(&lb);
}

struct labels ctl_slo_annotations(struct arena *a, const struct ctl_slo_file *f,
                                  const struct ctl_slo *s, const struct ctl_slo_burn *b,
                                  const char *share)
{
    struct label *ls = arena_array(a, struct label, 3);
    size_t n = 0;

    if (s->description.len)
        ls[n++] = (struct label){SLICE("description"), s->description};
    ls[n++] = (struct label){SLICE("runbook_url"), s->runbook_url};
    ls[n++] = (struct label){
        SLICE("summary"),
        slice_cstr(
            arena_printf(a,
                         "%.*s %.*s: %s of the last %s went wrong, more than %.10g times what the "
                         "objective of %s%% allows",
                         SLICE_ARG(f->service), SLICE_ARG(s->name), share, duration(a, b->long_ms),
                         b->factor, s->objective))};
    return (struct labels){ls, n};
}

static int by_length(const void *pa, const void *pb)
{
    int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;

    return (a > b) - (a < b);
}

size_t ctl_slo_windows(const struct ctl_slo *s, int64_t ret[2 * CTL_SLO_MAX_BURNS + 1])
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < s->n_burns; i++) {
        if (!ctl_slo_can_fire(s, &s->burns[i]))
            continue;
        ret[n++] = s->burns[i].long_ms;
        if (s->burns[i].short_ms)
            ret[n++] = s->burns[i].short_ms;
    }
    ret[n++] = s->window_ms;
    qsort(ret, n, sizeof(*ret), by_length);
    for (size_t i = 0; i < n; i++)
        if (!kept || ret[kept - 1] != ret[i])
            ret[kept++] = ret[i];
    return kept;
}

struct slice ctl_slo_with(struct arena *a, struct slice selector, const char *matcher)
{
    if (selector.len && selector.ptr[selector.len - 1] == '}')
        return slice_cstr(
            arena_printf(a, "%.*s,%s}", (int)selector.len - 1, selector.ptr, matcher));
    return slice_cstr(arena_printf(a, "%.*s{%s}", SLICE_ARG(selector), matcher));
}

const char *ctl_slo_le(struct arena *a, double threshold)
{
    if (threshold == floor(threshold)) /* written either way */
        return arena_printf(a, "le=~\"%.10g|%.10g\\\\.0\"", threshold, threshold);
    return arena_printf(a, "le=\"%.10g\"", threshold);
}

/* ---- expressions ---- */

static const char *sum_by(struct arena *a, const struct ctl_slo *s)
{
    struct buf b = {0};
    const char *ret;

    buf_str(&b, "sum");
    for (size_t i = 0; i < s->n_by; i++)
        buf_printf(&b, "%s%.*s", i ? ", " : " by (", SLICE_ARG(s->by[i]));
    buf_str(&b, s->n_by ? ") " : "");
    ret = arena_cstr(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

static const char *rate(struct arena *a, const struct ctl_slo *s, struct slice selector,
                        const char *window)
{
    return arena_printf(a, "%s(rate(%.*s[%s]))", sum_by(a, s), SLICE_ARG(selector), window);
}

/* The share of errors. Nothing where nothing is counted: that is no error. */
static struct slice share_of(struct arena *a, const struct ctl_slo *s, int64_t window_ms)
{
    const char *w = duration(a, window_ms), *all;

    switch (s->kind) {
    case CTL_SLO_RATIO:
        all = rate(a, s, s->total, w);
        /* no series of errors yet: none */
        return slice_cstr(
            arena_printf(a, "(%s or 0 * %s) / (%s > 0)", rate(a, s, s->errors, w), all, all));
    case CTL_SLO_BUCKETS:
        return slice_cstr(
            arena_printf(a, "1 - %s / (%s > 0)",
                         rate(a, s, ctl_slo_with(a, s->total, ctl_slo_le(a, s->threshold)), w),
                         rate(a, s, ctl_slo_with(a, s->total, "le=\"+Inf\""), w)));
    case CTL_SLO_NATIVE:
        break;
    }
    all = rate(a, s, s->total, w);
    return slice_cstr(
        arena_printf(a, "1 - histogram_fraction(0, %.10g, %s) and histogram_count(%s) > 0",
                     s->threshold, all, all));
}

static const char *selected(struct arena *a, const struct ctl_slo_file *f, const struct ctl_slo *s,
                            int64_t window_ms)
{
    struct buf b = {0};
    const char *ret;

    buf_slice_append(&b, ctl_slo_record(a, window_ms));
    buf_str(&b, "{service=");
    buf_json_str(&b, f->service);
    buf_str(&b, ",slo=");
    buf_json_str(&b, s->name);
    buf_byte(&b, '}');
    ret = arena_cstr(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

static struct slice burns_faster(struct arena *a, const struct ctl_slo_file *f,
                                 const struct ctl_slo *s, const struct ctl_slo_burn *b)
{
    const char *limit = arena_printf(a, "%.10g * %.10g", b->factor, s->budget);

    if (!b->short_ms)
        return slice_cstr(arena_printf(a, "%s > (%s)", selected(a, f, s, b->long_ms), limit));
    return slice_cstr(arena_printf(a, "%s > (%s) and %s > (%s)", selected(a, f, s, b->long_ms),
                                   limit, selected(a, f, s, b->short_ms), limit));
}

/* ---- groups ---- */

static void put_group(struct buf *out, struct arena *a, const struct ctl_slo_file *f,
                      const struct ctl_slo *s, const char *what, int64_t interval_ms,
                      struct rule *rules, size_t n)
{
    struct rule_group g = {.name =
                               slice_cstr(arena_printf(a, "slo-%.*s-%.*s-%s", SLICE_ARG(f->service),
                                                       SLICE_ARG(s->name), what)),
                           .interval_ms = interval_ms,
                           .query_offset_ms = -1,
                           .rules = rules,
                           .n_rules = n};

    if (!n)
        return;
    buf_str(out, "  - ");
    rule_yaml_group(out, &g, 4);
}

static struct rule record(struct slice name, const char *expr, struct labels labels)
{
    return (struct rule){.name = name, .expr = slice_cstr(expr), .own_labels = labels};
}

static void put_shares(struct buf *out, struct arena *a, const struct ctl_slo_file *f,
                       const struct ctl_slo *s)
{
    int64_t windows[2 * CTL_SLO_MAX_BURNS + 1];
    size_t n = ctl_slo_windows(s, windows), n_short = 0, n_long = 0;
    struct rule *shorts = arena_array(a, struct rule, n), *longs = arena_array(a, struct rule, n);
    struct labels id = identity(a, f, s);

    for (size_t i = 0; i < n; i++) {
        struct rule r = {.name = ctl_slo_record(a, windows[i]),
                         .expr = share_of(a, s, windows[i]),
                         .own_labels = id};

        if (windows[i] == s->window_ms)
            continue;
        if (windows[i] > LONG_WINDOW_MS)
            longs[n_long++] = r;
        else
            shorts[n_short++] = r;
    }
    put_group(out, a, f, s, "short", 0, shorts, n_short);
    put_group(out, a, f, s, "long", LONG_INTERVAL_MS, longs, n_long);
}

static void put_budget(struct buf *out, struct arena *a, const struct ctl_slo_file *f,
                       const struct ctl_slo *s)
{
    struct labels id = identity(a, f, s);
    struct rule rules[] = {
        record(SLICE("slo:objective:ratio"), arena_printf(a, "vector(%.10g)", 1 - s->budget), id),
        record(SLICE("slo:error_budget:ratio"), arena_printf(a, "vector(%.10g)", s->budget), id),
        {.name = ctl_slo_record(a, s->window_ms),
         .expr = share_of(a, s, s->window_ms),
         .own_labels = id},
        record(SLICE("slo:error_budget_remaining:ratio"),
               arena_printf(a, "1 - %s / %.10g", selected(a, f, s, s->window_ms), s->budget), id)};

    put_group(out, a, f, s, "budget", BUDGET_INTERVAL_MS, rules, ORR_COUNT(rules));
}

static void put_alerts(struct buf *out, struct arena *a, const struct ctl_slo_file *f,
                       const struct ctl_slo *s, struct buf *notes)
{
    struct rule *rules = arena_array(a, struct rule, s->n_burns + 1);
    size_t n = 0;

    for (size_t i = 0; i < s->n_burns; i++) {
        const struct ctl_slo_burn *b = &s->burns[i];

        if (!ctl_slo_can_fire(s, b)) {
            buf_printf(notes,
                       "%.*s: no alert for %.10g times the budget over %s: that would be more than "
                       "everything\n",
                       SLICE_ARG(s->name), b->factor, duration(a, b->long_ms));
            continue;
        }
        rules[n++] = (struct rule){
            .is_alert = true,
            .name = s->alert,
            .expr = burns_faster(a, f, s, b),
            .for_ms = b->for_ms,
            .own_labels = ctl_slo_alert_labels(a, f, s, b),
            .annotations = ctl_slo_annotations(a, f, s, b, "{{ $value | humanizePercentage }}")};
    }
    put_group(out, a, f, s, "alerts", 0, rules, n);
}

void ctl_slo_rules(struct arena *a, const struct ctl_slo_file *f, struct buf *out,
                   struct buf *notes)
{
    buf_printf(out, "# Made by orreryctl slo generate of %s: change that.\ngroups:\n", f->path);
    for (size_t i = 0; i < f->n; i++) {
        put_shares(out, a, f, &f->slos[i]);
        put_budget(out, a, f, &f->slos[i]);
        put_alerts(out, a, f, &f->slos[i], notes);
    }
}
