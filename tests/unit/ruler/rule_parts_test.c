/* Small parts: schedule, answers, JSON, the directory. */
#include "common/base/base64.h"
#include "common/base/fsx.h"
#include "common/model/hist_wire.h"
#include "ruler/rule_answer.h"
#include "ruler/rule_dir.h"
#include "ruler/rule_schedule.h"
#include "ruler/rule_view.h"
#include "ruler/rule_yaml.h"
#include "tests/unit/test.h"

static void put(const char *name, const char *text)
{
    CHECK_OK(fsx_write_atomic(tmp_path(name), slice_cstr(text)));
}

TEST(rule_schedule_slots_are_aligned)
{
    int64_t offset = rule_schedule_offset(SLICE("tenant/file/group"), 60000);

    CHECK(offset >= 0 && offset < 60000);
    CHECK_INT(rule_schedule_slot(100000, 60000, 30000), 90000);
    CHECK_INT(rule_schedule_slot(90000, 60000, 30000), 90000);
    CHECK_INT(rule_schedule_slot(89999, 60000, 30000), 30000);
    CHECK_INT(rule_schedule_slot(-1, 60000, 30000), -30000);
    CHECK_INT(rule_schedule_missed(30000, 90000, 60000), 0);
    CHECK_INT(rule_schedule_missed(30000, 210000, 60000), 2);
    CHECK_INT(rule_schedule_missed(90000, 30000, 60000), 0);
    CHECK_INT(rule_schedule_missed(29999, 90000, 60000), 1); /* 30000, which is no slot of before */
}

/* What a querier answers about one histogram, and what is read of it. */
static struct err *answer_of(struct arena *a, struct slice bytes, struct rule_vector *ret)
{
    struct buf json = {0};
    struct err *e;

    buf_str(&json, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                   "{\"metric\":{},\"histogram\":[1.5,\"");
    base64_encode(bytes, true, &json);
    buf_str(&json, "\"]}]}}");
    e = rule_answer_vector(a, buf_slice(&json), ret);
    buf_done(&json);
    return e;
}

TEST(rule_answer_reads_histograms_exactly)
{
    static const struct histogram_span spans[] = {{-3, 1}, {2, 1}};
    static const double counts[] = {0.5, 3}, bounds[] = {1, 2.5};
    const struct histogram h = {.schema = HISTOGRAM_CUSTOM_SCHEMA,
                                .hint = HISTOGRAM_GAUGE,
                                .count = 3.5,
                                .sum = 7,
                                .pos_spans = spans,
                                .n_pos_spans = 2,
                                .pos_buckets = counts,
                                .n_pos_buckets = 2,
                                .custom_bounds = bounds,
                                .n_custom_bounds = 2};
    struct arena *a = arena_new(0);
    struct buf bytes = {0}, again = {0};
    struct rule_vector v = {0};

    hist_wire_encode(&bytes, &h);
    CHECK_OK(answer_of(a, buf_slice(&bytes), &v));
    CHECK(v.n == 1 && v.ptr[0].h);
    hist_wire_encode(&again, v.ptr[0].h);
    CHECK(slice_eq(buf_slice(&again), buf_slice(&bytes)));
    for (size_t n = 0; n < bytes.len; n++)
        CHECK_ERR(answer_of(a, slice_of(bytes.ptr, n), &v), ERR_INTERNAL,
                  "a histogram that is not");
    CHECK_ERR(rule_answer_vector(a,
                                 SLICE("{\"status\":\"success\",\"data\":{\"resultType\":"
                                       "\"vector\",\"result\":[{\"metric\":{},\"histogram\":"
                                       "[1.5,{}]}]}}"),
                                 &v),
              ERR_INTERNAL, "a histogram that is not");
    buf_done(&bytes);
    buf_done(&again);
    arena_free(a);
}

