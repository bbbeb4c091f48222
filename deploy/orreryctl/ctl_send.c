#include "deploy/orreryctl/ctl_send.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/block/block_store.h"
#include "common/block/tombstone_list.h"

#define SAMPLE_BYTES (64u << 10) /* compared at both ends of a file */

static struct slice key_in(struct arena *a, struct slice dir, struct slice file)
{
    return slice_cstr(arena_printf(a, "%.*s/%.*s", SLICE_ARG(dir), SLICE_ARG(file)));
}

/* NOT_FOUND is an answer. */
static struct err *absent(struct err *e, bool *ret)
{
    *ret = err_is(e, ERR_NOT_FOUND);
    if (!*ret)
        return e;
    err_free(e);
    return NULL;
}

struct err *ctl_send_is_taken(struct ctl *c, struct slice tenant, struct ulid ulid,
                              struct slice meta_json, bool *ret)
{
    struct arena *a = arena_new(0);
    struct slice dir = block_store_prefix(a, CTL_SIGNAL, tenant, ulid);
    struct buf b = {0};
    bool is_absent;
    struct err *e =
        absent(objstore_get(c->store, key_in(a, dir, SLICE(BLOCK_META_FILE)),
                            &(struct objstore_get){.max_bytes = BLOCK_META_MAX_BYTES}, &b, NULL),
               &is_absent);

    *ret = !e && !is_absent && !slice_eq(buf_slice(&b), meta_json);
    buf_done(&b);
    arena_free(a);
    return e;
}

/* ---- files ---- */

static struct err *same_range(struct ctl *c, struct slice key, int fd, uint64_t off, size_t n,
                              bool *ret)
{
    uint8_t *ours = mem_alloc(n);
    struct buf theirs = {0};
    struct err *e =
        objstore_get(c->store, key, &(struct objstore_get){.off = off, .len = n}, &theirs, NULL);
    ssize_t got = e ? 0 : pread(fd, ours, n, (off_t)off);

    *ret = !e && got == (ssize_t)n && slice_eq(buf_slice(&theirs), slice_of(ours, n));
    mem_free(ours);
    buf_done(&theirs);
    return e;
}

static struct err *is_sent(struct ctl *c, struct slice key, const char *path, uint64_t bytes,
                           bool *ret)
{
    size_t n = (size_t)ORR_MIN(bytes, (uint64_t)SAMPLE_BYTES);
    struct objstore_info info;
    bool is_absent;
    struct err *e = absent(objstore_stat(c->store, key, &info), &is_absent);
    int fd;

    *ret = !e && !is_absent && info.bytes == bytes;
    if (!*ret || n == 0)
        return e;
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return err_errno(ERR_IO, "open %s", path);
    if (!(e = same_range(c, key, fd, 0, n, ret)) && *ret)
        e = same_range(c, key, fd, bytes - n, n, ret);
    (void)close(fd);
    return e;
}

static struct err *send_files(struct ctl *c, const struct ctl_send *s, struct arena *a,
                              struct slice dir)
{
    struct err *e = NULL;

    for (size_t i = 0; i < s->n_files && !e; i++) {
        const struct block_file *f = &s->files[i];
        const char *path = arena_printf(a, "%s/%.*s", s->path, SLICE_ARG(f->path));
        struct slice key = key_in(a, dir, f->path);
        bool sent;

        if (!(e = is_sent(c, key, path, f->bytes, &sent)) && !sent)
            e = objstore_put_file(c->store, key, path, NULL, NULL);
        ctl_progress_add(s->progress, f->bytes);
    }
    if (e)
        return e;
    return objstore_put(c->store, key_in(a, dir, SLICE(BLOCK_META_FILE)), s->meta_json,
                        &(struct objstore_put){.content_type = "application/json"}, NULL);
}

/* ---- the catalogue ---- */

static struct err *change_nothing(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    (void)arg;
    (void)l;
    *ret_changed = true; /* but the version */
    return NULL;
}

struct err *ctl_send_news(struct ctl *c, struct slice tenant)
{
    return tombstone_list_update(c->store, CTL_SIGNAL, tenant, change_nothing, NULL, NULL);
}

struct addition {
    struct ctl *c;
    const struct catalogue_block *entry;
    struct block_meta meta;
    bool is_added;
};

static struct err *add(void *arg, struct catalogue *cat, bool *ret_changed)
{
    struct addition *ad = arg;
    struct err *e = NULL;

    ad->is_added = catalogue_find(cat, ad->entry->ulid) == NULL;
    if (ad->is_added && !(e = block_store_addable(ad->c->store, cat, &ad->meta)))
        catalogue_add(cat, ad->entry);
    *ret_changed = ad->is_added && !e;
    return e;
}

/* Before a byte is sent: it may be live, and what is being deleted must be gone first. */
static struct err *look(struct ctl *c, const struct ctl_send *s, bool *ret_live)
{
    struct catalogue *cat;
    struct err *e = catalogue_load(c->store, CTL_SIGNAL, s->tenant, &cat);

    if (e)
        return e;
    *ret_live = catalogue_find(cat, s->meta->ulid) != NULL;
    if (catalogue_is_retired(cat, s->meta->ulid))
        e = err_new(ERR_UNAVAILABLE, "block %s is being deleted; it can come again once it is gone",
                    ulid_print(s->meta->ulid).s);
    catalogue_free(cat);
    return e;
}

struct err *ctl_send(struct ctl *c, const struct ctl_send *s, bool *ret_added)
{
    struct arena *a = arena_new(0);
    struct slice dir = block_store_prefix(a, CTL_SIGNAL, s->tenant, s->meta->ulid);
    struct catalogue_block entry = s->entry;
    struct addition ad = {.c = c, .entry = &entry, .meta = *s->meta};
    bool is_live = false;
    struct err *e = look(c, s, &is_live);

    entry.bytes = 0;
    for (size_t i = 0; i < s->n_files; i++)
        entry.bytes += s->files[i].bytes;
    ad.meta.files = s->files;
    ad.meta.n_files = s->n_files;
    if (!e && !is_live && !(e = send_files(c, s, a, dir)))
        e = catalogue_update(c->store, CTL_SIGNAL, s->tenant, add, &ad, NULL);
    *ret_added = !e && ad.is_added;
    arena_free(a);
    return e;
}
