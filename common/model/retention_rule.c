#include "common/model/retention_rule.h"

#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/lang/promql.h"
#include "common/model/rule_list.h"

#define MAX_PRIORITY 1000000

struct reading {
    struct rule_list list;
    struct retention_rule *rule;
    bool has_selector, has_period;
};

static struct err *read_selector(struct reading *r, struct slice text, unsigned line)
{
    struct err *e = rule_list_selector(&r->list, text, line, &r->rule->match);

    if (e)
        return e;
    r->has_selector = true;
    return promql_selects_all(r->rule->match)
               ? rule_list_bad(&r->list, line,
                               "a selector without a matcher that rules anything out")
               : NULL;
}

static struct err *read_period(struct reading *r, struct slice text, unsigned line)
{
    int64_t ns;
    struct err *e = conf_parse_duration(text, &ns);

    if (e)
        return err_wrap(e, "%s:%u: period", r->list.file, line);
    r->rule->period_ms = ns / NS_PER_MS;
    r->has_period = true;
    return r->rule->period_ms == 0 && ns != 0
               ? rule_list_bad(&r->list, line, "a period of less than 1ms")
               : NULL;
}

static struct err *read_key(void *arg, const struct yaml_key *key, const struct yaml_node *node)
{
    struct reading *r = arg;
    uint64_t priority;

    if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR)
        return rule_list_bad(&r->list, key->line, "not a value");
    if (slice_eq_cstr(key->text, "selector"))
        return read_selector(r, node->text, key->line);
    if (slice_eq_cstr(key->text, "period"))
        return read_period(r, node->text, key->line);
    if (!slice_eq_cstr(key->text, "priority"))
        return rule_list_unknown(&r->list, key);
    if (!slice_to_u64(node->text, &priority) || priority > MAX_PRIORITY)
        return rule_list_bad(&r->list, key->line,
                             "priority is not a whole number from 0 to 1000000");
    r->rule->priority = (int64_t)priority;
    return NULL;
}

static struct err *check_rule(const struct reading *r, unsigned line)
{
    if (!r->has_selector)
        return rule_list_bad(&r->list, line, "a rule without selector");
    return r->has_period ? NULL : rule_list_bad(&r->list, line, "a rule without period");
}

struct err *retention_rules_parse(const char *file, const char *key, const struct yaml_node *node,
                                  struct arena *a, struct retention_rules *ret)
{
    struct retention_rules all = {0};
    struct retention_rule *rules;
    struct rule_list list = {file, key, a};
    struct err *e = rule_list_check(&list, node, RETENTION_RULE_MAX_RULES);

    *ret = all;
    if (e || yaml_is_null(node))
        return e;
    all.ptr = rules = arena_array(a, struct retention_rule, node->n);
    for (size_t i = 0; !e && i < node->n; i++) {
        struct reading r = {.list = list, .rule = &rules[i]};

        all.n++;
        if (!(e = rule_list_read(&list, node, i, read_key, &r)))
            e = check_rule(&r, node->items[i]->line);
    }
    if (e)
        retention_rules_done(&all);
    else
        *ret = all;
    return e;
}

void retention_rules_done(struct retention_rules *r)
{
    for (size_t i = 0; i < r->n; i++)
        matchers_done(r->ptr[i].match);
    *r = (struct retention_rules){0};
}

/* Whether a counts rather than b, of two that match. */
static bool is_before(const struct retention_rule *a, const struct retention_rule *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->period_ms && (!b->period_ms || a->period_ms < b->period_ms);
}

const struct retention_rule *retention_rules_find(const struct retention_rules *r, struct labels ls)
{
    const struct retention_rule *best = NULL;

    for (size_t i = 0; i < r->n; i++)
        if (matchers_match(r->ptr[i].match, ls) && (!best || is_before(&r->ptr[i], best)))
            best = &r->ptr[i];
    return best;
}
