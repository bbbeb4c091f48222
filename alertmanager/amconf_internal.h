/* What the parts of the configuration's reader share. */
#pragma once
#include "alertmanager/amconf.h"
#include "common/base/vec.h"

struct amconf_reader {
    struct amconf *conf;
    struct arena *arena;
    const char *name;
    const struct yaml_node *global; /* NULL if absent */
};

/* Checks keys and kinds of values of a whole node against the schema of that name. */
struct err *amconf_schema_check(const char *file, const struct yaml_node *n, const char *schema);

struct err *amconf_read_receivers(struct amconf_reader *r, const struct yaml_node *list);
struct err *amconf_check_global(struct amconf_reader *r);
struct err *amconf_read_routes(struct amconf_reader *r, const struct yaml_node *route);

/* A scalar's text as a C string, NULL when absent or null. */
const char *amconf_text(struct amconf_reader *r, const struct yaml_node *n, const char *key);
bool amconf_has(const struct yaml_node *n, const char *key); /* there and not "" or null */
bool amconf_bool(const struct yaml_node *n, const char *key, bool def);
struct err *amconf_duration(struct amconf_reader *r, const struct yaml_node *n, const char *key,
                            int64_t def_ms, int64_t *ret_ms);
struct err *amconf_at(const struct amconf_reader *r, const struct yaml_node *n, const char *what);
/* The lists NAME_matchers, NAME_match and NAME_match_re together; prefix "" or "source_" ... */
struct err *amconf_matchers(struct amconf_reader *r, const struct yaml_node *n, const char *prefix,
                            struct ammatch_list *ret);
/* A list of strings; *ret_n 0 when absent. */
struct slice *amconf_strings(struct amconf_reader *r, const struct yaml_node *n, const char *key,
                             size_t *ret_n);
