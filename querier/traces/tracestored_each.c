/* Something that is asked of each block of a view: side by side where blocks are far away, within the query's memory. */
#include "common/base/job.h"
#include "common/objstore/objstore.h"
#include "querier/traces/tracestored_internal.h"

/* ---- memory of a block's ---- */

void tracestored_charge(struct store_query *sq, struct tracestored_part *p)
{
    size_t used = p->arena ? arena_used(p->arena) : 0;

    arena_charge(sq->opts.arena, (int64_t)used - (int64_t)p->charged);
    p->charged = used;
}

void tracestored_end(struct store_query *sq, struct tracestored_part *p)
{
    arena_free(p->arena);
    p->arena = NULL;
    tracestored_charge(sq, p);
}

struct err *tracestored_too_much(const struct store_query *sq)
{
    return err_new(ERR_LIMIT,
                   "the query takes more than max-query-memory (%zu bytes): ask for less time, or "
                   "for fewer traces by a filter",
                   arena_limit(sq->opts.arena));
}

void tracestored_count(struct store_query *sq, const struct traceblock_stats *st)
{
    store_count_traces(sq, &(struct store_traces_stats){.groups = st->groups,
                                                        .groups_skipped = st->groups_skipped,
                                                        .bytes = st->bytes,
                                                        .spans = st->spans});
}

/* ---- all blocks ---- */

struct asking {
    struct store_query *sq;
    struct tracestored_part *parts;
    struct objstore_tally *tally; /* of the thread that asks */
    size_t left;                  /* to the query, before the first of them */
    _Atomic size_t used;          /* by those that were asked: they are charged when all were */
    tracestored_each_fn *fn;
    void *arg;
    struct err **errs;
};

static void ask_one(void *arg, size_t i)
{
    struct asking *k = arg;
    struct tracestored_part *p = &k->parts[i];
    struct objstore_tally *before;

    if (atomic_load_explicit(&k->used, memory_order_relaxed) > k->left) {
        k->errs[i] = tracestored_too_much(k->sq);
        return;
    }
    p->arena = arena_new(k->left == SIZE_MAX ? 0 : ORR_MAX(k->left, (size_t)1));
    before = objstore_tally_set(k->tally);
    k->errs[i] = k->fn(k->arg, i, p->arena);
    (void)objstore_tally_set(before);
    atomic_fetch_add_explicit(&k->used, arena_used(p->arena), memory_order_relaxed);
}

struct err *tracestored_each(struct store_query *sq, const struct blockset_view *v,
                             struct tracestored_part *parts, tracestored_each_fn *fn, void *arg)
{
    struct job_pool *pool = v->n > 1 ? store_traces_jobs(sq) : NULL;
    struct asking k = {.sq = sq,
                       .parts = parts,
                       .tally = objstore_tally_get(),
                       .left = arena_left(sq->opts.arena),
                       .fn = fn,
                       .arg = arg};
    struct err *e = NULL;

    k.errs = mem_calloc(v->n + 1, sizeof(*k.errs));
    if (pool)
        job_parallel(pool, v->n, ask_one, &k);
    for (size_t i = 0; i < v->n; i++) {
        if (!pool && !e)
            ask_one(&k, i);
        tracestored_charge(sq, &parts[i]);
        e = err_first(e, err_wrap(k.errs[i], "block %s", ulid_print(v->meta[i].ulid).s));
    }
    mem_free(k.errs);
    return e;
}

/* ---- ids ---- */

struct reading {
    const struct blockset_view *view;
    struct traceblock_query q;
    struct store_query *sq;
    struct traceids_set *ret;
};

static struct err *read_ids(void *arg, size_t i, struct arena *a)
{
    struct reading *r = arg;
    struct arena *of_block = arena_child(a, 0);
    struct traceblock_stats st;
    struct traceblock_set *set;
    struct traceblock_trace t;
    struct err *e = traceblock_select(r->view->traces[i], of_block, &r->q, &set);

    if (!e) {
        while (!arena_over(a) && traceblock_set_next(set, &t))
            traceids_set_add(a, &r->ret[i], t.id);
        traceblock_set_stats(set, &st);
        tracestored_count(r->sq, &st);
        e = traceblock_set_close(set);
    }
    arena_free(of_block);
    return e ? e : arena_over(a) ? tracestored_too_much(r->sq) : NULL;
}

struct err *tracestored_ids(struct store_query *sq, const struct blockset_view *v,
                            const struct traceblock_query *q, struct tracestored_part *parts,
                            struct traceids_set *ret)
{
    struct reading r = {v, *q, sq, ret};

    r.q.ids_only = true;
    return tracestored_each(sq, v, parts, read_ids, &r);
}
