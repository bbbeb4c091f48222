#include "common/model/log_rule.h"

#include "common/base/hash.h"
#include "common/base/num.h"
#include "common/model/rule_list.h"

#define DEFAULT_REPLACEMENT "<redacted>"
#define MAX_GROWTH 4 /* times the text, */
#define MAX_MORE 65536

static const char *const action_names[] = {
#define X(sym, name) name,
    LOG_RULE_ACTIONS(X)
#undef X
};

const char *log_rule_action_name(enum log_rule_action a)
{
    return action_names[a];
}

/* ---- reading ---- */

struct reading {
    struct rule_list list;
    struct log_rule *rule;
    bool has_action, has_selector, has_share;
};

static struct err *read_name(struct reading *r, struct slice text, unsigned line)
{
    if (text.len == 0 || text.len > LOG_RULE_MAX_NAME)
        return rule_list_bad(&r->list, line, "a name has 1 to 64 bytes");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (!((uint8_t)((c | 0x20) - 'a') < 26 || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return rule_list_bad(&r->list, line, "a name has letters, digits, - and _");
    }
    r->rule->name = arena_dup(r->list.a, text);
    return NULL;
}

static struct err *read_action(struct reading *r, struct slice text, unsigned line)
{
    for (unsigned i = 0; i < LOG_RULE_ACTION_COUNT; i++)
        if (slice_eq_cstr(text, action_names[i])) {
            r->rule->action = (enum log_rule_action)i;
            r->has_action = true;
            return NULL;
        }
    return rule_list_bad(&r->list, line, "action is neither drop nor sample nor scrub");
}

static struct err *read_selector(struct reading *r, struct slice text, unsigned line)
{
    r->has_selector = true;
    return rule_list_selector(&r->list, text, line, &r->rule->match);
}

static struct err *read_re(struct reading *r, struct slice text, unsigned line, struct re **ret)
{
    /* Lines are any bytes; where one is not UTF-8, . matches nothing of it, but the rest still does. */
    struct err *e = re_compile(text, 0, ret);

    return e ? err_wrap(e, "%s:%u: %s", r->list.file, line, r->list.name) : NULL;
}

static struct err *read_share(struct reading *r, struct slice text, unsigned line)
{
    double share;

    if (!num_parse(text, &share) || !(share >= 0 && share <= 1))
        return rule_list_bad(&r->list, line, "share is not a number from 0 to 1");
    r->rule->bound = share >= 1 ? UINT64_MAX : (uint64_t)(share * 18446744073709551616.0);
    r->has_share = true;
    return NULL;
}

static struct err *read_replacement(struct reading *r, struct slice text, unsigned line)
{
    if (text.len > LOG_RULE_MAX_REPLACEMENT)
        return rule_list_bad(&r->list, line, "a replacement of more than 256 bytes");
    r->rule->replacement = arena_dup(r->list.a, text);
    return NULL;
}

static struct err *read_classes(struct reading *r, const struct yaml_node *node, unsigned line)
{
    enum secret_class c;

    if (!node || node->kind != YAML_KIND_SEQ)
        return rule_list_bad(&r->list, line, "classes is a list");
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *item = node->items[i];

        if (!item || item->kind != YAML_KIND_SCALAR || !secret_class_from_name(item->text, &c))
            return rule_list_bad(&r->list, line, "a class is card, email, ip or bearer");
        r->rule->classes |= 1u << c;
    }
    return NULL;
}

static struct err *read_key(void *arg, const struct yaml_key *key, const struct yaml_node *node)
{
    static const struct {
        const char *name;
        struct err *(*read)(struct reading *r, struct slice text, unsigned line);
    } texts[] = {{"name", read_name},
                 {"action", read_action},
                 {"selector", read_selector},
                 {"share", read_share},
                 {"replacement", read_replacement}};
    struct reading *r = arg;

    if (slice_eq_cstr(key->text, "classes"))
        return read_classes(r, node, key->line);
    if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR)
        return rule_list_bad(&r->list, key->line, "not a value");
    if (slice_eq_cstr(key->text, "regex"))
        return read_re(r, node->text, key->line, &r->rule->regex);
    if (slice_eq_cstr(key->text, "pattern"))
        return read_re(r, node->text, key->line, &r->rule->pattern);
    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        if (slice_eq_cstr(key->text, texts[i].name))
            return texts[i].read(r, node->text, key->line);
    return rule_list_unknown(&r->list, key);
}

static struct err *check_rule(const struct reading *r, unsigned line)
{
    const struct log_rule *rule = r->rule;
    bool scrubs = rule->action == LOG_RULE_SCRUB;

