#include "compactor/levels.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/vec.h"
#include "common/block/tiers.h"
#include "common/ring/ring.h"

static const char *const kind_texts[] = {
#define X(sym, text) text,
    LEVELS_KINDS(X)
#undef X
};

const char *levels_kind_text(enum levels_kind k)
{
    return kind_texts[k];
}

/* ---- the ranges, as configured ---- */

struct err *levels_parse_ranges(struct slice text, struct levels_opts *io)
{
    struct slice rest = text, word;
    int64_t ns, ms[LEVELS_MAX_RANGES];
    size_t n = 0;

    while (slice_split(&rest, ',', &word)) {
        struct err *e = conf_parse_duration(slice_trim(word), &ns);

        if (e)
            return err_wrap(e, "block ranges \"%.*s\"", SLICE_ARG(text));
        if (ns < NS_PER_S || ns % NS_PER_MS)
            return err_new(ERR_INVALID, "block ranges \"%.*s\": less than 1s", SLICE_ARG(text));
        if (n == LEVELS_MAX_RANGES)
            return err_new(ERR_INVALID, "block ranges \"%.*s\": more than %d", SLICE_ARG(text),
                           LEVELS_MAX_RANGES);
        ms[n] = ns / NS_PER_MS;
        if (n && (ms[n] <= ms[n - 1] || ms[n] % ms[n - 1]))
            return err_new(ERR_INVALID,
                           "block ranges \"%.*s\": each must be a multiple of the one before",
                           SLICE_ARG(text));
        n++;
    }
    if (n == 0)
        return err_new(ERR_INVALID, "block ranges: none");
    memcpy(io->ranges_ms, ms, n * sizeof(*ms));
    io->n_ranges = n;
    return NULL;
}

/* ---- planning the blocks of one shard ---- */

/* One of the greatest ranges, as far as blocks begin in it. */
struct region {
    int64_t start, max_ms;
    uint32_t shards;        /* the most any of the blocks is one of; up to 1: none is of a shard */
    uint64_t bytes, series; /* of those of no shard: all; the most */
    uint32_t target;        /* shards that blocks go into when they are split; 0: they are not */
};

struct planning {
    const struct levels_opts *opts;
    struct arena *arena;
    int64_t now_ms, due_ms;
    const struct catalogue_block **blocks; /* of the shard at hand, by min_t */
    struct region *regions;                /* by start */
    size_t n_regions;
    bool *taken;
    size_t n;
    VEC(struct levels_job) jobs;
};

/* Neighbours that are gathered into one job. */
struct run {
    size_t first, n; /* in members: from the first on */
    int64_t max_ms;
    uint64_t bytes, max_bytes;
};

/* ---- into how many shards ---- */

static int64_t greatest_start(const struct levels_opts *opts, const struct catalogue_block *b)
{
    return tier_window(b->min_t, opts->ranges_ms[opts->n_ranges - 1]);
}

static bool is_too_large(const struct levels_opts *opts, uint64_t bytes, uint64_t series)
{
    return bytes > opts->max_bytes ||
           (opts->splits_by_size && opts->max_series && series > opts->max_series);
}

/* Of all the region once it is over, as it looks now. */
static uint64_t bytes_to_come(const struct planning *p, const struct region *g)
{
    const struct levels_opts *o = p->opts;
    int64_t step = o->ranges_ms[0], whole = o->ranges_ms[o->n_ranges - 1];
    uint64_t n, of = (uint64_t)(whole / step);

    if (!g->bytes || p->now_ms >= g->start + whole + o->wait_ms)
        return g->bytes;
    n = (uint64_t)ORR_MAX((ORR_MIN(g->max_ms, g->start + whole) - g->start + step - 1) / step, 1);
    return g->bytes > UINT64_MAX / of ? UINT64_MAX : g->bytes * of / n;
}

static uint32_t target_of(const struct planning *p, const struct region *g)
{
    uint64_t bytes = bytes_to_come(p, g);
    uint32_t n = 1;

    if (p->opts->split_shards > 1)
        return p->opts->split_shards;
    if (!p->opts->splits_by_size || g->shards > LEVELS_MAX_SHARDS)
        return 0;
    if (g->shards > 1)
        return g->shards;
    while (n < LEVELS_MAX_SHARDS &&
           is_too_large(p->opts, bytes / n + (bytes % n > 0), g->series / n + (g->series % n > 0)))
        n *= 2;
    return n > 1 ? n : 0;
}

