#include "querier/store/page_disk.h"

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/reader.h"
#include "common/kv/kv.h"

#define HASH_BYTES 16
#define CRC_BYTES 4
#define PAUSE_MS 60000
#define MIN_BLOB_BYTES 4096 /* pages, but for small files */
#define RECENT 8192         /* pages that were read lately, whose turns are at hand */
#define OWN_CACHE_BYTES                                                                            \
    (1u << 20) /* of RocksDB: pages that are used often are in memory above it */

struct page_disk {
    struct objpages_below below;
    struct kv *kv;
    uint64_t max_bytes;
    struct lock writing;         /* held over all writes, and what is below is changed under it */
    uint64_t first_turn, n_turn; /* the oldest, and the next to be given */
    int64_t paused_until_ms;     /* mono: a write has failed */
    /* By a hash's first bytes; the last one to write a slot wins. A turn only ever becomes a younger one, so at worst one that
     * is here is looked up again. */
    struct recent {
        uint8_t hash[HASH_BYTES];
        uint64_t turn;
    } recent[RECENT];
    struct page_disk_stats stats;
    uint64_t failures; /* of it, by any thread */
};

/* ---- keys and values ---- */

struct name {
    uint8_t b[1 + HASH_BYTES]; /* kind, then hash or turn */
    size_t len;
};

static struct slice slice_of_name(const struct name *n)
{
    return slice_of(n->b, n->len);
}

static void hash_of(struct slice key, uint8_t ret[HASH_BYTES])
{
    struct hash128 h = hash_xxh128(key, 0);

    memcpy(ret, &h.hi, sizeof(h.hi));
    memcpy(ret + sizeof(h.hi), &h.lo, sizeof(h.lo));
}

static struct name by_hash(char kind, const uint8_t hash[HASH_BYTES])
{
    struct name n = {.len = 1 + HASH_BYTES};

    n.b[0] = (uint8_t)kind;
    memcpy(n.b + 1, hash, HASH_BYTES);
    return n;
}

static struct name by_turn(uint64_t turn)
{
    struct name n = {.b = {'t'}, .len = 1 + sizeof(turn)};

    turn = __builtin_bswap64(turn);
    memcpy(n.b + 1, &turn, sizeof(turn));
    return n;
}

static void encode_page(struct buf *b, const struct objpages_below_page *g)
{
    uint32_t crc;

    buf_reset(b);
    buf_u32le(b, 0);
    buf_u64le(b, g->object_bytes);
    buf_lstr(b, g->key);
    buf_slice_append(b, g->bytes);
    crc = hash_crc32c(slice_from(buf_slice(b), CRC_BYTES));
    memcpy(b->ptr, &crc, sizeof(crc));
}

static bool decode_page(struct slice value, struct slice key, struct slice *ret,
                        uint64_t *ret_object_bytes)
{
    struct reader r = reader_new(value);
    uint32_t crc = reader_u32le(&r);
    uint64_t object_bytes = reader_u64le(&r);
    struct slice found = reader_lstr(&r);

    if (!reader_ok(&r) || crc != hash_crc32c(slice_from(value, CRC_BYTES)) ||
        !slice_eq(found, key) || reader_left(&r) > OBJPAGES_PAGE)
        return false;
    *ret = reader_rest(&r);
    *ret_object_bytes = object_bytes;
    return true;
}

/* ---- what goes wrong ---- */

static void failed(struct page_disk *d, struct err *e)
{
    if (!e)
        return;
    METRIC_ADD(d->failures, 1);
    LOG_WARN(store, "pages of blocks cannot be kept on the disk", KV_ERR(e));
    err_free(e);
}

/* ---- turns; all with the lock for writing ---- */

/* What has this turn; false: nothing has it any more. */
static bool turn_get(struct page_disk *d, uint64_t turn, struct buf *b, uint8_t ret[HASH_BYTES],
                     uint32_t *ret_bytes)
{
    struct name n = by_turn(turn);
    struct reader r;
    struct slice hash;
    bool found = false;
    struct err *e = kv_get(d->kv, slice_of_name(&n), b, &found);

    failed(d, e);
    if (e || !found)
        return false;
    r = reader_new(buf_slice(b));
    hash = reader_bytes(&r, HASH_BYTES);
    *ret_bytes = reader_u32le(&r);
    if (!reader_ok(&r))
        return false;
    memcpy(ret, hash.ptr, HASH_BYTES);
    return true;
}

static void turn_put(struct page_disk *d, struct kv_batch *batch, const uint8_t hash[HASH_BYTES],
                     uint32_t bytes)
{
    struct name turn = by_turn(d->n_turn), s = by_hash('s', hash);
    struct buf b = {0};

    buf_append(&b, hash, HASH_BYTES);
    buf_u32le(&b, bytes);
    kv_batch_put(batch, slice_of_name(&turn), buf_slice(&b));
    buf_reset(&b);
    buf_u64le(&b, d->n_turn++);
    kv_batch_put(batch, slice_of_name(&s), buf_slice(&b));
    buf_done(&b);
}

