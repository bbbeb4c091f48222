#include "common/model/retention_rule.h"
#include "tests/unit/test.h"

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

static const struct label input[] = {L("__name__", "up"), L("env", "dev"), L("job", "web")};
static const struct labels labels = {input, ORR_COUNT(input)};

/* The period of the rule that counts in seconds, "none", or the error. */
static const char *period(const char *yaml)
{
    static char out[512];
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct retention_rules rules;
    const struct retention_rule *r;
    struct err *e;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    if ((e = retention_rules_parse("t", "retention_stream", root, a, &rules)))
        (void)snprintf(out, sizeof(out), "%s", err_msg(e));
    else if ((r = retention_rules_find(&rules, labels)))
        (void)snprintf(out, sizeof(out), "%lld", (long long)r->period_ms / 1000);
    else
        (void)snprintf(out, sizeof(out), "none");
    err_free(e);
    retention_rules_done(&rules);
    arena_free(a);
    return out;
}

TEST(retention_rule_of_the_highest_priority_counts_then_the_shortest)
{
    CHECK_STR(period(""), "none");
    CHECK_STR(period("- {selector: '{env=\"prod\"}', period: 1h}"), "none");
    CHECK_STR(period("- {selector: '{env=\"dev\"}', period: 7d}"), "604800");
    CHECK_STR(period("- {selector: 'up', period: 2h}\n- {selector: '{env=~\"d.*\"}', period: 1h}\n"
                     "- {selector: '{job=\"web\"}', period: 3h}"),
              "3600");
    CHECK_STR(period("- {selector: 'up', period: 2h, priority: 2}\n"
                     "- {selector: '{env=~\"d.*\"}', period: 1h}\n"
                     "- {selector: '{job=\"web\"}', period: 3h, priority: 2}"),
              "7200");
    /* 0 is for ever: longer than any */
    CHECK_STR(period("- {selector: 'up', period: 0s}\n- {selector: 'up', period: 9h}"), "32400");
    CHECK_STR(period("- {selector: 'up', period: 0s, priority: 1}\n- {selector: up, period: 9h}"),
              "0");
}

TEST(retention_rule_says_what_is_wrong)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"a: b", "t:1: retention_stream is a list"},
        {"[x]", "t:1: retention_stream: a rule is a mapping"},
        {"- {period: 1h}", "t:1: retention_stream: a rule without selector"},
        {"- {selector: up}", "t:1: retention_stream: a rule without period"},
        {"- {selector: up, period: }", "t:1: retention_stream: not a value"},
        {"- {selector: up, period: 1h, x: y}", "t:1: retention_stream: unknown key x"},
        {"- {selector: '{a=~\".*\"}', period: 1h}",
         "t:1: retention_stream: a selector without a matcher that rules anything out"},
        {"- {selector: up, period: 1h, priority: -1}",
         "t:1: retention_stream: priority is not a whole number from 0 to 1000000"},
    };

    for (size_t i = 0; i < ORR_COUNT(rows); i++)
        CHECK_STR(period(rows[i].yaml), rows[i].want);
    CHECK(strncmp(period("- {selector: 'up{', period: 1h}"), "t:1: selector: ", 15) == 0);
    CHECK(strncmp(period("- {selector: up, period: soon}"), "t:1: period: ", 13) == 0);
}
