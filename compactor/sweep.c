#include "compactor/sweep.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/block/block_store.h"

struct sweeping {
    const struct sweep_opts *opts;
    struct slice tenant;
    int64_t now_ms;
    char etag
        [OBJSTORE_ETAG_BYTES]; /* of the catalogue that deletions go by; "": it may be an old one */
    struct err *first;         /* of what failed of single blocks */
    unsigned in_a_row;         /* that failed */
    struct arena *arena;
    struct sweep_result *res;
};

static void ids_add(struct sweep_ids *ids, struct ulid u)
{
    ids->ptr[ids->n++] = u;
}

static void say(const struct sweeping *s, const char *what, struct ulid u)
{
    if (s->opts->is_dry && s->opts->is_news && !s->opts->is_news(s->opts->arg, s->tenant, what, u))
        return;
    LOG_INFO(compactor, "sweep", KV_STR("reason", what), KV_STR("signal", s->opts->signal->name),
             KV_SLICE("tenant", s->tenant), KV_STR("block", ulid_print(u).s));
}

/* Ends e, which is of one block: the others have their turn. False: enough. */
static bool goes_on(struct sweeping *s, struct ulid u, struct err *e)
{
    bool is_end = err_is(e, ERR_CANCELED);

    if (!e) {
        s->in_a_row = 0;
        return true;
    }
    s->res->failed++;
    s->first = err_first(s->first, err_wrap(e, "block %s", ulid_print(u).s));
    return !is_end && ++s->in_a_row < SWEEP_MAX_FAILURES;
}

/* Where n blocks are begun with: another one at each sweep, so that none is always behind those that fail. */
static size_t first_of(const struct sweeping *s, size_t n)
{
    return n ? (size_t)((uint64_t)s->now_ms / MS_PER_S * 7919 % n) : 0;
}

/* ---- 1: retention ---- */

static bool is_older(const struct sweeping *s, const struct catalogue_block *b, int64_t age_ms)
{
    return age_ms > 0 && signal_end_ms(s->opts->signal, b) <= s->now_ms - age_ms;
}

static bool is_expired(const struct sweeping *s, const struct tier_names *names,
                       const struct catalogue_block *b)
{
    unsigned tier = tier_of(b->resolution_ms);

    if (is_older(s, b, s->opts->retention_ms))
        return true;
    if (!is_older(s, b, s->opts->tier_retention_ms[tier]))
        return false;
    /* what it is to be downsampled to may be expired itself already */
    return !s->opts->is_downsampling || tier + 1 == TIERS || tier_names_have(names, tier + 1, b) ||
           is_older(s, b, s->opts->tier_retention_ms[tier + 1]);
}

static void find_expired(struct sweeping *s, const struct catalogue *c)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(c, &n);
    struct tier_names *names = tier_names_new(b, n);

    s->res->expired.ptr = arena_array(s->arena, struct ulid, n);
    for (size_t i = 0; i < n; i++)
        if (is_expired(s, names, &b[i]))
            ids_add(&s->res->expired, b[i].ulid);
    tier_names_free(names);
}

/* ---- 2: orphans ---- */

/* Whether a directory with this meta.json is a block of ours. */
static struct err *is_ours(struct sweeping *s, struct slice key, bool *ret)
{
    struct buf b = {0};
    struct block_meta m;
    struct err *e = objstore_get(
        s->opts->store, key, &(struct objstore_get){.max_bytes = BLOCK_META_MAX_BYTES}, &b, NULL);

    *ret = false;
    if (err_is(e, ERR_TOO_LARGE)) {
        err_free(e);
        e = NULL;
    } else if (!e) {
        struct err *bad = block_meta_parse(s->arena, buf_slice(&b), &m);

        *ret = !bad && m.tenant.len && slice_eq(m.tenant, s->tenant);
        err_free(bad);
    }
    buf_done(&b);
    return e;
}

static struct err *look_into(struct sweeping *s, struct slice dir, struct ulid u)
{
    struct slice meta_key =
        slice_cstr(arena_printf(s->arena, "%.*s" BLOCK_META_FILE, SLICE_ARG(dir)));
    int64_t newest_ms = INT64_MIN;
    struct objstore_listing l;
    bool has_meta = false, ours = true;
    struct err *e =
        objstore_list(s->opts->store, s->arena, &(struct objstore_list){.prefix = dir}, &l);

    if (e)
        return e;
    for (size_t i = 0; i < l.n; i++) {
        newest_ms = ORR_MAX(newest_ms, l.ptr[i].modified_ms);
        has_meta = has_meta || slice_eq(l.ptr[i].key, meta_key);
    }
    if (l.n == 0 || newest_ms > s->now_ms - s->opts->orphan_age_ms)
        return NULL;
    if (has_meta && (e = is_ours(s, meta_key, &ours))) {
        if (!err_is(e, ERR_NOT_FOUND))
            return e;
        err_free(e); /* a stale listing still has it: it is gone, or the next sweep sees what is */
        return NULL;
    }
    if (ours)
        ids_add(&s->res->orphans, u);
    else
        s->res->foreign++;
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    return ulid_cmp(*(const struct ulid *)a, *(const struct ulid *)b);
}

