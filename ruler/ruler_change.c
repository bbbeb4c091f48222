/* A tenant's change of his rules in the bucket: what may be stored, and how it gets there. */
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "ruler/rule_yaml.h"
#include "ruler/ruler_internal.h"

struct change {
    struct ruler *ruler;
    struct slice tenant;
    enum rule_lang lang;
    const struct rpc_rules_change *asked;
    const struct rule_set *before;
    struct rule_object_group group; /* what is to be stored */
    struct tenant_limits limits;
};

static struct err *check_group(const struct change *c, const struct rule_group *g)
{
    int64_t most = c->limits.ruler_max_rules_per_rule_group;

    if (g->n_rules == 0)
        return err_new(ERR_INVALID, "invalid rules configuration: rule group '%.*s' has no rules",
                       SLICE_ARG(g->name));
    if (g->n_sources && !c->ruler->conf->has_federation)
        return err_new(ERR_INVALID,
                       "rule group '%.*s' has source_tenants, and rulers read no data of other "
                       "tenants (ruler.tenant-federation)",
                       SLICE_ARG(g->name));
    if (g->n_sources && c->lang == RULE_LOGQL)
        return err_new(ERR_INVALID,
                       "rule group '%.*s' has source_tenants, and log lines of several tenants are "
                       "not read together yet",
                       SLICE_ARG(g->name));
    if (g->name.len > RULE_OBJECT_MAX_NAME)
        return err_new(ERR_INVALID, "the name of the group has %zu bytes, more than %d",
                       g->name.len, RULE_OBJECT_MAX_NAME);
    if (most > 0 && g->n_rules > (size_t)most)
        return err_new(ERR_INVALID,
                       "per-user rules per rule group limit (limit: %lld actual: %zu) exceeded "
                       "(ruler_max_rules_per_rule_group)",
                       (long long)most, g->n_rules);
    return NULL;
}

/* What could not be read again, for whatever reason, must not be stored. */
static struct err *check_readable(const struct change *c, const struct rule_group *g,
                                  struct slice yaml)
{
    struct rule_file *again = NULL;
    struct err *e = rule_file_parse_group("as it would be stored", yaml, c->lang, &again);

    if (!e && again->groups[0].hash != g->hash)
        e = err_new(ERR_INTERNAL, "the group would not be stored as it is");
    rule_file_unref(again);
    return e;
}

/* The group of the request, checked, in the form in which it is stored. */
static struct err *read_group(struct change *c, struct rule_file **ret_file, struct buf *ret_yaml)
{
    struct err *e = rule_file_parse_group("rule group", c->asked->yaml, c->lang, ret_file);
    const struct rule_group *g;

    if (e)
        return e;
    g = &(*ret_file)->groups[0];
    if ((e = check_group(c, g)))
        return e;
    rule_yaml_group(ret_yaml, g, 0);
    c->group = (struct rule_object_group){g->name, buf_slice(ret_yaml)};
    return check_readable(c, g, buf_slice(ret_yaml));
}

/* The tenant's groups in the other namespaces, as the bucket has them now. */
static struct err *count_others(const struct change *c, size_t *ret)
{
    struct arena *a = arena_new(0);
    struct rule_store_opts opts = {.store = process_objstore(c->ruler->process),
                                   .jobs = process_jobs(c->ruler->process),
                                   .prefix = rule_object_lang_prefix(a, c->tenant, c->lang),
                                   .is_exact = true,
                                   .now_ms = clock_mono_ms(&clock_system)};
    struct rule_store *now = NULL;
    bool is_changed;
    struct err *e = rule_store_load(&opts, c->before ? c->before->store : NULL, &now, &is_changed);
    bool is_new = true;

    *ret = 0;
    if (!e) {
        for (size_t i = 0; i < now->n; i++) {
            bool is_this = slice_eq(now->entries[i].ns->ns, c->asked->ns);

            is_new = is_new && !is_this;
            *ret += is_this ? 0 : now->entries[i].ns->n;
        }
        if (is_new && now->n >= RULE_STORE_MAX_NAMESPACES)
            e = err_new(ERR_INVALID, "the tenant has %zu namespaces, and %d are the most", now->n,
                        RULE_STORE_MAX_NAMESPACES);
    }
    rule_store_unref(now);
    arena_free(a);
    return e;
}

static struct err *check_readable_object(const struct rule_object *o)
{
    if (!o->is_damaged)
        return NULL;
    return err_new(ERR_CORRUPT, "what the bucket has of this namespace is damaged: delete the "
                                "namespace, and load it again");
}

/* Whether one more fits into the tenant's limits. */
static struct err *check_new(const struct change *c, const struct rule_object *o)
{
    int64_t most = c->limits.ruler_max_rule_groups_per_tenant;
    size_t n;
    struct err *e = count_others(c, &n);

