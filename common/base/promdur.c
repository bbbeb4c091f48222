#include "common/base/promdur.h"

#include <inttypes.h>

#include "common/base/gostr.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

struct unit {
    const char *name;
    uint64_t size;
};

/* In milliseconds, in the order in which they may be written. */
static const struct unit prom_units[] = {{"y", UINT64_C(31536000000)},
                                         {"w", 604800000},
                                         {"d", 86400000},
                                         {"h", 3600000},
                                         {"m", 60000},
                                         {"s", 1000},
                                         {"ms", 1}};

/* In nanoseconds. */
static const struct unit go_units[] = {{"ns", 1},
                                       {"us", 1000},
                                       {"\xc2\xb5s", 1000}, /* U+00B5 micro */
                                       {"\xce\xbcs", 1000}, /* U+03BC mu */
                                       {"ms", 1000000},
                                       {"s", 1000000000},
                                       {"m", UINT64_C(60000000000)},
                                       {"h", UINT64_C(3600000000000)}};

static struct err *invalid(struct slice text, const char *what)
{
    struct buf b = {0};
    struct err *e;

    gostr_quote(&b, text.len > 128 ? slice_sub(text, 0, 128) : text);
    e = err_new(ERR_INVALID, "%s: %s", what, buf_cstr(&b));
    buf_done(&b);
    return e;
}

