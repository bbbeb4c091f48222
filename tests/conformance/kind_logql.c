/* logql/: the parser and its canonical print. */
#include "common/lang/logql.h"
#include "tests/conformance/conformance.h"

static void check_matchers(struct conformance *c, struct matchers ms)
{
    const json_t *want = conformance_get(c, "matchers");
    json_t *got = json_array();
    struct buf b = {0};

    for (size_t i = 0; i < ms.n; i++) {
        buf_reset(&b);
        matcher_text(&b, &ms.ptr[i]);
        (void)json_array_append_new(got, json_stringn((const char *)b.ptr, b.len));
    }
    (void)conformance_check_json(c, "matchers", got, want);
    json_decref(got);
    buf_done(&b);
}

CONFORMANCE(logql, parser_cases)
{
    struct logql q = {0};
    struct err *e = logql_parse(c->arena, conformance_text(c, "query"), &q);
    bool is_ok = e == NULL;
    struct buf b = {0};

    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !is_ok) {
        logql_done(&q);
        return;
    }
    (void)conformance_check_text(c, "type",
                                 q.root->kind == LOGQL_LOGS ? SLICE("logs") : SLICE("samples"),
                                 conformance_text(c, "type"));
    logql_print(&b, q.root);
    (void)conformance_check_text(c, "string", buf_slice(&b), conformance_text(c, "string"));
    if (q.root->kind == LOGQL_LOGS)
        check_matchers(c, q.root->u.logs.matchers);
    buf_done(&b);
    logql_done(&q);
}
