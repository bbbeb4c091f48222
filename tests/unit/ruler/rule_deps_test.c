#include "ruler/rule_deps.h"
#include "tests/unit/test.h"

/* Where the batches end. */
static void expect(const char *rules, enum rule_lang lang, const char *want)
{
    char *text = mem_printf("name: g\nrules: [%s]", rules), got[128] = "";
    struct rule_file *f = NULL;
    size_t ends[64], n = 0, at = 0;

    CHECK_OK(rule_file_parse_group("g", slice_cstr(text), lang, &f));
    rule_deps_batches(f->groups, ends);
    while (at < f->groups[0].n_rules) {
        at = ends[at];
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%zu ", at);
    }
    CHECK_STR(got, want);
    rule_file_unref(f);
    mem_free(text);
}

TEST(rule_deps_rules_that_read_each_other_are_apart)
{
    expect("{record: a, expr: x}, {record: b, expr: y}, {record: c, expr: z}", RULE_PROMQL, "3 ");
    expect("{record: a, expr: x}, {record: b, expr: a + 1}", RULE_PROMQL, "1 2 ");
    /* also what is read before it is written: it is the value of before */
    expect("{record: b, expr: a + 1}, {record: a, expr: x}", RULE_PROMQL, "1 2 ");
    expect("{record: a, expr: x}, {record: b, expr: y}, {record: c, expr: 'sum(rate(a[5m]))'}, "
           "{record: d, expr: z}",
           RULE_PROMQL, "2 4 ");
    expect("{record: a, expr: x}, {record: b, expr: 'sum_over_time((y + a)[5m:1m])'}", RULE_PROMQL,
           "1 2 ");
    expect("{record: a, expr: x}, {record: a, expr: y}", RULE_PROMQL, "2 ");
    expect("", RULE_PROMQL, "");
}

TEST(rule_deps_what_may_read_anything_is_alone)
{
    expect("{record: a, expr: x}, {record: b, expr: '{job=\"j\"}'}, {record: c, expr: y}",
           RULE_PROMQL, "1 2 3 ");
    expect("{record: a, expr: x}, {record: b, expr: '{__name__=~\"y|z\"}'}", RULE_PROMQL, "1 2 ");
    expect("{record: a, expr: x}, {record: b, expr: '{__name__=\"y\"}'}", RULE_PROMQL, "2 ");
    expect("{record: a, expr: x}, {record: b, expr: vector(1)}", RULE_PROMQL, "2 ");
}

TEST(rule_deps_alerts_write_series_of_alerts)
{
    expect("{alert: A, expr: x}, {alert: B, expr: y}", RULE_PROMQL, "2 ");
    expect("{alert: A, expr: x}, {alert: B, expr: 'ALERTS{alertname=\"C\"}'}", RULE_PROMQL, "1 2 ");
    expect("{record: r, expr: x}, {alert: B, expr: 'ALERTS_FOR_STATE'}", RULE_PROMQL, "2 ");
}

TEST(rule_deps_batches_are_bounded_and_lines_are_no_series)
{
    struct buf rules = {0};

    for (int i = 0; i < 2 * RULE_DEPS_MAX_BATCH + 1; i++)
        buf_printf(&rules, "{record: r%d, expr: x}, ", i);
    expect(buf_cstr(&rules), RULE_PROMQL, "8 16 17 ");
    buf_done(&rules);
    expect("{record: a, expr: 'sum(rate({x=\"y\"}[1m]))'}, {record: b, expr: 'vector(1)'}",
           RULE_LOGQL, "2 ");
}
