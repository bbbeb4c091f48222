#include <stdlib.h>

#include "common/logblock/logcol_internal.h"

#define MIN_WORDS 4 /* values: a template of fewer is none, unless nothing varies in it */

struct template
{
    uint64_t hash;
    uint32_t sample; /* the first value that is of it */
    uint32_t n_vars, n;
    uint32_t *cols; /* of each variable; LOGCOL_NO_COLUMN: it does not vary */
    uint32_t first; /* of its values in order */
    uint8_t kind;
    bool has_form;
    uint16_t id;                     /* in the node */
    const struct logskel_form *form; /* NULL: none yet, or there is none */
};
#define RECENT 4 /* templates that a value is compared with before it is looked at whole */
#define LUCK 64  /* as many failures in vain, at first */
#define NO_COLUMN UINT32_MAX

struct column {
    uint8_t var;
    struct slice name;
    struct slice *v;
    uint32_t n, cap;
};

struct words {
    struct logcol_build *b;
    const struct slice *v;
    uint32_t n;
    unsigned depth;
    enum logcol_words how;
    const struct labels *pairs; /* PAIRS */
    uint32_t *span_at;          /* of each value, in skel.spans */
    uint16_t *which;            /* template of each */
    VEC(struct template) templates;
    uint32_t *order;
    VEC(struct column) columns;
    uint32_t recent[RECENT]; /* templates with a form, the last one first; WHOLE: none */
    int luck;                /* of comparing with them: below 0, it is not worth it any more */
};

#define WHOLE 0 /* the template of what has none */

static uint64_t hash_pieces(struct slice s, const struct logskel_span *spans, uint32_t n,
                            uint8_t kind)
{
    uint64_t h = kind + 1;
    uint32_t at = 0;

    for (uint32_t k = 0; k < n; k++) {
        h = logcol_hash(h, s.ptr + at, spans[k].at - at);
        at = spans[k].at + spans[k].len;
    }
    return logcol_hash(h, s.ptr + at, s.len - at);
}

/* Of value i; NULL if no value has any so far. */
static const struct logskel_span *spans_of(const struct words *w, uint32_t i)
{
    const struct logskel_span *all = w->b->skel.spans.ptr;

    return all ? all + w->span_at[i] : NULL;
}

static bool has_pieces_of(const struct words *w, const struct template *t, struct slice s,
                          const struct logskel_span *spans, uint32_t n, uint8_t kind)
{
    struct slice o = w->v[t->sample];
    const struct logskel_span *others = spans_of(w, t->sample);
    uint32_t at = 0, other_at = 0;

    if (t->n_vars != n || t->kind != kind)
        return false;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t len = spans[k].at - at;

        if (others[k].at - other_at != len || memcmp(s.ptr + at, o.ptr + other_at, len) != 0)
            return false;
        at = spans[k].at + spans[k].len;
        other_at = others[k].at + others[k].len;
    }
    return slice_eq(slice_from(s, at), slice_from(o, other_at));
}

/* The template of value i, whose spans are the last ones; a new one if there is room. */
static uint32_t template_of(struct words *w, uint32_t i, uint8_t kind)
{
    const struct logskel_span *spans = spans_of(w, i);
    uint32_t n = (uint32_t)(w->b->skel.spans.len - w->span_at[i]), *slot;
    struct template *t;
    uint64_t h;

    h = hash_pieces(w->v[i], spans, n, kind);
    for (uint64_t at = h >> 20;; at++) {
        slot = &w->b->slots[at % LOGCOL_SLOTS];
        if (!*slot)
            break;
        t = &w->templates.ptr[*slot];
        if (t->hash == h && has_pieces_of(w, t, w->v[i], spans, n, kind))
            return *slot;
    }
    if (w->templates.len == LOGCOL_MAX_TEMPLATES)
        return WHOLE;
    t = vec_add(&w->templates);
    t->hash = h;
    t->sample = i;
    t->n_vars = n;
    t->kind = kind;
    *slot = (uint32_t)w->templates.len - 1;
    return *slot;
}

