#include "querier/logs/logtokens.h"

#include "common/base/mem.h"

#define LONGEST_KEY 64
#define LONG_HEX 16
#define LONGEST_SKELETON 2048

struct split {
    struct logtokens *t;
    struct slice line;
    size_t at;
};

static int byte_at(const struct split *s, size_t at)
{
    return at < s->line.len ? s->line.ptr[at] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* Wherever they stand. */
static bool is_sign(int c)
{
    return is_space(c) || c == '"' || c == '=' || c == '(' || c == ')' || c == '[' || c == ']' ||
           c == '{' || c == '}';
}

/* Those that are signs at the edge of a word alone. */
static bool is_edge_sign(int c)
{
    return c == ':' || c == ',' || c == ';' || c == '\'';
}

/* is_begin: no word has begun. */
static bool is_sign_at(const struct split *s, size_t at, bool is_begin)
{
    int c = byte_at(s, at), next = byte_at(s, at + 1);

    if (is_sign(c))
        return true;
    return is_edge_sign(c) && (is_begin || next < 0 || is_sign(next) || is_edge_sign(next));
}

/* ---- what a token is ---- */

static bool is_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        int c = s.ptr[i], low = c | 0x20;

        if (!is_digit(c) && !(low >= 'a' && low <= 'f') && c != '-')
            return false;
    }
    return true;
}

static struct logtoken token_of(struct slice text)
{
    struct logtoken t = {.text = text};
    bool is_odd = text.len > LOGTOKENS_LONGEST || !slice_is_utf8(text);
    size_t sign = text.len > 1 && (text.ptr[0] == '-' || text.ptr[0] == '+');

    for (size_t i = 0; i < text.len && !is_odd; i++) {
        t.has_digits = t.has_digits || is_digit(text.ptr[i]);
        is_odd = text.ptr[i] < ' ' || text.ptr[i] == '<' || text.ptr[i] == 0x7f;
    }
    t.varies = is_odd || is_digit(text.ptr[sign]) ||
               (t.has_digits && text.len >= LONG_HEX && is_hex(text));
    return t;
}

static void add_token(struct split *s, size_t from, size_t to)
{
    struct logtokens *t = s->t;

    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 32;
        t->ptr = mem_reallocarray(t->ptr, t->cap, sizeof(*t->ptr));
    }
    t->ptr[t->n++] = token_of(slice_sub(s->line, from, to - from));
    buf_byte(&t->skeleton, LOGTOKENS_TOKEN);
}

/* ---- words ---- */

/* The end of the word at from; = does not end a path or what has a query. */
static size_t word_end(const struct split *s, size_t from)
{
    bool is_path = byte_at(s, from) == '/';
    size_t at = from;

    while (at < s->line.len) {
        int c = byte_at(s, at);

        if (is_sign_at(s, at, false) && !(c == '=' && is_path))
            break;
        is_path = is_path || c == '?' || c == '/';
        at++;
    }
    return at;
}

static bool is_key_text(struct slice s)
{
    if (s.len == 0 || s.len > LONGEST_KEY || is_digit(s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int c = s.ptr[i], low = c | 0x20;

        if (!is_digit(c) && !(low >= 'a' && low <= 'z') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

/* key=, or "key": */
static bool is_key(const struct split *s, size_t from, size_t to)
{
    size_t at = to;

    if (!is_key_text(slice_sub(s->line, from, to - from)))
        return false;
    if (byte_at(s, at) == '=')
        return true;
    if (from == 0 || byte_at(s, from - 1) != '"' || byte_at(s, at++) != '"')
        return false;
    while (is_space(byte_at(s, at)))
        at++;
    return byte_at(s, at) == ':';
}

/* The end of a quoted value that begins at from, at its last quote; from: it is none, or empty. */
static size_t value_end(const struct split *s, size_t from)
{
    size_t at = from - 1;

    while (at > 0 && is_space(byte_at(s, at - 1)))
        at--;
    if (at == 0 || (byte_at(s, at - 1) != '=' && byte_at(s, at - 1) != ':'))
        return from;
    at = from;
    while (at < s->line.len && byte_at(s, at) != '"')
        at += byte_at(s, at) == '\\' ? 2 : 1;
    return at < s->line.len ? at : from;
}

/* At a sign, which the skeleton takes; a quoted value behind it is a token. */
static void take_sign(struct split *s)
{
    int c = byte_at(s, s->at++);
    size_t end;

    buf_byte(&s->t->skeleton, (uint8_t)c);
    if (c != '"' || s->t->n == s->t->max)
        return;
    end = value_end(s, s->at);
    if (end == s->at)
        return;
    add_token(s, s->at, end);
    s->at = end;
    buf_byte(&s->t->skeleton, '"');
    s->at++;
}

void logtokens_split(struct logtokens *t, struct slice line)
{
    struct split s = {.t = t, .line = line};
    struct buf *out = &t->skeleton;

    t->n = 0;
    buf_reset(out);
    while (s.at < line.len) {
        size_t end;

        if (out->len >= LONGEST_SKELETON && out->ptr[out->len - 1] != LOGTOKENS_TOKEN) {
            buf_byte(out, LOGTOKENS_REST);
            return;
        }
        if (is_sign_at(&s, s.at, true)) {
            take_sign(&s);
            continue;
        }
        end = word_end(&s, s.at);
        if (is_key(&s, s.at, end)) {
            buf_slice_append(out, slice_sub(line, s.at, end - s.at));
        } else if (t->n == t->max) {
            buf_byte(out, LOGTOKENS_REST);
            return;
        } else {
            add_token(&s, s.at, end);
        }
        s.at = end;
    }
}

void logtokens_done(struct logtokens *t)
{
    mem_free(t->ptr);
    buf_done(&t->skeleton);
}
