#include "querier/search/lucene.h"

#include "common/base/num.h"

#define MAX_DEPTH ESQUERY_MAX_DEPTH

struct parsing {
    struct esquery_parser *p;
    const struct lucene_opts *opts;
    struct slice s;
    size_t pos;
    unsigned depth;
    struct slice field; /* of the values being read; ptr NULL: none was named */
};

enum sign { PLAIN, REQUIRED, PROHIBITED };

static struct err *fail(const struct parsing *x, const char *what)
{
    return err_new(ERR_INVALID, "query_string: at %zu: %s", x->pos + 1, what);
}

static int byte_at(const struct parsing *x, size_t at)
{
    return at < x->s.len ? x->s.ptr[at] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int skip_space(struct parsing *x)
{
    while (is_space(byte_at(x, x->pos)))
        x->pos++;
    return byte_at(x, x->pos);
}

/* What ends a word, unless a backslash is in front. */
static bool ends_word(const struct parsing *x, int c)
{
    if (c < 0 || is_space(c))
        return true;
    if (x->opts->is_simple)
        return c == '(' || c == ')' || c == '|' || c == '"' || c == '+';
    return memchr("()[]{}\"~^:", c, 10) != NULL;
}

static bool take(struct parsing *x, const char *text)
{
    size_t n = strlen(text);

    if (!slice_has_prefix(slice_from(x->s, x->pos), slice_of(text, n)))
        return false;
    x->pos += n;
    return true;
}

/* AND, OR, NOT and their like, as words of their own. */
static bool take_word(struct parsing *x, const char *word)
{
    size_t before = x->pos;

    if (x->opts->is_simple || !take(x, word))
        return false;
    if (ends_word(x, byte_at(x, x->pos)) && byte_at(x, x->pos) != ':')
        return true;
    x->pos = before;
    return false;
}

static bool take_and(struct parsing *x)
{
    (void)skip_space(x);
    if (x->opts->is_simple)
        return take(x, "+");
    return take_word(x, "AND") || take(x, "&&");
}

static bool take_or(struct parsing *x)
{
    (void)skip_space(x);
    if (x->opts->is_simple)
        return take(x, "|");
    return take_word(x, "OR") || take(x, "||");
}

static bool at_end(struct parsing *x)
{
    int c = skip_space(x);

    return c < 0 || c == ')';
}

/* ---- values ---- */

/* A word up to what ends it. ret has its backslashes still; has_pattern: a * or ? without one. */
static struct slice raw_word(struct parsing *x, bool *has_pattern)
{
    size_t start = x->pos;

    *has_pattern = false;
    while (!ends_word(x, byte_at(x, x->pos))) {
        int c = byte_at(x, x->pos);

        if (c == '\\' && x->pos + 1 < x->s.len)
            x->pos++;
        else if (c == '*' || (c == '?' && !x->opts->is_simple))
            *has_pattern = true;
        x->pos++;
    }
    return slice_sub(x->s, start, x->pos - start);
}

static struct slice without_backslashes(struct arena *a, struct slice raw)
{
    uint8_t *out = arena_alloc(a, raw.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && i + 1 < raw.len)
            i++;
        out[n++] = raw.ptr[i];
    }
    return slice_of(out, n);
}

/* -1: there is none. */
static double take_number(struct parsing *x)
{
    size_t start = x->pos;
    double v;

    while ((byte_at(x, x->pos) >= '0' && byte_at(x, x->pos) <= '9') || byte_at(x, x->pos) == '.')
        x->pos++;
    return num_parse(slice_sub(x->s, start, x->pos - start), &v) ? v : -1;
}

/* ^2, and what may not be: ~1. */
static struct err *take_tail(struct parsing *x, bool is_phrase)
{
    if (x->opts->is_simple)
        return NULL;
    if (take(x, "~") && (take_number(x) != 0 || !is_phrase))
        return err_new(ERR_UNSUPPORTED, "query_string: at %zu: %s (~) is not supported", x->pos,
                       is_phrase ? "slop of a phrase" : "a fuzzy word");
    if (take(x, "^") && take_number(x) < 0)
        return fail(x, "a number is expected behind ^");
    return NULL;
}

/* What makes a node for one field. */
struct value {
    enum esquery_kind kind;
    struct slice text; /* PHRASE: to be taken apart; WILDCARD, REGEXP: the pattern */
    struct esrange_bound min, max;
};

