/*
 * Elasticsearch's query_string, in Lucene's syntax, to a tree (esquery.h).
 *
 *     user_id:67890 AND level:error        field:value; AND OR NOT, && || !, + -, parentheses
 *     "connection reset" timeout*          phrases, words with * and ?, /regexps/
 *     took:>=100  took:[1 TO 5}  status:(404 OR 410)  _exists_:user  level:*
 *
 * NOT binds closest, then AND, then OR; clauses side by side are joined by the default operator. As in Lucene, a - or NOT in
 * a list that OR joins takes away from all of it, and a + makes the others optional. A backslash takes any special meaning. A
 * boost is read and of no consequence. word~1 (fuzzy), "a b"~2 (slop) and names of fields with * are ERR_UNSUPPORTED.
 *
 * is_simple: simple_query_string's + (and), | (or), -, " ", * and ( ). Who calls it takes what is malformed for plain words.
 *
 * Errors are ERR_INVALID and name the place: "query_string: at 7: …". Bounds are those of esquery.h.
 */
#pragma once
#include "querier/search/esquery.h"

struct lucene_opts {
    const struct slice *fields; /* of values that name none; none: every value of the line */
    size_t n_fields;
    bool joins_with_and;
    bool is_simple;
    const struct gozone *zone;
};

ORR_CHECKED struct err *lucene_parse(struct esquery_parser *p, struct slice text,
                                     const struct lucene_opts *opts, struct esquery **ret);