static void find_regions(struct planning *p, const struct catalogue_block *blocks, size_t n)
{
    p->regions = arena_array(p->arena, struct region, n);
    for (size_t i = 0; i < n; i++) {
        const struct catalogue_block *b = &blocks[i];
        int64_t start = greatest_start(p->opts, b);
        struct region *g = &p->regions[p->n_regions];

        if (p->n_regions && g[-1].start == start) {
            g--;
        } else {
            *g = (struct region){.start = start, .max_ms = INT64_MIN};
            p->n_regions++;
        }
        g->shards = ORR_MAX(g->shards, b->shards);
        if (b->shards > 1 || b->is_pinned)
            continue;
        g->max_ms = ORR_MAX(g->max_ms, b->max_t);
        g->bytes += ORR_MIN(b->bytes, UINT64_MAX - g->bytes);
        g->series = ORR_MAX(g->series, b->series);
    }
    for (size_t i = 0; i < p->n_regions; i++)
        p->regions[i].target = target_of(p, &p->regions[i]);
}

static int by_start(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = ((const struct region *)b)->start;

    return (x > y) - (x < y);
}

static const struct region *region_of(const struct planning *p, const struct catalogue_block *b)
{
    int64_t start = greatest_start(p->opts, b);

    return bsearch(&start, p->regions, p->n_regions, sizeof(*p->regions), by_start);
}

/* Blocks of b's shard that begin where b does can go into so many shards; 0: they cannot. */
static uint32_t split_of(const struct planning *p, const struct catalogue_block *b)
{
    uint32_t target = region_of(p, b)->target;

    if (b->shards <= 1)
        return target;
    return p->opts->split_shards <= 1 && target > b->shards && target % b->shards == 0 ? target : 0;
}

/* What a job makes of inputs like b that have so much together. */
static uint32_t shards_of_job(const struct planning *p, const struct catalogue_block *b,
                              uint64_t bytes, uint64_t series)
{
    bool splits = p->opts->split_shards > 1 || region_of(p, b)->shards > 1 ||
                  is_too_large(p->opts, bytes, series);

    return splits ? split_of(p, b) : 0;
}

/* Of all inputs of a job like b. */
static uint64_t max_bytes_of(const struct planning *p, const struct catalogue_block *b)
{
    uint64_t each = p->opts->max_bytes, parts = split_of(p, b) / ORR_MAX(b->shards, 1u);

    parts = ORR_MAX(parts, 1u);
    return each > UINT64_MAX / parts ? UINT64_MAX : each * parts;
}

static bool is_due(struct planning *p, int64_t due_ms)
{
    if (due_ms <= p->now_ms)
        return true;
    p->due_ms = ORR_MIN(p->due_ms, due_ms);
    return false;
}

static void put_job(struct planning *p, enum levels_kind kind, const size_t *members, size_t n,
                    int64_t due_ms)
{
    const struct catalogue_block **inputs =
        arena_array(p->arena, const struct catalogue_block *, n);
    struct levels_job job = {.kind = kind,
                             .min_ms = p->blocks[members[0]]->min_t,
                             .max_ms = INT64_MIN,
                             .due_ms = due_ms,
                             .inputs = inputs,
                             .n = n};
    uint64_t series = 0;

    for (size_t i = 0; i < n; i++) {
        inputs[i] = p->blocks[members[i]];
        p->taken[members[i]] = true;
        job.max_ms = ORR_MAX(job.max_ms, inputs[i]->max_t);
        job.bytes += inputs[i]->bytes;
        series = ORR_MAX(series, inputs[i]->series);
    }
    if (kind != LEVELS_REWRITE)
        job.shards = shards_of_job(p, inputs[0], job.bytes, series);
    vec_push(&p->jobs, job);
}

static bool has_room(const struct planning *p, const struct run *r, const struct catalogue_block *b)
{
    return r->n < p->opts->max_inputs && r->bytes + b->bytes <= r->max_bytes;
}

static void run_add(const struct planning *p, struct run *r, const struct catalogue_block *b)
{
    if (!r->n)
        r->max_bytes = max_bytes_of(p, b);
    r->max_ms = r->n ? ORR_MAX(r->max_ms, b->max_t) : b->max_t;
    r->bytes += b->bytes;
    r->n++;
}

/* ---- 1: overlaps ---- */

static void end_overlap(struct planning *p, const size_t *members, const struct run *r)
{
    int64_t smallest = p->opts->ranges_ms[0], due_ms;

    if (r->n < 2)
        return;
    due_ms = tier_window(r->max_ms - 1, smallest) + smallest + p->opts->wait_ms;
    if (is_due(p, due_ms))
        put_job(p, LEVELS_OVERLAP, &members[r->first], r->n, due_ms);
}

