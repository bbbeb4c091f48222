/*
 * Groups of rules as YAML again, as Loki's API of rule configurations tells them: what was written, but for its
 * comments and its layout. Any thread.
 */
#pragma once
#include "ruler/rule_dir.h"

/*
 * Of the tenant's files in that language (their names are the namespaces):
 *
 *     ns empty     ns.yml: [groups …]    of all its namespaces
 *     group empty  the same of the one
 *     else         name: …               the group alone
 *
 * ERR_NOT_FOUND, in Loki's words, when there is none.
 */
ORR_CHECKED struct err *rule_yaml(struct buf *out, const struct rule_dir *d, struct slice tenant,
                                  enum rule_lang lang, struct slice ns, struct slice group);
/* One group as a mapping whose lines are indented by so many spaces, the first line but by what was
 * written before it. */
void rule_yaml_group(struct buf *out, const struct rule_group *g, unsigned indent);
