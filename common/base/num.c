#include "common/base/num.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/num_shim.h"
#include "common/base/num_short.h"

#define MAX_PREC 1000
#define SCRATCH_BYTES 1500

/* Significant digits without point; value = 0.d1d2d3... x 10^point. */
struct digits {
    char d[SCRATCH_BYTES];
    int n, point;
};

static void shortest_digits(double v, struct digits *ret)
{
    struct num_short s;

    ret->n = ret->point = 0;
    if (v == 0)
        return;
    s = num_shortest(v);
    ret->n = (int)num_write_u64(s.digits, ret->d);
    ret->point = ret->n + s.exp10;
}

/* prec digits after the first, -1 for the shortest. */
static void digits_of(double v, int prec, struct digits *ret)
{
    char text[SCRATCH_BYTES];
    size_t len, i = 0;

    if (prec < 0) {
        shortest_digits(v, ret);
        return;
    }
    len = num_shim_scientific(v, prec, text, sizeof(text));
    ORR_ASSERT(len > 0 && len < sizeof(text));
    text[len] = 0;
    ret->n = 0;
    for (; i < len && text[i] != 'e'; i++)
        if (text[i] != '.')
            ret->d[ret->n++] = text[i];
    ret->point = v == 0 ? 0 : atoi(text + i + 1) + 1;
}

static char digit_at(const struct digits *d, int i)
{
    return i >= 0 && i < d->n ? d->d[i] : '0';
}

/* d.ddde±XX with prec digits after the point */
static void write_e(struct buf *out, const struct digits *d, int prec, char letter)
{
    int exp = d->n == 0 ? 0 : d->point - 1;

    if (d->n && d->d[0] == '0')
        exp = 0;
    buf_byte(out, (uint8_t)digit_at(d, 0));
    if (prec > 0) {
        buf_byte(out, '.');
        for (int i = 1; i <= prec; i++)
            buf_byte(out, (uint8_t)digit_at(d, i));
    }
    buf_printf(out, "%c%c%02d", letter, exp < 0 ? '-' : '+', abs(exp));
}

static void write_f(struct buf *out, const struct digits *d, int prec)
{
    if (d->point <= 0)
        buf_byte(out, '0');
    for (int i = 0; i < d->point; i++)
        buf_byte(out, (uint8_t)digit_at(d, i));
    if (prec > 0) {
        buf_byte(out, '.');
        for (int i = 0; i < prec; i++)
            buf_byte(out, (uint8_t)digit_at(d, d->point + i));
    }
}

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233"
    "34353637383940414243444546474849505152535455565758596061626364656667"
    "6869707172737475767778798081828384858687888990919293949596979899";

/* The four pairs do not wait for each other, as they do when v is divided time and again. */
static inline void write_8(uint32_t v, char *out)
{
    uint32_t high = v / 10000, low = v % 10000;

    memcpy(out, digit_pairs + high / 100 * 2, 2);
    memcpy(out + 2, digit_pairs + high % 100 * 2, 2);
    memcpy(out + 4, digit_pairs + low / 100 * 2, 2);
    memcpy(out + 6, digit_pairs + low % 100 * 2, 2);
}

/* v below 10^8, without the zeros before it. Writes 8 bytes in any case. */
static inline size_t write_up_to_8(uint32_t v, char *out)
{
    uint64_t text, zeros;

    write_8(v, out);
    memcpy(&text, out, sizeof(text));
    text = le64toh(text); /* the first digit lowest */
    zeros = ((uint64_t)__builtin_ctzll((text ^ 0x3030303030303030ull) | 1ull << 56) / 8);
    text = htole64(text >> zeros * 8);
    memcpy(out, &text, sizeof(text));
    return 8 - zeros;
}

size_t num_write_u64(uint64_t v, char *out)
{
    const uint64_t e8 = 100000000;
    size_t n;

    if (v < e8)
        return write_up_to_8((uint32_t)v, out);
    if (v < e8 * e8) {
        n = write_up_to_8((uint32_t)(v / e8), out);
    } else {
        n = write_up_to_8((uint32_t)(v / e8 / e8), out);
        write_8((uint32_t)(v / e8 % e8), out + n);
        n += 8;
    }
    write_8((uint32_t)(v % e8), out + n);
    return n + 8;
}

/* digits x 10^exp10 with the point where it belongs. */
static size_t write_short(struct num_short d, char *out)
{
    enum { MOST = 24 }; /* digits, in whole words: copies of a known size need no call */
    char text[MOST * 2] = {0};
    int len = (int)num_write_u64(d.digits, text), point = len + d.exp10;

    if (d.exp10 >= 0) {
        memcpy(out, text, (size_t)len);
        memset(out + len, '0', (size_t)d.exp10);
        return (size_t)point;
    }
    if (point > 0) {
        memcpy(out, text, MOST);
        out[point] = '.';
        memcpy(out + point + 1, text + point, MOST);
        return (size_t)len + 1;
    }
    out[0] = '0';
    out[1] = '.';
    memset(out + 2, '0', (size_t)-point);
    memcpy(out + 2 - point, text, (size_t)len);
    return (size_t)(2 - point + len);
}

size_t num_write_f(double v, char *out)
{
    size_t n = 0;

    if (isnan(v) || isinf(v)) {
        memcpy(out, isnan(v) ? "NaN" : v < 0 ? "-Inf" : "+Inf", 4);
        return isnan(v) ? 3 : 4;
    }
    if (signbit(v)) {
        out[n++] = '-';
        v = -v;
    }
    /* Whole numbers below 2^53 are most of what is ever printed. */
    if (v < 9007199254740992.0 && v == (double)(uint64_t)v)
        return n + num_write_u64((uint64_t)v, out + n);
    return n + write_short(num_shortest(v), out + n);
}

