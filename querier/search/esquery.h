/*
 * A search as a tree: what Elasticsearch's query DSL and its query_string ask of a document (esdoc.h).
 *
 *     esquery_parser_init(&p, arena, now_ns);
 *     esquery_parse(&p, value, &q);                   {"bool":{"filter":[{"term":{"user_id":67890}}, …]}}
 *     lucene_parse(&p, text, &opts, &q);              user_id:67890 AND level:error           lucene.h
 *     … esmatch_keeps(q, doc) …                                                               esmatch.h
 *     esquery_parser_done(&p);
 *
 * Fields are exact (Elasticsearch's keyword), but for message, and for no field at all, which is every value of the line: these
 * are text, and are compared word by word without regard to ASCII case (esdoc_next_word()). Behind .keyword a text is exact,
 * too. A term of query_string with several words is a phrase. There are no scores: boosts are read and of no consequence.
 *
 * Known: match_all, match_none, bool, term, terms, match, match_phrase, match_phrase_prefix, multi_match, prefix, wildcard,
 * regexp, exists, range, query_string, simple_query_string, constant_score, dis_max. Others are errors that name them, as are
 * parameters that would change the answer and are not known.
 *
 * Bounds: ESQUERY_MAX_DEPTH, ESQUERY_MAX_CLAUSES, ESQUERY_MAX_TERMS, ESQUERY_MAX_TEXT; beyond them ERR_LIMIT.
 *
 * Any thread; a tree is read-only once parsed. Texts are copied into the arena.
 */
#pragma once
#include "common/base/jsonval.h"
#include "common/base/re.h"
#include "querier/search/esdate.h"

#define ESQUERY_MAX_DEPTH 64
#define ESQUERY_MAX_CLAUSES 4096
#define ESQUERY_MAX_TERMS 65536
#define ESQUERY_MAX_TEXT 65536   /* of a query_string, a text to match */
#define ESQUERY_MAX_PATTERN 1024 /* of wildcard and regexp */
#define ESQUERY_MAX_REGEXES 64
#define ESQUERY_MAX_FIELD 1024

#define ESQUERY_TIME "@timestamp"
#define ESQUERY_MESSAGE "message"
#define ESQUERY_INDEX "_index"
#define ESQUERY_ID "_id"
#define ESQUERY_KEYWORD ".keyword"

/* A value as it is asked for. */
struct esliteral {
    struct slice text;
    bool is_number;
    long double number; /* holds 64-bit integers exactly */
};
struct esliteral esliteral_of(struct slice text);
/* A text as a number: an integer of 64 bits, or what strtod() reads; not inf, not nan. */
bool esliteral_number(struct slice text, long double *ret);

enum esquery_kind {
    ESQUERY_ALL,
    ESQUERY_NONE,
    ESQUERY_BOOL, /* must, should, must_not, min_should */
    ESQUERY_TERM, /* literal, ignores_case */
    ESQUERY_TERMS, /* literals, by text, which is lower case where the field is text; numbers, sorted */
    ESQUERY_MATCH, /* words, min_words of them; exact fields: literal */
    ESQUERY_PHRASE, /* words one behind the other, is_prefix: of the last the beginning; exact fields: literal */
    ESQUERY_PREFIX,   /* literal, ignores_case */
    ESQUERY_WILDCARD, /* literal: the pattern, ignores_case */
    ESQUERY_REGEXP,   /* re */
    ESQUERY_RANGE,    /* range */
    ESQUERY_EXISTS,
};

enum esrange_kind { ESRANGE_NUMBER, ESRANGE_DATE, ESRANGE_TEXT };
struct esrange {
    enum esrange_kind kind;
    bool has_min, has_max, excludes_min, excludes_max;
    long double min, max;
    int64_t from_ns, to_ns; /* dates: from <= t < to; has_… say which counts */
    struct slice min_text, max_text;
};

struct esquery;
struct esqueries {
    struct esquery **ptr;
    size_t n, cap;
};
struct esquery {
    enum esquery_kind kind;
    struct slice field; /* empty: any value of the line */
    struct esliteral literal;
    const struct esliteral *literals;
    size_t n_literals;
    const long double *numbers;
    size_t n_numbers;
    const struct slice *words; /* lower case */
    size_t n_words, min_words;
    bool ignores_case, is_prefix;
    struct re *re;
    struct esrange range;
    struct esqueries must, should, must_not; /* filter is must */
    size_t min_should;
};

/* What parsing needs and leaves. */
struct esquery_parser {
    struct arena *arena;
    int64_t now_ns;
    struct re *re[ESQUERY_MAX_REGEXES]; /* to be freed */
    size_t n_re, n_clauses;
    unsigned depth;
};

void esquery_parser_init(struct esquery_parser *p, struct arena *a, int64_t now_ns);
/* Ends what the trees need beside the arena: after their use. */
void esquery_parser_done(struct esquery_parser *p);
/* ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT; "unknown query [x]". */
ORR_CHECKED struct err *esquery_parse(struct esquery_parser *p, struct jsonval v,
                                      struct esquery **ret);

/* ---- for those who make trees ---- */

/* NULL and ERR_LIMIT past the bounds. field is copied. */
ORR_CHECKED struct err *esquery_new(struct esquery_parser *p, enum esquery_kind kind,
                                    struct slice field, struct esquery **ret);
void esqueries_add(struct esquery_parser *p, struct esqueries *l, struct esquery *q);
/* ASCII's letters as lower case, in the arena. */
struct slice esquery_lower(struct arena *a, struct slice s);
/* The text's words, lower case, in the arena. */
void esquery_set_words(struct esquery_parser *p, struct esquery *q, struct slice text);
ORR_CHECKED struct err *esquery_set_regexp(struct esquery_parser *p, struct esquery *q,
                                           struct slice pattern);
/* A pattern in lower case where the field is text. */
ORR_CHECKED struct err *esquery_set_pattern(struct esquery_parser *p, struct esquery *q,
                                            struct slice pattern);
/* One bound of a range as text. */
struct esrange_bound {
    struct slice text;
    bool is_given, is_excluded;
};
ORR_CHECKED struct err *esquery_set_range(struct esquery_parser *p, struct esquery *q,
                                          const struct esrange_bound *min,
                                          const struct esrange_bound *max, struct slice format,
                                          const struct gozone *zone);
/* A value of @timestamp is a range of time; false: q is of another field. */
bool esquery_is_time(const struct esquery *q);
ORR_CHECKED struct err *esquery_set_time(struct esquery_parser *p, struct esquery *q,
                                         struct slice text, const struct gozone *zone);
/* Whether values of the field are compared word by word. */
bool esquery_is_text(struct slice field);
/* "2", "-1", "75%", "-25%" of n. */
ORR_CHECKED struct err *esquery_minimum(struct slice text, size_t n, size_t *ret);
/* The text of a scalar in JSON, in the arena; ptr NULL: it is none. */
struct slice esquery_scalar(struct arena *a, struct jsonval v);
