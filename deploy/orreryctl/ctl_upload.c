/*
 * block upload: blocks of Prometheus, each verified whole before a byte of it is sent.
 *
 * A block keeps its ULID. When another block of the tenant has that (its meta.json differs), it gets one that is derived from
 * its ULID and its index, so that doing it again finds the same name.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/vec.h"
#include "common/block/block_summary.h"
#include "common/model/tenant.h"
#include "deploy/orreryctl/ctl_send.h"

struct candidate {
    const char *path;
    struct block_meta meta;
    struct slice meta_json;
    struct block_file *files;
    size_t n_files;
};

struct uploading {
    struct ctl *c;
    struct slice tenant;
    VEC(struct candidate) blocks;
    uint64_t bytes, added, there;
    struct ctl_progress progress;
};

/* ---- which ---- */

static struct err *add_candidate(struct uploading *u, const char *path)
{
    struct arena *a = u->c->arena;
    struct candidate k = {.path = path};
    struct buf b = {0};
    struct err *e =
        fsx_read(arena_printf(a, "%s/" BLOCK_META_FILE, path), BLOCK_META_MAX_BYTES, &b);

    if (!e) {
        k.meta_json = arena_dup(a, buf_slice(&b));
        if (!(e = block_meta_parse(a, k.meta_json, &k.meta)))
            e = ctl_whole_files(a, path, &k.files, &k.n_files);
    }
    buf_done(&b);
    if (e)
        return err_wrap(e, "%s", path);
    for (size_t i = 0; i < k.n_files; i++)
        u->bytes += k.files[i].bytes;
    vec_push(&u->blocks, k);
    return NULL;
}

/* A block, or a directory of blocks as Prometheus has one: whatever is named by a ULID in it. */
static struct err *find_blocks(struct uploading *u, const char *path)
{
    struct arena *a = u->c->arena;
    size_t before = u->blocks.len, n;
    struct ulid ulid;
    struct err *e;
    char **names;

    if (fsx_exists(arena_printf(a, "%s/" BLOCK_META_FILE, path)))
        return add_candidate(u, path);
    if ((e = fsx_list(path, &names, &n)))
        return e;
    for (size_t i = 0; i < n && !e; i++)
        if (ulid_parse(slice_cstr(names[i]), &ulid))
            e = add_candidate(u, arena_printf(a, "%s/%s", path, names[i]));
    fsx_names_free(names, n);
    if (!e && u->blocks.len == before)
        return err_new(ERR_NOT_FOUND, "%s: there is no block in it", path);
    return e;
}

/* ---- one ---- */

static struct err *check_times(struct arena *a, const struct block_meta *m)
{
    int64_t now_ms = clock_wall_ms(&clock_system);

    if (m->min_t >= m->max_t)
        return err_new(ERR_CORRUPT, "meta.json: it ends (%s) before it begins (%s)",
                       ctl_time(a, m->max_t), ctl_time(a, m->min_t));
    if (m->max_t > now_ms)
        return err_new(ERR_INVALID, "it reaches into the future: to %s, and it is %s",
                       ctl_time(a, m->max_t), ctl_time(a, now_ms));
    return NULL;
}

static size_t without_summary(struct block_file *files, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (!slice_eq_cstr(files[i].path, BLOCK_SUMMARY_FILE))
            files[kept++] = files[i];
    return kept;
}

/* It says of which block it is, by the name that the block does not keep. */
static void leave_out_summary(struct arena *a, struct candidate *k)
{
    struct slice *sidecars = arena_array(a, struct slice, k->meta.n_sidecars);
    struct block_file *files = arena_array(a, struct block_file, k->meta.n_files);
    size_t kept = 0;

    for (size_t i = 0; i < k->meta.n_sidecars; i++)
        if (!slice_eq_cstr(k->meta.sidecars[i], BLOCK_SUMMARY_FILE))
            sidecars[kept++] = k->meta.sidecars[i];
    k->meta.sidecars = sidecars;
    k->meta.n_sidecars = kept;
    k->n_files = without_summary(k->files, k->n_files);
    if (k->meta.n_files)
        memcpy(files, k->meta.files, k->meta.n_files * sizeof(*files));
    k->meta.files = files;
    k->meta.n_files = without_summary(files, k->meta.n_files);
}

