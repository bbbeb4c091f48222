/* Segments: directories of files of cut traces. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "ingester/traces/tracehead_internal.h"

#define SUFFIX ".pieces"

/* ---- files ---- */

struct err *tracefile_open(const char *path, uint32_t number, struct tracefile **ret)
{
    struct tracefile *f = mem_new(struct tracefile);
    struct err *e = fsx_map(path, &f->bytes);

    f->refs = 1;
    f->number = number;
    if (!e && (e = tracesegment_open(f->bytes, &f->seg)))
        fsx_unmap(f->bytes);
    if (e) {
        mem_free(f);
        return err_wrap(e, "%s", path);
    }
    *ret = f;
    return NULL;
}

void tracefile_unref(struct tracefile *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    fsx_unmap(f->bytes);
    mem_free(f);
}

void tracesegdir_add(struct tracesegdir *s, struct tracefile *f)
{
    const struct tracesegment_totals *t = &f->seg.totals;

    vec_push(&s->files, f);
    s->last_number = ORR_MAX(s->last_number, f->number);
    s->traces += t->traces;
    s->spans += t->spans;
    s->bytes += t->bytes;
}

/* ---- directories ---- */

void tracesegdir_unref(struct tracesegdir *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    VEC_FOREACH (f, &s->files)
        tracefile_unref(*f);
    vec_done(&s->files);
    mem_free(s->path);
    mem_free(s);
}

void tracesegdir_cut(struct tracehead *h, struct tracesegdir *s, int64_t cut_ms)
{
    s->is_cut = true;
    s->cut_ms = cut_ms;
    METRIC_ADD(h->m.segments_cut, 1);
    METRIC_ADD(h->m.segments, 1);
}

static char *tenant_path(const struct tracehead *h, const struct tracetenant *t)
{
    return mem_printf("%s/segments/%s", h->dir, t->id);
}

static struct err *make_dir(const char *parent, const char *path)
{
    struct err *e = fsx_mkdirs(path);

    return e ? e : fsx_sync_dir(parent);
}

static struct ulid new_id(const struct tracehead *h)
{
    struct rng r;
    uint64_t random[2];

    rng_seed_system(&r);
    random[0] = rng_u64(&r);
    random[1] = rng_u64(&r);
    return ulid_make(clock_wall_ms(h->opts.clock), (const uint8_t *)random);
}

struct err *tracesegdir_growing(struct tracehead *h, struct tracetenant *t, int64_t window_ms,
                                struct tracesegdir **ret)
{
    struct tracesegdir *s;
    char *parent;
    struct err *e;

    VEC_FOREACH (x, &t->segments)
        if (!(*x)->is_cut && (*x)->window_ms == window_ms) {
            *ret = *x;
            return NULL;
        }
    s = mem_new(struct tracesegdir);
    s->refs = 1;
    s->window_ms = window_ms;
    s->id = new_id(h);
    parent = tenant_path(h, t);
    s->path = mem_printf("%s/%lld-%s", parent, (long long)window_ms, ulid_print(s->id).s);
    e = make_dir(parent, s->path);
    mem_free(parent);
    if (e) {
        tracesegdir_unref(s);
        return e;
    }
    lock_take(&h->lock);
    vec_push(&t->segments, s);
    lock_release(&h->lock);
    *ret = s;
    return NULL;
}

/* ---- at the start ---- */

static bool parse_name(const char *name, int64_t *ret_window_ms, struct ulid *ret)
{
    struct slice rest = slice_cstr(name), window;

    return slice_split(&rest, '-', &window) && slice_to_i64(window, ret_window_ms) &&
           ulid_parse(rest, ret);
}

static struct err *load_files(struct tracesegdir *s)
{
    char **names = NULL;
    size_t n = 0;
    struct err *e = fsx_list(s->path, &names, &n);

