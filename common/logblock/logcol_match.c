#include "common/logblock/logcol_internal.h"

struct logcol_ask logcol_ask_of(enum logcol_op op, struct slice text)
{
    struct logcol_ask a = {.op = op, .text = text};

    if (op == LOGCOL_HOLDS)
        a.find = textfind_of(text);
    return a;
}

static bool is_so(const struct logcol_ask *ask, struct slice s)
{
    switch (ask->op) {
    case LOGCOL_HOLDS:
        return textfind_in(&ask->find, s, 0) >= 0;
    case LOGCOL_BEGINS:
        return slice_has_prefix(s, ask->text);
    case LOGCOL_ENDS:
        return slice_has_suffix(s, ask->text);
    default:
        return slice_eq(s, ask->text);
    }
}

static void set_range(uint64_t *set, uint32_t first, uint32_t n)
{
    uint32_t i = first, end = first + n;

    for (; i < end && i % 64; i++)
        logcol_set(set, i);
    for (; i + 64 <= end; i += 64)
        set[i >> 6] = UINT64_MAX;
    for (; i < end; i++)
        logcol_set(set, i);
}

static uint64_t *new_set(const struct logcol_source *src, uint32_t n)
{
    return arena_array(src->arena, uint64_t, ((size_t)n + 63) / 64);
}

/* ---- what a column cannot hold ---- */

/* Of places that vary, half a byte each: what has to be there. */
struct hex_lie {
    size_t n; /* bytes of a value */
    uint8_t mask[LOGCOL_MAX_HEX / 2], want[LOGCOL_MAX_HEX / 2];
};

/* The text from this place on. False: no value has it there, whatever those places hold that vary. */
static bool hex_lie_at(const struct logcol *c, struct slice text, size_t first, struct hex_lie *ret)
{
    const uint8_t *still = c->hex.still;

    *ret = (struct hex_lie){.n = (c->hex.n_vary + 1u) / 2};
    for (size_t k = 0, at = 0; k < first + text.len; k++) {
        bool is_asked = k >= first;
        int digit = is_asked ? logcol_hex_digits[c->hex.is_upper][text.ptr[k - first]] - 1 : 0;
        unsigned shift = at % 2 ? 0 : 4;

        if (!c->hex.vary[k]) {
            if (is_asked && *still != text.ptr[k - first])
                return false;
            still++;
            continue;
        }
        if (digit < 0)
            return false;
        if (is_asked) {
            ret->mask[at / 2] |= (uint8_t)(15u << shift);
            ret->want[at / 2] |= (uint8_t)((unsigned)digit << shift);
        }
        at++;
    }
    return true;
}

/* The places where a text may begin, as far as lengths tell: from … to - 1. */
static void hex_places(const struct logcol *c, const struct logcol_ask *ask, size_t *ret_from,
                       size_t *ret_to)
{
    size_t len = ask->text.len, last = c->hex.len - ORR_MIN(len, (size_t)c->hex.len);

    *ret_from = ask->op == LOGCOL_ENDS ? last : 0;
    *ret_to = ask->op == LOGCOL_HOLDS || ask->op == LOGCOL_ENDS ? last + 1 : 1;
    if (len > c->hex.len || (ask->op == LOGCOL_IS && len != c->hex.len))
        *ret_to = *ret_from;
}

static bool may_hex(const struct logcol *c, const struct logcol_ask *ask)
{
    size_t from, to;
    struct hex_lie lie;

    for (hex_places(c, ask, &from, &to); from < to; from++)
        if (hex_lie_at(c, ask->text, from, &lie))
            return true;
    return false;
}

/* The bytes that texts of a kind are made of. */
static void add_bytes(bool *set, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        set[s.ptr[i]] = true;
}