static void plan_overlaps(struct planning *p)
{
    size_t *members = arena_array(p->arena, size_t, p->n);
    struct run r = {0};

    for (size_t i = 0; i < p->n; i++) {
        members[i] = i;
        if (r.n && !(p->blocks[i]->min_t < r.max_ms && has_room(p, &r, p->blocks[i]))) {
            end_overlap(p, members, &r);
            r = (struct run){.first = i};
        }
        run_add(p, &r, p->blocks[i]);
    }
    end_overlap(p, members, &r);
}

/* ---- 2: ranges ---- */

/* All members lie inside one range that is due. */
static void fill_range(struct planning *p, const size_t *members, size_t n, int64_t due_ms)
{
    struct run r = {0};

    for (size_t i = 0; i < n; i++) {
        const struct catalogue_block *b = p->blocks[members[i]];

        if (r.n && !has_room(p, &r, b)) {
            if (r.n >= 2)
                put_job(p, LEVELS_RANGE, &members[r.first], r.n, due_ms);
            r = (struct run){.first = i};
        }
        run_add(p, &r, b);
    }
    if (r.n >= 2)
        put_job(p, LEVELS_RANGE, &members[r.first], r.n, due_ms);
}

/* Every range of this length: the blocks that begin in it are neighbours. */
static void plan_ranges(struct planning *p, int64_t range_ms)
{
    size_t *members = arena_array(p->arena, size_t, p->n);
    int64_t taken_till_ms = INT64_MIN; /* how far the blocks before reach that are in a job */

    for (size_t i = 0, end; i < p->n; i = end) {
        int64_t start = tier_window(p->blocks[i]->min_t, range_ms), stop = start + range_ms;
        int64_t reach_ms = taken_till_ms;
        bool is_busy = taken_till_ms > start;
        size_t n = 0;

        for (end = i; end < p->n && p->blocks[end]->min_t < stop; end++) {
            if (p->taken[end]) {
                is_busy = true;
                reach_ms = ORR_MAX(reach_ms, p->blocks[end]->max_t);
            } else if (p->blocks[end]->max_t <= stop) {
                members[n++] = end;
            }
        }
        taken_till_ms = reach_ms;
        if (!is_busy && n >= 2 && is_due(p, stop + p->opts->wait_ms)) {
            fill_range(p, members, n, stop + p->opts->wait_ms);
            for (size_t k = i; k < end; k++)
                if (p->taken[k])
                    taken_till_ms = ORR_MAX(taken_till_ms, p->blocks[k]->max_t);
        }
    }
}

/* ---- blocks that are left, and to be split ---- */

static bool is_to_be_split(const struct planning *p, const struct catalogue_block *b)
{
    return split_of(p, b) &&
           (is_too_large(p->opts, b->bytes, b->series) || region_of(p, b)->shards > 1);
}

static void plan_splits(struct planning *p)
{
    int64_t range_ms = p->opts->ranges_ms[ORR_MIN(p->opts->n_ranges - 1, (size_t)1)];

    for (size_t i = 0; i < p->n; i++) {
        int64_t due_ms =
            tier_window(p->blocks[i]->max_t - 1, range_ms) + range_ms + p->opts->wait_ms;

        if (!p->taken[i] && is_to_be_split(p, p->blocks[i]) && is_due(p, due_ms))
            put_job(p, LEVELS_SPLIT, &i, 1, due_ms);
    }
}

/* ---- 3: rewrites ---- */

static void plan_rewrite(struct planning *p, size_t i)
{
    int64_t due_ms = p->opts->rewrite(p->opts->rewrite_arg, p->blocks[i]->ulid);

    if (due_ms != INT64_MAX && is_due(p, due_ms))
        put_job(p, LEVELS_REWRITE, &i, 1, due_ms);
}

static void plan_rewrites(struct planning *p)
{
    for (size_t i = 0; i < p->n && p->opts->rewrite; i++)
        if (!p->taken[i])
            plan_rewrite(p, i);
}

/* A block that is pinned, or too large to be merged with others. */
static void plan_alone(struct planning *p, const struct catalogue_block *b)
{
    p->blocks[0] = b;
    p->taken[0] = false;
    p->n = 1;
    plan_rewrites(p);
}

/* ---- all of it ---- */

static bool is_same_shard(const struct catalogue_block *a, const struct catalogue_block *b)
{
    return ORR_MAX(a->shards, 1u) == ORR_MAX(b->shards, 1u) && a->shard == b->shard;
}

