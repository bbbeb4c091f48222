/* The catalogues of a blockset: what is held of each tenant, and how new that has to be. */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "querier/store/blockset_internal.h"

void blockset_held_unref(struct blockset_held *h)
{
    if (h && atomic_fetch_sub(&h->refs, 1) == 1) {
        catalogue_free(h->c);
        tiers_free(h->tiers);
        mem_free(h);
    }
}

/* With the lock. */
static struct blockset_tenant *entry_of(struct blockset *bs, struct slice tenant)
{
    void **slot = map_slot(&bs->tenants, tenant);

    if (!*slot)
        *slot = mem_new(struct blockset_tenant);
    return *slot;
}

void blockset_hint(struct blockset *bs, struct slice tenant, uint64_t version)
{
    lock_take(&bs->lock);
    newness_hint(&entry_of(bs, tenant)->newness, version);
    lock_release(&bs->lock);
}

/* ---- looks at the bucket ---- */

/* With the lock. A reference to what is held. */
static struct blockset_held *held_ref(struct blockset_tenant *t)
{
    (void)atomic_fetch_add(&t->held->refs, 1);
    return t->held;
}

/* Whether what is held is a catalogue, and not that there is none. */
static bool has_catalogue(struct blockset *bs, struct blockset_tenant *t)
{
    bool has;

    lock_take(&bs->lock);
    has = t->held && t->etag[0];
    lock_release(&bs->lock);
    return has;
}

/* A reference to what is held if it will do. */
static struct blockset_held *held_if_fresh(struct blockset *bs, struct blockset_tenant *t,
                                           const struct newness_need *need)
{
    struct blockset_held *h;

    lock_take(&bs->lock);
    h = newness_will_do(&t->newness, need) ? held_ref(t) : NULL;
    lock_release(&bs->lock);
    return h;
}

/* The same though the bucket does not answer. */
static struct blockset_held *held_though_stale(struct blockset *bs, struct blockset_tenant *t,
                                               const struct newness_need *need)
{
    struct blockset_held *h;

    lock_take(&bs->lock);
    h = newness_will_do_stale(&t->newness, need) ? held_ref(t) : NULL;
    lock_release(&bs->lock);
    return h;
}

static bool is_same_etag(struct blockset *bs, struct blockset_tenant *t, const char *etag)
{
    bool same;

    lock_take(&bs->lock);
    same = t->held && strcmp(t->etag, etag) == 0;
    lock_release(&bs->lock);
    return same;
}

static struct tiers *tiers_of(const struct catalogue *c)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(c, &n);

    for (size_t i = 0; i < n; i++)
        if (b[i].resolution_ms)
            return tiers_new(b, n);
    return NULL;
}

static void keep(struct blockset *bs, struct blockset_tenant *t, struct catalogue *c,
                 const char *etag, int64_t began_ns, uint64_t hinted)
{
    struct blockset_held *old = NULL, *h = NULL;

    if (c) {
        h = mem_new(struct blockset_held);
        h->tiers = tiers_of(c);
    }
    lock_take(&bs->lock);
    if (c) {
        h->c = c;
        atomic_init(&h->refs, 1);
        old = t->held;
        t->held = h;
        snprintf(t->etag, sizeof(t->etag), "%s", etag);
        bs->stats.catalogue_loads++;
    }
    newness_looked(&t->newness, catalogue_version(t->held->c), began_ns, hinted);
    bs->stats.catalogue_checks++;
    lock_release(&bs->lock);
    blockset_held_unref(old);
}

static struct err *comes_and_goes(struct slice tenant)
{
    return err_new(ERR_UNAVAILABLE, "the catalogue of tenant %.*s was there, and then it was not",
                   SLICE_ARG(tenant));
}

/* Of one that was there it is not believed at once that it is not: answers would lack all blocks. */
static struct err *stat_surely(struct blockset *bs, struct blockset_tenant *t, struct slice tenant,
                               char *ret_etag)
{
    struct objstore *store = bs->opts.objstore;
    bool is_absent;
    char *key;
    struct err *e = catalogue_stat(store, bs->opts.signal, tenant, ret_etag);

    if (e || ret_etag[0] || !has_catalogue(bs, t))
        return e;
    key = catalogue_key(bs->opts.signal, tenant);
    e = objstore_stays_absent(store, slice_cstr(key), &is_absent);
    mem_free(key);
    if (!e && !is_absent && !(e = catalogue_stat(store, bs->opts.signal, tenant, ret_etag)) &&
        !ret_etag[0])
        e = comes_and_goes(tenant);
    return e;
}

struct err *blockset_look(void *arg, struct slice tenant)
{
    struct blockset *bs = arg;
    int64_t began = clock_mono_ns(&clock_system);
    char etag[OBJSTORE_ETAG_BYTES];
    struct catalogue *c = NULL;
    struct blockset_tenant *t;
    uint64_t hinted;
    struct err *e;

