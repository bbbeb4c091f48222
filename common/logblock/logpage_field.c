#include <math.h>

#include "common/base/num.h"
#include "common/logblock/logpage_internal.h"
#include "common/logs/jsonline.h"
#include "common/logs/logfmt.h"

/* Values of a template that are the field's: values [base, base + template's) of col. */
struct piece {
    const struct logcol_template *m;
    struct logcol *col;
    uint32_t base;
};

struct logpage_field {
    struct piece *pieces;
    uint32_t n_pieces;
};

static bool is_of_stage(const struct logcol *col, enum logpage_stage stage)
{
    if (stage == LOGPAGE_JSON)
        return col->var == LOGSKEL_JSON_STRING || col->var == LOGSKEL_JSON_WORD;
    return col->var == LOGSKEL_LOGFMT || col->var == LOGSKEL_LOGFMT_QUOTED;
}

/* How often a line of the template gives the name; the last variable that does. */
static unsigned find_var(const struct logcol *root, const struct logcol_template *m,
                         enum logpage_stage stage, struct slice name, uint32_t *ret)
{
    unsigned n = 0;

    for (uint32_t k = 0; k < m->n_vars; k++) {
        const struct logcol *col = &root->cols[m->vars[k].col];

        if (slice_eq(col->name, name) && is_of_stage(col, stage)) {
            *ret = k;
            n++;
        }
    }
    return n;
}

enum given { IS_ABSENT, IS_UNKNOWN, IS_GIVEN };

static enum given find_piece(const struct logcol *root, const struct logcol_template *m,
                             enum logpage_stage stage, struct slice name, struct piece *ret)
{
    uint8_t kind = stage == LOGPAGE_JSON ? LOGSKEL_JSON : LOGSKEL_LOGFMT_PAIRS;
    uint32_t k = 0;
    unsigned n;

    if (m->kind != kind)
        return IS_UNKNOWN;
    n = find_var(root, m, stage, name, &k);
    if (n != 1)
        return n ? IS_UNKNOWN : IS_ABSENT;
    *ret = (struct piece){m, &root->cols[m->vars[k].col], m->vars[k].base};
    return IS_GIVEN;
}

/* ---- numbers ---- */

