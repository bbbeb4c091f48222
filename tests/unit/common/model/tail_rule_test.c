#include "common/model/tail_rule.h"
#include "tests/unit/test.h"

struct rules {
    struct arena *a;
    struct tail_rules r;
};

static struct err *parse(struct rules *t, const char *yaml)
{
    struct yaml_node *root = NULL;

    t->a = arena_new(0);
    CHECK_OK(yaml_load("t", slice_cstr(yaml), t->a, &root));
    return tail_rules_parse("t", root, t->a, &t->r);
}

static void done(struct rules *t)
{
    tail_rules_done(&t->r);
    arena_free(t->a);
}

TEST(tail_rule_reads_the_collectors_yaml)
{
    struct rules t;
    const struct tail_policy *p;

    CHECK_OK(parse(
        &t,
        "policies:\n"
        "  - {name: all, type: always_sample}\n"
        "  - {name: slow, type: latency, latency: {threshold_ms: 5000, upper_threshold_ms: "
        "10000}}\n"
        "  - {name: num, type: numeric_attribute, numeric_attribute: {key: k, min_value: -5, "
        "max_value: 100}}\n"
        "  - {name: p, type: probabilistic, probabilistic: {sampling_percentage: 10, hash_salt: "
        "s}}\n"
        "  - {name: st, type: status_code, status_code: {status_codes: [ERROR, UNSET]}}\n"
        "  - {name: str, type: string_attribute, string_attribute: {key: k, values: ['a+', b],\n"
        "     enabled_regex_matching: true, cache_max_size: 10, invert_match: true}}\n"
        "  - {name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 35}}\n"
        "  - {name: n, type: span_count, span_count: {min_spans: 2, max_spans: 20}}\n"
        "  - {name: b, type: boolean_attribute, boolean_attribute: {key: k, value: true}}\n"
        "  - name: and\n"
        "    type: and\n"
        "    and: {and_sub_policy: [{name: x, type: always_sample}, {name: y, type: latency, "
        "latency: {threshold_ms: 1}}]}\n"
        "  - name: d\n"
        "    type: drop\n"
        "    drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: u, "
        "values: [/healthy]}}]}\n"
        "  - name: c\n"
        "    type: composite\n"
        "    composite:\n"
        "      max_total_spans_per_second: 1000\n"
        "      policy_order: [two, one]\n"
        "      composite_sub_policy:\n"
        "        - {name: one, type: always_sample}\n"
        "        - {name: two, type: numeric_attribute, numeric_attribute: {key: k, min_value: "
        "50}}\n"
        "      rate_allocation: [{policy: one, percent: 50}, {policy: two, percent: 25}]\n"));
    CHECK_INT(t.r.n, 12);
    p = t.r.ptr;
    CHECK(p[1].min == 5000000000ll && p[1].max == 10000000000ll);
    CHECK(p[2].min_value == -5 && p[2].max_value == 100);
    CHECK(p[3].salt && p[3].bound > UINT64_MAX / 10 - 4096 && p[3].bound < UINT64_MAX / 10 + 4096);
    CHECK_INT(p[4].statuses, 1 << 2 | 1 << 0);
    CHECK(p[5].inverts && p[5].regexes && p[5].n_values == 2);
    CHECK(p[6].rate == 35 && p[7].min == 2 && p[7].max == 20 && p[8].value);
    CHECK_INT(p[9].n_subs, 2);
    CHECK_SLICE(p[11].subs[0].name, "two");
    CHECK(p[11].subs[0].rate == 250 && p[11].subs[1].rate == 500);
    CHECK_INT(t.r.n_leaves, 6);
    CHECK_INT(t.r.n_buckets, 3);
    for (unsigned i = 0; i < t.r.n_leaves; i++)
        CHECK_INT(t.r.leaves[i]->leaf, i);
    CHECK(t.r.leaves[5] == &p[11].subs[0]); /* in the order, not where it was read */
    done(&t);
    CHECK_OK(parse(&t, "~"));
    CHECK_INT(t.r.n, 0);
    done(&t);
}

TEST(tail_rule_says_what_is_wrong)
{
    static const char *const cases[][2] = {
        {"policies: 1", "is a list"},
        {"decision_wait: 10s", "unknown key decision_wait"},
        {"policies: [{type: always_sample}]", "without name"},
        {"policies: [{name: a}]", "without type"},
        {"policies: [{name: a, type: always_sample}, {name: a, type: always_sample}]", "one name"},
        {"policies: [{name: a, type: often}]", "unknown type"},
        {"policies: [{name: a, type: latency}]", "needs threshold_ms"},
        {"policies: [{name: a, type: latency, latency: {threshold_ms: fast}}]", "not a number"},
        {"policies: [{name: a, type: latency, latency: {threshold_ms: 1.5}}]", "whole"},
        {"policies: [{name: a, type: latency, status_code: {status_codes: []}}]", "another type"},
        {"policies: [{name: a, type: latency, latency: {threshold_ms: 1, x: 2}}]", "unknown key x"},
        {"policies: [{name: a, type: status_code, status_code: {status_codes: [BAD]}}]",
         "ERROR, OK"},
        {"policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: ['('],"
         " enabled_regex_matching: true}}]",
         "t:1: tail_sampling"},
        {"policies: [{name: a, type: and, and: {and_sub_policy: []}}]", "no policies below"},
        {"policies: [{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop, drop:"
         " {drop_sub_policy: [{name: c, type: always_sample}]}}]}}]",
         "at the top alone"},
        {"policies: [{name: a, type: not, not: {not_sub_policy: [{name: b, type: rate_limiting,"
         " rate_limiting: {spans_per_second: 1}}]}}]",
         "below not or drop"},
        {"policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1,"
         " policy_order: [x], composite_sub_policy: [{name: b, type: always_sample}]}}]",
         "policy_order is not of all"},
        {"policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1,"
         " policy_order: [b], composite_sub_policy: [{name: b, type: always_sample}],"
         " rate_allocation: [{policy: z, percent: 1}]}}]",
         "rate_allocation names"},
    };
    struct buf deep = {0};
    struct rules t;

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        CHECK_ERR(parse(&t, cases[i][0]), ERR_INVALID, cases[i][1]);
        arena_free(t.a);
    }
    buf_str(&deep, "policies: [");
    for (int i = 0; i < 4; i++)
        buf_str(&deep, "{name: a, type: or, or: {or_sub_policy: [");
    buf_str(&deep, "{name: a, type: always_sample}");
    for (int i = 0; i < 4; i++)
        buf_str(&deep, "]}}");
    buf_str(&deep, "]");
    CHECK_ERR(parse(&t, buf_cstr(&deep)), ERR_INVALID, "4 deep");
    arena_free(t.a);
    buf_reset(&deep);
    buf_str(&deep, "policies:\n");
    for (int i = 0; i < 65; i++)
        buf_printf(
            &deep,
            "- {name: n%d, type: boolean_attribute, boolean_attribute: {key: k, value: true}}\n",
            i);
    CHECK_ERR(parse(&t, buf_cstr(&deep)), ERR_INVALID, "more than 64");
    arena_free(t.a);
    buf_done(&deep);
}
