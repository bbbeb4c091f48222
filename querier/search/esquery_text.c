/* Of the query DSL what looks for words: match and its kind, multi_match, query_string. */
#include "querier/search/esquery_internal.h"
#include "querier/search/lucene.h"

#define MAX_FIELDS 64

struct text_params {
    struct slice text, minimum;
    bool is_and, is_prefix, matches_all_if_none;
};

static struct err *read_text(struct esquery_parser *p, const char *kind, struct slice name,
                             struct jsonval item, struct text_params *t)
{
    struct slice text;
    struct err *e;

    if (slice_eq_cstr(name, "query"))
        return esquery_scalar_of(p, kind, item, &t->text);
    if (esquery_is_harmless(name))
        return NULL;
    if ((e = esquery_scalar_of(p, kind, item, &text)))
        return e;
    if (slice_eq_cstr(name, "operator") || slice_eq_cstr(name, "default_operator"))
        t->is_and = slice_eq_nocase(text, SLICE("and"));
    else if (slice_eq_cstr(name, "minimum_should_match"))
        t->minimum = text;
    else if (slice_eq_cstr(name, "zero_terms_query"))
        t->matches_all_if_none = slice_eq_cstr(text, "all");
    else if (slice_eq_cstr(name, "slop") || slice_eq_cstr(name, "phrase_slop") ||
             slice_eq_cstr(name, "fuzziness")) {
        if (!slice_eq_cstr(text, "0") && !slice_eq_cstr(text, "AUTO"))
            return err_new(ERR_UNSUPPORTED, "[%s] query: %.*s is not supported", kind,
                           SLICE_ARG(name));
        if (slice_eq_cstr(text, "AUTO") && !slice_has_suffix(slice_cstr(kind), SLICE("string")))
            return err_new(ERR_UNSUPPORTED, "[%s] query: fuzziness is not supported", kind);
    } else {
        return esquery_unknown(kind, name);
    }
    return NULL;
}

static struct err *text_node(struct esquery_parser *p, const char *kind, enum esquery_kind what,
                             struct slice field, const struct text_params *t, struct esquery **ret)
{
    struct esquery *q;
    struct err *e;

    if (!t->text.ptr)
        return esquery_malformed(kind, "no query");
    if (t->text.len > ESQUERY_MAX_TEXT)
        return err_new(ERR_LIMIT, "[%s] a text to match is longer than %d bytes", kind,
                       ESQUERY_MAX_TEXT);
    if ((e = esquery_new(p, what, field, &q)))
        return e;
    *ret = q;
    if (esquery_is_time(q))
        return esquery_set_time(p, q, t->text, NULL);
    q->is_prefix = t->is_prefix;
    esquery_set_words(p, q, t->text);
    if (!q->n_words && esquery_is_text(field))
        q->kind = t->matches_all_if_none ? ESQUERY_ALL : ESQUERY_NONE;
    if (t->is_and)
        q->min_words = ORR_MAX(q->n_words, (size_t)1);
    else if (t->minimum.ptr && (e = esquery_minimum(t->minimum, q->n_words, &q->min_words)))
        return e;
    q->min_words = ORR_MAX(q->min_words, (size_t)1);
    return NULL;
}

struct err *esquery_parse_match(struct esquery_parser *p, struct jsonval v, const char *kind,
                                enum esquery_kind what, bool is_prefix, struct esquery **ret)
{
    struct text_params t = {.is_prefix = is_prefix};
    struct slice field, name;
    struct jsonval_iter it;
    struct jsonval item;
    struct err *e;

    if ((e = esquery_field_of(kind, v, &field, &v)))
        return e;
    it = jsonval_iter(v);
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        e = esquery_scalar_of(p, kind, v, &t.text);
    else
        while (!e && jsonval_next(&it, &name, &item))
            e = read_text(p, kind, name, item, &t);
    return e ? e : text_node(p, kind, what, field, &t, ret);
}

/* ---- several fields ---- */

struct fields {
    struct slice ptr[MAX_FIELDS];
    size_t n;
    bool is_any; /* * is among them */
};

/* "a", "b^2" */
static struct err *add_field(struct esquery_parser *p, struct slice text, struct fields *f)
{
    ptrdiff_t boost = slice_find_byte(text, '^', 0);

    if (boost >= 0)
        text = slice_sub(text, 0, (size_t)boost);
    if (slice_eq_cstr(text, "*") || !text.len) {
        f->is_any = true;
        return NULL;
    }
    if (slice_find_byte(text, '*', 0) >= 0)
        return err_new(ERR_UNSUPPORTED, "[fields] a name with * in it is not supported: [%.*s]",
                       SLICE_ARG(slice_sub(text, 0, 100)));
    if (f->n == MAX_FIELDS)
        return err_new(ERR_LIMIT, "[fields] more than %d names", MAX_FIELDS);
    f->ptr[f->n++] = arena_dup(p->arena, text);
    return NULL;
}