    if (rule->name.len == 0)
        return rule_list_bad(&r->list, line, "a rule without name");
    if (!r->has_action)
        return rule_list_bad(&r->list, line, "a rule without action");
    if (rule->action == LOG_RULE_DROP && !r->has_selector && !rule->regex)
        return rule_list_bad(&r->list, line, "drop needs a selector or a regex");
    if (r->has_share != (rule->action == LOG_RULE_SAMPLE))
        return rule_list_bad(&r->list, line, "share belongs to sample, which needs it");
    if ((rule->classes || rule->pattern) != scrubs)
        return rule_list_bad(&r->list, line,
                             "classes and pattern belong to scrub, which needs one of them");
    return NULL;
}

static struct err *check_name(const struct reading *r, const struct log_rules *before,
                              unsigned line)
{
    for (size_t i = 0; i + 1 < before->n; i++)
        if (slice_eq(before->ptr[i].name, r->rule->name))
            return rule_list_bad(&r->list, line, "two rules of one name");
    return NULL;
}

struct err *log_rules_parse(const char *file, const struct yaml_node *node, struct arena *a,
                            struct log_rules *ret)
{
    struct log_rules all = {0};
    struct log_rule *rules;
    struct rule_list list = {file, "log_rules", a};
    struct err *e = rule_list_check(&list, node, LOG_RULE_MAX_RULES);

    *ret = all;
    if (e || yaml_is_null(node))
        return e;
    all.ptr = rules = arena_array(a, struct log_rule, node->n);
    for (size_t i = 0; !e && i < node->n; i++) {
        struct reading r = {.list = list, .rule = &rules[i]};

        rules[i] =
            (struct log_rule){.name = SLICE_EMPTY, .replacement = SLICE(DEFAULT_REPLACEMENT)};
        all.n++;
        if (!(e = rule_list_read(&list, node, i, read_key, &r)) &&
            !(e = check_rule(&r, node->items[i]->line)))
            e = check_name(&r, &all, node->items[i]->line);
    }
    if (e)
        log_rules_done(&all);
    else
        *ret = all;
    return e;
}

void log_rules_done(struct log_rules *r)
{
    for (size_t i = 0; i < r->n; i++) {
        matchers_done(r->ptr[i].match);
        re_free(r->ptr[i].regex);
        re_free(r->ptr[i].pattern);
    }
    *r = (struct log_rules){0};
}

/* ---- applying ---- */

bool log_rule_takes(const struct log_rule *r, struct slice line)
{
    return !r->regex || re_match(r->regex, line);
}

bool log_rule_keeps(const struct log_rule *r, struct slice line, int64_t t_ns)
{
    return r->bound == UINT64_MAX || hash_xxh64(line, (uint64_t)t_ns) < r->bound;
}

static bool find(const struct log_rule *r, int c, struct slice text, size_t from, size_t *ret_start,
                 size_t *ret_end)
{
    int span[2];

    if (c < SECRET_CLASS_COUNT)
        return secret_find((enum secret_class)c, text, from, ret_start, ret_end);
    if (!re_find(r->pattern, text, from, span, ORR_COUNT(span)))
        return false;
    *ret_start = (size_t)span[0];
    *ret_end = (size_t)span[1];
    return true;
}

/* What class c, or the pattern, finds. False: nothing; out is as it was. */
static bool replace(const struct log_rule *r, int c, struct slice text, struct buf *out)
{
    size_t at = 0, from = 0, start, end, max = MAX_GROWTH * text.len + MAX_MORE;
    bool any = false;

    while (from <= text.len && find(r, c, text, from, &start, &end)) {
        from = end;
        if (end == start) {
            from++; /* nothing was matched: there is nothing to hide */
            continue;
        }
        buf_slice_append(out, slice_sub(text, at, start - at));
        buf_slice_append(out, r->replacement);
        at = end;
        any = true;
        if (out->len > max)
            return true;
    }
    if (any)
        buf_slice_append(out, slice_from(text, at));
    return any;
}

bool log_rule_scrub(const struct log_rule *r, struct slice text, struct buf *out)
{
    struct buf now = {0};
    bool any = false;

    for (int c = 0; c <= SECRET_CLASS_COUNT; c++) {
        if (c < SECRET_CLASS_COUNT ? !(r->classes & 1u << c) : !r->pattern)
            continue;
        if (!replace(r, c, any ? buf_slice(&now) : text, out))
            continue;
        buf_done(&now);
        now = *out;
        *out = (struct buf){0};
        any = true;
    }
    *out = now;
    return any;
}
