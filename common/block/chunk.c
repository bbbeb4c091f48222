#include "common/block/chunk.h"

#include "common/block/aggr_chunk.h"

const char *chunk_encoding_name(uint8_t encoding)
{
    switch (encoding) {
#define X(sym, num, name)                                                                          \
    case num:                                                                                      \
        return name;
        CHUNK_ENCODINGS(X)
#undef X
    default:
        return "unknown";
    }
}

size_t chunk_samples(struct slice data)
{
    return data.len < 2 ? 0 : (size_t)data.ptr[0] << 8 | data.ptr[1];
}

size_t chunk_points(uint8_t encoding, struct slice data)
{
    return encoding == CHUNK_AGGR ? aggr_chunk_points(data) : chunk_samples(data);
}

static struct err *check_times(const struct chunk_columns *c)
{
    for (size_t i = 1; i < c->n; i++)
        if (c->t[i] <= c->t[i - 1])
            return err_new(ERR_CORRUPT, "chunk: sample %zu at %lld is not after %lld", i,
                           (long long)c->t[i], (long long)c->t[i - 1]);
    return NULL;
}

struct err *chunk_decode(struct arena *a, uint8_t encoding, struct slice data,
                         struct chunk_columns *ret)
{
    struct chunk_columns c = {0};
    struct err *e;

    switch (encoding) {
    case CHUNK_XOR:
        c.n = chunk_samples(data);
        if (c.n > data.len * 4) /* two bits a sample at least */
            return err_new(ERR_CORRUPT, "XOR chunk: %zu bytes do not hold %zu samples", data.len,
                           c.n);
        c.t = arena_array(a, int64_t, c.n);
        c.v = arena_array(a, double, c.n);
        e = chunk_xor_decode(data, c.n, c.t, c.v, &c.n);
        break;
    case CHUNK_HISTOGRAM:
    case CHUNK_FLOAT_HISTOGRAM:
        e = chunk_hist_decode(a, encoding, data, &c.n, &c.t, &c.h);
        break;
    default:
        return err_new(ERR_UNSUPPORTED, "chunk encoding %u is not supported", encoding);
    }
    if (e || (e = check_times(&c)))
        return e;
    *ret = c;
    return NULL;
}

struct err *chunk_check(struct arena *a, uint8_t encoding, struct slice data,
                        struct chunk_extent *ret)
{
    struct aggr_columns aggr = {0};
    struct chunk_columns cols = {0};
    struct err *e = encoding == CHUNK_AGGR ? aggr_chunk_decode(a, data, AGGR_ALL, &aggr)
                                           : chunk_decode(a, encoding, data, &cols);
    const int64_t *t = encoding == CHUNK_AGGR ? aggr.t : cols.t;
    size_t n = encoding == CHUNK_AGGR ? aggr.n : cols.n;

    if (e)
        return e;
    *ret = (struct chunk_extent){.n = n, .t = t};
    if (n) {
        ret->min_t = t[0];
        ret->max_t = t[n - 1];
    }
    return NULL;
}