/* The turn of a page that is here. */
static bool turn_of(struct page_disk *d, const uint8_t hash[HASH_BYTES], uint64_t *ret)
{
    struct name s = by_hash('s', hash);
    struct buf b = {0};
    bool found = false;
    struct err *e = kv_get(d->kv, slice_of_name(&s), &b, &found);
    struct reader r = reader_new(buf_slice(&b));

    failed(d, e);
    *ret = reader_u64le(&r);
    found = !e && found && reader_ok(&r);
    buf_done(&b);
    return found;
}

static void forget(struct page_disk *d, struct kv_batch *batch, uint64_t turn,
                   const uint8_t hash[HASH_BYTES], uint32_t bytes)
{
    struct name p = by_hash('p', hash), s = by_hash('s', hash), t = by_turn(turn);

    kv_batch_delete(batch, slice_of_name(&p));
    kv_batch_delete(batch, slice_of_name(&s));
    kv_batch_delete(batch, slice_of_name(&t));
    d->stats.bytes -= ORR_MIN(d->stats.bytes, (uint64_t)bytes);
    d->stats.pages -= d->stats.pages > 0;
}

/* Oldest first, until more bytes have room. */
static void make_room(struct page_disk *d, struct kv_batch *batch, uint64_t more)
{
    uint8_t hash[HASH_BYTES];
    struct buf b = {0};
    uint32_t bytes;

    while (d->first_turn < d->n_turn && d->stats.bytes + more > d->max_bytes) {
        if (turn_get(d, d->first_turn, &b, hash, &bytes)) {
            forget(d, batch, d->first_turn, hash, bytes);
            d->stats.evictions++;
        }
        d->first_turn++;
    }
    buf_done(&b);
}

static struct err *count_turn(void *arg, struct slice key, struct slice value)
{
    struct page_disk *d = arg;
    struct reader k = reader_new(slice_from(key, 1)), v = reader_new(value);
    uint64_t turn = reader_u64be(&k);

    (void)reader_bytes(&v, HASH_BYTES);
    d->stats.bytes += reader_u32le(&v);
    if (!reader_ok(&k) || !reader_ok(&v))
        return err_new(ERR_CORRUPT, "the turn of a page is malformed");
    if (d->stats.pages++ == 0)
        d->first_turn = turn;
    d->n_turn = turn + 1;
    return NULL;
}

/* What is there, by the turns. */
static struct err *count(struct page_disk *d)
{
    d->stats.bytes = d->stats.pages = 0;
    return kv_each(d->kv, SLICE("t"), count_turn, d);
}

/* Frees the batch. After a failure the books are made anew, and nothing is written for a while. */
static void write_batch(struct page_disk *d, struct kv_batch *batch)
{
    struct err *e = kv_batch_count(batch) ? kv_write(d->kv, batch, false) : NULL;

    kv_batch_free(batch);
    if (!e)
        return;
    failed(d, e);
    failed(d, count(d));
    memset(d->recent, 0, sizeof(d->recent));
    d->paused_until_ms = clock_mono_ms(&clock_system) + PAUSE_MS;
}

static bool is_paused(const struct page_disk *d)
{
    return d->paused_until_ms && clock_mono_ms(&clock_system) < d->paused_until_ms;
}

/* ---- the calls ---- */

/* With the lock. */
static void put_page(struct page_disk *d, struct slice key, struct slice value)
{
    struct kv_batch *batch = kv_batch_new();
    uint8_t hash[HASH_BYTES];
    struct name p;
    uint64_t turn;

    hash_of(key, hash);
    p = by_hash('p', hash);
    if (value.len <= d->max_bytes && !turn_of(d, hash, &turn)) {
        make_room(d, batch, value.len);
        kv_batch_put(batch, slice_of_name(&p), value);
        turn_put(d, batch, hash, (uint32_t)value.len);
        d->stats.bytes += value.len;
        d->stats.pages++;
        d->stats.puts++;
    }
    write_batch(d, batch);
}

static void put_pages(void *arg, const struct objpages_below_page *pages, size_t n)
{
    struct page_disk *d = arg;
    struct buf b = {0};

    lock_take(&d->writing);
    for (size_t i = 0; i < n && !is_paused(d); i++) {
        encode_page(&b, &pages[i]);
        put_page(d, pages[i].key, buf_slice(&b));
    }
    lock_release(&d->writing);
    buf_done(&b);
}

static void take_out(struct page_disk *d, const uint8_t hash[HASH_BYTES])
{
    struct kv_batch *batch = kv_batch_new();
    uint8_t same[HASH_BYTES];
    struct buf b = {0};
    uint32_t bytes;
    uint64_t turn;

    lock_take(&d->writing);
    d->stats.corrupt++;
    if (turn_of(d, hash, &turn) && turn_get(d, turn, &b, same, &bytes))
        forget(d, batch, turn, hash, bytes);
    write_batch(d, batch);
    lock_release(&d->writing);
    buf_done(&b);
}