TEST(rule_answer_reads_vectors_scalars_and_errors)
{
    struct arena *a = arena_new(0);
    struct rule_vector v = {0};

    CHECK_OK(rule_answer_vector(
        a,
        SLICE("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":"
              "{\"b\":\"2\",\"c\":\"\",\"a\":\"1\"},\"value\":[1.5,\"+Inf\"]},{\"metric\":{},"
              "\"value\":"
              "[1.5,\"2\"]}]}}"),
        &v));
    CHECK_INT(v.n, 2);
    CHECK_INT(v.ptr[0].labels.n, 2); /* without the one that has no value */
    CHECK_SLICE(v.ptr[0].labels.ptr[0].name, "a");
    CHECK(v.ptr[0].v > 1e308);
    CHECK(!v.ptr[1].h && v.ptr[1].v == 2);
    CHECK_OK(rule_answer_vector(a,
                                SLICE("{\"status\":\"success\",\"data\":{\"resultType\":"
                                      "\"scalar\",\"result\":[1,\"2.5\"]}}"),
                                &v));
    CHECK_INT(v.n, 1);
    CHECK(v.ptr[0].v == 2.5);
    CHECK_ERR(rule_answer_vector(a,
                                 SLICE("{\"status\":\"success\",\"data\":{\"resultType\":"
                                       "\"matrix\",\"result\":[]}}"),
                                 &v),
              ERR_EXEC, "not a vector or scalar");
    CHECK_ERR(
        rule_answer_vector(
            a, SLICE("{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"late\"}"), &v),
        ERR_TIMEOUT, "late");
    CHECK_ERR(rule_answer_vector(a, SLICE("{\"status\":"), &v), ERR_INTERNAL, "");
    CHECK_ERR(rule_answer_vector(a,
                                 SLICE("{\"status\":\"success\",\"data\":{\"resultType\":"
                                       "\"vector\",\"result\":[{\"metric\":{}}]}}"),
                                 &v),
              ERR_INTERNAL, "without a value");
    arena_free(a);
}

TEST(rule_view_writes_times_links_and_alerts)
{
    const struct label ext[] = {{SLICE_INIT("a"), SLICE_INIT("ext")},
                                {SLICE_INIT("cluster"), SLICE_INIT("eu")}};
    const struct label ls[] = {{SLICE_INIT("a"), SLICE_INIT("own")}};
    struct rule_group_settings set = {.external_labels = {ext, 2},
                                      .external_url = SLICE("http://x")};
    struct rule r = {.query = SLICE("a > 1")};
    struct rule_alert al = {.labels = {ls, 1},
                            .state = RULE_FIRING,
                            .fired_ms = 1000,
                            .resolved_ms = RULE_NEVER,
                            .valid_until_ms = 61500};
    struct buf b = {0};

    rule_view_time(&b, RULE_NEVER);
    CHECK_SLICE(buf_slice(&b), "0001-01-01T00:00:00Z");
    buf_reset(&b);
    rule_view_time(&b, 1700000000250);
    CHECK_SLICE(buf_slice(&b), "2023-11-14T22:13:20.25Z");
    buf_reset(&b);
    rule_view_postable(&b, &r, &al, &set);
    CHECK_SLICE(buf_slice(&b),
                "{\"labels\":{\"a\":\"own\",\"cluster\":\"eu\"},\"annotations\":{},"
                "\"startsAt\":\"1970-01-01T00:00:01Z\",\"endsAt\":\"1970-01-01T00:01:01.5Z\","
                "\"generatorURL\":\"http://x/graph?g0.expr=a+%3E+1&g0.tab=1\"}");
    buf_reset(&b);
    rule_view_link(&b, &set, RULE_LOGQL, SLICE("rate({a=\"b\"}[1m]) > 1"));
    CHECK_SLICE(buf_slice(&b), "http://x/explore?left=%7B%22queries%22%3A%5B%7B%22expr%22%3A%22rate"
                               "%28%7Ba%3D%5C%22b%5C%22%7D%5B1m%5D%29+%3E+1%22%2C%22queryType%22%3A"
                               "%22range%22%7D%5D%7D");
    set.logs_datasource = SLICE("u");
    buf_reset(&b);
    rule_view_link(&b, &set, RULE_LOGQL, SLICE("x"));
    CHECK_SLICE(buf_slice(&b), "http://x/explore?left=%7B%22queries%22%3A%5B%7B%22expr%22%3A%22x%22"
                               "%2C%22queryType%22%3A%22range%22%2C%22datasource%22%3A%7B%22type%22"
                               "%3A%22loki%22%2C%22uid%22%3A%22u%22%7D%7D%5D%7D");
    buf_done(&b);
}

