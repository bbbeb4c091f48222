/* traceql/: the parser and its canonical print. */
#include "common/lang/traceql.h"
#include "tests/conformance/conformance.h"

CONFORMANCE(traceql, parser_cases)
{
    struct traceql q;
    struct err *e = traceql_parse(c->arena, conformance_text(c, "query"), &q);
    bool is_ok = e == NULL;
    struct buf b = {0};

    /* what Tempo parses and does not do yet may be answered either way */
    if (conformance_bool(c, "unsupported")) {
        err_free(e);
        return;
    }
    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !is_ok)
        return;
    traceql_print(&b, &q);
    (void)conformance_check_text(c, "string", buf_slice(&b), conformance_text(c, "string"));
    buf_done(&b);
}
