#include "compactor/segflush.h"

#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"

#define ATTEMPTS 2 /* at bytes that came wrong */

struct flushing {
    const struct segflush_opts *opts;
    const struct plan_job *job;
    struct arena *arena;
    const char *dir; /* of this flush */
    VEC(struct blockmake_input) inputs;
    VEC(struct ulid) bad;
    struct ulid *ids; /* of the inputs, ascending */
    struct slice *id_texts;
    struct ulid *retired; /* when the flush began: names that it cannot have */
    size_t n_retired;
    struct tombstone_list *tombs; /* what is deleted, and is not to be in the block */
    struct ulid block;
    struct block_meta meta;
    bool is_uploaded; /* by an earlier attempt, whose change of the catalogue failed */
};

static bool must_stop(const struct flushing *f)
{
    return f->opts->stop && atomic_load(f->opts->stop);
}

/* ---- names ---- */

static int cmp_ulid(const void *a, const void *b)
{
    return ulid_cmp(*(const struct ulid *)a, *(const struct ulid *)b);
}

struct ulid segflush_block_id(struct slice tenant, const struct ulid *segments, size_t n)
{
    struct slice *parts = mem_new_array(struct slice, n + 2);
    int64_t newest_ms = 0;
    struct ulid id;

    parts[0] = SLICE("flush");
    parts[1] = tenant;
    for (size_t i = 0; i < n; i++) {
        parts[i + 2] = slice_of(segments[i].bytes, sizeof(segments[i].bytes));
        newest_ms = ORR_MAX(newest_ms, ulid_time_ms(segments[i]));
    }
    id = ulid_derive(newest_ms, parts, n + 2);
    mem_free(parts);
    return id;
}

static bool is_retired(const struct flushing *f, struct ulid block)
{
    for (size_t i = 0; i < f->n_retired; i++)
        if (ulid_eq(f->retired[i], block))
            return true;
    return false;
}

static void name_block(struct flushing *f)
{
    struct ulid first;

    f->ids = arena_array(f->arena, struct ulid, f->inputs.len);
    f->id_texts = arena_array(f->arena, struct slice, f->inputs.len);
    for (size_t i = 0; i < f->inputs.len; i++)
        f->ids[i] = f->inputs.ptr[i].ulid;
    qsort(f->ids, f->inputs.len, sizeof(*f->ids), cmp_ulid);
    for (size_t i = 0; i < f->inputs.len; i++)
        f->id_texts[i] = slice_cstr(arena_strdup(f->arena, ulid_print(f->ids[i]).s));
    first = blockmake_id(segflush_block_id(f->job->tenant, f->ids, f->inputs.len), f->tombs,
                         f->inputs.ptr, f->inputs.len);
    f->block = first;
    for (uint32_t i = 1; is_retired(f, f->block); i++)
        f->block = blockmake_again(first, i);
}

/* ---- fetch and verify ---- */

static bool is_wrong_bytes(const struct err *e)
{
    return err_is(e, ERR_CORRUPT) || err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT) ||
           err_is(e, ERR_TOO_LARGE);
}

static struct err *fetch_once(struct flushing *f, const struct plan_input *pin,
                              struct blockmake_input *in)
{
    struct segflush_metrics *m = f->opts->metrics;
    uint64_t bytes = 0;
    struct err *e;

    if ((e = fsx_remove_tree(in->dir)) ||
        (e = f->opts->fetch(f->opts->arg, f->job->tenant, pin, in->dir, &bytes)))
        return e;
    METRIC_ADD(m->fetched_bytes, bytes);
    return f->opts->signal->open_segment(in, f->job->tenant);
}

/* Takes e, which is the segment's own fault. */
static void leave_out(struct flushing *f, struct ulid segment, struct err *e)
{
    struct segflush_metrics *m = f->opts->metrics;

    if (err_is(e, ERR_NOT_FOUND)) {
        METRIC_ADD(m->gone_segments, 1);
        LOG_INFO(compactor, "segment is gone", KV_SLICE("tenant", f->job->tenant),
                 KV_STR("block", ulid_print(segment).s));
    } else {
        METRIC_ADD(m->bad_segments, 1);
        LOG_ERROR(compactor, "segment is corrupt, it is left out and stays with its ingester",
                  KV_SLICE("tenant", f->job->tenant), KV_STR("block", ulid_print(segment).s),
                  KV_ERR(e));
        vec_push(&f->bad, segment);
    }
    err_free(e);
}

static struct err *fetch_input(struct flushing *f, const struct plan_input *pin)
{
    struct blockmake_input in = {.ulid = pin->ulid};
    struct err *e = NULL;

