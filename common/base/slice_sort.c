#include "common/base/slice_sort.h"

#include "common/base/mem.h"

struct text {
    uint64_t key; /* its 8 bytes at the depth, the first the highest; zeros behind its end */
    struct slice s;
};

#define BY_LENGTH SIZE_MAX /* a depth: the keys are the lengths */

static uint64_t key_at(struct slice s, size_t depth)
{
    uint64_t v = 0;

    if (depth >= s.len)
        return 0;
    memcpy(&v, s.ptr + depth, s.len - depth < 8 ? s.len - depth : 8);
    return __builtin_bswap64(v);
}

static bool has_more(const struct text *t, size_t n, size_t depth)
{
    for (size_t i = 0; i < n; i++)
        if (t[i].s.len > depth)
            return true;
    return false;
}

static void swap(struct text *a, struct text *b)
{
    struct text tmp = *a;

    *a = *b;
    *b = tmp;
}

static void sort_few(struct text *t, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k && slice_cmp(t[k - 1].s, t[k].s) > 0; k--)
            swap(&t[k - 1], &t[k]);
}

/* Three parts: keys below the pivot's, equal to it, above. The pivot is drawn, so that nobody can
 * choose texts that make this slow. */
static void part(struct text *t, size_t n, size_t *ret_lo, size_t *ret_hi, uint64_t *seed)
{
    size_t lo = 0, hi = n, i = 0;
    uint64_t pivot;

    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    pivot = t[(*seed >> 33) % n].key;
    while (i < hi) {
        if (t[i].key < pivot)
            swap(&t[i++], &t[lo++]);
        else if (t[i].key > pivot)
            swap(&t[i], &t[--hi]);
        else
            i++;
    }
    *ret_lo = lo;
    *ret_hi = hi;
}

/* Texts that are equal before depth, with their keys there. What is equal at the key too goes on
 * behind it; recursion is only into the smaller parts. */
static void sort_from(struct text *t, size_t n, size_t depth, uint64_t *seed)
{
    while (n > 12) {
        size_t lo, hi;

        part(t, n, &lo, &hi, seed);
        if (lo == 0 && hi == n) { /* all alike: on to the next eight bytes */
            if (depth == BY_LENGTH)
                return;
            depth += 8;
            if (!has_more(t, n, depth)) /* equal but for zeros at their ends */
                depth = BY_LENGTH;
            for (size_t i = 0; i < n; i++)
                t[i].key = depth == BY_LENGTH ? t[i].s.len : key_at(t[i].s, depth);
            continue;
        }
        if (lo > n - hi && lo > hi - lo) {
            sort_from(t + lo, hi - lo, depth, seed);
            sort_from(t + hi, n - hi, depth, seed);
            n = lo;
        } else if (n - hi > hi - lo) {
            sort_from(t, lo, depth, seed);
            sort_from(t + lo, hi - lo, depth, seed);
            t += hi;
            n -= hi;
        } else {
            sort_from(t, lo, depth, seed);
            sort_from(t + hi, n - hi, depth, seed);
            t += lo;
            n = hi - lo;
        }
    }
    sort_few(t, n);
}

void slice_sort(struct slice *ptr, size_t n)
{
    uint64_t seed = n;
    struct text *t;
    size_t i = 1;

    while (i < n && slice_cmp(ptr[i - 1], ptr[i]) <= 0)
        i++;
    if (i >= n)
        return; /* in order already, as answers of others are */
    t = mem_new_array(struct text, n);
    for (i = 0; i < n; i++)
        t[i] = (struct text){key_at(ptr[i], 0), ptr[i]};
    sort_from(t, n, 0, &seed);
    for (i = 0; i < n; i++)
        ptr[i] = t[i].s;
    mem_free(t);
}

size_t slice_sort_unique(struct slice *ptr, size_t n)
{
    size_t kept = 0;

    slice_sort(ptr, n);
    for (size_t i = 0; i < n; i++)
        if (!kept || !slice_eq(ptr[kept - 1], ptr[i]))
            ptr[kept++] = ptr[i];
    return kept;
}
