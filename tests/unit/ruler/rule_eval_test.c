#include "ruler/rule_eval.h"
#include "ruler/rule_group.h"
#include "tests/unit/test.h"

/* One alerting rule and its state. */
struct fixture {
    struct rule_file *file;
    struct rule_state *state;
    struct arena *a;
    struct rule_eval_out out;
};

static void setup(struct fixture *f, const char *text, bool is_restored)
{
    *f = (struct fixture){.a = arena_new(0)};
    CHECK_OK(rule_file_parse("f", slice_cstr(text), RULE_PROMQL, &f->file));
    f->state = rule_eval_new(&f->file->groups[0].rules[0], is_restored);
}

static void teardown(struct fixture *f)
{
    rule_eval_out_done(&f->out);
    rule_eval_free(f->state);
    rule_file_unref(f->file);
    arena_free(f->a);
}

/* An answer of one series per value: {i="0"}, {i="1"} … */
static struct err *eval(struct fixture *f, int64_t ts_ms, size_t n, const double *values,
                        uint64_t limit)
{
    struct rule_sample *s = arena_array(f->a, struct rule_sample, n + 1);
    struct rule_eval_in in = {
        .ts_ms = ts_ms, .interval_ms = 10000, .resend_ms = 60000, .limit = limit, .answer = {s, n}};

    for (size_t i = 0; i < n; i++) {
        struct label *l = arena_array(f->a, struct label, 2);

        l[0] = (struct label){SLICE("__name__"), SLICE("m")};
        l[1] = (struct label){SLICE("i"), slice_cstr(arena_printf(f->a, "%zu", i))};
        s[i] = (struct rule_sample){{l, 2}, values[i], NULL};
    }
    rule_eval_out_done(&f->out);
    return rule_eval_run(f->state, &in, f->a, &f->out);
}

static const struct rule_alert *only_alert(const struct fixture *f)
{
    struct map_entry *e = map_next(&f->state->active, NULL);

    return e ? e->value : NULL;
}

static size_t stale(const struct fixture *f)
{
    size_t n = 0;

    VEC_FOREACH (s, &f->out.series)
        n += sample_is_stale(s->v);
    return n;
}

#define HELD                                                                                       \
    "groups: [{name: g, rules: [{alert: A, expr: m, for: 20s, keep_firing_for: 15s,\n"             \
    "  annotations: {v: '{{ $value }} of {{ $labels.i }}'}}]}]"

TEST(rule_eval_holds_fires_keeps_and_ends)
{
    const double v[] = {3};
    struct fixture f;

    setup(&f, HELD, true);
    CHECK_OK(eval(&f, 0, 1, v, 0));
    CHECK_INT(only_alert(&f)->state, RULE_PENDING);
    CHECK_INT(f.out.alerts.len, 0);
    CHECK_INT(f.out.series.len, 2);
    CHECK_SLICE(labels_get(only_alert(&f)->annotations, SLICE("v")), "3 of 0");
    CHECK_OK(eval(&f, 20000, 1, v, 0));
    CHECK_INT(only_alert(&f)->state, RULE_FIRING);
    CHECK_INT(f.out.alerts.len, 1);
    CHECK_INT(stale(&f), 1); /* of alertstate="pending" */
    CHECK_OK(eval(&f, 30000, 1, v, 0));
    CHECK_INT(f.out.alerts.len, 0); /* not before resend_ms */
    CHECK_OK(eval(&f, 40000, 0, v, 0));
    CHECK_INT(only_alert(&f)->state, RULE_FIRING); /* kept */
    CHECK_OK(eval(&f, 55000, 0, v, 0));
    CHECK_INT(only_alert(&f)->state, RULE_INACTIVE);
    CHECK_INT(only_alert(&f)->resolved_ms, 55000);
    CHECK_INT(f.out.alerts.len, 1);
    CHECK_INT(stale(&f), 2);
    CHECK_OK(eval(&f, 55000 + RULE_RESOLVED_RETENTION_MS + 1, 0, v, 0));
    CHECK_INT(f.state->active.len, 0);
    teardown(&f);
}

