#include "common/logblock/logcol_internal.h"

bool logcol_build_stamps(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    struct logstamp f;
    struct intplanes c;
    int64_t *ints;

    if (!logstamp_guess(v[0], &f))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    for (uint32_t i = 0; i < n; i++)
        if (!logstamp_parse(&f, v[i], &ints[i]))
            return false;
    c = intplanes_choose(ints, n, true);
    buf_byte(b->tree, LOGCOL_STAMP);
    buf_byte(b->tree, f.layout);
    buf_byte(b->tree, f.between);
    buf_byte(b->tree, f.point);
    buf_byte(b->tree, f.digits);
    buf_lstr(b->tree, f.tail);
    intplanes_describe(&c, b->tree);
    buf_reset(&b->scratch);
    intplanes_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

static bool address_of(struct slice s, int64_t *ret)
{
    uint32_t sum = 0;
    size_t i = 0;

    if (s.len < 7 || s.len > 15)
        return false;
    for (int part = 0; part < 4; part++) {
        size_t start = i;
        uint32_t x = 0;

        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9' && i - start < 4)
            x = x * 10 + (uint32_t)(s.ptr[i++] - '0');
        if (i == start || x > 255 || (s.ptr[start] == '0' && i - start > 1))
            return false;
        if (part < 3 && (i == s.len || s.ptr[i++] != '.'))
            return false;
        sum = sum << 8 | x;
    }
    *ret = sum;
    return i == s.len;
}

static bool put_addresses(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    int64_t first, *ints;
    struct intplanes c;

    if (!address_of(v[0], &first))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    for (uint32_t i = 0; i < n; i++)
        if (!address_of(v[i], &ints[i]))
            return false;
    c = intplanes_choose(ints, n, false);
    buf_byte(b->tree, LOGCOL_ADDRESS);
    intplanes_describe(&c, b->tree);
    buf_reset(&b->scratch);
    intplanes_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

/* A decimal number as value and digits, and whether it is written as one would. */
struct decimal {
    int64_t v;
    uint8_t whole, part;
    bool is_negative, is_padded;
};

static bool decimal_of(struct slice s, struct decimal *ret)
{
    struct decimal d = {0};
    size_t i = 0, start;
    uint64_t x = 0;

    if (i < s.len && s.ptr[i] == '-') {
        d.is_negative = true;
        i++;
    }
    if (s.len - i > 19)
        return false;
    start = i;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        x = x * 10 + (uint64_t)(s.ptr[i] - '0');
    d.whole = (uint8_t)(i - start);
    if (d.whole == 0)
        return false;
    d.is_padded = d.whole > 1 && s.ptr[start] == '0';
    if (i < s.len && s.ptr[i] == '.') {
        start = ++i;
        for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
            x = x * 10 + (uint64_t)(s.ptr[i] - '0');
        d.part = (uint8_t)(i - start);
        if (d.part == 0)
            return false;
    }
    if (i != s.len || d.whole + d.part > 18 || (d.is_negative && x == 0))
        return false;
    d.v = d.is_negative ? -(int64_t)x : (int64_t)x;
    *ret = d;
    return true;
}

/* All of one form; ints are given back. */
static bool are_numbers(const struct slice *v, uint32_t n, int64_t *ints, uint8_t *whole,
                        uint8_t *part)
{
    struct decimal d, first;
    bool is_padded = false, is_negative = false, is_even = true;

    if (!decimal_of(v[0], &first))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!decimal_of(v[i], &d) || d.part != first.part)
            return false;
        is_padded |= d.is_padded;
        is_negative |= d.is_negative;
        is_even &= d.whole == first.whole;
        if (is_padded && (!is_even || is_negative))
            return false;
        ints[i] = d.v;
    }
    *whole = is_padded ? first.whole : 0;
    *part = first.part;
    return true;
}

static bool put_numbers(struct logcol_build *b, const struct slice *v, uint32_t n,
                        struct slice prefix, struct slice suffix)
{
    int64_t *ints, min, max;
    uint8_t whole, part;
    struct intplanes c;
    struct decimal d;

