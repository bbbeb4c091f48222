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
 * The instruction gives its result three cycles later, and takes the next operands at once: three lanes side by side are three
 * times as fast as one. The register of a lane is then moved over the bytes of those behind it, as if they were zeros; the
 * remainder is linear, so that move is a table for each byte of the register. Lanes of two lengths, for pages and for chunks.
 */
#define CRC_LANES 3
static const size_t crc_lane_bytes[2] = {2048, 128};
static uint32_t crc_moves[2][4][256];

static void crc_moves_init(void)
{
    static const uint8_t zeros[2048];

    for (int l = 0; l < 2; l++)
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t moved = crc_portable((uint32_t)1 << bit, zeros, crc_lane_bytes[l]);

            for (unsigned i = 0; i < 256; i++)
                if (i >> (bit % 8) & 1)
                    crc_moves[l][bit / 8][i] ^= moved;
        }
}

static inline uint32_t crc_move(const uint32_t moves[4][256], uint32_t c)
{
    return moves[0][c & 0xff] ^ moves[1][c >> 8 & 0xff] ^ moves[2][c >> 16 & 0xff] ^
           moves[3][c >> 24];
}

__attribute__((target("sse4.2"))) static inline uint64_t crc_word(uint64_t c, const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, 8);
    return _mm_crc32_u64(c, w);
}

/* As many whole triples of lanes as there are; moves p on. */
__attribute__((target("sse4.2"))) static uint32_t crc_lanes(uint32_t c, int l, const uint8_t **io_p,
                                                            size_t *io_n)
{
    const size_t lane = crc_lane_bytes[l];
    const uint8_t *p = *io_p;

    for (; *io_n >= CRC_LANES * lane; p += CRC_LANES * lane, *io_n -= CRC_LANES * lane) {
        uint64_t a = c, b = 0, d = 0;

        for (size_t i = 0; i < lane; i += 8) {
            a = crc_word(a, p + i);
            b = crc_word(b, p + lane + i);
            d = crc_word(d, p + 2 * lane + i);
        }
        c = crc_move(crc_moves[l], (uint32_t)a) ^ (uint32_t)b;
        c = crc_move(crc_moves[l], c) ^ (uint32_t)d;
    }
    *io_p = p;
    return c;
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p, size_t n)
{
    uint64_t c64;

    c = crc_lanes(c, 0, &p, &n);
    c64 = crc_lanes(c, 1, &p, &n);
    for (; n >= 8; p += 8, n -= 8)
        c64 = crc_word(c64, p);
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
    crc_moves_init();
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
