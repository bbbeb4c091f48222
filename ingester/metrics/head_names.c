/* Label names and values, metadata, exemplars, status: small answers about many series. */
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/slice_sort.h"
#include "common/block/sidecar.h"
#include "ingester/metrics/head_part.h"
#include "ingester/metrics/head_segment.h"

static struct err *check_ready(const struct head *h)
{
    return head_is_ready(h) ? NULL
                            : err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
}

/* ---- names and values ---- */

struct listing {
    const struct head_query *q;
    struct head_tenant *tenant;
    const struct slice *name; /* NULL: names, else values of it */
    struct head_range range;
    struct buf out; /* lstr each */
    size_t n;
    int64_t match_ns;
    struct err *err;
};

static void list_values(struct listing *l, const struct head_index *x, const roaring_bitmap_t *of)
{
    int64_t name = head_index_name(x, *l->name);

    if (name < 0)
        return;
    VEC_FOREACH (id, &x->names.ptr[name]->pairs) {
        const struct head_pair *p = head_pair_at(x, *id);

        if (p->n && (!of || head_posting_intersects(p, of))) {
            buf_lstr(&l->out, head_value_text(p->value));
            l->n++;
        }
    }
}

static bool name_is_used(const struct head_index *x, const struct head_name *name,
                         const roaring_bitmap_t *of)
{
    VEC_FOREACH (id, &name->pairs) {
        const struct head_pair *p = head_pair_at(x, *id);

        if (p->n && (!of || head_posting_intersects(p, of)))
            return true;
    }
    return false;
}

static bool run_listing(struct head_shard *sh, void *arg)
{
    struct listing *l = arg;
    struct head_ts *ts = l->tenant ? l->tenant->ts[sh->index] : NULL;
    roaring_bitmap_t *of;

    if (!ts || ts->max_ms < l->q->min_ms || ts->min_ms > l->q->max_ms)
        return false;
    if (!head_match_prepare(ts, l->q->matchers, &l->match_ns)) {
        if (l->match_ns > HEAD_MATCH_MAX_NS)
            l->err = head_match_costly();
        return !l->err;
    }
    if (head_range_step(&l->range, ts, l->q))
        return true;
    of = l->range.found;
    l->range.found = NULL;
    if (!of && l->q->matchers.n)
        of = head_match(ts, l->q->matchers);
    if (l->name) {
        list_values(l, &ts->index, of);
    } else {
        VEC_FOREACH (np, &ts->index.names) {
            if (name_is_used(&ts->index, *np, of)) {
                buf_lstr(&l->out, (*np)->text);
                l->n++;
            }
        }
    }
    if (of)
        roaring_bitmap_free(of);
    return false;
}

static struct err *list_segment(const struct head_seg *seg, const struct head_query *q,
                                const struct slice *name, struct arena *a, struct block_names *ret)
{
    struct block_refs refs;
    struct err *e;

    if (!q->matchers.n)
        return name ? block_reader_label_values(seg->reader, a, *name, ret)
                    : block_reader_label_names(seg->reader, a, ret);
    if ((e = block_reader_select_range(seg->reader, a, q->matchers, q->min_ms, q->max_ms, &refs)))
        return e;
    return name ? block_reader_values_of(seg->reader, a, refs, *name, ret)
                : block_reader_names_of(seg->reader, a, refs, ret);
}

struct slices {
    struct slice *ptr;
    size_t len, cap;
};

static void finish_names(struct slices *all, struct arena *a, struct head_names *ret)
{
    size_t n = slice_sort_unique(all->ptr, all->len);

    ret->ptr = arena_array(a, struct slice, n);
    for (size_t i = 0; i < n; i++)
        ret->ptr[i] = arena_dup(a, all->ptr[i]);
    ret->n = n;
    vec_done(all);
}

static void push_lstrs(struct slices *all, struct slice bytes)
{
    struct reader r = reader_new(bytes);

    while (reader_left(&r))
        vec_push(all, reader_lstr(&r));
}

static struct err *list(struct head *h, const struct head_query *q, const struct slice *name,
                        struct arena *a, struct head_names *ret)
{
    struct listing ls[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    struct slices all = {0};
    struct arena *tmp = arena_new(0);
    struct head_tenant *t = head_tenant_find(h, q->tenant);
    struct head_seg **segs;
    size_t n_segs;
    struct err *e = NULL;

    for (uint32_t i = 0; i < h->n_shards; i++) {
        ls[i] = (struct listing){.q = q, .tenant = t, .name = name};
        args[i] = &ls[i];
    }
    head_call_all(h, run_listing, args);
    for (uint32_t i = 0; i < h->n_shards; i++)
        push_lstrs(&all, buf_slice(&ls[i].out));
    for (uint32_t i = 0; i < h->n_shards; i++)
        e = err_first(e, ls[i].err);
    segs = head_registry_find(h, q->tenant, q->min_ms, q->max_ms, &n_segs);
    for (size_t i = 0; i < n_segs; i++) {
        struct block_names names = {0};

        if (!e && !(e = list_segment(segs[i], q, name, tmp, &names)))
            for (size_t k = 0; k < names.n; k++)
                vec_push(&all, arena_dup(tmp, names.ptr[k]));
        head_registry_unref(h, segs[i]);
    }
    mem_free(segs);
    finish_names(&all, a, ret);
    for (uint32_t i = 0; i < h->n_shards; i++)
        buf_done(&ls[i].out);
    arena_free(tmp);
    return e;
}

struct err *head_label_names(struct head *h, const struct head_query *q, struct arena *a,
                             struct head_names *ret)
{
    struct err *e = check_ready(h);

