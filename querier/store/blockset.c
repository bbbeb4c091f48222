#include "querier/store/blockset.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/spell.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "querier/store/lookout.h"

#define SIGNAL SLICE("metrics")
#define ATTEMPTS 4
#define LOOK_THREADS 16

/* An immutable catalogue, shared. */
struct held {
    struct catalogue *c;
    _Atomic unsigned refs;
};

struct tenant_entry {
    struct lookout_state look; /* the lookout's */
    /* under blockset.lock */
    struct held *held;
    char etag[OBJSTORE_ETAG_BYTES]; /* "" for an absent object */
    int64_t checked_ns;             /* when the look began that found held to be true */
    uint64_t hinted;
};

struct open_block {
    struct block_reader *reader;
    char *key;
    unsigned users;
    uint64_t used_at;
};

struct blockset {
    struct blockset_opts opts;
    struct lock lock;
    struct map tenants; /* struct tenant_entry */
    struct map blocks;  /* struct open_block by "tenant/ULID" */
    uint64_t tick;
    struct blockset_stats stats;
    struct lookout *lookout;
    struct spell trouble;
};

static lookout_fn look;

struct blockset *blockset_new(const struct blockset_opts *opts)
{
    struct blockset *bs = mem_new(struct blockset);

    bs->opts = *opts;
    bs->opts.local_root = mem_strdup(opts->local_root);
    if (!bs->opts.max_open)
        bs->opts.max_open = 1000;
    lock_init(&bs->lock, LOCK_CACHE);
    bs->lookout = lookout_new(opts->local_root ? 0 : LOOK_THREADS, look, bs);
    return bs;
}

static void held_unref(struct held *h)
{
    if (h && atomic_fetch_sub(&h->refs, 1) == 1) {
        catalogue_free(h->c);
        mem_free(h);
    }
}

static void open_block_free(struct open_block *b)
{
    block_reader_close(b->reader);
    mem_free(b->key);
    mem_free(b);
}

void blockset_free(struct blockset *bs)
{
    if (!bs)
        return;
    lookout_free(bs->lookout);
    MAP_FOREACH (e, &bs->tenants) {
        struct tenant_entry *t = e->value;

        held_unref(t->held);
        lookout_state_done(&t->look);
        mem_free(t);
    }
    MAP_FOREACH (e, &bs->blocks)
        open_block_free(e->value);
    map_done(&bs->tenants);
    map_done(&bs->blocks);
    lock_done(&bs->lock);
    mem_free((char *)bs->opts.local_root);
    mem_free(bs);
}

/* With the lock. */
static struct tenant_entry *entry_of(struct blockset *bs, struct slice tenant)
{
    void **slot = map_slot(&bs->tenants, tenant);

    if (!*slot) {
        struct tenant_entry *t = mem_new(struct tenant_entry);

        t->checked_ns = INT64_MIN;
        *slot = t;
    }
    return *slot;
}

void blockset_hint(struct blockset *bs, struct slice tenant, uint64_t version)
{
    struct tenant_entry *t;

    lock_take(&bs->lock);
    t = entry_of(bs, tenant);
    t->hinted = ORR_MAX(t->hinted, version);
    lock_release(&bs->lock);
}

void blockset_stats_get(struct blockset *bs, struct blockset_stats *ret)
{
    lock_take(&bs->lock);
    *ret = bs->stats;
    ret->open = bs->blocks.len;
    lock_release(&bs->lock);
}

/* ---- catalogues ---- */

/* A reference to what is held if it will do. */
static struct held *held_if_fresh(struct blockset *bs, struct tenant_entry *t,
                                  int64_t not_before_ns)
{
    struct held *h = NULL;

    lock_take(&bs->lock);
    if (t->held && t->checked_ns >= not_before_ns && catalogue_version(t->held->c) >= t->hinted) {
        h = t->held;
        (void)atomic_fetch_add(&h->refs, 1);
    }
    lock_release(&bs->lock);
    return h;
}

static bool is_same_etag(struct blockset *bs, struct tenant_entry *t, const char *etag)
{
    bool same;

    lock_take(&bs->lock);
    same = t->held && strcmp(t->etag, etag) == 0;
    lock_release(&bs->lock);
    return same;
}

static void keep(struct blockset *bs, struct tenant_entry *t, struct catalogue *c, const char *etag,
                 int64_t began_ns, uint64_t hinted)
{
    struct held *old = NULL;

    lock_take(&bs->lock);
    if (c) {
        struct held *h = mem_new(struct held);

        h->c = c;
        atomic_init(&h->refs, 1);
        old = t->held;
        t->held = h;
        snprintf(t->etag, sizeof(t->etag), "%s", etag);
        bs->stats.catalogue_loads++;
    }
    /* The bucket decides what is newest: a hint beyond it was about something that is gone. But one that
     * came while the bucket was looked at may be about what is newer than this look. */
    if (t->hinted == hinted)
        t->hinted = ORR_MIN(t->hinted, catalogue_version(t->held->c));
    t->checked_ns = began_ns;
    bs->stats.catalogue_checks++;
    lock_release(&bs->lock);
    held_unref(old);
}

