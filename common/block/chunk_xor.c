#include "common/block/chunk_xor.h"

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define XOR_TAIL                                                                                   \
    32 /* bytes a decoder may look at for one sample (19), rounded up with its loads  \
                     */

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

/* Puts the n (1..57) low bits of v at the end. Bits behind it become zero, bits before it are
 * written again as they were. */
static inline void put(uint8_t *dst, uint32_t *bits, uint64_t v, unsigned n)
{
    uint8_t *p = dst + (*bits >> 3);
    unsigned used = *bits & 7;
    uint64_t acc = v << (64 - used - n);

    if (used)
        acc |= (uint64_t)*p >> (8 - used) << (64 - used);
    store_be64(p, acc);
    *bits += n;
}

static inline void put_long(uint8_t *dst, uint32_t *bits, uint64_t v, unsigned n)
{
    if (n > 57) {
        put(dst, bits, v >> 32, n - 32);
        v &= 0xffffffffu;
        n = 32;
    }
    put(dst, bits, v, n);
}

static void put_uvarint(uint8_t *dst, uint32_t *bits, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put(dst, bits, (v & 0x7f) | 0x80, 8);
    put(dst, bits, v, 8);
}

/* The prefix code of a delta of deltas; *ret_n bits of the result, unless it needs the long form.
 */
static inline uint64_t dod_code(int64_t dod, unsigned *ret_n)
{
    if (dod == 0) {
        *ret_n = 1;
        return 0;
    }
    if (dod >= -8191 && dod <= 8192) {
        *ret_n = 16;
        return 2ull << 14 | ((uint64_t)dod & 0x3fff);
    }
    if (dod >= -65535 && dod <= 65536) {
        *ret_n = 20;
        return 6ull << 17 | ((uint64_t)dod & 0x1ffff);
    }
    if (dod >= -524287 && dod <= 524288) {
        *ret_n = 24;
        return 14ull << 20 | ((uint64_t)dod & 0xfffff);
    }
    *ret_n = 0;
    return 0;
}

/* Writes the value behind the n bits of head, which are not written yet. */
static inline void put_value(struct chunk_xor_appender *a, uint8_t *dst, uint64_t v, uint64_t head,
                             unsigned n)
{
    uint64_t x = v ^ a->v;
    unsigned leading, trailing, sig;

    if (x == 0) {
        put(dst, &a->bits, head << 1, n + 1);
        return;
    }
    leading = (unsigned)__builtin_clzll(x);
    trailing = (unsigned)__builtin_ctzll(x);
    if (leading > 31)
        leading = 31;
    if (a->sig_bits && leading >= a->leading && trailing >= 64u - a->leading - a->sig_bits) {
        put(dst, &a->bits, head << 2 | 2, n + 2);
        put_long(dst, &a->bits, x >> (64 - a->leading - a->sig_bits), a->sig_bits);
        return;
    }
    sig = 64 - leading - trailing;
    a->leading = (uint8_t)leading;
    a->sig_bits = (uint8_t)sig;
    put(dst, &a->bits, (head << 2 | 3) << 11 | (uint64_t)leading << 6 | (sig & 63), n + 13);
    put_long(dst, &a->bits, x >> trailing, sig);
}

void chunk_xor_append(struct chunk_xor_appender *a, uint8_t *dst, int64_t t, double v)
{
    uint64_t value, head;
    int64_t delta;
    unsigned n;

    memcpy(&value, &v, 8);
    ORR_ASSERT(a->n < UINT16_MAX);
    if (ORR_UNLIKELY(a->n == 0)) {
        a->bits = 16;
        put_uvarint(dst, &a->bits, (uint64_t)t << 1 ^ (uint64_t)(t >> 63));
        put_long(dst, &a->bits, value, 64);
    } else if (ORR_UNLIKELY(a->n == 1)) {
        a->t_delta = (int64_t)((uint64_t)t - (uint64_t)a->t);
        put_uvarint(dst, &a->bits, (uint64_t)a->t_delta);
        put_value(a, dst, value, 0, 0);
    } else {
        delta = (int64_t)((uint64_t)t - (uint64_t)a->t);
        head = dod_code((int64_t)((uint64_t)delta - (uint64_t)a->t_delta), &n);
        if (ORR_UNLIKELY(n == 0)) {
            put(dst, &a->bits, 15, 4);
            put_long(dst, &a->bits, (uint64_t)delta - (uint64_t)a->t_delta, 64);
        }
        put_value(a, dst, value, head, n);
        a->t_delta = delta;
    }
    a->t = t;
    a->v = value;
    a->n++;
    dst[0] = (uint8_t)(a->n >> 8);
    dst[1] = (uint8_t)a->n;
}

