#include "querier/engine/moments.h"

static const char *const kinds[MOMENTS_ROWS] = {"c", "l", "v"};

bool moments_are_of(enum promql_agg op)
{
    return op == PROMQL_AGG_AVG || op == PROMQL_AGG_STDDEV || op == PROMQL_AGG_STDVAR;
}

unsigned moments_kind(struct labels ls)
{
    if (ls.n == 0 || !slice_eq(ls.ptr[ls.n - 1].name, SLICE(MOMENTS_LABEL)))
        return MOMENTS_ROWS;
    for (unsigned k = 0; k < MOMENTS_ROWS; k++)
        if (slice_eq_cstr(ls.ptr[ls.n - 1].value, kinds[k]))
            return k;
    return MOMENTS_ROWS;
}

struct labels moments_labels(struct arena *a, struct labels ls, unsigned kind)
{
    struct label *out = arena_array(a, struct label, ls.n + 1);

    if (ls.n)
        memcpy(out, ls.ptr, ls.n * sizeof(*out));
    out[ls.n] = (struct label){SLICE(MOMENTS_LABEL), slice_cstr(kinds[kind])};
    return (struct labels){out, ls.n + 1};
}

bool moments_take(struct exec *x, struct moments *m, const struct row *r, size_t steps)
{
    unsigned kind = moments_kind(r->labels);
    struct labels ls = {r->labels.ptr, r->labels.n - (r->labels.n > 0)};

    m->n %= MOMENTS_ROWS;
    if (kind != m->n || (m->n && labels_cmp(ls, m->labels) != 0))
        return exec_fail(x, err_new(ERR_CORRUPT, "a part of the query gave no moments of a group"));
    if (m->n++ == 0)
        m->labels = labels_dup(x->arena, ls);
    if (!m->column[kind])
        m->column[kind] = arena_array(x->arena, double, steps);
    memcpy(m->column[kind], r->v, steps * sizeof(double));
    return m->n == MOMENTS_ROWS;
}
