/* Numbers, runes and strings under the flags of a verb. */
#include <math.h>
#include <stdlib.h>

#include "common/base/gostr.h"
#include "common/base/num.h"
#include "common/template/valuefmt_internal.h"

static void put_padding(struct valuefmt *f, long n)
{
    if (n > 0)
        buf_fill(f->out, f->zero && !f->minus ? '0' : ' ', (size_t)n);
}

static long rune_count(struct slice s)
{
    long n = 0;
    uint32_t r;

    for (; s.len; n++)
        s = slice_from(s, gostr_rune(s, &r));
    return n;
}

void valuefmt_pad(struct valuefmt *f, struct slice text)
{
    long missing = f->has_width ? f->width - rune_count(text) : 0;

    if (!f->minus)
        put_padding(f, missing);
    buf_slice_append(f->out, text);
    if (f->minus)
        put_padding(f, missing);
}

static void pad_with_spaces(struct valuefmt *f, struct slice text)
{
    bool zero = f->zero;

    f->zero = false;
    valuefmt_pad(f, text);
    f->zero = zero;
}

/* Digits of u from the end of a scratch of n bytes; returns where they start. */
static size_t put_digits(char *scratch, size_t n, uint64_t u, unsigned base, bool is_upper)
{
    const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";

    do
        scratch[--n] = digits[u % base];
    while ((u /= base));
    return n;
}

void valuefmt_integer(struct valuefmt *f, uint64_t u, unsigned base, bool is_signed, uint32_t verb,
                      bool is_upper)
{
    bool is_negative = is_signed && (int64_t)u < 0;
    struct buf b = {.max_bytes = f->out->max_bytes};
    char digits[64];
    size_t start;
    long prec = 0;

    if (is_negative)
        u = -u;
    if (f->has_prec) {
        prec = f->prec;
        if (prec == 0 && u == 0) {
            if (f->has_width)
                buf_fill(f->out, ' ', (size_t)f->width);
            return;
        }
    } else if (f->zero && !f->minus && f->has_width) {
        prec = f->width - (is_negative || f->plus || f->space);
    }
    start = put_digits(digits, sizeof(digits), u, base, is_upper);
    if (is_negative || f->plus || f->space)
        buf_byte(&b, is_negative ? '-' : f->plus ? '+' : ' ');
    if (verb == 'O')
        buf_str(&b, "0o");
    if (f->sharp && base == 2)
        buf_str(&b, "0b");
    if (f->sharp && base == 16)
        buf_str(&b, is_upper ? "0X" : "0x");
    if (f->sharp && base == 8 && digits[start] != '0' && prec <= (long)(sizeof(digits) - start))
        buf_byte(&b, '0');
    if (prec > (long)(sizeof(digits) - start))
        buf_fill(&b, '0', (size_t)prec - (sizeof(digits) - start));
    buf_append(&b, digits + start, sizeof(digits) - start);
    pad_with_spaces(f, buf_slice(&b));
    buf_done(&b);
}

/* %#g and its like keep the point, and %g its trailing zeros. text has a sign in front. */
static void sharpen(struct buf *b, uint32_t verb, int prec)
{
    int digits = verb == 'g' || verb == 'G' ? (prec == -1 ? 6 : prec) : 0;
    struct slice all = buf_slice(b);
    struct buf tail = {0};
    bool has_point = false, saw_digit = false;
    size_t end = all.len;

    for (size_t i = 1; i < all.len; i++) {
        uint8_t c = all.ptr[i];

        if (c == 'e' || c == 'E') {
            buf_slice_append(&tail, slice_from(all, i));
            end = i;
            break;
        }
        if (c == '.') {
            has_point = true;
            continue;
        }
        saw_digit |= c != '0';
        digits -= saw_digit;
    }
    b->len = end;
    if (!has_point) {
        if (end == 2 && b->ptr[1] == '0')
            digits--; /* a lone leading zero counts here */
        buf_byte(b, '.');
    }
    if (digits > 0)
        buf_fill(b, '0', (size_t)digits);
    buf_slice_append(b, buf_slice(&tail));
    buf_done(&tail);
}

