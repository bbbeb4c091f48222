#include "querier/store/tombset.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/spell.h"
#include "querier/store/lookout.h"

#define LOOK_THREADS 8
#define ATTEMPTS 4

struct tomb_entry {
    struct lookout_state look; /* the lookout's */
    /* under tombset.lock */
    struct tombstone_list *list; /* NULL: not loaded yet */
    char etag[OBJSTORE_ETAG_BYTES];
    int64_t checked_ns; /* mono; when the last look began */
    bool is_stale;      /* it failed: list is what was known before */
    uint64_t hinted;
    unsigned users;
};

struct tombset {
    struct objstore *objstore;
    struct slice signal;
    int64_t max_age_ms;
    struct lock lock;
    struct map tenants; /* struct tomb_entry */
    struct tombset_stats stats;
    struct lookout *lookout;
    struct spell trouble;
};

static lookout_fn look;

struct tombset *tombset_new(struct objstore *objstore, struct slice signal, int64_t max_age_ms,
                            bool may_hang)
{
    struct tombset *ts = mem_new(struct tombset);

    ts->objstore = objstore;
    ts->signal = signal;
    ts->max_age_ms = max_age_ms;
    ts->lookout = lookout_new(may_hang ? LOOK_THREADS : 0, look, ts);
    lock_init(&ts->lock, LOCK_CACHE);
    return ts;
}

static void entry_free(struct tomb_entry *t)
{
    tombstone_list_unref(t->list);
    lookout_state_done(&t->look);
    mem_free(t);
}

void tombset_free(struct tombset *ts)
{
    if (!ts)
        return;
    lookout_free(ts->lookout);
    MAP_FOREACH (e, &ts->tenants)
        entry_free(e->value);
    map_done(&ts->tenants);
    lock_done(&ts->lock);
    mem_free(ts);
}

/* With the lock: makes room. Iteration and deletion do not go together, so one at a time. */
static void drop_unused(struct tombset *ts)
{
    struct map keep = {0};

    MAP_FOREACH (e, &ts->tenants) {
        struct tomb_entry *t = e->value;

        if (t->users || !lookout_is_idle(ts->lookout, &t->look))
            map_put(&keep, e->key, t);
        else
            entry_free(t);
    }
    map_done(&ts->tenants);
    ts->tenants = keep;
}

/* With the lock. */
static struct tomb_entry *entry_of(struct tombset *ts, struct slice tenant)
{
    struct tomb_entry *t = map_get(&ts->tenants, tenant);

    if (t)
        return t;
    if (ts->tenants.len >= TOMBSET_TENANTS)
        drop_unused(ts);
    t = mem_new(struct tomb_entry);
    map_put(&ts->tenants, tenant, t);
    return t;
}

void tombset_hint(struct tombset *ts, struct slice tenant, uint64_t version)
{
    struct tomb_entry *t;

    lock_take(&ts->lock);
    t = entry_of(ts, tenant);
    t->hinted = ORR_MAX(t->hinted, version);
    lock_release(&ts->lock);
}

void tombset_stats_get(struct tombset *ts, struct tombset_stats *ret)
{
    lock_take(&ts->lock);
    *ret = ts->stats;
    ret->lists = ts->tenants.len;
    MAP_FOREACH (e, &ts->tenants) {
        const struct tomb_entry *t = e->value;

        ret->tombstones += t->list ? tombstone_list_open(t->list) : 0;
    }
    lock_release(&ts->lock);
}

/* A reference to what is held if it was looked at since, and nothing newer is known of. */
static struct tombstone_list *held_since(struct tombset *ts, struct tomb_entry *t, int64_t since_ns,
                                         bool *ret_is_stale)
{
    struct tombstone_list *l = NULL;

    lock_take(&ts->lock);
    if (t->list && t->checked_ns >= since_ns && tombstone_list_version(t->list) >= t->hinted)
        l = tombstone_list_ref(t->list);
    *ret_is_stale = l && t->is_stale;
    lock_release(&ts->lock);
    return l;
}

static bool is_same(struct tombset *ts, struct tomb_entry *t, const char *etag)
{
    bool same;

    lock_take(&ts->lock);
    same = t->list && strcmp(t->etag, etag) == 0;
    lock_release(&ts->lock);
    return same;
}

/* Of a list that was there it is not believed at once that it is not: what is deleted would be seen again. */
static struct err *check_gone(struct tombset *ts, struct tomb_entry *t, struct slice tenant)
{
    struct arena *a;
    bool was_there, is_absent;
    struct err *e;

    lock_take(&ts->lock);
    was_there = t->list && t->etag[0];
    lock_release(&ts->lock);
    if (!was_there)
        return NULL;
    a = arena_new(0);
    e = objstore_stays_absent(ts->objstore, slice_cstr(tombstone_list_key(a, ts->signal, tenant)),
                              &is_absent);
    arena_free(a);
    if (!e && !is_absent)
        e = err_new(ERR_UNAVAILABLE, "the tombstones of tenant %.*s were not there for a moment",
                    SLICE_ARG(tenant));
    return e;
}

