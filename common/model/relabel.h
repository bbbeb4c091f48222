/*
 * Relabelling as Prometheus does it: a list of rules, compiled once, applied to the labels of a
 * series in order. From YAML:
 *
 *     - source_labels: [job, instance]     values, joined by separator (";")
 *       separator: ";"
 *       regex: (.*)                        matches all of it (RE2, dot matches newline)
 *       modulus: 0                         hashmod: last 8 bytes of MD5, big endian, mod modulus
 *       target_label: ""                   replace: $1 and ${name} are groups
 *       replacement: $1
 *       action: replace                    in any case; also keep drop keepequal dropequal hashmod
 *                                          labelmap labeldrop labelkeep lowercase uppercase
 *
 * What Prometheus refuses in a rule is refused here, with file and line. Label names are UTF-8.
 *
 * Bounds: RELABEL_MAX_RULES rules, RELABEL_MAX_SOURCES source labels a rule, and what the YAML
 * reader and RE2 bound.
 *
 * Immutable once made: any number of threads may apply it.
 */
#pragma once
#include "common/base/yaml.h"
#include "common/model/labels.h"

#define RELABEL_MAX_RULES 1000
#define RELABEL_MAX_SOURCES 128
#define RELABEL_MAX_VALUE_BYTES                                                                    \
    (1u << 20) /* of a value that a rule makes; longer: the series goes */

struct relabel;

/* name is for messages; node: a sequence of rules, NULL or null for none. *ret may have no rules,
 * and points to nothing of the tree. */
ORR_CHECKED struct err *relabel_parse(const char *name, const struct yaml_node *node,
                                      struct relabel **ret);
void relabel_free(struct relabel *r); /* NULL is allowed */
size_t relabel_rules(const struct relabel *r);
/* False: the series is dropped. *ret: sorted; its array and new texts are in the arena, other texts
 * are those of ls and of the rules. A labelmap without a group may make a label without a name. */
bool relabel_apply(const struct relabel *r, struct arena *a, struct labels ls, struct labels *ret);