/* FormatFloat's %x and %b: hexadecimal mantissa, and mantissa with a power of two. */
static void put_binary_float(struct buf *b, double v, uint32_t verb, int prec)
{
    if (!isfinite(v)) {
        num_format(b, v, 'g', -1);
    } else if (verb == 'b') {
        uint64_t bits, mantissa;
        int exp;

        memcpy(&bits, &v, sizeof(bits));
        mantissa = bits & ((1ull << 52) - 1);
        exp = (int)(bits >> 52 & 0x7ff);
        if (exp)
            mantissa |= 1ull << 52;
        else
            exp = 1;
        exp -= 1075;
        buf_printf(b, "%s%llup%+d", signbit(v) ? "-" : "", (unsigned long long)mantissa, exp);
    } else {
        struct buf c = {0};
        const char *p;

        if (prec < 0)
            buf_printf(&c, verb == 'X' ? "%A" : "%a", v);
        else
            buf_printf(&c, verb == 'X' ? "%.*A" : "%.*a", prec, v);
        /* Go has two digits of the exponent at least. */
        p = strpbrk(buf_cstr(&c), "pP");
        if (p && strlen(p) == 3) {
            buf_append(b, c.ptr, c.len - 1);
            buf_byte(b, '0');
            buf_byte(b, c.ptr[c.len - 1]);
        } else {
            buf_slice_append(b, buf_slice(&c));
        }
        buf_done(&c);
    }
}

void valuefmt_float(struct valuefmt *f, double v, uint32_t verb, int prec)
{
    struct buf b = {0}, digits = {0};
    struct slice num;

    if (f->has_prec)
        prec = ORR_MIN(f->prec, 100000);
    if (verb == 'b' || verb == 'x' || verb == 'X')
        put_binary_float(&digits, v, verb, prec);
    else
        num_format(&digits, v, verb == 'F' ? 'f' : (char)verb, prec);
    if (!digits.len || (digits.ptr[0] != '-' && digits.ptr[0] != '+'))
        buf_byte(&b, '+');
    buf_slice_append(&b, buf_slice(&digits));
    buf_done(&digits);
    if (f->space && b.ptr[0] == '+' && !f->plus)
        b.ptr[0] = ' ';
    if (!isfinite(v)) {
        num = buf_slice(&b);
        if (isnan(v) && !f->space && !f->plus)
            num = slice_from(num, 1);
        pad_with_spaces(f, num);
        buf_done(&b);
        return;
    }
    if (f->sharp && verb != 'b' && verb != 'x' && verb != 'X')
        sharpen(&b, verb, f->has_prec ? f->prec : prec);
    num = buf_slice(&b);
    if (!f->plus && num.ptr[0] == '+') {
        valuefmt_pad(f, slice_from(num, 1));
    } else if (f->zero && !f->minus && f->has_width && f->width > (long)num.len) {
        buf_byte(f->out, num.ptr[0]); /* the sign goes before the zeros */
        put_padding(f, f->width - (long)num.len);
        buf_slice_append(f->out, slice_from(num, 1));
    } else {
        valuefmt_pad(f, num);
    }
    buf_done(&b);
}

static uint32_t rune_of(uint64_t u)
{
    return u > 0x10ffff ? 0xfffd : (uint32_t)u;
}

void valuefmt_rune(struct valuefmt *f, uint64_t u)
{
    struct buf b = {0};

    gostr_put_rune(&b, rune_of(u));
    valuefmt_pad(f, buf_slice(&b));
    buf_done(&b);
}

