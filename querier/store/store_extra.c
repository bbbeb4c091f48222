/*
 * Metadata and exemplars, over ingesters and blocks; blocks carry them in sidecar files, as segments
 * do (common/block/sidecar.h).
 */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/block/sidecar.h"
#include "querier/store/store_internal.h"

static struct err *over(const struct store_query *sq)
{
    if (arena_over(sq->opts.arena))
        return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                       arena_limit(sq->opts.arena));
    return NULL;
}

/* Calls fn for every frame of every stream; closes f, which may be NULL. */
typedef struct err *frame_fn(void *arg, struct slice frame);

static struct err *each_frame(struct store_query *sq, struct fanout *f, frame_fn *fn, void *arg)
{
    struct err *e = NULL;
    bool any = f != NULL;

    while (any && !e && !(e = fanout_wait(f))) {
        any = false;
        for (size_t i = 0; !e && i < fanout_streams(f); i++) {
            struct slice bytes;

            if (!fanout_frame(f, i, &bytes))
                continue;
            any = true;
            e = fn(arg, bytes);
            fanout_pop(f, i);
        }
    }
    store_heard(sq, f);
    fanout_close(f);
    return e;
}

/* Calls fn with the sidecar of every block in the range that has one. */
static struct err *each_sidecar(struct store_query *sq, int64_t min_ms, int64_t max_ms,
                                enum sidecar_kind kind, frame_fn *fn, void *arg)
{
    struct blockset_view v;
    struct err *e = store_take_blocks(sq, min_ms, max_ms, NULL, &v);

    if (e)
        return e;
    for (size_t i = 0; !e && i < v.n; i++) {
        struct slice bytes;

        if (!(e = store_read_sidecar(sq, v.readers[i], sidecar_file(kind), &bytes)) && bytes.len)
            e = fn(arg, bytes);
    }
    if (sq->store->blocks)
        blockset_release(sq->store->blocks, &v);
    return e;
}

/* ---- metadata ---- */

struct metadata {
    struct store_query *sq;
    struct slice family;
    struct map seen; /* of the encoded entry */
    VEC(struct rpc_metadata) list;
};

static struct err *add_metadata(struct metadata *md, const struct rpc_metadata *m)
{
    struct arena *a = md->sq->opts.arena;
    struct rpc_metadata own = {.type = m->type};
    struct buf key = {0};

    if (md->family.len && !slice_eq(md->family, m->family))
        return NULL;
    rpc_metadata_encode(&key, m);
    if (!map_has(&md->seen, buf_slice(&key))) {
        map_put(&md->seen, buf_slice(&key), md);
        own.family = arena_dup(a, m->family);
        own.help = arena_dup(a, m->help);
        own.unit = arena_dup(a, m->unit);
        vec_push(&md->list, own);
    }
    buf_done(&key);
    return over(md->sq);
}

static struct err *metadata_frame(void *arg, struct slice frame)
{
    struct reader r = reader_new(frame);
    struct rpc_metadata m;
    struct err *e = NULL;

    while (!e && rpc_metadata_decode(&r, &m))
        e = add_metadata(arg, &m);
    if (!e && !reader_ok(&r))
        e = err_new(ERR_CORRUPT, "an ingester's answer is malformed");
    return e;
}

static struct err *metadata_sidecar(void *arg, struct slice bytes)
{
    struct sidecar_metadata m;
    struct reader r;
    struct err *e = sidecar_open(SIDECAR_METADATA, bytes, &r);

    while (!e && sidecar_next_metadata(&r, &m))
        e = add_metadata(arg,
                         &(struct rpc_metadata){
                             .type = m.type, .family = m.family, .help = m.help, .unit = m.unit});
    if (!e && !reader_ok(&r))
        e = err_new(ERR_CORRUPT, "metadata of a block: malformed entry");
    return e;
}

