#include "common/base/yaml.h"
#include "ruler/rule_file.h"
#include "tests/unit/test.h"

static struct err *parse(const char *text, struct rule_file **ret)
{
    return rule_file_parse("f.yml", slice_cstr(text), RULE_PROMQL, ret);
}

TEST(rule_file_reads_all_fields)
{
    struct rule_file *f = NULL;
    const struct rule_group *g;

    CHECK_OK(parse("groups:\n"
                   "- name: g\n"
                   "  interval: 30s\n"
                   "  query_offset: 1m\n"
                   "  limit: 7\n"
                   "  labels: {team: infra, severity: low}\n"
                   "  rules:\n"
                   "  - record: a:b\n"
                   "    expr: sum(up)   by (job)\n"
                   "  - alert: Down\n"
                   "    expr: up == 0\n"
                   "    for: 5m\n"
                   "    keep_firing_for: 1h30m\n"
                   "    labels: {severity: page}\n"
                   "    annotations: {summary: '{{ $labels.job }}'}\n"
                   "- name: other\n",
                   &f));
    CHECK_INT(f->n_groups, 2);
    g = &f->groups[0];
    CHECK_SLICE(g->name, "g");
    CHECK_INT(g->interval_ms, 30000);
    CHECK_INT(g->query_offset_ms, 60000);
    CHECK_INT(g->limit, 7);
    CHECK_INT(g->n_rules, 2);
    CHECK(!g->rules[0].is_alert);
    CHECK_SLICE(g->rules[0].query, "sum by (job) (up)");
    CHECK_SLICE(labels_get(g->rules[0].labels, SLICE("severity")), "low");
    CHECK(g->rules[1].is_alert);
    CHECK_INT(g->rules[1].for_ms, 300000);
    CHECK_INT(g->rules[1].keep_firing_ms, 5400000);
    CHECK_SLICE(labels_get(g->rules[1].labels, SLICE("severity")), "page");
    CHECK_SLICE(labels_get(g->rules[1].labels, SLICE("team")), "infra");
    CHECK_SLICE(labels_get(g->rules[1].annotations, SLICE("summary")), "{{ $labels.job }}");
    CHECK_INT(f->groups[1].query_offset_ms, -1);
    rule_file_unref(f);
}

TEST(rule_file_may_be_empty)
{
    static const char *const texts[] = {"", "groups:\n", "groups: []\n", "---\n# nothing\n"};

    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        struct rule_file *f = NULL;

        CHECK_OK(parse(texts[i], &f));
        CHECK_INT(f->n_groups, 0);
        rule_file_unref(f);
    }
}

TEST(rule_file_refuses_what_prometheus_refuses)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"rules: []", "field rules not found"},
        {"groups: [{name: g, foo: 1}]", "field foo not found"},
        {"groups: [{name: ''}]", "must not be empty"},
        {"groups: [{name: g}, {name: g}]", "repeated"},
        {"groups: [{name: g, interval: 1x}]", "interval"},
        {"groups: [{name: g, limit: x}]", "limit"},
        {"groups: [{name: g, rules: [{record: a, alert: b, expr: '1'}]}]", "only one of"},
        {"groups: [{name: g, rules: [{expr: '1'}]}]", "one of 'record' or 'alert'"},
        {"groups: [{name: g, rules: [{record: a}]}]", "field 'expr' must be set"},
        {"groups: [{name: g, rules: [{record: a, expr: 'up +'}]}]", "could not parse expression"},
        {"groups: [{name: g, rules: [{record: a, expr: '1', for: 1m}]}]", "invalid field 'for'"},
        {"groups: [{name: g, rules: [{record: 'a{b=c}', expr: '1'}]}]", "braces"},
        {"groups: [{name: g, rules: [{alert: a, expr: '1', labels: {__name__: x}}]}]",
         "invalid label name"},
        {"groups: [{name: g, rules: [{alert: a, expr: '1', labels: {x: '{{ nofunc }}'}}]}]",
         "nofunc"},
        {"groups: [{name: g, rules: [{alert: a, expr: '1', annotations: {x: '{{ if }}'}}]}]",
         "annotation"},
        {"groups: [{name: g, rules: [{alert: a, expr: [1]}]}]", "must be a text"},
        {"groups: x", "must be a list"},
        {"[1]", "must be a mapping"},
    };

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct rule_file *f = NULL;

        CHECK_ERR(parse(bad[i].text, &f), ERR_INVALID, bad[i].why);
    }
}

TEST(rule_file_tells_several_errors_and_where)
{
    struct rule_file *f = NULL;

    CHECK_ERR(
        parse("groups:\n- name: g\n  rules:\n  - record: a\n  - alert: b\n    expr: 'x('\n", &f),
        ERR_INVALID,
        "f.yml: 4: group \"g\", rule 1, \"a\": field 'expr' must be set in rule; "
        "5: group \"g\", rule 2");
}