static uint8_t find_spans(struct words *w, uint32_t i)
{
    struct logskel *skel = &w->b->skel;
    uint32_t at = 0;

    switch (w->how) {
    case LOGCOL_WORDS_LOG:
        return (uint8_t)logskel_line(skel, w->v[i]);
    case LOGCOL_WORDS_COARSE:
    case LOGCOL_WORDS_FINE:
        logskel_words(skel, w->v[i], w->how == LOGCOL_WORDS_FINE);
        return w->how == LOGCOL_WORDS_FINE ? LOGSKEL_FINE : LOGSKEL_COARSE;
    default:
        for (size_t k = 0; k < w->pairs[i].n; k++) {
            const struct label *l = &w->pairs[i].ptr[k];
            struct logskel_span s = {at + (uint32_t)l->name.len, (uint32_t)l->value.len};

            vec_push(&skel->spans, s);
            at = s.at + s.len;
        }
        return LOGSKEL_PAIRS;
    }
}

static void remember(struct words *w, uint32_t template)
{
    uint32_t k = 0;

    while (k < RECENT - 1 && w->recent[k] != template)
        k++;
    memmove(w->recent + 1, w->recent, k * sizeof(*w->recent));
    w->recent[0] = template;
}

/* One of the recent templates that value i is of, whose spans are there then; WHOLE: it has to be looked at. */
static uint32_t like_recent(struct words *w, uint32_t i)
{
    for (uint32_t k = 0; k < RECENT && w->recent[k] != WHOLE && w->luck >= 0; k++) {
        if (logskel_like(&w->b->skel, w->v[i], w->templates.ptr[w->recent[k]].form)) {
            w->luck = ORR_MIN(w->luck + 2, LUCK);
            return w->recent[k];
        }
        w->luck--;
    }
    return WHOLE;
}

/* A template that comes again is worth a form. */
static void make_form(struct words *w, struct template *t)
{
    if (t->has_form || t->n < 2 || w->how == LOGCOL_WORDS_PAIRS)
        return;
    t->has_form = true;
    t->form = logskel_form_of(w->b->arena, w->v[t->sample], spans_of(w, t->sample), t->n_vars,
                              t->kind, w->how == LOGCOL_WORDS_LOG);
}

static void find_templates(struct words *w)
{
    struct logskel *skel = &w->b->skel;
    uint32_t last = WHOLE;

    memset(w->b->slots, 0, LOGCOL_SLOTS * sizeof(*w->b->slots));
    (void)vec_add(&w->templates); /* WHOLE */
    w->templates.ptr[WHOLE].kind = LOGSKEL_WHOLE;
    w->luck = LUCK;
    for (uint32_t i = 0; i < w->n; i++) {
        struct template *t;

        w->span_at[i] = (uint32_t)skel->spans.len;
        last = like_recent(w, i);
        if (last == WHOLE)
            last = template_of(w, i, find_spans(w, i));
        w->which[i] = (uint16_t)last;
        t = &w->templates.ptr[last];
        t->n++;
        make_form(w, t);
        if (t->form && w->recent[0] != last)
            remember(w, last);
    }
}

static struct slice var_of(const struct words *w, uint32_t i, uint32_t k)
{
    struct logskel_span s = w->b->skel.spans.ptr[w->span_at[i] + k];

    return slice_of(w->v[i].ptr + s.at, s.len);
}

static struct slice whole_of(const struct words *w, uint32_t i)
{
    return w->how == LOGCOL_WORDS_PAIRS ? labels_canonical_dup(w->b->arena, w->pairs[i]) : w->v[i];
}

/* Templates of too few values are given up: those values are stored whole. */
static void drop_rare(struct words *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct template *t = &w->templates.ptr[w->which[i]];

        if (w->which[i] == WHOLE || t->n >= MIN_WORDS)
            continue;
        w->templates.ptr[WHOLE].n++;
        w->which[i] = WHOLE;
    }
    for (size_t k = 1; k < w->templates.len; k++)
        if (w->templates.ptr[k].n < MIN_WORDS)
            w->templates.ptr[k].n = 0;
}

static int more_values(const void *a, const void *b)
{
    const struct template *const *x = a, *const *y = b;

    return (*x)->n != (*y)->n ? ((*x)->n < (*y)->n ? 1 : -1)
                              : ((*x)->sample > (*y)->sample) - ((*x)->sample < (*y)->sample);
}

