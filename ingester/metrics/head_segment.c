#include "ingester/metrics/head_segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/metrics/dropped_by.h"

struct head_registry {
    struct lock lock;
    VEC(struct head_seg *) segs; /* by tenant, then min_ms */
    struct dropped_by *dropped_by;
};

static int cmp_seg(const void *a, const void *b)
{
    const struct head_seg *x = *(struct head_seg *const *)a, *y = *(struct head_seg *const *)b;
    int c = strcmp(x->row.tenant, y->row.tenant);

    if (c)
        return c;
    if (x->row.min_ms != y->row.min_ms)
        return x->row.min_ms < y->row.min_ms ? -1 : 1;
    return strcmp(x->row.ulid, y->row.ulid);
}

static struct err *seg_open(struct slice tenant, const char *path, struct head_seg **ret)
{
    struct head_seg *seg = mem_new(struct head_seg);
    const struct block_meta *m;
    struct err *e;

    if (tenant.len >= sizeof(seg->row.tenant) || strlen(path) >= sizeof(seg->row.path)) {
        mem_free(seg);
        return err_new(ERR_INVALID, "segment %s: path or tenant is too long", path);
    }
    if ((e = block_reader_open_dir(path, &seg->reader))) {
        mem_free(seg);
        return e;
    }
    m = block_reader_meta(seg->reader);
    memcpy(seg->row.tenant, tenant.ptr, tenant.len);
    memcpy(seg->row.ulid, ulid_print(m->ulid).s, sizeof(seg->row.ulid));
    (void)snprintf(seg->row.path, sizeof(seg->row.path), "%s", path);
    seg->row.min_ms = m->min_t;
    seg->row.max_ms = m->max_t;
    seg->row.series = m->stats.series;
    seg->row.samples = m->stats.samples;
    seg->row.bytes = block_meta_bytes(m);
    seg->refs = 1;
    *ret = seg;
    return NULL;
}

struct err *head_registry_add(struct head *h, struct slice tenant, const char *path)
{
    struct head_registry *rg = h->registry;
    struct head_seg *seg;
    struct err *e = seg_open(tenant, path, &seg);

    if (e)
        return e;
    lock_take(&rg->lock);
    vec_push(&rg->segs, seg);
    qsort(rg->segs.ptr, rg->segs.len, sizeof(*rg->segs.ptr), cmp_seg);
    METRIC_SET(h->m.segments, (int64_t)rg->segs.len);
    lock_release(&rg->lock);
    return NULL;
}

static bool ends_with(const char *s, const char *end)
{
    return slice_has_suffix(slice_cstr(s), slice_cstr(end));
}

uint64_t head_dropped_by(struct head *h, struct slice tenant)
{
    return dropped_by_get(h->registry->dropped_by, tenant);
}

/* ---- opening ---- */

static struct err *open_entry(struct head *h, const char *tenant, const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct err *e = NULL;
    struct ulid id;

    if (ends_with(name, ".tmp") || ends_with(name, ".dropped")) {
        e = fsx_remove_tree(path);
    } else if (ulid_parse(slice_cstr(name), &id)) {
        e = head_registry_add(h, slice_cstr(tenant), path);
        if (e && !err_is(e, ERR_IO)) {
            /* its samples may be on other replicas; a start must not fail because of it */
            LOG_ERROR(head, "segment left out", KV_STR("path", path), KV_ERR(e));
            err_free(e);
            e = NULL;
        }
    }
    mem_free(path);
    return e;
}

static struct err *open_tenant(struct head *h, const char *root, const char *tenant)
{
    char *dir = mem_printf("%s/%s", root, tenant);
    char **names;
    size_t n;
    struct err *e = fsx_list(dir, &names, &n);

    if (!e) {
        for (size_t i = 0; i < n && !e; i++)
            e = open_entry(h, tenant, dir, names[i]);
        fsx_names_free(names, n);
    }
    mem_free(dir);
    return e;
}

struct err *head_registry_open(struct head *h)
{
    char *root = mem_printf("%s/segments", h->dir);
    char *dropped_by = mem_printf("%s/dropped-by", h->dir);
    char **names;
    size_t n;
    struct err *e;

    h->registry = mem_new(struct head_registry);
    lock_init(&h->registry->lock, LOCK_LEAF_MODULE);
    if (!(e = dropped_by_open(dropped_by, &h->registry->dropped_by)) && !(e = fsx_mkdirs(root)) &&
        !(e = fsx_list(root, &names, &n))) {
        for (size_t i = 0; i < n && !e; i++)
            e = open_tenant(h, root, names[i]);
        fsx_names_free(names, n);
    }
    mem_free(dropped_by);
    mem_free(root);
    return e;
}

void head_registry_close(struct head *h)
{
    if (!h->registry)
        return;
    VEC_FOREACH (seg, &h->registry->segs) {
        block_reader_close((*seg)->reader);
        mem_free(*seg);
    }
    vec_done(&h->registry->segs);
    dropped_by_close(h->registry->dropped_by);
    lock_done(&h->registry->lock);
    mem_free(h->registry);
    h->registry = NULL;
}

