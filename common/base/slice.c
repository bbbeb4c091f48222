#include "common/base/slice.h"

#include "common/base/mem.h"

bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_has_suffix(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           slice_eq(slice_of(s.ptr + s.len - suffix.len, suffix.len), suffix);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

ptrdiff_t slice_find_byte(struct slice s, uint8_t c, size_t from)
{
    const uint8_t *p = from < s.len ? memchr(s.ptr + from, c, s.len - from) : NULL;

    return p ? p - s.ptr : -1;
}

ptrdiff_t slice_find(struct slice s, struct slice needle, size_t from)
{
    const uint8_t *p;

    if (from > s.len)
        return -1;
    if (needle.len == 0)
        return (ptrdiff_t)from;
    if (needle.len > s.len - from)
        return -1; /* also of an empty s, whose pointer may be NULL: memmem must not get that */
    p = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return p ? p - s.ptr : -1;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct slice slice_trim(struct slice s)
{
    while (s.len && is_space(s.ptr[0]))
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, uint8_t c, struct slice *ret)
{
    ptrdiff_t at;

    if (!rest->ptr)
        return false;
    at = slice_find_byte(*rest, c, 0);
    if (at < 0) {
        *ret = *rest;
        *rest = (struct slice){NULL, 0};
    } else {
        *ret = slice_of(rest->ptr, (size_t)at);
        *rest = slice_of(rest->ptr + at + 1, rest->len - (size_t)at - 1);
    }
    return true;
}

/* Bytes of the well-formed sequence at p (RFC 3629: no overlong form, no surrogate), or 0. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

bool slice_is_utf8(struct slice s)
{
    size_t i = 0;

    while (i < s.len) {
        uint64_t word;
        size_t n;

        /* eight ASCII bytes at a time */
        if (i + 8 <= s.len) {
            memcpy(&word, s.ptr + i, 8);
            if (!(word & 0x8080808080808080ull)) {
                i += 8;
                continue;
            }
        }
        n = utf8_len(s.ptr + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s.ptr[i] - '0', &v))
            return false;
    }
    *ret = v;
    return true;
}

bool slice_to_i64(struct slice s, int64_t *ret)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    uint64_t v;

    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = slice_from(s, 1);
    if (!slice_to_u64(s, &v) || v > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

char *slice_dup(struct slice s)
{
    return mem_dup(s.ptr, s.len);
}
