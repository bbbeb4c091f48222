#include "querier/store/joined.h"

#include <stdlib.h>

#include "common/base/mem.h"

#define TENANT_LABEL SLICE(JOINED_LABEL)
#define ORIGINAL_LABEL SLICE(JOINED_ORIGINAL)

/* ---- matchers and labels ---- */

/* The matchers for one tenant's store; false: they do not accept this tenant. */
static bool matchers_for(struct joined *j, struct slice tenant, struct matchers ms,
                         struct matchers *ret)
{
    struct matcher *out = arena_array(j->arena, struct matcher, ms.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < ms.n; i++) {
        if (slice_eq(ms.ptr[i].name, TENANT_LABEL)) {
            if (!matcher_matches(&ms.ptr[i], tenant))
                return false;
            continue;
        }
        out[n] = ms.ptr[i];
        if (slice_eq(out[n].name, ORIGINAL_LABEL))
            out[n].name = TENANT_LABEL;
        n++;
    }
    *ret = (struct matchers){out, n};
    return true;
}

static struct labels with_tenant(struct arena *a, struct labels ls, struct slice tenant)
{
    struct label *out = arena_array(a, struct label, ls.n + 2);
    struct slice dup;
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++) {
        out[n] = ls.ptr[i];
        if (slice_eq(out[n].name, TENANT_LABEL))
            out[n].name = ORIGINAL_LABEL;
        n++;
    }
    out[n++] = (struct label){TENANT_LABEL, tenant};
    (void)labels_sort(out, n,
                      &dup); /* a series with both names keeps both: the first one is found */
    return (struct labels){out, n};
}

/* ---- the union of the tenants' sets ---- */

struct member_set {
    struct series_set *set;
    struct slice tenant;
    struct arena *arena; /* labels of cur */
    struct storage_series cur;
    bool has_cur, is_stale; /* stale: cur was handed out, move on first */
};

struct union_set {
    struct series_set base;
    struct member_set *m;
    size_t n;
};

static void advance(struct member_set *m)
{
    m->is_stale = false;
    m->has_cur = series_set_next(m->set, &m->cur);
    if (!m->has_cur)
        return;
    arena_reset(m->arena);
    m->cur.labels = with_tenant(m->arena, m->cur.labels, m->tenant);
}

static bool union_next(struct series_set *set, struct storage_series *ret)
{
    struct union_set *u = (struct union_set *)set;
    struct member_set *best = NULL;

    for (size_t i = 0; i < u->n; i++) {
        struct member_set *m = &u->m[i];

        if (m->is_stale)
            advance(m);
        if (m->has_cur && (!best || labels_cmp(m->cur.labels, best->cur.labels) < 0))
            best = m;
    }
    if (!best)
        return false;
    *ret = best->cur;
    best->is_stale = true;
    return true;
}

static struct err *union_close(struct series_set *set)
{
    struct union_set *u = (struct union_set *)set;
    struct err *e = NULL;

    for (size_t i = 0; i < u->n; i++) {
        e = err_first(
            e, err_wrap(series_set_close(u->m[i].set), "tenant %.*s", SLICE_ARG(u->m[i].tenant)));
        arena_free(u->m[i].arena);
    }
    mem_free(u->m);
    mem_free(u);
    return e;
}

static struct union_set *union_new(size_t max)
{
    static const struct series_set_ops ops = {union_next, union_close};
    struct union_set *u = mem_new(struct union_set);

    u->base.ops = &ops;
    u->m = mem_new_array(struct member_set, max + 1);
    return u;
}

static void union_add(struct union_set *u, struct series_set *set, struct slice tenant)
{
    u->m[u->n++] =
        (struct member_set){.set = set, .tenant = tenant, .arena = arena_new(0), .is_stale = true};
}

static struct err *of_tenant(struct err *e, struct slice tenant)
{
    return err_wrap(e, "tenant %.*s", SLICE_ARG(tenant));
}

static struct err *joined_select(struct storage *st, struct arena *arena,
                                 const struct storage_request *req, struct series_set **ret)
{
    struct joined *j = ORR_CONTAINER(st, struct joined, storage);
    struct union_set *u;

    if (j->n == 1)
        return storage_select(&j->queries[0].storage, arena, req, ret);
    u = union_new(j->n);
    for (size_t i = 0; i < j->n; i++) {
        struct storage_request one = *req;
        struct series_set *set;
        struct err *e;

        if (!matchers_for(j, j->tenants[i], req->matchers, &one.matchers))
            continue;
        one.is_grouped = false; /* the union goes by all labels */
        if ((e = storage_select(&j->queries[i].storage, arena, &one, &set)))
            return err_first(of_tenant(e, j->tenants[i]), series_set_close(&u->base));
        union_add(u, set, j->tenants[i]);
    }
    *ret = &u->base;
    return NULL;
}