static void format_f(struct buf *out, double v, int prec)
{
    char text[SCRATCH_BYTES];

    buf_append(out, text,
               prec < 0 ? num_write_f(v, text) : num_shim_fixed(v, prec, text, sizeof(text)));
}

static void format_g(struct buf *out, double v, int prec, char letter)
{
    struct digits d;
    int eprec, exp;

    if (prec == 0)
        prec = 1;
    digits_of(v, prec < 0 ? -1 : prec - 1, &d);
    while (d.n > 0 && d.d[d.n - 1] == '0')
        d.n--;
    eprec = prec;
    if (prec < 0)
        eprec = 6;
    else if (eprec > d.n && d.n >= d.point)
        eprec = d.n;
    exp = d.n ? d.point - 1 : -1;
    if (exp < -4 || exp >= eprec)
        write_e(out, &d, ORR_MAX(d.n - 1, 0), letter);
    else
        write_f(out, &d, ORR_MAX(d.n - d.point, 0));
}

static bool format_special(struct buf *out, double v)
{
    if (isnan(v))
        buf_str(out, "NaN");
    else if (isinf(v))
        buf_str(out, v < 0 ? "-Inf" : "+Inf");
    else
        return false;
    return true;
}

void num_format(struct buf *out, double v, char fmt, int prec)
{
    struct digits d;

    if (format_special(out, v))
        return;
    prec = ORR_MIN(prec, MAX_PREC);
    if (signbit(v)) {
        buf_byte(out, '-');
        v = -v;
    }
    switch (fmt) {
    case 'e':
    case 'E':
        digits_of(v, prec, &d);
        write_e(out, &d, prec < 0 ? ORR_MAX(d.n - 1, 0) : prec, fmt);
        break;
    case 'f':
        format_f(out, v, prec);
        break;
    default:
        format_g(out, v, prec, fmt == 'G' ? 'E' : 'e');
    }
}

void num_format_v(struct buf *out, double v)
{
    num_format(out, v, 'g', -1);
}

static bool parse_special(struct slice s, bool is_negative, double *ret)
{
    if (slice_eq_nocase(s, SLICE("inf")) || slice_eq_nocase(s, SLICE("infinity")))
        *ret = is_negative ? -INFINITY : INFINITY;
    else
        return false;
    return true;
}

static size_t skip_digits(struct slice s, size_t i, bool is_hex, size_t *ret_n)
{
    size_t from = i;

    while (i < s.len && ((s.ptr[i] >= '0' && s.ptr[i] <= '9') ||
                         (is_hex && (s.ptr[i] | 32) >= 'a' && (s.ptr[i] | 32) <= 'f')))
        i++;
    *ret_n = i - from;
    return i;
}

/* Is s, without sign, a decimal or hexadecimal float in Go's syntax? strtod takes more. */
static bool is_float_syntax(struct slice s)
{
    bool is_hex = s.len > 2 && s.ptr[0] == '0' && (s.ptr[1] | 32) == 'x';
    size_t i = is_hex ? 2 : 0, whole, part = 0, exp;

    i = skip_digits(s, i, is_hex, &whole);
    if (i < s.len && s.ptr[i] == '.')
        i = skip_digits(s, i + 1, is_hex, &part);
    if (whole + part == 0)
        return false;
    if (i == s.len)
        return !is_hex; /* hexadecimal floats need their p exponent */
    if ((s.ptr[i] | 32) != (is_hex ? 'p' : 'e'))
        return false;
    i++;
    if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-'))
        i++;
    i = skip_digits(s, i, false, &exp);
    return exp > 0 && i == s.len;
}

/*
 * At most 15 digits with or without a point, as most numbers of most texts: both the digits as an
 * integer and the power of ten are exact, so the one division rounds as it must.
 */
static bool parse_short(struct slice s, double *ret)
{
    static const double powers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t v = 0;
    size_t part = 0, digits = s.len;

    if (s.len == 0 || s.len > 16)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = s.ptr[i] - '0';

        if (d < 10) {
            v = 10 * v + d;
        } else if (s.ptr[i] == '.' && digits == s.len) {
            part = s.len - i - 1;
            digits--;
        } else {
            return false;
        }
    }
    if (digits == 0 || digits > 15)
        return false;
    *ret = (double)v / powers[part];
    return true;
}

bool num_parse(struct slice s, double *ret)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    char small[64], *text = small;
    bool is_fine;

    if (parse_short(slice_from(s, is_negative), ret)) {
        *ret = is_negative ? -*ret : *ret;
        return true;
    }
    if (slice_eq_nocase(s, SLICE("nan"))) {
        uint64_t bits = 0x7ff8000000000001ull; /* Go's math.NaN() */

        memcpy(ret, &bits, sizeof(bits));
        return true;
    }
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = slice_from(s, 1);
    if (parse_special(s, is_negative, ret))
        return true;
    if (!is_float_syntax(s))
        return false;
    if (s.len >= sizeof(small))
        text = mem_alloc(s.len + 1);
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    *ret = strtod(text, NULL); /* the C locale is never changed */
    is_fine = !isinf(*ret);
    if (is_negative)
        *ret = -*ret;
    if (text != small)
        mem_free(text);
    return is_fine;
}
