/* How a text can lie over the variables of a template and what is between them, and the values of which it does. */
#include "common/logblock/logcol_internal.h"

#define FEW_ROWS 64    /* so few values are looked at one by one */
#define MOST_CHAINS 64 /* ways to lie over several variables that are followed in a template */

/* ---- ways to lie ---- */

/* One way in which a text may lie over variable k and what is around it: then the variable must be so,
 * and (is_long) what is behind it goes on with rest: the next variable, and what is behind that. */
struct lie {
    enum logcol_op op;
    struct slice text;
    bool is_long;
    struct slice rest;
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
    l->rest = slice_from(rest, next.len);
    return k + 1 < m->n_vars && (next.len == 0 || memcmp(rest.ptr, next.ptr, next.len) == 0);
}

/* The text begins in what is before the variable, or at its very beginning if at is 0, and reaches it. */
static bool each_lie_from_before(const struct logcol_template *m, uint32_t k, struct slice text,
                                 lie_fn *fn, void *arg)
{
    struct slice before = m->vars[k].before;

    for (size_t j = 1; j < text.len && j <= before.len; j++) {
        struct slice rest = slice_from(text, j);
        struct lie l = {.op = LOGCOL_BEGINS, .text = rest};

        if (memcmp(before.ptr + before.len - j, text.ptr, j) != 0)
            continue;
        if (!fn(arg, k, &l))
            return false;
        for (size_t q = 0; q < rest.len; q++) {
            l = (struct lie){.op = LOGCOL_IS, .text = slice_sub(rest, 0, q)};
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
        struct lie l = {.op = LOGCOL_ENDS, .text = slice_sub(text, 0, j)};

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
        if (logcol_is_so(ask, m->vars[k].before))
            return true;
    return logcol_is_so(ask, m->tail);
}

/* ---- what the tree alone says ---- */

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

/* ---- the values that do ---- */

struct match_words {
    const struct logcol_source *src;
    struct logcol *c;
    const struct logcol_template *m;
    uint64_t *set, *whole; /* whole: values that must be looked at as texts */
    unsigned chains;       /* that were followed in this template */
    struct err *e;
};

static uint32_t count_of(const uint64_t *set, uint32_t n)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < (n + 63) / 64; i++)
        k += (uint32_t)__builtin_popcountll(set[i]);
    return k;
}

/* Values of the template that are in a set that has them from base on. */
static struct err *add_values(struct match_words *w, const uint64_t *set, uint32_t base)
{
    struct err *e = logcol_load(w->src, w->c);

    for (uint32_t r = 0; !e && r < w->m->n; r++)
        if (logcol_has(set, base + r))
            logcol_set(w->set, w->c->order ? w->c->order[w->m->first + r] : r);
    return e;
}

static struct err *add_template(struct match_words *w, uint64_t *set)
{
    struct err *e = logcol_load(w->src, w->c);

    if (!e && !w->c->order)
        logcol_set_range(set, 0, w->c->n);
    for (uint32_t r = 0; !e && w->c->order && r < w->m->n; r++)
        logcol_set(set, w->c->order[w->m->first + r]);
    return e;
}

/* ---- over several variables ---- */

/* Takes out of rows, which are values of the template, those whose variable k is not so. */
static void keep_rows(struct match_words *w, uint32_t k, const struct logcol_ask *ask,
                      uint64_t *rows)
{
    const struct logcol_var *v = &w->m->vars[k];
    struct logcol *col = &w->c->cols[v->col];
    uint32_t n = w->m->n, left = count_of(rows, n);
    uint64_t *is, *only;

    if (w->e || !left)
        return;
    is = logcol_new_set(w->src, col->n);
    if (left > FEW_ROWS) {
        w->e = logcol_match(w->src, col, ask, is);
    } else {
        only = logcol_new_set(w->src, col->n);
        for (uint32_t r = 0; r < n; r++)
            if (logcol_has(rows, r))
                logcol_set(only, v->base + r);
        w->e = logcol_match_texts(w->src, col, ask, only, is);
    }
    for (uint32_t r = 0; r < n; r++)
        if (!logcol_has(is, v->base + r))
            rows[r >> 6] &= ~(1ull << (r & 63));
}

static void rows_of(struct match_words *w, uint32_t k, const struct lie *l, uint64_t *ret);

