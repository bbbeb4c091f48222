/*
 * tenant copy, tenant delete.
 *
 * copy: deletions (tombstones) first, so that nothing that was deleted is to be seen again, then each live block with its
 * ULID; meta.json says the new tenant. What the other tenant has already is left as it is.
 *
 * delete: 1. a tombstone over all series, and one over all streams of log lines, up to now, so that readers see nothing: nothing of
 * heads and segments that are handed over later either, nor answers that were kept. Traces have no tombstones: what ingesters hold of them
 * stays, and comes to be in blocks. Then the catalogues: every live block is retired, so compactions find their inputs gone, and
 * nothing of it can be added again; 2. the files of what is retired, wherever they lie; 3. the
 * rest of the tenant's objects, but blocks that were named meanwhile; 4. the catalogue is emptied of what is retired: until
 * then the next call knows what is left to do. It stays, as the list of tombstones does, for its version must not go back:
 * ingesters have told readers of it (querier/store/newness.h). Last go the tenant's rules, which rulers notice.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/block/block_store.h"
#include "common/block/tombstone_list.h"
#include "common/model/tenant.h"
#include "deploy/orreryctl/ctl_send.h"
#include "ruler/rule_object.h"

/* ---- copy ---- */

struct copying {
    struct ctl *c;
    struct slice to;
    struct ctl_progress progress;
    uint64_t added, there;
};

static struct err *add_tombstones(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct tombstone *t = arg;

    *ret_changed = true;
    return tombstone_list_add(l, t);
}

static struct err *copy_tombstones(struct ctl *c, struct slice from, struct slice to)
{
    struct tombstone_list *l;
    const struct tombstone *all;
    struct err *e = tombstone_list_load(c->store, CTL_SIGNAL, from, &l, NULL);
    size_t n;

    if (e)
        return e;
    all = tombstone_list_all(l, &n);
    for (size_t i = 0; i < n && !e; i++)
        e = tombstone_list_update(c->store, CTL_SIGNAL, to, add_tombstones, (void *)&all[i], NULL);
    tombstone_list_unref(l);
    return e;
}

static struct err *send_copy(struct copying *cp, struct arena *a, const struct catalogue_block *b,
                             struct block_meta *meta, const char *path)
{
    struct ctl_send s = {
        .tenant = cp->to, .path = path, .meta = meta, .entry = *b, .progress = &cp->progress};
    struct block_file *files;
    struct buf json = {0};
    bool is_added;
    struct err *e = ctl_whole_files(a, path, &files, &s.n_files);

    if (e)
        return e;
    meta->tenant = cp->to;
    s.files = meta->files = files;
    meta->n_files = s.n_files;
    s.entry.dir = SLICE_EMPTY;
    s.entry.origin =
        (struct catalogue_origin){.zone = SLICE_EMPTY}; /* the others' may be in no block yet */
    block_meta_write(&json, meta);
    s.meta_json = buf_slice(&json);
    if (!(e = ctl_send(cp->c, &s, &is_added))) {
        cp->added += is_added;
        cp->there += !is_added;
    }
    buf_done(&json);
    return e;
}

static struct err *copy_block(struct copying *cp, const struct catalogue *from,
                              const struct catalogue_block *b)
{
    struct arena *a = arena_new(0);
    struct ctl_copy copy = {.path = NULL};
    struct ctl_block at;
    struct slice dir = block_store_dir(a, from, b->ulid, b->dir);
    struct err *e;

    if (!(e = ctl_block_load(cp->c, a, dir, &at)) && !(e = ctl_block_check(&at)) &&
        !(e = ctl_copy_make(cp->c, dir, b->ulid, &copy)))
        e = send_copy(cp, a, b, &at.meta, copy.path);
    ctl_copy_done(&copy);
    arena_free(a);
    return err_wrap(e, "block %s", ulid_print(b->ulid).s);
}