/* Those in use, the most used first; ids accordingly. */
static uint32_t rank_templates(struct words *w, struct template ***ret)
{
    struct template **list = arena_alloc(w->b->arena, w->templates.len * sizeof(struct template *));
    uint32_t n = 0, first = 0, *at;

    VEC_FOREACH (t, &w->templates)
        if (t->n)
            list[n++] = t;
    qsort(list, n, sizeof(struct template *), more_values);
    at = arena_alloc(w->b->arena, ORR_MAX(n, 1u) * sizeof(*at));
    for (uint32_t k = 0; k < n; k++) {
        list[k]->id = (uint16_t)k;
        at[k] = list[k]->first = first;
        first += list[k]->n;
    }
    w->order = arena_alloc(w->b->arena, w->n * sizeof(*w->order));
    for (uint32_t i = 0; i < w->n; i++) {
        w->which[i] = w->templates.ptr[w->which[i]].id;
        w->order[at[w->which[i]]++] = i;
    }
    *ret = list;
    return n;
}

static uint32_t named_column(struct words *w, uint8_t var, struct slice name, uint32_t guess)
{
    struct column *c;

    for (size_t k = 0; k < w->columns.len; k++) {
        size_t at = (guess + k) % w->columns.len;

        c = &w->columns.ptr[at];
        if (c->var == var && slice_eq(c->name, name))
            return (uint32_t)at;
    }
    c = vec_add(&w->columns);
    c->var = var;
    c->name = name;
    return (uint32_t)w->columns.len - 1;
}

static bool is_constant(const struct words *w, const struct template *t, uint32_t k)
{
    struct slice first = var_of(w, w->order[t->first], k);

    for (uint32_t r = 1; r < t->n; r++)
        if (!slice_eq(var_of(w, w->order[t->first + r], k), first))
            return false;
    return true;
}

static void reserve(struct words *w, struct column *c, uint32_t n)
{
    if (c->n + n > c->cap) {
        uint32_t cap = ORR_MAX(c->n + n, c->cap * 2);

        c->v = arena_grow(w->b->arena, c->v, c->cap * sizeof(*c->v), cap * sizeof(*c->v));
        c->cap = cap;
    }
}

/* Gives each variable of the template its column, and the column the template's values. */
static void fill_columns(struct words *w, struct template *t)
{
    struct logskel *skel = &w->b->skel;
    bool has_names = t->kind == LOGSKEL_JSON || t->kind == LOGSKEL_LOGFMT_PAIRS;
    bool is_whole = t == &w->templates.ptr[WHOLE];
    uint32_t guess = 0;

    if (is_whole) {
        t->n_vars = 1;
    } else if (has_names) {
        logskel_name(skel, w->v[t->sample], t->kind, w->b->arena);
    }
    t->cols = arena_alloc(w->b->arena, ORR_MAX(t->n_vars, 1u) * sizeof(*t->cols));
    for (uint32_t k = 0; k < t->n_vars; k++) {
        struct column *c;

        if (t->kind == LOGSKEL_PAIRS) {
            t->cols[k] = named_column(w, LOGSKEL_PAIR, w->pairs[t->sample].ptr[k].name, guess);
            guess = t->cols[k] + 1;
        } else if (has_names) {
            t->cols[k] = named_column(w, skel->vars.ptr[k], skel->names.ptr[k], guess);
            guess = t->cols[k] + 1;
        } else if (!is_whole && is_constant(w, t, k)) {
            t->cols[k] = NO_COLUMN;
            continue;
        } else {
            t->cols[k] = (uint32_t)w->columns.len;
            (void)vec_add(&w->columns);
        }
        c = &w->columns.ptr[t->cols[k]];
        reserve(w, c, t->n);
        for (uint32_t r = 0; r < t->n; r++) {
            uint32_t i = w->order[t->first + r];

            c->v[c->n++] = is_whole ? whole_of(w, i) : var_of(w, i, k);
        }
    }
}

