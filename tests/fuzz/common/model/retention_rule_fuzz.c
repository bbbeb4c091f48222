/* YAML as retention rules: whichever counts matches, and no other that matches goes before it. */
#include "common/base/arena.h"
#include "common/model/retention_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find(const struct retention_rules *rules)
{
    static const struct label input[] = {{SLICE_INIT("__name__"), SLICE_INIT("up")},
                                         {SLICE_INIT("env"), SLICE_INIT("dev")}};
    struct labels ls = {input, ORR_COUNT(input)};
    const struct retention_rule *r = retention_rules_find(rules, ls);

    for (size_t i = 0; i < rules->n; i++) {
        const struct retention_rule *other = &rules->ptr[i];

        ORR_ASSERT(other->period_ms >= 0 && other->priority >= 0);
        if (!matchers_match(other->match, ls))
            continue;
        ORR_ASSERT(r && r->priority >= other->priority);
        if (r->priority == other->priority && other->period_ms)
            ORR_ASSERT(r->period_ms && r->period_ms <= other->period_ms);
    }
    ORR_ASSERT(!r || matchers_match(r->match, ls));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct retention_rules rules = {0};
    struct err *e = yaml_load("fuzz", slice_of(data, size), a, &root);

    if (!e && !(e = retention_rules_parse("fuzz", "retention_stream", root, a, &rules)))
        find(&rules);
    retention_rules_done(&rules);
    err_free(e);
    arena_free(a);
    return 0;
}