static bool is_of_its_bytes(const struct logcol *c, const struct logcol_ask *ask)
{
    bool set[256] = {0};

    add_bytes(set, SLICE("0123456789"));
    switch (c->kind) {
    case LOGCOL_NUMBER:
        add_bytes(set, SLICE("-."));
        break;
    case LOGCOL_ADDRESS:
        add_bytes(set, SLICE("."));
        break;
    case LOGCOL_HEX:
        add_bytes(set, c->hex.is_upper ? SLICE("ABCDEF") : SLICE("abcdef"));
        add_bytes(set, slice_of(c->hex.still, c->hex.len - c->hex.n_vary));
        break;
    default:
        add_bytes(set, SLICE("-:/JanFebMarAprMayJunJulAugSepOctNovDec"));
        set[c->stamp.form.between] = set[c->stamp.form.point] = true;
        add_bytes(set, c->stamp.form.tail);
    }
    add_bytes(set, c->prefix);
    add_bytes(set, c->suffix);
    for (size_t i = 0; i < ask->text.len; i++)
        if (!set[ask->text.ptr[i]])
            return false;
    return true;
}

/* By the dictionary as it stands in the tree. */
static bool may_dict(const struct logcol *c, const struct logcol_ask *ask)
{
    struct reader lengths = reader_new(c->dict.texts), texts = lengths;

    for (uint32_t i = 0; i < c->n_texts; i++)
        (void)reader_uvarint(&texts);
    for (uint32_t i = 0; i < c->n_texts; i++)
        if (is_so(ask, reader_bytes(&texts, reader_uvarint(&lengths))))
            return true;
    return !reader_ok(&texts); /* broken: whoever loads it will say so */
}

/* One way in which a text may lie over variable k and what is around it: then the variable must be so,
 * or (is_long) it goes on into the next variable, and nothing less than the whole value will do. */
struct lie {
    enum logcol_op op;
    struct slice text;
    bool is_long;
};
/* False: that is enough. */
typedef bool lie_fn(void *arg, uint32_t k, const struct lie *l);

/* rest lies behind the variable, which is (or ends in) what is in l. */
static bool lie_behind(const struct logcol_template *m, uint32_t k, struct slice rest,
                       struct lie *l)
{
    struct slice next = logcol_behind(m, k);

    if (rest.len <= next.len)
        return memcmp(rest.ptr, next.ptr, rest.len) == 0;
    l->is_long = true;
    return k + 1 < m->n_vars && (next.len == 0 || memcmp(rest.ptr, next.ptr, next.len) == 0);
}

/* The text begins in what is before the variable, or at its very beginning if at is 0, and reaches it. */
static bool each_lie_from_before(const struct logcol_template *m, uint32_t k, struct slice text,
                                 lie_fn *fn, void *arg)
{
    struct slice before = m->vars[k].before;

    for (size_t j = 1; j < text.len && j <= before.len; j++) {
        struct slice rest = slice_from(text, j);
        struct lie l = {LOGCOL_BEGINS, rest, false};

        if (memcmp(before.ptr + before.len - j, text.ptr, j) != 0)
            continue;
        if (!fn(arg, k, &l))
            return false;
        for (size_t q = 0; q < rest.len; q++) {
            l = (struct lie){LOGCOL_IS, slice_sub(rest, 0, q), false};
            if (lie_behind(m, k, slice_from(rest, q), &l) && !fn(arg, k, &l))
                return false;
        }
    }
    return true;
}

/* The text begins in the variable and goes on behind it. */
static bool each_lie_from_within(const struct logcol_template *m, uint32_t k, struct slice text,
                                 lie_fn *fn, void *arg)
{
    for (size_t j = 1; j < text.len; j++) {
        struct lie l = {LOGCOL_ENDS, slice_sub(text, 0, j), false};

        if (lie_behind(m, k, slice_from(text, j), &l) && !fn(arg, k, &l))
            return false;
    }
    return true;
}

