#include "common/logs/jsonline.h"

#include "common/base/gostr.h"
#include "common/logs/jsonscan.h"

struct walk {
    struct jsonline *j;
    struct slice s;
    size_t pos;
    unsigned depth;
    jsonline_fn *fn;
    void *arg;
    bool is_enough;
};

static bool fail(struct walk *w, const char *error)
{
    w->j->error = error;
    return false;
}

static int byte_at(const struct walk *w)
{
    return w->pos < w->s.len ? w->s.ptr[w->pos] : -1;
}

static int skip_space(struct walk *w)
{
    return jsonscan_space(w->s, &w->pos);
}

/* [a-zA-Z0-9_] */
static bool is_name_byte(uint8_t c)
{
    static const uint32_t bits[8] = {[1] = 0x03ff0000, [2] = 0x87fffffe, [3] = 0x07fffffe};

    return bits[c >> 5] >> (c & 31) & 1;
}

void jsonline_label_name(struct buf *out, struct slice name, bool is_first)
{
    uint8_t *to;
    size_t n = 0;

    if (name.len && (!is_name_byte(name.ptr[0]) || !is_name_byte(name.ptr[name.len - 1])))
        name = slice_trim(name);
    to = buf_reserve(out, name.len + 1); /* each rune becomes a byte */
    if (!to)
        return;
    if (is_first && name.len && name.ptr[0] >= '0' && name.ptr[0] <= '9')
        to[n++] = '_';
    for (size_t i = 0; i < name.len;) {
        uint32_t r;
        uint8_t c = name.ptr[i];

        to[n++] = is_name_byte(c) ? c : '_';
        i += c < 0x80 ? 1 : gostr_rune(slice_from(name, i), &r);
    }
    out->len += n;
}

/* A string with its quotes, at its first one. */
static bool take_string(struct walk *w, struct slice *ret, bool *ret_has_escapes)
{
    size_t start = w->pos;

    if (!jsonscan_string(w->s, &w->pos, ret_has_escapes))
        return fail(w, "a string is not closed");
    *ret = slice_sub(w->s, start, w->pos - start);
    return true;
}

static bool skip_block(struct walk *w, uint8_t open, uint8_t close)
{
    const char *error = jsonscan_block(w->s, &w->pos, open, close);

    return !error || fail(w, error);
}

