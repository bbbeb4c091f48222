#include "common/logs/textfind.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How common a byte is in logs, roughly; the rarer, the fewer places are looked at twice. */
static unsigned frequency(uint8_t c)
{
    static const char common[] = " eta\"oinsrl:,d0cu1m.hp=-2/gfb_3wy4[]58{}v679kx";
    const char *p = memchr(common, c | (c >= 'A' && c <= 'Z' ? 0x20 : 0), sizeof(common) - 1);
    unsigned rank = p ? (unsigned)(sizeof(common) - (size_t)(p - common)) : 0;

    return c >= 'A' && c <= 'Z' ? rank / 2 : rank;
}

static struct textfind make(struct slice text, bool ignores_case)
{
    struct textfind f = {.text = text, .ignores_case = ignores_case};
    size_t best = 0, second = 0;

    /* In a long text the front is enough to choose from. */
    for (size_t i = 1; i < text.len && i < TEXTFIND_MAX_BYTES; i++)
        if (frequency(text.ptr[i]) < frequency(text.ptr[best]))
            best = i;
    second = best == 0 && text.len > 1 ? 1 : 0;
    for (size_t i = 0; i < text.len && i < TEXTFIND_MAX_BYTES; i++)
        if (i != best && text.ptr[i] != text.ptr[best] &&
            frequency(text.ptr[i]) < frequency(text.ptr[second]))
            second = i;
    f.at[0] = (uint32_t)ORR_MIN(best, second);
    f.at[1] = (uint32_t)ORR_MAX(best, second);
    return f;
}

struct textfind textfind_of(struct slice text)
{
    return make(text, false);
}

struct textfind textfind_of_nocase(struct slice text)
{
    ORR_ASSERT(text.len <= TEXTFIND_MAX_BYTES);
    return make(text, true);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool is_at(const struct textfind *f, const uint8_t *p)
{
    if (!f->ignores_case)
        return memcmp(p, f->text.ptr, f->text.len) == 0;
    for (size_t i = 0; i < f->text.len; i++)
        if (lower(p[i]) != f->text.ptr[i])
            return false;
    return true;
}

/* One place after another: the last ones of a line, and all without SSE2. */
static ptrdiff_t find_slowly(const struct textfind *f, struct slice s, size_t from)
{
    for (size_t i = from; i + f->text.len <= s.len; i++)
        if (is_at(f, s.ptr + i))
            return (ptrdiff_t)i;
    return -1;
}

#ifdef __SSE2__
/* Of letters 0x20, which makes upper case lower (and a few signs other signs: is_at() sorts it out). */
static uint8_t fold_of(const struct textfind *f, uint8_t c)
{
    return f->ignores_case && c >= 'a' && c <= 'z' ? 0x20 : 0;
}

static ptrdiff_t find(const struct textfind *f, struct slice s, size_t from)
{
    uint8_t a = f->text.ptr[f->at[0]], b = f->text.ptr[f->at[1]];
    const __m128i want_a = _mm_set1_epi8((char)a), want_b = _mm_set1_epi8((char)b);
    const __m128i fold_a = _mm_set1_epi8((char)fold_of(f, a));
    const __m128i fold_b = _mm_set1_epi8((char)fold_of(f, b));
    size_t i = from;

    for (; i + f->text.len + 15 <= s.len; i += 16) {
        __m128i va = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + i + f->at[0]));
        __m128i vb = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + i + f->at[1]));
        unsigned mask;

        va = _mm_cmpeq_epi8(_mm_or_si128(va, fold_a), want_a);
        vb = _mm_cmpeq_epi8(_mm_or_si128(vb, fold_b), want_b);
        for (mask = (unsigned)_mm_movemask_epi8(_mm_and_si128(va, vb)); mask; mask &= mask - 1) {
            size_t at = i + (size_t)__builtin_ctz(mask);

            if (is_at(f, s.ptr + at))
                return (ptrdiff_t)at;
        }
    }
    return find_slowly(f, s, i);
}
#else
static ptrdiff_t find(const struct textfind *f, struct slice s, size_t from)
{
    return f->ignores_case ? find_slowly(f, s, from) : slice_find(s, f->text, from);
}
#endif

ptrdiff_t textfind_in(const struct textfind *f, struct slice s, size_t from)
{
    if (from > s.len || f->text.len > s.len - from)
        return -1;
    if (f->text.len == 0)
        return (ptrdiff_t)from;
    if (f->text.len > TEXTFIND_MAX_BYTES)
        return slice_find(s, f->text, from);
    return find(f, s, from);
}