static void drop_page(void *arg, struct slice key)
{
    uint8_t hash[HASH_BYTES];

    hash_of(key, hash);
    take_out(arg, hash);
}

/* With the lock. */
static struct recent *recent_of(struct page_disk *d, const uint8_t hash[HASH_BYTES])
{
    uint32_t at;

    memcpy(&at, hash, sizeof(at));
    return &d->recent[at % RECENT];
}

static bool is_old(const struct page_disk *d, uint64_t turn)
{
    return turn < d->first_turn + (d->n_turn - d->first_turn) / 2;
}

static void renew_old(struct page_disk *d, const uint8_t hash[HASH_BYTES], uint32_t bytes)
{
    struct recent *r = recent_of(d, hash);
    struct kv_batch *batch;
    struct name old;
    uint64_t turn;

    if (!turn_of(d, hash, &turn))
        return;
    memcpy(r->hash, hash, HASH_BYTES);
    r->turn = turn;
    if (!is_old(d, turn))
        return;
    r->turn = d->n_turn;
    old = by_turn(turn);
    batch = kv_batch_new();
    kv_batch_delete(batch, slice_of_name(&old));
    turn_put(d, batch, hash, bytes);
    write_batch(d, batch);
}

static void renew(struct page_disk *d, const uint8_t hash[HASH_BYTES], uint32_t bytes)
{
    const struct recent *r = recent_of(d, hash);

    lock_take(&d->writing);
    if (!is_paused(d) && (memcmp(r->hash, hash, HASH_BYTES) != 0 || is_old(d, r->turn)))
        renew_old(d, hash, bytes);
    lock_release(&d->writing);
}

/* A page that is looked for. */
struct sought {
    struct slice key, bytes; /* bytes: a copy */
    uint64_t object_bytes;
    size_t value_bytes;
    bool is_there, is_well;
};

static void copy_page(void *arg, struct slice value)
{
    struct sought *s = arg;
    struct slice bytes;

    s->is_there = true;
    if (!decode_page(value, s->key, &bytes, &s->object_bytes))
        return;
    s->is_well = true;
    s->value_bytes = value.len;
    s->bytes = slice_of(mem_alloc(ORR_MAX(bytes.len, (size_t)1)), bytes.len);
    if (bytes.len)
        memcpy((void *)s->bytes.ptr, bytes.ptr, bytes.len);
}

static bool get_page(void *arg, struct slice key, struct slice *ret, uint64_t *ret_object_bytes)
{
    struct page_disk *d = arg;
    struct sought s = {.key = key};
    uint8_t hash[HASH_BYTES];
    struct name p;

    hash_of(key, hash);
    p = by_hash('p', hash);
    failed(d, kv_see(d->kv, slice_of_name(&p), copy_page, &s));
    if (s.is_there && !s.is_well)
        take_out(d, hash);
    if (!s.is_well)
        return false;
    renew(d, hash, (uint32_t)s.value_bytes);
    *ret = s.bytes;
    *ret_object_bytes = s.object_bytes;
    return true;
}

/* ---- life ---- */

static struct err *open_kv(struct page_disk *d, const char *dir)
{
    const struct kv_opts opts = {.cache_bytes = OWN_CACHE_BYTES,
                                 .min_blob_bytes = MIN_BLOB_BYTES,
                                 .without_checksums = true};
    struct err *e = kv_open(dir, &opts, &d->kv);

    if (!e && (e = count(d))) {
        kv_close(d->kv);
        d->kv = NULL;
    }
    return e;
}

struct page_disk *page_disk_open(const char *dir, uint64_t max_bytes)
{
    struct page_disk *d = mem_new(struct page_disk);
    struct err *e = open_kv(d, dir);

    if (err_is(e, ERR_CORRUPT)) {
        LOG_WARN(store, "the disk cache of blocks is broken and is made anew", KV_STR("path", dir),
                 KV_ERR(e));
        err_free(e);
        d->first_turn = d->n_turn = 0;
        d->stats = (struct page_disk_stats){0};
        if (!(e = fsx_remove_tree(dir)))
            e = open_kv(d, dir);
    }
    if (e) {
        failed(d, e);
        mem_free(d);
        return NULL;
    }
    d->max_bytes = d->stats.max_bytes = max_bytes;
    d->below = (struct objpages_below){d, get_page, put_pages, drop_page};
    lock_init(&d->writing, LOCK_CACHE);
    return d;
}

void page_disk_close(struct page_disk *d)
{
    if (!d)
        return;
    kv_close(d->kv);
    lock_done(&d->writing);
    mem_free(d);
}

struct objpages_below *page_disk_below(struct page_disk *d)
{
    return &d->below;
}

void page_disk_stats_get(struct page_disk *d, struct page_disk_stats *ret)
{
    lock_take(&d->writing);
    *ret = d->stats;
    lock_release(&d->writing);
    ret->failures = METRIC_GET(d->failures);
}
