#include "querier/search/esquery.h"

#include <stdlib.h>

#include "common/base/num.h"
#include "querier/search/esdoc.h"

/* ---- values ---- */

bool esliteral_number(struct slice text, long double *ret)
{
    int64_t i;
    uint64_t u;
    double d;

    if (!text.len || text.len > 64 ||
        !(text.ptr[0] == '-' || text.ptr[0] == '+' || text.ptr[0] == '.' ||
          (text.ptr[0] >= '0' && text.ptr[0] <= '9')))
        return false;
    if (slice_to_i64(text, &i))
        *ret = (long double)i;
    else if (slice_to_u64(text, &u))
        *ret = (long double)u;
    else if (num_parse(text, &d) && d - d == 0)
        *ret = (long double)d;
    else
        return false;
    return true;
}

struct esliteral esliteral_of(struct slice text)
{
    struct esliteral l = {.text = text};

    l.is_number = esliteral_number(text, &l.number);
    return l;
}

struct slice esquery_scalar(struct arena *a, struct jsonval v)
{
    struct slice ret = {NULL, 0};
    struct buf b = {0};

    switch (jsonval_kind(v)) {
    case JSONVAL_TEXT:
        return arena_dup(a, jsonval_text(v));
    case JSONVAL_BOOL:
        return jsonval_bool(v) ? SLICE("true") : SLICE("false");
    case JSONVAL_I64:
        return slice_cstr(arena_printf(a, "%lld", (long long)jsonval_i64(v)));
    case JSONVAL_U64:
        return slice_cstr(arena_printf(a, "%llu", (unsigned long long)jsonval_u64(v)));
    case JSONVAL_F64:
        buf_f64_text(&b, jsonval_f64(v));
        ret = arena_dup(a, buf_slice(&b));
        buf_done(&b);
        return ret;
    default:
        return ret;
    }
}

/* ---- nodes ---- */

void esquery_parser_init(struct esquery_parser *p, struct arena *a, int64_t now_ns)
{
    *p = (struct esquery_parser){.arena = a, .now_ns = now_ns};
}

void esquery_parser_done(struct esquery_parser *p)
{
    for (size_t i = 0; i < p->n_re; i++)
        re_free(p->re[i]);
    p->n_re = 0;
}

struct err *esquery_new(struct esquery_parser *p, enum esquery_kind kind, struct slice field,
                        struct esquery **ret)
{
    struct esquery *q;

    if (++p->n_clauses > ESQUERY_MAX_CLAUSES)
        return err_new(ERR_LIMIT, "the query has more than %d clauses", ESQUERY_MAX_CLAUSES);
    if (field.len > ESQUERY_MAX_FIELD)
        return err_new(ERR_LIMIT, "a field's name is longer than %d bytes", ESQUERY_MAX_FIELD);
    if (arena_over(p->arena))
        return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                       arena_limit(p->arena));
    q = arena_new_of(p->arena, struct esquery);
    q->kind = kind;
    q->field = field.len ? arena_dup(p->arena, field) : SLICE_EMPTY;
    *ret = q;
    return NULL;
}

void esqueries_add(struct esquery_parser *p, struct esqueries *l, struct esquery *q)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;

        l->ptr = arena_grow(p->arena, l->ptr, l->cap * sizeof(struct esquery *),
                            cap * sizeof(struct esquery *));
        l->cap = cap;
    }
    l->ptr[l->n++] = q;
}

bool esquery_is_text(struct slice field)
{
    return !field.len || slice_eq_cstr(field, ESQUERY_MESSAGE);
}

struct slice esquery_lower(struct arena *a, struct slice s)
{
    uint8_t *out = arena_alloc(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        out[i] = esdoc_lower(s.ptr[i]);
    return slice_of(out, s.len);
}

void esquery_set_words(struct esquery_parser *p, struct esquery *q, struct slice text)
{
    struct slice low = esquery_lower(p->arena, text), rest = low, word;
    struct slice *words;
    size_t n = 0;

    while (esdoc_next_word(&rest, &word))
        n++;
    words = arena_array(p->arena, struct slice, n + 1);
    rest = low;
    n = 0;
    while (esdoc_next_word(&rest, &word))
        words[n++] = word;
    q->words = words;
    q->n_words = n;
    q->min_words = 1;
    q->literal = esliteral_of(arena_dup(p->arena, text));
}

struct err *esquery_set_pattern(struct esquery_parser *p, struct esquery *q, struct slice pattern)
{
    if (pattern.len > ESQUERY_MAX_PATTERN)
        return err_new(ERR_LIMIT, "a pattern is longer than %d bytes", ESQUERY_MAX_PATTERN);
    q->literal.text = esquery_is_text(q->field) || q->ignores_case
                          ? esquery_lower(p->arena, pattern)
                          : arena_dup(p->arena, pattern);
    return NULL;
}

/* What Lucene's regexes have and ours have not. */
static struct err *check_regexp(struct slice s)
{
    bool is_class = false;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == '\\')
            i++;
        else if (c == '[' || c == ']')
            is_class = c == '[';
        else if (!is_class && memchr("~&@#<>\"", c, 7))
            return err_new(ERR_UNSUPPORTED,
                           "regexp: the operator [%c] is not supported; put \\ in front of it for "
                           "the character",
                           c);
    }
    return NULL;
}

