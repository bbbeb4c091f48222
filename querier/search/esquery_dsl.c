/* The query DSL in JSON to a tree: what joins others, values, ranges. Texts are in esquery_text.c. */
#include <stdlib.h>

#include "querier/search/esquery_internal.h"

struct err *esquery_malformed(const char *kind, const char *what)
{
    return err_new(ERR_INVALID, "[%s] query malformed, %s", kind, what);
}

struct err *esquery_unknown(const char *kind, struct slice name)
{
    return err_new(ERR_INVALID, "[%s] query does not support [%.*s]", kind,
                   SLICE_ARG(slice_sub(name, 0, 100)));
}

bool esquery_is_harmless(struct slice name)
{
    static const char *const names[] = {"boost",
                                        "_name",
                                        "relation",
                                        "lenient",
                                        "rewrite",
                                        "analyzer",
                                        "max_expansions",
                                        "auto_generate_synonyms_phrase_query",
                                        "prefix_length",
                                        "tie_breaker",
                                        "fuzzy_max_expansions",
                                        "fuzzy_transpositions",
                                        "flags",
                                        "escape",
                                        "max_determinized_states",
                                        "allow_leading_wildcard",
                                        "analyze_wildcard",
                                        "quote_analyzer",
                                        "fuzzy_prefix_length",
                                        "enable_position_increments",
                                        "adjust_pure_negative"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(name, names[i]))
            return true;
    return false;
}

struct err *esquery_scalar_of(struct esquery_parser *p, const char *kind, struct jsonval v,
                              struct slice *ret)
{
    *ret = esquery_scalar(p->arena, v);
    return ret->ptr ? NULL : esquery_malformed(kind, "a text, number or boolean is expected");
}

static struct err *bool_of(struct esquery_parser *p, const char *kind, struct jsonval v, bool *ret)
{
    struct slice text;
    struct err *e = esquery_scalar_of(p, kind, v, &text);

    if (e)
        return e;
    *ret = slice_eq_cstr(text, "true");
    return *ret || slice_eq_cstr(text, "false") ? NULL
                                                : esquery_malformed(kind, "a boolean is expected");
}

struct err *esquery_field_of(const char *kind, struct jsonval v, struct slice *ret_field,
                             struct jsonval *ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice name;
    struct jsonval item;
    size_t n = 0;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return esquery_malformed(kind, "an object is expected");
    while (jsonval_next(&it, &name, &item))
        if (!esquery_is_harmless(name) || jsonval_count(v) == 1) {
            *ret_field = name;
            *ret = item;
            n++;
        }
    return n == 1 ? NULL : esquery_malformed(kind, n ? "more than one field" : "no field");
}

/* ---- one value of one field ---- */

static struct err *set_value(struct esquery_parser *p, struct esquery *q, const char *kind,
                             struct slice text)
{
    if (!text.ptr)
        return esquery_malformed(kind, "no value");
    if (q->kind == ESQUERY_REGEXP)
        return esquery_set_regexp(p, q, text);
    if (q->kind == ESQUERY_WILDCARD)
        return esquery_set_pattern(p, q, text);
    if (text.len > ESQUERY_MAX_TEXT)
        return err_new(ERR_LIMIT, "[%s] a value is longer than %d bytes", kind, ESQUERY_MAX_TEXT);
    if (esquery_is_time(q))
        return esquery_set_time(p, q, text, NULL);
    q->literal = esliteral_of(text);
    return NULL;
}

/* term, prefix, wildcard, regexp: {"f":"x"}, {"f":{"value":"x","case_insensitive":true}} */
static struct err *parse_value(struct esquery_parser *p, struct jsonval v, const char *kind,
                               enum esquery_kind what, struct esquery **ret)
{
    struct slice field, name, text = {NULL, 0};
    struct jsonval_iter it;
    struct jsonval item;
    struct err *e;