TEST(rule_eval_forgets_what_was_pending)
{
    const double v[] = {3};
    struct fixture f;

    setup(&f, HELD, true);
    CHECK_OK(eval(&f, 0, 1, v, 0));
    CHECK_OK(eval(&f, 10000, 0, v, 0));
    CHECK_INT(f.state->active.len, 0);
    CHECK_INT(f.out.alerts.len, 0);
    CHECK_INT(stale(&f), 2);
    teardown(&f);
}

TEST(rule_eval_refuses_equal_label_sets_and_too_many)
{
    const double v[] = {1, 2};
    struct fixture f;

    setup(&f, "groups: [{name: g, rules: [{record: r, expr: m, labels: {i: same}}]}]", true);
    CHECK_ERR(eval(&f, 0, 2, v, 0), ERR_EXEC, "same labelset");
    teardown(&f);
    setup(&f, "groups: [{name: g, rules: [{alert: A, expr: m, labels: {i: same}}]}]", true);
    CHECK_ERR(eval(&f, 0, 2, v, 0), ERR_EXEC, "same labelset");
    CHECK_INT(f.state->active.len, 0);
    teardown(&f);
    setup(&f, "groups: [{name: g, rules: [{record: r, expr: m}]}]", true);
    CHECK_ERR(eval(&f, 0, 2, v, 1), ERR_EXEC, "exceeded limit of 1 with 2 series");
    teardown(&f);
    setup(&f, "groups: [{name: g, rules: [{alert: A, expr: m}]}]", true);
    CHECK_ERR(eval(&f, 0, 2, v, 1), ERR_EXEC, "exceeded limit of 1 with 2 alerts");
    CHECK_INT(f.state->active.len, 0);
    teardown(&f);
}

TEST(rule_eval_ends_histograms_with_stale_histograms)
{
    static const struct histogram h = {.count = 1, .sum = 2, .zero_count = 1};
    const struct rule_sample s = {.h = &h};
    struct rule_eval_in in = {.interval_ms = 10000, .answer = {&s, 1}};
    struct fixture f;

    setup(&f, "groups: [{name: g, rules: [{record: r, expr: m}]}]", true);
    CHECK_OK(rule_eval_run(f.state, &in, f.a, &f.out));
    CHECK(f.out.series.len == 1 && f.out.series.ptr[0].h == &h);
    rule_eval_out_done(&f.out);
    in.ts_ms = 10000;
    in.answer.n = 0;
    CHECK_OK(rule_eval_run(f.state, &in, f.a, &f.out));
    CHECK(f.out.series.len == 1 && f.out.series.ptr[0].h &&
          sample_is_stale(f.out.series.ptr[0].h->sum));
    teardown(&f);
}

TEST(rule_eval_records_and_marks_stale)
{
    const double v[] = {1, 2};
    struct fixture f;

    setup(&f, "groups: [{name: g, rules: [{record: r, expr: m, labels: {x: y}}]}]", true);
    CHECK_OK(eval(&f, 0, 2, v, 0));
    CHECK_INT(f.out.series.len, 2);
    CHECK_SLICE(labels_get(f.out.series.ptr[0].labels, SLICE("__name__")), "r");
    CHECK_SLICE(labels_get(f.out.series.ptr[0].labels, SLICE("x")), "y");
    CHECK_OK(eval(&f, 10000, 1, v, 0));
    CHECK_INT(f.out.series.len, 2);
    CHECK_INT(stale(&f), 1);
    CHECK_OK(eval(&f, 20000, 1, v, 0));
    CHECK_INT(f.out.series.len, 1);
    rule_eval_retire(f.state, f.a, 25000, &f.out);
    CHECK_INT(stale(&f), 1);
    teardown(&f);
}

