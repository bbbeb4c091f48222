/* What the files of the query DSL share. kind: the query's name, for messages. */
#pragma once
#include "querier/search/esquery.h"

struct err *esquery_malformed(const char *kind, const char *what);
struct err *esquery_unknown(const char *kind, struct slice name);
/* Parameters that are read and of no consequence for which documents are found. */
bool esquery_is_harmless(struct slice name);
ORR_CHECKED struct err *esquery_scalar_of(struct esquery_parser *p, const char *kind,
                                          struct jsonval v, struct slice *ret);
/* The one member of {"field": what is asked of it}. */
ORR_CHECKED struct err *esquery_field_of(const char *kind, struct jsonval v,
                                         struct slice *ret_field, struct jsonval *ret);

/* esquery_text.c */
ORR_CHECKED struct err *esquery_parse_match(struct esquery_parser *p, struct jsonval v,
                                            const char *kind, enum esquery_kind what,
                                            bool is_prefix, struct esquery **ret);
ORR_CHECKED struct err *esquery_parse_multi_match(struct esquery_parser *p, struct jsonval v,
                                                  struct esquery **ret);
ORR_CHECKED struct err *esquery_parse_query_string(struct esquery_parser *p, struct jsonval v,
                                                   const char *kind, bool is_simple,
                                                   struct esquery **ret);
