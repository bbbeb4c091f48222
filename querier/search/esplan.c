#include "querier/search/esplan.h"

#include "querier/search/esdoc.h"

#define MAX_FACTS 64
#define MIN_NEEDLE 2

/* A text of a line. */
struct needle {
    struct slice text;
    const struct esquery *of; /* a field that may be a label; NULL: it holds of every stream */
};

struct planning {
    struct arena *arena;
    struct esplan *plan;
    struct needle needles[MAX_FACTS];
    size_t n_needles;
    const struct esquery *labels[MAX_FACTS]; /* what may be said of labels */
    size_t n_labels;
};

/* ---- needles ---- */

static void add_needle(struct planning *p, struct slice text, const struct esquery *of)
{
    if (text.len >= MIN_NEEDLE && p->n_needles < MAX_FACTS)
        p->needles[p->n_needles++] = (struct needle){text, of};
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* What JSON and logfmt write as it is. */
static bool is_safe(uint8_t c)
{
    return is_digit(c) || is_letter(c) || (c && strchr("_-.:,@ ", c));
}

static bool is_caseless(uint8_t c)
{
    return is_digit(c) || c == '_';
}

static bool are_digits(struct slice s)
{
    size_t i = 0;

    while (i < s.len && is_digit(s.ptr[i]))
        i++;
    return s.len && i == s.len;
}

/* Digits that are in the number however it is written. is_piece: there may be more behind them. */
static struct slice core_of(struct slice digits, bool is_piece)
{
    while (digits.len && digits.ptr[0] == '0')
        digits = slice_from(digits, 1);
    if (digits.len < 8 && !is_piece)
        return digits;
    digits = slice_from(digits, 1);
    while (digits.len && digits.ptr[digits.len - 1] == '0')
        digits.len--;
    return digits;
}

static void add_runs(struct planning *p, struct slice text, bool (*is_in)(uint8_t c), bool is_piece,
                     const struct esquery *of)
{
    for (size_t from = 0, to; from < text.len; from = to + 1) {
        struct slice run;

        for (to = from; to < text.len && is_in(text.ptr[to]);)
            to++;
        run = slice_sub(text, from, to - from);
        add_needle(p, are_digits(run) ? core_of(run, is_piece) : run, of);
    }
}

/* Of an exact value. */
static void add_exact(struct planning *p, struct slice text, const struct esquery *of)
{
    struct slice digits = text.len && text.ptr[0] == '-' ? slice_from(text, 1) : text;
    long double number;

    if (are_digits(digits))
        add_needle(p, core_of(digits, false), of);
    else if (!esliteral_number(text, &number))
        add_runs(p, text, is_safe, false, of);
}

/* Of a value's beginning, or of anything in it. Where that may be a number's, a point may follow any digit. */
static void add_piece(struct planning *p, const struct esquery *q, struct slice piece,
                      const struct esquery *of)
{
    if (esquery_is_text(q->field) || q->ignores_case || (piece.len && !is_letter(piece.ptr[0])))
        add_runs(p, piece, is_caseless, true, of);
    else
        add_runs(p, piece, is_safe, true, of);
}

static void add_pieces(struct planning *p, const struct esquery *q, const struct esquery *of)
{
    struct slice rest = q->literal.text;

    if (slice_find_byte(rest, '\\', 0) >= 0)
        return;
    for (size_t from = 0, to; from <= rest.len; from = to + 1) {
        for (to = from; to < rest.len && rest.ptr[to] != '*' && rest.ptr[to] != '?';)
            to++;
        add_piece(p, q, slice_sub(rest, from, to - from), of);
    }
}

static void add_words(struct planning *p, const struct esquery *q, const struct esquery *of)
{
    for (size_t i = 0; i < q->n_words; i++)
        add_runs(p, q->words[i], is_caseless, q->is_prefix && i + 1 == q->n_words, of);
}

static void needles_of(struct planning *p, const struct esquery *q, const struct esquery *of)
{
    bool is_text = esquery_is_text(q->field);

    switch (q->kind) {
    case ESQUERY_WILDCARD:
        add_pieces(p, q, of);
        break;
    case ESQUERY_PREFIX:
        add_piece(p, q, q->literal.text, of);
        break;
    case ESQUERY_TERM:
        if (is_text || q->ignores_case)
            add_runs(p, q->literal.text, is_caseless, false, of);
        else
            add_exact(p, q->literal.text, of);
        break;
    case ESQUERY_MATCH:
    case ESQUERY_PHRASE:
        if (is_text && (q->kind == ESQUERY_PHRASE || q->min_words >= q->n_words))
            add_words(p, q, of);
        else if (!is_text && q->is_prefix)
            add_piece(p, q, q->literal.text, of);
        else if (!is_text)
            add_exact(p, q->literal.text, of);
        break;
    default:
        break;
    }
}

/* ---- facts ---- */

static bool is_about_label(const struct esquery *q)
{
    switch (q->kind) {
    case ESQUERY_TERM:
    case ESQUERY_PHRASE:
    case ESQUERY_MATCH:
        return !q->ignores_case && !q->is_prefix && q->literal.text.len;
    case ESQUERY_TERMS:
        return q->n_literals > 0 && q->n_literals <= 256;
    default:
        return false;
    }
}

static bool has_keyword(struct slice field)
{
    return slice_has_suffix(field, SLICE(ESQUERY_KEYWORD));
}

static void narrow_time(struct esplan *plan, const struct esrange *r)
{
    if (r->has_min && (!plan->has_from || r->from_ns > plan->from_ns))
        plan->from_ns = r->from_ns;
    if (r->has_max && (!plan->has_to || r->to_ns < plan->to_ns))
        plan->to_ns = r->to_ns;
    plan->has_from |= r->has_min;
    plan->has_to |= r->has_max;
    plan->is_nothing |= plan->has_from && plan->has_to && plan->from_ns >= plan->to_ns;
}

static void leaf(struct planning *p, const struct esquery *q)
{
    struct slice f = q->field;

    if (slice_eq_cstr(f, ESQUERY_TIME)) {
        if (q->kind == ESQUERY_RANGE)
            narrow_time(p->plan, &q->range);
        return;
    }
    if (slice_eq_cstr(f, ESQUERY_ID) || q->kind == ESQUERY_RANGE || q->kind == ESQUERY_EXISTS ||
        q->kind == ESQUERY_REGEXP)
        return;
    if (esquery_is_text(f) || (!labels_is_legacy_name(f) && !has_keyword(f) &&
                               !slice_has_prefix(f, SLICE(ESDOC_ATTRIBUTES)))) {
        needles_of(p, q, NULL);
        return;
    }
    if (!labels_is_legacy_name(f))
        return;
    if (is_about_label(q) && p->n_labels < MAX_FACTS)
        p->labels[p->n_labels++] = q;
    if (!slice_eq_cstr(f, ESQUERY_INDEX) && !esdoc_is_metadata(f))
        needles_of(p, q, q);
}

/* What must hold, all of it. */
static void gather(struct planning *p, const struct esquery *q)
{
    if (q->kind == ESQUERY_NONE)
        p->plan->is_nothing = true;
    if (q->kind != ESQUERY_BOOL) {
        if (q->kind != ESQUERY_ALL && q->kind != ESQUERY_NONE)
            leaf(p, q);
        return;
    }
    for (size_t i = 0; i < q->must.n; i++)
        gather(p, q->must.ptr[i]);
    for (size_t i = 0; i < q->should.n && q->min_should >= q->should.n; i++)
        gather(p, q->should.ptr[i]);
    p->plan->is_nothing |= q->min_should > q->should.n;
}

/* ---- selects ---- */

static struct err *add_matcher(struct planning *p, struct esplan_select *s, enum matcher_op op,
                               struct slice name, struct slice value)
{
    struct err *e;

    if (s->n_matchers == ESPLAN_MAX_MATCHERS)
        return NULL; /* one less only lets more lines through; esplan_make() puts what must be first */
    if (!(e = matcher_init(p->arena, op, name, value, &s->matchers[s->n_matchers])))
        s->n_matchers++;
    return e;
}

static void put_quoted(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", text.ptr[i]) && text.ptr[i])
            buf_byte(out, '\\');
        buf_byte(out, text.ptr[i]);
    }
}

