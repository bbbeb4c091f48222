#include "compactor/retention.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

static bool is_over(const struct retention *r, int64_t period_ms, int64_t max_t)
{
    return period_ms > 0 && max_t <= r->now_ms - period_ms;
}

static size_t n_rules(const struct retention *r)
{
    return r->rules ? r->rules->n : 0;
}

int64_t retention_longest(const struct retention *r)
{
    int64_t longest_ms = r->default_ms;

    for (size_t i = 0; i < n_rules(r) && longest_ms; i++) {
        int64_t period_ms = r->rules->ptr[i].period_ms;

        longest_ms = period_ms ? ORR_MAX(longest_ms, period_ms) : 0;
    }
    return longest_ms;
}

const struct catalogue_block *retention_kept(const struct retention *r,
                                             const struct catalogue_block *blocks, size_t n,
                                             struct arena *a, size_t *ret_n)
{
    struct catalogue_block *out = arena_array(a, struct catalogue_block, n);
    int64_t longest_ms = retention_longest(r);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (!is_over(r, longest_ms, blocks[i].max_t))
            out[kept++] = blocks[i];
    *ret_n = kept;
    return out;
}

static int64_t next_of(const struct retention *r, int64_t period_ms, int64_t max_t)
{
    return period_ms == 0 || is_over(r, period_ms, max_t) ? INT64_MAX : max_t + period_ms;
}

int64_t retention_next_ms(const struct retention *r, int64_t max_t)
{
    int64_t next_ms = INT64_MAX;

    for (size_t i = 0; i < n_rules(r); i++)
        next_ms = ORR_MIN(next_ms, next_of(r, r->rules->ptr[i].period_ms, max_t));
    return n_rules(r) ? ORR_MIN(next_ms, next_of(r, r->default_ms, max_t)) : INT64_MAX;
}

uint64_t retention_hash(const struct retention *r, int64_t max_t)
{
    struct buf b = {0};
    bool any = false;
    uint64_t h;

    if (!r || n_rules(r) == 0) /* the tenant's period alone takes blocks whole */
        return 0;
    for (size_t i = 0; i < r->rules->n; i++) {
        const struct retention_rule *rule = &r->rules->ptr[i];

        any = any || is_over(r, rule->period_ms, max_t);
        matchers_encode(&b, rule->match);
        buf_varint(&b, rule->period_ms);
        buf_varint(&b, rule->priority);
        buf_byte(&b, is_over(r, rule->period_ms, max_t));
    }
    any = any || is_over(r, r->default_ms, max_t);
    buf_byte(&b, is_over(r, r->default_ms, max_t));
    h = hash_xxh64(buf_slice(&b), 1);
    buf_done(&b);
    return any ? ORR_MAX(h, 1u) : 0;
}

bool retention_drops(const struct retention *r, struct labels ls, int64_t max_t,
                     int64_t *ret_since_ms)
{
    const struct retention_rule *rule = r->rules ? retention_rules_find(r->rules, ls) : NULL;
    int64_t period_ms = rule ? rule->period_ms : r->default_ms;

    if (!is_over(r, period_ms, max_t))
        return false;
    if (ret_since_ms)
        *ret_since_ms = max_t + period_ms;
    return true;
}

/* ---- a stream without what leaves ---- */

struct sieve {
    struct block_stream base;
    struct block_stream *src;
    const struct retention *retention;
    int64_t max_t;
    uint64_t *dropped;
};

static struct err *sieve_next(struct block_stream *base, struct block_series *ret, bool *ret_more)
{
    struct sieve *s = (struct sieve *)base;
    struct err *e;

    while (!(e = s->src->ops->next(s->src, ret, ret_more)) && *ret_more &&
           retention_drops(s->retention, ret->labels, s->max_t, NULL))
        ++*s->dropped;
    return e;
}

static void sieve_close(struct block_stream *base)
{
    struct sieve *s = (struct sieve *)base;

    block_stream_close(s->src);
    mem_free(s);
}

struct block_stream *retention_stream_new(struct block_stream *src, const struct retention *r,
                                          int64_t max_t, uint64_t *io_dropped)
{
    static const struct block_stream_ops ops = {sieve_next, sieve_close};
    struct sieve *s = mem_new(struct sieve);

    *s = (struct sieve){{&ops}, src, r, max_t, io_dropped};
    return &s->base;
}
