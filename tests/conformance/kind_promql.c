/* promql/: the parser, its canonical print and tree; the series notation. */
#include "common/lang/promql.h"
#include "tests/conformance/conformance.h"

static void check_tree(struct conformance *c, const struct promql *q)
{
    struct buf b = {0};

    (void)conformance_check_text(c, "type", slice_cstr(promql_type_name(q->root->type)),
                                 conformance_text(c, "type"));
    promql_print(&b, q->root);
    (void)conformance_check_text(c, "string", buf_slice(&b), conformance_text(c, "string"));
    buf_reset(&b);
    promql_print_tree(&b, q->root);
    (void)conformance_check_text(c, "tree", buf_slice(&b), conformance_text(c, "tree"));
    buf_done(&b);
}

CONFORMANCE(promql, parser_cases)
{
    struct slice query = conformance_text(c, "query");
    struct promql q = {0};
    struct err *e = promql_parse(c->arena, query, &PROMQL_EVERYTHING, &q);
    bool is_ok = e == NULL;

    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        check_tree(c, &q);
    promql_done(&q);
    e = promql_parse(c->arena, query, NULL, &q);
    (void)conformance_check_ok(c, "ok_default", e, conformance_bool(c, "ok_default"));
    promql_done(&q);
}