TEST(rule_file_takes_logql_where_it_is_asked_for)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"groups: [{name: g, rules: [{record: a, expr: 'sum(up)'}]}]",
         "f.yml: 1: group \"g\", rule 1, \"a\": could not parse expression"},
        {"groups: [{name: g, rules: [{record: a, expr: 'rate({a=\"b\"}[1m'}]}]",
         "could not parse expression"},
        {"groups: [{name: g, rules: [{alert: a, expr: '{a=\"b\"} |= \"x\"'}]}]", "it yields lines"},
        {"groups: [{name: g, rules: [{alert: a, expr: 'rate({a=~\".*\"}[1m])'}]}]", "at least one"},
        {"groups: [{name: g, rules: [{record: a, expr: 'vector(1)', for: 1m}]}]",
         "invalid field 'for'"},
    };
    struct rule_file *f = NULL, *promql = NULL;

    CHECK_OK(rule_file_parse("f.yml",
                             SLICE("groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: |\n"
                                   "      sum(rate({a=\"b\"} |= `x` [5m]))   by (job)\n"
                                   "  - {alert: A, expr: 'vector(1e-9) > 0', for: 1m}\n"),
                             RULE_LOGQL, &f));
    CHECK_INT(f->groups[0].lang, RULE_LOGQL);
    CHECK_INT(f->groups[0].rules[1].lang, RULE_LOGQL);
    CHECK_SLICE(f->groups[0].rules[0].query, "sum(rate({a=\"b\"} |= `x` [5m]))   by (job)");
    CHECK_SLICE(f->groups[0].rules[1].query, "vector(1e-9) > 0");
    rule_file_unref(f);
    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(rule_file_parse("f.yml", slice_cstr(bad[i].text), RULE_LOGQL, &f), ERR_INVALID,
                  bad[i].why);
    CHECK_OK(rule_file_parse("f.yml", SLICE("groups: [{name: g, rules: [{record: a, expr: '1'}]}]"),
                             RULE_LOGQL, &f));
    CHECK_OK(parse("groups: [{name: g, rules: [{record: a, expr: '1'}]}]", &promql));
    CHECK(f->groups[0].hash != promql->groups[0].hash);
    rule_file_unref(f);
    rule_file_unref(promql);
}

TEST(rule_file_hash_tells_groups_apart)
{
    struct rule_file *a = NULL, *b = NULL, *c = NULL;

    CHECK_OK(parse("groups: [{name: g, rules: [{record: a, expr: '1'}]}]", &a));
    CHECK_OK(parse("groups:\n- rules: [{expr: 1, record: a}]\n  name: g\n", &b));
    CHECK_OK(parse("groups: [{name: g, rules: [{record: a, expr: '2'}]}]", &c));
    CHECK(a->groups[0].hash == b->groups[0].hash);
    CHECK(a->groups[0].hash != c->groups[0].hash);
    rule_file_unref(a);
    rule_file_unref(b);
    rule_file_unref(c);
}

TEST(rule_file_takes_the_first_document)
{
    struct rule_file *f = NULL;

    CHECK_OK(parse("# x\n---\ngroups: [{name: g}]\n---\nnonsense: 1\n", &f));
    CHECK_INT(f->n_groups, 1);
    rule_file_unref(f);
}

static void check_too_much(struct buf *text, enum err_code code)
{
    struct rule_file *f = NULL;

    CHECK(text->len < YAML_MAX_BYTES);
    CHECK_ERR(rule_file_parse_group("bomb", buf_slice(text), RULE_PROMQL, &f), code, "more than");
    buf_reset(text);
}

static void put_many(struct buf *out, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        buf_str(out, text);
}

/* Else the groups a and "a\0b" would be one. */
TEST(rule_file_refuses_a_name_with_a_nul)
{
    struct rule_file *f = NULL;

    CHECK_ERR(parse("groups:\n- name: \"a\\0b\"\n- name: a\n", &f), ERR_INVALID, "NUL");
}

/* 100 GB, if each were made. */
TEST(rule_file_refuses_a_little_that_stands_for_very_much)
{
    struct buf text = {0};

    buf_str(&text, "name: g\nlabels: {a: '");
    put_many(&text, 1000000, "x");
    buf_str(&text, "'}\nrules:\n");
    put_many(&text, 100000, "- {record: a, expr: 1}\n");
    check_too_much(&text, ERR_LIMIT);

    buf_str(&text, "name: '");
    put_many(&text, 1000000, "x");
    buf_str(&text, "'\nrules:\n");
    put_many(&text, 100000, "- {record: a, expr: 1}\n");
    check_too_much(&text, ERR_LIMIT);

    buf_str(&text, "name: g\nlabels: {a: &x '");
    put_many(&text, 1000000, "x");
    buf_str(&text, "'}\nrules:\n- alert: A\n  expr: up\n  annotations:\n");
    for (unsigned i = 0; i < 100000; i++)
        buf_printf(&text, "    k%u: *x\n", i);
    check_too_much(&text, ERR_TOO_LARGE); /* yaml.h sees it */
    buf_done(&text);
}

TEST(rule_file_source_tenants_are_of_the_api_alone)
{
    struct rule_file *f = NULL, *g = NULL;

    CHECK_ERR(rule_file_parse(
                  "f",
                  SLICE("groups: [{name: g, source_tenants: [a], rules: [{record: r, expr: x}]}]"),
                  RULE_PROMQL, &f),
              ERR_INVALID, "field source_tenants not found in a group");
    CHECK_OK(rule_file_parse_group(
        "g", SLICE("{name: g, source_tenants: [b, a], rules: [{record: r, expr: x}]}"), RULE_PROMQL,
        &f));
    CHECK_INT(f->groups[0].n_sources, 2);
    CHECK_SLICE(f->groups[0].sources[0], "b");
    CHECK_OK(rule_file_parse_group("g", SLICE("{name: g, rules: [{record: r, expr: x}]}"),
                                   RULE_PROMQL, &g));
    CHECK(f->groups[0].hash != g->groups[0].hash);
    rule_file_unref(f);
    rule_file_unref(g);
    CHECK_ERR(rule_file_parse_group("g", SLICE("{name: g, source_tenants: ['../x'], rules: []}"),
                                    RULE_PROMQL, &f),
              ERR_INVALID, "source_tenants");
    CHECK_ERR(rule_file_parse_group("g", SLICE("{name: g, source_tenants: a, rules: []}"),
                                    RULE_PROMQL, &f),
              ERR_INVALID, "must be a list");
}