    in.dir = arena_printf(f->arena, "%s/in/%s", f->dir, ulid_print(pin->ulid).s);
    for (int i = 0; i < ATTEMPTS; i++) {
        err_free(e);
        e = fetch_once(f, pin, &in);
        if (!is_wrong_bytes(e))
            break;
    }
    if (e && !is_wrong_bytes(e) && !err_is(e, ERR_NOT_FOUND))
        return e;
    if (e) {
        leave_out(f, pin->ulid, e);
        return fsx_remove_tree(in.dir);
    }
    METRIC_ADD(f->opts->metrics->segments, 1);
    vec_push(&f->inputs, in);
    return NULL;
}

static struct err *fetch_inputs(struct flushing *f)
{
    struct err *e = NULL;

    for (size_t i = 0; i < f->job->n && !e; i++)
        e = must_stop(f) ? err_new(ERR_CANCELED, "stopping") : fetch_input(f, &f->job->inputs[i]);
    return e;
}

/* ---- merge ---- */

static struct err *write_block(struct flushing *f)
{
    const struct block_meta meta = {.ulid = f->block,
                                    .level = 1,
                                    .origin = SLICE("compactor"),
                                    .tenant = f->job->tenant,
                                    .segments = f->id_texts,
                                    .n_segments = f->inputs.len};
    const struct blockmake_opts opts = {.inputs = f->inputs.ptr,
                                        .n = f->inputs.len,
                                        .tombstones = f->tombs,
                                        .dir = arena_printf(f->arena, "%s/out", f->dir),
                                        .meta = &meta,
                                        .stop = f->opts->stop,
                                        .stats = &f->opts->metrics->make};

    return f->opts->signal->make(&opts, f->arena, &f->meta);
}

static struct err *find_or_write(struct flushing *f)
{
    struct err *e = block_store_find(f->opts->store, signal_name(f->opts->signal), f->job->tenant,
                                     f->block, f->arena, &f->meta, &f->is_uploaded);

    return e || f->is_uploaded ? e : write_block(f);
}

/* Some input has wrong bytes that only the merge has come upon. False: no input is to blame. */
static bool leave_out_wrong(struct flushing *f)
{
    const struct signal *sig = f->opts->signal;
    size_t kept = 0, n = f->inputs.len;

    if (!sig->check_again)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct err *e = sig->check_again(&f->inputs.ptr[i]);

        if (e) {
            leave_out(f, f->inputs.ptr[i].ulid, e);
            sig->close(&f->inputs.ptr[i]);
        } else {
            f->inputs.ptr[kept++] = f->inputs.ptr[i];
        }
    }
    f->inputs.len = kept;
    return kept < n;
}

/* ---- the bucket ---- */

struct addition {
    const struct flushing *f;
    bool is_there, is_added; /* the block was there before; it was added */
    bool is_retired;         /* its files are about to be deleted */
};

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct addition *add = arg;
    const struct flushing *f = add->f;
    struct catalogue_block b;
    size_t named = 0;

    for (size_t i = 0; i < f->inputs.len; i++)
        named += catalogue_has_segment(c, f->id_texts[i]);
    add->is_there = catalogue_find(c, f->block) != NULL;
    add->is_retired = catalogue_is_retired(c, f->block);
    add->is_added = !add->is_there && named < f->inputs.len;
    *ret_changed = add->is_added;
    if (add->is_added) {
        struct err *e;

        if ((e = block_store_addable(f->opts->store, c, &f->meta)))
            return e;
        b = catalogue_block_of_meta(&f->meta);
        b.origin = f->opts->origin;
        catalogue_add(c, &b);
    }
    return NULL;
}

/* Nobody can add this block any more once its segments are named by others: the edit above looks,
 * and a compaction that replaces those others takes the names along. */
static struct err *take_back(struct flushing *f)
{
    return block_store_delete(
        f->opts->store,
        block_store_prefix(f->arena, signal_name(f->opts->signal), f->job->tenant, f->block));
}

static void count_waste(struct flushing *f, const struct addition *add, const struct err *e)
{
    struct blockmake_waste *w = &f->opts->metrics->waste;

    if (f->is_uploaded) /* it was made by another attempt */
        return;
    METRIC_ADD(w->failed, e != NULL);
    METRIC_ADD(w->twice, !e && add->is_there);
    METRIC_ADD(w->outdated, !e && !add->is_there && !add->is_added);
}

static struct err *publish(struct flushing *f, struct segflush_result *ret)
{
    struct segflush_metrics *m = f->opts->metrics;
    const char *dir = arena_printf(f->arena, "%s/out/%s", f->dir, ulid_print(f->block).s);
    struct addition add = {.f = f};
    struct catalogue *c = NULL;
    struct err *e;

