#include "common/model/matcher.h"

#include <stdlib.h>

#include "common/base/gostr.h"
#include "common/base/reader.h"

#define LEAST_WIRE_BYTES 3 /* of a matcher in an encoded list */

/* Length of the literal (one rune, perhaps escaped) at s, and its bytes; 0 if it is not one. */
static size_t literal_at(struct slice s, struct slice *ret)
{
    size_t n = 1;

    if (s.len == 0)
        return 0;
    if (s.ptr[0] == '\\') {
        if (s.len < 2 || !strchr("\\.+*?()|[]{}^$-/:_ \"'`~!@#%&=;,<>", s.ptr[1]) || !s.ptr[1])
            return 0;
        *ret = slice_of(s.ptr + 1, 1);
        return 2;
    }
    if (strchr("\\.+*?()|[]{}^$", s.ptr[0]))
        return 0;
    if (s.ptr[0] >= 0xc0)
        while (n < s.len && (s.ptr[n] & 0xc0) == 0x80)
            n++;
    *ret = slice_of(s.ptr, n);
    return n;
}

static bool is_quantifier(struct slice s)
{
    return s.len && strchr("*+?{", s.ptr[0]) && s.ptr[0];
}

/* The literals at the start of s: as many runes as every match must have there. They go to out, which has
 * room for all of s. */
static struct slice literal_run(uint8_t *out, struct slice s, struct slice *ret_rest)
{
    size_t n = 0, step;
    struct slice lit;

    while ((step = literal_at(s, &lit)) > 0) {
        struct slice next = slice_from(s, step);

        if (is_quantifier(next))
            break;
        memcpy(out + n, lit.ptr, lit.len);
        n += lit.len;
        s = next;
    }
    *ret_rest = s;
    return slice_of(out, n);
}

static int slice_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static size_t sort_once_each(struct slice *set, size_t n)
{
    size_t kept = 1;

    qsort(set, n, sizeof(*set), slice_order);
    for (size_t i = 1; i < n; i++)
        if (!slice_eq(set[i], set[kept - 1]))
            set[kept++] = set[i];
    return kept;
}

/* a|b|c, (a|b|c) or (?:a|b|c) of literals alone: keeps them in m->set. However many: what dashboards make of
 * "all" is as long as the query may be. */
static bool find_set(struct arena *a, struct slice p, struct matcher *m)
{
    struct slice *set;
    uint8_t *text;
    size_t n = 1;

    if (!slice_is_utf8(p))
        return false;
    if (slice_has_prefix(p, SLICE("(?:")) && slice_has_suffix(p, SLICE(")")))
        p = slice_sub(p, 3, p.len - 4);
    else if (slice_has_prefix(p, SLICE("(")) && slice_has_suffix(p, SLICE(")")))
        p = slice_sub(p, 1, p.len - 2);
    for (size_t i = 0; i < p.len; i++)
        n += p.ptr[i] == '|';
    set = arena_array(a, struct slice, n);
    text = arena_alloc(a, p.len + 1);
    for (size_t i = 0;; i++) {
        set[i] = literal_run(text, p, &p);
        text += set[i].len;
        if (p.len == 0) {
            n = i + 1;
            break;
        }
        if (p.ptr[0] != '|' || i + 1 == n)
            return false;
        p = slice_from(p, 1);
    }
    m->set = set;
    m->set_n = sort_once_each(set, n);
    return true;
}

/* What every match of the regex starts with, and the regex itself. */
static struct err *compile(struct arena *a, struct matcher *m)
{
    struct slice rest;
    struct err *e;

    if (m->value.len > MATCHER_MAX_REGEX_BYTES)
        return err_new(ERR_INVALID,
                       "a regex of %zu bytes is too long: at most %d, unless it is a list of "
                       "literals",
                       m->value.len, MATCHER_MAX_REGEX_BYTES);
    if ((e = re_compile(m->value, RE_ANCHORED, &m->re)))
        return e;
    arena_charge(a, (int64_t)re_bytes(m->re));
    if (arena_over(a)) {
        re_free(m->re);
        return err_new(ERR_LIMIT, "regexes need more memory than the limit of %zu bytes",
                       arena_limit(a));
    }
    if (slice_find_byte(m->value, '|', 0) < 0)
        m->prefix = literal_run(arena_alloc(a, m->value.len + 1), m->value, &rest);
    return NULL;
}

struct err *matcher_init(struct arena *a, enum matcher_op op, struct slice name, struct slice value,
                         struct matcher *ret)
{
    struct matcher m = {.op = op, .name = arena_dup(a, name), .value = arena_dup(a, value)};
    bool is_regex = op == MATCHER_RE || op == MATCHER_NRE;
    struct err *e;

    m.prefix = SLICE_EMPTY;
    if (is_regex && !find_set(a, m.value, &m) && (e = compile(a, &m)))
        return e;
    *ret = m;
    return NULL;
}

