/*
 * Alertmanager's configuration file, whole: global, route tree, receivers of every kind, inhibition
 * rules, time intervals, templates. Unknown keys, wrong kinds of values and references to nothing
 * are refused with file and line.
 *
 * Receivers' settings are kept as the YAML that was checked; who tells them reads what it needs
 * (notify_*.c). Kinds that cannot be told yet, and settings that Orrery does not do, carry the
 * reason in `unsupported`: such a notification fails, counted and logged, and /api/v2/status says
 * so. Nothing is dropped silently.
 *
 * Immutable and reference-counted: any thread.
 */
#pragma once
#include "alertmanager/ammatch.h"
#include "alertmanager/timeint.h"
#include "common/base/snapshot.h"
#include "common/base/yaml.h"
#include "common/template/template.h"

#define AMCONF_MAX_DEPTH 30 /* of the route tree */
#define AMCONF_MAX_ROUTES 100000

/* One way to tell a receiver: an entry of its webhook_configs, slack_configs ... */
struct amconf_integration {
    const char *kind; /* "webhook", "slack" ... static */
    size_t index;     /* among those of its kind in this receiver */
    bool send_resolved;
    const char *unsupported;          /* NULL: can send; else what Orrery lacks */
    const struct yaml_node *settings; /* the entry */
    const struct yaml_node *http;     /* its http_config, or global's; may be NULL */
    int64_t timeout_ms;               /* of its own; 0: none */
};
struct amconf_receiver {
    struct slice name;
    struct labels labels; /* its name as "name" among them */
    struct amconf_integration *integrations;
    size_t n;
};

struct amroute {
    const struct amroute *parent;
    struct amroute **routes;
    size_t n_routes;
    const struct amconf_receiver *receiver;
    struct slice *group_by; /* sorted, unique */
    size_t n_group_by;
    bool group_by_all, is_continue;
    int64_t group_wait_ms, group_interval_ms, repeat_interval_ms;
    struct ammatch_list matchers;
    const struct timeint_list **mute, **active;
    struct slice *mute_names, *active_names;
    size_t n_mute, n_active;
    struct slice key, id; /* "{}/{a=\"b\"}", "{}/{a=\"b\"}/0" */
    size_t ordinal;       /* place in the tree, depth first */
};

struct amconf_inhibit {
    struct ammatch_list source, target;
    struct slice *equal;
    size_t n_equal;
};

struct amconf {
    struct snapshot snapshot;
    struct arena *arena;
    struct slice original;
    struct slice shown; /* the same as JSON (which is YAML), secrets and their addresses hidden */
    bool has_route_labels; /* templates of routes: not supported yet */
    int64_t resolve_timeout_ms;
    bool is_of_tenant;               /* AMCONF_OF_TENANT */
    const struct yaml_node *global;  /* NULL if absent */
    struct template_set *templates;  /* the defaults, and what amconf_load_templates() added */
    struct slice *template_patterns; /* of files */
    size_t n_template_patterns;
    struct amconf_receiver *receivers;
    size_t n_receivers;
    struct amroute *root; /* NULL only with AMCONF_NO_ROUTE */
    size_t n_routes;
    struct amconf_inhibit *inhibit;
    size_t n_inhibit;
    struct slice *interval_names;
    struct timeint_list *intervals;
    size_t n_intervals;
};

enum amconf_flag {
    AMCONF_NO_ROUTE = 1, /* a route is not required: for tests of parts */
    /* A tenant's: it may not have this process read files (…_file, http_headers.files) or its
     * environment (proxy_from_environment, AWS keys), or go through proxies. */
    AMCONF_OF_TENANT = 2,
};

/* name is the file's, for messages. */
ORR_CHECKED struct err *amconf_parse(const char *name, struct slice text, unsigned flags,
                                     struct amconf **ret);
/* Adds the files that `templates` names, relative to dir. Before anybody else has the configuration; blocking. */
ORR_CHECKED struct err *amconf_load_templates(struct amconf *c, const char *dir);
/* Adds one, as such a file. */
ORR_CHECKED struct err *amconf_add_template(struct amconf *c, const char *name, struct slice text);
/* A configuration that tells nobody: one receiver "null". */
struct amconf *amconf_default(void);
struct amconf *amconf_ref(struct amconf *c);
void amconf_unref(struct amconf *c); /* NULL is allowed */
