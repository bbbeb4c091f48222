#include "common/base/intplanes.h"

static uint64_t zigzag(uint64_t v)
{
    return v << 1 ^ (uint64_t)((int64_t)v >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
    return v >> 1 ^ (0 - (v & 1));
}

static unsigned bits_of(uint64_t v)
{
    return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static uint64_t scale_of(const int64_t *v, size_t n)
{
    uint64_t scale = 1000000000;

    for (size_t i = 1; i < n && scale > 1; i++) {
        uint64_t d = (uint64_t)v[i] - (uint64_t)v[i - 1];

        if ((int64_t)d < 0)
            d = 0 - d;
        while (d % scale != 0)
            scale /= 1000;
    }
    return scale;
}

/* A difference that is a multiple of the scale, whichever its sign. */
static uint64_t shrink(uint64_t d, uint64_t scale)
{
    return scale == 1 ? d : (uint64_t)((int64_t)d / (int64_t)scale);
}

struct intplanes intplanes_choose(const int64_t *v, size_t n, bool with_scale)
{
    struct intplanes c = {.scale = with_scale ? scale_of(v, n) : 1};
    uint64_t sums[INTPLANES_HOWS] = {0}, most[INTPLANES_HOWS] = {0};
    int64_t min = n ? v[0] : 0;
    uint64_t before = n ? (uint64_t)v[0] : 0, step_before = 0;

    for (size_t i = 1; i < n; i++)
        min = v[i] < min ? v[i] : min;
    for (size_t i = 0; i < n; i++) {
        uint64_t step = (uint64_t)v[i] - before;
        uint64_t x[INTPLANES_HOWS] = {
            (uint64_t)v[i] - (uint64_t)min,
            zigzag(step),
            zigzag(step - step_before),
        };

        for (int k = 0; k < INTPLANES_HOWS; k++) {
            sums[k] += bits_of(x[k]);
            most[k] |= x[k];
        }
        before = (uint64_t)v[i];
        step_before = step;
    }
    for (uint8_t k = 1; k < INTPLANES_HOWS; k++)
        if (sums[k] + n / 4 < sums[c.how]) /* plain numbers are cheaper to read */
            c.how = k;
    c.base = c.how == INTPLANES_PLAIN ? (uint64_t)min : n ? (uint64_t)v[0] : 0;
    /* Differences that are multiples of the scale add up to multiples of it, unless they wrap. */
    if ((most[INTPLANES_DELTA] | most[c.how]) >> 61 || most[c.how] == 0)
        c.scale = 1;
    for (uint64_t m = most[c.how] / c.scale + (c.scale > 1); m; m >>= 8)
        c.width++;
    return c;
}

void intplanes_describe(const struct intplanes *c, struct buf *out)
{
    buf_byte(out, (uint8_t)(c->how | c->width << 4));
    buf_varint(out, (int64_t)c->base);
    buf_uvarint(out, c->scale - 1);
}

void intplanes_encode(const struct intplanes *c, const int64_t *v, size_t n, struct buf *out)
{
    uint8_t *to = c->width ? buf_reserve(out, n * c->width) : NULL;
    uint64_t before = c->base, step_before = 0;

    if (!to)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t step = (uint64_t)v[i] - before, x;

        if (c->how == INTPLANES_PLAIN) {
            x = step / c->scale;
        } else {
            x = zigzag(shrink(c->how == INTPLANES_DELTA ? step : step - step_before, c->scale));
            before = (uint64_t)v[i];
            step_before = step;
        }
        for (unsigned b = 0; b < c->width; b++)
            to[b * n + i] = (uint8_t)(x >> (8 * b));
    }
    out->len += n * c->width;
}

bool intplanes_read(struct reader *r, struct intplanes *ret)
{
    uint8_t head = reader_u8(r);

    *ret = (struct intplanes){.how = head & 15, .width = head >> 4};
    ret->base = (uint64_t)reader_varint(r);
    ret->scale = reader_uvarint(r) + 1;
    return reader_ok(r) && ret->how < INTPLANES_HOWS && ret->width <= 8;
}

void intplanes_decode(const struct intplanes *c, const uint8_t *payload, size_t n, int64_t *ret)
{
    uint64_t *to = (uint64_t *)ret, sum = c->base, step = 0;

    if (c->width)
        for (size_t i = 0; i < n; i++)
            to[i] = payload[i];
    else
        memset(to, 0, n * sizeof(*to));
    for (unsigned b = 1; b < c->width; b++)
        for (size_t i = 0; i < n; i++)
            to[i] |= (uint64_t)payload[b * n + i] << (8 * b);
    switch (c->how) {
    case INTPLANES_PLAIN:
        for (size_t i = 0; i < n; i++)
            to[i] = c->base + to[i] * c->scale;
        break;
    case INTPLANES_DELTA:
        for (size_t i = 0; i < n; i++)
            to[i] = sum += unzigzag(to[i]) * c->scale;
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            step += unzigzag(to[i]) * c->scale;
            to[i] = sum += step;
        }
    }
}