/* Read again, it is the same group. */
static void check_yaml(const char *text)
{
    struct rule_file *f = NULL, *again = NULL;
    struct buf b = {0};

    CHECK_OK(rule_file_parse("f", slice_cstr(text), RULE_LOGQL, &f));
    buf_str(&b, "groups:\n");
    for (size_t i = 0; i < f->n_groups; i++) {
        buf_str(&b, "  - ");
        rule_yaml_group(&b, &f->groups[i], 4);
    }
    CHECK_OK(rule_file_parse("again", buf_slice(&b), RULE_LOGQL, &again));
    CHECK_INT(again->n_groups, f->n_groups);
    for (size_t i = 0; i < f->n_groups; i++)
        CHECK(again->groups[i].hash == f->groups[i].hash);
    rule_file_unref(f);
    rule_file_unref(again);
    buf_done(&b);
}

TEST(rule_yaml_reads_back_as_the_same)
{
    check_yaml("groups:\n"
               "- name: all of it\n"
               "  interval: 90s\n"
               "  query_offset: 0s\n"
               "  limit: 7\n"
               "  labels: {team: infra, severity: low}\n"
               "  rules:\n"
               "  - record: a:b\n"
               "    expr: |\n"
               "      sum by (x) (\n"
               "        rate({a=\"b\"} |= `\\d` [5m])) # why\n"
               "  - alert: 'yes'\n"
               "    expr: vector(1)\n"
               "    for: 5m\n"
               "    keep_firing_for: 1h30m\n"
               "    labels: {severity: page, empty: '', n: '1', z: 'null', \"a\\x7f:b\": '- x'}\n"
               "    annotations: {summary: '{{ $labels.job }}: \"x\"', t: \"\\t\\u2028é\", e: ''}\n"
               "  - record: c\n"
               "    expr: vector(1)\n"
               "    labels: {next_line: \"a\\x85b\", c1: \"\\x80\\x9f\", mark: \"\\uFEFF\", last: "
               "\"\\uFFFE\\uFFFFé\"}\n"
               "- name: none\n");
}

TEST(rule_yaml_tells_source_tenants)
{
    struct slice text = SLICE("name: g\nsource_tenants:\n    - b\n    - \"1\"\nrules: []\n");
    struct rule_file *f = NULL;
    struct buf b = {0};

    CHECK_OK(rule_file_parse_group("g", text, RULE_PROMQL, &f));
    rule_yaml_group(&b, f->groups, 0);
    CHECK(slice_eq(buf_slice(&b), text));
    rule_file_unref(f);
    buf_done(&b);
}