    if (!decimal_of(v[0], &d))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    if (!are_numbers(v, n, ints, &whole, &part))
        return false;
    min = max = ints[0];
    for (uint32_t i = 1; i < n; i++) {
        min = ORR_MIN(min, ints[i]);
        max = ORR_MAX(max, ints[i]);
    }
    c = intplanes_choose(ints, n, false);
    if (prefix.len || suffix.len) {
        buf_byte(b->tree, LOGCOL_NUMBER | LOGCOL_AFFIXES);
        buf_lstr(b->tree, prefix);
        buf_lstr(b->tree, suffix);
    } else {
        buf_byte(b->tree, LOGCOL_NUMBER);
    }
    buf_byte(b->tree, whole);
    buf_byte(b->tree, part);
    intplanes_describe(&c, b->tree);
    buf_varint(b->tree, min);
    buf_varint(b->tree, max);
    buf_reset(&b->scratch);
    intplanes_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

#define D(c, v) [c] = (v) + 1
#define DIGITS                                                                                     \
    D('0', 0), D('1', 1), D('2', 2), D('3', 3), D('4', 4), D('5', 5), D('6', 6), D('7', 7),        \
        D('8', 8), D('9', 9)
const uint8_t logcol_hex_digits[2][256] = {
    {DIGITS, D('a', 10), D('b', 11), D('c', 12), D('d', 13), D('e', 14), D('f', 15)},
    {DIGITS, D('A', 10), D('B', 11), D('C', 12), D('D', 13), D('E', 14), D('F', 15)}};

static bool looks_hex(const struct slice *v, uint32_t n, bool is_upper)
{
    size_t len = v[0].len;

    if (len < 4 || len > LOGCOL_MAX_HEX)
        return false;
    for (uint32_t i = 1; i < n && i < 8; i++) {
        if (v[i].len != len)
            return false;
        for (size_t k = 0; k < len; k++)
            if (v[i].ptr[k] != v[0].ptr[k] && !logcol_hex_digits[is_upper][v[i].ptr[k]])
                return false;
    }
    return true;
}

/* vary: a bit is set where x and y differ. */
static void add_difference(uint8_t *vary, const uint8_t *x, const uint8_t *y, size_t len)
{
    uint64_t a, b, all;
    size_t k = 0;

    for (; k + 8 <= len; k += 8) {
        memcpy(&a, x + k, 8);
        memcpy(&b, y + k, 8);
        memcpy(&all, vary + k, 8);
        all |= a ^ b;
        memcpy(vary + k, &all, 8);
    }
    for (; k < len; k++)
        vary[k] |= x[k] ^ y[k];
}

/* The places that vary, and how many there are; none if values are of different length. */
static size_t find_places(const struct slice *v, uint32_t n, uint8_t *places)
{
    uint8_t vary[LOGCOL_MAX_HEX] = {0};
    size_t n_places = 0;

    for (uint32_t i = 1; i < n; i++) {
        if (v[i].len != v[0].len)
            return 0;
        add_difference(vary, v[i].ptr, v[0].ptr, v[0].len);
    }
    for (size_t k = 0; k < v[0].len; k++)
        if (vary[k])
            places[n_places++] = (uint8_t)k;
    return n_places;
}

/* The digits at those places, half a byte each. False: one is none. */
static bool put_digits(const struct slice *v, uint32_t n, bool is_upper, const uint8_t *places,
                       size_t n_places, struct buf *out)
{
    size_t each = (n_places + 1) / 2;
    uint8_t *to = buf_reserve(out, each * n);
    const uint8_t *digits = logcol_hex_digits[is_upper];

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = v[i].ptr;
        bool is_bad = false;

        for (size_t at = 0; at < n_places; at += 2) {
            unsigned high = digits[p[places[at]]], low = 1;

            if (at + 1 < n_places)
                low = digits[p[places[at + 1]]];
            is_bad |= !high || !low;
            *to++ = (uint8_t)((high - 1) << 4 | (low - 1));
        }
        if (is_bad)
            return false;
    }
    out->len += each * n;
    return true;
}

static bool put_hex(struct logcol_build *b, const struct slice *v, uint32_t n, bool is_upper)
{
    uint8_t places[LOGCOL_MAX_HEX], bits[LOGCOL_MAX_HEX / 8] = {0};
    size_t len = v[0].len, n_places;

    if (!looks_hex(v, n, is_upper) || (n_places = find_places(v, n, places)) < 4)
        return false;
    buf_reset(&b->scratch);
    if (!put_digits(v, n, is_upper, places, n_places, &b->scratch))
        return false;
    for (size_t at = 0; at < n_places; at++)
        bits[places[at] / 8] |= (uint8_t)(1 << (places[at] % 8));
    buf_byte(b->tree, LOGCOL_HEX);
    buf_byte(b->tree, (uint8_t)len);
    buf_byte(b->tree, is_upper);
    buf_append(b->tree, bits, (len + 7) / 8);
    for (size_t k = 0; k < len; k++)
        if (!(bits[k / 8] >> (k % 8) & 1))
            buf_byte(b->tree, v[0].ptr[k]);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

/* ---- numbers with a text around them ---- */

static bool is_figure(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-';
}

/* What all values begin and end with, up to where digits begin. Cuts them off into *ret. */
static bool cut_affixes(struct logcol_build *b, const struct slice *v, uint32_t n,
                        struct slice *prefix, struct slice *suffix, struct slice **ret)
{
    size_t front = 0, back = 0, least = v[0].len;
    struct slice *to;

    while (front < v[0].len && !is_figure(v[0].ptr[front]))
        front++;
    while (back < v[0].len - front && !is_figure(v[0].ptr[v[0].len - 1 - back]))
        back++;
    if (front + back == 0 || front + back >= v[0].len)
        return false;
    for (uint32_t i = 1; i < n; i++) {
        least = ORR_MIN(least, v[i].len);
        if (least <= front + back || memcmp(v[i].ptr, v[0].ptr, front) != 0 ||
            memcmp(v[i].ptr + v[i].len - back, v[0].ptr + v[0].len - back, back) != 0)
            return false;
    }
    *prefix = slice_of(v[0].ptr, front);
    *suffix = slice_of(v[0].ptr + v[0].len - back, back);
    to = arena_alloc(b->arena, n * sizeof(*to));
    for (uint32_t i = 0; i < n; i++)
        to[i] = slice_of(v[i].ptr + front, v[i].len - front - back);
    *ret = to;
    return true;
}

static bool try_numeric(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    struct slice prefix, suffix, *cut;

    return put_addresses(b, v, n) || put_numbers(b, v, n, SLICE_EMPTY, SLICE_EMPTY) ||
           (cut_affixes(b, v, n, &prefix, &suffix, &cut) && put_numbers(b, cut, n, prefix, suffix));
}

bool logcol_build_figures(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    return try_numeric(b, v, n) || put_hex(b, v, n, false) || put_hex(b, v, n, true);
}