/* Parts that do not vary are one with what is around them. */
static void put_template(struct words *w, const struct template *t)
{
    bool is_whole = t == &w->templates.ptr[WHOLE];
    struct slice s = w->v[t->sample];
    uint32_t start = 0, next = 0, n = 0;

    for (uint32_t k = 0; k < t->n_vars; k++)
        n += t->cols[k] != NO_COLUMN;
    buf_uvarint(w->b->tree, t->n);
    buf_byte(w->b->tree, t->kind);
    buf_uvarint(w->b->tree, n);
    for (uint32_t k = 0; k < t->n_vars; k++) {
        struct logskel_span at = {0, 0};

        if (t->cols[k] == NO_COLUMN)
            continue;
        if (!is_whole)
            at = w->b->skel.spans.ptr[w->span_at[t->sample] + k];
        buf_lstr(w->b->tree, slice_of(s.ptr + start, at.at - start));
        buf_varint(w->b->tree, (int64_t)t->cols[k] - (int64_t)next);
        next = t->cols[k] + 1;
        start = at.at + at.len;
    }
    buf_lstr(w->b->tree, is_whole ? SLICE_EMPTY : slice_from(s, start));
}

static void put_words(struct words *w)
{
    struct logcol_build *b = w->b;
    struct template **list;
    uint32_t n = rank_templates(w, &list);

    for (uint32_t k = 0; k < n; k++)
        fill_columns(w, list[k]);
    buf_byte(b->tree, LOGCOL_WORDS);
    buf_uvarint(b->tree, n);
    buf_uvarint(b->tree, w->columns.len);
    for (uint32_t k = 0; k < n; k++)
        put_template(w, list[k]);
    if (n > 1) {
        buf_reset(&b->scratch);
        logcol_build_planes(&b->scratch, w->which, w->n, n > 256 ? 2 : 1);
        logcol_build_payload(b, buf_slice(&b->scratch));
    }
    for (size_t k = 0; k < w->columns.len; k++) {
        struct column c = w->columns.ptr[k];

        buf_byte(b->tree, c.var);
        if (c.var != LOGSKEL_PLAIN)
            buf_lstr(b->tree, c.name);
        logcol_build_node(b, c.v, c.n, w->depth + 1, LOGCOL_WORDS_FINE);
    }
}

/* Whether words are worth it: few templates, and most values have one which says something. */
static bool is_worth(const struct words *w)
{
    uint32_t n = 0;

    if (w->how == LOGCOL_WORDS_LOG)
        return true;
    for (size_t k = 1; k < w->templates.len; k++) {
        const struct template *t = &w->templates.ptr[k];

        if (t->n == w->n && t->n_vars == 1 && var_of(w, t->sample, 0).len == w->v[t->sample].len)
            return false;
        n += t->n > 0;
    }
    return n > 0 && n <= w->n / 4 + 1 && w->templates.ptr[WHOLE].n <= w->n / 2;
}

bool logcol_build_words(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                        enum logcol_words how)
{
    struct words w = {.b = b, .v = v, .n = n, .depth = depth, .how = how};
    size_t spans = b->skel.spans.len;
    bool is_good;

    if (n < 2 * MIN_WORDS && how != LOGCOL_WORDS_LOG)
        return false;
    w.span_at = arena_alloc(b->arena, n * sizeof(*w.span_at));
    w.which = arena_alloc(b->arena, n * sizeof(*w.which));
    find_templates(&w);
    drop_rare(&w);
    is_good = is_worth(&w);
    if (is_good)
        put_words(&w);
    b->skel.spans.len = spans;
    vec_done(&w.templates);
    vec_done(&w.columns);
    return is_good;
}

void logcol_build_lines(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    (void)logcol_build_words(b, v, n, 0, LOGCOL_WORDS_LOG);
}

void logcol_build_meta(struct logcol_build *b, const struct labels *v, uint32_t n)
{
    struct words w = {.b = b, .n = n, .how = LOGCOL_WORDS_PAIRS, .pairs = v};
    struct slice *texts = arena_alloc(b->arena, n * sizeof(*texts));
    struct buf *s = &b->scratch;

    for (uint32_t i = 0; i < n; i++) {
        buf_reset(s);
        for (size_t k = 0; k < v[i].n; k++) {
            buf_slice_append(s, v[i].ptr[k].name);
            buf_slice_append(s, v[i].ptr[k].value);
        }
        texts[i] = arena_dup(b->arena, buf_slice(s));
    }
    w.v = texts;
    w.span_at = arena_alloc(b->arena, n * sizeof(*w.span_at));
    w.which = arena_alloc(b->arena, n * sizeof(*w.which));
    find_templates(&w);
    put_words(&w);
    vec_clear(&b->skel.spans);
    vec_done(&w.templates);
    vec_done(&w.columns);
}