struct head_seg **head_registry_find(struct head *h, struct slice tenant, int64_t min_ms,
                                     int64_t max_ms, size_t *ret_n)
{
    struct head_registry *rg = h->registry;
    struct head_seg **list;
    size_t n = 0;

    lock_take(&rg->lock);
    list = mem_new_array(struct head_seg *, rg->segs.len + 1);
    VEC_FOREACH (segp, &rg->segs) {
        struct head_seg *seg = *segp;

        if (slice_eq_cstr(tenant, seg->row.tenant) && seg->row.min_ms <= max_ms &&
            seg->row.max_ms > min_ms) {
            seg->refs++;
            list[n++] = seg;
        }
    }
    lock_release(&rg->lock);
    *ret_n = n;
    return list;
}

static void seg_delete(struct head_seg *seg)
{
    char *gone = mem_printf("%s.dropped", seg->row.path);
    struct err *e;

    block_reader_close(seg->reader);
    /* renamed first, so that a crash half way leaves nothing that looks like a segment */
    e = rename(seg->row.path, gone) < 0 ? err_errno(ERR_IO, "rename %s", seg->row.path)
                                        : fsx_remove_tree(gone);
    if (e)
        LOG_WARN(head, "segment not removed", KV_STR("path", seg->row.path), KV_ERR(e));
    err_free(e);
    mem_free(gone);
    mem_free(seg);
}

void head_registry_unref(struct head *h, struct head_seg *seg)
{
    bool is_last;

    lock_take(&h->registry->lock);
    is_last = --seg->refs == 0;
    lock_release(&h->registry->lock);
    if (is_last)
        seg_delete(seg);
}

static struct head_seg *find_locked(struct head_registry *rg, struct slice tenant,
                                    struct slice ulid)
{
    VEC_FOREACH (seg, &rg->segs)
        if (slice_eq_cstr(tenant, (*seg)->row.tenant) && slice_eq_cstr(ulid, (*seg)->row.ulid))
            return *seg;
    return NULL;
}

void head_segments(struct head *h, struct head_segment **ret, size_t *ret_n)
{
    struct head_registry *rg = h->registry;

    lock_take(&rg->lock);
    *ret = mem_new_array(struct head_segment, rg->segs.len + 1);
    for (size_t i = 0; i < rg->segs.len; i++)
        (*ret)[i] = rg->segs.ptr[i]->row;
    *ret_n = rg->segs.len;
    lock_release(&rg->lock);
}

static struct err *not_found(struct slice tenant, struct slice ulid)
{
    return err_new(ERR_NOT_FOUND, "no segment %.*s of tenant %.*s", SLICE_ARG(ulid),
                   SLICE_ARG(tenant));
}

static bool has_segment(struct head_registry *rg, struct slice tenant, struct slice ulid)
{
    bool ret;

    lock_take(&rg->lock);
    ret = find_locked(rg, tenant, ulid) != NULL;
    lock_release(&rg->lock);
    return ret;
}

struct err *head_segment_dropped(struct head *h, struct slice tenant, struct slice ulid,
                                 uint64_t version)
{
    struct head_registry *rg = h->registry;
    struct head_seg *seg;
    struct err *e;

    if (!has_segment(rg, tenant, ulid))
        return not_found(tenant, ulid);
    /* First, so that no read finds the segment gone and does not hear of it. */
    if ((e = dropped_by_raise(rg->dropped_by, tenant, version)))
        return err_wrap(e, "segment %.*s stays", SLICE_ARG(ulid));
    lock_take(&rg->lock);
    seg = find_locked(rg, tenant, ulid);
    for (size_t i = 0; seg && i < rg->segs.len; i++) {
        if (rg->segs.ptr[i] == seg) {
            memmove(&rg->segs.ptr[i], &rg->segs.ptr[i + 1],
                    (rg->segs.len - i - 1) * sizeof(*rg->segs.ptr));
            rg->segs.len--;
            break;
        }
    }
    if (seg)
        seg->row.state = HEAD_SEGMENT_DROPPED;
    METRIC_SET(h->m.segments, (int64_t)rg->segs.len);
    lock_release(&rg->lock);
    if (!seg)
        return not_found(tenant, ulid);
    head_registry_unref(h, seg);
    return NULL;
}

struct err *head_segment_pin(struct head *h, struct slice tenant, struct slice ulid,
                             struct head_segment *ret)
{
    struct head_registry *rg = h->registry;
    struct head_seg *seg;

    lock_take(&rg->lock);
    seg = find_locked(rg, tenant, ulid);
    if (seg) {
        seg->refs++;
        *ret = seg->row;
        ret->pin = seg;
    }
    lock_release(&rg->lock);
    return seg ? NULL : not_found(tenant, ulid);
}

void head_segment_unpin(struct head *h, const struct head_segment *pinned)
{
    head_registry_unref(h, pinned->pin);
}
