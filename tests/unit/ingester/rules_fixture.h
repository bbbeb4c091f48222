/* What tests of a tenant's rules share: rules from one override. */
#pragma once
#include "common/model/tenant_rules.h"

/* yaml: "key: value" */
static inline struct tenant_rules *rules_fixture_new(const char *yaml)
{
    struct tenant_rules *r = tenant_rules_new(NULL);
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    bool is_known = false;
    struct err *e = yaml_load("t", slice_cstr(yaml), a, &root);

    if (!e)
        e = tenant_rules_read(r, "t", &root->keys[0], root->items[0], &is_known);
    ORR_ASSERT(!e && is_known);
    arena_free(a);
    return r;
}