    for (size_t i = 0; !e && i < n; i++) {
        struct slice name = slice_cstr(names[i]);
        struct tracefile *f = NULL;
        uint64_t number;
        char *path;

        if (!slice_has_suffix(name, SLICE(SUFFIX)) ||
            !slice_to_u64(slice_sub(name, 0, name.len - (sizeof(SUFFIX) - 1)), &number))
            continue;
        path = mem_printf("%s/%s", s->path, names[i]);
        e = tracefile_open(path, (uint32_t)number, &f);
        if (!e) {
            tracesegdir_add(s, f);
        } else if (err_is(e, ERR_CORRUPT)) {
            /* Torn by a crash before it was synced: then the log has its traces. */
            LOG_ERROR(head, "a file of cut traces cannot be read, it is left out", KV_ERR(e));
            err_free(e);
            e = NULL;
        }
        mem_free(path);
    }
    fsx_names_free(names, n);
    return e;
}

static struct err *load_one(struct tracehead *h, struct tracetenant *t, const char *parent,
                            const char *name)
{
    int64_t now_ms = clock_wall_ms(h->opts.clock);
    struct tracesegdir *s = mem_new(struct tracesegdir);
    struct err *e;

    s->refs = 1;
    s->path = mem_printf("%s/%s", parent, name);
    if (!parse_name(name, &s->window_ms, &s->id)) {
        e = fsx_remove_tree(s->path); /* one that was being dropped */
        tracesegdir_unref(s);
        return e;
    }
    if ((e = load_files(s)) || !s->files.len) {
        if (!e)
            e = fsx_remove_tree(s->path);
        tracesegdir_unref(s);
        return e;
    }
    tracesegdir_cut(h, s, ORR_MIN(now_ms, s->window_ms + TRACEHEAD_WINDOW_MS + h->opts.grace_ms));
    METRIC_ADD(h->m.segment_bytes, (int64_t)s->bytes);
    vec_push(&t->segments, s);
    return NULL;
}

static struct err *load_tenant(struct tracehead *h, const char *name)
{
    struct tracetenant *t = tracehead_tenant(h, slice_cstr(name));
    char *parent = tenant_path(h, t), **names = NULL;
    size_t n = 0;
    struct err *e = fsx_list(parent, &names, &n);

    for (size_t i = 0; !e && i < n; i++)
        e = load_one(h, t, parent, names[i]);
    fsx_names_free(names, n);
    mem_free(parent);
    return e;
}

struct err *tracesegdirs_load(struct tracehead *h)
{
    char *path = mem_printf("%s/segments", h->dir), **names = NULL;
    size_t n = 0;
    struct err *e = fsx_list(path, &names, &n);

    for (size_t i = 0; !e && i < n; i++)
        e = load_tenant(h, names[i]);
    fsx_names_free(names, n);
    mem_free(path);
    return e;
}

/* ---- for compactors ---- */

static void put_row(const struct tracetenant *t, const struct tracesegdir *s,
                    struct tracehead_segment *ret)
{
    *ret = (struct tracehead_segment){.min_ms = s->window_ms,
                                      .max_ms = s->window_ms + TRACEHEAD_WINDOW_MS,
                                      .traces = s->traces,
                                      .spans = s->spans,
                                      .bytes = s->bytes,
                                      .files = (uint32_t)s->files.len,
                                      .cut_ms = s->cut_ms};
    (void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", t->id);
    (void)snprintf(ret->ulid, sizeof(ret->ulid), "%s", ulid_print(s->id).s);
}

static int by_tenant_and_window(const void *a, const void *b)
{
    const struct tracehead_segment *x = a, *y = b;
    int c = strcmp(x->tenant, y->tenant);

    if (c)
        return c;
    if (x->min_ms != y->min_ms)
        return x->min_ms < y->min_ms ? -1 : 1;
    return strcmp(x->ulid, y->ulid);
}

void tracehead_segments(struct tracehead *h, struct tracehead_segment **ret, size_t *ret_n)
{
    VEC(struct tracehead_segment) rows = {0};

    lock_take(&h->lock);
    VEC_FOREACH (t, &h->by_number)
        VEC_FOREACH (s, &(*t)->segments)
            if ((*s)->is_cut)
                put_row(*t, *s, vec_add(&rows));
    lock_release(&h->lock);
    if (rows.len)
        qsort(rows.ptr, rows.len, sizeof(*rows.ptr), by_tenant_and_window);
    *ret = rows.ptr;
    *ret_n = rows.len;
}

/* The lock is held. NULL: there is no such, or it grows. */
static struct tracesegdir *find_cut(struct tracehead *h, struct slice tenant, struct slice ulid,
                                    struct tracetenant **ret_tenant)
{
    struct tracetenant *t = tracehead_tenant_find(h, tenant);
    struct ulid id;

