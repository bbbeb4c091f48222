/*
 * bucket adopt: blocks of another system go on lying where they are, and the catalogue names them there.
 *
 *   mimir    <prefix>/<tenant>/<ULID>/…, marks <tenant>/markers/<ULID>-deletion-mark.json and
 *            <ULID>/deletion-mark.json; labels in meta.json are the system's own
 *   thanos   <prefix>/<ULID>/…, <ULID>/deletion-mark.json; labels in meta.json are external labels; the tenant is given.
 *   orrery   <prefix>/metrics/<tenant>/<ULID>/…: the blocks that the catalogue there names
 *
 * A block with a deletion mark is left out; one with a no-compact mark is adopted and pinned.
 *
 * A block is looked at before: its files and their sizes, that its index opens, its series can be told apart and their chunks
 * can be where they are said to be. What is in the chunks is bucket verify's to say. The
 * edit of the catalogue asks what every edit asks (catalogue.h).
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"
#include "common/block/block_store.h"
#include "common/model/tenant.h"
#include "deploy/orreryctl/ctl_send.h"

enum layout { LAYOUT_MIMIR, LAYOUT_THANOS, LAYOUT_ORRERY };

struct adopting {
    struct ctl *c;
    enum layout layout;
    struct slice tenant;               /* it is added to */
    struct catalogue *from;            /* of LAYOUT_ORRERY, what is live there; else NULL */
    VEC(struct slice) marks;           /* names in markers/ */
    VEC(struct catalogue_block) found; /* to be added */
    VEC(struct block_meta) metas;      /* of those */
    struct map *owners; /* of adopted directories, live or retired: the tenant, a C string */
    uint64_t added, there, deleted, refused;
};

static void refuse(struct adopting *ad, struct slice dir, const struct err *e)
{
    ad->refused++;
    ctl_wrong(ad->c, "%.*s: not adopted: %s", SLICE_ARG(dir), err_msg(e));
}

/* ---- one block ---- */

static uint64_t bytes_of(const struct ctl_block *b, const char *name)
{
    for (size_t i = 0; i < b->n_files; i++)
        if (slice_eq_cstr(b->files[i].path, name))
            return b->files[i].bytes;
    return 0;
}

/* What the index says of a series' chunks can be true: they begin within their files, and lie in the times of meta.json. */
static struct err *check_chunks(const struct ctl_block *b, const struct block_reader_series *s)
{
    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct block_chunk_meta *m = &s->chunks[i];
        char name[64];

        (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, (unsigned)(m->ref >> 32) + 1);
        if ((uint32_t)m->ref >= bytes_of(b, name))
            return err_new(ERR_CORRUPT, "a chunk lies behind the end of %s", name);
        if (m->min_t < b->meta.min_t || m->max_t >= b->meta.max_t)
            return err_new(ERR_CORRUPT, "a chunk lies outside the times of meta.json");
    }
    return NULL;
}

static struct err *check_series(const struct ctl_block *b, const struct block_reader *r,
                                const struct block_refs *refs)
{
    struct arena *a = arena_new(0);
    struct err *e = NULL;

    for (size_t i = 0; !e && i < refs->n; i++) {
        struct block_reader_series s;

        arena_reset(a);
        if (!(e = block_reader_series(r, a, refs->ptr[i], &s)))
            e = check_chunks(b, &s);
    }
    arena_free(a);
    return e;
}

/* The index opens, every series is read, and no two are the same. */
static struct err *check_index(struct adopting *ad, const struct ctl_block *b, struct labels labels)
{
    struct arena *a = arena_new(0);
    struct block_reader *r = NULL;
    struct block_refs refs;
    struct err *e;

    if (!(e = ctl_block_open(ad->c, b->dir, labels, &r)) &&
        !(e = block_reader_select(r, a, (struct matchers){.n = 0}, &refs)) &&
        b->meta.stats.series && refs.n != b->meta.stats.series)
        e = err_new(ERR_CORRUPT, "index: %zu series, and meta.json says %llu", refs.n,
                    (unsigned long long)b->meta.stats.series);
    if (!e)
        e = check_series(b, r, &refs);
    block_reader_close(r);
    arena_free(a);
    return e;
}

/* kind: "deletion", "no-compact" */
static bool is_marked(const struct adopting *ad, struct ulid ulid, const char *kind)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%s-%s-mark.json", ulid_print(ulid).s, kind);
    for (size_t i = 0; i < ad->marks.len; i++)
        if (slice_eq_cstr(ad->marks.ptr[i], name))
            return true;
    return false;
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Thanos' downsampled blocks have the sources of the block that they were made of. As segments they tell who reads by
 * resolution which stands for which. */