static struct err *node_of(struct parsing *x, const struct value *v, struct slice field,
                           struct esquery **ret)
{
    struct esquery_parser *p = x->p;
    struct esquery *q;
    struct err *e;

    if (v->kind == ESQUERY_WILDCARD && slice_eq_cstr(v->text, "*") && field.len)
        return esquery_new(p, ESQUERY_EXISTS, field, ret);
    if (v->kind == ESQUERY_WILDCARD && slice_eq_cstr(v->text, "*"))
        return esquery_new(p, ESQUERY_ALL, field, ret);
    if ((e = esquery_new(p, v->kind, field, &q)))
        return e;
    *ret = q;
    switch (v->kind) {
    case ESQUERY_WILDCARD:
        return esquery_set_pattern(p, q, v->text);
    case ESQUERY_REGEXP:
        return esquery_set_regexp(p, q, v->text);
    case ESQUERY_RANGE:
        return esquery_set_range(p, q, &v->min, &v->max, SLICE_EMPTY, x->opts->zone);
    default:
        if (esquery_is_time(q))
            return esquery_set_time(p, q, v->text, x->opts->zone);
        esquery_set_words(p, q, v->text);
        return NULL;
    }
}

/* In each of the fields that it may be in. */
static struct err *nodes_of(struct parsing *x, const struct value *v, struct esquery **ret)
{
    struct esquery *any, *one;
    struct err *e;

    if (x->field.ptr)
        return node_of(x, v, x->field, ret);
    if (x->opts->n_fields == 0)
        return node_of(x, v, SLICE_EMPTY, ret);
    if (x->opts->n_fields == 1)
        return node_of(x, v, x->opts->fields[0], ret);
    if ((e = esquery_new(x->p, ESQUERY_BOOL, SLICE_EMPTY, &any)))
        return e;
    any->min_should = 1;
    for (size_t i = 0; i < x->opts->n_fields; i++) {
        if ((e = node_of(x, v, x->opts->fields[i], &one)))
            return e;
        esqueries_add(x->p, &any->should, one);
    }
    *ret = any;
    return NULL;
}

static struct err *take_phrase(struct parsing *x, struct slice *ret)
{
    size_t start = ++x->pos;

    while (byte_at(x, x->pos) >= 0 && byte_at(x, x->pos) != '"')
        x->pos += byte_at(x, x->pos) == '\\' ? 2 : 1;
    if (byte_at(x, x->pos) < 0) {
        x->pos = start - 1;
        return fail(x, "a phrase is not closed");
    }
    *ret = without_backslashes(x->p->arena, slice_sub(x->s, start, x->pos - start));
    x->pos++;
    return NULL;
}

static struct err *take_bound(struct parsing *x, struct esrange_bound *ret)
{
    size_t start;

    ret->is_given = true;
    if (skip_space(x) == '"')
        return take_phrase(x, &ret->text);
    start = x->pos;
    while (byte_at(x, x->pos) >= 0 && !is_space(byte_at(x, x->pos)) && byte_at(x, x->pos) != ']' &&
           byte_at(x, x->pos) != '}')
        x->pos += byte_at(x, x->pos) == '\\' ? 2 : 1;
    x->pos = ORR_MIN(x->pos, x->s.len);
    ret->text = without_backslashes(x->p->arena, slice_sub(x->s, start, x->pos - start));
    return ret->text.len ? NULL : fail(x, "a bound of the range is expected");
}

/* [a TO b] */
static struct err *take_range(struct parsing *x, struct value *v)
{
    struct err *e;
    int c;

    v->kind = ESQUERY_RANGE;
    v->min.is_excluded = byte_at(x, x->pos++) == '{';
    if ((e = take_bound(x, &v->min)))
        return e;
    (void)skip_space(x);
    if (!take_word(x, "TO"))
        return fail(x, "TO is expected in the range");
    if ((e = take_bound(x, &v->max)))
        return e;
    if ((c = skip_space(x)) != ']' && c != '}')
        return fail(x, "the range is not closed");
    v->max.is_excluded = c == '}';
    x->pos++;
    return NULL;
}

/* >=5 */
static struct err *take_compared(struct parsing *x, struct value *v)
{
    bool is_min = byte_at(x, x->pos++) == '>';
    bool is_excluded = !take(x, "=");
    struct esrange_bound *b = is_min ? &v->min : &v->max;
    bool has_pattern;
    struct err *e;