    if (!t || !ulid_parse(ulid, &id))
        return NULL;
    *ret_tenant = t;
    VEC_FOREACH (s, &t->segments)
        if ((*s)->is_cut && ulid_eq((*s)->id, id))
            return *s;
    return NULL;
}

struct err *tracehead_segment_pin(struct tracehead *h, struct slice tenant, struct slice ulid,
                                  struct tracehead_segment *ret)
{
    struct tracetenant *t;
    struct tracesegdir *s;

    lock_take(&h->lock);
    if ((s = find_cut(h, tenant, ulid, &t))) {
        put_row(t, s, ret);
        (void)atomic_fetch_add(&s->refs, 1);
        ret->pin = s;
    }
    lock_release(&h->lock);
    return s ? NULL
             : err_new(ERR_NOT_FOUND, "there is no segment of traces %.*s here", SLICE_ARG(ulid));
}

void tracehead_segment_unpin(struct tracehead *h, const struct tracehead_segment *pinned)
{
    (void)h;
    tracesegdir_unref(pinned->pin);
}

bool tracehead_segment_file(const struct tracehead_segment *pinned, size_t i, uint32_t *ret_number,
                            struct slice *ret_bytes)
{
    const struct tracesegdir *s = pinned->pin;

    if (i >= s->files.len)
        return false;
    *ret_number = s->files.ptr[i]->number;
    *ret_bytes = s->files.ptr[i]->bytes;
    return true;
}

/* ---- dropping ---- */

/* By one rename, so that after a crash all of it is there or nothing. */
static struct err *remove_dir(const struct tracehead *h, const struct tracetenant *t,
                              const struct tracesegdir *s)
{
    char *parent = tenant_path(h, t);
    char *gone = mem_printf("%s/dropped-%s", parent, ulid_print(s->id).s);
    struct err *e = NULL, *later;

    if (rename(s->path, gone))
        e = err_errno(ERR_IO, "rename %s", s->path);
    if (!e && !(e = fsx_sync_dir(parent)) && (later = fsx_remove_tree(gone))) {
        LOG_WARN(head, "a dropped segment of traces is removed at the next start", KV_ERR(later));
        err_free(later);
    }
    mem_free(gone);
    mem_free(parent);
    return e;
}

static void forget(struct tracehead *h, struct tracetenant *t, struct tracesegdir *s)
{
    size_t keep = 0;

    lock_take(&h->lock);
    VEC_FOREACH (x, &t->segments)
        if (*x != s)
            t->segments.ptr[keep++] = *x;
    t->segments.len = keep;
    lock_release(&h->lock);
    METRIC_ADD(h->m.segments, -1);
    METRIC_ADD(h->m.segment_bytes, -(int64_t)s->bytes);
    METRIC_ADD(h->m.segments_dropped, 1);
    tracesegdir_unref(s);
}

struct err *tracehead_segment_dropped(struct tracehead *h, struct slice tenant, struct slice ulid,
                                      uint64_t version)
{
    struct tracetenant *t;
    struct tracesegdir *s;
    struct err *e;

    lock_take(&h->cutting);
    lock_take(&h->lock);
    s = find_cut(h, tenant, ulid, &t);
    lock_release(&h->lock);
    if (!s)
        e = err_new(ERR_NOT_FOUND, "there is no segment of traces %.*s here", SLICE_ARG(ulid));
    else if (!(e = dropped_by_raise(h->dropped_by, tenant, version)) && !(e = remove_dir(h, t, s)))
        forget(h, t, s);
    if (e && s)
        METRIC_ADD(h->m.drop_failures, 1);
    lock_release(&h->cutting);
    return e;
}