/* Adds the values of the template of which variable k, and what is behind it, begin with text. */
static void add_beginning(struct match_words *w, uint32_t k, struct slice text, uint64_t *ret)
{
    struct lie l = {.op = LOGCOL_BEGINS, .text = text};

    rows_of(w, k, &l, ret);
    for (size_t q = 0; !w->e && q < text.len; q++) {
        l = (struct lie){.op = LOGCOL_IS, .text = slice_sub(text, 0, q)};
        if (lie_behind(w->m, k, slice_from(text, q), &l))
            rows_of(w, k, &l, ret);
    }
}

/* Adds the values over which the text lies so. What is last is asked for first: as a rule few are left for the others, which are looked
 * at one by one then. */
static void rows_of(struct match_words *w, uint32_t k, const struct lie *l, uint64_t *ret)
{
    struct logcol_ask ask = logcol_ask_of(l->op, l->text);
    uint32_t n = w->m->n;
    uint64_t *rows;

    if (w->e || w->chains > MOST_CHAINS || !logcol_may(&w->c->cols[w->m->vars[k].col], &ask) ||
        ++w->chains > MOST_CHAINS)
        return;
    rows = logcol_new_set(w->src, n);
    if (l->is_long)
        add_beginning(w, k + 1, l->rest, rows);
    else
        logcol_set_range(rows, 0, n);
    keep_rows(w, k, &ask, rows);
    for (uint32_t i = 0; i < (n + 63) / 64; i++)
        ret[i] |= rows[i];
}

/* False: there are too many ways, and all values of the template will be looked at as texts. */
static bool match_long(struct match_words *w, uint32_t k, const struct lie *l)
{
    uint64_t *rows = logcol_new_set(w->src, w->m->n);

    rows_of(w, k, l, rows);
    if (w->e)
        return false;
    if (w->chains > MOST_CHAINS) {
        if (!w->whole)
            w->whole = logcol_new_set(w->src, w->c->n);
        w->e = add_template(w, w->whole);
        return false;
    }
    if (count_of(rows, w->m->n))
        w->e = add_values(w, rows, 0);
    return !w->e;
}

/* ---- a column ---- */

static bool match_lie(void *arg, uint32_t k, const struct lie *l)
{
    struct match_words *w = arg;
    const struct logcol_var *v = &w->m->vars[k];
    struct logcol_ask ask = logcol_ask_of(l->op, l->text);
    struct logcol *col = &w->c->cols[v->col];
    uint64_t *of_col;

    if (!logcol_may(col, &ask))
        return true;
    if (l->is_long)
        return match_long(w, k, l);
    of_col = logcol_new_set(w->src, col->n);
    w->e = logcol_match(w->src, col, &ask, of_col);
    if (!w->e)
        w->e = add_values(w, of_col, v->base);
    return !w->e;
}

static struct err *match_template(struct match_words *w, const struct logcol_ask *ask,
                                  uint64_t *const *of_cols)
{
    w->chains = 0;
    if (is_in_template(w->m, ask))
        return add_template(w, w->set);
    for (uint32_t k = 0; !w->e && k < w->m->n_vars; k++) {
        const struct logcol_var *v = &w->m->vars[k];

        if (of_cols[v->col])
            w->e = add_values(w, of_cols[v->col], v->base);
    }
    if (!w->e)
        (void)each_lie(w->m, ask->text, match_lie, w);
    return w->e;
}

struct err *logcol_match_words(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, uint64_t *set)
{
    struct match_words w = {.src = src, .c = c, .set = set};
    uint64_t **of_cols = arena_array(src->arena, uint64_t *, c->words.n_cols);
    struct err *e = NULL;

    for (uint32_t k = 0; !e && k < c->words.n_cols; k++) {
        if (!logcol_may(&c->cols[k], ask))
            continue;
        of_cols[k] = logcol_new_set(src, c->cols[k].n);
        e = logcol_match(src, &c->cols[k], ask, of_cols[k]);
        if (!e && !count_of(of_cols[k], c->cols[k].n))
            of_cols[k] = NULL;
    }
    for (uint32_t t = 0; !e && t < c->words.n_templates; t++) {
        w.m = &c->words.templates[t];
        e = match_template(&w, ask, of_cols);
    }
    if (!e && w.whole)
        e = logcol_match_texts(src, c, ask, w.whole, set);
    return e;
}