static int by_family(const void *a, const void *b)
{
    const struct rpc_metadata *x = a, *y = b;
    int c = slice_cmp(x->family, y->family);

    if (!c)
        c = (x->type > y->type) - (x->type < y->type);
    if (!c)
        c = slice_cmp(x->help, y->help);
    return c ? c : slice_cmp(x->unit, y->unit);
}

struct err *store_metadata(struct store_query *sq, struct slice family, struct rpc_metadata **ret,
                           size_t *ret_n)
{
    struct metadata md = {.sq = sq, .family = family};
    struct fanout *f;
    struct err *e = store_ask(sq, "ingester.metadata", family, &f);

    if (!e)
        e = each_frame(sq, f, metadata_frame, &md);
    if (!e)
        e = each_sidecar(sq, INT64_MIN, INT64_MAX, SIDECAR_METADATA, metadata_sidecar, &md);
    if (!e) {
        if (md.list.len > 1)
            qsort(md.list.ptr, md.list.len, sizeof(*md.list.ptr), by_family);
        *ret = arena_array(sq->opts.arena, struct rpc_metadata, md.list.len);
        if (md.list.len)
            memcpy(*ret, md.list.ptr, md.list.len * sizeof(**ret));
        *ret_n = md.list.len;
    }
    map_done(&md.seen);
    vec_done(&md.list);
    return e;
}

/* ---- exemplars ---- */

struct ex_series {
    struct labels labels;
    VEC(struct exemplar) list;
};

struct exemplars {
    struct store_query *sq;
    const struct store_exemplars_request *req;
    struct tombstone_list *tombs;
    struct map index; /* struct ex_series by canonical labels */
    VEC(struct ex_series *) series;
};

static bool is_wanted(const struct exemplars *x, struct labels ls)
{
    for (size_t i = 0; i < x->req->n_sets; i++)
        if (matchers_match(x->req->sets[i], ls))
            return true;
    return false;
}

/* One span is enough to know: the range asked about is one instant. */
static bool is_deleted(const struct exemplars *x, struct labels ls, int64_t t_ms)
{
    size_t n = 0;

    if (tombstone_list_reaches(x->tombs, t_ms, t_ms))
        (void)tombstone_list_spans(x->tombs, x->sq->opts.arena, ls, t_ms, t_ms, &n);
    return n > 0;
}

static struct err *add_exemplar(struct exemplars *x, struct slice canonical, struct labels ls,
                                const struct exemplar *ex)
{
    struct arena *a = x->sq->opts.arena;
    struct ex_series *s = map_get(&x->index, canonical);

    if (ex->t_ms < x->req->min_ms || ex->t_ms > x->req->max_ms ||
        (x->req->keep && !x->req->keep(x->req->arg, ex)) || is_deleted(x, ls, ex->t_ms))
        return NULL;
    if (!s) {
        s = mem_new(struct ex_series);
        s->labels = labels_dup(a, ls);
        map_put(&x->index, canonical, s);
        vec_push(&x->series, s);
    }
    vec_push(&s->list, ((struct exemplar){labels_dup(a, ex->labels), ex->value, ex->t_ms}));
    return over(x->sq);
}

static struct err *exemplars_frame(void *arg, struct slice frame)
{
    struct exemplars *x = arg;
    struct arena *a = arena_new(0);
    struct reader r = reader_new(frame);
    struct rpc_exemplars in;
    struct err *e = NULL;

    while (!e && rpc_exemplars_decode(a, &r, &in)) {
        struct buf key = {0};

        labels_canonical(&key, in.labels);
        for (size_t i = 0; !e && i < in.n; i++)
            e = add_exemplar(x, buf_slice(&key), in.labels, &in.ptr[i]);
        buf_done(&key);
        arena_reset(a);
    }
    if (!e && !reader_ok(&r))
        e = err_new(ERR_CORRUPT, "an ingester's answer is malformed");
    arena_free(a);
    return e;
}