static void name_sources(struct adopting *ad, const struct block_meta *m,
                         struct catalogue_block *cb)
{
    struct slice *names = arena_array(ad->c->arena, struct slice, m->n_sources);

    for (size_t i = 0; i < m->n_sources; i++)
        names[i] = slice_cstr(arena_strdup(ad->c->arena, ulid_print(m->sources[i]).s));
    if (m->n_sources)
        qsort(names, m->n_sources, sizeof(*names), by_text);
    cb->segments = names;
    cb->n_segments = m->n_sources;
}

static void take(struct adopting *ad, const struct ctl_block *b, struct labels labels)
{
    struct catalogue_block cb = catalogue_block_of_meta(&b->meta);
    struct block_meta meta = b->meta;

    cb.dir = b->dir;
    cb.labels = labels;
    cb.bytes = b->bytes;
    cb.is_pinned = b->is_no_compact;
    if (ad->layout == LAYOUT_THANOS && !cb.n_segments)
        name_sources(ad, &b->meta, &cb);
    if (!meta.n_files) { /* the edit looks whether these are there */
        meta.files = b->files;
        meta.n_files = b->n_files;
    }
    vec_push(&ad->found, cb);
    vec_push(&ad->metas, meta);
}

static struct err *look_at(struct adopting *ad, struct slice dir)
{
    const struct catalogue_block *was;
    struct labels labels = {0};
    struct ctl_block b;
    struct err *e = ctl_block_load(ad->c, ad->c->arena, dir, &b);

    if (b.is_deleted || is_marked(ad, b.ulid, "deletion")) {
        ad->deleted++;
        ctl_say("%.*s: marked for deletion, left out", SLICE_ARG(dir));
        err_free(e);
        return NULL;
    }
    if (ad->layout == LAYOUT_THANOS)
        labels = b.meta.external;
    if (!e && ad->from && (was = catalogue_find(ad->from, b.ulid))) {
        labels = was->labels;
        b.is_no_compact |= was->is_pinned;
    }
    if (e || (e = ctl_block_check(&b)) || (e = check_index(ad, &b, labels))) {
        if (err_is(e, ERR_IO) || err_is(e, ERR_NET) || err_is(e, ERR_TIMEOUT) ||
            err_is(e, ERR_UNAVAILABLE))
            return e;
        refuse(ad, dir, e);
        err_free(e);
        return NULL;
    }
    b.is_no_compact |= is_marked(ad, b.ulid, "no-compact");
    if (b.is_no_compact)
        ctl_say("%.*s: has a no-compact mark, so it will not be compacted", SLICE_ARG(dir));
    take(ad, &b, labels);
    return NULL;
}

/* ---- a tenant ---- */

static struct slice join(struct arena *a, struct slice dir, const char *name)
{
    return slice_cstr(arena_printf(a, "%.*s%s%s", SLICE_ARG(dir), dir.len ? "/" : "", name));
}

static struct err *read_markers(struct adopting *ad, struct slice parent)
{
    struct arena *a = ad->c->arena;
    struct slice prefix = slice_cstr(arena_printf(a, "%.*s/markers/", SLICE_ARG(parent)));
    struct objstore_listing l;
    struct err *e = objstore_list(ad->c->store, a, &(struct objstore_list){.prefix = prefix}, &l);

    for (size_t i = 0; !e && i < l.n; i++)
        vec_push(&ad->marks, slice_from(l.ptr[i].key, prefix.len));
    return e;
}

/* An edit may be made several times, each time on what is there now. */
static struct err *add_found(void *arg, struct catalogue *cat, bool *ret_changed)
{
    struct adopting *ad = arg;

    ad->added = 0;
    for (size_t i = 0; i < ad->found.len; i++) {
        const struct catalogue_block *b = &ad->found.ptr[i];
        struct err *e;

        if (catalogue_find(cat, b->ulid))
            continue;
        if ((e = block_store_addable_in(ad->c->store, cat, &ad->metas.ptr[i], b->dir)))
            return err_wrap(e, "%.*s", SLICE_ARG(b->dir));
        catalogue_add(cat, b);
        ad->added++;
    }
    *ret_changed = ad->added != 0;
    return NULL;
}

