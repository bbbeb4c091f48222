#include "common/lang/logql.h"
#include "common/template/template_prom.h"
#include "ruler/rule_file_internal.h"

static bool is_name(struct slice s)
{
    return s.len > 0 && slice_is_utf8(s);
}

static void check_names(const char *where, const char *what, struct labels ls,
                        struct rule_errors *errs)
{
    for (size_t i = 0; i < ls.n; i++) {
        bool is_bad = !is_name(ls.ptr[i].name) ||
                      (strcmp(what, "label") == 0 && slice_eq_cstr(ls.ptr[i].name, LABEL_NAME));

        if (is_bad)
            rule_errors_add(errs, "%s: invalid %s name: %.*s", where, what,
                            SLICE_ARG(ls.ptr[i].name));
        if (!slice_is_utf8(ls.ptr[i].value))
            rule_errors_add(errs, "%s: invalid %s value of %.*s", where, what,
                            SLICE_ARG(ls.ptr[i].name));
    }
}

void rule_file_check_labels(struct slice group, struct labels ls, struct rule_errors *errs)
{
    char *where = mem_printf("group \"%.*s\"", SLICE_ARG(group));

    check_names(where, "label", ls, errs);
    mem_free(where);
}

static void check_templates(const char *where, const char *what, struct slice alert,
                            struct labels ls, struct rule_errors *errs)
{
    char *name = slice_dup(alert);

    for (size_t i = 0; i < ls.n; i++)
        rule_errors_take(errs, err_wrap(template_prom_check(name, ls.ptr[i].value),
                                        "%s: %s \"%.*s\"", where, what, SLICE_ARG(ls.ptr[i].name)));
    mem_free(name);
}

static void check_record(const char *where, const struct rule_raw *r, struct rule_errors *errs)
{
    if (r->annotations.n)
        rule_errors_add(errs, "%s: invalid field 'annotations' in recording rule", where);
    if (r->for_ms)
        rule_errors_add(errs, "%s: invalid field 'for' in recording rule", where);
    if (r->keep_firing_ms)
        rule_errors_add(errs, "%s: invalid field 'keep_firing_for' in recording rule", where);
    if (!is_name(r->record))
        rule_errors_add(errs, "%s: invalid recording rule name", where);
    /* Valid UTF-8, so a valid name; but it is a common slip to write a selector there. */
    if (slice_find_byte(r->record, '{', 0) >= 0 || slice_find_byte(r->record, '}', 0) >= 0)
        rule_errors_add(
            errs, "%s: braces present in the recording rule name; should it be in expr?", where);
}

static struct err *check_promql(struct arena *a, struct slice expr, struct slice *ret_query)
{
    struct promql q = {0};
    struct buf text = {0};
    /* what is experimental is the queriers' to allow, when they are asked */
    struct err *e = promql_parse(a, expr, &PROMQL_EVERYTHING, &q);

    if (e)
        return e;
    promql_print(&text, q.root);
    *ret_query = arena_dup(a, buf_slice(&text));
    buf_done(&text);
    promql_done(&q);
    return NULL;
}

/* LogQL as Loki prints it is shorter than what was written: vector(1e-9) becomes zero. */
static struct err *check_logql(struct arena *a, struct slice expr, struct slice *ret_query)
{
    struct logql q = {0};
    struct err *e = logql_parse(a, expr, &q);

    if (e)
        return e;
    if (q.root->kind == LOGQL_LOGS)
        e = err_new(ERR_INVALID, "it yields lines, and a rule needs samples; count_over_time({…} "
                                 "[1m]), for example, counts them");
    *ret_query = arena_dup(a, slice_trim(expr));
    logql_done(&q);
    return e;
}

static void check_expr(struct arena *a, const char *where, const struct rule_raw *r,
                       struct rule_errors *errs, struct slice *ret_query)
{
    struct err *e;

    if (r->expr.len == 0) {
        rule_errors_add(errs, "%s: field 'expr' must be set in rule", where);
        return;
    }
    e = r->lang == RULE_LOGQL ? check_logql(a, r->expr, ret_query)
                              : check_promql(a, r->expr, ret_query);
    rule_errors_take(errs, err_wrap(e, "%s: could not parse expression", where));
}

void rule_file_check_rule(struct arena *a, struct slice group, size_t number,
                          const struct rule_raw *r, struct rule_errors *errs,
                          struct slice *ret_query)
{
    struct slice name = r->alert.len ? r->alert : r->record;
    char *where = mem_printf("%u: group \"%.*s\", rule %zu, \"%.*s\"", r->line, SLICE_ARG(group),
                             number, SLICE_ARG(name));

    if (r->record.len && r->alert.len)
        rule_errors_add(errs, "%s: only one of 'record' and 'alert' must be set", where);
    if (!r->record.len && !r->alert.len)
        rule_errors_add(errs, "%s: one of 'record' or 'alert' must be set", where);
    check_expr(a, where, r, errs, ret_query);
    if (r->record.len)
        check_record(where, r, errs);
    if (r->alert.len && !slice_is_utf8(r->alert))
        rule_errors_add(errs, "%s: the name is not UTF-8", where);
    check_names(where, "label", r->labels, errs);
    check_names(where, "annotation", r->annotations, errs);
    if (r->alert.len) {
        check_templates(where, "label", r->alert, r->labels, errs);
        check_templates(where, "annotation", r->alert, r->annotations, errs);
    }
    mem_free(where);
}
