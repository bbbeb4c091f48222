#include "ruler/rule_deps.h"

#include "common/base/vec.h"
#include "common/lang/promql.h"
#include "ruler/rule_eval.h"

struct reads {
    bool is_any;
    struct slice *names;
    size_t n;
};

/* The one name that it asks for; false: others may match. */
static bool name_of(const struct promql_selector *s, struct slice *ret)
{
    for (size_t i = 0; i < s->matchers.n; i++) {
        const struct matcher *m = &s->matchers.ptr[i];

        if (m->op == MATCHER_EQ && slice_eq_cstr(m->name, LABEL_NAME) && m->value.len) {
            *ret = m->value;
            return true;
        }
    }
    return false;
}

static struct reads reads_of(struct arena *a, const struct rule *r)
{
    struct reads ret = {.n = 0};
    struct promql q = {0};
    struct err *e;
    size_t n = 0;

    if (r->lang == RULE_LOGQL)
        return ret;
    if ((e = promql_parse(a, r->query, &PROMQL_EVERYTHING, &q))) {
        err_free(e); /* it was read once */
        ret.is_any = true;
        return ret;
    }
    for (const struct promql_expr *s = q.selectors; s; s = s->u.selector.next)
        n++;
    ret.names = arena_array(a, struct slice, n + 1);
    for (const struct promql_expr *s = q.selectors; s; s = s->u.selector.next) {
        if (name_of(&s->u.selector, &ret.names[ret.n]))
            ret.n++;
        else
            ret.is_any = true;
    }
    promql_done(&q);
    return ret;
}

static bool reads_what(const struct reads *reads, const struct rule *writer)
{
    if (reads->is_any)
        return true;
    for (size_t i = 0; i < reads->n; i++) {
        struct slice name = reads->names[i];

        if (writer->is_alert
                ? slice_eq_cstr(name, RULE_ALERTS) || slice_eq_cstr(name, RULE_ALERTS_FOR_STATE)
                : slice_eq(name, writer->name))
            return true;
    }
    return false;
}

void rule_deps_batches(const struct rule_group *g, size_t *ret_ends)
{
    struct arena *a = arena_new(0); /* the file's bounds hold for it */
    struct reads *reads = arena_array(a, struct reads, g->n_rules + 1);
    size_t end;

    for (size_t i = 0; i < g->n_rules; i++)
        reads[i] = reads_of(a, &g->rules[i]);
    for (size_t from = 0; from < g->n_rules; from = end) {
        bool is_apart = true;

        for (end = from + 1; end < g->n_rules && end - from < RULE_DEPS_MAX_BATCH; end++) {
            for (size_t i = from; i < end && is_apart; i++)
                is_apart = !reads_what(&reads[i], &g->rules[end]) &&
                           !reads_what(&reads[end], &g->rules[i]);
            if (!is_apart)
                break;
        }
        ret_ends[from] = end;
    }
    arena_free(a);
}