TEST(rule_eval_restores_the_time_held)
{
    const double v[] = {1};
    const struct label ls[] = {{SLICE_INIT("alertname"), SLICE_INIT("A")},
                               {SLICE_INIT("i"), SLICE_INIT("0")}};
    struct rule_stored was = {.labels = {ls, 2}, .t_ms = 1000000, .v = 990};
    struct fixture f;

    setup(&f, HELD, false);
    CHECK_OK(eval(&f, 2000000, 1, v, 0));
    CHECK_INT(f.out.series.len, 0); /* nothing is written before it is restored */
    rule_eval_restore(f.state, 2000000, 5000, &was, 1);
    /* held for 10 s when it went down: as if it had begun 10 s ago */
    CHECK_INT(only_alert(&f)->active_ms, 1990000);
    was.is_stale = true;
    rule_eval_restore(f.state, 2010000, 5000, &was, 1);
    CHECK_INT(only_alert(&f)->active_ms, 1990000);
    was.is_stale = false;
    was.v = 983; /* 17 s: 3 s are left, less than the grace */
    rule_eval_restore(f.state, 2010000, 5000, &was, 1);
    CHECK_INT(only_alert(&f)->active_ms, 2010000 + 5000 - 20000);
    was.v = 900; /* it fired already */
    rule_eval_restore(f.state, 2010000, 5000, &was, 1);
    CHECK_INT(only_alert(&f)->active_ms, 900000);
    teardown(&f);
}

/* ---- groups ---- */

struct table {
    struct buf log;
    bool fails;
};

static struct err *query(void *arg, struct arena *a, enum rule_lang lang, struct slice text,
                         int64_t t_ms, struct rule_vector *ret)
{
    struct table *t = arg;
    struct rule_sample *s = arena_array(a, struct rule_sample, 1);

    buf_printf(&t->log, "%s %.*s@%lld ", lang == RULE_LOGQL ? "logs" : "query", SLICE_ARG(text),
               (long long)t_ms);
    if (t->fails)
        return err_new(ERR_UNAVAILABLE, "no querier is up");
    *ret = (struct rule_vector){s, 1};
    return NULL;
}

static struct err *write_series(void *arg, const struct rule_series *s, size_t n)
{
    struct table *t = arg;

    for (size_t i = 0; i < n; i++) {
        buf_str(&t->log, "write ");
        labels_text(&t->log, s[i].labels);
        buf_printf(&t->log, "%s@%lld ", sample_is_stale(s[i].v) ? " stale" : "",
                   (long long)s[i].t_ms);
    }
    return NULL;
}

static void notify(void *arg, const struct rule *r, const struct rule_alert *const *alerts,
                   size_t n)
{
    struct table *t = arg;

    buf_printf(&t->log, "notify %.*s %s %zu ", SLICE_ARG(r->name),
               rule_alert_state_name(alerts[0]->state), n);
}

TEST(rule_group_evaluates_in_order_and_goes_on_after_a_failure)
{
    struct table t = {0};
    struct rule_group_ops ops = {
        .query = query, .write = write_series, .notify = notify, .arg = &t};
    struct rule_group_settings set = {.default_interval_ms = 60000, .resend_ms = 60000};
    struct rule_file *f = NULL;
    struct rule_group_run *g;

    CHECK_OK(rule_file_parse("f",
                             SLICE("groups: [{name: g, query_offset: 5s, rules: ["
                                   "{record: r, expr: a}, {alert: A, expr: b}]}]"),
                             RULE_PROMQL, &f));
    g = rule_group_new(f, 0, false, &set);
    rule_group_eval(g, &set, &ops, 60000, NULL);
    CHECK_SLICE(buf_slice(&t.log), "query a@55000 write r@55000 query b@55000 notify A firing 1 "
                                   "write ALERTS{alertname=\"A\", alertstate=\"firing\"}@55000 "
                                   "write ALERTS_FOR_STATE{alertname=\"A\"}@55000 ");
    t.fails = true;
    buf_reset(&t.log);
    rule_group_eval(g, &set, &ops, 120000, NULL);
    CHECK_SLICE(buf_slice(&t.log), "query a@115000 query b@115000 ");
    CHECK_INT(g->failures, 2);
    CHECK(strstr(g->states[0]->error, "no querier is up") != NULL);
    rule_group_free(g);
    rule_file_unref(f);
    buf_done(&t.log);
}

static void beside(void *arg, size_t n, void (*fn)(void *fn_arg, size_t i), void *fn_arg)
{
    struct table *t = arg;

    buf_printf(&t->log, "beside %zu ", n);
    while (n--) /* whatever their order */
        fn(fn_arg, n);
}