    if (e)
        return e;
    n += o->n + 1;
    if (most > 0 && n > (size_t)most)
        return err_new(ERR_INVALID,
                       "per-user rule groups limit (limit: %lld actual: %zu) exceeded "
                       "(ruler_max_rule_groups_per_tenant)",
                       (long long)most, n);
    return NULL;
}

static struct err *edit_set(void *arg, struct arena *a, struct rule_object *o, bool *ret_changed)
{
    const struct change *c = arg;
    const struct rule_object_group *is = rule_object_find(o, c->group.name);
    struct err *e = check_readable_object(o);

    if (!e && !is)
        e = check_new(c, o);
    if (e)
        return e;
    *ret_changed = !is || !slice_eq(is->yaml, c->group.yaml);
    rule_object_set(a, o, c->group);
    return NULL;
}

static struct err *edit_delete(void *arg, struct arena *a, struct rule_object *o, bool *ret_changed)
{
    const struct change *c = arg;
    struct err *e = check_readable_object(o);

    (void)a;
    if (e)
        return e;
    if (!rule_object_remove(o, c->asked->group))
        return err_new(ERR_NOT_FOUND, "group does not exist");
    *ret_changed = true;
    return NULL;
}

static struct err *edit_delete_ns(void *arg, struct arena *a, struct rule_object *o,
                                  bool *ret_changed)
{
    (void)arg;
    (void)a;
    if (!o->n && !o->is_damaged)
        return err_new(ERR_NOT_FOUND, "group namespace does not exist");
    o->n = 0;
    *ret_changed = true;
    return NULL;
}

static struct err *apply(struct change *c, rule_store_edit_fn *edit)
{
    return rule_store_change(process_objstore(c->ruler->process), c->tenant, c->lang, c->asked->ns,
                             edit, c);
}

static struct err *set_group(struct change *c)
{
    struct rule_file *f = NULL;
    struct buf yaml = {0};
    struct err *e = read_group(c, &f, &yaml);

    if (!e)
        e = apply(c, edit_set);
    if (err_is(e, ERR_LIMIT)) { /* of the request, or of the object: no limit of the tenant */
        struct err *bad = err_new(ERR_INVALID, "%s", err_msg(e));

        err_free(e);
        e = bad;
    }
    buf_done(&yaml);
    rule_file_unref(f);
    return e;
}

static bool has(struct slice list, struct slice ns)
{
    struct slice rest = list, one;

    while (slice_split(&rest, ',', &one))
        if (slice_eq(slice_trim(one), ns))
            return true;
    return false;
}

/* What operators keep in a namespace is not changed by accident. */
static struct err *check_protection(const struct change *c)
{
    struct tenant_rules *rules = limits_rules(c->ruler->limits, c->tenant);
    const struct tenant_list *list = &rules->ruler_protected_namespaces;
    struct err *e = NULL;

    for (size_t i = 0; i < list->n && !e; i++)
        if (slice_eq(list->ptr[i], c->asked->ns) && !has(c->asked->overridden, c->asked->ns))
            e = err_new(ERR_FORBIDDEN,
                        "namespace %.*s is protected (ruler_protected_namespaces), and the request "
                        "does not name it in X-Mimir-Ruler-Override-Namespace-Protection",
                        SLICE_ARG(c->asked->ns));
    tenant_rules_unref(rules);
    return e;
}

static struct err *check_asked(struct change *c)
{
    struct slice ns = c->asked->ns;
    struct err *e;

    if ((e = tenant_check(c->tenant)) || (e = rule_object_check_ns(ns)))
        return e;
    if (!rule_lang_read(c->asked->language, &c->lang))
        return err_new(ERR_INVALID, "no rules are in that language");
    if (c->before && rule_set_is_file(c->before, c->tenant, c->lang, ns))
        return err_new(ERR_CONFLICT,
                       "namespace %.*s is a file of the rulers (ruler.rule-path), which is "
                       "changed there and not by this API",
                       SLICE_ARG(ns));
    return NULL;
}

struct err *ruler_change_make(struct ruler *r, struct slice tenant,
                              const struct rpc_rules_change *change, const struct rule_set *before)
{
    struct change c = {.ruler = r, .tenant = tenant, .asked = change, .before = before};
    struct err *e = check_asked(&c);

    if (e)
        return e;
    limits_get(r->limits, tenant, &c.limits);
    if ((e = check_protection(&c)))
        return e;
    switch (change->op) {
    case RPC_RULES_SET:
        return set_group(&c);
    case RPC_RULES_DELETE:
        return apply(&c, edit_delete);
    case RPC_RULES_DELETE_NAMESPACE:
        return apply(&c, edit_delete_ns);
    case RPC_RULES_OP_COUNT:
        break;
    }
    return err_new(ERR_INVALID, "no such change of rules");
}