/* Regexes are of UTF-8. */
static bool may_be_regex(const struct esquery *q)
{
    if (!slice_is_utf8(q->literal.text))
        return false;
    for (size_t i = 0; i < q->n_literals; i++)
        if (!slice_is_utf8(q->literals[i].text))
            return false;
    return true;
}

static void put_index(struct buf *out, struct slice name)
{
    if (!slice_eq_cstr(name, ESDOC_NO_INDEX))
        put_quoted(out, name);
}

/* The label is one of the values, or is not there (for which an index has a name). */
static struct err *add_label(struct planning *p, struct esplan_select *s, const struct esquery *q)
{
    bool is_index = slice_eq_cstr(q->field, ESQUERY_INDEX);
    struct slice name = is_index ? SLICE("index") : q->field;
    struct buf re = {0};
    struct err *e = NULL;

    if (!may_be_regex(q))
        return NULL;
    for (size_t i = 0; i < ORR_MAX(q->n_literals, (size_t)1); i++) {
        struct slice text = q->kind == ESQUERY_TERMS ? q->literals[i].text : q->literal.text;

        if (i)
            buf_byte(&re, '|');
        if (is_index)
            put_index(&re, text);
        else
            put_quoted(&re, text);
    }
    if (!is_index)
        buf_byte(&re, '|');
    if (re.len <= MATCHER_MAX_REGEX_BYTES)
        e = add_matcher(p, s, MATCHER_RE, name, arena_dup(p->arena, buf_slice(&re)));
    buf_done(&re);
    return e;
}