/* All that the catalogue names, sorted: there may be as many directories as blocks, and each is looked for. */
static struct sweep_ids known_ids(const struct sweeping *s, const struct catalogue *c)
{
    size_t n, n_retired;
    const struct catalogue_block *b = catalogue_blocks(c, &n);
    const struct catalogue_retired *r = catalogue_retired(c, &n_retired);
    struct sweep_ids ids = {arena_array(s->arena, struct ulid, n + n_retired), 0};

    for (size_t i = 0; i < n; i++)
        ids_add(&ids, b[i].ulid);
    for (size_t i = 0; i < n_retired; i++)
        ids_add(&ids, r[i].ulid);
    if (ids.n)
        qsort(ids.ptr, ids.n, sizeof(*ids.ptr), by_id);
    return ids;
}

static bool is_known(const struct sweep_ids *ids, struct ulid u)
{
    return ids->n && bsearch(&u, ids->ptr, ids->n, sizeof(u), by_id);
}

static struct err *find_orphans(struct sweeping *s, const struct catalogue *c)
{
    struct slice prefix =
        slice_cstr(arena_printf(s->arena, "%s/%.*s/", s->opts->signal->name, SLICE_ARG(s->tenant)));
    struct sweep_ids known = known_ids(s, c);
    struct objstore_listing l;
    size_t start;
    struct err *e =
        objstore_list(s->opts->store, s->arena,
                      &(struct objstore_list){.prefix = prefix, .by_directory = true}, &l);

    s->res->orphans.ptr = arena_array(s->arena, struct ulid, SWEEP_MAX_ORPHANS);
    if (e)
        return e;
    start = first_of(s, l.n);
    for (size_t i = 0; i < l.n && s->res->orphans.n < SWEEP_MAX_ORPHANS; i++) {
        const struct objstore_entry *en = &l.ptr[(start + i) % l.n];
        struct slice name = slice_from(en->key, prefix.len);
        struct ulid u;

        if (!en->is_prefix || !ulid_parse(slice_sub(name, 0, name.len - 1), &u) ||
            is_known(&known, u))
            continue;
        if (!goes_on(s, u, look_into(s, en->key, u)))
            break;
    }
    return NULL;
}

/* ---- both: out of the catalogue ---- */

static struct err *retire(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct sweeping *s = arg;

    *ret_changed = catalogue_forget_expired(c, s->now_ms - SWEEP_EXPIRED_MS);
    for (size_t i = 0; i < s->res->expired.n; i++)
        if (catalogue_expire(c, s->res->expired.ptr[i], s->now_ms))
            *ret_changed = true;
    for (size_t i = 0; i < s->res->orphans.n; i++)
        if (catalogue_retire_orphan(c, s->res->orphans.ptr[i], s->now_ms))
            *ret_changed = true;
    return NULL;
}

/* ---- 3: deletion ---- */

/* *io_c becomes what the bucket has now. */
static struct err *refresh(struct sweeping *s, struct catalogue **io_c)
{
    struct slice signal = signal_name(s->opts->signal);
    char etag[OBJSTORE_ETAG_BYTES];
    struct catalogue *c;
    struct err *e = catalogue_stat(s->opts->store, signal, s->tenant, etag);

    if (e || (etag[0] && strcmp(etag, s->etag) == 0))
        return e;
    /* a change between the two is noticed the next time: what is read is then newer than the etag */
    if ((e = catalogue_load(s->opts->store, signal, s->tenant, &c)))
        return e;
    memcpy(s->etag, etag, sizeof(etag));
    catalogue_free(*io_c);
    *io_c = c;
    return NULL;
}

static bool is_due(const struct sweeping *s, const struct catalogue_retired *r)
{
    return r->at_ms <= s->now_ms - s->opts->delay_ms;
}

/* NULL: another sweep has ended it. */
static const struct catalogue_retired *find_due(const struct sweeping *s, const struct catalogue *c,
                                                struct ulid u)
{
    size_t n;
    const struct catalogue_retired *r = catalogue_retired(c, &n);

    for (size_t i = 0; i < n; i++)
        if (ulid_eq(r[i].ulid, u))
            return is_due(s, &r[i]) ? &r[i] : NULL;
    return NULL;
}

