#include "ruler/rule_fill.h"
#include "tests/unit/test.h"

/* Queriers and ingesters: answers are {i="<seconds mod 2>"}, so that series come and go. */
struct world {
    struct buf log;
    bool is_away, is_away_late, is_bad;
    int64_t last_ms;         /* what `last` says */
    enum err_code last_code; /* or fails with; 0: it does not */
    unsigned asked_last;
    struct rule_file *file;
    struct rule_group_run *g;
    struct rule_group_settings set;
    struct rule_group_ops ops;
};

static struct err *query(void *arg, struct arena *a, enum rule_lang lang, struct slice text,
                         int64_t t_ms, struct rule_vector *ret)
{
    struct world *w = arg;
    struct rule_sample *s = arena_array(a, struct rule_sample, 1);
    struct label *l = arena_array(a, struct label, 1);

    (void)lang;
    (void)text;
    if (w->is_away)
        return err_new(ERR_UNAVAILABLE, "no querier is up");
    if (w->is_bad)
        return err_new(ERR_EXEC, "many-to-many matching");
    l[0] = (struct label){SLICE("i"),
                          slice_cstr(arena_printf(a, "%lld", (long long)(t_ms / 1000 % 2)))};
    s[0] = (struct rule_sample){.labels = {l, 1}, .v = 1};
    *ret = (struct rule_vector){s, 1};
    return NULL;
}

static struct err *write_now(void *arg, const struct rule_series *s, size_t n)
{
    (void)arg;
    (void)s;
    (void)n;
    return NULL;
}

static struct err *write_late(void *arg, const struct rule_series *s, size_t n)
{
    struct world *w = arg;

    if (w->is_away_late)
        return err_new(ERR_UNAVAILABLE, "no ingester is up");
    for (size_t i = 0; i < n; i++) {
        labels_text(&w->log, s[i].labels);
        buf_printf(&w->log, "%s@%lld ", sample_is_stale(s[i].v) ? " stale" : "",
                   (long long)s[i].t_ms);
    }
    return NULL;
}

static void notify(void *arg, const struct rule *r, const struct rule_alert *const *alerts,
                   size_t n)
{
    (void)arg;
    (void)r;
    (void)alerts;
    (void)n;
}

static struct err *last(void *arg, struct arena *a, const struct rule *r, int64_t at_ms,
                        int64_t window_ms, int64_t *ret_ms)
{
    struct world *w = arg;

    (void)a;
    (void)r;
    (void)at_ms;
    (void)window_ms;
    w->asked_last++;
    if (w->last_code)
        return err_new(w->last_code, "cannot tell");
    *ret_ms = w->last_ms;
    return NULL;
}

static void setup(struct world *w, const char *rules, bool needs_restore)
{
    char *text = mem_printf("{name: g, interval: 1s, rules: [%s]}", rules);

    *w = (struct world){.last_ms = RULE_NEVER,
                        .set = {.catch_up_ms = 60000, .resend_ms = 60000},
                        .ops = {.query = query,
                                .write = write_now,
                                .notify = notify,
                                .write_late = write_late,
                                .last = last}};
    w->ops.arg = w;
    CHECK_OK(rule_file_parse_group("g", slice_cstr(text), RULE_PROMQL, &w->file));
    w->g = rule_group_new(w->file, 0, needs_restore, &w->set);
    mem_free(text);
}

static void teardown(struct world *w)
{
    rule_group_free(w->g);
    rule_file_unref(w->file);
    buf_done(&w->log);
}

/* An evaluation, and what is made up for after it. */
static const char *eval(struct world *w, int64_t ts_ms)
{
    buf_reset(&w->log);
    rule_group_eval(w->g, &w->set, &w->ops, ts_ms, NULL);
    rule_fill(w->g, &w->set, &w->ops, ts_ms, INT64_MAX, NULL);
    return buf_cstr(&w->log);
}

TEST(rule_fill_makes_up_for_what_nobody_answered)
{
    struct world w;

    setup(&w, "{record: r, expr: a}, {alert: A, expr: b}", false);
    CHECK_STR(eval(&w, 10000), "");
    w.is_away = true;
    CHECK_STR(eval(&w, 11000), "");
    CHECK_STR(eval(&w, 12000), "");
    CHECK_INT(rule_catchup_count(&w.g->catchup), 2);
    w.is_away = false;
    /* in order, with what ends between them; nothing of the alert */
    CHECK_STR(eval(&w, 13000), "r{i=\"1\"}@11000 r{i=\"0\"} stale@11000 r{i=\"0\"}@12000 "
                               "r{i=\"1\"} stale@12000 r{i=\"0\"} stale@13000 ");
    CHECK_INT(w.g->filled, 2);
    CHECK_STR(eval(&w, 14000), "");
    CHECK_INT(w.asked_last, 0);
    teardown(&w);
}