static bool each_lie(const struct logcol_template *m, struct slice text, lie_fn *fn, void *arg)
{
    for (uint32_t k = 0; k < m->n_vars; k++)
        if (!each_lie_from_before(m, k, text, fn, arg) ||
            !each_lie_from_within(m, k, text, fn, arg))
            return false;
    return true;
}

static bool is_in_template(const struct logcol_template *m, const struct logcol_ask *ask)
{
    for (uint32_t k = 0; k < m->n_vars; k++)
        if (is_so(ask, m->vars[k].before))
            return true;
    return is_so(ask, m->tail);
}

struct may_lie {
    struct logcol *c;
    const struct logcol_template *m;
    bool may;
};

static bool may_lie(void *arg, uint32_t k, const struct lie *l)
{
    struct may_lie *w = arg;
    struct logcol_ask ask = logcol_ask_of(l->op, l->text);

    w->may = l->is_long || logcol_may(&w->c->cols[w->m->vars[k].col], &ask);
    return !w->may;
}

bool logcol_may_template(struct logcol *c, const struct logcol_ask *ask)
{
    for (uint32_t t = 0; t < c->words.n_templates; t++) {
        struct may_lie w = {.c = c, .m = &c->words.templates[t]};

        if (is_in_template(w.m, ask))
            return true;
        (void)each_lie(w.m, ask->text, may_lie, &w);
        if (w.may)
            return true;
    }
    return false;
}

static bool may_words(struct logcol *c, const struct logcol_ask *ask)
{
    if (ask->op != LOGCOL_HOLDS)
        return true;
    for (uint32_t k = 0; k < c->words.n_cols; k++)
        if (logcol_may(&c->cols[k], ask))
            return true;
    return logcol_may_template(c, ask);
}

/* Whether the text can lie over the end of a line. */
static bool touches(struct slice separator, struct slice text)
{
    for (size_t i = 0; i < separator.len; i++)
        if (memchr(text.ptr, separator.ptr[i], text.len))
            return true;
    return false;
}

bool logcol_may(struct logcol *c, const struct logcol_ask *ask)
{
    if (ask->text.len == 0)
        return c->n > 0;
    switch (c->kind) {
    case LOGCOL_NONE:
        return false;
    case LOGCOL_CONST:
        return c->has_affixes || is_so(ask, c->value);
    case LOGCOL_DICT:
        return c->has_affixes || may_dict(c, ask);
    case LOGCOL_TEXT:
        return true;
    case LOGCOL_LINES:
        return ask->op != LOGCOL_HOLDS || touches(c->lines.separator, ask->text) ||
               c->has_affixes || logcol_may(c->cols, ask);
    case LOGCOL_WORDS:
        return c->has_affixes || may_words(c, ask);
    case LOGCOL_HEX:
        return c->has_affixes ? is_of_its_bytes(c, ask) : may_hex(c, ask);
    default:
        return is_of_its_bytes(c, ask);
    }
}

/* ---- the values that do ---- */

/* What nothing better is known for: values as texts. Only those in only, if that is given. */
static struct err *match_texts(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, const uint64_t *only, uint64_t *set)
{
    struct buf text = {0};
    struct err *e = logcol_load_all(src, c);

    text.max_bytes = src->max_text + 1024; /* some is asked for and not used */
    for (uint32_t i = 0; !e && i < c->n; i++) {
        if (only && !logcol_has(only, i))
            continue;
        buf_reset(&text);
        logcol_put(c, i, &text);
        if (!buf_ok(&text))
            e = err_new(ERR_CORRUPT, "log column: a value is longer than it can be");
        else if (is_so(ask, buf_slice(&text)))
            logcol_set(set, i);
    }
    buf_done(&text);
    return e;
}

