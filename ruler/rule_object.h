/*
 * One namespace of a tenant's groups of rules, as an object of the bucket:
 *
 *     rules/<tenant>/<metrics|logs>/<namespace>      metrics: PromQL, logs: LogQL
 *
 *     "ORRRUL" 0 1 | lstr namespace | uvarint count | { lstr name of a group, lstr its YAML }... | u32le CRC-32C of all before it
 *
 * The YAML is that of one group (rule_yaml_group()). Groups stand in the order in which they came; a name once.
 *
 * In the key bytes of the namespace are as they are, if letters, digits, "_", "-", "." (but in front) or no ASCII; else "!" and two
 * hexadecimal digits. So a namespace may have slashes, and nobody leaves his directory by one.
 *
 * Why a namespace is an object, and not a group: who reads all rules of a bucket asks for as many objects as there are
 * namespaces, and one listing tells which have changed (a key each: 10,000 groups in 100 namespaces are one request for
 * the listing and 100 more at the first time). A tenant as an object would be fewer still, but each change of a group would
 * write all of its groups again, and one that is damaged would take them all.
 *
 * Pure. Foreign bytes: ERR_CORRUPT. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "ruler/rule_file.h"

#define RULE_OBJECT_PREFIX "rules/"
#define RULE_OBJECT_MAX_BYTES (16u << 20)
#define RULE_OBJECT_MAX_GROUPS 10000
#define RULE_OBJECT_MAX_NAME 1024 /* bytes of a group's name */

struct rule_object_group {
    struct slice name, yaml;
};
struct rule_object {
    struct slice ns;
    struct rule_object_group *groups;
    size_t n;
    bool
        is_damaged; /* rule_store_change(): what is there cannot be read, and the groups are not known */
};

/* Whether a namespace may be called so: UTF-8, without control bytes, and its key is not too long. */
ORR_CHECKED struct err *rule_object_check_ns(struct slice ns);
/* All keys of a tenant, or of a language of his, begin with these; in the arena. tenant empty: of all. */
struct slice rule_object_prefix(struct arena *a, struct slice tenant);
struct slice rule_object_lang_prefix(struct arena *a, struct slice tenant, enum rule_lang lang);
struct slice rule_object_key(struct arena *a, struct slice tenant, enum rule_lang lang,
                             struct slice ns);
/* What a key says, borrowed from it but for the namespace; false: it is none of ours. */
bool rule_object_key_read(struct arena *a, struct slice key, struct slice *ret_tenant,
                          enum rule_lang *ret_lang, struct slice *ret_ns);

/* ERR_LIMIT: too many groups, or bytes. */
ORR_CHECKED struct err *rule_object_write(struct buf *out, const struct rule_object *o);
/* Borrows from bytes; the list is the arena's. */
ORR_CHECKED struct err *rule_object_parse(struct arena *a, struct slice bytes,
                                          struct rule_object *ret);
/* NULL: it has none of that name. */
const struct rule_object_group *rule_object_find(const struct rule_object *o, struct slice name);
/* In the place of the group of that name, else behind all; the list is made anew in the arena, the texts are borrowed. */
void rule_object_set(struct arena *a, struct rule_object *o, struct rule_object_group g);
/* False: there was none. */
bool rule_object_remove(struct rule_object *o, struct slice name);
