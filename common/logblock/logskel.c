#include "common/logblock/logskel_internal.h"
#include "common/logs/bytescan.h"
#include "common/logs/jsonline.h"
#include "common/logs/jsonscan.h"
#include "common/logs/logfmt.h"

/* Walks one text; with names wanted, it appends to vars and names, else to spans. */
struct walk {
    struct logskel *s;
    struct slice text;
    size_t pos;
    unsigned depth, n_vars;
    struct arena *names_in; /* NULL: spans are wanted */
};

void logskel_done(struct logskel *s)
{
    vec_done(&s->spans);
    vec_done(&s->vars);
    vec_done(&s->names);
    buf_done(&s->key);
    buf_done(&s->scratch);
}

static bool put_var(struct walk *w, enum logskel_var var, size_t start, size_t end)
{
    if (++w->n_vars > LOGSKEL_MAX_VARS)
        return false;
    if (w->names_in) {
        vec_push(&w->s->vars, (uint8_t)var);
        vec_push(&w->s->names, var == LOGSKEL_PLAIN
                                   ? SLICE_EMPTY
                                   : arena_dup(w->names_in, buf_slice(&w->s->key)));
        return true;
    }
    vec_push(&w->s->spans, ((struct logskel_span){(uint32_t)start, (uint32_t)(end - start)}));
    return true;
}

static int byte_at(const struct walk *w)
{
    return w->pos < w->text.len ? w->text.ptr[w->pos] : -1;
}

static int skip_space(struct walk *w)
{
    return jsonscan_space(w->text, &w->pos);
}

/* At the quote; false if there is none that closes. What is in them is [*start, pos - 1). */
static bool take_string(struct walk *w, size_t *start, bool *has_escapes)
{
    *start = w->pos + 1;
    return jsonscan_string(w->text, &w->pos, has_escapes);
}

static bool take_word(struct walk *w)
{
    size_t start = w->pos;
    struct slice word;

    return jsonscan_word(w->text, &w->pos, &word) && put_var(w, LOGSKEL_JSON_WORD, start, w->pos);
}

static bool take_object(struct walk *w);

static bool take_value(struct walk *w)
{
    size_t start = w->pos;
    bool has_escapes;

    switch (byte_at(w)) {
    case '"':
        return take_string(w, &start, &has_escapes) &&
               put_var(w, LOGSKEL_JSON_STRING, start, w->pos - 1);
    case '{':
        return take_object(w);
    case '[':
        /* The bracket is the template's, so that no number has the same one. */
        return !jsonscan_block(w->text, &w->pos, '[', ']') &&
               put_var(w, LOGSKEL_JSON_LIST, start + 1, w->pos - 1);
    default:
        return take_word(w);
    }
}

static bool take_member(struct walk *w)
{
    struct buf *key = &w->s->key;
    size_t prefix = key->len, start, end;
    bool has_escapes;

    if (skip_space(w) != '"' || !take_string(w, &start, &has_escapes) || has_escapes)
        return false;
    end = w->pos - 1;
    if (end == start)
        return false;
    if (w->names_in) {
        if (prefix)
            buf_byte(key, '_');
        jsonline_label_name(key, slice_sub(w->text, start, end - start), prefix == 0);
    }
    if (skip_space(w) != ':')
        return false;
    w->pos++;
    (void)skip_space(w);
    if (!take_value(w))
        return false;
    key->len = prefix;
    return true;
}

/* At the brace. */
static bool take_object(struct walk *w)
{
    int c;

    if (++w->depth > LOGSKEL_MAX_DEPTH)
        return false;
    w->pos++;
    if (skip_space(w) != '}') {
        do {
            if (!take_member(w))
                return false;
            c = skip_space(w);
            w->pos++;
        } while (c == ',');
        if (c != '}')
            return false;
    } else {
        w->pos++;
    }
    w->depth--;
    return true;
}

static bool take_json(struct walk *w)
{
    if (skip_space(w) != '{')
        return false;
    buf_reset(&w->s->key);
    return take_object(w) && skip_space(w) < 0;
}

/* ---- logfmt ---- */

static bool take_quoted(struct walk *w)
{
    size_t start;
    bool has_escapes;

    if (!take_string(w, &start, &has_escapes))
        return false;
    if (has_escapes && !w->names_in) {
        buf_reset(&w->s->scratch);
        if (!logfmt_unquote(slice_sub(w->text, start - 1, w->pos - start + 1), &w->s->scratch))
            return false;
    }
    return put_var(w, LOGSKEL_LOGFMT_QUOTED, start, w->pos - 1);
}

static bool take_pair(struct walk *w)
{
    size_t start = w->pos;
    struct slice key;

    w->pos = bytescan_word(w->text, start);
    key = slice_sub(w->text, start, w->pos - start);
    if (byte_at(w) != '=' || key.len == 0 || !bytescan_is_ascii(key))
        return false;
    if (w->names_in) {
        buf_reset(&w->s->key);
        jsonline_label_name(&w->s->key, key, true);
    }
    start = ++w->pos;
    if (byte_at(w) == '"')
        return take_quoted(w) && byte_at(w) <= ' ';
    w->pos = bytescan_word(w->text, start);
    return byte_at(w) <= ' ' && put_var(w, LOGSKEL_LOGFMT, start, w->pos);
}