static struct err *match_dict(const struct logcol_source *src, struct logcol *c,
                              const struct logcol_ask *ask, uint64_t *set)
{
    bool *hits;
    struct err *e = logcol_load(src, c);

    if (e)
        return e;
    hits = arena_array(src->arena, bool, c->n_texts);
    for (uint32_t k = 0; k < c->n_texts; k++)
        hits[k] = is_so(ask, logcol_text(c, k));
    for (uint32_t i = 0; i < c->n; i++)
        set[i >> 6] |= (uint64_t)hits[c->which[i]] << (i & 63);
    return NULL;
}

/* All texts in one go; what lies over the end of one is none. */
static void hold_text(const struct logcol *c, const struct logcol_ask *ask, uint64_t *set)
{
    struct slice all = slice_of(c->bytes, c->ends[c->n - 1]);
    size_t at = 0;
    uint32_t i = 0;
    ptrdiff_t hit;

    while ((hit = textfind_in(&ask->find, all, at)) >= 0) {
        while (c->ends[i] <= (size_t)hit)
            i++;
        if ((size_t)hit + ask->text.len <= c->ends[i]) {
            logcol_set(set, i);
            at = c->ends[i];
        } else {
            at = (size_t)hit + 1;
        }
    }
}

static struct err *match_text(const struct logcol_source *src, struct logcol *c,
                              const struct logcol_ask *ask, uint64_t *set)
{
    struct err *e = logcol_load(src, c);

    if (e)
        return e;
    if (ask->op == LOGCOL_HOLDS)
        hold_text(c, ask, set);
    else
        for (uint32_t i = 0; i < c->n; i++)
            if (is_so(ask, logcol_text(c, i)))
                logcol_set(set, i);
    return NULL;
}

static bool has_lie(const struct hex_lie *lie, const uint8_t *value)
{
    for (size_t i = 0; i < lie->n; i++)
        if ((value[i] & lie->mask[i]) != lie->want[i])
            return false;
    return true;
}

/* Values as they are stored, and not as texts: that is most of what a search for an id does. */
static struct err *match_hex(const struct logcol_source *src, struct logcol *c,
                             const struct logcol_ask *ask, uint64_t *set)
{
    struct err *e = logcol_load(src, c);
    struct hex_lie lie;
    size_t from, to;

    for (hex_places(c, ask, &from, &to); !e && from < to; from++) {
        if (!hex_lie_at(c, ask->text, from, &lie))
            continue;
        for (uint32_t i = 0; i < c->n; i++)
            if (has_lie(&lie, c->bytes + (size_t)i * lie.n))
                logcol_set(set, i);
    }
    return e;
}

static struct err *match_lines(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, uint64_t *set)
{
    uint64_t *lines = new_set(src, c->lines.n);
    struct err *e = logcol_match(src, c->cols, ask, lines);

    if (!e)
        e = logcol_load(src, c);
    for (uint32_t i = 0, k = 0; !e && i < c->n; i++)
        for (; k < c->ends[i]; k++)
            if (logcol_has(lines, k))
                logcol_set(set, i);
    return e;
}

/* ---- words ---- */

struct match_words {
    const struct logcol_source *src;
    struct logcol *c;
    const struct logcol_template *m;
    uint64_t *set, *whole; /* whole: values that must be looked at as texts */
    struct err *e;
};

/* Values of the template whose variable is in the set of its column. */
static struct err *add_values(struct match_words *w, const struct logcol_var *v,
                              const uint64_t *of_col)
{
    struct err *e = logcol_load(w->src, w->c);

    for (uint32_t r = 0; !e && r < w->m->n; r++)
        if (logcol_has(of_col, v->base + r))
            logcol_set(w->set, w->c->order ? w->c->order[w->m->first + r] : r);
    return e;
}

static struct err *add_template(struct match_words *w, uint64_t *set)
{
    struct err *e = logcol_load(w->src, w->c);

    if (!e && !w->c->order)
        set_range(set, 0, w->c->n);
    for (uint32_t r = 0; !e && w->c->order && r < w->m->n; r++)
        logcol_set(set, w->c->order[w->m->first + r]);
    return e;
}

