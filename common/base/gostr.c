#include "common/base/gostr.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <wctype.h>

struct rune_range {
    uint32_t lo, hi;
};

/* Unicode categories L, M, N, P, S and the ASCII space. */
static const struct rune_range print_ranges[] = {
#include "common/base/gostr_print.def"
};

static int range_order(const void *key, const void *range)
{
    uint32_t r = *(const uint32_t *)key;
    const struct rune_range *g = range;

    return r < g->lo ? -1 : r > g->hi;
}

bool gostr_is_print(uint32_t rune)
{
    if (rune < 0x7f)
        return rune >= 0x20;
    return bsearch(&rune, print_ranges, ORR_COUNT(print_ranges), sizeof(print_ranges[0]),
                   range_order) != NULL;
}

void gostr_put_rune(struct buf *out, uint32_t r)
{
    if (r > 0x10ffff || (r >= 0xd800 && r <= 0xdfff))
        r = 0xfffd;
    if (r < 0x80) {
        buf_byte(out, (uint8_t)r);
        return;
    }
    if (r < 0x800) {
        buf_byte(out, (uint8_t)(0xc0 | r >> 6));
    } else {
        if (r < 0x10000) {
            buf_byte(out, (uint8_t)(0xe0 | r >> 12));
        } else {
            buf_byte(out, (uint8_t)(0xf0 | r >> 18));
            buf_byte(out, (uint8_t)(0x80 | (r >> 12 & 0x3f)));
        }
        buf_byte(out, (uint8_t)(0x80 | (r >> 6 & 0x3f)));
    }
    buf_byte(out, (uint8_t)(0x80 | (r & 0x3f)));
}

size_t gostr_rune(struct slice s, uint32_t *ret_rune)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t c = s.ptr[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    uint32_t r;

    if (n == 1) {
        *ret_rune = c;
        return 1;
    }
    *ret_rune = 0xfffd;
    if (n == 0 || n > s.len)
        return 1;
    r = c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s.ptr[i] & 0xc0) != 0x80)
            return 1;
        r = r << 6 | (s.ptr[i] & 0x3f);
    }
    if (r < least[n] || r > 0x10ffff || (r >= 0xd800 && r <= 0xdfff))
        return 1;
    *ret_rune = r;
    return n;
}

static void quote_rune(struct buf *out, uint32_t r)
{
    static const char plain[] = "\a\b\f\n\r\t\v", letter[] = "abfnrtv";
    const char *p = r && r < 0x20 ? strchr(plain, (int)r) : NULL;

    if (r == '"' || r == '\\') {
        buf_byte(out, '\\');
        buf_byte(out, (uint8_t)r);
    } else if (p) {
        buf_byte(out, '\\');
        buf_byte(out, (uint8_t)letter[p - plain]);
    } else if (gostr_is_print(r)) {
        gostr_put_rune(out, r);
    } else if (r < ' ' || r == 0x7f) {
        buf_printf(out, "\\x%02x", r);
    } else if (r < 0x10000) {
        buf_printf(out, "\\u%04x", r);
    } else {
        buf_printf(out, "\\U%08x", r);
    }
}

void gostr_quote(struct buf *out, struct slice s)
{
    buf_byte(out, '"');
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        if (n == 1 && s.ptr[0] >= 0x80)
            buf_printf(out, "\\x%02x", s.ptr[0]);
        else
            quote_rune(out, r);
        s = slice_from(s, n);
    }
    buf_byte(out, '"');
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* n digits of base at off in s. */
static bool digits_at(struct slice s, size_t off, size_t n, int base, uint32_t *ret)
{
    uint32_t v = 0;

    if (off + n > s.len)
        return false;
    for (size_t i = off; i < off + n; i++) {
        int d = hex_of(s.ptr[i]);

        if (d < 0 || d >= base)
            return false;
        v = v * (uint32_t)base + (uint32_t)d;
    }
    *ret = v;
    return true;
}

static enum gostr_error unescape_number(struct slice *s, struct buf *out)
{
    uint8_t c = s->ptr[1];
    bool is_octal = c >= '0' && c <= '7';
    size_t n = is_octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : 8, off = is_octal ? 1 : 2;
    uint32_t v;

