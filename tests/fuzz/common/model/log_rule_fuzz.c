/* Any text as log_rules, which are then applied to that text. */
#include "common/model/log_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct log_rule *r, struct slice text)
{
    struct buf out = {0};

    if (log_rule_takes(r, text))
        (void)log_rule_keeps(r, text, 1);
    if (r->action == LOG_RULE_SCRUB && !log_rule_scrub(r, text, &out))
        ORR_ASSERT(out.len == 0);
    ORR_ASSERT(out.len <= 4 * (4 * text.len + 70000) + 70000);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(16u << 20);
    struct slice text = slice_of(data, size);
    struct yaml_node *root = NULL;
    struct log_rules rules = {0};
    struct err *e = yaml_load("t", text, a, &root);

    if (!e)
        e = log_rules_parse("t", root, a, &rules);
    for (size_t i = 0; i < rules.n; i++)
        apply(&rules.ptr[i], text);
    err_free(e);
    log_rules_done(&rules);
    arena_free(a);
    return 0;
}
