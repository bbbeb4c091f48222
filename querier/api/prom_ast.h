/*
 * A PromQL tree as the JSON of Prometheus' /api/v1/parse_query, which its query page draws: one object a
 * node, told apart by "type"; a missing child is null; times are milliseconds. A range, offset or step
 * that is an expression (foo[step()]) stands as its text in "rangeExpr", "offsetExpr", "stepExpr".
 * Any thread.
 */
#pragma once
#include "common/lang/promql.h"

void prom_ast_json(struct buf *out, const struct promql_expr *e); /* e NULL: null */