TEST(rule_yaml_tells_groups_of_one_language_by_namespace)
{
    struct rule_dir *dir = NULL;
    struct rule_set *d;
    bool is_changed;
    char *top = mem_strdup(tmp_path("yaml"));
    struct slice none = {0};
    struct buf b = {0};

    CHECK_OK(fsx_mkdirs(tmp_path("yaml/t/logs")));
    CHECK_OK(fsx_mkdirs(tmp_path("yaml/u/logs")));
    put("yaml/t/m.yml", "groups: [{name: g, rules: [{record: r, expr: up}]}]");
    put("yaml/t/logs/a.yml",
        "groups: [{name: g, interval: 1m, rules: [{record: r, expr: vector(1), "
        "labels: {x: y z}}]}, {name: h}]");
    put("yaml/t/logs/b.yml", "groups: [{name: g, rules: [{record: r, expr: vector(2)}]}]");
    CHECK_OK(rule_dir_load(top, "anonymous", NULL, &dir, &is_changed));
    d = rule_set_new(dir, NULL);
    rule_dir_unref(dir);
    CHECK_OK(rule_yaml(&b, d, SLICE("t"), RULE_LOGQL, none, none));
    CHECK_SLICE(buf_slice(&b), "a.yml:\n    - name: g\n      interval: 1m\n      rules:\n"
                               "          - record: r\n            expr: \"vector(1)\"\n"
                               "            labels:\n                x: \"y z\"\n"
                               "    - name: h\n      rules: []\n"
                               "b.yml:\n    - name: g\n      rules:\n"
                               "          - record: r\n            expr: \"vector(2)\"\n");
    buf_reset(&b);
    CHECK_OK(rule_yaml(&b, d, SLICE("t"), RULE_LOGQL, SLICE("b.yml"), SLICE("g")));
    CHECK_SLICE(buf_slice(&b), "name: g\nrules:\n    - record: r\n      expr: \"vector(2)\"\n");
    buf_reset(&b);
    CHECK_OK(rule_yaml(&b, d, SLICE("t"), RULE_PROMQL, none, none));
    CHECK(slice_has_prefix(buf_slice(&b), SLICE("m.yml:\n")));
    CHECK_ERR(rule_yaml(&b, d, SLICE("t"), RULE_LOGQL, SLICE("c.yml"), none), ERR_NOT_FOUND,
              "no rule groups found");
    CHECK_ERR(rule_yaml(&b, d, SLICE("t"), RULE_LOGQL, SLICE("b.yml"), SLICE("h")), ERR_NOT_FOUND,
              "group does not exist");
    CHECK_ERR(rule_yaml(&b, d, SLICE("u"), RULE_LOGQL, none, none), ERR_NOT_FOUND,
              "no rule groups found");
    rule_set_unref(d);
    buf_done(&b);
    mem_free(top);
}

static const struct rule_dir_file *find(const struct rule_dir *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->files[i].name, name) == 0)
            return &d->files[i];
    return NULL;
}

