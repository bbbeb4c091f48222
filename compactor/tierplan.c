#include "compactor/tierplan.h"

#include "common/base/vec.h"

struct planning {
    const struct tierplan_opts *opts;
    struct arena *arena;
    int64_t now_ms, due_ms;
    levels_skip_fn *skip;
    void *arg;
    VEC(struct levels_job) jobs;
};

/* Blocks of one tier, in the order of the catalogue. */
static struct catalogue_block *of_tier(struct arena *a, const struct catalogue_block *blocks,
                                       size_t n, unsigned tier, size_t *ret_n)
{
    struct catalogue_block *out = arena_array(a, struct catalogue_block, n);

    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        if (tier_of(blocks[i].resolution_ms) == tier)
            out[(*ret_n)++] = blocks[i];
    return out;
}

static void plan_levels(struct planning *p, const struct levels_opts *opts,
                        const struct catalogue_block *blocks, size_t n)
{
    struct levels_job *jobs;
    size_t n_jobs;
    int64_t due_ms;

    jobs = levels_plan(opts, blocks, n, p->now_ms, p->skip, p->arg, p->arena, &n_jobs, &due_ms);
    for (size_t i = 0; i < n_jobs; i++) {
        jobs[i].resolution_ms = jobs[i].inputs[0]->resolution_ms;
        vec_push(&p->jobs, jobs[i]);
    }
    p->due_ms = ORR_MIN(p->due_ms, due_ms);
}

static bool is_in_a_job(const struct planning *p, size_t first_job, struct ulid block)
{
    for (size_t i = first_job; i < p->jobs.len; i++)
        for (size_t k = 0; k < p->jobs.ptr[i].n; k++)
            if (ulid_eq(p->jobs.ptr[i].inputs[k]->ulid, block))
                return true;
    return false;
}

/* When nothing is merged with the block any more, and it is old enough. */
static int64_t due_of(const struct planning *p, const struct levels_opts *levels, unsigned tier,
                      const struct catalogue_block *b)
{
    int64_t range_ms = levels->ranges_ms[levels->n_ranges - 1];
    int64_t end_ms = tier_window(b->max_t - 1, range_ms) + range_ms;

    return ORR_MAX(end_ms + levels->wait_ms, b->max_t + p->opts->after_ms[tier]);
}

static bool would_expire(const struct planning *p, unsigned tier, const struct catalogue_block *b)
{
    int64_t keep_ms = p->opts->keep_ms[tier];

    return keep_ms > 0 && b->max_t <= p->now_ms - keep_ms;
}

/* Blocks of the tier below, whose own jobs begin at first_job. */
static void plan_tier(struct planning *p, unsigned tier, const struct levels_opts *levels,
                      const struct tier_names *names, const struct catalogue_block *below, size_t n,
                      size_t first_job)
{
    for (size_t i = 0; i < n; i++) {
        const struct catalogue_block *b = &below[i], **inputs;
        int64_t due_ms = due_of(p, levels, tier, b);

        if ((p->skip && p->skip(p->arg, b->ulid)) || tier_names_have(names, tier, b) ||
            would_expire(p, tier, b) || is_in_a_job(p, first_job, b->ulid) ||
            (p->opts->waits && p->opts->waits(p->opts->waits_arg, b)))
            continue;
        if (due_ms > p->now_ms) {
            p->due_ms = ORR_MIN(p->due_ms, due_ms);
            continue;
        }
        inputs = arena_array(p->arena, const struct catalogue_block *, 1);
        inputs[0] = b;
        vec_push(&p->jobs, ((struct levels_job){.kind = LEVELS_DOWNSAMPLE,
                                                .min_ms = b->min_t,
                                                .max_ms = b->max_t,
                                                .due_ms = due_ms,
                                                .inputs = inputs,
                                                .n = 1,
                                                .bytes = b->bytes,
                                                .resolution_ms = tier_resolution_ms(tier)}));
    }
}

struct levels_job *tierplan(const struct tierplan_opts *opts, const struct catalogue_block *blocks,
                            size_t n, int64_t now_ms, levels_skip_fn *skip, void *arg,
                            struct arena *a, size_t *ret_n, int64_t *ret_due_ms)
{
    struct planning p = {
        .opts = opts, .arena = a, .now_ms = now_ms, .due_ms = INT64_MAX, .skip = skip, .arg = arg};
    struct tier_names *names = tier_names_new(blocks, n);
    struct levels_job *out;

    for (unsigned tier = 0; tier < TIERS; tier++) {
        const struct levels_opts *levels = tier ? &opts->coarse : &opts->levels;
        size_t n_own, first_job = p.jobs.len;
        struct catalogue_block *own = of_tier(a, blocks, n, tier, &n_own);

        plan_levels(&p, levels, own, n_own);
        if (opts->is_on && tier + 1 < TIERS)
            plan_tier(&p, tier + 1, levels, names, own, n_own, first_job);
    }
    tier_names_free(names);
    out = arena_array(a, struct levels_job, p.jobs.len);
    if (p.jobs.len)
        memcpy(out, p.jobs.ptr, p.jobs.len * sizeof(*out));
    *ret_n = p.jobs.len;
    *ret_due_ms = p.due_ms;
    vec_done(&p.jobs);
    return out;
}
