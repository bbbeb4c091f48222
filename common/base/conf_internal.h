/*
 * Inside configuration: conf.c holds the tables and the sources' order, conf_value.c one value,
 * conf_yaml.c the file, conf_cli.c the command line and its help.
 */
#pragma once
#include "common/base/conf.h"
#include "common/base/map.h"

/* ---- conf_value.c: a member of a section's struct ---- */

/* What help calls a value of this field ("DURATION", "a|b|c"). */
const char *conf_value_kind(const struct conf_field *f);
/* " (1s to 24h)", "" without a range. */
void conf_value_range(const struct conf_field *f, struct buf *out);
/*
 * Reads text into member, dropping what was there; a list's elements are between commas. The error
 * says what is wrong with the value, not where it stands; a secret is not repeated in it.
 */
ORR_CHECKED struct err *conf_value_set(const struct conf_field *f, void *member, struct slice text);
ORR_CHECKED struct err *conf_value_set_list(const struct conf_field *f, void *member,
                                            const struct slice *items, size_t n);
void conf_value_done(const struct conf_field *f, void *member);
bool conf_value_eq(const struct conf_field *f, const void *a, const void *b);
/* As YAML in flow style; a secret as <secret> unless it is empty. */
void conf_value_print(const struct conf_field *f, const void *member, struct buf *out);

/* ---- conf.c: finding fields ---- */

struct conf_slot { /* a field and where its value lives */
    const struct conf_section *section;
    const struct conf_field *field;
    void *member;
};

/* Key "section.name", '_' for '-' allowed. False if there is none. */
bool conf_find(const struct conf *c, struct slice key, struct conf_slot *ret);
/* Is there a field below key? */
bool conf_is_prefix(const struct conf *c, struct slice key);
/* Is this the name of a section of another program? */
bool conf_is_foreign(const struct conf *c, struct slice section);
/* " (did you mean ingester.chunk-age?)", or nothing when no key is near. */
void conf_suggest(const struct conf *c, struct slice key, struct buf *out);

/* ---- conf_yaml.c ---- */

ORR_CHECKED struct err *conf_yaml_apply(struct conf *c, const char *name, struct slice text);
