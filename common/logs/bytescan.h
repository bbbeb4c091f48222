/*
 * Where words and quoted texts of a log line end: searches for one of several bytes, sixteen places
 * at once where there is SSE2. Most words are short, so they are inline. Any thread.
 */
#pragma once
#include "common/base/slice.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first a or b at or after from; s.len if there is none. */
static inline size_t bytescan_two(struct slice s, size_t from, char a, char b)
{
    size_t i = from;

#ifdef __SSE2__
    for (; i + 16 <= s.len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + i));
        unsigned mask = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(a)), _mm_cmpeq_epi8(v, _mm_set1_epi8(b))));

        if (mask)
            return i + (size_t)__builtin_ctz(mask);
    }
#endif
    while (i < s.len && s.ptr[i] != a && s.ptr[i] != b)
        i++;
    return i;
}

/* A quote or a backslash. */
static inline size_t bytescan_quote(struct slice s, size_t from)
{
    return bytescan_two(s, from, '"', '\\');
}

/* Where a quoted text ends that begins before from: its quote, s.len if there is none. */
static inline size_t bytescan_string(struct slice s, size_t from, bool *ret_has_escapes)
{
    *ret_has_escapes = false;
    while ((from = bytescan_quote(s, from)) < s.len && s.ptr[from] == '\\') {
        *ret_has_escapes = true;
        from += 2;
    }
    return ORR_MIN(from, s.len);
}

/* The first byte that ends a word of logfmt, white space, = or a quote, at or after from; s.len if
 * there is none. */
static inline size_t bytescan_word(struct slice s, size_t from)
{
    size_t i = from;

#ifdef __SSE2__
    for (; i + 16 <= s.len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + i));
        __m128i ends = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(' ')), v);
        unsigned mask;

        ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('=')));
        ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
        mask = (unsigned)_mm_movemask_epi8(ends);
        if (mask)
            return i + (size_t)__builtin_ctz(mask);
    }
#endif
    while (i < s.len && s.ptr[i] > ' ' && s.ptr[i] != '=' && s.ptr[i] != '"')
        i++;
    return i;
}

/* Whether no byte is 0x80 or above. */
static inline bool bytescan_is_ascii(struct slice s)
{
    size_t i = 0;
    uint64_t w;

    for (; i + 8 <= s.len; i += 8) {
        memcpy(&w, s.ptr + i, 8);
        if (w & 0x8080808080808080ull)
            return false;
    }
    for (; i < s.len; i++)
        if (s.ptr[i] >= 0x80)
            return false;
    return true;
}
