#include "querier/search/esdoc.h"

#include <stdio.h>

#include "common/base/gostr.h"
#include "common/base/num.h"
#include "common/logs/logfmt.h"
#include "querier/search/esquery.h"

static const struct slice metadata_names[] = {
#define X(name) SLICE_INIT(name),
    ESDOC_METADATA(X)
#undef X
};

bool esdoc_is_metadata(struct slice name)
{
    for (size_t i = 0; i < ORR_COUNT(metadata_names); i++)
        if (slice_eq(name, metadata_names[i]))
            return true;
    return false;
}

/* ---- life ---- */

void esdoc_init(struct esdoc *d, struct arena *a)
{
    *d = (struct esdoc){.arena = a, .tmp = arena_child(a, 0)};
}

static void forget_line(struct esdoc *d)
{
    jsonval_free(d->json);
    d->json = NULL;
    d->form = ESDOC_UNREAD;
    d->n_pairs = 0;
    d->id = 0;
}

void esdoc_done(struct esdoc *d)
{
    forget_line(d);
    buf_done(&d->text);
    err_free(d->err);
    arena_free(d->tmp);
}

void esdoc_stream(struct esdoc *d, struct labels stream)
{
    struct hash128 fp = labels_fingerprint(stream);

    d->stream = stream;
    d->stream_hash = fp.lo;
    d->index = labels_get(stream, SLICE("index"));
    if (!d->index.len)
        d->index = SLICE(ESDOC_NO_INDEX);
}

void esdoc_line(struct esdoc *d, const struct logsource_entry *entry)
{
    forget_line(d);
    d->ts_ns = entry->ts_ns;
    d->line = entry->line;
    d->metadata = entry->metadata;
}

uint64_t esdoc_id(struct esdoc *d)
{
    if (!d->id)
        d->id = hash_xxh64(d->line, d->stream_hash ^ (uint64_t)d->ts_ns) | 1;
    return d->id;
}

uint64_t esdoc_order(struct esdoc *d)
{
    uint64_t within = (uint64_t)(d->ts_ns - esdate_floor_ms(d->ts_ns) * ESDATE_MS);

    return within << 33 | esdoc_id(d) >> 31;
}

/* ---- what a line is ---- */

static void add_pair(struct esdoc *d, struct slice name, struct slice value)
{
    if (d->n_pairs == d->cap_pairs) {
        size_t cap = d->cap_pairs ? 2 * d->cap_pairs : 32;

        d->pairs = arena_grow(d->arena, d->pairs, d->cap_pairs * sizeof(*d->pairs),
                              cap * sizeof(*d->pairs));
        d->cap_pairs = cap;
    }
    d->pairs[d->n_pairs++] = (struct esdoc_pair){arena_dup(d->tmp, name), arena_dup(d->tmp, value)};
}

static bool read_logfmt(struct esdoc *d)
{
    struct logfmt it = logfmt_of(d->line);
    struct slice key, value;
    enum logfmt_what what;

    arena_reset(d->tmp);
    while ((what = logfmt_next(&it, &d->text, &key, &value)) == LOGFMT_PAIR)
        if (value.len)
            add_pair(d, key, value);
    if (what != LOGFMT_END)
        d->n_pairs = 0; /* all of the line, or nothing */
    return d->n_pairs > 0;
}

enum esdoc_form esdoc_form(struct esdoc *d)
{
    struct slice text = d->line;
    struct err *e;

    if (d->form != ESDOC_UNREAD)
        return d->form;
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = slice_from(text, 1);
    if (text.len && text.ptr[0] == '{') {
        if (!(e = jsonval_parse(d->line, ESDOC_MAX_DEPTH, &d->json, &d->root)))
            return d->form = ESDOC_JSON;
        err_free(e);
    }
    return d->form = read_logfmt(d) ? ESDOC_LOGFMT : ESDOC_PLAIN;
}

/* ---- values ---- */

static struct esvalue text_value(struct slice text)
{
    return (struct esvalue){.kind = ESVALUE_TEXT, .text = text};
}

static size_t write_i64(int64_t v, char *out)
{
    if (v >= 0)
        return num_write_u64((uint64_t)v, out);
    *out = '-';
    return 1 + num_write_u64(-(uint64_t)v, out + 1);
}

static bool value_of(struct esdoc *d, struct jsonval v, struct esvalue *ret)
{
    char digits[32];
    size_t n;

    *ret = (struct esvalue){.kind = ESVALUE_NUMBER};
    switch (jsonval_kind(v)) {
    case JSONVAL_TEXT:
        *ret = text_value(jsonval_text(v));
        return ret->text.len > 0;
    case JSONVAL_BOOL:
        ret->kind = ESVALUE_BOOL;
        ret->text = jsonval_bool(v) ? SLICE("true") : SLICE("false");
        return true;
    case JSONVAL_I64:
        ret->number = (long double)jsonval_i64(v);
        n = write_i64(jsonval_i64(v), digits);
        break;
    case JSONVAL_U64:
        ret->number = (long double)jsonval_u64(v);
        n = num_write_u64(jsonval_u64(v), digits);
        break;
    case JSONVAL_F64:
        ret->number = (long double)jsonval_f64(v);
        ret->is_float = true;
        buf_reset(&d->text);
        buf_f64_text(&d->text, jsonval_f64(v));
        ret->text = buf_slice(&d->text);
        return true;
    default:
        return false;
    }
    buf_reset(&d->text);
    buf_append(&d->text, digits, n);
    ret->text = buf_slice(&d->text);
    return true;
}