/* The pattern may have zeros in it. */
static struct slice with_prefix(struct arena *a, const char *prefix, struct slice pattern)
{
    struct buf b = {0};
    struct slice ret;

    buf_str(&b, prefix);
    buf_slice_append(&b, pattern);
    ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

struct err *esquery_set_regexp(struct esquery_parser *p, struct esquery *q, struct slice pattern)
{
    const char *prefix = q->ignores_case || esquery_is_text(q->field) ? "(?i)" : "";
    struct slice text;
    struct re *re;
    struct err *e;

    if (pattern.len > ESQUERY_MAX_PATTERN || p->n_re == ESQUERY_MAX_REGEXES)
        return err_new(ERR_LIMIT, "a query may have %d regexps of %d bytes", ESQUERY_MAX_REGEXES,
                       ESQUERY_MAX_PATTERN);
    if ((e = check_regexp(pattern)))
        return e;
    text = with_prefix(p->arena, prefix, pattern);
    if ((e = re_compile(text, RE_ANCHORED, &re)))
        return err_wrap(e, "regexp");
    arena_charge(p->arena, (int64_t)re_bytes(re));
    p->re[p->n_re++] = re;
    q->re = re;
    q->literal.text = arena_dup(p->arena, pattern);
    return NULL;
}

/* ---- ranges ---- */

static bool is_open(const struct esrange_bound *b)
{
    return !b->is_given || slice_eq_cstr(b->text, "*");
}

static bool looks_like_maths(const struct esrange_bound *b)
{
    return b->is_given &&
           (slice_has_prefix(b->text, SLICE("now")) || slice_find(b->text, SLICE("||"), 0) >= 0);
}

static struct err *date_range(struct esquery_parser *p, struct esquery *q,
                              const struct esrange_bound *min, const struct esrange_bound *max,
                              struct slice format, const struct gozone *zone)
{
    struct esdate_opts o = {.now_ns = p->now_ns, .zone = zone, .format = format, .saturates = true};
    struct esrange *r = &q->range;
    struct esdate d;
    struct err *e;

    r->kind = ESRANGE_DATE;
    if (r->has_min) {
        o.rounds_up = min->is_excluded;
        if ((e = esdate_parse(min->text, &o, &d)))
            return e;
        r->from_ns = d.ns + (min->is_excluded ? d.unit_ns : 0);
    }
    if (r->has_max) {
        o.rounds_up = !max->is_excluded;
        if ((e = esdate_parse(max->text, &o, &d)))
            return e;
        r->to_ns = d.ns + (max->is_excluded ? 0 : d.unit_ns);
    }
    return NULL;
}

struct err *esquery_set_range(struct esquery_parser *p, struct esquery *q,
                              const struct esrange_bound *min, const struct esrange_bound *max,
                              struct slice format, const struct gozone *zone)
{
    struct esrange *r = &q->range;

    r->has_min = !is_open(min);
    r->has_max = !is_open(max);
    r->excludes_min = min->is_excluded;
    r->excludes_max = max->is_excluded;
    if (slice_eq_cstr(q->field, ESQUERY_TIME) || format.len || looks_like_maths(min) ||
        looks_like_maths(max))
        return date_range(p, q, min, max, format, zone);
    if ((!r->has_min || esliteral_number(min->text, &r->min)) &&
        (!r->has_max || esliteral_number(max->text, &r->max))) {
        r->kind = ESRANGE_NUMBER;
        return NULL;
    }
    r->kind = ESRANGE_TEXT;
    if (r->has_min)
        r->min_text = arena_dup(p->arena, min->text);
    if (r->has_max)
        r->max_text = arena_dup(p->arena, max->text);
    return NULL;
}

bool esquery_is_time(const struct esquery *q)
{
    return slice_eq_cstr(q->field, ESQUERY_TIME) &&
           (q->kind == ESQUERY_TERM || q->kind == ESQUERY_MATCH || q->kind == ESQUERY_PHRASE);
}

struct err *esquery_set_time(struct esquery_parser *p, struct esquery *q, struct slice text,
                             const struct gozone *zone)
{
    struct esrange_bound b = {.text = text, .is_given = true};

    q->kind = ESQUERY_RANGE;
    return esquery_set_range(p, q, &b, &b, SLICE_EMPTY, zone);
}

struct err *esquery_minimum(struct slice text, size_t n, size_t *ret)
{
    bool is_share = text.len && text.ptr[text.len - 1] == '%';
    struct slice number = is_share ? slice_sub(text, 0, text.len - 1) : text;
    int64_t v, all = (int64_t)n;

    if (!slice_to_i64(number, &v) || v > 100000 || v < -100000)
        return err_new(ERR_UNSUPPORTED, "minimum_should_match [%.*s] is not supported",
                       SLICE_ARG(text));
    if (is_share)
        v = v * all / 100; /* towards zero, as Elasticsearch has it */
    if (slice_has_prefix(text, SLICE("-")))
        v += all;
    *ret = (size_t)ORR_MAX(v, (int64_t)0);
    return NULL;
}
