#include "ingester/door/log_apply.h"
#include "tests/unit/test.h"

TEST(log_apply_rules_takes_the_rules_whose_bits_are_set)
{
    struct label md[] = {{SLICE("ip"), SLICE("10.0.0.1")}, {SLICE("k"), SLICE("v")}};
    struct log_in in = {.line = SLICE("from 10.0.0.1"), .metadata = md, .n_metadata = 2};
    struct log_tally tally[2] = {{0, 0}, {0, 0}};
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct log_rules rules;

    CHECK_OK(yaml_load("t",
                       SLICE("- {name: a, action: scrub, classes: [ip], replacement: X}\n"
                             "- {name: b, action: drop, regex: X}\n"),
                       a, &root));
    CHECK_OK(log_rules_parse("t", root, a, &rules));
    CHECK(log_apply_rules(&rules, 0, a, tally, &in));
    CHECK(in.metadata == md);
    CHECK(log_apply_rules(&rules, 1 << 1, a, tally, &in));
    CHECK_INT(tally[0].lines + tally[1].lines, 0);
    CHECK(log_apply_rules(&rules, 1 << 0, a, tally, &in));
    CHECK_SLICE(in.line, "from X");
    CHECK_SLICE(in.metadata[0].value, "X");
    CHECK_SLICE(in.metadata[1].value, "v");
    CHECK_SLICE(md[0].value, "10.0.0.1"); /* what was lent stays as it was */
    CHECK_INT(tally[0].lines, 1);
    CHECK_INT(tally[0].bytes, 13);
    CHECK(!log_apply_rules(&rules, 3, a, tally, &in));
    CHECK_INT(tally[0].lines, 1);
    CHECK_INT(tally[1].lines, 1);
    log_rules_done(&rules);
    arena_free(a);
}