/* Every value below v. */
static bool each_below(struct esdoc *d, struct jsonval v, esdoc_fn *fn, void *arg)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct esvalue value;
    struct jsonval item;
    struct slice key;

    if (value_of(d, v, &value))
        return fn(arg, &value);
    while (jsonval_next(&it, &key, &item))
        if (each_below(d, item, fn, arg))
            return true;
    return false;
}

/* Values of v itself: items of lists are some, members of objects are not unless d->descends. */
static bool each_item(struct esdoc *d, struct jsonval v, esdoc_fn *fn, void *arg, bool *found)
{
    struct jsonval_iter it;
    struct esvalue value;
    struct jsonval item;
    struct slice key;

    if (value_of(d, v, &value)) {
        *found = true;
        return fn(arg, &value);
    }
    if (jsonval_kind(v) == JSONVAL_OBJECT && d->descends) {
        *found = jsonval_count(v) > 0;
        return each_below(d, v, fn, arg);
    }
    if (jsonval_kind(v) != JSONVAL_LIST)
        return false;
    for (it = jsonval_iter(v); jsonval_next(&it, &key, &item);)
        if (each_item(d, item, fn, arg, found))
            return true;
    return false;
}

static bool each_member(struct esdoc *d, struct jsonval v, struct slice name, esdoc_fn *fn,
                        void *arg, bool *found)
{
    struct jsonval_iter it = jsonval_iter(v);
    bool is_list = jsonval_kind(v) == JSONVAL_LIST;
    struct jsonval item;
    struct slice key;

    while (jsonval_next(&it, &key, &item)) {
        if (is_list) {
            if (each_member(d, item, name, fn, arg, found))
                return true;
        } else if (slice_eq(key, name)) {
            if (each_item(d, item, fn, arg, found))
                return true;
        } else if (key.len && key.len < name.len && name.ptr[key.len] == '.' &&
                   slice_has_prefix(name, key)) {
            if (each_member(d, item, slice_from(name, key.len + 1), fn, arg, found))
                return true;
        }
    }
    return false;
}

static bool each_of_line(struct esdoc *d, struct slice name, esdoc_fn *fn, void *arg, bool *found)
{
    bool is_enough = false;

    if (esdoc_form(d) == ESDOC_JSON)
        return each_member(d, d->root, name, fn, arg, found);
    for (size_t i = 0; i < d->n_pairs && !is_enough; i++)
        if (slice_eq(d->pairs[i].name, name)) {
            struct esvalue v = text_value(d->pairs[i].value);

            *found = true;
            is_enough = fn(arg, &v);
        }
    return is_enough;
}

static bool give(struct slice text, esdoc_fn *fn, void *arg, bool *found)
{
    struct esvalue v = text_value(text);

    if (!text.len)
        return false;
    *found = true;
    return fn(arg, &v);
}

static bool give_special(struct esdoc *d, struct slice name, esdoc_fn *fn, void *arg, bool *found)
{
    char text[32];

    if (slice_eq_cstr(name, ESQUERY_INDEX))
        return give(d->index, fn, arg, found);
    if (slice_eq_cstr(name, ESQUERY_TIME)) {
        struct esvalue v = {.kind = ESVALUE_NUMBER,
                            .number = (long double)esdate_floor_ms(d->ts_ns)};

        v.text = slice_of(text, write_i64(esdate_floor_ms(d->ts_ns), text));
        *found = true;
        return fn(arg, &v);
    }
    if (slice_eq_cstr(name, ESQUERY_ID)) {
        (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)esdoc_id(d));
        return give(slice_cstr(text), fn, arg, found);
    }
    return false;
}

static bool give_metadata(struct esdoc *d, struct slice name, esdoc_fn *fn, void *arg, bool *found)
{
    if (slice_has_prefix(name, SLICE(ESDOC_ATTRIBUTES)))
        name = slice_from(name, sizeof(ESDOC_ATTRIBUTES) - 1);
    else if (!esdoc_is_metadata(name))
        return false;
    return give(labels_get(d->metadata, name), fn, arg, found);
}

/* Of the first place that has the name. */
static void each_named(struct esdoc *d, struct slice name, esdoc_fn *fn, void *arg, bool *found)
{
    (void)give_special(d, name, fn, arg, found);
    if (!*found && !slice_eq_cstr(name, ESQUERY_MESSAGE))
        (void)give(labels_get(d->stream, name), fn, arg, found);
    if (!*found)
        (void)each_of_line(d, name, fn, arg, found);
    if (!*found && slice_eq_cstr(name, ESQUERY_MESSAGE) && esdoc_form(d) != ESDOC_JSON)
        (void)give(d->line, fn, arg, found);
    if (!*found)
        (void)give_metadata(d, name, fn, arg, found);
}