static struct err *exemplars_sidecar(void *arg, struct slice bytes)
{
    struct exemplars *x = arg;
    struct arena *a = arena_new(0);
    struct sidecar_exemplar entry;
    struct reader r;
    struct err *e = sidecar_open(SIDECAR_EXEMPLARS, bytes, &r);

    while (!e && sidecar_next_exemplar(&r, &entry)) {
        struct exemplar ex = {.t_ms = entry.t_ms, .value = entry.value};
        struct labels ls;

        if (!labels_of_canonical(a, entry.series, &ls) ||
            !labels_of_canonical(a, entry.labels, &ex.labels))
            e = err_new(ERR_CORRUPT, "exemplars of a block: malformed entry");
        else if (is_wanted(x, ls))
            e = add_exemplar(x, entry.series, ls, &ex);
        arena_reset(a);
    }
    if (!e && !reader_ok(&r))
        e = err_new(ERR_CORRUPT, "exemplars of a block: malformed entry");
    arena_free(a);
    return e;
}

static int cmp_exemplar(const void *a, const void *b)
{
    const struct exemplar *x = a, *y = b;
    uint64_t vx = sample_bits(x->value), vy = sample_bits(y->value);

    if (x->t_ms != y->t_ms)
        return x->t_ms < y->t_ms ? -1 : 1;
    if (vx != vy)
        return vx < vy ? -1 : 1;
    return labels_cmp(x->labels, y->labels);
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp((*(struct ex_series *const *)a)->labels,
                      (*(struct ex_series *const *)b)->labels);
}

static void finish_series(struct arena *a, struct ex_series *s, struct rpc_exemplars *ret)
{
    struct exemplar *out = arena_array(a, struct exemplar, s->list.len);
    size_t n = 0;

    qsort(s->list.ptr, s->list.len, sizeof(*s->list.ptr), cmp_exemplar);
    for (size_t i = 0; i < s->list.len; i++)
        if (!n || cmp_exemplar(&out[n - 1], &s->list.ptr[i]) != 0)
            out[n++] = s->list.ptr[i];
    *ret = (struct rpc_exemplars){s->labels, out, n};
}

static struct err *ask_exemplars(struct exemplars *x)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < x->req->n_sets; i++) {
        struct rpc_select rs = {.kind = RPC_SELECT_CHUNKS,
                                .matchers = x->req->sets[i],
                                .min_ms = x->req->min_ms,
                                .max_ms = x->req->max_ms};
        struct fanout *f = NULL;
        struct buf b = {0};

        rpc_select_encode(&b, &rs);
        e = store_ask(x->sq, "ingester.exemplars", buf_slice(&b), &f);
        buf_done(&b);
        if (!e)
            e = each_frame(x->sq, f, exemplars_frame, x);
    }
    return e;
}

struct err *store_exemplars(struct store_query *sq, const struct store_exemplars_request *req,
                            struct rpc_exemplars **ret, size_t *ret_n)
{
    struct exemplars x = {.sq = sq, .req = req};
    struct err *e = store_tombstones(sq, &x.tombs);

    if (e)
        return e;
    if (!(e = ask_exemplars(&x)))
        e = each_sidecar(sq, req->min_ms, req->max_ms, SIDECAR_EXEMPLARS, exemplars_sidecar, &x);
    if (!e) {
        if (x.series.len > 1)
            qsort(x.series.ptr, x.series.len, sizeof(*x.series.ptr), by_labels);
        *ret = arena_array(sq->opts.arena, struct rpc_exemplars, x.series.len);
        for (size_t i = 0; i < x.series.len; i++)
            finish_series(sq->opts.arena, x.series.ptr[i], &(*ret)[i]);
        *ret_n = x.series.len;
    }
    VEC_FOREACH (s, &x.series) {
        vec_done(&(*s)->list);
        mem_free(*s);
    }
    vec_done(&x.series);
    map_done(&x.index);
    tombstone_list_unref(x.tombs);
    return e;
}