/* Escapes what is not ASCII, for the + flag. */
static void to_ascii(struct buf *out, struct slice quoted)
{
    while (quoted.len) {
        uint32_t r;
        size_t n = gostr_rune(quoted, &r);

        if (r < 0x80)
            buf_byte(out, (uint8_t)r);
        else
            buf_printf(out, r < 0x10000 ? "\\u%04x" : "\\U%08x", r);
        quoted = slice_from(quoted, n);
    }
}

static void pad_quoted(struct valuefmt *f, struct buf *b)
{
    struct buf ascii = {.max_bytes = f->out->max_bytes};

    if (f->plus)
        to_ascii(&ascii, buf_slice(b));
    valuefmt_pad(f, f->plus ? buf_slice(&ascii) : buf_slice(b));
    buf_done(&ascii);
    buf_done(b);
}

void valuefmt_quoted_rune(struct valuefmt *f, uint64_t u)
{
    struct buf rune = {0}, b = {0};

    gostr_put_rune(&rune, rune_of(u));
    if (u == '\'' || u == '"') {
        buf_str(&b, u == '"' ? "'\"'" : "'\\''");
    } else {
        gostr_quote(&b, buf_slice(&rune));
        b.ptr[0] = b.ptr[b.len - 1] = '\'';
    }
    buf_done(&rune);
    pad_quoted(f, &b);
}

void valuefmt_unicode(struct valuefmt *f, uint64_t u)
{
    struct buf b = {.max_bytes = f->out->max_bytes};
    int digits = f->has_prec && f->prec > 4 ? f->prec : 4;

    buf_str(&b, "U+");
    for (int have = (int)(64 - __builtin_clzll(u | 1) + 3) / 4; have < digits; have++)
        buf_byte(&b, '0');
    buf_printf(&b, "%llX", (unsigned long long)u);
    if (f->sharp && u <= 0x10ffff && gostr_is_print((uint32_t)u)) {
        buf_str(&b, " '");
        gostr_put_rune(&b, (uint32_t)u);
        buf_byte(&b, '\'');
    }
    pad_with_spaces(f, buf_slice(&b));
    buf_done(&b);
}

void valuefmt_hex(struct valuefmt *f, struct slice s, bool is_upper)
{
    struct buf b = {.max_bytes = f->out->max_bytes};
    size_t n = f->has_prec && (size_t)f->prec < s.len ? (size_t)f->prec : s.len;

    for (size_t i = 0; i < n; i++) {
        if (f->space && i)
            buf_byte(&b, ' ');
        if (f->sharp && (f->space || i == 0))
            buf_str(&b, is_upper ? "0X" : "0x");
        buf_printf(&b, is_upper ? "%02X" : "%02x", s.ptr[i]);
    }
    valuefmt_pad(f, buf_slice(&b));
    buf_done(&b);
}

static struct slice truncate_runes(const struct valuefmt *f, struct slice s)
{
    struct slice rest = s;
    uint32_t r;

    if (!f->has_prec)
        return s;
    for (int i = 0; i < f->prec && rest.len; i++)
        rest = slice_from(rest, gostr_rune(rest, &r));
    return slice_of(s.ptr, s.len - rest.len);
}

static bool can_backquote(struct slice s)
{
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        if ((n == 1 && s.ptr[0] >= 0x80) || r == 0xfeff || (r < ' ' && r != '\t') || r == '`' ||
            r == 0x7f)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

void valuefmt_quoted(struct valuefmt *f, struct slice s)
{
    struct buf b = {.max_bytes = f->out->max_bytes};

    s = truncate_runes(f, s);
    if (f->sharp && can_backquote(s)) {
        buf_byte(&b, '`');
        buf_slice_append(&b, s);
        buf_byte(&b, '`');
        valuefmt_pad(f, buf_slice(&b));
        buf_done(&b);
        return;
    }
    gostr_quote(&b, s);
    pad_quoted(f, &b);
}

void valuefmt_text(struct valuefmt *f, struct slice s)
{
    valuefmt_pad(f, truncate_runes(f, s));
}
