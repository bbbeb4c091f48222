#include "common/block/ulid.h"

#include "common/base/buf.h"
#include "common/base/hash.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#define ULID_SEED 0x756c6964ull
#define ULID_MAX_TIME_MS 0xffffffffffffll

struct ulid ulid_make(int64_t time_ms, const uint8_t entropy[10])
{
    struct ulid u;
    uint64_t t = time_ms < 0 ? 0 : (uint64_t)ORR_MIN(time_ms, ULID_MAX_TIME_MS);

    for (int i = 0; i < 6; i++)
        u.bytes[i] = (uint8_t)(t >> (40 - 8 * i));
    memcpy(u.bytes + 6, entropy, 10);
    return u;
}

struct ulid ulid_derive(int64_t time_ms, const struct slice *parts, size_t n)
{
    struct buf b = {0};
    struct hash128 h;
    uint8_t entropy[10];

    for (size_t i = 0; i < n; i++)
        buf_lstr(&b, parts[i]);
    h = hash_xxh128(buf_slice(&b), ULID_SEED);
    buf_done(&b);
    for (int i = 0; i < 8; i++)
        entropy[i] = (uint8_t)(h.hi >> (56 - 8 * i));
    entropy[8] = (uint8_t)(h.lo >> 8);
    entropy[9] = (uint8_t)h.lo;
    return ulid_make(time_ms, entropy);
}

struct ulid_text ulid_print(struct ulid u)
{
    struct ulid_text t;
    unsigned acc = 0, bits = 2; /* 130 bits of text hold 128: two zeros lead */
    size_t in = 0;

    for (size_t i = 0; i < ULID_TEXT_LEN; i++) {
        if (bits < 5) {
            acc = acc << 8 | u.bytes[in++];
            bits += 8;
        }
        bits -= 5;
        t.s[i] = alphabet[acc >> bits & 31];
    }
    t.s[ULID_TEXT_LEN] = '\0';
    return t;
}

static int digit(uint8_t c)
{
    const char *p;

    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 'a' + 'A');
    p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

bool ulid_parse(struct slice text, struct ulid *ret)
{
    struct ulid u;
    unsigned acc = 0, bits = 0;
    size_t out = 0;

    if (text.len != ULID_TEXT_LEN || digit(text.ptr[0]) > 7)
        return false;
    for (size_t i = 0; i < ULID_TEXT_LEN; i++) {
        int d = digit(text.ptr[i]);

        if (d < 0)
            return false;
        acc = (acc << 5 | (unsigned)d) & 0xfff;
        bits += i == 0 ? 3 : 5;
        if (bits >= 8) {
            bits -= 8;
            u.bytes[out++] = (uint8_t)(acc >> bits);
        }
    }
    *ret = u;
    return true;
}

int64_t ulid_time_ms(struct ulid u)
{
    int64_t t = 0;

    for (int i = 0; i < 6; i++)
        t = t << 8 | u.bytes[i];
    return t;
}

int ulid_cmp(struct ulid a, struct ulid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

bool ulid_is_zero(struct ulid u)
{
    static const struct ulid zero;

    return ulid_eq(u, zero);
}