/* Makes what is held true as of now. On a thread of the lookout; one at a time for a tenant. */
static struct err *look(void *arg, struct slice tenant)
{
    struct blockset *bs = arg;
    int64_t began = clock_mono_ns(&clock_system);
    char etag[OBJSTORE_ETAG_BYTES];
    struct catalogue *c = NULL;
    struct tenant_entry *t;
    uint64_t hinted;
    struct err *e;

    lock_take(&bs->lock);
    t = entry_of(bs, tenant);
    hinted = t->hinted;
    lock_release(&bs->lock);
    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if (!(e = catalogue_stat(bs->opts.objstore, SIGNAL, tenant, etag)) &&
        !is_same_etag(bs, t, etag))
        e = catalogue_load(bs->opts.objstore, SIGNAL, tenant, &c);
    if (!e)
        keep(bs, t, c, etag, began, hinted);
    return e;
}

/* By when a look must have begun: one before the news of a newer version is none. And whether there is
 * anything to go on with if the bucket does not answer. */
static int64_t look_since(struct blockset *bs, struct tenant_entry *t, int64_t not_before_ns,
                          bool *ret_has_held)
{
    bool is_old;

    lock_take(&bs->lock);
    is_old = t->held && catalogue_version(t->held->c) < t->hinted;
    *ret_has_held = t->held && !is_old;
    lock_release(&bs->lock);
    return is_old ? clock_mono_ns(&clock_system) : not_before_ns;
}

/* The held catalogue though the bucket does not answer, if nothing newer is known of. */
static struct held *held_though_stale(struct blockset *bs, struct tenant_entry *t)
{
    return held_if_fresh(bs, t, INT64_MIN);
}

/* Ends e. */
static void tell_stale(struct blockset *bs, struct slice tenant, struct err *e)
{
    uint64_t left_out;

    if (spell_tells(&bs->trouble, "catalogue", e, clock_mono_ms(&clock_system), &left_out))
        LOG_WARN(store, "the bucket does not answer, reading by the last known catalogue",
                 KV_SLICE("tenant", tenant), KV_U64("skipped", left_out), KV_ERR(e));
    err_free(e);
}

static struct err *get_catalogue(struct blockset *bs, struct slice tenant, int64_t not_before_ns,
                                 struct held **ret, bool *ret_stale)
{
    struct tenant_entry *t;
    struct err *e = NULL;
    bool has_held;

    lock_take(&bs->lock);
    t = entry_of(bs, tenant);
    lock_release(&bs->lock);
    *ret_stale = false;
    *ret = held_if_fresh(bs, t, not_before_ns);
    for (int i = 0; !*ret && !e && i < ATTEMPTS; i++) { /* again when news came during the look */
        not_before_ns = look_since(bs, t, not_before_ns, &has_held);
        if (!(e = lookout_ask(bs->lookout, &t->look, tenant, not_before_ns, !has_held)))
            *ret = held_if_fresh(bs, t, not_before_ns);
    }
    if (*ret)
        return NULL;
    if (e && (*ret = held_though_stale(bs, t))) {
        *ret_stale = true;
        tell_stale(bs, tenant, e);
        return NULL;
    }
    if (e)
        return err_wrap(e, "catalogue of tenant %.*s", SLICE_ARG(tenant));
    return err_new(ERR_UNAVAILABLE, "the catalogue of tenant %.*s is older than announced",
                   SLICE_ARG(tenant));
}

/* ---- readers ---- */

/* With the lock: closes what is over the bound, least recently used first; returns the readers to
 * be freed without it. */
static struct open_block *evict_one(struct blockset *bs)
{
    struct open_block *oldest = NULL;

    if (bs->blocks.len <= bs->opts.max_open)
        return NULL;
    MAP_FOREACH (e, &bs->blocks) {
        struct open_block *b = e->value;

        if (!b->users && (!oldest || b->used_at < oldest->used_at))
            oldest = b;
    }
    if (oldest)
        (void)map_del(&bs->blocks, slice_cstr(oldest->key));
    return oldest;
}

static struct open_block *find_open(struct blockset *bs, const char *key)
{
    struct open_block *b;

    lock_take(&bs->lock);
    b = map_get(&bs->blocks, slice_cstr(key));
    if (b) {
        b->users++;
        b->used_at = ++bs->tick;
    }
    lock_release(&bs->lock);
    return b;
}

