#include "common/traceblock/traceids.h"

#include <endian.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

#define LOW_BITS 8

static uint64_t number_of(const uint8_t id[16], uint32_t n)
{
    unsigned __int128 wide = hash_xxh64(slice_of(id, 16), 0);

    return (uint64_t)(wide * ((uint64_t)n << LOW_BITS) >> 64);
}

static int cmp_numbers(const void *a, const void *b)
{
    const uint64_t *l = a, *r = b;

    return (*l > *r) - (*l < *r);
}

void traceids_build(const uint8_t (*ids)[16], uint32_t n, struct buf *out)
{
    uint64_t *numbers = mem_new_array(uint64_t, (size_t)n + 1);
    size_t before = out->len, n_bits = (2 * (size_t)n + 7) / 8;
    uint8_t *bits;

    for (uint32_t i = 0; i < n; i++)
        numbers[i] = number_of(ids[i], n);
    qsort(numbers, n, sizeof(*numbers), cmp_numbers);
    for (uint32_t i = 0; i < n; i++)
        buf_byte(out, (uint8_t)numbers[i]);
    buf_fill(out, 0, n_bits);
    bits = out->ptr + before + n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = (numbers[i] >> LOW_BITS) + i;

        bits[at / 8] |= (uint8_t)(1u << at % 8);
    }
    buf_u32le(out, hash_crc32c(slice_of(out->ptr + before, out->len - before)));
    mem_free(numbers);
}

bool traceids_check(struct slice bytes, uint32_t n)
{
    uint32_t sum;

    if (bytes.len != TRACEIDS_BYTES(n))
        return false;
    memcpy(&sum, bytes.ptr + bytes.len - 4, sizeof(sum));
    return le32toh(sum) == hash_crc32c(slice_sub(bytes, 0, bytes.len - 4));
}

/* Numbers whose high part is `high` are those between the bits that are 0 before and behind them: the high-th and the next. */
bool traceids_may(struct slice bytes, uint32_t n, const uint8_t id[16])
{
    const uint8_t *bits = bytes.ptr + n;
    uint64_t number = number_of(id, n), high = number >> LOW_BITS, zeros = 0, ones = 0, at = 0;

    if (!n)
        return false;
    /* whole bytes first: as many as end before that zero */
    while (at + 8 <= 2 * (uint64_t)n) {
        unsigned set = (unsigned)__builtin_popcount(bits[at / 8]);

        if (zeros + 8 - set >= high)
            break;
        zeros += 8 - set;
        ones += set;
        at += 8;
    }
    for (; at < 2 * (uint64_t)n && ones < n; at++) {
        bool is_set = bits[at / 8] >> at % 8 & 1;

        if (!is_set && ++zeros > high)
            return false;
        if (is_set && zeros == high && bytes.ptr[ones] == (uint8_t)number)
            return true;
        ones += is_set;
    }
    return false;
}