TEST(rule_fill_finds_out_what_was_missed_before)
{
    struct world w;

    setup(&w, "{record: r, expr: a}", true);
    w.last_ms = 7000;
    /* the last one once more: it may have been cut short */
    CHECK_STR(eval(&w, 10000),
              "r{i=\"1\"}@7000 r{i=\"0\"} stale@7000 r{i=\"0\"}@8000 r{i=\"1\"} stale@8000 "
              "r{i=\"1\"}@9000 r{i=\"0\"} stale@9000 r{i=\"1\"} stale@10000 ");
    CHECK_INT(w.asked_last, 1);
    CHECK_STR(eval(&w, 11000), "");
    CHECK_INT(w.asked_last, 1);
    teardown(&w);
    /* nothing stored: nothing is known to be missing */
    setup(&w, "{record: r, expr: a}", true);
    CHECK_STR(eval(&w, 10000), "");
    teardown(&w);
    /* a group that is new was not evaluated before */
    setup(&w, "{record: r, expr: a}", false);
    w.last_ms = 7000;
    CHECK_STR(eval(&w, 10000), "");
    CHECK_INT(w.asked_last, 0);
    teardown(&w);
    /* alerts have no hole */
    setup(&w, "{alert: A, expr: a}", true);
    w.last_ms = 7000;
    CHECK_STR(eval(&w, 10000), "");
    teardown(&w);
}

TEST(rule_fill_waits_while_others_are_away_and_passes_over_what_fails)
{
    struct world w;

    setup(&w, "{record: r, expr: a}", false);
    CHECK_STR(eval(&w, 10000), "");
    rule_group_missed(w.g, &w.set, 5000, 6000);
    w.is_away_late = true;
    CHECK_STR(eval(&w, 11000), "");
    CHECK_INT(rule_catchup_count(&w.g->catchup), 2);
    w.is_away_late = false;
    w.is_bad = true;
    CHECK_STR(eval(&w, 12000), "");
    CHECK_INT(rule_catchup_count(&w.g->catchup), 0);
    teardown(&w);
}

TEST(rule_fill_is_bounded_by_age_and_time)
{
    struct world w;

    setup(&w, "{record: r, expr: a}", false);
    rule_group_missed(w.g, &w.set, 1000, 41000);
    rule_group_eval(w.g, &w.set, &w.ops, 100000, NULL);
    rule_fill(w.g, &w.set, &w.ops, 100000, 0, NULL); /* no time is left */
    CHECK_INT(w.g->filled, 0);
    CHECK_INT(w.g->given_up, 39); /* those before 40000 */
    CHECK_INT(rule_catchup_count(&w.g->catchup), 2);
    w.set.catch_up_ms = 0;
    rule_group_missed(w.g, &w.set, 60000, 61000);
    CHECK_INT(rule_catchup_count(&w.g->catchup), 2);
    teardown(&w);
}

TEST(rule_fill_asks_again_what_was_missed_if_that_may_help)
{
    struct world w;

    setup(&w, "{record: r, expr: a}", true);
    w.last_ms = 9000;
    w.last_code = ERR_UNAVAILABLE;
    CHECK_STR(eval(&w, 11000), "");
    w.last_code = 0;
    /* before the first evaluation, not before this one */
    CHECK_STR(eval(&w, 12000), "r{i=\"1\"}@9000 r{i=\"0\"} stale@9000 r{i=\"0\"}@10000 "
                               "r{i=\"1\"} stale@10000 r{i=\"0\"} stale@11000 ");
    CHECK_INT(w.asked_last, 2);
    teardown(&w);
    setup(&w, "{record: r, expr: a}", true);
    w.last_code = ERR_EXEC;
    CHECK_STR(eval(&w, 11000), "");
    CHECK_STR(eval(&w, 12000), "");
    CHECK_INT(w.asked_last, 1);
    teardown(&w);
}

TEST(rule_fill_leaves_evaluations_of_now_their_time)
{
    CHECK_INT(rule_fill_time_ms(60000, 59000, 1), 10000);
    CHECK_INT(rule_fill_time_ms(20000, 19000, 1), 5000);
    CHECK_INT(rule_fill_time_ms(20000, 3000, 1), 3000); /* the next one is due */
    CHECK_INT(rule_fill_time_ms(20000, -1, 1), 0);
    CHECK_INT(rule_fill_time_ms(20000, 13000, 7), 5000);
    CHECK_INT(rule_fill_time_ms(20000, 12000, 7.5), 2000);
    /* a slot would take until the one after the next */
    CHECK_INT(rule_fill_time_ms(20000, 10000, 10), 0);
    CHECK_INT(rule_fill_time_ms(20000, 4000, 16), 0);
}