static bool take_logfmt(struct walk *w)
{
    int c;

    do {
        while ((c = byte_at(w)) >= 0 && c <= ' ')
            w->pos++;
        if (c >= 0 && !take_pair(w))
            return false;
    } while (c >= 0);
    return w->n_vars > 0;
}

/* ---- words ---- */

const uint8_t logskel_classes[256] = {
    ['0' ... '9'] = LOGSKEL_DIGIT,
    [0 ... 32] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['"'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['\''] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['('] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [')'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['['] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [']'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['{'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['}'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['<'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['>'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [','] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [';'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['='] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['|'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['!'] = LOGSKEL_FINE_SIGN,
    ['#'] = LOGSKEL_FINE_SIGN,
    ['$'] = LOGSKEL_FINE_SIGN,
    ['%'] = LOGSKEL_FINE_SIGN,
    ['&'] = LOGSKEL_FINE_SIGN,
    ['*'] = LOGSKEL_FINE_SIGN,
    ['+'] = LOGSKEL_FINE_SIGN,
    ['-'] = LOGSKEL_FINE_SIGN,
    ['.'] = LOGSKEL_FINE_SIGN,
    ['/'] = LOGSKEL_FINE_SIGN,
    [':'] = LOGSKEL_FINE_SIGN,
    ['?'] = LOGSKEL_FINE_SIGN,
    ['@'] = LOGSKEL_FINE_SIGN,
    ['\\'] = LOGSKEL_FINE_SIGN,
    ['^'] = LOGSKEL_FINE_SIGN,
    ['_'] = LOGSKEL_FINE_SIGN,
    ['`'] = LOGSKEL_FINE_SIGN,
    ['~'] = LOGSKEL_FINE_SIGN,
};

/* At a quote: what is up to the next one is a variable. False: there is none. */
static bool take_quotation(struct walk *w)
{
    size_t start;
    bool has_escapes;

    if (!take_string(w, &start, &has_escapes))
        return false;
    (void)put_var(w, LOGSKEL_PLAIN, start, w->pos - 1);
    return true;
}

static void take_words(struct walk *w, bool is_fine)
{
    const uint8_t *p = w->text.ptr, sign = is_fine ? LOGSKEL_FINE_SIGN : LOGSKEL_COARSE_SIGN;
    size_t len = w->text.len;
    bool has_quotes = true;

    while (w->pos < len && w->n_vars < LOGSKEL_MAX_VARS) {
        size_t start = w->pos, at = start;
        uint8_t seen = 0;

        if (p[at] == '"' && has_quotes) {
            has_quotes = take_quotation(w);
            if (has_quotes)
                continue;
        }
        for (; at < len && !(logskel_classes[p[at]] & sign); at++)
            seen |= logskel_classes[p[at]];
        if (seen & LOGSKEL_DIGIT)
            (void)put_var(w, LOGSKEL_PLAIN, start, at);
        if (at < len && (p[at] != '"' || at == start)) /* at start: a quote that none closes */
            at++;
        w->pos = at;
    }
}

static struct walk walk_of(struct logskel *s, struct slice text, struct arena *names_in)
{
    return (struct walk){.s = s, .text = text, .names_in = names_in};
}

static bool is_of_pairs(struct slice text)
{
    size_t i = bytescan_word(text, 0);

    return i > 0 && i < text.len && text.ptr[i] == '=';
}

enum logskel_kind logskel_line(struct logskel *s, struct slice text)
{
    size_t before = s->spans.len;
    struct walk w = walk_of(s, text, NULL);
    int c = skip_space(&w);

    w.pos = 0;
    if (c == '{' && take_json(&w))
        return LOGSKEL_JSON;
    s->spans.len = before;
    w = walk_of(s, text, NULL);
    if (is_of_pairs(text) && take_logfmt(&w))
        return LOGSKEL_LOGFMT_PAIRS;
    s->spans.len = before;
    if (text.len > 1 && memchr(text.ptr, '\n', text.len - 1)) {
        vec_push(&s->spans, ((struct logskel_span){0, (uint32_t)text.len}));
        return LOGSKEL_WHOLE;
    }
    logskel_words(s, text, false);
    return LOGSKEL_COARSE;
}

void logskel_words(struct logskel *s, struct slice text, bool is_fine)
{
    struct walk w = walk_of(s, text, NULL);

    take_words(&w, is_fine);
}

void logskel_name(struct logskel *s, struct slice text, enum logskel_kind kind, struct arena *a)
{
    struct walk w = walk_of(s, text, a);
    bool is_ok = true;

    vec_clear(&s->vars);
    vec_clear(&s->names);
    if (kind == LOGSKEL_WHOLE)
        is_ok = put_var(&w, LOGSKEL_PLAIN, 0, text.len);
    else if (kind == LOGSKEL_JSON)
        is_ok = take_json(&w);
    else if (kind == LOGSKEL_LOGFMT_PAIRS)
        is_ok = take_logfmt(&w);
    else
        take_words(&w, kind == LOGSKEL_FINE);
    ORR_ASSERT(is_ok);
}
