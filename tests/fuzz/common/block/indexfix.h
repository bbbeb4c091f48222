/* Puts the checksums of an index file right where they can be found, since no fuzzer guesses a CRC. */
#pragma once
#include "common/base/hash.h"
#include "common/block/block_format.h"

static inline uint64_t indexfix_be(const uint8_t *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static inline void indexfix_crc(uint8_t *bytes, size_t from, size_t len)
{
    uint32_t crc = __builtin_bswap32(hash_crc32c(slice_of(bytes + from, len)));

    memcpy(bytes + from + len, &crc, 4);
}

static inline void indexfix_section(uint8_t *bytes, size_t size, uint64_t at)
{
    uint64_t len;

    if (at > size || size - at < 8)
        return;
    len = indexfix_be(bytes + at, 4);
    if (len <= size - at - 8)
        indexfix_crc(bytes, (size_t)at + 4, (size_t)len);
}

static inline void indexfix(uint8_t *bytes, size_t size)
{
    size_t toc;

    if (size < BLOCK_INDEX_HEADER + BLOCK_TOC_BYTES)
        return;
    memcpy(bytes, "\xba\xaa\xd7\x00\x02", 5);
    toc = size - BLOCK_TOC_BYTES;
    for (size_t at = 16; at + 2 < toc; at += 16) { /* series begin with a short length mostly */
        size_t len = bytes[at];

        if (len < 128 && at + 1 + len + 4 <= toc)
            indexfix_crc(bytes, at + 1, len);
    }
    for (size_t at = 4; at + 8 < toc; at += 4) /* postings */
        if (indexfix_be(bytes + at, 4) <= 4096)
            indexfix_section(bytes, size, at);
    indexfix_section(bytes, size, indexfix_be(bytes + toc, 8));
    indexfix_section(bytes, size, indexfix_be(bytes + toc + 40, 8));
    indexfix_crc(bytes, toc, BLOCK_TOC_BYTES - 4);
}
