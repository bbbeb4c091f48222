#include "common/base/num_short.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

typedef unsigned __int128 u128;

/* ---- powers of ten: the leading 128 bits of 10^k, rounded up where they are not all ---- */

#define MIN_POW10 (-292)
#define MAX_POW10 324
#define WORDS 40 /* of 32 bits: 10^324 takes 1,077 bits; 10^-292 with 128 bits 1,098 */

static u128 powers[MAX_POW10 - MIN_POW10 + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* Least significant word first. */
struct wide {
    uint32_t w[WORDS];
};

static void wide_mul10(struct wide *x)
{
    uint64_t carry = 0;

    for (int i = 0; i < WORDS; i++) {
        carry += (uint64_t)x->w[i] * 10;
        x->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void wide_div10(struct wide *x)
{
    uint64_t rest = 0;

    for (int i = WORDS - 1; i >= 0; i--) {
        rest = rest << 32 | x->w[i];
        x->w[i] = (uint32_t)(rest / 10);
        rest %= 10;
    }
}

/* The 128 bits from the highest one that is set; *ret_more: one below them is set, too. */
static u128 wide_top(const struct wide *x, bool *ret_more)
{
    int top = WORDS - 1, shift;
    u128 bits = 0;
    uint32_t below;

    while (x->w[top] == 0)
        top--;
    for (int i = 0; i < 4; i++)
        bits = bits << 32 | (top >= i ? x->w[top - i] : 0);
    shift = __builtin_clz(x->w[top]);
    below = top >= 4 ? x->w[top - 4] : 0;
    if (shift)
        bits = bits << shift | below >> (32 - shift);
    *ret_more = (below << shift) != 0;
    for (int i = top - 5; i >= 0; i--)
        *ret_more |= x->w[i] != 0;
    return bits;
}

static void fill_powers(void)
{
    struct wide up = {{1}}, down = {{0}};
    bool more;

    for (int k = 0; k <= MAX_POW10; k++, wide_mul10(&up)) {
        u128 top = wide_top(&up, &more);

        powers[k - MIN_POW10] = top + more;
    }
    down.w[WORDS - 1] = 1; /* dividing a power of two time and again rounds down as dividing once */
    for (int k = -1; k >= MIN_POW10; k--) {
        wide_div10(&down);
        powers[k - MIN_POW10] = wide_top(&down, &more) + 1;
    }
}

/* ---- Schubfach ---- */

/* floor(log10(2^e)), floor(log10(2^e x 3/4)), floor(log2(10^e)): exact for what doubles need. */
static int log10_pow2(int e)
{
    return (e * 1262611) >> 22;
}

static int log10_three_quarters_pow2(int e)
{
    return (e * 1262611 - 524031) >> 22;
}

static int log2_pow10(int e)
{
    return (e * 1741647) >> 19;
}

/* g x c / 2^128, with the last bit set if anything was cut off. */
static uint64_t scaled(u128 g, uint64_t c)
{
    u128 low = (u128)(uint64_t)g * c, high = (u128)(uint64_t)(g >> 64) * c + (uint64_t)(low >> 64);

    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct num_short without_zeros(uint64_t digits, int exp10)
{
    while (digits % 100 == 0) {
        digits /= 100;
        exp10 += 2;
    }
    if (digits % 10 == 0) {
        digits /= 10;
        exp10++;
    }
    return (struct num_short){digits, exp10};
}

struct num_short num_shortest(double v)
{
    uint64_t bits, fraction, c, s, lower, middle, upper;
    int exponent, q, k, h;
    bool is_even, lower_is_closer;
    u128 g;

    (void)pthread_once(&powers_once, fill_powers);
    memcpy(&bits, &v, sizeof(bits));
    fraction = bits & ((1ull << 52) - 1);
    exponent = (int)(bits >> 52 & 0x7ff);
    c = exponent ? fraction | 1ull << 52 : fraction;
    q = (exponent ? exponent : 1) - 1075; /* v = c x 2^q */
    is_even = c % 2 == 0;
    lower_is_closer = fraction == 0 && exponent > 1;

    /* What reads back as v lies between the middles to its neighbours; these and v, times 4, with
     * the point moved so that 10^k is worth one. */
    k = lower_is_closer ? log10_three_quarters_pow2(q) : log10_pow2(q);
    h = q + log2_pow10(-k) + 1;
    g = powers[-k - MIN_POW10];
    lower = scaled(g, (4 * c - 2 + lower_is_closer) << h) + !is_even;
    middle = scaled(g, (4 * c) << h);
    upper = scaled(g, (4 * c + 2) << h) - !is_even;

    s = middle / 4;
    if (s >= 10) { /* one digit less, if just one such number is inside */
        uint64_t tens = s / 10;
        bool down_fits = lower <= 40 * tens, up_fits = 40 * tens + 40 <= upper;

        if (down_fits != up_fits)
            return without_zeros(tens + up_fits, k + 1);
    }
    {
        bool down_fits = lower <= 4 * s, up_fits = 4 * s + 4 <= upper;
        uint64_t half = 4 * s + 2;

        if (down_fits != up_fits)
            return without_zeros(s + up_fits, k);
        return without_zeros(s + (middle > half || (middle == half && s % 2)), k);
    }
}
