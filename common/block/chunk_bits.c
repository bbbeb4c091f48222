#include "common/block/chunk_bits.h"

/* Sizes behind a prefix of 1..8 one bits. */
static const uint8_t var_bits[9] = {0, 3, 6, 9, 12, 18, 25, 56, 64};

uint64_t chunk_bits_read(struct chunk_bits *b, unsigned n)
{
    uint64_t v = 0;

    if (n > chunk_bits_left(b)) {
        b->is_bad = true;
        b->pos = b->end;
        return 0;
    }
    while (n) {
        unsigned used = b->pos & 7, take = ORR_MIN(8 - used, n);

        v = v << take | ((uint64_t)b->ptr[b->pos >> 3] >> (8 - used - take) & ((1u << take) - 1));
        b->pos += take;
        n -= take;
    }
    return v;
}

/* Ones before the first zero, 8 at most; reads the zero too if there were fewer. */
static unsigned read_prefix(struct chunk_bits *b)
{
    unsigned ones = 0;

    while (ones < 8 && chunk_bits_read(b, 1))
        ones++;
    return ones;
}

int64_t chunk_bits_varint(struct chunk_bits *b)
{
    unsigned n = var_bits[read_prefix(b)];
    uint64_t v = chunk_bits_read(b, n);

    /* The codes are lopsided: 2^(n-1) itself is positive. */
    if (n && n < 64 && v > 1ull << (n - 1))
        v -= 1ull << n;
    return (int64_t)v;
}

uint64_t chunk_bits_varuint(struct chunk_bits *b)
{
    return chunk_bits_read(b, var_bits[read_prefix(b)]);
}

void chunk_bits_write(struct chunk_bits_writer *w, uint64_t v, unsigned n)
{
    uint8_t *p;

    if (n < 64)
        v &= (1ull << n) - 1;
    p = buf_reserve(&w->out, 9);
    if (!p)
        return;
    while (n) {
        unsigned take;

        if (w->free == 0) {
            w->out.ptr[w->out.len++] = 0;
            w->free = 8;
        }
        take = ORR_MIN(w->free, n);
        w->out.ptr[w->out.len - 1] |=
            (uint8_t)((v >> (n - take) & ((1u << take) - 1)) << (w->free - take));
        w->free -= take;
        n -= take;
    }
}

static void write_prefixed(struct chunk_bits_writer *w, unsigned ones, uint64_t v)
{
    if (ones < 8)
        chunk_bits_write(w, (1u << (ones + 1)) - 2, ones + 1);
    else
        chunk_bits_write(w, 0xff, 8);
    chunk_bits_write(w, v, var_bits[ones]);
}

void chunk_bits_write_varint(struct chunk_bits_writer *w, int64_t v)
{
    unsigned ones = 0;

    if (v != 0)
        for (ones = 1; ones < 8; ones++) {
            int64_t half = (int64_t)1 << (var_bits[ones] - 1);

            if (v > -half && v <= half)
                break;
        }
    write_prefixed(w, ones, (uint64_t)v);
}

void chunk_bits_write_varuint(struct chunk_bits_writer *w, uint64_t v)
{
    unsigned ones = 0;

    if (v != 0)
        for (ones = 1; ones < 8 && v >> var_bits[ones]; ones++)
            ;
    write_prefixed(w, ones, v);
}

void chunk_bits_read_xor(struct chunk_bits *b, struct chunk_bits_xor *x)
{
    unsigned sig;

    if (!chunk_bits_read(b, 1))
        return;
    if (chunk_bits_read(b, 1)) {
        x->leading = (uint8_t)chunk_bits_read(b, 5);
        x->sig = (uint8_t)chunk_bits_read(b, 6);
        if (x->sig == 0)
            x->sig = 64;
    }
    sig = x->sig ? x->sig : 64;
    if (x->leading + sig > 64) {
        b->is_bad = true;
        b->pos = b->end;
        return;
    }
    x->v ^= chunk_bits_read(b, sig) << (64 - x->leading - sig);
}

void chunk_bits_write_xor(struct chunk_bits_writer *w, struct chunk_bits_xor *x, uint64_t v)
{
    uint64_t d = v ^ x->v;
    unsigned leading, trailing;

    x->v = v;
    if (d == 0) {
        chunk_bits_write(w, 0, 1);
        return;
    }
    leading = ORR_MIN((unsigned)__builtin_clzll(d), 31u);
    trailing = (unsigned)__builtin_ctzll(d);
    if (x->sig && leading >= x->leading && trailing >= 64u - x->leading - x->sig) {
        chunk_bits_write(w, 2, 2);
    } else {
        x->leading = (uint8_t)leading;
        x->sig = (uint8_t)(64 - leading - trailing);
        chunk_bits_write(w, 3, 2);
        chunk_bits_write(w, leading, 5);
        chunk_bits_write(w, x->sig & 63, 6);
    }
    chunk_bits_write(w, d >> (64 - x->leading - x->sig), x->sig);
}