    if (!digits_at(*s, off, n, is_octal ? 8 : 16, &v))
        return GOSTR_SYNTAX;
    if (is_octal || c == 'x') {
        if (v > 255)
            return GOSTR_BAD_RUNE;
        buf_byte(out, (uint8_t)v);
    } else {
        if (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
            return GOSTR_BAD_RUNE;
        gostr_put_rune(out, v);
    }
    *s = slice_from(*s, off + n);
    return GOSTR_OK;
}

enum gostr_error gostr_unescape_one(struct slice *s, uint8_t quote, struct buf *out)
{
    static const char letter[] = "abfnrtv\\", plain[] = "\a\b\f\n\r\t\v\\";
    const char *p;
    uint8_t c;

    if (s->len == 0)
        return GOSTR_SYNTAX;
    if (s->ptr[0] != '\\') {
        uint32_t r;
        size_t n = gostr_rune(*s, &r);

        buf_append(out, s->ptr, n);
        *s = slice_from(*s, n);
        return GOSTR_OK;
    }
    if (s->len < 2)
        return GOSTR_SYNTAX;
    c = s->ptr[1];
    if ((c >= '0' && c <= '7') || c == 'x' || c == 'u' || c == 'U')
        return unescape_number(s, out);
    if (c && (p = strchr(letter, c)))
        buf_byte(out, (uint8_t)plain[p - letter]);
    else if (c == quote && (c == '\'' || c == '"'))
        buf_byte(out, c);
    else
        return GOSTR_UNKNOWN_ESCAPE;
    *s = slice_from(*s, 2);
    return GOSTR_OK;
}

bool gostr_unquote(struct slice q, struct buf *out)
{
    uint8_t quote = q.len >= 2 ? q.ptr[0] : 0;
    struct slice s = q.len >= 2 ? slice_of(q.ptr + 1, q.len - 2) : SLICE_EMPTY;

    if (!quote || !strchr("\"'`", quote) || q.ptr[q.len - 1] != quote)
        return false;
    if (quote == '`') {
        for (size_t i = 0; i < s.len; i++) {
            if (s.ptr[i] == '`')
                return false;
            if (s.ptr[i] != '\r')
                buf_byte(out, s.ptr[i]);
        }
        return true;
    }
    while (s.len) {
        if (s.ptr[0] == quote || s.ptr[0] == '\n' || gostr_unescape_one(&s, quote, out))
            return false;
    }
    return true;
}

/* ---- upper and lower case ---- */

/* Letters beyond ASCII, from the system's C.UTF-8; never freed. */
static locale_t utf8;
static pthread_once_t utf8_once = PTHREAD_ONCE_INIT;

static void load_utf8(void)
{
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

uint32_t gostr_rune_upper(uint32_t r)
{
    if (r < 0x80)
        return r >= 'a' && r <= 'z' ? r - 32 : r;
    (void)pthread_once(&utf8_once, load_utf8);
    return utf8 ? (uint32_t)towupper_l((wint_t)r, utf8) : r;
}

uint32_t gostr_rune_lower(uint32_t r)
{
    if (r < 0x80)
        return r >= 'A' && r <= 'Z' ? r + 32 : r;
    (void)pthread_once(&utf8_once, load_utf8);
    return utf8 ? (uint32_t)towlower_l((wint_t)r, utf8) : r;
}

bool gostr_is_letter(uint32_t r)
{
    if (r < 0x80)
        return (r | 0x20) >= 'a' && (r | 0x20) <= 'z';
    (void)pthread_once(&utf8_once, load_utf8);
    return utf8 && iswalpha_l((wint_t)r, utf8);
}

size_t gostr_word_at(struct slice s, size_t pos, bool with_digits)
{
    uint8_t c = pos < s.len ? s.ptr[pos] : 0;
    uint32_t rune;
    size_t n;

    if (c < 0x80)
        return c == '_' || gostr_is_letter(c) || (with_digits && c >= '0' && c <= '9');
    n = gostr_rune(slice_from(s, pos), &rune);
    return gostr_is_letter(rune) ? n : 0;
}

static void map_runes(struct buf *out, struct slice s, uint32_t (*map)(uint32_t))
{
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        gostr_put_rune(out, map(r));
        s = slice_from(s, n);
    }
}

void gostr_upper(struct buf *out, struct slice s)
{
    map_runes(out, s, gostr_rune_upper);
}

void gostr_lower(struct buf *out, struct slice s)
{
    map_runes(out, s, gostr_rune_lower);
}