    v->kind = ESQUERY_RANGE;
    b->is_given = true;
    b->is_excluded = is_excluded;
    if (skip_space(x) == '"') {
        if ((e = take_phrase(x, &b->text)))
            return e;
    } else {
        size_t start = x->pos;

        /* A time has colons. */
        do
            (void)raw_word(x, &has_pattern);
        while (take(x, ":"));
        b->text = without_backslashes(x->p->arena, slice_sub(x->s, start, x->pos - start));
    }
    return b->text.len ? NULL : fail(x, "a value is expected behind the comparison");
}

static struct err *take_regexp(struct parsing *x, struct value *v)
{
    size_t start = ++x->pos;

    while (byte_at(x, x->pos) >= 0 && byte_at(x, x->pos) != '/')
        x->pos += byte_at(x, x->pos) == '\\' ? 2 : 1;
    if (byte_at(x, x->pos) < 0) {
        x->pos = start - 1;
        return fail(x, "a / begins a regexp, which is not closed; put \\ in front of it");
    }
    v->kind = ESQUERY_REGEXP;
    v->text = slice_sub(x->s, start, x->pos - start);
    x->pos++;
    if (!ends_word(x, byte_at(x, x->pos)))
        return fail(x,
                    "a space is expected behind the regexp; if it is none, put \\ in front of /");
    return NULL;
}

static struct err *take_text(struct parsing *x, struct value *v)
{
    bool has_pattern;
    struct slice raw = raw_word(x, &has_pattern);

    if (!raw.len)
        return fail(x, "a value is expected");
    if (!x->opts->is_simple && byte_at(x, x->pos) == ':')
        return fail(x, "a second : in a value; put it in quotes or \\ in front of it");
    v->kind = has_pattern ? ESQUERY_WILDCARD : ESQUERY_PHRASE;
    v->text = has_pattern ? raw : without_backslashes(x->p->arena, raw);
    return NULL;
}

static struct err *take_value(struct parsing *x, struct esquery **ret)
{
    struct value v = {0};
    bool is_phrase = false;
    struct err *e;
    int c = byte_at(x, x->pos);

    if (c == '"') {
        v.kind = ESQUERY_PHRASE;
        is_phrase = true;
        e = take_phrase(x, &v.text);
    } else if (!x->opts->is_simple && (c == '[' || c == '{')) {
        e = take_range(x, &v);
    } else if (!x->opts->is_simple && (c == '>' || c == '<')) {
        e = take_compared(x, &v);
    } else if (!x->opts->is_simple && c == '/') {
        e = take_regexp(x, &v);
    } else {
        e = take_text(x, &v);
    }
    if (e || (e = take_tail(x, is_phrase)))
        return e;
    return nodes_of(x, &v, ret);
}

/* ---- clauses ---- */

static struct err *take_list(struct parsing *x, struct esquery **ret);

static struct err *take_group(struct parsing *x, struct esquery **ret)
{
    struct err *e;

    if (++x->depth > MAX_DEPTH)
        return err_new(ERR_LIMIT, "query_string: parentheses nest deeper than %d", MAX_DEPTH);
    x->pos++;
    if ((e = take_list(x, ret)))
        return e;
    if (skip_space(x) != ')')
        return fail(x, "a parenthesis is not closed");
    x->pos++;
    x->depth--;
    return take_tail(x, false);
}

/* The name in front of a colon; ptr NULL: there is none, and nothing was read. */
static struct err *take_field(struct parsing *x, struct slice *ret)
{
    size_t before = x->pos;
    bool has_pattern;
    struct slice raw;

    *ret = (struct slice){NULL, 0};
    if (x->opts->is_simple)
        return NULL;
    raw = raw_word(x, &has_pattern);
    if (!raw.len || byte_at(x, x->pos) != ':') {
        x->pos = before;
        return NULL;
    }
    if (has_pattern && !slice_eq_cstr(raw, "*"))
        return err_new(ERR_UNSUPPORTED,
                       "query_string: at %zu: a field's name with * or ? in it is not supported",
                       before + 1);
    x->pos++;
    *ret = without_backslashes(x->p->arena, raw);
    return NULL;
}

static struct err *take_exists(struct parsing *x, struct esquery **ret)
{
    bool has_pattern;
    struct slice raw = raw_word(x, &has_pattern);

