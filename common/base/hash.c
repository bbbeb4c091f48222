#include "common/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_xxh64(struct slice s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.ptr, s.len, seed);
}

uint64_t hash_xxh64_classic(struct slice s)
{
    return XXH64(s.ptr, s.len, 0);
}

struct hash128 hash_xxh128(struct slice s, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(s.ptr, s.len, seed);

    return (struct hash128){h.low64, h.high64};
}

uint64_t hash_fnv1a(uint64_t h, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.ptr[i]) * 1099511628211ull;
    return h;
}

/* CRC32C, polynomial 0x1EDC6F41, reflected: a table of 8 x 256 for machines without SSE 4.2. */
static uint32_t crc_tables[8][256];

static void crc_tables_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        crc_tables[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (uint32_t i = 0; i < 256; i++)
            crc_tables[t][i] =
                (crc_tables[t - 1][i] >> 8) ^ crc_tables[0][crc_tables[t - 1][i] & 0xff];
}

static uint32_t crc_portable(uint32_t c, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        w ^= c;
        c = 0;
        for (int i = 0; i < 8; i++)
            c ^= crc_tables[7 - i][(w >> (8 * i)) & 0xff];
    }
    for (; n; n--)
        c = (c >> 8) ^ crc_tables[0][(c ^ *p++) & 0xff];
    return c;
}

#ifdef __x86_64__
#include <nmmintrin.h>

/*
 * The instruction takes three cycles, but may begin each cycle: long runs are three parts side by side. What LANE_BYTES of zeros
 * make of the checksum so far is linear in its bits, and so a sum over its bytes: crc_lane has the terms.
 */
#define LANE_BYTES 1024u
static uint32_t crc_lane[4][256];

static void crc_lane_init(void)
{
    static const uint8_t zeros[LANE_BYTES];

    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t term = crc_portable(1u << bit, zeros, LANE_BYTES);

        for (unsigned byte = 0; byte < 256; byte++)
            if (byte >> (bit % 8) & 1)
                crc_lane[bit / 8][byte] ^= term;
    }
}

static inline uint64_t crc_over_lane(uint64_t c)
{
    return crc_lane[0][c & 0xff] ^ crc_lane[1][c >> 8 & 0xff] ^ crc_lane[2][c >> 16 & 0xff] ^
           crc_lane[3][c >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static uint64_t crc_lanes(uint64_t c, const uint8_t *p)
{
    uint64_t c1 = 0, c2 = 0;

    for (size_t i = 0; i < LANE_BYTES; i += 8) {
        uint64_t w, w1, w2;

        memcpy(&w, p + i, 8);
        memcpy(&w1, p + LANE_BYTES + i, 8);
        memcpy(&w2, p + 2 * LANE_BYTES + i, 8);
        c = _mm_crc32_u64(c, w);
        c1 = _mm_crc32_u64(c1, w1);
        c2 = _mm_crc32_u64(c2, w2);
    }
    return crc_over_lane(crc_over_lane(c) ^ c1) ^ c2;
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p, size_t n)
{
    uint64_t c64 = c;

    for (; n >= 3 * LANE_BYTES; p += 3 * LANE_BYTES, n -= 3 * LANE_BYTES)
        c64 = crc_lanes(c64, p);
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        c64 = _mm_crc32_u64(c64, w);
    }
    c = (uint32_t)c64;
    for (; n; n--)
        c = _mm_crc32_u8(c, *p++);
    return c;
}
#endif

__attribute__((constructor)) static void crc_init(void)
{
    crc_tables_init();
#ifdef __x86_64__
    crc_lane_init();
#endif
}

uint32_t hash_crc32c_more(uint32_t crc, struct slice s)
{
    uint32_t c = ~crc;

#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(c, s.ptr, s.len);
#endif
    return ~crc_portable(c, s.ptr, s.len);
}

uint32_t hash_crc32c(struct slice s)
{
    return hash_crc32c_more(0, s);
}
