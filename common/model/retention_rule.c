#include "common/model/retention_rule.h"

#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/lang/promql.h"

#define MAX_PRIORITY 1000000

struct reading {
    const char *file, *key;
    struct arena *a;
    struct retention_rule *rule;
    bool has_selector, has_period;
};

static struct err *bad(const struct reading *r, unsigned line, const char *what)
{
    return err_new(ERR_INVALID, "%s:%u: %s: %s", r->file, line, r->key, what);
}

static struct err *read_selector(struct reading *r, struct slice text, unsigned line)
{
    struct matchers ms;
    struct err *e = promql_parse_selector(r->a, arena_dup(r->a, text), &ms);

    if (e)
        return err_wrap(e, "%s:%u: selector", r->file, line);
    if (r->has_selector || promql_selects_all(ms)) {
        matchers_done(ms);
        return bad(r, line,
                   r->has_selector ? "two selectors"
                                   : "a selector without a matcher that rules anything out");
    }
    r->rule->match = ms;
    r->has_selector = true;
    return NULL;
}

static struct err *read_period(struct reading *r, struct slice text, unsigned line)
{
    int64_t ns;
    struct err *e = conf_parse_duration(text, &ns);

    if (e)
        return err_wrap(e, "%s:%u: period", r->file, line);
    r->rule->period_ms = ns / NS_PER_MS;
    r->has_period = true;
    return r->rule->period_ms == 0 && ns != 0 ? bad(r, line, "a period of less than 1ms") : NULL;
}

static struct err *read_key(struct reading *r, const struct yaml_key *key,
                            const struct yaml_node *node)
{
    uint64_t priority;

    if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR)
        return bad(r, key->line, "not a value");
    if (slice_eq_cstr(key->text, "selector"))
        return read_selector(r, node->text, key->line);
    if (slice_eq_cstr(key->text, "period"))
        return read_period(r, node->text, key->line);
    if (!slice_eq_cstr(key->text, "priority"))
        return err_new(ERR_INVALID, "%s:%u: %s: unknown key %.*s", r->file, key->line, r->key,
                       SLICE_ARG(key->text));
    if (!slice_to_u64(node->text, &priority) || priority > MAX_PRIORITY)
        return bad(r, key->line, "priority is not a whole number from 0 to 1000000");
    r->rule->priority = (int64_t)priority;
    return NULL;
}

static struct err *read_rule(struct reading *r, const struct yaml_node *node, unsigned line)
{
    struct err *e;

    if (!node || node->kind != YAML_KIND_MAP)
        return bad(r, node ? node->line : line, "a rule is a mapping");
    for (size_t i = 0; i < node->n; i++)
        if ((e = read_key(r, &node->keys[i], node->items[i])))
            return e;
    if (!r->has_selector)
        return bad(r, node->line, "a rule without selector");
    return r->has_period ? NULL : bad(r, node->line, "a rule without period");
}

struct err *retention_rules_parse(const char *file, const char *key, const struct yaml_node *node,
                                  struct arena *a, struct retention_rules *ret)
{
    struct retention_rules all = {0};
    struct retention_rule *rules;
    struct err *e = NULL;

    *ret = all;
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_SEQ)
        return err_new(ERR_INVALID, "%s:%u: %s is a list", file, node->line, key);
    if (node->n > RETENTION_RULE_MAX_RULES)
        return err_new(ERR_INVALID, "%s:%u: more than %d rules of %s", file, node->line,
                       RETENTION_RULE_MAX_RULES, key);
    all.ptr = rules = arena_array(a, struct retention_rule, node->n);
    for (size_t i = 0; !e && i < node->n; i++) {
        struct reading r = {.file = file, .key = key, .a = a, .rule = &rules[i]};

        rules[i] = (struct retention_rule){.priority = 0};
        all.n++;
        e = read_rule(&r, node->items[i], node->line);
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
