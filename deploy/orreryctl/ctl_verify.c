/* bucket verify. */
#include "common/block/block_store.h"
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_show.h"

struct verifying {
    struct ctl *c;
    struct slice signal;
    struct slice tenant;
    struct ctl_progress progress;
    uint64_t blocks;
};

/* ---- one block ---- */

static struct err *check_entry(const struct catalogue_block *b, const struct block_meta *m)
{
    if (b->min_t != m->min_t || b->max_t != m->max_t)
        return err_new(ERR_CORRUPT, "catalogue: it says another range of time than meta.json");
    if (m->stats.series && b->series != m->stats.series)
        return err_new(ERR_CORRUPT, "catalogue: it says %llu series, and meta.json %llu",
                       (unsigned long long)b->series, (unsigned long long)m->stats.series);
    if (m->stats.samples && b->samples != m->stats.samples)
        return err_new(ERR_CORRUPT, "catalogue: it says %llu samples, and meta.json %llu",
                       (unsigned long long)b->samples, (unsigned long long)m->stats.samples);
    if (b->summary_bytes && b->summary_bytes != catalogue_block_of_meta(m).summary_bytes)
        return err_new(ERR_CORRUPT,
                       "catalogue: it says another length of the summary than meta.json");
    return NULL;
}

static struct err *check_block(struct verifying *v, struct arena *a, const struct catalogue *cat,
                               const struct catalogue_block *b)
{
    bool is_metrics = slice_eq(v->signal, CTL_SIGNAL);
    struct slice dir = block_store_dir(a, cat, b->ulid, b->dir);
    struct ctl_copy copy = {.path = NULL};
    struct ctl_block at;
    struct err *e = ctl_block_load(v->c, a, dir, &at);

    at.has_no_chunks = !is_metrics;
    if (!e && !(e = ctl_block_check(&at)) && !(e = check_entry(b, &at.meta)) &&
        !(e = ctl_copy_make(v->c, dir, b->ulid, &copy)))
        e = is_metrics ? ctl_whole_check(copy.path, &at.meta, b->labels)
                       : ctl_whole_check_of(copy.path, v->signal);
    if (!e && at.is_deleted)
        e = err_new(ERR_CORRUPT, "another system has marked it for deletion (deletion-mark.json)");
    ctl_copy_done(&copy);
    return e;
}

static void verify_block(struct verifying *v, const struct catalogue *cat,
                         const struct catalogue_block *b)
{
    struct arena *a = arena_new(0);
    struct err *e = check_block(v, a, cat, b);

    if (e)
        ctl_wrong(v->c, "%.*s: block %s: %s", SLICE_ARG(v->tenant), ulid_print(b->ulid).s,
                  err_msg(e));
    err_free(e);
    v->blocks++;
    ctl_progress_add(&v->progress, b->bytes);
    arena_free(a);
}

/* ---- a tenant ---- */

/* Directories of blocks that the catalogue does not know. */
static struct err *find_orphans(struct verifying *v, const struct catalogue *cat)
{
    struct arena *a = arena_new(0);
    struct slice *dirs, parent;
    struct err *e;
    size_t n;

    parent = slice_cstr(arena_printf(a, "%.*s/%.*s", SLICE_ARG(v->signal), SLICE_ARG(v->tenant)));
    e = ctl_block_dirs(v->c, a, parent, &dirs, &n);
    for (size_t i = 0; !e && i < n; i++) {
        struct ulid ulid;

        if (ulid_parse(slice_from(dirs[i], parent.len + 1), &ulid) && !catalogue_find(cat, ulid) &&
            !catalogue_is_retired(cat, ulid))
            ctl_wrong(
                v->c,
                "%.*s: block %s: orphan: the catalogue does not know it (an upload under way, "
                "or one that never ended, which the compactor's sweep takes away)",
                SLICE_ARG(v->tenant), ulid_print(ulid).s);
    }
    arena_free(a);
    return e;
}

static uint64_t bytes_of(const struct catalogue_block *b, size_t n)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += b[i].bytes;
    return bytes;
}

/* A tenant that was named and has nothing is a wrong name. */
static struct err *is_there(struct verifying *v)
{
    struct arena *a = arena_new(0);
    struct slice prefix =
        slice_cstr(arena_printf(a, "%.*s/%.*s/", SLICE_ARG(v->signal), SLICE_ARG(v->tenant)));
    struct objstore_listing l = {0};
    struct err *e =
        objstore_list(v->c->store, a, &(struct objstore_list){.prefix = prefix, .limit = 1}, &l);

    if (!e && l.n == 0)
        e = err_new(ERR_NOT_FOUND, "the bucket has nothing of tenant %.*s", SLICE_ARG(v->tenant));
    arena_free(a);
    return e;
}

static struct err *verify_tenant(struct verifying *v, const struct ulid *only)
{
    const struct catalogue_block *b;
    struct catalogue *cat;
    struct err *e = catalogue_load(v->c->store, v->signal, v->tenant, &cat);
    size_t n;

    if (err_is(e, ERR_CORRUPT) || err_is(e, ERR_INVALID)) {
        ctl_wrong(v->c, "%.*s: catalogue: %s (orreryctl bucket rebuild-catalogue makes it anew)",
                  SLICE_ARG(v->tenant), err_msg(e));
        err_free(e);
        return NULL;
    }
    if (e)
        return e;
    b = catalogue_blocks(cat, &n);
    if (!catalogue_version(cat) && v->c->n_args)
        e = is_there(v);
    if (!e && only && !(b = catalogue_find(cat, *only)))
        e = err_new(ERR_NOT_FOUND, "the catalogue of %.*s has no live block %s",
                    SLICE_ARG(v->tenant), ulid_print(*only).s);
    if (only)
        n = b != NULL;
    ctl_progress_begin(&v->progress, "verifying", bytes_of(b, n), true);
    for (size_t i = 0; !e && i < n; i++)
        verify_block(v, cat, &b[i]);
    if (!e && !only)
        e = find_orphans(v, cat);
    ctl_progress_end(&v->progress);
    catalogue_free(cat);
    return e;
}

struct err *ctl_bucket_verify(struct ctl *c)
{
    struct verifying v = {.c = c};
    struct slice *tenants, one;
    struct ulid only;
    struct err *e = NULL;
    size_t n = 1;

    if (c->n_args == 2 && !ulid_parse(slice_cstr(c->args[1]), &only))
        return ctl_usage(c, "that is no ULID");
    if ((e = ctl_signal(c, &v.signal)))
        return e;
    if (c->n_args) {
        one = slice_cstr(c->args[0]);
        tenants = &one;
    } else if ((e = catalogue_tenants(c->store, c->arena, v.signal, &tenants, &n))) {
        return e;
    }
    for (size_t i = 0; !e && i < n; i++) {
        v.tenant = tenants[i];
        e = verify_tenant(&v, c->n_args == 2 ? &only : NULL);
    }
    if (!e)
        ctl_say("%llu blocks verified, %llu things wrong", (unsigned long long)v.blocks,
                (unsigned long long)c->wrong);
    return e;
}