/* Its name in the bucket, and meta.json under that. */
static struct err *name_it(struct uploading *u, struct candidate *k)
{
    struct slice index;
    struct slice parts[3];
    uint8_t sum[4];
    struct buf b = {0};
    bool is_taken;
    uint32_t crc;
    struct err *e = ctl_send_is_taken(u->c, u->tenant, k->meta.ulid, k->meta_json, &is_taken);

    if (e || !is_taken)
        return e;
    if ((e = fsx_map(arena_printf(u->c->arena, "%s/index", k->path), &index)))
        return e;
    crc = hash_crc32c(index);
    fsx_unmap(index);
    memcpy(sum, &crc, sizeof(sum));
    parts[0] = SLICE("upload");
    parts[1] = slice_of(k->meta.ulid.bytes, sizeof(k->meta.ulid.bytes));
    parts[2] = slice_of(sum, sizeof(sum));
    k->meta.ulid = ulid_derive(ulid_time_ms(k->meta.ulid), parts, ORR_COUNT(parts));
    leave_out_summary(u->c->arena, k);
    ctl_say("%s: another block has its name, it becomes %s", k->path, ulid_print(k->meta.ulid).s);
    block_meta_write(&b, &k->meta);
    k->meta_json = arena_dup(u->c->arena, buf_slice(&b));
    buf_done(&b);
    return NULL;
}

static struct err *upload_one(struct uploading *u, struct candidate *k)
{
    struct ctl_send s = {.tenant = u->tenant,
                         .path = k->path,
                         .meta = &k->meta,
                         .files = k->files,
                         .n_files = k->n_files,
                         .progress = &u->progress};
    bool is_added = false;
    struct err *e;

    if ((e = check_times(u->c->arena, &k->meta)) ||
        (e = ctl_whole_check(k->path, &k->meta, k->meta.external)) || (e = name_it(u, k)))
        return e;
    s.n_files = k->n_files;
    s.meta_json = k->meta_json;
    s.entry = catalogue_block_of_meta(&k->meta);
    if ((e = ctl_send(u->c, &s, &is_added)))
        return e;
    u->added += is_added;
    u->there += !is_added;
    ctl_say("%s: %s %s, %s to %s, %llu series", k->path, ulid_print(k->meta.ulid).s,
            is_added ? "uploaded" : "was there already", ctl_time(u->c->arena, k->meta.min_t),
            ctl_time(u->c->arena, k->meta.max_t), (unsigned long long)k->meta.stats.series);
    return NULL;
}

/* A block that is wrong is named, and the others are sent. */
static struct err *upload_all(struct uploading *u)
{
    struct err *e = NULL;

    ctl_progress_begin(&u->progress, "uploading", u->bytes, true);
    for (size_t i = 0; i < u->blocks.len && !e; i++) {
        struct candidate *k = &u->blocks.ptr[i];

        e = upload_one(u, k);
        if (err_is(e, ERR_CORRUPT) || err_is(e, ERR_INVALID) || err_is(e, ERR_UNSUPPORTED)) {
            ctl_wrong(u->c, "%s: not uploaded: %s", k->path, err_msg(e));
            err_free(e);
            e = NULL;
        }
    }
    ctl_progress_end(&u->progress);
    return e;
}

struct err *ctl_block_upload(struct ctl *c)
{
    struct uploading u = {.c = c};
    struct err *e = NULL;

    if (!c->opts.tenant)
        return ctl_usage(c, "--tenant is missing");
    u.tenant = slice_cstr(c->opts.tenant);
    e = tenant_check(u.tenant);
    for (size_t i = 0; i < c->n_args && !e; i++)
        e = find_blocks(&u, c->args[i]);
    if (!e)
        e = upload_all(&u);
    if (u.added || u.there) /* who uploaded it may not have come to this */
        e = err_first(e, ctl_send_news(c, u.tenant));
    if (!e)
        ctl_say("%llu blocks uploaded, %llu were there already, %llu refused",
                (unsigned long long)u.added, (unsigned long long)u.there,
                (unsigned long long)c->wrong);
    vec_done(&u.blocks);
    return e;
}
