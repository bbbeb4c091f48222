/*
 * Groups of rules as YAML again, as the APIs of rule configurations tell them: what was written, but for its
 * comments and its layout. Any thread.
 */
#pragma once
#include "ruler/rule_set.h"

/*
 * Of the tenant's groups in that language:
 *
 *     ns empty     ns: [groups …]        of all its namespaces, by name
 *     group empty  the same of the one
 *     else         name: …               the group alone
 *
 * ERR_NOT_FOUND, in Mimir's and Loki's words, when there is none.
 */
ORR_CHECKED struct err *rule_yaml(struct buf *out, const struct rule_set *set, struct slice tenant,
                                  enum rule_lang lang, struct slice ns, struct slice group);
/* A scalar: plain where that cannot be anything but text, else in double quotes. */
void rule_yaml_text(struct buf *out, struct slice s);
/* One group as a mapping whose lines are indented by so many spaces, the first line but by what was
 * written before it. */
void rule_yaml_group(struct buf *out, const struct rule_group *g, unsigned indent);
