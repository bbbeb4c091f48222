/* Which spans are shown as exemplars. */
#include <math.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "querier/traces/tracemetric_internal.h"

static uint64_t order_of(const struct tracemetric_state *s, uint32_t point)
{
    uint64_t what[2] = {s->hash, point};

    return hash_xxh64(slice_of(what, sizeof(what)), 0);
}

static uint64_t rank_of(const struct tracecols *cols, uint32_t row)
{
    return hash_xxh64(slice_of(cols->traces[cols->trace[row]].id, 16), cols->span_id[row]);
}

static void fill(struct tracemetric *m, struct tracemetric_kept *k, double value,
                 const struct tracecols *cols, uint32_t row)
{
    struct tracemetric_exemplar *x = &k->exemplar;

    memcpy(x->trace_id, cols->traces[cols->trace[row]].id, sizeof(x->trace_id));
    x->span_id = cols->span_id[row];
    x->service = arena_dup(m->arena, cols->dict[cols->service[row]]);
    x->name = arena_dup(m->arena, cols->dict[cols->name[row]]);
    x->start_ns = cols->start_ns[row];
    x->value = value;
}

/* The one of that series and point; else a new one, or the one that goes for it. NULL: it is none of them. */
static struct tracemetric_kept *place_of(const struct tracemetric *m, struct tracemetric_leaf *leaf,
                                         const struct tracemetric_state *s, uint32_t point,
                                         uint64_t order)
{
    size_t max = ORR_MIN(m->range.max_exemplars, (uint32_t)TRACEMETRIC_MAX_EXEMPLARS);
    struct tracemetric_kept *last = NULL;

    VEC_FOREACH (k, &leaf->exemplars) {
        if (k->of == s && k->exemplar.point == point)
            return k;
        last = !last || k->order > last->order ? k : last;
    }
    if (leaf->exemplars.len < max)
        last = vec_add(&leaf->exemplars);
    else if (last->order <= order)
        return NULL;
    *last = (struct tracemetric_kept){
        .order = order, .rank = UINT64_MAX, .of = s, .exemplar = {.point = point}};
    return last;
}

void tracemetric_exemplar_see(struct tracemetric *m, struct tracemetric_leaf *leaf,
                              const struct tracemetric_state *s, uint32_t point, double value,
                              const struct tracecols *cols, uint32_t row)
{
    struct tracemetric_kept *k = place_of(m, leaf, s, point, order_of(s, point));
    uint64_t rank;

    if (!k || (rank = rank_of(cols, row)) >= k->rank)
        return;
    k->rank = rank;
    fill(m, k, value, cols, row);
}

static int by_time(const void *a, const void *b)
{
    const struct tracemetric_exemplar *l = a, *r = b;

    if (l->start_ns != r->start_ns)
        return l->start_ns < r->start_ns ? -1 : 1;
    return (l->span_id > r->span_id) - (l->span_id < r->span_id);
}

/* Of several series (quantiles of one group) the lowest one that is not below the span, or else the highest. */
static size_t series_for(const struct tracemetric_exemplar *x, const struct tracemetric_series *s,
                         size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++) {
        double have = s[best].values[x->point], v = s[i].values[x->point];

        if (have >= x->value ? v >= x->value && v < have : v > have)
            best = i;
    }
    return best;
}

static bool is_of(const struct tracemetric_kept *k, struct tracemetric_state *const *states,
                  size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (k->of == states[i])
            return true;
    return false;
}

void tracemetric_exemplar_give(const struct tracemetric_leaf *leaf, struct arena *a,
                               struct tracemetric_state *const *states, size_t n,
                               struct tracemetric_series *out, size_t n_out)
{
    VEC_FOREACH (k, &leaf->exemplars) {
        struct tracemetric_exemplar *list;
        struct tracemetric_series *s;

        if (!is_of(k, states, n))
            continue;
        s = &out[series_for(&k->exemplar, out, n_out)];
        list =
            arena_more(a, (struct tracemetric_exemplar *)(uintptr_t)s->exemplars, s->n_exemplars);
        list[s->n_exemplars] = k->exemplar;
        list[s->n_exemplars].service = arena_dup(a, k->exemplar.service);
        list[s->n_exemplars++].name = arena_dup(a, k->exemplar.name);
        s->exemplars = list;
    }
    for (size_t i = 0; i < n_out; i++)
        if (out[i].n_exemplars > 1)
            qsort((void *)(uintptr_t)out[i].exemplars, out[i].n_exemplars,
                  sizeof(*out[i].exemplars), by_time);
}
