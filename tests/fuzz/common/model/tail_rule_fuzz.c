/* YAML as policies of tail sampling: leaves and buckets are numbered, and what is read can be let go. */
#include "common/base/arena.h"
#include "common/model/tail_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tail_rules *r, const struct tail_policy *ps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct tail_policy *p = &ps[i];
        bool is_leaf = p->type == TAIL_STATUS || p->type == TAIL_STRING || p->type == TAIL_NUMBER ||
                       p->type == TAIL_BOOL;

        ORR_ASSERT(p->name.len);
        if (is_leaf)
            ORR_ASSERT(p->leaf < r->n_leaves && r->leaves[p->leaf] == p);
        if (p->type == TAIL_RATE)
            ORR_ASSERT(p->bucket < r->n_buckets);
        check(r, p->subs, p->n_subs);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct tail_rules rules = {0};
    struct err *e = yaml_load("fuzz", slice_of(data, size), a, &root);

    if (!e && !(e = tail_rules_parse("fuzz", root, a, &rules)))
        check(&rules, rules.ptr, rules.n);
    tail_rules_done(&rules);
    err_free(e);
    arena_free(a);
    return 0;
}