/* All 64 bits at a bit position; looks at nine bytes. */
static inline uint64_t load_bits(const uint8_t *base, size_t pos)
{
    const uint8_t *p = base + (pos >> 3);
    unsigned s = pos & 7;

    return load_be64(p) << s | (uint64_t)p[8] >> (8 - s);
}

/* Where decoding stands, and what an appender would know there. */
struct xor_state {
    const uint8_t *base;
    size_t pos, end; /* in bits from base */
    int64_t t, t_delta;
    uint64_t v;
    unsigned leading, sig; /* sig 0: no window was written yet */
};

/* The delta of deltas in front of w, which holds the next 57 bits; shifts w past it. */
static inline int64_t take_dod(struct xor_state *s, uint64_t *w)
{
    static const uint8_t size[4] = {0, 14, 17, 20};
    unsigned ones, n;
    int64_t dod;

    if (!(*w >> 63)) {
        s->pos += 1;
        *w <<= 1;
        return 0;
    }
    ones = (unsigned)__builtin_clzll(~*w | 1ull << 59);
    if (ones == 4) {
        dod = (int64_t)load_bits(s->base, s->pos + 4);
        s->pos += 68;
        *w = load_be64(s->base + (s->pos >> 3)) << (s->pos & 7);
        return dod;
    }
    n = size[ones];
    dod = (int64_t)(*w << (ones + 1) >> (64 - n));
    if (dod > (int64_t)1 << (n - 1))
        dod -= (int64_t)1 << n;
    s->pos += ones + 1 + n;
    *w <<= ones + 1 + n;
    return dod;
}

/* The value in front of w. False if its window is impossible. */
static inline bool take_value(struct xor_state *s, uint64_t w)
{
    unsigned sig;

    if (!(w >> 63)) {
        s->pos += 1;
        return true;
    }
    if (w >> 62 & 1) {
        s->leading = (unsigned)(w >> 57) & 31;
        s->sig = (unsigned)(w >> 51) & 63;
        if (s->sig == 0)
            s->sig = 64;
        if (s->leading + s->sig > 64)
            return false;
        s->pos += 13;
    } else {
        s->pos += 2;
    }
    sig = s->sig ? s->sig : 64;
    s->v ^= load_bits(s->base, s->pos) >> (64 - sig) << (64 - s->leading - sig);
    s->pos += sig;
    return true;
}

/* First sample, and the step to the second: whole bytes. */
static bool decode_head(struct slice data, size_t n, struct xor_state *s, int64_t *t, double *v)
{
    struct reader r = reader_new(slice_from(data, 2));
    uint64_t value;

    s->t = t[0] = reader_varint(&r);
    value = reader_u64be(&r);
    s->v = value;
    memcpy(&v[0], &value, 8);
    if (n > 1)
        s->t_delta = (int64_t)reader_uvarint(&r);
    s->base = data.ptr;
    s->pos = (2 + reader_pos(&r)) * 8;
    s->end = data.len * 8;
    return reader_ok(&r);
}

