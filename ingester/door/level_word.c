#include "ingester/door/level_word.h"

#include <string.h>

const bool level_word_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,   ['_'] = true,
    ['.'] = true,         ['-'] = true,         [0x80 ... 0xff] = true,
};

/* Lower case. */
static const struct {
    struct slice text;
    enum line_level_kind level;
} words[] = {
    {SLICE_INIT("alert"), LINE_LEVEL_CRITICAL},   {SLICE_INIT("critical"), LINE_LEVEL_CRITICAL},
    {SLICE_INIT("crit"), LINE_LEVEL_CRITICAL},    {SLICE_INIT("debug"), LINE_LEVEL_DEBUG},
    {SLICE_INIT("dbg"), LINE_LEVEL_DEBUG},        {SLICE_INIT("emerg"), LINE_LEVEL_FATAL},
    {SLICE_INIT("emergency"), LINE_LEVEL_FATAL},  {SLICE_INIT("error"), LINE_LEVEL_ERROR},
    {SLICE_INIT("err"), LINE_LEVEL_ERROR},        {SLICE_INIT("fatal"), LINE_LEVEL_FATAL},
    {SLICE_INIT("info"), LINE_LEVEL_INFO},        {SLICE_INIT("inf"), LINE_LEVEL_INFO},
    {SLICE_INIT("information"), LINE_LEVEL_INFO}, {SLICE_INIT("notice"), LINE_LEVEL_INFO},
    {SLICE_INIT("panic"), LINE_LEVEL_FATAL},      {SLICE_INIT("trace"), LINE_LEVEL_TRACE},
    {SLICE_INIT("trc"), LINE_LEVEL_TRACE},        {SLICE_INIT("warning"), LINE_LEVEL_WARN},
    {SLICE_INIT("warn"), LINE_LEVEL_WARN},        {SLICE_INIT("wrn"), LINE_LEVEL_WARN},
};
#define MIN_WORD 3
#define MAX_WORD 11

/*
 * How words begin. By letter (its lower five bits): the letters that follow it as the first of a word, a bit each; and the bit
 * that it is as the second.
 */
#define X_A 1
#define X_B 2
#define X_E 4
#define X_L 8
#define X_M 16
#define X_N 32
#define X_O 64
#define X_R 128
static const uint8_t firsts[32] = {
    ['a' & 31] = X_L, ['c' & 31] = X_R,       ['d' & 31] = X_E | X_B, ['e' & 31] = X_M | X_R,
    ['f' & 31] = X_A, ['i' & 31] = X_N,       ['n' & 31] = X_O,       ['p' & 31] = X_A,
    ['t' & 31] = X_R, ['w' & 31] = X_A | X_R,
};
static const uint8_t seconds[32] = {
    ['a' & 31] = X_A, ['b' & 31] = X_B, ['e' & 31] = X_E, ['l' & 31] = X_L,
    ['m' & 31] = X_M, ['n' & 31] = X_N, ['o' & 31] = X_O, ['r' & 31] = X_R,
};

/* By the first letter: what comes third, a bit each. Few words of a line get past it. */
static const uint32_t thirds[32] = {
#define THIRD(c) (1u << ((c)&31))
    ['a' & 31] = THIRD('e'),
    ['c' & 31] = THIRD('i'),
    ['d' & 31] = THIRD('b') | THIRD('g'),
    ['e' & 31] = THIRD('e') | THIRD('r'),
    ['f' & 31] = THIRD('t'),
    ['i' & 31] = THIRD('f'),
    ['n' & 31] = THIRD('t'),
    ['p' & 31] = THIRD('n'),
    ['t' & 31] = THIRD('a') | THIRD('c'),
    ['w' & 31] = THIRD('r') | THIRD('n'),
#undef THIRD
};

enum line_level_kind level_word(struct slice w)
{
    if (w.len < MIN_WORD || w.len > MAX_WORD || !(firsts[w.ptr[0] & 31] & seconds[w.ptr[1] & 31]) ||
        !(thirds[w.ptr[0] & 31] >> (w.ptr[2] & 31) & 1))
        return LINE_LEVEL_UNKNOWN;
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (w.len == words[i].text.len && (w.ptr[0] | 0x20) == words[i].text.ptr[0] &&
            slice_eq_nocase(w, words[i].text))
            return words[i].level;
    return LINE_LEVEL_UNKNOWN;
}