TEST(rule_dir_finds_tenants_and_keeps_what_was_good)
{
    struct rule_dir *d = NULL, *d2 = NULL;
    bool is_changed;
    char *top = mem_strdup(tmp_path("rules"));
    char *pattern = mem_printf("%s/*/*.yml", top);

    CHECK_OK(fsx_mkdirs(tmp_path("rules/team-a")));
    put("rules/x.yml", "groups: [{name: g}]");
    put("rules/team-a/y.yaml", "groups: [{name: g}]");
    put("rules/team-a/z.yml", "groups: [{name: g}]");
    put("rules/team-a/no.txt", "nonsense");
    CHECK_OK(rule_dir_load(top, "anonymous", NULL, &d, &is_changed));
    CHECK(is_changed);
    CHECK_INT(d->n, 3);
    CHECK_STR(find(d, "x.yml")->tenant, "anonymous");
    CHECK_STR(find(d, "team-a/y.yaml")->tenant, "team-a");
    put("rules/x.yml", "nonsense: 1");
    CHECK_OK(rule_dir_load(top, "anonymous", d, &d2, &is_changed));
    CHECK(!is_changed);
    CHECK_INT(d2->n_bad, 1);
    CHECK(find(d2, "x.yml")->rules == find(d, "x.yml")->rules);
    rule_dir_unref(d);
    CHECK_OK(rule_dir_load(pattern, "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->n, 1);
    CHECK_STR(d->files[0].tenant, "team-a");
    rule_dir_unref(d);
    rule_dir_unref(d2);
    CHECK_OK(rule_dir_load("", "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->n, 0);
    rule_dir_unref(d);
    mem_free(pattern);
    mem_free(top);
}

TEST(rule_dir_rules_over_lines_lie_in_a_directory_of_their_own)
{
    struct rule_dir *d = NULL;
    bool is_changed;
    char *top = mem_strdup(tmp_path("both"));
    char *pattern = mem_printf("%s/*/logs/*.yml", top), *one = mem_printf("%s/t/logs/l.yml", top);

    CHECK_OK(fsx_mkdirs(tmp_path("both/t/logs/logs")));
    CHECK_OK(fsx_mkdirs(tmp_path("both/logs")));
    put("both/t/m.yml", "groups: [{name: g, rules: [{record: r, expr: up}]}]");
    put("both/t/logs/l.yml", "groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]");
    put("both/t/logs/up.yml", "groups: [{name: g, rules: [{record: r, expr: up}]}]");
    put("both/t/logs/logs/deeper.yml", "groups: [{name: g}]"); /* is not looked for */
    put("both/logs/m.yml", "groups: [{name: g, rules: [{record: r, expr: up}]}]"); /* a tenant */
    CHECK_OK(rule_dir_load(top, "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->n, 4);
    CHECK_INT(d->n_bad, 1); /* up is no LogQL */
    CHECK_INT(find(d, "t/m.yml")->lang, RULE_PROMQL);
    CHECK_INT(find(d, "t/logs/l.yml")->lang, RULE_LOGQL);
    CHECK_STR(find(d, "t/logs/l.yml")->tenant, "t");
    CHECK(find(d, "t/logs/up.yml")->is_bad);
    CHECK_INT(find(d, "logs/m.yml")->lang, RULE_PROMQL);
    CHECK_STR(find(d, "logs/m.yml")->tenant, "logs");
    rule_dir_unref(d);
    CHECK_OK(rule_dir_load(pattern, "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->n, 2);
    CHECK_STR(d->files[0].tenant, "t");
    CHECK_INT(d->files[0].lang, RULE_LOGQL);
    rule_dir_unref(d);
    CHECK_OK(rule_dir_load(one, "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->files[0].lang, RULE_LOGQL);
    CHECK_STR(d->files[0].tenant, "anonymous");
    rule_dir_unref(d);
    mem_free(one);
    mem_free(pattern);
    mem_free(top);
}

TEST(rule_dir_a_path_that_leads_nowhere_is_an_error_and_a_pattern_is_not)
{
    struct rule_dir *d = NULL, *d2 = NULL;
    char *top = mem_strdup(tmp_path("nowhere"));
    char *pattern = mem_printf("%s/*.yml", top);
    bool is_changed;

    CHECK_ERR(rule_dir_check(top), ERR_NOT_FOUND, "nowhere: no such file or directory");
    CHECK_ERR(rule_dir_load(top, "anonymous", NULL, &d, &is_changed), ERR_NOT_FOUND, "nowhere");
    CHECK_OK(rule_dir_check(""));
    CHECK_OK(rule_dir_check(pattern));
    CHECK_OK(rule_dir_load(pattern, "anonymous", NULL, &d, &is_changed));
    CHECK_INT(d->n, 0);
    rule_dir_unref(d);
    CHECK_OK(fsx_mkdirs(top));
    put("nowhere/x.yml", "groups: [{name: g}]");
    CHECK_OK(rule_dir_load(top, "anonymous", NULL, &d, &is_changed));
    CHECK_OK(fsx_remove_tree(top)); /* a volume that is gone: the caller keeps d */
    CHECK_ERR(rule_dir_load(top, "anonymous", d, &d2, &is_changed), ERR_NOT_FOUND, "nowhere");
    CHECK_INT(d->n, 1);
    rule_dir_unref(d);
    mem_free(pattern);
    mem_free(top);
}
