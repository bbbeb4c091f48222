/*
 * All rules that are in the bucket (rule_object.h), as they were at one time; and how they are changed.
 *
 * rule_store_load() lists the bucket and reads the objects that differ from those of before, several at once. A listing
 * tells of an object its size and when it was written, on some servers in whole seconds; so one that was seen first with a time
 * is read once more RULE_STORE_SETTLE_MS later: what was written in the same second and is as long is not missed. Clocks need
 * not agree for that.
 *
 * What cannot be read is named in the log, and the others go on: an object that is damaged, or a group that this version does not
 * understand, or an object that the bucket does not give. What was read of it before stays; it is tried again with each load. The same for
 * what there is too much of: a tenant's namespaces over RULE_STORE_MAX_NAMESPACES, in the order of their keys (they are not even listed, so
 * that he takes nothing from others), and what is behind RULE_STORE_MAX_OBJECTS of all tenants.
 *
 * A change reads the one object, and writes it with a conditional put, from the beginning when another was faster; a kill at
 * any moment leaves it as it was or as it should be. Where a bucket has no conditional puts that holds within a process, so all
 * changes of a tenant are made by one ruler (ruler_api.c), one after the other. A namespace without groups stays behind as an
 * object until rule_store_sweep(): to delete it at once would take with it what another adds at that moment.
 *
 * A struct rule_store is immutable and reference-counted: any thread. load, change and sweep block.
 */
#pragma once
#include "common/base/job.h"
#include "common/base/snapshot.h"
#include "common/objstore/objstore.h"
#include "ruler/rule_object.h"

#define RULE_STORE_MAX_OBJECTS 100000
#define RULE_STORE_MAX_NAMESPACES 10000 /* of a tenant, in a language */
#define RULE_STORE_SETTLE_MS 2500
#define RULE_STORE_SWEEP_MS (10 * 60 * 1000) /* age at which an empty namespace is deleted */

struct rule_store_group {
    struct slice name;
    uint64_t hash;           /* of its text */
    struct rule_file *rules; /* of one group; NULL: never read well */
};
/* What one object held when it was read. */
struct rule_store_ns {
    struct snapshot snap;
    struct arena *arena;
    struct slice tenant, ns;
    enum rule_lang lang;
    uint64_t hash; /* of its bytes */
    struct rule_store_group *groups;
    size_t n;
    size_t n_bad; /* groups whose present text is refused */
};
struct rule_store_entry {
    struct slice key;         /* the ns' arena has it */
    struct rule_store_ns *ns; /* a reference */
    uint64_t bytes;           /* as listed */
    int64_t modified_ms;      /* likewise */
    int64_t seen_ms;          /* since when it has been listed so; monotonic */
    bool is_settled;
    bool is_bad; /* what is there cannot be read: ns is from before, or empty */
};
struct rule_store {
    struct snapshot snap;
    struct rule_store_entry *entries; /* by key */
    size_t n;
    size_t
        n_bad; /* objects and groups, and how often some were passed over for there were too many */
};

struct rule_store_opts {
    struct objstore *store;
    struct job_pool *jobs; /* to read with; NULL: the caller alone */
    struct slice prefix;   /* rule_object_prefix(), rule_object_lang_prefix() */
    bool
        is_exact; /* reads again what is not settled, however young, and what cannot be fetched is an error */
    int64_t now_ms; /* monotonic */
};
/* before may be NULL, and of another prefix. An error: the bucket could not be listed; or an object could not be fetched, if is_exact; or
 * none could, if before is NULL. *ret_changed: other groups than before. */
ORR_CHECKED struct err *rule_store_load(const struct rule_store_opts *opts,
                                        const struct rule_store *before, struct rule_store **ret,
                                        bool *ret_changed);
/* Whether there is an object with this key of which nothing could be read yet: nobody knows what groups it has. */
bool rule_store_is_unread(const struct rule_store *s, struct slice key);
struct rule_store *rule_store_ref(const struct rule_store *s);
void rule_store_unref(const struct rule_store *s); /* NULL is allowed */

/* Changes *o, whose texts live in the arena or longer; ret_changed false: nothing is written. */
typedef struct err *rule_store_edit_fn(void *arg, struct arena *a, struct rule_object *o,
                                       bool *ret_changed);
/* An object that is not there is one without groups. */
ORR_CHECKED struct err *rule_store_change(struct objstore *store, struct slice tenant,
                                          enum rule_lang lang, struct slice ns,
                                          rule_store_edit_fn *edit, void *arg);
/* Whether an entry is without groups for so long that it may go, at a Unix time. */
bool rule_store_is_empty(const struct rule_store_entry *entry, int64_t now_ms);
/* Deletes it if it still has no groups. By who makes the changes of its tenant. */
ORR_CHECKED struct err *rule_store_sweep(struct objstore *store, struct slice key);
