#include "querier/plan/answer_cache.h"

#include <stdatomic.h>

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define BOOKS_BYTES 64 /* of the map, about, for each piece */

struct held {
    struct answer_piece piece;
    atomic_uint refs; /* the cache's one included */
    struct held *older, *newer;
    struct slice key;
    size_t size;
    int64_t made_ms; /* mono */
    uint8_t bytes[];
};

struct answer_cache {
    size_t max_bytes;
    int64_t max_age_ms;
    const struct clock *clock;
    struct lock lock;
    struct map map;
    struct held *newest, *oldest; /* by use */
    struct answer_cache_stats stats;
};

struct answer_cache *answer_cache_new(size_t max_bytes, int64_t max_age_ms,
                                      const struct clock *clock)
{
    struct answer_cache *c = mem_new(struct answer_cache);

    c->max_bytes = max_bytes;
    c->max_age_ms = max_age_ms;
    c->clock = clock;
    lock_init(&c->lock, LOCK_CACHE);
    return c;
}

static void held_unref(struct held *h)
{
    if (atomic_fetch_sub(&h->refs, 1) == 1)
        mem_free(h);
}

/* ---- with the lock ---- */

static void list_out(struct answer_cache *c, struct held *h)
{
    *(h->older ? &h->older->newer : &c->oldest) = h->newer;
    *(h->newer ? &h->newer->older : &c->newest) = h->older;
    h->older = h->newer = NULL;
}

static void list_in(struct answer_cache *c, struct held *h)
{
    h->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = h;
    c->newest = h;
}

static void drop(struct answer_cache *c, struct held *h)
{
    (void)map_del(&c->map, h->key);
    list_out(c, h);
    c->stats.bytes -= h->size;
    c->stats.pieces--;
    held_unref(h);
}

/* ---- */

void answer_cache_free(struct answer_cache *c)
{
    if (!c)
        return;
    while (c->oldest)
        drop(c, c->oldest);
    map_done(&c->map);
    lock_done(&c->lock);
    mem_free(c);
}

const struct answer_piece *answer_cache_get(struct answer_cache *c, struct slice key,
                                            uint64_t version)
{
    int64_t now_ms = clock_mono_ms(c->clock);
    struct held *h;

    lock_take(&c->lock);
    h = map_get(&c->map, key);
    if (h && (h->piece.version != version || now_ms - h->made_ms > c->max_age_ms)) {
        drop(c, h);
        h = NULL;
    }
    if (h) {
        list_out(c, h);
        list_in(c, h);
        atomic_fetch_add(&h->refs, 1);
    }
    lock_release(&c->lock);
    return h ? &h->piece : NULL;
}

void answer_cache_release(const struct answer_piece *p)
{
    if (p)
        held_unref(ORR_CONTAINER(p, struct held, piece));
}

static struct held *held_new(struct answer_cache *c, struct slice key,
                             const struct answer_piece *piece, size_t size)
{
    struct held *h = mem_alloc(sizeof(*h) + key.len + piece->bytes.len);

    *h = (struct held){.piece = *piece, .size = size, .made_ms = clock_mono_ms(c->clock)};
    atomic_init(&h->refs, 1);
    memcpy(h->bytes, key.ptr, key.len);
    if (piece->bytes.len)
        memcpy(h->bytes + key.len, piece->bytes.ptr, piece->bytes.len);
    h->key = slice_of(h->bytes, key.len);
    h->piece.bytes = slice_of(h->bytes + key.len, piece->bytes.len);
    return h;
}

size_t answer_cache_max_bytes(const struct answer_cache *c)
{
    return c->max_bytes / 8;
}

/* In the place of what was there; NULL: nothing. */
static void put_or_refuse(struct answer_cache *c, struct slice key, struct held *h)
{
    struct held *old;

    lock_take(&c->lock);
    if ((old = map_get(&c->map, key)))
        drop(c, old);
    if (!h) {
        c->stats.refused++;
    } else {
        while (c->oldest && c->stats.bytes + h->size > c->max_bytes) {
            drop(c, c->oldest);
            c->stats.evictions++;
        }
        (void)map_put(&c->map, key, h);
        list_in(c, h);
        c->stats.bytes += h->size;
        c->stats.pieces++;
        c->stats.puts++;
    }
    lock_release(&c->lock);
}

void answer_cache_refuse(struct answer_cache *c, struct slice key)
{
    put_or_refuse(c, key, NULL);
}

void answer_cache_put(struct answer_cache *c, struct slice key, const struct answer_piece *piece)
{
    size_t size = sizeof(struct held) + 2 * key.len + piece->bytes.len + BOOKS_BYTES;
    bool is_too_large = size > answer_cache_max_bytes(c);

    put_or_refuse(c, key, is_too_large ? NULL : held_new(c, key, piece, size));
}

void answer_cache_stats_get(struct answer_cache *c, struct answer_cache_stats *ret)
{
    lock_take(&c->lock);
    *ret = c->stats;
    lock_release(&c->lock);
}