static void add_stage(struct esplan_select *s, struct slice needle)
{
    size_t n = s->logs.n_stages;

    if (n == ESPLAN_MAX_NEEDLES)
        return;
    s->needles[n] = (struct logql_needle){.text = needle};
    s->stages[n] = (struct logql_stage){.kind = LOGQL_STAGE_LINE,
                                        .line_op = LOGQL_LINE_HAS,
                                        .needles = &s->needles[n],
                                        .n_needles = 1};
    s->logs.stages = s->stages;
    s->logs.n_stages++;
}

/* of: the field whose needles hold in this select; the field of the others may be a label. */
static struct err *finish(struct planning *p, struct esplan_select *s, const struct esquery *of)
{
    struct err *e = NULL;

    for (size_t i = 0; i < p->n_labels && !e; i++)
        e = add_label(p, s, p->labels[i]);
    for (size_t i = 0; i < p->n_needles; i++)
        if (!p->needles[i].of || p->needles[i].of == of)
            add_stage(s, p->needles[i].text);
    s->logs.matchers = (struct matchers){s->matchers, s->n_matchers};
    return e;
}

static const struct esquery *longest(const struct planning *p)
{
    const struct esquery *ret = NULL;
    size_t best = 0;

    for (size_t i = 0; i < p->n_needles; i++)
        if (p->needles[i].text.len > best ||
            (p->needles[i].text.len == best && !p->needles[i].of)) {
            best = p->needles[i].text.len;
            ret = p->needles[i].of;
        }
    return ret;
}

/* The label of the index, of names with *. */
static struct err *add_indices(struct planning *p, struct esplan_select *s,
                               const struct slice *names, size_t n)
{
    bool may_lack = false;
    struct buf re = {0};
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++) {
        struct slice rest = names[i], piece;
        bool is_first = true;

        may_lack |= esdoc_glob(names[i], SLICE(ESDOC_NO_INDEX), false);
        if (!slice_is_utf8(names[i]))
            n = 0; /* such a name has no index; whoever looks at the documents finds that */
        buf_str(&re, i ? "|" : "");
        while (slice_split(&rest, '*', &piece)) {
            buf_str(&re, is_first ? "" : ".*");
            put_quoted(&re, piece);
            is_first = false;
        }
    }
    if (may_lack)
        buf_byte(&re, '|');
    if (n && re.len <= MATCHER_MAX_REGEX_BYTES)
        e = add_matcher(p, s, MATCHER_RE, SLICE("index"), arena_dup(p->arena, buf_slice(&re)));
    buf_done(&re);
    return e;
}

struct err *esplan_make(struct arena *a, const struct esquery *q, const struct slice *indices,
                        size_t n_indices, struct esplan *ret)
{
    struct planning p = {.arena = a, .plan = ret};
    const struct esquery *of;
    struct err *e = NULL;

    memset(ret, 0, sizeof(*ret));
    gather(&p, q);
    of = longest(&p);
    ret->n_selects = of ? 2 : 1;
    if (of && ((e = add_matcher(&p, &ret->selects[0], MATCHER_EQ, of->field, SLICE_EMPTY)) ||
               (e = add_matcher(&p, &ret->selects[1], MATCHER_NE, of->field, SLICE_EMPTY))))
        return e;
    for (size_t i = 0; i < ret->n_selects && !e; i++)
        if (!(e = add_indices(&p, &ret->selects[i], indices, n_indices)))
            e = finish(&p, &ret->selects[i], i == 0 ? of : NULL);
    return e;
}

void esplan_done(struct esplan *p)
{
    for (size_t s = 0; s < p->n_selects; s++)
        for (size_t i = 0; i < p->selects[s].n_matchers; i++)
            matcher_done(&p->selects[s].matchers[i]);
}