/* What is new of the directories; what the catalogue knows already is counted or complained of. */
static struct err *look_at_all(struct adopting *ad, const struct catalogue *cat,
                               const struct slice *dirs, size_t n)
{
    struct ctl_progress p;
    struct err *e = NULL;

    ctl_progress_begin(&p, "looking at blocks", n, false);
    for (size_t i = 0; !e && i < n; i++) {
        const struct catalogue_block *known;
        const char *owner;
        struct ulid ulid;

        (void)ulid_parse(slice_from(dirs[i], dirs[i].len - ULID_TEXT_LEN), &ulid);
        known = catalogue_find(cat, ulid);
        owner = map_get(ad->owners, dirs[i]);
        if (owner && !slice_eq_cstr(ad->tenant, owner)) {
            ad->refused++;
            ctl_wrong(ad->c,
                      "%.*s: not adopted: tenant %s has it, and with one of them the other's would "
                      "be deleted",
                      SLICE_ARG(dirs[i]), owner);
        } else if (known && slice_eq(known->dir, dirs[i])) {
            ad->there++;
        } else if (known || catalogue_is_retired(cat, ulid)) {
            ad->refused++;
            ctl_wrong(ad->c, "%.*s: not adopted: the tenant %s a block of this name",
                      SLICE_ARG(dirs[i]), known ? "has" : "is deleting");
        } else {
            e = look_at(ad, dirs[i]);
        }
        ctl_progress_add(&p, 1);
    }
    ctl_progress_end(&p);
    return e;
}

static struct err *add_or_tell(struct adopting *ad)
{
    struct err *e = NULL;

    for (size_t i = 0; i < ad->found.len; i++) {
        const struct catalogue_block *b = &ad->found.ptr[i];

        ctl_say("%.*s: %s%s to %s, %llu series, tenant %.*s", SLICE_ARG(b->dir),
                ad->c->opts.is_dry ? "would be adopted: " : "", ctl_time(ad->c->arena, b->min_t),
                ctl_time(ad->c->arena, b->max_t), (unsigned long long)b->series,
                SLICE_ARG(ad->tenant));
    }
    if (ad->c->opts.is_dry || !(ad->found.len + ad->there))
        return NULL;
    if (ad->found.len)
        e = catalogue_update(ad->c->store, CTL_SIGNAL, ad->tenant, add_found, ad, NULL);
    return e ? e
             : ctl_send_news(ad->c,
                             ad->tenant); /* who adopted the others may not have come to this */
}

/* Where the catalogue of another Orrery, whose bucket begins at --prefix, says that its live blocks are. */
static void live_dirs(struct adopting *ad, struct slice parent, struct slice **ret, size_t *ret_n)
{
    struct arena *a = ad->c->arena;
    const struct catalogue_block *b = catalogue_blocks(ad->from, ret_n);

    *ret = arena_array(a, struct slice, *ret_n);
    for (size_t i = 0; i < *ret_n; i++)
        (*ret)[i] =
            b[i].dir.len
                ? slice_cstr(arena_printf(a, "%s/%.*s", ad->c->opts.prefix, SLICE_ARG(b[i].dir)))
                : join(a, parent, ulid_print(b[i].ulid).s);
}

static struct err *find_dirs(struct adopting *ad, struct slice parent, struct slice **ret,
                             size_t *ret_n)
{
    if (!ad->from)
        return ctl_block_dirs(ad->c, ad->c->arena, parent, ret, ret_n);
    live_dirs(ad, parent, ret, ret_n);
    return NULL;
}

static struct err *adopt_tenant(struct adopting *all, struct slice parent, struct slice tenant)
{
    struct adopting ad = {.c = all->c,
                          .layout = all->layout,
                          .tenant = tenant,
                          .from = all->from,
                          .owners = all->owners};
    struct catalogue *cat = NULL;
    struct slice *dirs;
    struct err *e;
    size_t n;

    if (!(e = tenant_check(tenant)) && !(e = find_dirs(&ad, parent, &dirs, &n)) &&
        !(e = ad.layout == LAYOUT_MIMIR ? read_markers(&ad, parent) : NULL) &&
        !(e = catalogue_load(ad.c->store, CTL_SIGNAL, tenant, &cat)) &&
        !(e = look_at_all(&ad, cat, dirs, n)))
        e = add_or_tell(&ad);
    catalogue_free(cat);
    all->added += ad.added;
    all->there += ad.there;
    all->deleted += ad.deleted;
    all->refused += ad.refused;
    vec_done(&ad.marks);
    vec_done(&ad.found);
    vec_done(&ad.metas);
    return err_wrap(e, "tenant %.*s", SLICE_ARG(tenant));
}

/* ---- layouts ---- */

/* At the top of a bucket our own signals stand beside another system's tenants. */
static bool is_ours(struct slice name)
{
    static const char *const ours[] = {"metrics", "logs", "traces", "profiles"};

    for (size_t i = 0; i < ORR_COUNT(ours); i++)
        if (slice_eq_cstr(name, ours[i]))
            return true;
    return false;
}

static struct err *adopt_below(struct adopting *ad, struct slice prefix)
{
    struct arena *a = ad->c->arena;
    struct slice below = SLICE_EMPTY, only = SLICE_EMPTY;
    struct objstore_listing l;
    struct err *e;