static struct err *copy_blocks(struct copying *cp, const struct catalogue *from)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(from, &n);
    struct err *e = NULL;
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += b[i].bytes;
    if (cp->c->opts.is_dry) {
        ctl_say("%zu blocks of %s would be copied", n, ctl_bytes(cp->c->arena, bytes));
        return NULL;
    }
    ctl_progress_begin(&cp->progress, "copying", bytes, true);
    for (size_t i = 0; i < n && !e; i++)
        e = copy_block(cp, from, &b[i]);
    ctl_progress_end(&cp->progress);
    if (cp->added || cp->there) /* who copied it may not have come to this */
        e = err_first(e, ctl_send_news(cp->c, cp->to));
    if (!e)
        ctl_say("%llu blocks copied, %llu were there already", (unsigned long long)cp->added,
                (unsigned long long)cp->there);
    return e;
}

struct err *ctl_tenant_copy(struct ctl *c)
{
    struct slice from = slice_cstr(c->args[0]);
    struct copying cp = {.c = c, .to = slice_cstr(c->args[1])};
    struct catalogue *cat = NULL;
    struct err *e;

    if (slice_eq(from, cp.to))
        return ctl_usage(c, "a tenant is not copied to itself");
    if (!(e = tenant_check(from)) && !(e = tenant_check(cp.to)) &&
        !(e = c->opts.is_dry ? NULL : copy_tombstones(c, from, cp.to)) &&
        !(e = catalogue_load(c->store, CTL_SIGNAL, from, &cat)))
        e = copy_blocks(&cp, cat);
    catalogue_free(cat);
    return e;
}

/* ---- delete ---- */

static const char *const signals[] = {"metrics", "logs", "traces", "profiles"};

/* What they name stays named: a segment that is with its ingester yet would be made into a block again. */
static struct err *retire_all(void *arg, struct catalogue *cat, bool *ret_changed)
{
    const int64_t *now_ms = arg;
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(cat, &n);

    *ret_changed = n != 0;
    for (; n; b = catalogue_blocks(cat, &n))
        (void)catalogue_expire(cat, b[0].ulid, *now_ms);
    return NULL;
}

/* What an ingester or a compactor has added meanwhile stays. */
static struct err *forget_all(void *arg, struct catalogue *cat, bool *ret_changed)
{
    size_t n;
    const struct catalogue_retired *r = catalogue_retired(cat, &n);

    (void)arg;
    *ret_changed = n != 0;
    for (; n; r = catalogue_retired(cat, &n))
        (void)catalogue_forget(cat, r[n - 1].ulid);
    return NULL;
}

/* Files of retired blocks that lie elsewhere: they were adopted. */
static struct err *delete_adopted(struct ctl *c, struct slice signal, struct slice tenant)
{
    const struct catalogue_retired *r;
    struct catalogue *cat;
    struct err *e = catalogue_load(c->store, signal, tenant, &cat);
    size_t n;

    if (e)
        return e;
    r = catalogue_retired(cat, &n);
    for (size_t i = 0; i < n && !e; i++)
        if (r[i].dir.len)
            e = block_store_delete(c->store, r[i].dir);
    catalogue_free(cat);
    return e;
}

static struct err *add_whole(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = true;
    return tombstone_list_add(l, arg);
}

/* All that was written up to now. Nobody takes that back: what has states (tombstone_list.h) is begun. */
static struct err *bury(struct ctl *c, struct slice signal, struct slice tenant,
                        enum tombstone_state state)
{
    const struct slice parts[] = {SLICE("tenant delete"), tenant};
    int64_t now_ms = clock_wall_ms(&clock_system);
    struct tombstone t = {.ulid = ulid_derive(now_ms, parts, ORR_COUNT(parts)),
                          .created_ms = now_ms,
                          .min_ms = INT64_MIN,
                          .max_ms = now_ms,
                          .state = state};
    struct matcher every;
    struct err *e = matcher_init(c->arena, MATCHER_RE, SLICE(LABEL_NAME), SLICE(".*"), &every);