static int hex4(struct slice s, size_t at)
{
    int v = 0;

    if (at + 4 > s.len)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        uint8_t c = s.ptr[i];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;

        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* \uXXXX, with its second half if it is one of a pair. */
static size_t put_unicode(struct slice s, struct buf *out, bool takes_halves)
{
    int r = hex4(s, 2), low = -1;

    if (r < 0)
        return 0;
    if (r >= 0xd800 && r < 0xdc00 && s.len >= 12 && s.ptr[6] == '\\' && s.ptr[7] == 'u')
        low = hex4(s, 8);
    if (low >= 0xdc00 && low < 0xe000) {
        gostr_put_rune(out, 0x10000 + ((uint32_t)(r - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
        return 12;
    }
    if (r >= 0xd800 && r < 0xe000 && !takes_halves)
        return 0;
    gostr_put_rune(out, (uint32_t)r);
    return 6;
}

size_t jsonline_escape(struct slice s, struct buf *out, bool is_lenient)
{
    static const char from[] = "\"\\/bfnrt'", to[] = "\"\\/\b\f\n\r\t'";
    const char *p;

    if (s.len < 2)
        return 0;
    if (s.ptr[1] == 'u')
        return put_unicode(s, out, is_lenient);
    p = memchr(from, s.ptr[1], sizeof(from) - 1);
    if (!p || (*p == '\'' && !is_lenient))
        return 0;
    buf_byte(out, (uint8_t)to[p - from]);
    return 2;
}

bool jsonline_unescape(struct slice raw, struct buf *out)
{
    ptrdiff_t at;

    while ((at = slice_find_byte(raw, '\\', 0)) >= 0) {
        size_t n;

        buf_append(out, raw.ptr, (size_t)at);
        raw = slice_from(raw, (size_t)at);
        if ((n = jsonline_escape(raw, out, false)) == 0)
            return false;
        raw = slice_from(raw, n);
    }
    buf_slice_append(out, raw);
    return true;
}

/* What a string says; false: an escape is malformed. */
static bool text_of(struct buf *scratch, struct slice quoted, bool has_escapes, struct slice *ret)
{
    *ret = slice_sub(quoted, 1, quoted.len - 2);
    if (!has_escapes)
        return true;
    buf_reset(scratch);
    if (!jsonline_unescape(*ret, scratch))
        return false;
    *ret = buf_slice(scratch);
    return true;
}

static bool give(struct walk *w, struct slice value)
{
    w->is_enough = !w->fn(w->arg, buf_slice(&w->j->key), value);
    return !w->is_enough;
}

/* A number, true, false or null. */
static bool take_word(struct walk *w)
{
    struct slice word;

    if (!jsonscan_word(w->s, &w->pos, &word))
        return fail(w, "a value that is none");
    return slice_eq_cstr(word, "null") || w->j->is_flat || give(w, word);
}

static bool take_object(struct walk *w);

static bool take_value(struct walk *w)
{
    size_t start = w->pos;
    struct slice text;
    bool has_escapes;

    switch (byte_at(w)) {
    case '"':
        if (!take_string(w, &text, &has_escapes))
            return false;
        return give(w, text_of(&w->j->value, text, has_escapes, &text) ? text : SLICE_EMPTY);
    case '{':
        /* Closed as the outermost is, all in it are. */
        if (w->depth == 1 && !skip_block(w, '{', '}'))
            return false;
        if (w->j->is_flat || (w->j->wants && !w->j->wants(w->arg, buf_slice(&w->j->key))))
            return w->depth == 1 || skip_block(w, '{', '}');
        w->pos = start;
        return take_object(w);
    case '[':
        return skip_block(w, '[', ']');
    default:
        return take_word(w);
    }
}

static bool take_member(struct walk *w)
{
    size_t prefix = w->j->key.len, path = w->j->path.len;
    struct slice name;
    bool has_escapes;

    if (skip_space(w) != '"')
        return fail(w, "a name is expected");
    if (!take_string(w, &name, &has_escapes))
        return false;
    if (prefix)
        buf_byte(&w->j->key, '_');
    if (!text_of(&w->j->value, name, has_escapes, &name))
        return fail(w, "a name has a malformed escape");
    if (w->j->keeps_path)
        buf_lstr(&w->j->path, name);
    if (w->j->is_flat)
        buf_slice_append(&w->j->key, name);
    else
        jsonline_label_name(&w->j->key, name, prefix == 0);
    if (skip_space(w) != ':')
        return fail(w, "a colon is expected");
    w->pos++;
    (void)skip_space(w);
    if (!take_value(w))
        return false;
    w->j->key.len = prefix;
    w->j->path.len = path;
    return true;
}

/* At the brace. */
static bool take_object(struct walk *w)
{
    int c;

    if (++w->depth > JSONLINE_MAX_DEPTH)
        return fail(w, "objects nest too deep");
    w->pos++;
    if (skip_space(w) != '}') {
        do {
            if (!take_member(w))
                return false;
            c = skip_space(w);
            w->pos++;
        } while (c == ',');
        w->pos--;
        if (c != '}')
            return fail(w, c < 0 ? "an object is not closed" : "a comma is expected");
    }
    w->pos++;
    w->depth--;
    return true;
}

bool jsonline_each(struct jsonline *j, struct slice line, jsonline_fn *fn, void *arg)
{
    struct walk w = {.j = j, .s = line, .fn = fn, .arg = arg};

    j->error = NULL;
    buf_reset(&j->key);
    buf_reset(&j->path);
    if (skip_space(&w) != '{')
        return fail(&w, "no object");
    return take_object(&w) || w.is_enough;
}

void jsonline_done(struct jsonline *j)
{
    buf_done(&j->key);
    buf_done(&j->value);
    buf_done(&j->path);
}