/* *ret_deleted: it is to be forgotten. */
static struct err *delete_one(struct sweeping *s, struct catalogue **io_c, struct ulid u,
                              bool *ret_deleted)
{
    const struct catalogue_retired *r;
    struct err *e = NULL;

    *ret_deleted = false;
    if (!s->opts->is_dry && (e = refresh(s, io_c)))
        return e;
    if (!(r = find_due(s, *io_c, u)))
        return NULL;
    if (!s->opts->is_dry && !catalogue_find(*io_c, u)) { /* live: it is only to be forgotten */
        e = block_store_delete(s->opts->store, block_store_dir(s->arena, *io_c, u, r->dir));
        if (!e)
            say(s, "deleted", u);
    }
    *ret_deleted = !e;
    return e;
}

static bool may_delete(const struct sweeping *s)
{
    return !s->opts->may_delete || s->opts->may_delete(s->opts->arg, s->tenant);
}

/* Of those that are due; the others are counted as waiting. */
static struct sweep_ids ids_due(const struct sweeping *s, const struct catalogue *c)
{
    size_t n;
    const struct catalogue_retired *r = catalogue_retired(c, &n);
    struct sweep_ids ids = {arena_array(s->arena, struct ulid, n), 0};

    for (size_t i = 0; i < n; i++)
        if (is_due(s, &r[i]))
            ids_add(&ids, r[i].ulid);
    s->res->waiting = n - ids.n;
    return ids;
}

static void delete_due(struct sweeping *s, struct catalogue **io_c)
{
    struct sweep_ids due = ids_due(s, *io_c);
    size_t start = first_of(s, due.n);
    bool is_over = false, is_deleted;

    s->res->deleted.ptr = arena_array(s->arena, struct ulid, SWEEP_MAX_DELETIONS);
    s->in_a_row = 0;
    for (size_t i = 0; i < due.n; i++) {
        struct ulid u = due.ptr[(start + i) % due.n];
        struct err *e;

        if (is_over || s->res->deleted.n == SWEEP_MAX_DELETIONS || !may_delete(s)) {
            s->res->waiting++;
            continue;
        }
        e = delete_one(s, io_c, u, &is_deleted);
        if (is_deleted)
            ids_add(&s->res->deleted, u);
        is_over = !goes_on(s, u, e);
    }
}

static struct err *forget(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct sweeping *s = arg;

    *ret_changed = false;
    for (size_t i = 0; i < s->res->deleted.n && may_delete(s); i++)
        if (catalogue_forget(c, s->res->deleted.ptr[i]))
            *ret_changed = true;
    return NULL;
}

/* ---- all of it ---- */

static struct err *edit(struct sweeping *s, catalogue_edit_fn *fn, struct catalogue **io_c)
{
    struct catalogue *c = NULL;
    struct err *e;

    if (s->opts->is_dry)
        return NULL;
    if ((e = catalogue_update(s->opts->store, signal_name(s->opts->signal), s->tenant, fn, s, &c)))
        return e;
    catalogue_free(*io_c);
    *io_c = c;
    s->res->version = catalogue_version(c);
    return NULL;
}

static bool has_old_names(const struct sweeping *s, const struct catalogue *c)
{
    return catalogue_oldest_expired_ms(c) < s->now_ms - SWEEP_EXPIRED_MS;
}

static void say_all(const struct sweeping *s)
{
    for (size_t i = 0; i < s->res->expired.n; i++)
        say(s, s->opts->is_dry ? "would expire" : "expired", s->res->expired.ptr[i]);
    for (size_t i = 0; i < s->res->orphans.n; i++)
        say(s, s->opts->is_dry ? "would retire an orphan" : "orphan retired",
            s->res->orphans.ptr[i]);
}

struct err *sweep_tenant(const struct sweep_opts *opts, struct slice tenant, int64_t now_ms,
                         struct arena *a, struct sweep_result *ret)
{
    struct sweeping s = {.opts = opts, .tenant = tenant, .now_ms = now_ms, .arena = a, .res = ret};
    struct catalogue *c = NULL;
    struct err *e;

    *ret = (struct sweep_result){.waiting = 0};
    if ((e = catalogue_load(opts->store, signal_name(opts->signal), tenant, &c)))
        return e;
    find_expired(&s, c);
    e = find_orphans(&s, c);
    if (!e && (ret->expired.n + ret->orphans.n || has_old_names(&s, c)) &&
        !(e = edit(&s, retire, &c)))
        say_all(&s);
    if (!e) {
        delete_due(&s, &c);
        if (ret->deleted.n)
            e = edit(&s, forget, &c);
    }
    catalogue_free(c);
    if (ret->failed > 1)
        s.first =
            err_wrap(s.first, "%zu blocks are left for the next sweep, one of them", ret->failed);
    return err_wrap(err_first(e, s.first), "sweep %s of tenant %.*s", opts->signal->name,
                    SLICE_ARG(tenant));
}