static const double power_of[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

/* Both are exact, so their quotient is rounded once: it is what ParseFloat gives. */
static bool is_exact(int64_t v, uint8_t part)
{
    return part == 0 || (v > -(1ll << 53) && v < 1ll << 53);
}

static double number_of(int64_t v, uint8_t part)
{
    return (double)v / power_of[part];
}

static bool is_null(const struct logcol *col, struct slice text)
{
    return col->var == LOGSKEL_JSON_WORD && slice_eq_cstr(text, "null");
}

/* Digits with at most one point in them, and a sign. */
static bool plain_number(struct slice s, double *ret)
{
    size_t i = s.len && s.ptr[0] == '-', digits = 0, points = 0;

    for (; i < s.len; i++) {
        digits += s.ptr[i] >= '0' && s.ptr[i] <= '9';
        points += s.ptr[i] == '.';
    }
    return digits && points <= 1 && digits + points + (s.ptr[0] == '-') == s.len &&
           s.ptr[s.len - 1] != '.' && s.ptr[s.ptr[0] == '-'] != '.' && num_parse(s, ret);
}

/* One that null is NaN of, as it is no value. */
static bool number_or_null(const struct logcol *col, struct slice text, double *ret)
{
    *ret = NAN;
    return is_null(col, text) || plain_number(text, ret);
}

/* A template of a field's values that is the value itself, or one text. */
static bool is_whole(const struct logcol_template *m)
{
    return m->n_vars == 0 || (m->n_vars == 1 && m->vars[0].before.len == 0 && m->tail.len == 0);
}

static struct err *numbers_of(const struct logcol_source *src, struct logcol *named,
                              struct logcol *c, double *to, bool *ok);

static struct err *numbers_of_words(const struct logcol_source *src, struct logcol *named,
                                    struct logcol *c, double *to, bool *ok)
{
    double **of_cols = arena_array(src->arena, double *, c->words.n_cols);
    struct err *e = NULL;

    for (uint32_t t = 0; !e && *ok && t < c->words.n_templates; t++) {
        const struct logcol_template *m = &c->words.templates[t];
        double fixed = NAN;

        if (!is_whole(m) || (m->n_vars == 0 && !number_or_null(named, m->tail, &fixed))) {
            *ok = false;
            break;
        }
        if (m->n_vars == 1 && !of_cols[m->vars[0].col]) {
            struct logcol *child = &c->cols[m->vars[0].col];

            of_cols[m->vars[0].col] = arena_array(src->arena, double, child->n);
            e = numbers_of(src, named, child, of_cols[m->vars[0].col], ok);
        }
        for (uint32_t r = 0; !e && *ok && r < m->n; r++)
            to[c->order ? c->order[m->first + r] : r] =
                m->n_vars ? of_cols[m->vars[0].col][m->vars[0].base + r] : fixed;
    }
    return e;
}

/* All values of a column, NaN for null; *ok is false if one is no plain number. */
static struct err *numbers_of(const struct logcol_source *src, struct logcol *named,
                              struct logcol *c, double *to, bool *ok)
{
    double *of_texts, v;
    struct err *e = NULL;

    *ok = !c->has_affixes;
    if (!*ok || (e = logcol_load(src, c)))
        return e;
    switch (c->kind) {
    case LOGCOL_CONST:
        *ok = number_or_null(named, c->value, &v);
        for (uint32_t i = 0; *ok && i < c->n; i++)
            to[i] = v;
        return NULL;
    case LOGCOL_DICT:
        of_texts = arena_array(src->arena, double, c->n_texts);
        for (uint32_t k = 0; *ok && k < c->n_texts; k++)
            *ok = number_or_null(named, logcol_text(c, k), &of_texts[k]);
        for (uint32_t i = 0; *ok && i < c->n; i++)
            to[i] = of_texts[c->which[i]];
        return NULL;
    case LOGCOL_NUMBER:
        for (uint32_t i = 0; *ok && i < c->n; i++) {
            *ok = is_exact(c->ints[i], c->number.part);
            to[i] = number_of(c->ints[i], c->number.part);
        }
        return NULL;
    case LOGCOL_WORDS:
        return numbers_of_words(src, named, c, to, ok);
    default:
        *ok = false;
        return NULL;
    }
}

/* ---- a column ---- */

struct making {
    struct logpage *p;
    uint64_t *is_value, *is_unknown;
    double *num;
    double *of_col; /* of the column before */
    const struct logcol *col;
    uint64_t *nulls;
    struct logpage_column *ret;
};

static uint32_t entry_of(const struct logpage *p, const struct logcol_template *m, uint32_t r)
{
    const struct logcol *root = p->lines.root;

    return root->order ? root->order[m->first + r] : r;
}

/* Numbers of a column, or at least which of its values are null; a column may have many pieces. */
static struct err *read_column(struct making *w, struct logcol *col)
{
    struct logcol_ask null = logcol_ask_of(LOGCOL_IS, SLICE("null"));
    struct arena *a = w->p->arena;
    bool ok = false;
    struct err *e = NULL;

    if (w->col == col)
        return NULL;
    w->col = col;
    w->of_col = NULL;
    w->nulls = NULL;
    if (w->num) {
        w->of_col = arena_array(a, double, col->n);
        e = numbers_of(&w->p->lines.src, col, col, w->of_col, &ok);
        if (!ok)
            w->num = w->of_col = NULL;
    }
    if (!e && !w->of_col && col->var == LOGSKEL_JSON_WORD) {
        w->nulls = arena_array(a, uint64_t, LOGPAGE_WORDS((size_t)col->n));
        e = logcol_match(&w->p->lines.src, col, &null, w->nulls);
    }
    return e;
}

static struct err *add_piece(struct making *w, const struct piece *s)
{
    bool may_be_null = s->col->var == LOGSKEL_JSON_WORD;
    struct err *e = read_column(w, s->col);

    for (uint32_t r = 0; !e && r < s->m->n; r++) {
        uint32_t i = entry_of(w->p, s->m, r), at = s->base + r;

        if (w->of_col) {
            w->num[i] = w->of_col[at];
            if (may_be_null && isnan(w->num[i]))
                continue;
        } else if (w->nulls && logcol_has(w->nulls, at)) {
            continue;
        }
        logcol_set(w->is_value, i);
        w->ret->n_values++;
    }
    return e;
}

struct err *logpage_column(struct logpage *p, enum logpage_stage stage, struct slice name,
                           struct logpage_column *ret)
{
    struct logcol *root = p->lines.root;
    struct logpage_field *f = arena_new_of(p->arena, struct logpage_field);
    struct making w = {.p = p, .ret = ret};
    struct err *e = logcol_load(&p->lines.src, root);

    *ret = (struct logpage_column){.field = f};
    f->pieces = arena_array(p->arena, struct piece, root->words.n_templates);
    w.is_value = arena_array(p->arena, uint64_t, LOGPAGE_WORDS(p->n));
    w.is_unknown = arena_array(p->arena, uint64_t, LOGPAGE_WORDS(p->n));
    w.num = arena_array(p->arena, double, p->n);
    for (uint32_t i = 0; i < p->n; i++)
        w.num[i] = NAN;
    for (uint32_t t = 0; !e && t < root->words.n_templates; t++) {
        const struct logcol_template *m = &root->words.templates[t];
        enum given g = find_piece(root, m, stage, name, &f->pieces[f->n_pieces]);

        if (g == IS_GIVEN)
            e = add_piece(&w, &f->pieces[f->n_pieces++]);
        for (uint32_t r = 0; g == IS_UNKNOWN && r < m->n; r++)
            logcol_set(w.is_unknown, entry_of(p, m, r));
        ret->n_unknown += g == IS_UNKNOWN ? m->n : 0;
    }
    ret->is_value = w.is_value;
    ret->is_unknown = w.is_unknown;
    ret->num = w.num;
    return e;
}

static bool unquote(struct slice text, struct buf *out)
{
    struct buf quoted = {0};
    bool is_ok;

    buf_byte(&quoted, '"');
    buf_slice_append(&quoted, text);
    buf_byte(&quoted, '"');
    is_ok = logfmt_unquote(buf_slice(&quoted), out);
    buf_done(&quoted);
    return is_ok;
}

/* As the stage unescapes it: what is malformed is empty. */
static struct slice unescape(struct arena *a, const struct logcol *col, struct slice text)
{
    bool is_json = col->var == LOGSKEL_JSON_STRING;
    struct buf out = {0};
    struct slice ret = SLICE_EMPTY;

    if ((!is_json && col->var != LOGSKEL_LOGFMT_QUOTED) || slice_find_byte(text, '\\', 0) < 0)
        return text;
    if (is_json ? jsonline_unescape(text, &out) : unquote(text, &out))
        ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

struct err *logpage_column_text(struct logpage *p, const struct logpage_column *c,
                                const uint64_t *want, const struct slice **ret)
{
    struct slice *texts = arena_array(p->arena, struct slice, p->n);
    struct logpage_out o;
    struct err *e = NULL;

    logpage_out_init(&o, p, 4096);
    for (uint32_t k = 0; !e && k < c->field->n_pieces; k++) {
        const struct piece *s = &c->field->pieces[k];

        e = logcol_load_all(&p->lines.src, s->col);
        for (uint32_t r = 0; !e && r < s->m->n; r++) {
            uint32_t i = entry_of(p, s->m, r);

            if (!logpage_has(c->is_value, i) || (want && !logpage_has(want, i)))
                continue;
            e = logpage_out_put(&o, s->col, s->base + r, &texts[i]);
            if (!e)
                texts[i] = unescape(p->arena, s->col, texts[i]);
        }
    }
    *ret = texts;
    return e;
}

/* ---- by the tree alone ---- */

static void widen(struct logpage_range *r, double v)
{
    if (isnan(v))
        return; /* null is no value */
    r->min = r->has_values ? fmin(r->min, v) : v;
    r->max = r->has_values ? fmax(r->max, v) : v;
    r->has_values = true;
}

static void widen_texts(struct logpage_range *r, const struct logcol *named, const struct logcol *c)
{
    struct reader lengths = reader_new(c->dict.texts), texts = lengths;
    double v;

    for (uint32_t i = 0; i < c->n_texts; i++)
        (void)reader_uvarint(&texts);
    for (uint32_t i = 0; r->is_numeric && i < c->n_texts; i++) {
        r->is_numeric = number_or_null(named, reader_bytes(&texts, reader_uvarint(&lengths)), &v);
        if (r->is_numeric)
            widen(r, v);
    }
}

static void widen_column(struct logpage_range *r, const struct logcol *named,
                         const struct logcol *c)
{
    double v;

    r->is_numeric &= !c->has_affixes;
    switch (c->kind) {
    case LOGCOL_CONST:
        r->is_numeric &= number_or_null(named, c->value, &v);
        if (r->is_numeric)
            widen(r, v);
        break;
    case LOGCOL_DICT:
        widen_texts(r, named, c);
        break;
    case LOGCOL_NUMBER:
        widen(r, number_of(c->number.min, c->number.part));
        widen(r, number_of(c->number.max, c->number.part));
        break;
    case LOGCOL_WORDS:
        for (uint32_t t = 0; r->is_numeric && t < c->words.n_templates; t++) {
            const struct logcol_template *m = &c->words.templates[t];

            r->is_numeric = is_whole(m) && (m->n_vars || number_or_null(named, m->tail, &v));
            if (r->is_numeric && m->n_vars == 0)
                widen(r, v);
        }
        for (uint32_t k = 0; r->is_numeric && k < c->words.n_cols; k++)
            widen_column(r, named, &c->cols[k]);
        break;
    default:
        r->is_numeric = false;
    }
    r->has_values |= !r->is_numeric;
}

struct logpage_range logpage_column_range(const struct logpage *p, enum logpage_stage stage,
                                          struct slice name)
{
    const struct logcol *root = p->lines.root;
    struct logpage_range r = {.is_numeric = true};

    for (uint32_t t = 0; t < root->words.n_templates; t++) {
        struct piece s;

        switch (find_piece(root, &root->words.templates[t], stage, name, &s)) {
        case IS_UNKNOWN:
            r.has_unknown = true;
            break;
        case IS_GIVEN:
            widen_column(&r, s.col, s.col);
            break;
        default:
            break;
        }
    }
    return r;
}