    e = f->is_uploaded ? NULL
                       : block_store_upload(f->opts->store, signal_name(f->opts->signal),
                                            f->job->tenant, dir, &f->meta);
    if (!e)
        e = catalogue_update(f->opts->store, signal_name(f->opts->signal), f->job->tenant,
                             add_block, &add, &c);
    count_waste(f, &add, e);
    if (e)
        return e;
    ret->version = catalogue_version(c);
    catalogue_free(c);
    if (!add.is_added) {
        METRIC_ADD(m->repeated, 1);
        if (!add.is_there && !add.is_retired && (e = take_back(f))) {
            LOG_WARN(compactor, "block that is not needed was not deleted",
                     KV_SLICE("tenant", f->job->tenant), KV_STR("block", ulid_print(f->block).s),
                     KV_ERR(e));
            err_free(e); /* it is in nobody's way */
        }
        return NULL;
    }
    METRIC_ADD(m->flushes, 1);
    METRIC_ADD(m->taken_up, f->is_uploaded);
    METRIC_ADD(m->block_bytes, block_meta_bytes(&f->meta));
    METRIC_ADD(m->samples, f->meta.stats.samples);
    return NULL;
}

/* ---- all of it ---- */

static void note_retired(struct flushing *f, const struct catalogue *c)
{
    const struct catalogue_retired *r = catalogue_retired(c, &f->n_retired);

    f->retired = arena_array(f->arena, struct ulid, f->n_retired);
    for (size_t i = 0; i < f->n_retired; i++)
        f->retired[i] = r[i].ulid;
}

/* Between the plan and now others may have named all segments, or the block has expired: a round is long. *ret_version: of the
 * catalogue that names all; 0: none does. */
static struct err *look_first(struct flushing *f, uint64_t *ret_version)
{
    struct catalogue *c;
    bool is_done = true;
    struct err *e =
        catalogue_load(f->opts->store, signal_name(f->opts->signal), f->job->tenant, &c);

    if (e)
        return e;
    for (size_t i = 0; i < f->job->n && is_done; i++)
        is_done = catalogue_has_segment(c, slice_cstr(ulid_print(f->job->inputs[i].ulid).s));
    *ret_version = is_done ? catalogue_version(c) : 0;
    note_retired(f, c);
    catalogue_free(c);
    METRIC_ADD(f->opts->metrics->repeated, is_done);
    return NULL;
}

static struct err *make_block(struct flushing *f, struct segflush_result *ret)
{
    struct err *e = look_first(f, &ret->version);

    if (e || ret->version || (e = fetch_inputs(f)))
        return e;
    /* before the name, of which they are part */
    if (f->inputs.len &&
        (e = signal_tombstones(f->opts->signal, f->opts->store, f->job->tenant, &f->tombs)))
        return e;
    while (f->inputs.len) {
        name_block(f);
        e = find_or_write(f);
        if (!is_wrong_bytes(e) || !leave_out_wrong(f))
            break;
        err_free(e);
        e = NULL;
    }
    if (f->inputs.len == 0) {
        METRIC_ADD(f->opts->metrics->empty, 1);
        return NULL;
    }
    if (e || (e = publish(f, ret)))
        return e;
    ret->block = f->block;
    ret->series = f->meta.stats.series;
    ret->samples = f->meta.stats.samples;
    ret->bytes = block_meta_bytes(&f->meta);
    return NULL;
}

static void clean_up(struct flushing *f)
{
    struct err *e;

    VEC_FOREACH (in, &f->inputs)
        f->opts->signal->close(in);
    vec_done(&f->inputs);
    tombstone_list_unref(f->tombs);
    if ((e = fsx_remove_tree(f->dir)))
        LOG_WARN(compactor, "working directory not removed", KV_STR("path", f->dir), KV_ERR(e));
    err_free(e);
}

struct err *segflush_run(const struct segflush_opts *opts, const struct plan_job *job,
                         struct arena *a, struct segflush_result *ret)
{
    struct flushing f = {.opts = opts, .job = job, .arena = a};
    struct segflush_result result = {0};
    struct ulid *all = arena_array(a, struct ulid, job->n);
    struct err *e;

    for (size_t i = 0; i < job->n; i++)
        all[i] = job->inputs[i].ulid;
    f.dir = arena_printf(a, "%s/%s", opts->work_dir,
                         ulid_print(segflush_block_id(job->tenant, all, job->n)).s);
    if (!(e = fsx_remove_tree(f.dir)))
        e = make_block(&f, &result);
    clean_up(&f);
    result.bad = arena_array(a, struct ulid, f.bad.len);
    result.n_bad = f.bad.len;
    if (f.bad.len)
        memcpy(result.bad, f.bad.ptr, f.bad.len * sizeof(*result.bad));
    vec_done(&f.bad);
    *ret = result;
    return err_wrap(e, "flush %s of tenant %.*s, window %lld", opts->signal->name,
                    SLICE_ARG(job->tenant), (long long)job->window_ms);
}