    lock_take(&bs->lock);
    t = entry_of(bs, tenant);
    hinted = t->newness.hinted;
    lock_release(&bs->lock);
    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if (!(e = stat_surely(bs, t, tenant, etag)) && !is_same_etag(bs, t, etag))
        e = catalogue_load(bs->opts.objstore, bs->opts.signal, tenant, &c);
    if (!e && c && etag[0] && catalogue_version(c) == 0) {
        e = comes_and_goes(tenant);
        catalogue_free(c);
    }
    if (!e)
        keep(bs, t, c, etag, began, hinted);
    return e;
}

static int64_t look_since(struct blockset *bs, struct blockset_tenant *t,
                          const struct newness_need *need, bool *ret_is_patient)
{
    int64_t ret;

    lock_take(&bs->lock);
    ret = newness_look_since(&t->newness, need, clock_mono_ns(&clock_system), ret_is_patient);
    lock_release(&bs->lock);
    return ret;
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

/* Takes e, NULL when the bucket has answered. */
static struct err *not_new_enough(struct blockset *bs, struct blockset_tenant *t,
                                  struct slice tenant, uint64_t version, struct err *e)
{
    struct err *ret;
    uint64_t held;

    lock_take(&bs->lock);
    held = t->newness.held;
    lock_release(&bs->lock);
    if (held >= version) /* it is not that which fails */
        return e ? err_wrap(e, "catalogue of tenant %.*s", SLICE_ARG(tenant))
                 : err_new(ERR_UNAVAILABLE, "the catalogue of tenant %.*s is older than announced",
                           SLICE_ARG(tenant));
    ret = err_new(ERR_UNAVAILABLE,
                  "ingesters have handed data over to blocks of version %" PRIu64
                  " of the catalogue of tenant %.*s, and here it is at %" PRIu64 ": %s",
                  version, SLICE_ARG(tenant), held,
                  e ? err_msg(e) : "the object store has no newer one");
    err_free(e);
    return ret;
}

struct err *blockset_catalogue(struct blockset *bs, struct slice tenant,
                               const struct newness_need *need, struct blockset_held **ret,
                               bool *ret_stale)
{
    struct newness_need now = *need;
    struct blockset_tenant *t;
    struct err *e = NULL;
    bool is_patient;

    lock_take(&bs->lock);
    t = entry_of(bs, tenant);
    lock_release(&bs->lock);
    *ret_stale = false;
    *ret = held_if_fresh(bs, t, &now);
    for (int i = 0; !*ret && !e && i < BLOCKSET_ATTEMPTS;
         i++) { /* again when news came during the look */
        now.not_before_ns = look_since(bs, t, &now, &is_patient);
        if (!(e = lookout_ask(bs->lookout, &t->look, tenant, now.not_before_ns, is_patient)))
            *ret = held_if_fresh(bs, t, &now);
    }
    if (*ret)
        return NULL;
    if (e && (*ret = held_though_stale(bs, t, &now))) {
        *ret_stale = true;
        tell_stale(bs, tenant, e);
        return NULL;
    }
    return not_new_enough(bs, t, tenant, now.version, e);
}

/* The catalogue that is held, or a first one; NULL: there is none to be had, which whoever takes blocks will meet again. */
static struct blockset_held *any_held(struct blockset *bs, struct slice tenant)
{
    struct blockset_held *h;
    bool is_stale;
    struct err *e = blockset_catalogue(
        bs, tenant, &(struct newness_need){.not_before_ns = INT64_MIN}, &h, &is_stale);

    if (!e)
        return h;
    err_free(e);
    return NULL;
}

uint64_t blockset_bytes(struct blockset *bs, struct slice tenant, int64_t min_ms, int64_t max_ms)
{
    struct blockset_held *h = any_held(bs, tenant);
    const struct catalogue_block *all;
    uint64_t bytes = 0;
    size_t n;

    if (!h)
        return UINT64_MAX;
    all = catalogue_blocks(h->c, &n);
    for (size_t i = 0; i < n; i++)
        if (all[i].min_t <= max_ms && all[i].max_t > min_ms)
            bytes += all[i].bytes;
    blockset_held_unref(h);
    return bytes;
}

void blockset_times(struct blockset *bs, struct arena *a, struct slice tenant, int64_t min_ms,
                    int64_t max_ms, const struct blockset_times **ret, size_t *ret_n)
{
    struct blockset_held *h = any_held(bs, tenant);
    const struct catalogue_block *all;
    struct blockset_times *out;
    size_t n, found = 0;

    *ret = NULL;
    *ret_n = 0;
    if (!h)
        return;
    all = catalogue_blocks(h->c, &n);
    out = arena_array(a, struct blockset_times, n);
    for (size_t i = 0; i < n; i++)
        if (all[i].min_t <= max_ms && all[i].max_t > min_ms)
            out[found++] = (struct blockset_times){all[i].ulid, all[i].min_t, all[i].max_t,
                                                   all[i].bytes, all[i].series};
    blockset_held_unref(h);
    *ret = out;
    *ret_n = found;
}