struct err *matchers_check_count(struct matchers ms)
{
    size_t n_regexes = 0;

    for (size_t i = 0; i < ms.n; i++)
        n_regexes += ms.ptr[i].re != NULL;
    if (ms.n > MATCHERS_MAX)
        return err_new(ERR_LIMIT, "a selector may have %d matchers", MATCHERS_MAX);
    if (n_regexes > MATCHERS_MAX_REGEXES)
        return err_new(ERR_LIMIT, "a selector may have %d regexes that are not lists of literals",
                       MATCHERS_MAX_REGEXES);
    return NULL;
}

void matcher_done(struct matcher *m)
{
    re_free(m->re);
    m->re = NULL;
}

static bool matches_regex(const struct matcher *m, struct slice v)
{
    if (m->set) {
        for (size_t lo = 0, hi = m->set_n; lo < hi;) {
            size_t mid = lo + (hi - lo) / 2;
            int c = slice_cmp(m->set[mid], v);

            if (c == 0)
                return true;
            if (c < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        return false;
    }
    if (m->value.len == 2 && m->value.ptr[0] == '.') {
        if (m->value.ptr[1] == '*')
            return true;
        if (m->value.ptr[1] == '+')
            return v.len > 0;
    }
    return slice_has_prefix(v, m->prefix) && re_match(m->re, v);
}

bool matcher_matches(const struct matcher *m, struct slice value)
{
    switch (m->op) {
    case MATCHER_EQ:
        return slice_eq(m->value, value);
    case MATCHER_NE:
        return !slice_eq(m->value, value);
    case MATCHER_RE:
        return matches_regex(m, value);
    case MATCHER_NRE:
        return !matches_regex(m, value);
    }
    return false;
}

bool matcher_matches_empty(const struct matcher *m)
{
    return matcher_matches(m, SLICE_EMPTY);
}

bool matchers_match(struct matchers ms, struct labels ls)
{
    for (size_t i = 0; i < ms.n; i++)
        if (!matcher_matches(&ms.ptr[i], labels_get(ls, ms.ptr[i].name)))
            return false;
    return true;
}

const char *matcher_op_text(enum matcher_op op)
{
    static const char *const text[] = {"=", "!=", "=~", "!~"};

    return text[op];
}

void matcher_text(struct buf *out, const struct matcher *m)
{
    if (labels_is_legacy_name(m->name))
        buf_slice_append(out, m->name);
    else
        gostr_quote(out, m->name);
    buf_str(out, matcher_op_text(m->op));
    gostr_quote(out, m->value);
}

void matchers_text(struct buf *out, struct matchers ms)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ms.n; i++) {
        buf_str(out, i ? ", " : "");
        matcher_text(out, &ms.ptr[i]);
    }
    buf_byte(out, '}');
}

void matchers_encode(struct buf *out, struct matchers ms)
{
    buf_uvarint(out, ms.n);
    for (size_t i = 0; i < ms.n; i++) {
        buf_byte(out, (uint8_t)ms.ptr[i].op);
        buf_lstr(out, ms.ptr[i].name);
        buf_lstr(out, ms.ptr[i].value);
    }
}

static struct err *decode_one(struct arena *a, struct reader *r, size_t index, struct matcher *ret)
{
    uint8_t op = reader_u8(r);
    struct slice name = reader_lstr(r), value = reader_lstr(r);

    if (!reader_ok(r) || op > MATCHER_NRE)
        return err_new(ERR_INVALID, "matchers: malformed entry %zu", index);
    return matcher_init(a, (enum matcher_op)op, name, value, ret);
}

struct err *matchers_decode(struct arena *a, struct slice bytes, struct matchers *ret)
{
    struct reader r = reader_new(bytes);
    uint64_t n = reader_uvarint(&r);
    struct matcher *ms;
    struct err *e = NULL;
    size_t done = 0, n_regexes = 0;

    if (!reader_ok(&r) || n > MATCHERS_MAX || n > reader_left(&r) / LEAST_WIRE_BYTES)
        return err_new(ERR_INVALID, "matchers: bad count");
    ms = arena_array(a, struct matcher, n);
    while (done < n && !e) {
        if (!(e = decode_one(a, &r, done, &ms[done]))) {
            n_regexes += ms[done++].re != NULL;
            /* before the next is compiled, not after all of them */
            if (n_regexes > MATCHERS_MAX_REGEXES)
                e = matchers_check_count((struct matchers){ms, done});
        }
    }
    if (!e && reader_left(&r))
        e = err_new(ERR_INVALID, "matchers: %zu bytes too many", reader_left(&r));
    if (e) {
        matchers_done((struct matchers){ms, done});
        return e;
    }
    *ret = (struct matchers){ms, n};
    return NULL;
}

void matchers_done(struct matchers ms)
{
    for (size_t i = 0; i < ms.n; i++)
        re_free(ms.ptr[i].re);
}