static void keep(struct tombset *ts, struct tomb_entry *t, struct tombstone_list *l,
                 const char *etag, int64_t began_ns, uint64_t hinted)
{
    struct tombstone_list *old = NULL;

    lock_take(&ts->lock);
    if (l) {
        old = t->list;
        t->list = l;
        memcpy(t->etag, etag, sizeof(t->etag));
        ts->stats.loads++;
    }
    /* As for catalogues (blockset.c): what was announced during the look may be newer than it. */
    if (t->hinted == hinted)
        t->hinted = ORR_MIN(t->hinted, tombstone_list_version(t->list));
    t->checked_ns = began_ns;
    t->is_stale = false;
    ts->stats.checks++;
    lock_release(&ts->lock);
    tombstone_list_unref(old);
}

/* Makes what is held true as of now. On a thread of the lookout; one at a time for a tenant. */
static struct err *look(void *arg, struct slice tenant)
{
    struct tombset *ts = arg;
    int64_t began_ns = clock_mono_ns(&clock_system);
    char etag[OBJSTORE_ETAG_BYTES];
    struct tombstone_list *l = NULL;
    struct tomb_entry *t;
    uint64_t hinted;
    struct err *e;

    lock_take(&ts->lock);
    t = entry_of(ts, tenant);
    hinted = t->hinted;
    lock_release(&ts->lock);
    e = tombstone_list_stat(ts->objstore, ts->signal, tenant, etag);
    if (!e && !is_same(ts, t, etag))
        e = tombstone_list_load(ts->objstore, ts->signal, tenant, &l, etag);
    if (!e && !etag[0] && (e = check_gone(ts, t, tenant)))
        tombstone_list_unref(l);
    if (!e)
        keep(ts, t, l, etag, began_ns, hinted);
    return e;
}

/* The next look is not due before the age is over again: a bucket that is slow to fail must not hold up
 * every query. */
static void note_failure(struct tombset *ts, struct tomb_entry *t)
{
    lock_take(&ts->lock);
    t->checked_ns = clock_mono_ns(&clock_system);
    t->is_stale = true;
    lock_release(&ts->lock);
}

/* As for catalogues (blockset.c). */
static int64_t look_since(struct tombset *ts, struct tomb_entry *t, int64_t since_ns,
                          bool *ret_has_held)
{
    bool is_old;

    lock_take(&ts->lock);
    is_old = t->list && tombstone_list_version(t->list) < t->hinted;
    *ret_has_held = t->list && !is_old;
    lock_release(&ts->lock);
    return is_old ? clock_mono_ns(&clock_system) : since_ns;
}

static struct err *refresh(struct tombset *ts, struct tomb_entry *t, struct slice tenant,
                           int64_t since_ns, struct tombstone_list **ret, bool *ret_is_stale)
{
    struct err *e = NULL;
    uint64_t left_out;
    bool has_held;

    *ret = NULL;
    for (int i = 0; !*ret && !e && i < ATTEMPTS; i++) { /* again when news came during the look */
        since_ns = look_since(ts, t, since_ns, &has_held);
        if ((e = lookout_ask(ts->lookout, &t->look, tenant, since_ns, !has_held)))
            note_failure(ts, t);
        *ret = held_since(ts, t, INT64_MIN, ret_is_stale);
    }
    if (e && *ret) {
        if (spell_tells(&ts->trouble, "tombstones", e, clock_mono_ms(&clock_system), &left_out))
            LOG_WARN(store, "the bucket does not answer, reading by the last known tombstones",
                     KV_SLICE("tenant", tenant), KV_U64("skipped", left_out), KV_ERR(e));
        err_free(e);
        e = NULL;
    }
    return e;
}

struct err *tombset_get(struct tombset *ts, struct slice tenant, struct tombstone_list **ret,
                        bool *ret_is_stale)
{
    int64_t since_ns = clock_mono_ns(&clock_system) - ts->max_age_ms * NS_PER_MS;
    struct tomb_entry *t;
    struct err *e = NULL;

    *ret_is_stale = false;
    lock_take(&ts->lock);
    t = entry_of(ts, tenant);
    t->users++;
    lock_release(&ts->lock);
    if (!(*ret = held_since(ts, t, since_ns, ret_is_stale)))
        e = refresh(ts, t, tenant, since_ns, ret, ret_is_stale);
    lock_take(&ts->lock);
    t->users--;
    lock_release(&ts->lock);
    if (!e && !*ret)
        e = err_new(ERR_UNAVAILABLE, "they are older than announced");
    return err_wrap(e, "tombstones of tenant %.*s", SLICE_ARG(tenant));
}