/* p: not inside a word. */
static enum line_level_kind first_of(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *start;
        enum line_level_kind k;

        while (p < end && !level_word_byte(*p))
            p++;
        for (start = p; p < end && level_word_byte(*p);)
            p++;
        k = level_word(slice_of(start, (size_t)(p - start)));
        if (k != LINE_LEVEL_UNKNOWN)
            return k;
    }
    return LINE_LEVEL_UNKNOWN;
}

#ifdef __x86_64__
#include <immintrin.h>

#define STEP 32
#define MIN_STEPS (STEP + 2) /* with the byte before and the one behind */

/* By the lower five bits of each byte; of letters alone it means something. */
__attribute__((target("avx2"))) static inline __m256i look_up(const uint8_t table[32], __m256i c)
{
    __m256i low = _mm256_and_si256(c, _mm256_set1_epi8(15));
    __m256i t = _mm256_loadu_si256((const __m256i_u *)table);
    __m256i to_15 = _mm256_shuffle_epi8(_mm256_permute2x128_si256(t, t, 0x00), low);
    __m256i to_31 = _mm256_shuffle_epi8(_mm256_permute2x128_si256(t, t, 0x11), low);

    return _mm256_blendv_epi8(to_15, to_31, _mm256_slli_epi16(c, 3)); /* bit 4 chooses */
}

/* Of 32 places from p on, a bit each: those where a word may begin that says something. One byte before and one behind them
 * are read. */
__attribute__((target("avx2"))) static inline uint32_t begins(const uint8_t *p)
{
    __m256i c = _mm256_loadu_si256((const __m256i_u *)p);
    __m256i next = _mm256_loadu_si256((const __m256i_u *)(p + 1));
    __m256i prev =
        _mm256_or_si256(_mm256_loadu_si256((const __m256i_u *)(p - 1)), _mm256_set1_epi8(0x20));
    __m256i pair = _mm256_and_si256(look_up(firsts, c), look_up(seconds, next));
    __m256i ok = _mm256_and_si256(_mm256_cmpgt_epi8(c, _mm256_set1_epi8(0x3f)),
                                  _mm256_cmpgt_epi8(next, _mm256_set1_epi8(0x3f)));
    __m256i is_behind_letter = _mm256_and_si256(_mm256_cmpgt_epi8(prev, _mm256_set1_epi8('a' - 1)),
                                                _mm256_cmpgt_epi8(_mm256_set1_epi8('z' + 1), prev));

    ok = _mm256_andnot_si256(is_behind_letter, ok);
    ok = _mm256_andnot_si256(_mm256_cmpeq_epi8(pair, _mm256_setzero_si256()), ok);
    return (uint32_t)_mm256_movemask_epi8(ok);
}

static enum line_level_kind word_at(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *p = start;

    while (p < end && p - start <= MAX_WORD && level_word_byte(*p))
        p++;
    return level_word(slice_of(start, (size_t)(p - start)));
}

/* Of places that begins() found from p on. */
static enum line_level_kind first_at(const uint8_t *p, uint32_t places, const uint8_t *end)
{
    enum line_level_kind k = LINE_LEVEL_UNKNOWN;

    for (; places && k == LINE_LEVEL_UNKNOWN; places &= places - 1) {
        const uint8_t *at = p + __builtin_ctz(places);

        if (!level_word_byte(at[-1]))
            k = word_at(at, end);
    }
    return k;
}

/* Of MIN_STEPS bytes at least. The last step goes back so far that it ends where the text does. */
__attribute__((target("avx2"))) static enum line_level_kind first_by_steps(const uint8_t *start,
                                                                           const uint8_t *end)
{
    const uint8_t *p = start + 1, *last = end - STEP - 1;
    enum line_level_kind k = level_word_byte(*start) ? word_at(start, end) : LINE_LEVEL_UNKNOWN;

    for (; k == LINE_LEVEL_UNKNOWN && p <= last; p += STEP)
        k = first_at(p, begins(p), end);
    if (k == LINE_LEVEL_UNKNOWN && p < last + STEP)
        k = first_at(last, begins(last) & UINT32_MAX << (p - last), end);
    return k;
}
#endif

enum line_level_kind level_word_first(struct slice text)
{
#ifdef __x86_64__
    if (text.len >= MIN_STEPS && __builtin_cpu_supports("avx2"))
        return first_by_steps(text.ptr, text.ptr + text.len);
#endif
    return first_of(text.ptr, text.ptr + text.len);
}
