#include "common/model/rule_list.h"

#include "common/lang/promql.h"

struct err *rule_list_bad(const struct rule_list *l, unsigned line, const char *what)
{
    return err_new(ERR_INVALID, "%s:%u: %s: %s", l->file, line, l->name, what);
}

struct err *rule_list_unknown(const struct rule_list *l, const struct yaml_key *key)
{
    return err_new(ERR_INVALID, "%s:%u: %s: unknown key %.*s", l->file, key->line, l->name,
                   SLICE_ARG(key->text));
}

struct err *rule_list_check(const struct rule_list *l, const struct yaml_node *list, size_t max)
{
    if (yaml_is_null(list))
        return NULL;
    if (list->kind != YAML_KIND_SEQ)
        return err_new(ERR_INVALID, "%s:%u: %s is a list", l->file, list->line, l->name);
    if (list->n > max)
        return err_new(ERR_INVALID, "%s:%u: more than %zu rules of %s", l->file, list->line, max,
                       l->name);
    return NULL;
}

struct err *rule_list_read(const struct rule_list *l, const struct yaml_node *list, size_t i,
                           rule_list_key_fn *fn, void *arg)
{
    const struct yaml_node *rule = list->items[i];
    struct err *e;

    if (!rule || rule->kind != YAML_KIND_MAP)
        return rule_list_bad(l, rule ? rule->line : list->line, "a rule is a mapping");
    for (size_t k = 0; k < rule->n; k++)
        if ((e = fn(arg, &rule->keys[k], rule->items[k])))
            return e;
    return NULL;
}

struct err *rule_list_selector(const struct rule_list *l, struct slice text, unsigned line,
                               struct matchers *ret)
{
    struct err *e = promql_parse_selector(l->a, arena_dup(l->a, text), ret);

    return e ? err_wrap(e, "%s:%u: selector", l->file, line) : NULL;
}
