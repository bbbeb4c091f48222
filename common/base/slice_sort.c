#include "common/base/slice_sort.h"

#include <stdlib.h>

#include "common/base/mem.h"

struct text {
    uint64_t key; /* its 8 bytes at the depth, the first the highest; zeros behind its end */
    struct slice s;
};

static uint64_t key_at(struct slice s, size_t depth)
{
    uint64_t v = 0;

    if (depth >= s.len)
        return 0;
    memcpy(&v, s.ptr + depth, s.len - depth < 8 ? s.len - depth : 8);
    return __builtin_bswap64(v);
}

static int by_key(const void *a, const void *b)
{
    const struct text *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static int by_length(const void *a, const void *b)
{
    const struct text *x = a, *y = b;

    return (x->s.len > y->s.len) - (x->s.len < y->s.len);
}

static bool goes_on(const struct text *t, size_t n, size_t depth)
{
    for (size_t i = 0; i < n; i++)
        if (t[i].s.len > depth)
            return true;
    return false;
}

/* Texts that are equal before depth. Recursion is only into a part of them, so it ends. */
static void sort_from(struct text *t, size_t n, size_t depth)
{
    bool is_one;

    do {
        if (!goes_on(t, n, depth)) { /* equal but for zeros at their ends */
            qsort(t, n, sizeof(*t), by_length);
            return;
        }
        is_one = true;
        for (size_t i = 0; i < n; i++) {
            t[i].key = key_at(t[i].s, depth);
            is_one &= t[i].key == t[0].key;
        }
        depth += 8;
    } while (is_one);
    qsort(t, n, sizeof(*t), by_key);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && t[to].key == t[from].key; to++)
            ;
        if (to - from > 1)
            sort_from(t + from, to - from, depth);
    }
}

void slice_sort(struct slice *ptr, size_t n)
{
    struct text *t;
    size_t i = 1;

    while (i < n && slice_cmp(ptr[i - 1], ptr[i]) <= 0)
        i++;
    if (i >= n)
        return; /* in order already, as answers of others are */
    t = mem_new_array(struct text, n);
    for (i = 0; i < n; i++)
        t[i].s = ptr[i];
    sort_from(t, n, 0);
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