TEST(rule_group_asks_what_is_independent_side_by_side_and_settles_in_order)
{
    struct table t = {0};
    struct rule_group_ops ops = {
        .query = query, .beside = beside, .write = write_series, .notify = notify, .arg = &t};
    struct rule_group_settings set = {.default_interval_ms = 60000, .resend_ms = 60000};
    struct rule_file *f = NULL;
    struct rule_group_run *g;

    CHECK_OK(rule_file_parse("f",
                             SLICE("groups: [{name: g, rules: [{record: r, expr: a}, "
                                   "{record: s, expr: b}, {record: t, expr: r + s}]}]"),
                             RULE_PROMQL, &f));
    g = rule_group_new(f, 0, false, &set);
    rule_group_eval(g, &set, &ops, 1000, NULL);
    CHECK_SLICE(buf_slice(&t.log), "beside 2 query b@1000 query a@1000 write r@1000 write s@1000 "
                                   "query r + s@1000 write t@1000 ");
    t.fails = true;
    buf_reset(&t.log);
    rule_group_eval(g, &set, &ops, 2000, NULL);
    CHECK_INT(g->failures, 3);
    rule_group_free(g);
    rule_file_unref(f);
    buf_done(&t.log);
}

TEST(rule_group_asks_in_the_language_of_its_rules)
{
    struct table t = {0};
    struct rule_group_ops ops = {
        .query = query, .write = write_series, .notify = notify, .arg = &t};
    struct rule_group_settings set = {.default_interval_ms = 60000, .resend_ms = 60000};
    struct rule_file *f = NULL;
    struct rule_group_run *g;

    CHECK_OK(rule_file_parse(
        "f",
        SLICE(
            "groups: [{name: g, query_offset: 5s, rules: [{record: r, expr: vector(1)}, "
            "{alert: A, expr: vector(2), annotations: {n: '{{ query \"vector(3)\" | len }}'}}]}]"),
        RULE_LOGQL, &f));
    g = rule_group_new(f, 0, false, &set);
    rule_group_eval(g, &set, &ops, 60000, NULL);
    CHECK_SLICE(buf_slice(&t.log),
                "logs vector(1)@55000 write r@55000 logs vector(2)@55000 logs vector(3)@60000 "
                "notify A firing 1 write ALERTS{alertname=\"A\", alertstate=\"firing\"}@55000 "
                "write ALERTS_FOR_STATE{alertname=\"A\"}@55000 ");
    rule_group_free(g);
    rule_file_unref(f);
    buf_done(&t.log);
}

TEST(rule_group_taken_over_keeps_alerts_and_ends_series)
{
    struct table t = {0};
    struct rule_group_ops ops = {
        .query = query, .write = write_series, .notify = notify, .arg = &t};
    struct rule_group_settings set = {.default_interval_ms = 60000, .resend_ms = 600000};
    struct rule_file *f = NULL, *f2 = NULL;
    struct rule_group_run *g, *g2;

    CHECK_OK(rule_file_parse("f",
                             SLICE("groups: [{name: g, rules: ["
                                   "{record: r, expr: a}, {alert: A, expr: b}]}]"),
                             RULE_PROMQL, &f));
    CHECK_OK(rule_file_parse("f", SLICE("groups: [{name: g, rules: [{alert: A, expr: c}]}]"),
                             RULE_PROMQL, &f2));
    g = rule_group_new(f, 0, false, &set);
    rule_group_eval(g, &set, &ops, 60000, NULL);
    g2 = rule_group_new(f2, 0, false, &set);
    rule_group_take_over(g2, g, 90000);
    rule_group_free(g);
    buf_reset(&t.log);
    rule_group_eval(g2, &set, &ops, 120000, NULL);
    CHECK_SLICE(buf_slice(&t.log),
                "query c@120000 write ALERTS{alertname=\"A\", alertstate=\"firing\"}@120000 "
                "write ALERTS_FOR_STATE{alertname=\"A\"}@120000 write r stale@90000 ");
    CHECK_INT(rule_eval_active(g2->states[0]), 1);
    rule_group_free(g2);
    rule_file_unref(f);
    rule_file_unref(f2);
    buf_done(&t.log);
}