/* Takes the blocks of the first one's shard out of rest, which keeps its order. */
static void take_shard(struct planning *p, const struct catalogue_block **rest, size_t *io_n)
{
    const struct catalogue_block *first = rest[0];
    size_t kept = 0;

    p->n = 0;
    for (size_t i = 0; i < *io_n; i++) {
        if (is_same_shard(rest[i], first))
            p->blocks[p->n++] = rest[i];
        else
            rest[kept++] = rest[i];
    }
    memset(p->taken, 0, p->n * sizeof(*p->taken));
    *io_n = kept;
}

struct levels_job *levels_plan(const struct levels_opts *opts, const struct catalogue_block *blocks,
                               size_t n, int64_t now_ms, levels_skip_fn *skip, void *arg,
                               struct arena *a, size_t *ret_n, int64_t *ret_due_ms)
{
    struct planning p = {.opts = opts, .arena = a, .now_ms = now_ms, .due_ms = INT64_MAX};
    const struct catalogue_block **rest = arena_array(a, const struct catalogue_block *, n);
    struct levels_job *out;
    size_t left = 0;

    p.blocks = arena_array(a, const struct catalogue_block *, n);
    p.taken = arena_array(a, bool, n);
    find_regions(&p, blocks, n);
    for (size_t i = 0; i < n; i++) {
        if (skip && skip(arg, blocks[i].ulid))
            continue;
        if (!blocks[i].is_pinned && blocks[i].bytes <= max_bytes_of(&p, &blocks[i]))
            rest[left++] = &blocks[i];
        else
            plan_alone(&p, &blocks[i]);
    }
    while (left) {
        take_shard(&p, rest, &left);
        plan_overlaps(&p);
        for (size_t i = opts->n_ranges; i-- > 0;)
            plan_ranges(&p, opts->ranges_ms[i]);
        plan_splits(&p);
        plan_rewrites(&p);
    }
    out = arena_array(a, struct levels_job, p.jobs.len);
    if (p.jobs.len)
        memcpy(out, p.jobs.ptr, p.jobs.len * sizeof(*out));
    *ret_n = p.jobs.len;
    *ret_due_ms = p.due_ms;
    vec_done(&p.jobs);
    return out;
}

/* ---- by their ends ---- */

static int cmp_block(const void *a, const void *b)
{
    const struct catalogue_block *x = a, *y = b;

    if (x->min_t != y->min_t)
        return x->min_t < y->min_t ? -1 : 1;
    return ulid_cmp(x->ulid, y->ulid);
}

const struct catalogue_block *levels_by_end(const struct catalogue_block *blocks, size_t n,
                                            struct arena *a)
{
    struct catalogue_block *out = arena_array(a, struct catalogue_block, n);

    for (size_t i = 0; i < n; i++) {
        out[i] = blocks[i];
        out[i].min_t = ORR_MAX(out[i].max_t - 1, out[i].min_t);
    }
    if (n)
        qsort(out, n, sizeof(*out), cmp_block);
    return out;
}

/* ---- names ---- */

struct ulid levels_block_id(struct slice tenant, const struct levels_job *job)
{
    struct slice *parts = mem_new_array(struct slice, job->n + 3);
    bool is_coarser = job->kind == LEVELS_DOWNSAMPLE;
    int64_t newest_ms = 0;
    struct ulid id;

    parts[0] = SLICE("levels");
    parts[1] = tenant;
    for (size_t i = 0; i < job->n; i++) {
        const struct ulid *u = &job->inputs[i]->ulid;

        parts[i + 2] = slice_of(u->bytes, sizeof(u->bytes));
        newest_ms = ORR_MAX(newest_ms, ulid_time_ms(*u));
    }
    if (is_coarser) {
        parts[0] = SLICE("downsample");
        parts[job->n + 2] = job->resolution_ms == AGGR_5M_MS ? SLICE("5m") : SLICE("1h");
    }
    id = ulid_derive(newest_ms, parts, job->n + 2 + is_coarser);
    mem_free(parts);
    return id;
}

uint32_t levels_key(const struct levels_opts *opts, struct slice tenant,
                    const struct levels_job *job)
{
    int64_t start = tier_window(job->min_ms, opts->ranges_ms[opts->n_ranges - 1]);
    char text[256];
    int n = snprintf(text, sizeof(text), "%.*s/%lld", SLICE_ARG(tenant), (long long)start);

    return ring_key(slice_of(text, ORR_MIN((size_t)n, sizeof(text) - 1)));
}
