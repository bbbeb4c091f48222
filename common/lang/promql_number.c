/* Number literals: what Go's strconv.ParseInt(s, 0, 64) takes, or else strconv.ParseFloat. */
#include "common/base/num.h"
#include "common/lang/promql_internal.h"

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

static bool parse_int(struct slice s, double *ret)
{
    unsigned base = 10, d;
    uint64_t v = 0;

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
        if (!is_digit_of(s.ptr[i], base, &d) || v > ((uint64_t)INT64_MAX - d) / base)
            return false;
        v = v * base + d;
    }
    *ret = (double)v;
    return true;
}

bool promql_number_parse(struct slice text, double *ret)
{
    char plain[512];
    size_t n = 0;

    if (slice_find_byte(text, '_', 0) < 0)
        return parse_int(text, ret) || num_parse(text, ret);
    if (!underscores_are_fine(text) || text.len > sizeof(plain))
        return false;
    if (parse_int(text, ret))
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = (char)text.ptr[i];
    return num_parse(slice_of(plain, n), ret);
}
