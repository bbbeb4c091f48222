/*
 * Judges refusals sample by sample: what is short of a quorum, and what a quorum took but one of its
 * replicas came too late for (the reasoning: distribute.h).
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/model/labels.h"
#include "ingester/distribute_internal.h"

static int by_size_desc(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x < y) - (x > y);
}

uint64_t distribute_judge_count(const struct flight *f, unsigned reason)
{
    unsigned need = ring_write_quorum(f->ring);
    uint64_t counts[RING_MAX_RF] = {0}, sum = 0;
    size_t n = 0;

    for (size_t i = 0; i < f->n_targets; i++)
        if (f->targets[i].is_answered) {
            sum += f->targets[i].rejected[reason];
            if (n < ORR_COUNT(counts))
                counts[n++] = f->targets[i].rejected[reason];
        }
    if (sum == 0)
        return 0;
    if (f->quorum.n_groups > 1)
        return (sum + need - 1) / need;
    qsort(counts, n, sizeof(*counts), by_size_desc);
    return need <= n ? counts[need - 1] : 0;
}

/* ---- samples that some replica refused ---- */

struct refusal {
    struct distribute_example what;
    uint16_t target;
};

static int cmp_refusal(const void *a, const void *b)
{
    const struct refusal *x = a, *y = b;

    if (x->what.series != y->what.series)
        return x->what.series < y->what.series ? -1 : 1;
    if (x->what.t_ms != y->what.t_ms)
        return x->what.t_ms < y->what.t_ms ? -1 : 1;
    return (x->target > y->target) - (x->target < y->target);
}

static struct ring_set set_of_series(const struct flight *f, uint32_t i)
{
    uint32_t token = f->cargo.ops->token(f->cargo.arg, i);

    return ring_set(f->ring, f->is_shared ? 0 : ring_set_index(f->ring, token));
}

/*
 * n refusals of one time of one series, by target. Several samples of a request may share both, so
 * what is counted is how many of them each replica refused: those short of a quorum are as many as
 * the replica refused that one more than may be missing has refused at least.
 * *ret_best: the same if all outstanding replicas took everything.
 */
static uint64_t count_short(const struct flight *f, const struct target *const *of_instance,
                            const struct refusal *r, size_t n, uint64_t *ret_best)
{
    struct ring_set set = set_of_series(f, r->what.series);
    unsigned need = ring_write_quorum(f->ring), answered = 0, outstanding = 0;
    uint64_t refused[RING_MAX_RF + 1] = {0};

    for (unsigned i = 0; i < set.n && i < RING_MAX_RF; i++) {
        const struct target *t = of_instance[set.instances[i]];

        if (t->has_failed)
            continue;
        if (!t->is_answered) {
            outstanding++;
            continue;
        }
        for (size_t k = 0; k < n; k++)
            refused[answered] += &f->targets[r[k].target] == t;
        answered++;
    }
    qsort(refused, answered, sizeof(*refused), by_size_desc);
    /* those outstanding come last: they refuse nothing, at best */
    *ret_best = answered + outstanding >= need
                    ? refused[ORR_MIN(answered + outstanding - need, answered)]
                    : refused[0];
    return answered >= need ? refused[answered - need] : refused[0];
}

/* Refusals of samples of one series and time, by target. */
struct group {
    const struct refusal *ptr;
    size_t n;
    uint64_t now, best; /* short of a quorum */
};
typedef void group_fn(void *arg, const struct group *g);

static void each_group(const struct flight *f, group_fn *fn, void *arg)
{
    const struct target **of_instance;
    VEC(struct refusal) all = {0};

    for (size_t i = 0; i < f->n_targets; i++)
        if (f->targets[i].is_answered)
            VEC_FOREACH (x, &f->targets[i].refusals)
                vec_push(&all, ((struct refusal){*x, (uint16_t)i}));
    if (!all.len)
        return;
    of_instance = mem_new_array(const struct target *, ring_size(f->ring));
    for (size_t i = 0; i < f->n_targets; i++)
        of_instance[f->targets[i].instance] = &f->targets[i];
    qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_refusal);
    for (size_t i = 0; i < all.len;) {
        struct group g = {.ptr = &all.ptr[i], .n = 1};

        while (i + g.n < all.len && g.ptr[g.n].what.series == g.ptr->what.series &&
               g.ptr[g.n].what.t_ms == g.ptr->what.t_ms)
            g.n++;
        g.now = count_short(f, of_instance, g.ptr, g.n, &g.best);
        fn(arg, &g);
        i += g.n;
    }
    mem_free(of_instance);
    vec_done(&all);
}

struct verdict {
    struct distribute_result *r;
    struct distribute_shorts *all; /* may be NULL */
    bool may_improve;
};

static void judge_group(void *arg, const struct group *g)
{
    struct verdict *v = arg;

    v->may_improve = v->may_improve || g->best < g->now;
    v->r->rejected[g->ptr->what.reason] += g->now;
    if (g->now && v->r->n_examples < DISTRIBUTE_MAX_EXAMPLES)
        v->r->examples[v->r->n_examples++] = g->ptr->what;
    if (g->now && v->all)
        vec_push(v->all, ((struct distribute_refusal){g->ptr->what, g->now}));
}

bool distribute_judge(const struct flight *f, struct distribute_result *r,
                      struct distribute_shorts *ret_all)
{
    struct verdict v = {r, ret_all, false};

    each_group(f, judge_group, &v);
    return v.may_improve;
}

/* ---- late ---- */

/* Of a replica: n refusals of one time of one series, `now` of which no quorum took either. */
static void owe(struct flight *f, const struct refusal *r, size_t n, uint64_t now)
{
    struct target *t = &f->targets[r->target];
    uint64_t late = 0, owed;

    for (size_t i = 0; i < n; i++)
        late += r[i].what.reason == BATCH_OUT_OF_ORDER || r[i].what.reason == BATCH_TOO_OLD;
    owed = n > now ? ORR_MIN(n - now, late) : 0;
    if (n > now)
        METRIC_ADD(f->d->m.missed_samples, n - now - owed);
    if (!owed)
        return;
    t->late_owed += owed;
    vec_push(&t->late, ((struct target_late){r->what.series, r->what.t_ms}));
}

static void owe_group(void *arg, const struct group *g)
{
    for (size_t i = 0, n; i < g->n; i += n) {
        for (n = 1; i + n < g->n && g->ptr[i + n].target == g->ptr[i].target; n++)
            ;
        owe(arg, &g->ptr[i], n, g->now);
    }
}

/* False: it refused what it was not sent. */
static bool write_late(struct target *t)
{
    struct flight *f = t->f;
    struct batch_writer w;

    batch_writer_init(&w, t->late.ptr->t_ms);
    for (size_t i = 0, n; i < t->late.len; i += n) {
        const struct target_late *first = &t->late.ptr[i];

        for (n = 1; i + n < t->late.len && t->late.ptr[i + n].series == first->series; n++)
            ;
        t->late_sent += distribute_write_times(&w, &f->p->series.ptr[first->series], first, n);
    }
    buf_reset(&t->bytes);
    batch_finish(&w, &t->bytes);
    batch_writer_done(&w);
    t->late_owed = ORR_MIN(t->late_owed, t->late_sent);
    t->is_late = t->late_sent > 0;
    return t->is_late;
}

size_t distribute_judge_late(struct flight *f)
{
    size_t n = 0;

    if (!f->p)
        return 0; /* lines are taken in any order */
    each_group(f, owe_group, f);
    for (size_t i = 0; i < f->n_targets; i++)
        n += f->targets[i].late.len && write_late(&f->targets[i]);
    return n;
}
