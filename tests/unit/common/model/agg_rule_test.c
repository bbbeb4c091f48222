#include "common/model/agg_rule.h"
#include "tests/unit/test.h"

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

static const struct label input[] = {L("__name__", "hits_total"), L("instance", "h1:9090"),
                                     L("job", "web"), L("pod", "p-1")};
static const struct labels labels = {input, ORR_COUNT(input)};

static struct err *parse(struct arena *a, const char *yaml, struct agg_rules *ret)
{
    struct yaml_node *root = NULL;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    return agg_rules_parse("t", root, a, ret);
}

/* The labels of an output, "none", or the error. */
static const char *output(const char *yaml, enum agg_output o)
{
    static char out[512];
    struct arena *a = arena_new(0);
    struct agg_rules rules;
    struct buf b = {0};
    struct err *e = parse(a, yaml, &rules);
    const struct agg_rule *r = e ? NULL : agg_rules_find(&rules, labels);

    if (e)
        buf_printf(&b, "%s", err_msg(e));
    else if (r)
        labels_text(&b, agg_rule_output(r, a, agg_rule_group(r, a, labels), o));
    else
        buf_str(&b, "none");
    (void)snprintf(out, sizeof(out), "%s", buf_cstr(&b));
    err_free(e);
    agg_rules_done(&rules);
    buf_done(&b);
    arena_free(a);
    return out;
}

TEST(agg_rule_says_what_its_outputs_are_called)
{
    CHECK_STR(
        output("- {match: hits_total, without: [pod, instance], outputs: [total]}", AGG_TOTAL),
        "hits_total:total{job=\"web\"}");
    CHECK_STR(output("- {match: ['down', '{job=~\"w.*\"}'], by: [pod, zone], outputs: [sum, count],"
                     " name: 'agg:$output:$name'}",
                     AGG_COUNT),
              "agg:count:hits_total{pod=\"p-1\"}");
    CHECK_STR(output("- {match: hits_total, by: job, outputs: total, name: $name, drop_input: yes}",
                     AGG_TOTAL),
              "hits_total{job=\"web\"}");
    CHECK_STR(output("- {match: 'hits_total{job=\"db\"}', by: [job], outputs: [sum]}", AGG_SUM),
              "none");
    CHECK_STR(output("", AGG_SUM), "none");
}

TEST(agg_rule_refuses_what_makes_no_sense)
{
    static const struct {
        const char *rules, *why;
    } cases[] = {
        {"{}", "is a list"},
        {"- 5", "a rule is a mapping"},
        {"- {without: [a], outputs: [sum]}", "without match"},
        {"- {match: 'a{', without: [a], outputs: [sum]}", "match"},
        {"- {match: '{a=~\".*\"}', without: [a], outputs: [sum]}", "rules anything out"},
        {"- {match: [], without: [a], outputs: [sum]}", "no selector"},
        {"- {match: a, outputs: [sum]}", "neither by nor without"},
        {"- {match: a, by: [b], without: [a], outputs: [sum]}", "both by and without"},
        {"- {match: a, without: [__name__], outputs: [sum]}", "always kept"},
        {"- {match: a, without: [b]}", "without outputs"},
        {"- {match: a, without: [b], outputs: [avg]}", "none of sum"},
        {"- {match: a, without: [b], outputs: [sum], interval: 1s}", "between 5s and 1h"},
        {"- {match: a, without: [b], outputs: [sum], interval: x}", "t:1"},
        {"- {match: a, without: [b], outputs: [sum], interval: 10m, staleness: 5m}", "shorter"},
        {"- {match: a, without: [b], outputs: [sum, min], name: x}", "$output"},
        {"- {match: a, without: [b], outputs: [sum], name: $name}", "drop_input"},
        {"- {match: a, without: [b], outputs: [sum], drop: true}", "unknown key drop"},
        {"- {match: a, without: [b], outputs: [sum], drop_input: perhaps}", "neither true"},
        {"[{match: a, without: [b], outputs: [sum]}, {match: a, without: [b], outputs: [sum]}]",
         "twice"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        if (!strstr(output(cases[i].rules, AGG_SUM), cases[i].why))
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i].rules,
                      output(cases[i].rules, AGG_SUM));
}

TEST(agg_rule_has_an_identity)
{
    struct arena *a = arena_new(0);
    struct agg_rules one, two;
    struct hash128 input_fp = labels_fingerprint(labels);

    CHECK_OK(parse(a, "[{match: a, by: [b, c], outputs: [sum]}, {match: a, by: [b], outputs: sum}]",
                   &one));
    CHECK_OK(parse(a, "- {outputs: [sum], by: [c, b, b], match: '{__name__=\"a\"}'}", &two));
    CHECK(one.ptr[0].id == two.ptr[0].id && one.ptr[0].id != one.ptr[1].id);
    CHECK(agg_rules_by_id(&one, two.ptr[0].id) == &one.ptr[0]);
    CHECK(!hash128_eq(agg_rule_key(&one.ptr[0], input_fp), agg_rule_key(&one.ptr[1], input_fp)));
    agg_rules_done(&one);
    agg_rules_done(&two);
    arena_free(a);
}
