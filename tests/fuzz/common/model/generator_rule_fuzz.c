/* YAML as rules of the generator: buckets ascend, and what is read can be let go. */
#include "common/base/arena.h"
#include "common/model/generator_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct generator_buckets *b)
{
    ORR_ASSERT(b->n && b->n <= GENERATOR_MAX_BUCKETS);
    for (size_t i = 1; i < b->n; i++)
        ORR_ASSERT(b->ptr[i] > b->ptr[i - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct generator_rules rules = {0};
    struct err *e = yaml_load("fuzz", slice_of(data, size), a, &root);

    if (!e && !(e = generator_rules_parse("fuzz", root, a, &rules))) {
        check(&rules.spans.buckets);
        check(&rules.graph.buckets);
        ORR_ASSERT(rules.has_classic || rules.has_native);
    }
    generator_rules_done(&rules);
    err_free(e);
    arena_free(a);
    return 0;
}
