#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/block/catalogue.h"
#include "ingester/flush_internal.h"

/* A segment whose block is in the catalogue. */
struct uploaded {
    const struct flush_signal *signal;
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
    struct catalogue_origin origin;
};

/* Samples may be ahead of the clock that they are written at. */
#define SPARE_MS 3600000

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
    b.origin = a->origin;
    catalogue_add(c, &b);
    return NULL;
}

static struct catalogue_origin origin_of(struct flush_upload *u, struct slice signal,
                                         int64_t from_ms)
{
    if (from_ms < clock_wall_ms(u->opts.clock) - CATALOGUE_ORIGIN_MS)
        return (struct catalogue_origin){.zone = SLICE_EMPTY};
    return u->opts.ops.origin(u->opts.ops.arg, signal, from_ms);
}

static struct err *upload(struct flush_upload *u, const struct flush_signal *sig,
                          const struct flush_waiting *w, struct flush_block *b,
                          uint64_t *ret_version)
{
    struct slice tenant = slice_cstr(w->tenant), id = slice_cstr(w->ulid),
                 name = slice_cstr(sig->name);
    struct catalogue *cat = NULL;
    struct addition add;
    struct err *e;

    if ((e = block_store_upload(u->opts.store, name, tenant, b->dir, &b->meta)))
        return e;
    b->meta.segments = &id;
    b->meta.n_segments = 1;
    add =
        (struct addition){u->opts.store, b->meta, id, origin_of(u, name, b->meta.min_t - SPARE_MS)};
    if ((e = catalogue_update(u->opts.store, name, tenant, add_block, &add, &cat)))
        return e;
    *ret_version = catalogue_version(cat);
    catalogue_free(cat);
    return NULL;
}

/* *ret_version: of the catalogue that names it now. */
static struct err *bring(struct flush_upload *u, const struct flush_signal *sig,
                         const struct flush_waiting *w, const atomic_bool *stop,
                         uint64_t *ret_version)
{
    struct slice tenant = slice_cstr(w->tenant), name = slice_cstr(sig->name);
    struct catalogue *cat = NULL;
    struct flush_block b = {0};
    struct arena *a;
    struct err *e;
    bool is_named;

    if ((e = catalogue_load(u->opts.store, name, tenant, &cat)))
        return e;
    is_named = catalogue_has_segment(cat, slice_cstr(w->ulid));
    *ret_version = catalogue_version(cat);
    catalogue_free(cat);
    if (is_named)
        return NULL;
    a = arena_new(0);
    if (!(e = sig->open(&u->opts, a, w, stop, &b))) {
        e = upload(u, sig, w, &b, ret_version);
        sig->close(&u->opts, &b);
    }
    arena_free(a);
    return e;
}

static bool is_done(const struct flush_upload *u, const struct flush_signal *sig,
                    const struct flush_waiting *w)
{
    VEC_FOREACH (d, &u->done)
        if (d->signal == sig && strcmp(d->ulid, w->ulid) == 0 && strcmp(d->tenant, w->tenant) == 0)
            return true;
    return false;
}

static void upload_and_note(struct flush_upload *u, const struct flush_signal *sig,
                            const struct flush_waiting *w, const atomic_bool *stop)
{
    uint64_t version = 0;
    struct err *e = bring(u, sig, w, stop, &version);
    struct uploaded *d;

    if (e) {
        METRIC_ADD(u->m->upload_failures, 1);
        LOG_ERROR(flush, "segment not uploaded, it stays here", KV_STR("signal", sig->name),
                  KV_STR("tenant", w->tenant), KV_STR("block", w->ulid), KV_ERR(e));
        err_free(e);
        return;
    }
    u->opts.ops.published(u->opts.ops.arg, slice_cstr(sig->name), slice_cstr(w->tenant), version);
    METRIC_ADD(u->m->uploads, 1);
    LOG_WARN(flush, "no compactor took a segment, it was uploaded as a block",
             KV_STR("signal", sig->name), KV_STR("tenant", w->tenant), KV_STR("block", w->ulid));
    d = vec_add(&u->done);
    d->signal = sig;
    memcpy(d->tenant, w->tenant, sizeof(d->tenant));
    memcpy(d->ulid, w->ulid, sizeof(d->ulid));
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
        e = d->signal->drop(&u->opts, slice_cstr(d->tenant), slice_cstr(d->ulid), d->version);
        if (e &&
            !err_is(e, ERR_NOT_FOUND)) { /* gone already is as good: a compactor told us first */
            LOG_ERROR(flush,
                      "a segment that was uploaded cannot be dropped, it will be tried again",
                      KV_STR("signal", d->signal->name), KV_STR("tenant", d->tenant),
                      KV_STR("block", d->ulid), KV_ERR(e));
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

static void upload_waiting(struct flush_upload *u, const struct flush_signal *sig, int64_t after_ms,
                           const atomic_bool *stop)
{
    int64_t now_ms = clock_wall_ms(u->opts.clock);
    struct flush_waiting *rows;
    size_t n = sig->list(&u->opts, &rows);

    for (size_t i = 0; i < n && !atomic_load(stop); i++)
        if (now_ms - rows[i].since_ms >= after_ms && !is_done(u, sig, &rows[i])) {
            if (!may_write(u))
                break;
            upload_and_note(u, sig, &rows[i], stop);
        }
    mem_free(rows);
}

void flush_upload_run(struct flush_upload *u, bool is_leaving, const atomic_bool *stop)
{
    int64_t after_ms = u->opts.self_upload_after_ms;

    drop_visible(u);
    if (!u->opts.store || !after_ms)
        return;
    if (is_leaving)
        after_ms = ORR_MIN(after_ms, (int64_t)FLUSH_LEAVE_UPLOAD_MS);
    upload_waiting(u, &flush_signal_metrics, after_ms, stop);
    upload_waiting(u, &flush_signal_logs, after_ms, stop);
    upload_waiting(u, &flush_signal_traces, after_ms, stop);
}