static bool match_lie(void *arg, uint32_t k, const struct lie *l)
{
    struct match_words *w = arg;
    const struct logcol_var *v = &w->m->vars[k];
    struct logcol_ask ask = logcol_ask_of(l->op, l->text);
    struct logcol *col = &w->c->cols[v->col];
    uint64_t *of_col;

    if (!logcol_may(col, &ask))
        return true;
    if (l->is_long) {
        if (!w->whole)
            w->whole = new_set(w->src, w->c->n);
        w->e = add_template(w, w->whole);
        return false;
    }
    of_col = new_set(w->src, col->n);
    w->e = logcol_match(w->src, col, &ask, of_col);
    if (!w->e)
        w->e = add_values(w, v, of_col);
    return !w->e;
}

static struct err *match_template(struct match_words *w, const struct logcol_ask *ask,
                                  uint64_t *const *of_cols)
{
    if (is_in_template(w->m, ask))
        return add_template(w, w->set);
    for (uint32_t k = 0; !w->e && k < w->m->n_vars; k++)
        if (of_cols[w->m->vars[k].col])
            w->e = add_values(w, &w->m->vars[k], of_cols[w->m->vars[k].col]);
    if (!w->e)
        (void)each_lie(w->m, ask->text, match_lie, w);
    return w->e;
}

static bool is_empty(const uint64_t *set, uint32_t n)
{
    for (size_t i = 0; i < ((size_t)n + 63) / 64; i++)
        if (set[i])
            return false;
    return true;
}

static struct err *match_words(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, uint64_t *set)
{
    struct match_words w = {.src = src, .c = c, .set = set};
    uint64_t **of_cols = arena_array(src->arena, uint64_t *, c->words.n_cols);
    struct err *e = NULL;

    for (uint32_t k = 0; !e && k < c->words.n_cols; k++) {
        if (!logcol_may(&c->cols[k], ask))
            continue;
        of_cols[k] = new_set(src, c->cols[k].n);
        e = logcol_match(src, &c->cols[k], ask, of_cols[k]);
        if (!e && is_empty(of_cols[k], c->cols[k].n))
            of_cols[k] = NULL;
    }
    for (uint32_t t = 0; !e && t < c->words.n_templates; t++) {
        w.m = &c->words.templates[t];
        e = match_template(&w, ask, of_cols);
    }
    if (!e && w.whole)
        e = match_texts(src, c, ask, w.whole, set);
    return e;
}

struct err *logcol_match(const struct logcol_source *src, struct logcol *c,
                         const struct logcol_ask *ask, uint64_t *set)
{
    if (arena_over(src->arena))
        return err_new(ERR_LIMIT, "log search needs more memory than the query may hold");
    if (ask->text.len == 0 && ask->op != LOGCOL_IS) {
        set_range(set, 0, c->n);
        return NULL;
    }
    if (!logcol_may(c, ask))
        return NULL;
    if (c->has_affixes)
        return match_texts(src, c, ask, NULL, set);
    switch (c->kind) {
    case LOGCOL_NONE:
        return NULL;
    case LOGCOL_CONST:
        if (is_so(ask, c->value))
            set_range(set, 0, c->n);
        return NULL;
    case LOGCOL_DICT:
        return match_dict(src, c, ask, set);
    case LOGCOL_TEXT:
        return match_text(src, c, ask, set);
    case LOGCOL_LINES:
        if (ask->op == LOGCOL_HOLDS && !touches(c->lines.separator, ask->text))
            return match_lines(src, c, ask, set);
        return match_texts(src, c, ask, NULL, set);
    case LOGCOL_WORDS:
        if (ask->op == LOGCOL_HOLDS)
            return match_words(src, c, ask, set);
        return match_texts(src, c, ask, NULL, set);
    case LOGCOL_HEX:
        return match_hex(src, c, ask, set);
    default:
        return match_texts(src, c, ask, NULL, set);
    }
}