struct err *joined_series(struct joined *j, struct matchers ms, int64_t min_ms, int64_t max_ms,
                          struct series_set **ret)
{
    struct union_set *u;

    if (j->n == 1)
        return store_series(&j->queries[0], ms, min_ms, max_ms, ret);
    u = union_new(j->n);
    for (size_t i = 0; i < j->n; i++) {
        struct series_set *set;
        struct matchers one;
        struct err *e;

        if (!matchers_for(j, j->tenants[i], ms, &one))
            continue;
        if ((e = store_series(&j->queries[i], one, min_ms, max_ms, &set)))
            return err_first(of_tenant(e, j->tenants[i]), series_set_close(&u->base));
        union_add(u, set, j->tenants[i]);
    }
    *ret = &u->base;
    return NULL;
}

/* ---- beside samples ---- */

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void sort_unique(struct store_names *io)
{
    size_t n = 0;

    if (io->n > 1)
        qsort(io->ptr, io->n, sizeof(*io->ptr), by_bytes);
    for (size_t i = 0; i < io->n; i++)
        if (!n || !slice_eq(io->ptr[n - 1], io->ptr[i]))
            io->ptr[n++] = io->ptr[i];
    io->n = n;
}

static void append_names(struct arena *a, struct store_names *io, const struct store_names *more)
{
    struct slice *all = arena_array(a, struct slice, io->n + more->n + 1);

    if (io->n)
        memcpy(all, io->ptr, io->n * sizeof(*all));
    if (more->n)
        memcpy(all + io->n, more->ptr, more->n * sizeof(*all));
    *io = (struct store_names){all, io->n + more->n};
}

/* The sets for one tenant: those that accept it. False: it was asked by sets, and none does. */
static bool sets_for(struct joined *j, struct slice tenant, const struct matchers *sets, size_t n,
                     struct matchers **ret, size_t *ret_n)
{
    *ret = arena_array(j->arena, struct matchers, n + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        if (matchers_for(j, tenant, sets[i], &(*ret)[*ret_n]))
            ++*ret_n;
    return n == 0 || *ret_n > 0;
}

/* Names of one tenant, as they are called here. */
static struct err *names_of(struct joined *j, size_t i, const struct matchers *sets, size_t n,
                            struct slice label, int64_t min_ms, int64_t max_ms,
                            struct store_names *io)
{
    struct slice own_label = label;
    struct store_names found = {0};
    struct err *e;

    if (label.ptr && slice_eq(label, ORIGINAL_LABEL))
        own_label = TENANT_LABEL;
    if ((e = store_names(&j->queries[i], sets, n, own_label, min_ms, max_ms, &found)))
        return of_tenant(e, j->tenants[i]);
    for (size_t k = 0; !label.ptr && k < found.n; k++)
        if (slice_eq(found.ptr[k], TENANT_LABEL))
            found.ptr[k] = ORIGINAL_LABEL;
    append_names(j->arena, io, &found);
    return NULL;
}

/* Values of __tenant_id__ are the tenants that have any such series. */
static struct err *tenants_with_data(struct joined *j, size_t i, const struct matchers *sets,
                                     size_t n, int64_t min_ms, int64_t max_ms,
                                     struct store_names *io)
{
    struct slice one = j->tenants[i];
    struct store_names found = {0};
    struct err *e = NULL;

    if (n && (e = store_names(&j->queries[i], sets, n, (struct slice){0}, min_ms, max_ms, &found)))
        return of_tenant(e, j->tenants[i]);
    if (!n || found.n)
        append_names(j->arena, io, &(struct store_names){&one, 1});
    return NULL;
}

struct err *joined_names(struct joined *j, const struct matchers *sets, size_t n,
                         struct slice label, int64_t min_ms, int64_t max_ms,
                         struct store_names *ret)
{
    struct store_names all = {0};
    struct err *e = NULL;

