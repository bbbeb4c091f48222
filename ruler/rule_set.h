/*
 * All groups that rulers know: those of files (rule_dir.h) and those of the bucket (rule_store.h), in one list.
 *
 *             namespace            shown as file        key
 *   file      its name             its path below       tenant/path/group
 *                                  ruler.rule-path
 *   bucket    what it is called    the same             @ and the object's key, /group
 *
 * The key is the same on all rulers: the ring tells by it who evaluates the group. No tenant's name begins with "@".
 *
 * Immutable and reference-counted: any thread.
 */
#pragma once
#include "common/base/snapshot.h"
#include "ruler/rule_dir.h"
#include "ruler/rule_store.h"

struct rule_set_group {
    const char *key, *tenant, *file;
    struct slice ns;
    enum rule_lang lang;
    bool is_stored; /* in the bucket */
    struct rule_file *rules;
    size_t index; /* of the group in it */
};
struct rule_set {
    struct snapshot snap;
    struct arena *arena;
    const struct rule_dir *dir;     /* references; NULL: not read yet */
    const struct rule_store *store; /* likewise */
    struct rule_set_group *groups;
    size_t n;
};

/* Takes references of its own; both may be NULL. */
struct rule_set *rule_set_new(const struct rule_dir *dir, const struct rule_store *store);
struct rule_set *rule_set_ref(const struct rule_set *s);
void rule_set_unref(const struct rule_set *s); /* NULL is allowed */
static inline const struct rule_group *rule_set_group_of(const struct rule_set_group *g)
{
    return &g->rules->groups[g->index];
}
/* Whether g, which is of the bucket, may have been in s, too: of its namespace nothing could be read then. */
bool rule_set_is_unread(const struct rule_set *s, const struct rule_set_group *g);
/* Whether a namespace of the tenant is a file. */
bool rule_set_is_file(const struct rule_set *s, struct slice tenant, enum rule_lang lang,
                      struct slice ns);
