/*
 * Namespaces of groups of rules: those of files that are kept in a repository (as mimirtool and lokitool read them),
 *
 *     namespace: team-a        # else the file's name without .yml, .yaml, .rules
 *     groups: [...]            # more documents may follow, of other namespaces
 *
 * and those that an API of rule configurations tells, as Orrery writes them:
 *
 *     team-a:
 *         - name: g
 *
 * A group is compared by its YAML in the one form in which Orrery writes it (rule_yaml_group()).
 *
 * Memory: the arena's, and the files' until ctl_space_done(). One thread.
 */
#pragma once
#include "common/base/map.h"
#include "common/base/vec.h"
#include "ruler/rule_yaml.h"

struct ctl_space_group {
    struct slice ns, name;
    struct slice yaml; /* the group alone */
    const char *path;  /* where it was read; NULL: told by the API */
    const struct rule_group *group;
};
struct ctl_space {
    struct arena *arena;
    VEC(struct ctl_space_group) groups;
    struct map places; /* of these: namespace, NUL, name → place + 1 */
    VEC(struct rule_file *) files;
};

void ctl_space_init(struct ctl_space *s, struct arena *a);
void ctl_space_done(struct ctl_space *s);
/* Adds what a file has, or the files (.yml, .yaml, .rules) of a directory. ERR_INVALID: what is wrong, and where; also a group that
 * is there already. */
ORR_CHECKED struct err *ctl_space_add_path(struct ctl_space *s, const char *path,
                                           enum rule_lang lang);
ORR_CHECKED struct err *ctl_space_add_text(struct ctl_space *s, const char *path, struct slice text,
                                           enum rule_lang lang);
/* The answer of an API to a question for all namespaces, or for one. */
ORR_CHECKED struct err *ctl_space_add_answer(struct ctl_space *s, struct slice text,
                                             enum rule_lang lang);
/* NULL: there is none. */
const struct ctl_space_group *ctl_space_find(const struct ctl_space *s, struct slice ns,
                                             struct slice name);