static struct err *read_fields(struct esquery_parser *p, const char *kind, struct jsonval v,
                               struct fields *f)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key, text;
    struct jsonval item;
    struct err *e;

    if (jsonval_kind(v) != JSONVAL_LIST)
        return (e = esquery_scalar_of(p, kind, v, &text)) ? e : add_field(p, text, f);
    while (jsonval_next(&it, &key, &item))
        if ((e = esquery_scalar_of(p, kind, item, &text)) || (e = add_field(p, text, f)))
            return e;
    return NULL;
}

struct err *esquery_parse_multi_match(struct esquery_parser *p, struct jsonval v,
                                      struct esquery **ret)
{
    static const char kind[] = "multi_match";
    struct slice name, type = SLICE("best_fields");
    enum esquery_kind what = ESQUERY_MATCH;
    struct jsonval_iter it = jsonval_iter(v);
    struct text_params t = {0};
    struct fields f = {.n = 0};
    struct esquery *any, *one;
    struct jsonval item;
    struct err *e = NULL;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return esquery_malformed(kind, "an object is expected");
    while (!e && jsonval_next(&it, &name, &item))
        e = slice_eq_cstr(name, "fields") ? read_fields(p, kind, item, &f)
            : slice_eq_cstr(name, "type") ? esquery_scalar_of(p, kind, item, &type)
                                          : read_text(p, kind, name, item, &t);
    if (e)
        return e;
    t.is_prefix = slice_eq_cstr(type, "phrase_prefix");
    if (t.is_prefix || slice_eq_cstr(type, "phrase"))
        what = ESQUERY_PHRASE;
    else if (!slice_eq_cstr(type, "best_fields") && !slice_eq_cstr(type, "most_fields"))
        return err_new(ERR_UNSUPPORTED, "[multi_match] type [%.*s] is not supported",
                       SLICE_ARG(slice_sub(type, 0, 100)));
    if (!f.n || f.is_any)
        return text_node(p, kind, what, SLICE_EMPTY, &t, ret);
    if ((e = esquery_new(p, ESQUERY_BOOL, SLICE_EMPTY, &any)))
        return e;
    any->min_should = 1;
    for (size_t i = 0; i < f.n; i++) {
        if ((e = text_node(p, kind, what, f.ptr[i], &t, &one)))
            return e;
        esqueries_add(p, &any->should, one);
    }
    *ret = any;
    return NULL;
}

/* simple_query_string is never malformed: then it is words. */
static struct err *parse_words(struct esquery_parser *p, const struct text_params *t,
                               const struct lucene_opts *o, struct esquery **ret)
{
    struct slice field = o->n_fields ? o->fields[0] : SLICE_EMPTY;
    struct err *e = lucene_parse(p, t->text, o, ret);

    if (!o->is_simple || !err_is(e, ERR_INVALID))
        return e;
    err_free(e);
    return text_node(p, "simple_query_string", ESQUERY_MATCH, field, t, ret);
}

struct err *esquery_parse_query_string(struct esquery_parser *p, struct jsonval v, const char *kind,
                                       bool is_simple, struct esquery **ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct text_params t = {0};
    struct fields f = {.n = 0};
    struct gozone *zone = NULL;
    struct slice name, text;
    struct jsonval item;
    struct err *e = NULL;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return esquery_malformed(kind, "an object is expected");
    while (!e && jsonval_next(&it, &name, &item)) {
        if (slice_eq_cstr(name, "fields") || slice_eq_cstr(name, "default_field"))
            e = read_fields(p, kind, item, &f);
        else if (!slice_eq_cstr(name, "time_zone"))
            e = read_text(p, kind, name, item, &t);
        else if (!(e = esquery_scalar_of(p, kind, item, &text)) && !zone)
            e = esdate_zone(text, &zone);
    }
    if (!e && !t.text.ptr)
        e = esquery_malformed(kind, "no query");
    if (!e && t.minimum.ptr)
        e = err_new(ERR_UNSUPPORTED, "[%s] query: minimum_should_match is not supported", kind);
    if (!e)
        e = parse_words(p, &t,
                        &(struct lucene_opts){.fields = f.ptr,
                                              .n_fields = f.is_any ? 0 : f.n,
                                              .joins_with_and = t.is_and,
                                              .is_simple = is_simple,
                                              .zone = zone},
                        ret);
    gozone_free(zone);
    return e;
}