static size_t digits(struct slice s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

/* The index of the unit that is all of s up to the next digit, or n. */
static size_t unit_at(struct slice s, const struct unit *units, size_t n, size_t *ret_len)
{
    size_t len = 0;

    while (len < s.len && s.ptr[len] != '.' && (s.ptr[len] < '0' || s.ptr[len] > '9'))
        len++;
    *ret_len = len;
    for (size_t i = 0; i < n; i++)
        if (slice_eq_cstr(slice_sub(s, 0, len), units[i].name))
            return i;
    return n;
}

struct err *promdur_parse(struct slice text, int64_t *ret_ns)
{
    struct slice s = text;
    size_t next = 0; /* units may only get smaller */
    uint64_t ms = 0;

    if (text.len == 0)
        return err_new(ERR_INVALID, "empty duration string");
    if (slice_eq_cstr(text, "0")) {
        *ret_ns = 0;
        return NULL;
    }
    while (s.len) {
        size_t n = digits(s), unit_len,
               unit = unit_at(slice_from(s, n), prom_units, ORR_COUNT(prom_units), &unit_len);
        uint64_t v;

        if (n == 0 || unit < next || unit == ORR_COUNT(prom_units))
            return invalid(text, "not a valid duration string");
        if (!slice_to_u64(slice_sub(s, 0, n), &v) ||
            v > (uint64_t)INT64_MAX / NS_PER_MS / prom_units[unit].size ||
            (ms += v * prom_units[unit].size) > (uint64_t)INT64_MAX / NS_PER_MS)
            return err_new(ERR_INVALID, "duration out of range");
        next = unit + 1;
        s = slice_from(s, n + unit_len);
    }
    *ret_ns = (int64_t)ms * NS_PER_MS;
    return NULL;
}

struct err *promdur_parse_signed(struct slice text, int64_t *ret_ns)
{
    bool is_minus = text.len && text.ptr[0] == '-';
    struct err *e = promdur_parse(is_minus ? slice_from(text, 1) : text, ret_ns);

    if (!e && is_minus)
        *ret_ns = -*ret_ns;
    return e;
}

void promdur_print(struct buf *out, int64_t ns)
{
    int64_t ms = ns / NS_PER_MS;
    uint64_t left = ms < 0 ? (uint64_t)-ms : (uint64_t)ms;

    if (ms == 0) {
        buf_str(out, "0s");
        return;
    }
    if (ms < 0)
        buf_byte(out, '-');
    for (size_t i = 0; i < ORR_COUNT(prom_units); i++) {
        bool must_be_exact = i < 2; /* years and weeks: only when nothing is left over */
        uint64_t v = left / prom_units[i].size;

        if (v == 0 || (must_be_exact && left % prom_units[i].size))
            continue;
        buf_printf(out, "%" PRIu64 "%s", v, prom_units[i].name);
        left -= v * prom_units[i].size;
    }
}

double promdur_seconds(int64_t ns)
{
    return (double)(ns / NS_PER_S) + (double)(ns % NS_PER_S) / 1e9;
}

/* .digits of a Go duration as a fraction *ret / *ret_scale; surplus digits are dropped. */
static size_t fraction(struct slice s, uint64_t *ret, double *ret_scale)
{
    size_t n = digits(s);
    bool is_full = false;

    *ret = 0;
    *ret_scale = 1;
    for (size_t i = 0; i < n && !is_full; i++) {
        uint64_t more = *ret * 10 + (uint64_t)(s.ptr[i] - '0');

        is_full = *ret > (UINT64_C(1) << 63) / 10 || more > UINT64_C(1) << 63;
        if (!is_full) {
            *ret = more;
            *ret_scale *= 10;
        }
    }
    return n;
}

/* One number with its unit; adds to *sum, which may reach 2^63 (for the most negative one). */
static struct err *go_term(struct slice text, struct slice *s, uint64_t *sum)
{
    const uint64_t max = UINT64_C(1) << 63;
    size_t n = digits(*s), n_fraction = 0, unit_len, unit;
    uint64_t v = 0, f = 0;
    double scale = 1;

    for (size_t i = 0; i < n; i++) {
        if (v > max / 10 || (v = v * 10 + (uint64_t)(s->ptr[i] - '0')) > max)
            return invalid(text, "time: invalid duration");
    }
    *s = slice_from(*s, n);
    if (s->len && s->ptr[0] == '.') {
        n_fraction = fraction(slice_from(*s, 1), &f, &scale);
        *s = slice_from(*s, 1 + n_fraction);
    }
    if (n == 0 && n_fraction == 0)
        return invalid(text, "time: invalid duration");
    unit = unit_at(*s, go_units, ORR_COUNT(go_units), &unit_len);
    if (unit_len == 0)
        return invalid(text, "time: missing unit in duration");
    if (unit == ORR_COUNT(go_units))
        return invalid(text, "time: unknown unit in duration");
    *s = slice_from(*s, unit_len);
    if (v > max / go_units[unit].size)
        return invalid(text, "time: invalid duration");
    v *= go_units[unit].size;
    if (f > 0)
        v += (uint64_t)((double)f * ((double)go_units[unit].size / scale));
    if (v > max || (*sum += v) > max)
        return invalid(text, "time: invalid duration");
    return NULL;
}

struct err *promdur_parse_go(struct slice text, int64_t *ret_ns)
{
    struct slice s = text;
    bool is_minus = s.len && s.ptr[0] == '-';
    uint64_t sum = 0;
    struct err *e;

    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = slice_from(s, 1);
    if (slice_eq_cstr(s, "0")) {
        *ret_ns = 0;
        return NULL;
    }
    if (s.len == 0)
        return invalid(text, "time: invalid duration");
    while (s.len)
        if ((e = go_term(text, &s, &sum)))
            return e;
    if (sum > (uint64_t)INT64_MAX && !is_minus)
        return invalid(text, "time: invalid duration");
    *ret_ns = is_minus ? (int64_t)(0 - sum) : (int64_t)sum;
    return NULL;
}

/* v / 10^digits without trailing zeros. */
static void print_fraction(struct buf *out, uint64_t v, unsigned n_digits)
{
    char tail[20];
    uint64_t scale = 1;
    size_t n = n_digits;

    for (unsigned i = 0; i < n_digits; i++)
        scale *= 10;
    buf_printf(out, "%" PRIu64, v / scale);
    v %= scale;
    if (v == 0)
        return;
    for (size_t i = n_digits; i-- > 0; v /= 10)
        tail[i] = (char)('0' + v % 10);
    while (tail[n - 1] == '0')
        n--;
    buf_printf(out, ".%.*s", (int)n, tail);
}

void promdur_print_go(struct buf *out, int64_t ns)
{
    uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, minutes;

    if (ns == 0) {
        buf_str(out, "0s");
        return;
    }
    if (ns < 0)
        buf_byte(out, '-');
    if (u < (uint64_t)NS_PER_S) {
        unsigned n_digits = u < 1000 ? 0 : u < (uint64_t)NS_PER_MS ? 3 : 6;

        print_fraction(out, u, n_digits);
        buf_str(out, n_digits == 0 ? "ns" : n_digits == 3 ? "\xc2\xb5s" : "ms");
        return;
    }
    minutes = u / (60 * (uint64_t)NS_PER_S);
    if (minutes >= 60)
        buf_printf(out, "%" PRIu64 "h", minutes / 60);
    if (minutes)
        buf_printf(out, "%" PRIu64 "m", minutes % 60);
    print_fraction(out, u % (60 * (uint64_t)NS_PER_S), 9);
    buf_byte(out, 's');
}