    if (e)
        return e;
    t.matchers = (struct matchers){&every, 1};
    e = tombstone_list_update(c->store, signal, tenant, add_whole, &t, NULL);
    matcher_done(&every);
    return e;
}

struct page {
    const struct objstore_listing *l;
    size_t prefix_bytes;
    int64_t now_ms;
    struct slice *keys; /* that go */
    size_t n;
};

/* All but the catalogue, the tombstones, and blocks that an ingester or a compactor has named meanwhile. A directory that no
 * catalogue names is retired first, so that nobody names it from now on. */
static struct err *retire_page(void *arg, struct catalogue *cat, bool *ret_changed)
{
    struct page *p = arg;

    p->n = 0;
    *ret_changed = false;
    for (size_t i = 0; i < p->l->n; i++) {
        struct slice rest = slice_from(p->l->ptr[i].key, p->prefix_bytes), name;
        struct ulid ulid;

        if (slice_eq_cstr(rest, "catalogue") || slice_eq_cstr(rest, "tombstones"))
            continue;
        if (slice_split(&rest, '/', &name) && ulid_parse(name, &ulid)) {
            if (catalogue_find(cat, ulid))
                continue;
            *ret_changed |= catalogue_retire_orphan(cat, ulid, p->now_ms);
        }
        p->keys[p->n++] = p->l->ptr[i].key;
    }
    return NULL;
}

/* Files of a block may go in any order: no catalogue names it any more. */
static struct err *delete_rest(struct ctl *c, struct slice signal, struct slice tenant)
{
    char *prefix = arena_printf(c->arena, "%.*s/%.*s/", SLICE_ARG(signal), SLICE_ARG(tenant));
    struct objstore_list opts = {.prefix = slice_cstr(prefix), .limit = 1000};
    struct err *e = NULL;
    bool more = true;

    while (!e && more) {
        struct arena *a = arena_new(0);
        struct objstore_listing l;

        if (!(e = objstore_list(c->store, a, &opts, &l))) {
            struct page p = {&l, opts.prefix.len, clock_wall_ms(&clock_system),
                             arena_array(a, struct slice, l.n), 0};

            more = l.is_truncated;
            if (l.n)
                opts.start_after = arena_dup(c->arena, l.ptr[l.n - 1].key);
            if (!l.n || !(e = catalogue_update(c->store, signal, tenant, retire_page, &p, NULL)))
                e = objstore_delete_many(c->store, p.keys, p.n);
        }
        arena_free(a);
    }
    return e;
}

static struct err *retire_signal(struct ctl *c, const char *signal, struct slice tenant)
{
    int64_t now_ms = clock_wall_ms(&clock_system);

    return catalogue_update(c->store, slice_cstr(signal), tenant, retire_all, &now_ms, NULL);
}

static struct err *delete_signal(struct ctl *c, struct slice signal, struct slice tenant)
{
    struct err *e;

    if ((e = delete_adopted(c, signal, tenant)) || (e = delete_rest(c, signal, tenant)))
        return e;
    return catalogue_update(c->store, signal, tenant, forget_all, NULL, NULL);
}

/* Whether a catalogue is all but what a deletion leaves. */
static bool is_in_use(const struct catalogue *cat)
{
    size_t n_live, n_retired;

    (void)catalogue_blocks(cat, &n_live);
    (void)catalogue_retired(cat, &n_retired);
    return n_live + n_retired != 0;
}