static struct err *open_reader(struct blockset *bs, struct slice prefix, struct block_reader **ret)
{
    struct block_source *src;
    struct err *e;
    char *path;

    if (!bs->opts.local_root)
        return block_reader_open(block_source_objstore(bs->opts.objstore, prefix), NULL, ret);
    path = mem_printf("%s/%.*s", bs->opts.local_root, SLICE_ARG(prefix));
    e = fsx_exists(path) ? block_source_dir(path, &src) : err_new(ERR_NOT_FOUND, "%s", path);
    mem_free(path);
    return e ? e : block_reader_open(src, NULL, ret);
}

static struct err *get_reader(struct blockset *bs, struct arena *a, const struct catalogue *c,
                              const struct catalogue_block *block, struct open_block **ret)
{
    struct slice tenant = catalogue_tenant(c);
    struct ulid_text text = ulid_print(block->ulid);
    char *key = arena_printf(a, "%.*s/%s", SLICE_ARG(tenant), text.s);
    struct open_block *b, *other, *victim = NULL;
    struct err *e;

    if ((*ret = find_open(bs, key)))
        return NULL;
    b = mem_new(struct open_block);
    if ((e = open_reader(bs, block_store_dir(a, c, block->ulid, block->dir), &b->reader))) {
        mem_free(b);
        return e;
    }
    b->key = mem_strdup(key);
    b->users = 1;
    lock_take(&bs->lock);
    if ((other = map_get(&bs->blocks, slice_cstr(key)))) {
        other->users++; /* another query was faster */
        *ret = other;
        victim = b;
    } else {
        map_put(&bs->blocks, slice_cstr(key), b);
        b->used_at = ++bs->tick;
        bs->stats.opened++;
        *ret = b;
        victim = evict_one(bs);
    }
    lock_release(&bs->lock);
    if (victim)
        open_block_free(victim);
    return NULL;
}

void blockset_release(struct blockset *bs, struct blockset_view *v)
{
    struct open_block **handles = v->handles;
    struct open_block *victim;

    for (size_t i = 0; i < v->n; i++) {
        lock_take(&bs->lock);
        handles[i]->users--;
        victim = evict_one(bs);
        lock_release(&bs->lock);
        if (victim)
            open_block_free(victim);
    }
    *v = (struct blockset_view){0};
}

/* ---- views ---- */

static struct err *open_all(struct blockset *bs, struct arena *a, const struct catalogue *c,
                            int64_t min_ms, int64_t max_ms, struct blockset_view *v)
{
    struct catalogue_block *metas;
    struct open_block **handles;
    size_t n;
    const struct catalogue_block *all = catalogue_blocks(c, &n);
    struct err *e = NULL;

    v->version = catalogue_version(c);
    v->meta = metas = arena_array(a, struct catalogue_block, n);
    v->readers = arena_array(a, struct block_reader *, n);
    v->handles = handles = arena_array(a, struct open_block *, n);
    for (size_t i = 0; !e && i < n; i++) {
        if (all[i].min_t > max_ms || all[i].max_t <= min_ms)
            continue;
        if ((e = get_reader(bs, a, c, &all[i], &handles[v->n]))) {
            e = err_wrap(e, "block %s", ulid_print(all[i].ulid).s);
        } else {
            v->readers[v->n] = handles[v->n]->reader;
            metas[v->n] = all[i];
            metas[v->n].segments = NULL; /* the catalogue's, which may go */
            metas[v->n].n_segments = 0;
            metas[v->n].dir = arena_dup(a, all[i].dir);
            metas[v->n].labels = labels_dup(a, all[i].labels);
            v->n++;
        }
    }
    return e;
}

/* A block that the catalogue names and that is not there may be there again: worth another try. */
static struct err *unavailable(struct err *e)
{
    struct err *ret = err_new(ERR_UNAVAILABLE, "%s", err_msg(e));

    err_free(e);
    return ret;
}

struct err *blockset_take(struct blockset *bs, struct arena *a, struct slice tenant,
                          int64_t not_before_ns, int64_t min_ms, int64_t max_ms,
                          struct blockset_view *ret)
{
    struct err *e = NULL;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct blockset_view v = {0};
        struct held *h;

        err_free(e);
        if ((e = get_catalogue(bs, tenant, not_before_ns, &h, &v.is_stale)))
            return e;
        e = open_all(bs, a, h->c, min_ms, max_ms, &v);
        held_unref(h);
        if (!e) {
            *ret = v;
            return NULL;
        }
        blockset_release(bs, &v);
        if (!err_is(e, ERR_NOT_FOUND) && err_errnum_of(e) != ENOENT)
            return e;
        /* Compacted away since the catalogue was read: look again. */
        not_before_ns = clock_mono_ns(&clock_system);
    }
    return unavailable(e);
}
