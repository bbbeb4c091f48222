/*
 * A list of rules in the overrides file, each a mapping: what agg_rule.h, log_rule.h, retention_rule.h and tail_rule.h share in reading
 * theirs (generator_rule.h has no list, but its errors are the same). Errors are ERR_INVALID, "FILE:LINE: LIST: what".
 *
 * Any thread.
 */
#pragma once
#include "common/base/yaml.h"
#include "common/model/matcher.h"

struct rule_list {
    const char *file, *name; /* for errors */
    struct arena *a;         /* of what is read */
};

/* One key of a rule. */
typedef struct err *rule_list_key_fn(void *arg, const struct yaml_key *key,
                                     const struct yaml_node *value);

/* Is it a list of at most max rules? Null is one of none. */
ORR_CHECKED struct err *rule_list_check(const struct rule_list *l, const struct yaml_node *list,
                                        size_t max);
/* The keys of the i-th, until one is wrong. The rule is a node when this returns without error. */
ORR_CHECKED struct err *rule_list_read(const struct rule_list *l, const struct yaml_node *list,
                                       size_t i, rule_list_key_fn *fn, void *arg);
/* Compiles into the arena; matchers_done() *ret. */
ORR_CHECKED struct err *rule_list_selector(const struct rule_list *l, struct slice text,
                                           unsigned line, struct matchers *ret);
struct err *rule_list_bad(const struct rule_list *l, unsigned line, const char *what);
struct err *rule_list_unknown(const struct rule_list *l, const struct yaml_key *key);