/* What a signal has of the tenant, adopted blocks by their number. */
static struct err *count_signal(struct ctl *c, const char *signal, struct slice tenant,
                                uint64_t *ret_objects)
{
    struct arena *a = arena_new(0);
    struct slice prefix = slice_cstr(arena_printf(a, "%s/%.*s/", signal, SLICE_ARG(tenant)));
    const char *catalogue = arena_printf(a, "%.*scatalogue", SLICE_ARG(prefix));
    const char *tombs = tombstone_list_key(a, slice_cstr(signal), tenant);
    const struct catalogue_block *b;
    struct catalogue *cat = NULL;
    struct objstore_listing l;
    bool is_left_over = true; /* a list and a catalogue that another call left, or nothing */
    uint64_t bytes = 0;
    size_t n, adopted = 0;
    struct err *e = objstore_list(c->store, a, &(struct objstore_list){.prefix = prefix}, &l);

    if (!e && l.n)
        e = catalogue_load(c->store, slice_cstr(signal), tenant, &cat);
    for (size_t i = 0; !e && i < l.n; i++) {
        is_left_over &= slice_eq_cstr(l.ptr[i].key, tombs) ||
                        (slice_eq_cstr(l.ptr[i].key, catalogue) && !is_in_use(cat));
        bytes += l.ptr[i].bytes;
    }
    if (!e && !is_left_over) {
        b = catalogue_blocks(cat, &n);
        for (size_t i = 0; i < n; i++)
            adopted += b[i].dir.len != 0;
        ctl_say("%s: %zu objects of %s, and %zu blocks that were adopted in place", signal, l.n,
                ctl_bytes(a, bytes), adopted);
        *ret_objects += l.n;
    }
    catalogue_free(cat);
    arena_free(a);
    return e;
}

static struct err *count_rules(struct ctl *c, struct slice tenant, uint64_t *ret_objects)
{
    struct objstore_listing l;
    struct err *e =
        objstore_list(c->store, c->arena,
                      &(struct objstore_list){.prefix = rule_object_prefix(c->arena, tenant)}, &l);

    if (!e && l.n)
        ctl_say("rules: %zu namespaces", l.n);
    if (!e)
        *ret_objects += l.n;
    return e;
}

/* On a terminal the name is asked for; elsewhere --yes has to be there. */
static bool is_meant(struct ctl *c, const char *tenant)
{
    char line[TENANT_MAX_BYTES + 2];

    if (c->opts.is_yes)
        return true;
    if (isatty(STDIN_FILENO) != 1)
        return false;
    printf("Everything of tenant %s goes, for good. Its name, to go on: ", tenant);
    (void)fflush(stdout);
    return fgets(line, sizeof(line), stdin) && slice_eq_cstr(slice_trim(slice_cstr(line)), tenant);
}

struct err *ctl_tenant_delete(struct ctl *c)
{
    struct slice tenant = slice_cstr(c->args[0]);
    uint64_t objects = 0;
    struct err *e = tenant_check(tenant);

    for (size_t i = 0; i < ORR_COUNT(signals) && !e; i++)
        e = count_signal(c, signals[i], tenant, &objects);
    if (!e)
        e = count_rules(c, tenant, &objects);
    if (e)
        return e;
    if (!objects) {
        ctl_say("the bucket has nothing of tenant %s", c->args[0]);
        return NULL;
    }
    if (c->opts.is_dry)
        return NULL;
    if (!is_meant(c, c->args[0]))
        return ctl_usage(c, "--yes is missing");
    /* First what ingesters hold: once the blocks are retired and swept, a call that comes after one that was killed finds nothing
     * to do. */
    if (!(e = bury(c, CTL_SIGNAL, tenant, TOMBSTONE_RECEIVED)))
        e = bury(c, SLICE("logs"), tenant, TOMBSTONE_BEGUN);
    if (!e)
        e = bury(c, SLICE("traces"), tenant, TOMBSTONE_RECEIVED);
    for (size_t i = 0; i < ORR_COUNT(signals) && !e; i++)
        e = retire_signal(c, signals[i], tenant);
    for (size_t i = 0; i < ORR_COUNT(signals) && !e; i++)
        e = delete_signal(c, slice_cstr(signals[i]), tenant);
    if (!e)
        e = objstore_delete_prefix(c->store, rule_object_prefix(c->arena, tenant));
    if (!e)
        ctl_say("tenant %s is deleted, with what ingesters still hold of it. What its writers send "
                "from "
                "now on is kept",
                c->args[0]);
    return e;
}
