/* rules lint: what whoever is woken by an alert, or looks for a series, will miss. */
#include "deploy/orreryctl/ctl_ruleapi.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/ctl_space.h"

static bool has(struct labels ls, const char *name)
{
    for (size_t i = 0; i < ls.n; i++)
        if (slice_eq_cstr(ls.ptr[i].name, name) && slice_trim(ls.ptr[i].value).len)
            return true;
    return false;
}

static void lint_alert(struct ctl *c, const char *where, const struct rule *r)
{
    if (!has(r->annotations, "summary"))
        ctl_wrong(c, "%s: no annotation summary: what is wrong, in a line", where);
    if (!has(r->annotations, "runbook_url"))
        ctl_wrong(c, "%s: no annotation runbook_url: where it says what to do", where);
    if (!has(r->labels, "owner") && !has(r->labels, "team"))
        ctl_wrong(c, "%s: no label owner (or team): who it is for", where);
}

/* level:metric:operations, as Prometheus' practices have it. */
static void lint_record(struct ctl *c, const char *where, const struct rule *r)
{
    if (slice_find_byte(r->name, ':', 0) < 0)
        ctl_wrong(c, "%s: the name is not of the form level:metric:operations", where);
}

static void lint_group(struct ctl *c, const struct ctl_space_group *g)
{
    for (size_t i = 0; i < g->group->n_rules; i++) {
        const struct rule *r = &g->group->rules[i];
        char *where = mem_printf("%s: group \"%.*s\", rule %zu, \"%.*s\"", g->path,
                                 SLICE_ARG(g->name), i + 1, SLICE_ARG(r->name));

        if (r->is_alert)
            lint_alert(c, where, r);
        else
            lint_record(c, where, r);
        mem_free(where);
    }
}

struct err *ctl_rules_lint(struct ctl *c)
{
    struct ctl_space s;
    enum rule_lang lang;
    struct err *e = ctl_ruleapi_lang(c, &lang);

    ctl_space_init(&s, c->arena);
    for (size_t i = 0; i < c->n_args && !e; i++)
        e = ctl_space_add_path(&s, c->args[i], lang);
    VEC_FOREACH (g, &s.groups)
        if (!e)
            lint_group(c, g);
    ctl_space_done(&s);
    return e;
}
