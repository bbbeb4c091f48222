/*
 * Answers of queriers: the JSON of Prometheus' /api/v1/query, to vectors and matrices. Those to LogQL have the
 * same form; labels without a value, which series of lines may have, are left out: metrics have none such.
 *
 * Native histograms are in it as rpc_query's wants_exact asks for: with all that recording them takes.
 *
 * Foreign bytes: bounded by the caller's arena and by what RPC lets through. Any thread.
 */
#pragma once
#include "ruler/rule_eval.h"

struct rule_points {
    struct labels labels;
    const struct sample *ptr;
    size_t n;
};

/* Vector or scalar, else ERR_EXEC. The error of an answer that is one: ERR_EXEC with its text, or
 * ERR_TIMEOUT, ERR_UNAVAILABLE. All in the arena. */
ORR_CHECKED struct err *rule_answer_vector(struct arena *a, struct slice json,
                                           struct rule_vector *ret);
/* The floats of a matrix. */
ORR_CHECKED struct err *rule_answer_matrix(struct arena *a, struct slice json,
                                           struct rule_points **ret, size_t *ret_n);