    if ((e = esquery_field_of(kind, v, &field, &v)) || (e = esquery_new(p, what, field, ret)))
        return e;
    if (jsonval_kind(v) != JSONVAL_OBJECT) {
        e = esquery_scalar_of(p, kind, v, &text);
        return e ? e : set_value(p, *ret, kind, text);
    }
    for (it = jsonval_iter(v); !e && jsonval_next(&it, &name, &item);) {
        if (slice_eq_cstr(name, "value") || slice_eq_cstr(name, kind))
            e = esquery_scalar_of(p, kind, item, &text);
        else if (slice_eq_cstr(name, "case_insensitive"))
            e = bool_of(p, kind, item, &(*ret)->ignores_case);
        else if (!esquery_is_harmless(name))
            e = esquery_unknown(kind, name);
    }
    return e ? e : set_value(p, *ret, kind, text);
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(((const struct esliteral *)a)->text, ((const struct esliteral *)b)->text);
}

static int by_number(const void *a, const void *b)
{
    long double x = *(const long double *)a, y = *(const long double *)b;

    return (x > y) - (x < y);
}

static struct err *parse_terms(struct esquery_parser *p, struct jsonval v, struct esquery **ret)
{
    struct slice field, name, text;
    struct jsonval_iter it;
    struct jsonval item;
    struct esliteral *ls;
    long double *numbers;
    struct esquery *q;
    struct err *e;
    size_t n = 0;

    if ((e = esquery_field_of("terms", v, &field, &v)) ||
        (e = esquery_new(p, ESQUERY_TERMS, field, &q)))
        return e;
    if (jsonval_kind(v) == JSONVAL_OBJECT)
        return err_new(ERR_UNSUPPORTED, "[terms] query: a lookup of terms is not supported");
    if (jsonval_kind(v) != JSONVAL_LIST)
        return esquery_malformed("terms", "a list is expected");
    if (jsonval_count(v) > ESQUERY_MAX_TERMS)
        return err_new(ERR_LIMIT, "[terms] query has more than %d terms", ESQUERY_MAX_TERMS);
    ls = arena_array(p->arena, struct esliteral, jsonval_count(v) + 1);
    numbers = arena_array(p->arena, long double, jsonval_count(v) + 1);
    for (it = jsonval_iter(v); jsonval_next(&it, &name, &item);) {
        if ((e = esquery_scalar_of(p, "terms", item, &text)))
            return e;
        ls[n] = esliteral_of(esquery_is_text(field) ? esquery_lower(p->arena, text) : text);
        if (ls[n].is_number)
            numbers[q->n_numbers++] = ls[n].number;
        n++;
    }
    qsort(ls, n, sizeof(*ls), by_text);
    qsort(numbers, q->n_numbers, sizeof(*numbers), by_number);
    q->literals = ls;
    q->n_literals = n;
    q->numbers = numbers;
    *ret = q;
    return NULL;
}

/* ---- ranges, exists ---- */

struct range_params {
    struct esrange_bound min, max;
    struct slice format;
    struct gozone *zone;
};

static struct err *read_bound(struct esquery_parser *p, struct jsonval v, bool is_excluded,
                              struct esrange_bound *ret)
{
    if (jsonval_kind(v) == JSONVAL_NULL)
        return NULL;
    ret->is_given = true;
    ret->is_excluded |= is_excluded;
    return esquery_scalar_of(p, "range", v, &ret->text);
}

static struct err *read_range(struct esquery_parser *p, struct slice name, struct jsonval v,
                              struct range_params *r)
{
    struct slice text;
    bool is_included;
    struct err *e;

    if (slice_eq_cstr(name, "gte") || slice_eq_cstr(name, "gt") || slice_eq_cstr(name, "from"))
        return read_bound(p, v, slice_eq_cstr(name, "gt"), &r->min);
    if (slice_eq_cstr(name, "lte") || slice_eq_cstr(name, "lt") || slice_eq_cstr(name, "to"))
        return read_bound(p, v, slice_eq_cstr(name, "lt"), &r->max);
    if (slice_eq_cstr(name, "include_lower") || slice_eq_cstr(name, "include_upper")) {
        if ((e = bool_of(p, "range", v, &is_included)))
            return e;
        (slice_eq_cstr(name, "include_lower") ? &r->min : &r->max)->is_excluded |= !is_included;
        return NULL;
    }
    if (slice_eq_cstr(name, "format"))
        return esquery_scalar_of(p, "range", v, &r->format);
    if (!slice_eq_cstr(name, "time_zone"))
        return esquery_is_harmless(name) ? NULL : esquery_unknown("range", name);
    if ((e = esquery_scalar_of(p, "range", v, &text)) || r->zone)
        return e;
    return esdate_zone(text, &r->zone);
}

