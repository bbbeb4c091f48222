/* YAML as aggregation rules: outputs of a series are sorted, and rules read twice are the same. */
#include "common/base/arena.h"
#include "common/model/agg_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct agg_rules *rules, struct arena *a)
{
    static const struct label input[] = {{SLICE_INIT("__name__"), SLICE_INIT("hits")},
                                         {SLICE_INIT("job"), SLICE_INIT("x")},
                                         {SLICE_INIT("pod"), SLICE_INIT("p1")}};
    struct labels ls = {input, ORR_COUNT(input)}, group, out;
    const struct agg_rule *r = agg_rules_find(rules, ls);

    if (!r)
        return;
    ORR_ASSERT(r->outputs && r->n_outputs == (unsigned)__builtin_popcount(r->outputs));
    ORR_ASSERT(agg_rules_by_id(rules, r->id) == r);
    group = agg_rule_group(r, a, ls);
    (void)agg_rule_place(r, a, group);
    for (unsigned o = 0; o < AGG_OUTPUT_COUNT; o++) {
        out = agg_rule_output(r, a, group, (enum agg_output)o);
        ORR_ASSERT(out.n == group.n && out.n >= 1);
        for (size_t i = 1; i < out.n; i++)
            ORR_ASSERT(slice_cmp(out.ptr[i - 1].name, out.ptr[i].name) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct agg_rules rules = {0}, again = {0};
    struct err *e = yaml_load("fuzz", slice_of(data, size), a, &root);

    if (!e && !(e = agg_rules_parse("fuzz", root, a, &rules))) {
        apply(&rules, a);
        e = agg_rules_parse("fuzz", root, a, &again);
        ORR_ASSERT(!e && again.n == rules.n);
        for (size_t i = 0; i < rules.n; i++)
            ORR_ASSERT(rules.ptr[i].id == again.ptr[i].id);
    }
    agg_rules_done(&rules);
    agg_rules_done(&again);
    err_free(e);
    arena_free(a);
    return 0;
}