    if (prefix.len)
        below = slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(prefix)));
    if (ad->c->opts.tenant)
        only = slice_cstr(ad->c->opts.tenant);
    e = objstore_list(ad->c->store, a,
                      &(struct objstore_list){.prefix = below, .by_directory = true}, &l);
    for (size_t i = 0; !e && i < l.n; i++) {
        struct slice dir = slice_sub(l.ptr[i].key, 0, l.ptr[i].key.len - 1);
        struct slice name = slice_from(dir, below.len);

        if (!l.ptr[i].is_prefix || (only.len && !slice_eq(name, only)) ||
            slice_has_prefix(name, SLICE("__")) || (!prefix.len && is_ours(name)))
            continue;
        if (ad->layout == LAYOUT_MIMIR)
            e = adopt_tenant(ad, dir, name);
        else if (!(e = catalogue_load_at(ad->c->store, join(a, dir, "catalogue"), &ad->from)))
            e = adopt_tenant(ad, dir, name);
        catalogue_free(ad->from);
        ad->from = NULL;
    }
    return e;
}

/* ---- what others have ---- */

static void note_owner(struct adopting *ad, struct slice dir, const char *tenant)
{
    if (dir.len)
        (void)map_put(ad->owners, dir, (void *)(uintptr_t)tenant);
}

static struct err *note_tenant(struct adopting *ad, struct slice tenant)
{
    const char *name = arena_cstr(ad->c->arena, tenant);
    const struct catalogue_retired *retired;
    const struct catalogue_block *blocks;
    struct catalogue *cat = NULL;
    struct err *e = catalogue_load(ad->c->store, CTL_SIGNAL, tenant, &cat);
    size_t n;

    if (e)
        return err_wrap(e, "tenant %s, which may have the same blocks", name);
    blocks = catalogue_blocks(cat, &n);
    for (size_t i = 0; i < n; i++)
        note_owner(ad, blocks[i].dir, name);
    retired = catalogue_retired(cat, &n);
    for (size_t i = 0; i < n; i++)
        note_owner(ad, retired[i].dir, name);
    catalogue_free(cat);
    return NULL;
}

static struct err *note_owners(struct adopting *ad)
{
    static const struct slice top = SLICE_INIT("metrics/");
    struct objstore_listing l;
    struct err *e = objstore_list(ad->c->store, ad->c->arena,
                                  &(struct objstore_list){.prefix = top, .by_directory = true}, &l);

    for (size_t i = 0; !e && i < l.n; i++)
        if (l.ptr[i].is_prefix)
            e = note_tenant(ad, slice_sub(l.ptr[i].key, top.len, l.ptr[i].key.len - top.len - 1));
    return e;
}

static struct err *adopt(struct adopting *ad, struct slice prefix)
{
    struct ctl *c = ad->c;

    switch (ad->layout) {
    case LAYOUT_MIMIR:
        return adopt_below(ad, prefix);
    case LAYOUT_THANOS:
        if (!c->opts.tenant)
            return ctl_usage(c, "--layout thanos needs --tenant");
        return adopt_tenant(ad, prefix, slice_cstr(c->opts.tenant));
    case LAYOUT_ORRERY:
        if (!prefix.len)
            return ctl_usage(c, "--layout orrery needs the --prefix of another Orrery; for its own "
                                "blocks there is bucket rebuild-catalogue");
        return adopt_below(ad, join(c->arena, prefix, "metrics"));
    }
    return NULL;
}

struct err *ctl_bucket_adopt(struct ctl *c)
{
    static const char *const names[] = {"mimir", "thanos", "orrery"};
    struct map owners = {0};
    struct adopting ad = {.c = c, .owners = &owners};
    struct slice prefix = slice_cstr(c->opts.prefix ? c->opts.prefix : ""), top, first;
    size_t i = 0;
    struct err *e;

    while (c->opts.layout && i < ORR_COUNT(names) && strcmp(names[i], c->opts.layout) != 0)
        i++;
    if (!c->opts.layout || i == ORR_COUNT(names))
        return ctl_usage(c, "--layout is mimir, thanos or orrery");
    ad.layout = (enum layout)i;
    while (prefix.len && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    top = prefix;
    (void)slice_split(&top, '/', &first);
    if (is_ours(first))
        return ctl_usage(
            c, "what is there is this Orrery's own: two tenants cannot have the same files");
    if (!(e = note_owners(&ad)))
        e = adopt(&ad, prefix);
    map_done(&owners);
    if (e)
        return e;
    ctl_say("%llu blocks adopted, %llu were already, %llu marked for deletion, %llu refused",
            (unsigned long long)ad.added, (unsigned long long)ad.there,
            (unsigned long long)ad.deleted, (unsigned long long)ad.refused);
    return NULL;
}