/* False if the bytes end before n samples, or make no sense. n >= 1. */
static bool decode(struct slice data, size_t n, struct xor_state *ret, int64_t *t, double *v)
{
    uint8_t tail[2 * XOR_TAIL + 16];
    struct xor_state s = {0};
    size_t safe = data.len >= XOR_TAIL ? data.len - XOR_TAIL : 0; /* last byte to start from */
    bool in_tail = false;

    if (data.len < 2 || !decode_head(data, n, &s, t, v))
        return false;
    for (size_t i = 1; i < n; i++) {
        uint64_t w;

        if (ORR_UNLIKELY(!in_tail && (data.len < XOR_TAIL || s.pos >> 3 > safe))) {
            size_t at = s.pos >> 3, left = data.len - at;

            memset(tail, 0, sizeof(tail));
            memcpy(tail, data.ptr + at, left);
            s.base = tail;
            s.pos &= 7;
            s.end = left * 8;
            in_tail = true;
        }
        w = load_be64(s.base + (s.pos >> 3)) << (s.pos & 7);
        if (ORR_LIKELY(i > 1))
            s.t_delta = (int64_t)((uint64_t)s.t_delta + (uint64_t)take_dod(&s, &w));
        s.t = (int64_t)((uint64_t)s.t + (uint64_t)s.t_delta);
        if (!take_value(&s, w) || s.pos > s.end)
            return false;
        t[i] = s.t;
        memcpy(&v[i], &s.v, 8);
    }
    if (in_tail) /* back to bits of the whole chunk */
        s.pos += (data.len * 8) - s.end;
    *ret = s;
    return true;
}

struct err *chunk_xor_decode_first(struct slice data, size_t n, int64_t *t, double *v)
{
    struct xor_state s;

    if (n == 0)
        return NULL;
    if (!decode(data, n, &s, t, v))
        return err_new(ERR_CORRUPT, "XOR chunk: %zu bytes do not hold %zu samples", data.len, n);
    return NULL;
}

struct err *chunk_xor_decode(struct slice data, size_t cap, int64_t *t, double *v, size_t *ret_n)
{
    struct err *e;
    size_t n;

    if (data.len < 2)
        return err_new(ERR_CORRUPT, "XOR chunk: %zu bytes are no header", data.len);
    n = (size_t)data.ptr[0] << 8 | data.ptr[1];
    if (n > cap)
        return err_new(ERR_LIMIT, "XOR chunk: %zu samples, room for %zu", n, cap);
    if ((e = chunk_xor_decode_first(data, n, t, v)))
        return e;
    *ret_n = n;
    return NULL;
}

struct err *chunk_xor_resume(struct slice data, struct chunk_xor_appender *ret)
{
    size_t n = data.len < 2 ? 0 : (size_t)data.ptr[0] << 8 | data.ptr[1];
    struct xor_state s = {0};
    int64_t *t;
    double *v;
    bool is_ok;

    *ret = (struct chunk_xor_appender){0};
    if (data.len == 0 || (data.len == 2 && n == 0))
        return NULL;
    t = mem_alloc((n + 1) * sizeof(*t));
    v = mem_alloc((n + 1) * sizeof(*v));
    is_ok = n > 0 && data.len <= UINT32_MAX / 8 - CHUNK_XOR_ROOM && decode(data, n, &s, t, v);
    mem_free(t);
    mem_free(v);
    if (!is_ok)
        return err_new(ERR_CORRUPT, "XOR chunk: %zu bytes do not hold %zu samples", data.len, n);
    *ret = (struct chunk_xor_appender){.t = s.t,
                                       .v = s.v,
                                       .t_delta = s.t_delta,
                                       .bits = (uint32_t)s.pos,
                                       .n = (uint16_t)n,
                                       .leading = (uint8_t)s.leading,
                                       .sig_bits = (uint8_t)s.sig};
    return NULL;
}

void chunk_xor_encode(struct buf *out, const int64_t *t, const double *v, size_t n)
{
    struct chunk_xor_appender a = {0};
    size_t start = out->len;

    for (size_t i = 0; i < n; i++) {
        out->len = start + chunk_xor_bytes(&a);
        if (!buf_reserve(out, CHUNK_XOR_ROOM))
            return;
        chunk_xor_append(&a, out->ptr + start, t[i], v[i]);
    }
    out->len = start + chunk_xor_bytes(&a);
}
