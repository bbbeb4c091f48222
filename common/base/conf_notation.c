#include <math.h>

#include "common/base/conf.h"
#include "common/base/num.h"

struct unit {
    const char *name;
    double scale;
};

/* Longest first where one begins another. */
static const struct unit duration_units[] = {
    {"ns", 1},   {"us", 1e3},   {"\xc2\xb5s", 1e3}, {"ms", 1e6},        {"s", 1e9},
    {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9},     {"w", 7 * 86400e9}, {"y", 365 * 86400e9},
};

static const struct unit byte_units[] = {
    {"", 1},
    {"b", 1},
    {"kib", 1024},
    {"mib", 1048576.0},
    {"gib", 1073741824.0},
    {"tib", 1099511627776.0},
    {"pib", 1125899906842624.0},
    {"ki", 1024},
    {"mi", 1048576.0},
    {"gi", 1073741824.0},
    {"ti", 1099511627776.0},
    {"pi", 1125899906842624.0},
    {"kb", 1e3},
    {"mb", 1e6},
    {"gb", 1e9},
    {"tb", 1e12},
    {"pb", 1e15},
    {"k", 1e3},
    {"m", 1e6},
    {"g", 1e9},
    {"t", 1e12},
    {"p", 1e15},
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Length of the decimal number at the start: digits, perhaps a fraction, perhaps an exponent. */
static size_t number_len(struct slice s, bool allow_exponent)
{
    size_t i = 0, at;

    while (i < s.len && is_digit(s.ptr[i]))
        i++;
    if (i > 0 && i + 1 < s.len && s.ptr[i] == '.' && is_digit(s.ptr[i + 1]))
        for (i++; i < s.len && is_digit(s.ptr[i]);)
            i++;
    if (!allow_exponent || i == 0 || i + 1 >= s.len || (s.ptr[i] | 0x20) != 'e')
        return i;
    at = i + 1 + (s.ptr[i + 1] == '+');
    if (at >= s.len || !is_digit(s.ptr[at]))
        return i;
    while (at < s.len && is_digit(s.ptr[at]))
        at++;
    return at;
}

/* number * scale, exact where the number is whole. False when it does not fit an int64_t. */
static bool scaled(struct slice number, double scale, int64_t *ret)
{
    uint64_t whole;
    double v;

    if (slice_to_u64(number, &whole))
        return !__builtin_mul_overflow(whole, (uint64_t)scale, ret);
    if (!num_parse(number, &v) || !(v * scale < 9.2e18))
        return false;
    *ret = (int64_t)(v * scale + 0.5);
    return true;
}

/* One "90m" off the front of *s, added to *sum. False when malformed or too large. */
static bool take_duration(struct slice *s, double *last_scale, int64_t *sum)
{
    size_t n = number_len(*s, false);
    struct slice number = slice_sub(*s, 0, n), rest = slice_from(*s, n);
    int64_t ns;

    if (n == 0)
        return false;
    for (size_t i = 0; i < ORR_COUNT(duration_units); i++) {
        struct slice name = slice_cstr(duration_units[i].name);

        if (!slice_has_prefix(rest, name))
            continue;
        /* Units fall, so that no unit comes twice. */
        if (*last_scale <= duration_units[i].scale ||
            !scaled(number, duration_units[i].scale, &ns) || __builtin_add_overflow(*sum, ns, sum))
            return false;
        *last_scale = duration_units[i].scale;
        *s = slice_from(rest, name.len);
        return true;
    }
    return false;
}

struct err *conf_parse_duration(struct slice s, int64_t *ret_ns)
{
    struct slice rest = slice_trim(s);
    double last_scale = INFINITY;
    int64_t sum = 0;
    bool is_ok = rest.len > 0;

    if (slice_eq_cstr(rest, "0")) {
        *ret_ns = 0;
        return NULL;
    }
    while (is_ok && rest.len)
        is_ok = take_duration(&rest, &last_scale, &sum);
    if (!is_ok)
        return err_new(ERR_INVALID, "\"%.*s\" is not a duration such as 1h30m, 15s or 500ms",
                       (int)ORR_MIN(s.len, (size_t)64), (const char *)s.ptr);
    *ret_ns = sum;
    return NULL;
}

struct err *conf_parse_bytes(struct slice s, int64_t *ret)
{
    struct slice t = slice_trim(s);
    size_t n = number_len(t, true);
    struct slice number = slice_sub(t, 0, n), unit = slice_trim(slice_from(t, n));

    for (size_t i = 0; n && i < ORR_COUNT(byte_units); i++)
        if (slice_eq_nocase(unit, slice_cstr(byte_units[i].name)) &&
            scaled(number, byte_units[i].scale, ret))
            return NULL;
    return err_new(ERR_INVALID, "\"%.*s\" is not a size such as 64MiB, 10KB or 1e6",
                   (int)ORR_MIN(s.len, (size_t)64), (const char *)s.ptr);
}

void conf_format_duration(struct buf *out, int64_t ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"d", 86400000000000}, {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
                 {"ms", 1000000},       {"us", 1000},         {"ns", 1}};

    if (ns <= 0)
        buf_str(out, "0s");
    for (size_t i = 0; i < ORR_COUNT(units) && ns > 0; i++) {
        if (ns >= units[i].ns)
            buf_printf(out, "%lld%s", (long long)(ns / units[i].ns), units[i].name);
        ns %= units[i].ns;
    }
}

void conf_format_bytes(struct buf *out, int64_t bytes)
{
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t i = 0;

    while (bytes != 0 && bytes % 1024 == 0 && i + 1 < ORR_COUNT(names)) {
        bytes /= 1024;
        i++;
    }
    buf_printf(out, "%lld%s", (long long)bytes, names[i]);
}
