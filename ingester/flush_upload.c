#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/block/catalogue.h"
#include "ingester/flush_internal.h"

#define SIGNAL SLICE("metrics")

/* A segment whose block is in the catalogue. */
struct uploaded {
    char tenant[152], ulid[27];
    uint64_t version; /* that names it */
    int64_t
        visible_ms; /* mono: when every reader is expected to know; who does not is told by the answers */
};

struct flush_upload {
    struct flush_opts opts;
    struct flush_metrics *m;
    VEC(struct uploaded) done;
    bool has_told; /* that nothing is uploaded */
};

struct flush_upload *flush_upload_new(const struct flush_opts *opts, struct flush_metrics *m)
{
    struct flush_upload *u = mem_new(struct flush_upload);

    u->opts = *opts;
    u->m = m;
    return u;
}

void flush_upload_free(struct flush_upload *u)
{
    if (!u)
        return;
    vec_done(&u->done);
    mem_free(u);
}

/* ---- one segment ---- */

struct addition {
    struct objstore *store;
    struct block_meta meta;
    struct slice segment;
};

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct addition *a = arg;
    struct catalogue_block b;
    struct err *e;

    /* A compactor may have been here meanwhile; then its block holds the data. */
    *ret_changed = !catalogue_has_segment(c, a->segment);
    if (!*ret_changed)
        return NULL;
    if ((e = block_store_addable(a->store, c, &a->meta)))
        return e;
    b = catalogue_block_of_meta(&a->meta);
    catalogue_add(c, &b);
    return NULL;
}

static struct err *read_meta(struct arena *a, const struct head_segment *seg,
                             struct block_meta *ret)
{
    char *path = mem_printf("%s/%s", seg->path, BLOCK_META_FILE);
    struct buf text = {0};
    struct err *e = fsx_read(path, BLOCK_META_MAX_BYTES, &text);

    if (!e)
        e = block_meta_parse(a, arena_dup(a, buf_slice(&text)), ret);
    buf_done(&text);
    mem_free(path);
    return e;
}

static struct err *upload(struct flush_upload *u, struct arena *a, const struct head_segment *seg,
                          uint64_t *ret_version)
{
    struct slice tenant = slice_cstr(seg->tenant), id = slice_cstr(seg->ulid);
    struct catalogue *cat = NULL;
    struct addition add;
    struct block_meta meta;
    struct err *e;

    if ((e = catalogue_load(u->opts.store, SIGNAL, tenant, &cat)))
        return e;
    if (!catalogue_has_segment(cat, id)) {
        if ((e = read_meta(a, seg, &meta)) ||
            (e = block_store_upload(u->opts.store, SIGNAL, tenant, seg->path, &meta)))
            goto out;
        meta.segments = &id;
        meta.n_segments = 1;
        add = (struct addition){u->opts.store, meta, id};
        catalogue_free(cat);
        cat = NULL;
        if ((e = catalogue_update(u->opts.store, SIGNAL, tenant, add_block, &add, &cat)))
            goto out;
    }
    *ret_version = catalogue_version(cat);
    u->opts.ops.published(u->opts.ops.arg, tenant, *ret_version);
out:
    catalogue_free(cat);
    return e;
}

static struct uploaded *find(struct flush_upload *u, const struct head_segment *seg)
{
    VEC_FOREACH (d, &u->done)
        if (strcmp(d->ulid, seg->ulid) == 0 && strcmp(d->tenant, seg->tenant) == 0)
            return d;
    return NULL;
}

static void upload_and_note(struct flush_upload *u, const struct head_segment *seg)
{
    struct arena *a = arena_new(0);
    struct head_segment pinned;
    struct err *e =
        head_segment_pin(u->opts.head, slice_cstr(seg->tenant), slice_cstr(seg->ulid), &pinned);
    struct uploaded *d;
    uint64_t version = 0;

    if (!e) {
        e = upload(u, a, seg, &version);
        head_segment_unpin(u->opts.head, &pinned);
    }
    arena_free(a);
    if (e) {
        METRIC_ADD(u->m->upload_failures, 1);
        LOG_ERROR(flush, "segment not uploaded, it stays here", KV_STR("tenant", seg->tenant),
                  KV_STR("block", seg->ulid), KV_ERR(e));
        err_free(e);
        return;
    }
    METRIC_ADD(u->m->uploads, 1);
    LOG_WARN(flush, "no compactor took a segment, it was uploaded as a block",
             KV_STR("tenant", seg->tenant), KV_STR("block", seg->ulid));
    d = vec_add(&u->done);
    memcpy(d->tenant, seg->tenant, sizeof(d->tenant));
    memcpy(d->ulid, seg->ulid, sizeof(d->ulid));
    d->version = version;
    d->visible_ms = clock_mono_ms(u->opts.clock) + u->opts.visible_after_ms;
}

static void drop_visible(struct flush_upload *u)
{
    for (size_t i = u->done.len; i-- > 0;) {
        struct uploaded *d = &u->done.ptr[i];
        struct err *e;

        if (clock_mono_ms(u->opts.clock) < d->visible_ms)
            continue;
        e = head_segment_dropped(u->opts.head, slice_cstr(d->tenant), slice_cstr(d->ulid),
                                 d->version);
        if (e &&
            !err_is(e, ERR_NOT_FOUND)) { /* gone already is as good: a compactor told us first */
            LOG_ERROR(flush,
                      "a segment that was uploaded cannot be dropped, it will be tried again",
                      KV_STR("tenant", d->tenant), KV_STR("block", d->ulid), KV_ERR(e));
            err_free(e);
            continue;
        }
        err_free(e);
        vec_remove_swap(&u->done, i);
    }
}

/* Where puts are not conditional, a catalogue has one writer, a compactor (common/block/writelease.h). */
static bool may_write(struct flush_upload *u)
{
    bool has_one_writer = false;
    struct err *e = objstore_needs_one_writer(u->opts.store, &has_one_writer);

    if (e) {
        METRIC_ADD(u->m->upload_failures, 1);
        LOG_ERROR(flush, "segments not uploaded, they stay here", KV_ERR(e));
        err_free(e);
        return false;
    }
    if (has_one_writer && !u->has_told)
        LOG_WARN(
            flush,
            "no compactor takes segments, and they are not uploaded as blocks: the bucket has no "
            "conditional puts, so that compactors alone may name blocks (s3.one-writer)");
    u->has_told = has_one_writer;
    return !has_one_writer;
}

void flush_upload_run(struct flush_upload *u, bool is_leaving)
{
    int64_t now_ms = clock_wall_ms(u->opts.clock), after_ms = u->opts.self_upload_after_ms;
    struct head_segment *rows;
    struct ulid id;
    size_t n;

    drop_visible(u);
    if (!u->opts.store || !after_ms)
        return;
    if (is_leaving)
        after_ms = ORR_MIN(after_ms, (int64_t)FLUSH_LEAVE_UPLOAD_MS);
    head_segments(u->opts.head, &rows, &n);
    for (size_t i = 0; i < n; i++)
        if (rows[i].state == HEAD_SEGMENT_READY && ulid_parse(slice_cstr(rows[i].ulid), &id) &&
            now_ms - ulid_time_ms(id) >= after_ms && !find(u, &rows[i])) {
            if (!may_write(u))
                break;
            upload_and_note(u, &rows[i]);
        }
    mem_free(rows);
}