    return e ? e : list(h, q, NULL, a, ret);
}

struct err *head_label_values(struct head *h, const struct head_query *q, struct slice name,
                              struct arena *a, struct head_names *ret)
{
    struct err *e = check_ready(h);

    return e ? e : list(h, q, &name, a, ret);
}

struct err *head_tenants(struct head *h, struct arena *a, struct head_names *ret)
{
    struct slices all = {0};
    struct head_segment *segs;
    size_t n, n_segs;
    struct head_tenant **ts = head_tenant_list(h, &n);

    head_segments(h, &segs, &n_segs);
    for (size_t i = 0; i < n; i++)
        if (atomic_load_explicit(&ts[i]->series, memory_order_relaxed))
            vec_push(&all, ts[i]->slice);
    for (size_t i = 0; i < n_segs; i++)
        vec_push(&all, slice_cstr(segs[i].tenant));
    finish_names(&all, a, ret);
    mem_free(segs);
    mem_free(ts);
    return NULL;
}

/* ---- metadata ---- */

struct meta_listing {
    struct head_tenant *tenant;
    struct slice family;
    struct buf out;
};

static bool run_meta(struct head_shard *sh, void *arg)
{
    struct meta_listing *l = arg;
    struct head_ts *ts = l->tenant ? l->tenant->ts[sh->index] : NULL;

    if (!ts)
        return false;
    MAP_FOREACH (en, &ts->metadata) {
        const struct head_meta *m = en->value;

        if (!l->family.len || slice_eq(l->family, en->key))
            sidecar_put_metadata(
                &l->out, &(struct sidecar_metadata){(uint8_t)m->type, en->key, m->help, m->unit});
    }
    return false;
}

static int cmp_meta(const void *a, const void *b)
{
    const struct head_metadata *x = a, *y = b;

    return slice_cmp(x->family, y->family);
}

struct err *head_metadata_list(struct head *h, struct slice tenant, struct slice family,
                               struct arena *a, struct head_metadata **ret, size_t *ret_n)
{
    struct meta_listing ls[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    VEC(struct head_metadata) all = {0};
    struct err *e = check_ready(h);
    struct batch_meta m;

    if (e)
        return e;
    for (uint32_t i = 0; i < h->n_shards; i++) {
        ls[i] = (struct meta_listing){.tenant = head_tenant_find(h, tenant), .family = family};
        args[i] = &ls[i];
    }
    head_call_all(h, run_meta, args);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        struct reader r = reader_new(buf_slice(&ls[i].out));

        while (batch_next_meta(&r, &m))
            vec_push(&all, ((struct head_metadata){arena_dup(a, m.family), arena_dup(a, m.help),
                                                   arena_dup(a, m.unit), m.type}));
        buf_done(&ls[i].out);
    }
    if (all.len > 1)
        qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_meta);
    *ret = arena_array(a, struct head_metadata, all.len);
    if (all.len)
        memcpy(*ret, all.ptr, all.len * sizeof(*all.ptr));
    *ret_n = all.len;
    vec_done(&all);
    return NULL;
}

/* ---- exemplars ---- */

struct exemplar_listing {
    const struct head_query *q;
    struct head_tenant *tenant;
    struct buf out; /* as in the sidecar */
};

static void put_canonical(const struct head_ts *ts, uint32_t ref, struct buf *out)
{
    head_index_canonical(&ts->index, head_index_packed(&ts->index, head_series_at(ts, ref)->labels),
                         out);
}

static bool run_exemplars(struct head_shard *sh, void *arg)
{
    struct exemplar_listing *l = arg;
    struct head_ts *ts = l->tenant ? l->tenant->ts[sh->index] : NULL;
    roaring_bitmap_t *of;
    struct buf canonical = {0};

    if (!ts || !ts->ring_len)
        return false;
    of = head_match(ts, l->q->matchers);
    for (uint32_t i = 0; i < ts->ring_len; i++) {
        const struct head_ring_exemplar *ex = &ts->ring[(ts->ring_next + i) % ts->ring_len];

        if (!ex->labels || ex->t_ms < l->q->min_ms || ex->t_ms > l->q->max_ms ||
            !roaring_bitmap_contains(of, ex->ref))
            continue;
        buf_reset(&canonical);
        put_canonical(ts, ex->ref, &canonical);
        sidecar_put_exemplar(
            &l->out, &(struct sidecar_exemplar){buf_slice(&canonical), ex->t_ms, ex->v,
                                                head_value_text((const uint8_t *)ex->labels)});
    }
    roaring_bitmap_free(of);
    buf_done(&canonical);
    return false;
}