    if (!raw.len || has_pattern)
        return fail(x, "the name of a field is expected behind _exists_:");
    return esquery_new(x->p, ESQUERY_EXISTS, without_backslashes(x->p->arena, raw), ret);
}

static struct err *take_primary(struct parsing *x, struct esquery **ret)
{
    struct slice field, before = x->field;
    struct err *e;

    if (byte_at(x, x->pos) == '(')
        return take_group(x, ret);
    if ((e = take_field(x, &field)))
        return e;
    if (!field.ptr)
        return take_value(x, ret);
    (void)skip_space(x);
    if (slice_eq_cstr(field, "_exists_"))
        return take_exists(x, ret);
    x->field = slice_eq_cstr(field, "*") ? SLICE_EMPTY : field;
    e = byte_at(x, x->pos) == '(' ? take_group(x, ret) : take_value(x, ret);
    x->field = before;
    return e;
}

static struct err *take_signed(struct parsing *x, enum sign *sign, struct esquery **ret)
{
    *sign = PLAIN;
    (void)skip_space(x);
    for (;;) {
        if (take_word(x, "NOT") || (!x->opts->is_simple && take(x, "!")) || take(x, "-"))
            *sign = *sign == PROHIBITED ? PLAIN : PROHIBITED;
        else if (!x->opts->is_simple && take(x, "+"))
            *sign = REQUIRED;
        else
            break;
        (void)skip_space(x);
    }
    if (at_end(x))
        return fail(x, "a clause is expected");
    return take_primary(x, ret);
}

static struct err *new_bool(struct parsing *x, struct esquery **ret)
{
    return esquery_new(x->p, ESQUERY_BOOL, SLICE_EMPTY, ret);
}

/* a AND b AND NOT c: one clause of its own sign as long as there is but one. */
static struct err *take_joined(struct parsing *x, enum sign *sign, struct esquery **ret)
{
    struct esquery *first, *all = NULL, *next;
    struct err *e = take_signed(x, sign, &first);
    enum sign s;

    *ret = first;
    while (!e) {
        bool is_and = take_and(x);

        /* Side by side is AND, too, where that is the default. */
        if (!is_and && (at_end(x) || !x->opts->joins_with_and))
            break;
        if (!is_and) {
            size_t before = x->pos;
            bool is_or = take_or(x);

            x->pos = before;
            if (is_or)
                break;
        }
        if (!all) {
            if ((e = new_bool(x, &all)))
                break;
            esqueries_add(x->p, *sign == PROHIBITED ? &all->must_not : &all->must, first);
            *sign = PLAIN;
            *ret = all;
        }
        if (!(e = take_signed(x, &s, &next)))
            esqueries_add(x->p, s == PROHIBITED ? &all->must_not : &all->must, next);
    }
    return e;
}

static struct err *take_list(struct parsing *x, struct esquery **ret)
{
    struct esquery *any = NULL, *q;
    enum sign sign;
    struct err *e = take_joined(x, &sign, &q);

    if (e)
        return e;
    if (at_end(x) && sign != PROHIBITED) {
        *ret = q;
        return NULL;
    }
    if ((e = new_bool(x, &any)))
        return e;
    for (;;) {
        esqueries_add(x->p,
                      sign == PROHIBITED ? &any->must_not
                      : sign == REQUIRED ? &any->must
                                         : &any->should,
                      q);
        if (at_end(x))
            break;
        (void)take_or(x);
        if ((e = take_joined(x, &sign, &q)))
            return e;
    }
    any->min_should = any->should.n && !any->must.n ? 1 : 0;
    *ret = any;
    return NULL;
}

struct err *lucene_parse(struct esquery_parser *p, struct slice text,
                         const struct lucene_opts *opts, struct esquery **ret)
{
    struct parsing x = {.p = p, .opts = opts, .s = text};
    struct err *e;

    if (text.len > ESQUERY_MAX_TEXT)
        return err_new(ERR_LIMIT, "query_string: longer than %d bytes", ESQUERY_MAX_TEXT);
    if (skip_space(&x) < 0)
        return esquery_new(p, ESQUERY_NONE, SLICE_EMPTY, ret); /* as Lucene has it */
    if ((e = take_list(&x, ret)))
        return e;
    return skip_space(&x) < 0 ? NULL : fail(&x, "there is no parenthesis to close");
}