struct stop {
    esdoc_fn *fn;
    void *arg;
    bool is_enough;
};

static bool note_stop(void *arg, const struct esvalue *v)
{
    struct stop *s = arg;

    s->is_enough = s->fn(s->arg, v);
    return s->is_enough;
}

bool esdoc_each(struct esdoc *d, struct slice field, esdoc_fn *fn, void *arg)
{
    struct stop s = {fn, arg, false};
    struct esvalue v = text_value(d->line);
    bool found = false;

    if (!field.len) {
        if (esdoc_form(d) == ESDOC_JSON)
            return each_below(d, d->root, fn, arg);
        return d->line.len && fn(arg, &v);
    }
    each_named(d, field, note_stop, &s, &found);
    if (!found && slice_has_suffix(field, SLICE(ESQUERY_KEYWORD)))
        each_named(d, slice_sub(field, 0, field.len - (sizeof(ESQUERY_KEYWORD) - 1)), note_stop, &s,
                   &found);
    return s.is_enough;
}

/* ---- all fields ---- */

struct walk {
    struct esdoc *d;
    esdoc_field_fn *fn;
    void *arg;
    struct buf name;
};

static void walk_json(struct walk *w, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    size_t before = w->name.len;
    bool is_list = jsonval_kind(v) == JSONVAL_LIST;
    struct esvalue value;
    struct jsonval item;
    struct slice key;

    if (value_of(w->d, v, &value)) {
        w->fn(w->arg, buf_slice(&w->name), &value);
        return;
    }
    while (jsonval_next(&it, &key, &item)) {
        if (!is_list) {
            if (before)
                buf_byte(&w->name, '.');
            buf_slice_append(&w->name, key);
        }
        walk_json(w, item);
        w->name.len = before;
    }
}

static void walk_labels(struct walk *w, struct labels ls, bool is_metadata)
{
    for (size_t i = 0; i < ls.n; i++) {
        struct esvalue v = text_value(ls.ptr[i].value);

        buf_reset(&w->name);
        if (is_metadata && !esdoc_is_metadata(ls.ptr[i].name))
            buf_str(&w->name, ESDOC_ATTRIBUTES);
        buf_slice_append(&w->name, ls.ptr[i].name);
        w->fn(w->arg, buf_slice(&w->name), &v);
    }
    buf_reset(&w->name);
}

void esdoc_fields(struct esdoc *d, esdoc_field_fn *fn, void *arg)
{
    struct walk w = {d, fn, arg, {0}};
    struct esvalue line = text_value(d->line);

    walk_labels(&w, d->stream, false);
    walk_labels(&w, d->metadata, true);
    switch (esdoc_form(d)) {
    case ESDOC_JSON:
        walk_json(&w, d->root);
        break;
    default:
        for (size_t i = 0; i < d->n_pairs; i++) {
            struct esvalue v = text_value(d->pairs[i].value);

            fn(arg, d->pairs[i].name, &v);
        }
        if (d->line.len)
            fn(arg, SLICE(ESQUERY_MESSAGE), &line);
        break;
    }
    buf_done(&w.name);
}

/* ---- words ---- */

static bool is_word_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
           c >= 0x80;
}

bool esdoc_next_word(struct slice *rest, struct slice *ret)
{
    size_t from = 0, to;

    while (from < rest->len && !is_word_byte(rest->ptr[from]))
        from++;
    for (to = from; to < rest->len && is_word_byte(rest->ptr[to]);)
        to++;
    *ret = slice_sub(*rest, from, to - from);
    *rest = slice_from(*rest, to);
    return to > from;
}

/* ---- patterns ---- */

/* What the pattern wants at p fits the byte at t: then *next is behind it, and *step how far in the text. */
static bool fits(struct slice p, size_t at, struct slice text, size_t t, bool ignores_case,
                 size_t *next, size_t *step)
{
    uint8_t c = p.ptr[at];
    uint32_t rune;

    if (c == '?') {
        *next = at + 1;
        *step = gostr_rune(slice_from(text, t), &rune);
        return true;
    }
    if (c == '\\' && at + 1 < p.len)
        c = p.ptr[++at];
    *next = at + 1;
    *step = 1;
    return c == (ignores_case ? esdoc_lower(text.ptr[t]) : text.ptr[t]);
}

bool esdoc_glob(struct slice p, struct slice text, bool ignores_case)
{
    size_t at = 0, t = 0, star = SIZE_MAX, resume = 0, next, step;

    while (t < text.len) {
        if (at < p.len && p.ptr[at] == '*') {
            star = ++at;
            resume = t;
        } else if (at < p.len && fits(p, at, text, t, ignores_case, &next, &step)) {
            at = next;
            t += step;
        } else if (star != SIZE_MAX) {
            at = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (at < p.len && p.ptr[at] == '*')
        at++;
    return at == p.len;
}