static struct err *parse_range(struct esquery_parser *p, struct jsonval v, struct esquery **ret)
{
    struct range_params r = {.format = SLICE_EMPTY};
    struct slice field, name;
    struct jsonval_iter it;
    struct jsonval item;
    struct err *e;

    if ((e = esquery_field_of("range", v, &field, &v)) ||
        (e = esquery_new(p, ESQUERY_RANGE, field, ret)))
        return e;
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return esquery_malformed("range", "an object is expected");
    for (it = jsonval_iter(v); !e && jsonval_next(&it, &name, &item);)
        e = read_range(p, name, item, &r);
    if (!e)
        e = esquery_set_range(p, *ret, &r.min, &r.max, r.format, r.zone);
    gozone_free(r.zone);
    return e;
}

static struct err *parse_exists(struct esquery_parser *p, struct jsonval v, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice name, field = SLICE_EMPTY;
    struct jsonval item;
    struct err *e = NULL;

    while (!e && jsonval_next(&it, &name, &item))
        if (slice_eq_cstr(name, "field"))
            e = esquery_scalar_of(p, "exists", item, &field);
        else if (!esquery_is_harmless(name))
            e = esquery_unknown("exists", name);
    if (e)
        return e;
    if (!field.len)
        return esquery_malformed("exists", "no field");
    return esquery_new(p, ESQUERY_EXISTS, field, ret);
}

/* ---- what joins others ---- */

/* A query, or a list of them. */
static struct err *parse_list(struct esquery_parser *p, struct jsonval v, struct esqueries *l)
{
    struct jsonval_iter it = jsonval_iter(v);
    bool is_list = jsonval_kind(v) == JSONVAL_LIST;
    struct jsonval item = v;
    struct esquery *q;
    struct slice key;
    struct err *e;

    while (!is_list || jsonval_next(&it, &key, &item)) {
        if ((e = esquery_parse(p, item, &q)))
            return e;
        esqueries_add(p, l, q);
        if (!is_list)
            break;
    }
    return NULL;
}

static struct err *parse_bool(struct esquery_parser *p, struct jsonval v, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice name, minimum = {NULL, 0};
    struct jsonval item;
    struct esquery *q;
    struct err *e;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return esquery_malformed("bool", "an object is expected");
    if ((e = esquery_new(p, ESQUERY_BOOL, SLICE_EMPTY, &q)))
        return e;
    while (!e && jsonval_next(&it, &name, &item)) {
        if (slice_eq_cstr(name, "must") || slice_eq_cstr(name, "filter"))
            e = parse_list(p, item, &q->must);
        else if (slice_eq_cstr(name, "should"))
            e = parse_list(p, item, &q->should);
        else if (slice_eq_cstr(name, "must_not"))
            e = parse_list(p, item, &q->must_not);
        else if (slice_eq_cstr(name, "minimum_should_match"))
            e = esquery_scalar_of(p, "bool", item, &minimum);
        else if (!esquery_is_harmless(name))
            e = esquery_unknown("bool", name);
    }
    q->min_should = q->should.n && !q->must.n ? 1 : 0;
    *ret = q;
    return !e && minimum.ptr ? esquery_minimum(minimum, q->should.n, &q->min_should) : e;
}

/* constant_score: {"filter": …}; dis_max: {"queries": […]} */
static struct err *parse_wrapped(struct esquery_parser *p, struct jsonval v, const char *kind,
                                 const char *member, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice name;
    struct esquery *q;
    struct err *e = esquery_new(p, ESQUERY_BOOL, SLICE_EMPTY, &q);

    while (!e && jsonval_next(&it, &name, &item))
        if (slice_eq_cstr(name, member))
            e = parse_list(p, item, &q->should);
        else if (!esquery_is_harmless(name))
            e = esquery_unknown(kind, name);
    if (e)
        return e;
    if (!q->should.n)
        return esquery_malformed(kind, "nothing is in it");
    q->min_should = 1;
    *ret = q;
    return NULL;
}

static struct err *parse_all(struct esquery_parser *p, enum esquery_kind what, const char *kind,
                             struct jsonval v, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice name;

    while (jsonval_next(&it, &name, &item))
        if (!esquery_is_harmless(name))
            return esquery_unknown(kind, name);
    return esquery_new(p, what, SLICE_EMPTY, ret);
}

