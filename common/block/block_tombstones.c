#include "common/block/block_tombstones.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"

#define TOMBSTONES_HEADER 5

static struct err *corrupt(const char *block, const char *what)
{
    return err_new(ERR_CORRUPT, "block %s: tombstones: %s", block, what);
}

static int by_ref(const void *a, const void *b)
{
    const struct block_tombstone *x = a, *y = b;

    if (x->ref != y->ref)
        return x->ref < y->ref ? -1 : 1;
    return (x->in.min_t > y->in.min_t) - (x->in.min_t < y->in.min_t);
}

/* Sorts; joins intervals of a series that touch or overlap. */
static size_t join(struct block_tombstone *v, size_t n)
{
    size_t out = 0;

    qsort(v, n, sizeof(*v), by_ref);
    for (size_t i = 0; i < n; i++) {
        struct block_tombstone *last = out ? &v[out - 1] : NULL;

        if (last && last->ref == v[i].ref &&
            (last->in.max_t == INT64_MAX || v[i].in.min_t <= last->in.max_t + 1))
            last->in.max_t = ORR_MAX(last->in.max_t, v[i].in.max_t);
        else
            v[out++] = v[i];
    }
    return out;
}

struct err *block_tombstones_parse(const char *block, struct slice bytes,
                                   struct block_tombstones *ret)
{
    VEC(struct block_tombstone) v = {0};
    struct slice entries;
    struct reader r = reader_new(bytes);

    if (reader_u32be(&r) != BLOCK_TOMBSTONES_MAGIC || bytes.len < TOMBSTONES_HEADER + 4)
        return corrupt(block, "this is no tombstones file");
    if (reader_u8(&r) != BLOCK_TOMBSTONES_VERSION)
        return err_new(ERR_UNSUPPORTED, "block %s: tombstones version %u", block, bytes.ptr[4]);
    entries = reader_bytes(&r, bytes.len - TOMBSTONES_HEADER - 4);
    if (reader_u32be(&r) != hash_crc32c(entries))
        return corrupt(block, "checksum is wrong");
    r = reader_new(entries);
    while (reader_left(&r)) {
        uint64_t ref = reader_uvarint(&r);
        struct block_interval in = {.min_t = reader_varint(&r)};

        in.max_t = reader_varint(&r);
        if (!reader_ok(&r) || ref > UINT32_MAX || in.max_t < in.min_t) {
            vec_done(&v);
            return corrupt(block, "malformed entry");
        }
        vec_push(&v, ((struct block_tombstone){(uint32_t)ref, in}));
    }
    ret->ptr = v.ptr;
    ret->n = v.len ? join(v.ptr, v.len) : 0;
    ret->intervals = mem_new_array(struct block_interval, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        ret->intervals[i] = ret->ptr[i].in;
    return NULL;
}

void block_tombstones_done(struct block_tombstones *t)
{
    mem_free(t->ptr);
    mem_free(t->intervals);
    *t = (struct block_tombstones){0};
}

const struct block_interval *block_tombstones_find(const struct block_tombstones *t, uint32_t ref,
                                                   size_t *ret_n)
{
    size_t lo = 0, hi = t->n, end;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->ptr[mid].ref < ref)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (end = lo; end < t->n && t->ptr[end].ref == ref; end++)
        ;
    *ret_n = end - lo;
    return end > lo ? &t->intervals[lo] : NULL;
}