    if (j->n == 1)
        return store_names(&j->queries[0], sets, n, label, min_ms, max_ms, ret);
    for (size_t i = 0; !e && i < j->n; i++) {
        struct matchers *own;
        size_t n_own;

        if (!sets_for(j, j->tenants[i], sets, n, &own, &n_own))
            continue;
        if (label.ptr && slice_eq(label, TENANT_LABEL))
            e = tenants_with_data(j, i, own, n_own, min_ms, max_ms, &all);
        else
            e = names_of(j, i, own, n_own, label, min_ms, max_ms, &all);
    }
    if (e)
        return e;
    if (!label.ptr && all.n)
        append_names(j->arena, &all, &(struct store_names){&TENANT_LABEL, 1});
    sort_unique(&all);
    *ret = all;
    return NULL;
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

struct err *joined_metadata(struct joined *j, struct slice family, struct rpc_metadata **ret,
                            size_t *ret_n)
{
    struct rpc_metadata *all = NULL;
    size_t n = 0, out = 0;

    for (size_t i = 0; i < j->n; i++) {
        struct rpc_metadata *one, *joint;
        size_t n_one;
        struct err *e = store_metadata(&j->queries[i], family, &one, &n_one);

        if (e || j->n == 1) {
            *ret = e ? NULL : one;
            *ret_n = e ? 0 : n_one;
            return e;
        }
        joint = arena_array(j->arena, struct rpc_metadata, n + n_one + 1);
        if (n)
            memcpy(joint, all, n * sizeof(*joint));
        if (n_one)
            memcpy(joint + n, one, n_one * sizeof(*joint));
        all = joint;
        n += n_one;
    }
    if (n > 1)
        qsort(all, n, sizeof(*all), by_family);
    for (size_t i = 0; i < n; i++)
        if (!out || by_family(&all[out - 1], &all[i]) != 0)
            all[out++] = all[i];
    *ret = all;
    *ret_n = out;
    return NULL;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct rpc_exemplars *)a)->labels,
                      ((const struct rpc_exemplars *)b)->labels);
}

struct err *joined_exemplars(struct joined *j, const struct matchers *sets, size_t n,
                             int64_t min_ms, int64_t max_ms, struct rpc_exemplars **ret,
                             size_t *ret_n)
{
    VEC(struct rpc_exemplars) all = {0};
    struct err *e = NULL;

    if (j->n == 1)
        return store_exemplars(
            &j->queries[0], &(struct store_exemplars_request){sets, n, min_ms, max_ms, NULL, NULL},
            ret, ret_n);
    for (size_t i = 0; !e && i < j->n; i++) {
        struct store_exemplars_request req = {.min_ms = min_ms, .max_ms = max_ms};
        struct rpc_exemplars *one = NULL;
        struct matchers *own;
        size_t n_one = 0;

        if (!sets_for(j, j->tenants[i], sets, n, &own, &req.n_sets))
            continue;
        req.sets = own;
        e = of_tenant(store_exemplars(&j->queries[i], &req, &one, &n_one), j->tenants[i]);
        for (size_t k = 0; !e && k < n_one; k++) {
            one[k].labels = with_tenant(j->arena, one[k].labels, j->tenants[i]);
            vec_push(&all, one[k]);
        }
    }
    if (!e) {
        if (all.len > 1)
            qsort(all.ptr, all.len, sizeof(*all.ptr), by_labels);
        *ret = arena_array(j->arena, struct rpc_exemplars, all.len + 1);
        if (all.len)
            memcpy(*ret, all.ptr, all.len * sizeof(*all.ptr));
        *ret_n = all.len;
    }
    vec_done(&all);
    return e;
}

/* ---- life ---- */

void joined_init(struct joined *j, struct store *s, const struct store_query_opts *opts,
                 const struct slice *tenants, size_t n)
{
    static const struct storage_ops ops = {joined_select};

    *j = (struct joined){.storage = {&ops}, .arena = opts->arena, .tenants = tenants, .n = n};
    j->queries = arena_array(j->arena, struct store_query, n);
    for (size_t i = 0; i < n; i++) {
        struct store_query_opts one = *opts;

        one.tenant = tenants[i];
        store_query_init(&j->queries[i], s, &one);
    }
}

void joined_done(struct joined *j)
{
    for (size_t i = 0; i < j->n; i++)
        store_query_done(&j->queries[i]);
    vec_done(&j->warnings);
}

void joined_warn(struct joined *j, struct slice text)
{
    VEC_FOREACH (w, &j->warnings)
        if (slice_eq(*w, text))
            return;
    vec_push(&j->warnings, arena_dup(j->arena, text));
}

void joined_gather_warnings(struct joined *j)
{
    for (size_t i = 0; i < j->n; i++)
        VEC_FOREACH (w, &j->queries[i].warnings) {
            if (j->n == 1)
                joined_warn(j, *w);
            else
                joined_warn(j, slice_cstr(arena_printf(j->arena, "tenant %.*s: %.*s",
                                                       SLICE_ARG(j->tenants[i]), SLICE_ARG(*w))));
        }
}