/* ---- by kind ---- */

static struct err *unknown_kind(struct slice kind)
{
    static const char *const known[] = {"ids",
                                        "nested",
                                        "fuzzy",
                                        "function_score",
                                        "script",
                                        "script_score",
                                        "geo_shape",
                                        "geo_distance",
                                        "geo_bounding_box",
                                        "more_like_this",
                                        "span_term",
                                        "span_near",
                                        "intervals",
                                        "has_child",
                                        "has_parent",
                                        "parent_id",
                                        "percolate",
                                        "boosting",
                                        "knn",
                                        "terms_set",
                                        "combined_fields",
                                        "match_bool_prefix",
                                        "distance_feature",
                                        "semantic",
                                        "rank_feature",
                                        "wrapper",
                                        "pinned"};

    for (size_t i = 0; i < ORR_COUNT(known); i++)
        if (slice_eq_cstr(kind, known[i]))
            return err_new(ERR_UNSUPPORTED, "query [%s] is not supported", known[i]);
    return err_new(ERR_INVALID, "unknown query [%.*s]", SLICE_ARG(slice_sub(kind, 0, 100)));
}

static struct err *parse_kind(struct esquery_parser *p, struct slice kind, struct jsonval v,
                              struct esquery **ret)
{
    static const struct {
        const char *name;
        enum esquery_kind what;
        bool is_prefix;
    } values[] = {{"term", ESQUERY_TERM, false},
                  {"prefix", ESQUERY_PREFIX, false},
                  {"wildcard", ESQUERY_WILDCARD, false},
                  {"regexp", ESQUERY_REGEXP, false}},
      texts[] = {{"match", ESQUERY_MATCH, false},
                 {"match_phrase", ESQUERY_PHRASE, false},
                 {"match_phrase_prefix", ESQUERY_PHRASE, true}};

    for (size_t i = 0; i < ORR_COUNT(values); i++)
        if (slice_eq_cstr(kind, values[i].name))
            return parse_value(p, v, values[i].name, values[i].what, ret);
    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        if (slice_eq_cstr(kind, texts[i].name))
            return esquery_parse_match(p, v, texts[i].name, texts[i].what, texts[i].is_prefix, ret);
    if (slice_eq_cstr(kind, "match_all"))
        return parse_all(p, ESQUERY_ALL, "match_all", v, ret);
    if (slice_eq_cstr(kind, "match_none"))
        return parse_all(p, ESQUERY_NONE, "match_none", v, ret);
    if (slice_eq_cstr(kind, "bool"))
        return parse_bool(p, v, ret);
    if (slice_eq_cstr(kind, "terms"))
        return parse_terms(p, v, ret);
    if (slice_eq_cstr(kind, "multi_match"))
        return esquery_parse_multi_match(p, v, ret);
    if (slice_eq_cstr(kind, "query_string"))
        return esquery_parse_query_string(p, v, "query_string", false, ret);
    if (slice_eq_cstr(kind, "simple_query_string"))
        return esquery_parse_query_string(p, v, "simple_query_string", true, ret);
    if (slice_eq_cstr(kind, "range"))
        return parse_range(p, v, ret);
    if (slice_eq_cstr(kind, "exists"))
        return parse_exists(p, v, ret);
    if (slice_eq_cstr(kind, "constant_score"))
        return parse_wrapped(p, v, "constant_score", "filter", ret);
    if (slice_eq_cstr(kind, "dis_max"))
        return parse_wrapped(p, v, "dis_max", "queries", ret);
    return unknown_kind(kind);
}

struct err *esquery_parse(struct esquery_parser *p, struct jsonval v, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice kind;
    struct err *e;

    if (jsonval_kind(v) != JSONVAL_OBJECT || jsonval_count(v) == 0)
        return err_new(ERR_INVALID, "query malformed, empty clause found");
    if (jsonval_count(v) > 1)
        return err_new(ERR_INVALID, "query malformed, more than one kind of query in an object");
    if (++p->depth > ESQUERY_MAX_DEPTH)
        return err_new(ERR_LIMIT, "the query nests deeper than %d", ESQUERY_MAX_DEPTH);
    (void)jsonval_next(&it, &kind, &item);
    e = parse_kind(p, kind, item, ret);
    p->depth--;
    return e;
}