struct exemplar_list {
    struct sidecar_exemplar *ptr;
    size_t len, cap;
};

/* Of bytes the head wrote itself, or that sidecar_next_exemplar() has looked at. */
static struct labels own_labels(struct arena *a, struct slice canonical)
{
    struct labels ls = {0};

    (void)labels_of_canonical(a, canonical, &ls);
    return ls;
}

static int cmp_exemplar(const void *a, const void *b, void *arena)
{
    const struct sidecar_exemplar *x = a, *y = b;

    if (!slice_eq(x->series, y->series))
        return labels_cmp(own_labels(arena, x->series), own_labels(arena, y->series));
    if (x->t_ms != y->t_ms)
        return x->t_ms < y->t_ms ? -1 : 1;
    return slice_cmp(x->labels, y->labels);
}

static bool is_same_exemplar(const struct sidecar_exemplar *x, const struct sidecar_exemplar *y)
{
    return x->t_ms == y->t_ms && sample_bits(x->value) == sample_bits(y->value) &&
           slice_eq(x->labels, y->labels) && slice_eq(x->series, y->series);
}

static void push_exemplars(struct exemplar_list *all, struct slice bytes,
                           const struct head_query *q, bool check, struct arena *a)
{
    struct reader r = reader_new(bytes);
    struct sidecar_exemplar one;

    while (sidecar_next_exemplar(&r, &one)) {
        if (check && (one.t_ms < q->min_ms || one.t_ms > q->max_ms ||
                      !matchers_match(q->matchers, own_labels(a, one.series))))
            continue;
        vec_push(all, one);
    }
}

/* The sidecars of segments: the ring may have moved on. */
static struct err *read_sidecar(const struct head_seg *seg, struct arena *a, struct slice *ret)
{
    char *path = mem_printf("%s/%s", seg->row.path, sidecar_file(SIDECAR_EXEMPLARS));
    struct buf b = {0};
    struct reader r;
    struct err *e = NULL;

    *ret = SLICE_EMPTY;
    if (fsx_exists(path) && !(e = fsx_read(path, SIDECAR_MAX_BYTES, &b))) {
        struct slice copy = arena_dup(a, buf_slice(&b));

        if (!(e = sidecar_open(SIDECAR_EXEMPLARS, copy, &r)))
            *ret = reader_rest(&r);
    }
    buf_done(&b);
    mem_free(path);
    return e;
}

static void group_exemplars(const struct exemplar_list *all, struct arena *a,
                            struct head_exemplars **ret, size_t *ret_n)
{
    struct head_exemplars *out = arena_array(a, struct head_exemplars, all->len);
    struct exemplar *exs = arena_array(a, struct exemplar, all->len);
    size_t n = 0, used = 0;

    for (size_t i = 0; i < all->len; i++) {
        const struct sidecar_exemplar *one = &all->ptr[i];

        if (i && is_same_exemplar(one, one - 1))
            continue;
        if (!i || !slice_eq(one->series, all->ptr[i - 1].series)) {
            out[n++] = (struct head_exemplars){.labels = own_labels(a, arena_dup(a, one->series)),
                                               .ptr = exs + used};
        }
        exs[used++] =
            (struct exemplar){own_labels(a, arena_dup(a, one->labels)), one->value, one->t_ms};
        out[n - 1].n++;
    }
    *ret = out;
    *ret_n = n;
}

struct err *head_exemplars_list(struct head *h, const struct head_query *q, struct arena *a,
                                struct head_exemplars **ret, size_t *ret_n)
{
    struct exemplar_listing ls[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    struct arena *tmp = arena_new(0);
    struct exemplar_list all = {0};
    struct head_seg **segs;
    size_t n_segs;
    struct err *e = check_ready(h);

    if (e) {
        arena_free(tmp);
        return e;
    }
    for (uint32_t i = 0; i < h->n_shards; i++) {
        ls[i] = (struct exemplar_listing){.q = q, .tenant = head_tenant_find(h, q->tenant)};
        args[i] = &ls[i];
    }
    head_call_all(h, run_exemplars, args);
    for (uint32_t i = 0; i < h->n_shards; i++)
        push_exemplars(&all, buf_slice(&ls[i].out), q, false, tmp);
    segs = head_registry_find(h, q->tenant, q->min_ms, q->max_ms, &n_segs);
    for (size_t i = 0; i < n_segs; i++) {
        struct slice bytes;

        if (!e && !(e = read_sidecar(segs[i], tmp, &bytes)))
            push_exemplars(&all, bytes, q, true, tmp);
        head_registry_unref(h, segs[i]);
    }
    mem_free(segs);
    if (all.len > 1)
        qsort_r(all.ptr, all.len, sizeof(*all.ptr), cmp_exemplar, tmp);
    group_exemplars(&all, a, ret, ret_n);
    vec_done(&all);
    for (uint32_t i = 0; i < h->n_shards; i++)
        buf_done(&ls[i].out);
    arena_free(tmp);
    return e;
}
