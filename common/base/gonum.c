#include "common/base/gonum.h"

#include "common/base/num.h"

static bool is_digit_of(uint8_t c, unsigned base, unsigned *ret)
{
    unsigned d = 99;

    if (c >= '0' && c <= '9')
        d = c - '0';
    else if (c >= 'a' && c <= 'z')
        d = c - 'a' + 10u;
    else if (c >= 'A' && c <= 'Z')
        d = c - 'A' + 10u;
    *ret = d;
    return d < base;
}

/* Go's rule: an underscore stands between digits, or between a base prefix and a digit. */
static bool underscores_are_fine(struct slice s)
{
    uint8_t before = '^';
    bool is_hex = false;
    size_t i = 0;
    unsigned d;

    if (s.len >= 2 && s.ptr[0] == '0' && strchr("xXbBoO", s.ptr[1]) && s.ptr[1]) {
        is_hex = s.ptr[1] == 'x' || s.ptr[1] == 'X';
        before = '0';
        i = 2;
    }
    for (; i < s.len; i++) {
        bool is_digit = is_digit_of(s.ptr[i], is_hex ? 16 : 10, &d);

        if (is_digit) {
            before = '0';
        } else if (s.ptr[i] == '_') {
            if (before != '0')
                return false;
            before = '_';
        } else {
            if (before == '_')
                return false;
            before = '!';
        }
    }
    return before != '_';
}

static bool is_sign(struct slice s)
{
    return s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
}

static bool has_underscore(struct slice s)
{
    return slice_find_byte(s, '_', 0) >= 0;
}

bool gonum_int(struct slice text, int64_t *ret)
{
    struct slice s = is_sign(text) ? slice_from(text, 1) : text;
    bool is_minus = text.len && text.ptr[0] == '-';
    uint64_t v = 0, max = (uint64_t)INT64_MAX + is_minus;
    unsigned base = 10, d;

    if (has_underscore(s) && !underscores_are_fine(s))
        return false;
    if (s.len >= 2 && s.ptr[0] == '0') {
        uint8_t c = s.ptr[1] | 0x20;

        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s = slice_from(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
    }
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '_')
            continue;
        if (!is_digit_of(s.ptr[i], base, &d) || v > (max - d) / base)
            return false;
        v = v * base + d;
    }
    *ret = is_minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool gonum_float(struct slice text, double *ret)
{
    char plain[1024];
    size_t n = 0;

    *ret = 0;
    if (!has_underscore(text))
        return num_parse(text, ret);
    if (!underscores_are_fine(is_sign(text) ? slice_from(text, 1) : text) ||
        text.len > sizeof(plain))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = (char)text.ptr[i];
    return num_parse(slice_of(plain, n), ret);
}

bool gonum_number(struct slice text, double *ret)
{
    int64_t v;

    if (gonum_int(text, &v)) {
        *ret = (double)v;
        return true;
    }
    return gonum_float(text, ret);
}
