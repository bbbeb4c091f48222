#include <stdlib.h>

#include "common/base/rng.h"
#include "common/base/vec.h"
#include "compactor/levels.h"
#include "tests/unit/test.h"

#define H 3600000ll
#define DAY (24 * H)
#define T0 (20000 * DAY)
#define SEEDS 300

static const struct levels_opts defaults = {.ranges_ms = {2 * H, 12 * H, 24 * H},
                                            .n_ranges = 3,
                                            .wait_ms = H / 2,
                                            .max_inputs = 64,
                                            .max_bytes = 1u << 30};

static struct ulid id_of(uint64_t i)
{
    uint8_t entropy[10] = {0};

    memcpy(entropy, &i, sizeof(i));
    return ulid_make(T0, entropy);
}

/* A catalogue, the blocks that each input has ended in, and what a planner makes of it. */
struct fixture {
    struct catalogue *c;
    struct arena *a;
    const struct levels_opts *opts;
    struct levels_job *jobs;
    size_t n;
    int64_t due_ms, now_ms;
    struct ulid quarantined;
};

static void setup(struct fixture *f, int64_t now_ms)
{
    *f = (struct fixture){.c = catalogue_new(SLICE("metrics"), SLICE("t")),
                          .a = arena_new(0),
                          .opts = &defaults,
                          .now_ms = now_ms};
}

static void teardown(struct fixture *f)
{
    catalogue_free(f->c);
    arena_free(f->a);
}

static void add_sized(struct fixture *f, uint64_t i, int64_t min_t, int64_t max_t, uint64_t bytes)
{
    struct ulid_text text = ulid_print(id_of(i));
    struct slice seg = slice_cstr(text.s);

    catalogue_add(f->c, &(struct catalogue_block){.ulid = id_of(i),
                                                  .min_t = min_t,
                                                  .max_t = max_t,
                                                  .level = 1,
                                                  .segments = &seg,
                                                  .n_segments = 1,
                                                  .bytes = bytes});
}

static void add(struct fixture *f, uint64_t i, int64_t min_h, int64_t max_h)
{
    add_sized(f, i, T0 + min_h * H, T0 + max_h * H, 1000);
}

static bool is_quarantined(void *arg, struct ulid u)
{
    return ulid_eq(((struct fixture *)arg)->quarantined, u);
}

static size_t plan_now(struct fixture *f)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);

    f->jobs = levels_plan(f->opts, b, n, f->now_ms, is_quarantined, f, f->a, &f->n, &f->due_ms);
    return f->n;
}

TEST(levels_merges_what_overlaps_once_its_window_is_over)
{
    struct fixture f;

    setup(&f, T0 + 2 * H);
    add(&f, 1, 0, 2);
    add(&f, 2, 1, 2);
    CHECK_INT(plan_now(&f), 0);
    CHECK_INT(f.due_ms, T0 + 2 * H + H / 2);
    f.now_ms = f.due_ms;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].kind, LEVELS_OVERLAP);
    CHECK_INT(f.jobs[0].n, 2);
    CHECK_INT(f.jobs[0].min_ms, T0);
    CHECK_INT(f.jobs[0].max_ms, T0 + 2 * H);
    CHECK_INT(f.jobs[0].bytes, 2000);
    teardown(&f);
}

TEST(levels_leaves_pinned_blocks_alone)
{
    struct catalogue_block pinned;
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    for (int i = 0; i < 3; i++)
        add(&f, 1 + i, 0, 2);
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 3);
    pinned = *f.jobs[0].inputs[1];
    pinned.is_pinned = true;
    catalogue_add(f.c, &pinned);
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK(!ulid_eq(f.jobs[0].inputs[i]->ulid, pinned.ulid));
    teardown(&f);
}

static int64_t always(void *arg, struct ulid block)
{
    (void)arg;
    (void)block;
    return 0;
}

TEST(levels_rewrites_pinned_blocks_each_by_itself)
{
    struct catalogue_block pinned[2];
    struct levels_opts opts = defaults;
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    for (int i = 0; i < 2; i++)
        add(&f, 1 + i, 0, 2);
    CHECK_INT(plan_now(&f), 1);
    for (int i = 0; i < 2; i++) {
        pinned[i] = *f.jobs[0].inputs[i];
        pinned[i].is_pinned = true;
    }
    for (int i = 0; i < 2; i++)
        catalogue_add(f.c, &pinned[i]);
    CHECK_INT(plan_now(&f), 0);
    opts.rewrite = always;
    f.opts = &opts;
    CHECK_INT(plan_now(&f), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(f.jobs[i].kind, LEVELS_REWRITE);
        CHECK_INT(f.jobs[i].n, 1);
    }
    teardown(&f);
}

TEST(levels_goes_up_when_a_range_is_due)
{
    struct fixture f;

    setup(&f, T0 + 12 * H);
    for (int i = 0; i < 6; i++)
        add(&f, 1 + i, 2 * i, 2 * i + 2);
    CHECK_INT(plan_now(&f), 0);
    CHECK_INT(f.due_ms, T0 + 12 * H + H / 2);
    f.now_ms = f.due_ms;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].kind, LEVELS_RANGE);
    CHECK_INT(f.jobs[0].n, 6);
    f.now_ms = T0 + 24 * H + H / 2; /* a backlog: the greatest range at once */
    for (int i = 6; i < 12; i++)
        add(&f, 1 + i, 2 * i, 2 * i + 2);
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 12);
    teardown(&f);
}

TEST(levels_does_not_touch_a_range_in_which_an_overlap_is_merged)
{
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    add(&f, 1, 0, 2);
    add(&f, 2, 2, 4);
    add(&f, 3, 2, 4);
    add(&f, 4, 20, 22);
    add(&f, 5, 24, 26);
    add(&f, 6, 26, 28);
    CHECK_INT(plan_now(&f), 2);
    CHECK_INT(f.jobs[0].kind, LEVELS_OVERLAP);
    CHECK_INT(f.jobs[0].n, 2);
    CHECK_INT(f.jobs[1].kind, LEVELS_RANGE);
    CHECK_INT(f.jobs[1].min_ms, T0 + 24 * H);
    teardown(&f);
}

TEST(levels_leaves_blocks_across_bounds_quarantined_and_large_ones_alone)
{
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    add(&f, 1, 22, 26); /* crosses the day */
    add(&f, 2, 0, 2);
    CHECK_INT(plan_now(&f), 0);
    add(&f, 3, 2, 4);
    f.quarantined = id_of(3);
    CHECK_INT(plan_now(&f), 0);
    f.quarantined = id_of(99);
    CHECK_INT(plan_now(&f), 1);
    catalogue_retire(f.c, id_of(3), 1);
    add_sized(&f, 4, T0 + 2 * H, T0 + 4 * H, (1u << 30) + 1);
    CHECK_INT(plan_now(&f), 0);
    teardown(&f);
}

TEST(levels_keeps_shards_apart)
{
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    for (unsigned i = 0; i < 4; i++)
        catalogue_add(
            f.c,
            &(struct catalogue_block){
                .ulid = id_of(i + 1), .min_t = T0, .max_t = T0 + H, .shard = i % 2, .shards = 2});
    CHECK_INT(plan_now(&f), 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(f.jobs[i].n, 2);
        CHECK_INT(f.jobs[i].inputs[0]->shard, f.jobs[i].inputs[1]->shard);
    }
    teardown(&f);
}

TEST(levels_names_a_block_by_tenant_and_inputs)
{
    struct fixture f;
    struct ulid first;

    setup(&f, T0 + 10 * DAY);
    add(&f, 1, 0, 2);
    add(&f, 2, 0, 2);
    CHECK_INT(plan_now(&f), 1);
    first = levels_block_id(SLICE("t"), &f.jobs[0]);
    CHECK(ulid_eq(first, levels_block_id(SLICE("t"), &f.jobs[0])));
    CHECK(!ulid_eq(first, levels_block_id(SLICE("u"), &f.jobs[0])));
    CHECK_INT(ulid_time_ms(first), T0);
    f.jobs[0].n = 1;
    CHECK(!ulid_eq(first, levels_block_id(SLICE("t"), &f.jobs[0])));
    teardown(&f);
}

TEST(levels_ranges_are_checked)
{
    struct levels_opts o = {0};

    CHECK_OK(levels_parse_ranges(SLICE("2h, 12h,24h"), &o));
    CHECK_INT(o.n_ranges, 3);
    CHECK_INT(o.ranges_ms[2], DAY);
    CHECK_ERR(levels_parse_ranges(SLICE(""), &o), ERR_INVALID, "block ranges");
    CHECK_ERR(levels_parse_ranges(SLICE("2h,3h"), &o), ERR_INVALID, "block ranges");
    CHECK_ERR(levels_parse_ranges(SLICE("2h,2h"), &o), ERR_INVALID, "block ranges");
    CHECK_ERR(levels_parse_ranges(SLICE("2h,x"), &o), ERR_INVALID, "block ranges");
    CHECK_ERR(levels_parse_ranges(SLICE("1ms"), &o), ERR_INVALID, "block ranges");
    CHECK_ERR(levels_parse_ranges(SLICE("1s,2s,4s,8s,16s,32s,64s,128s,256s"), &o), ERR_INVALID,
              "block ranges");
    CHECK_INT(o.n_ranges, 3);
}

/* ---- properties, from seeds ---- */

static void add_random(struct fixture *f, struct rng *r, uint64_t i)
{
    int64_t min_t = T0 - 3 * DAY + (int64_t)rng_below(r, 6 * DAY / H) * H, len = 2 * H;

    if (rng_chance(r, 0.5))
        min_t -= ((min_t % len) + len) % len; /* as flushes make them */
    else if (rng_chance(r, 0.5))
        min_t += (int64_t)rng_below(r, (uint64_t)H);
    else
        len = (int64_t)rng_below(r, (uint64_t)DAY) + 1;
    add_sized(f, i, min_t, min_t + len, rng_below(r, 100000));
}

/* Inputs are live, each in one job; what is planned is due, bounded, and inside its range. */
static void check_jobs(struct fixture *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct levels_job *j = &f->jobs[i];

        CHECK(j->n >= 2 && j->n <= f->opts->max_inputs && j->bytes <= f->opts->max_bytes);
        CHECK(j->max_ms + f->opts->wait_ms <= f->now_ms && j->due_ms <= f->now_ms);
        CHECK(j->kind != LEVELS_RANGE || j->max_ms - j->min_ms <= DAY);
        for (size_t k = 0; k < j->n; k++) {
            CHECK(catalogue_find(f->c, j->inputs[k]->ulid) == j->inputs[k]);
            for (size_t o = 0; o < i; o++)
                for (size_t m = 0; m < f->jobs[o].n; m++)
                    CHECK(f->jobs[o].inputs[m] != j->inputs[k]);
        }
    }
}

/* As levelmerge.c changes the catalogue. */
static void do_job(struct fixture *f, const struct levels_job *j)
{
    VEC(struct slice) segments = {0};
    VEC(struct ulid) inputs = {0};
    struct catalogue_block out = {.ulid = levels_block_id(SLICE("t"), j),
                                  .min_t = j->min_ms,
                                  .max_t = j->max_ms,
                                  .bytes = j->bytes};

    for (size_t i = 0; i < j->n; i++) {
        vec_push(&inputs, j->inputs[i]->ulid);
        for (size_t k = 0; k < j->inputs[i]->n_segments; k++)
            vec_push(&segments, j->inputs[i]->segments[k]);
    }
    VEC_FOREACH (u, &inputs)
        CHECK(catalogue_retire(f->c, *u, 1));
    out.segments = segments.ptr;
    out.n_segments = segments.len;
    CHECK(!catalogue_find(f->c, out.ulid));
    catalogue_add(f->c, &out);
    vec_done(&segments);
    vec_done(&inputs);
}

/* Each of the n first blocks is in one live block and no other. */
static void check_sources(struct fixture *f, uint64_t n)
{
    size_t blocks;
    const struct catalogue_block *b = catalogue_blocks(f->c, &blocks);

    for (uint64_t i = 1; i <= n; i++) {
        struct ulid_text text = ulid_print(id_of(i));
        size_t found = 0;

        for (size_t k = 0; k < blocks; k++)
            for (size_t s = 0; s < b[k].n_segments; s++)
                found += slice_eq_cstr(b[k].segments[s], text.s);
        CHECK_INT(found, 1);
    }
}

static void check_no_overlap(struct fixture *f)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);
    int64_t max_t = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        CHECK(b[i].min_t >= max_t);
        max_t = ORR_MAX(max_t, b[i].max_t);
    }
}

TEST(levels_ends_with_each_source_once_and_no_overlap)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct levels_opts opts = defaults;
        struct fixture f;
        struct rng r;
        uint64_t n, rounds = 0;

        rng_seed(&r, seed);
        opts.max_inputs = 2 + rng_below(&r, 10);
        setup(&f, T0 - 4 * DAY + (int64_t)rng_below(&r, 8 * DAY));
        f.opts = &opts;
        n = 1 + rng_below(&r, 60);
        for (uint64_t i = 1; i <= n; i++)
            add_random(&f, &r, i);
        for (
            ;;
            rounds++) { /* each round does some of the jobs, in any order, as several processes do */
            if (plan_now(&f) == 0 && f.due_ms == INT64_MAX)
                break;
            check_jobs(&f);
            if (f.n == 0)
                f.now_ms = f.due_ms;
            /* the jobs are lent by the catalogue: one at a time, and then the others from a plan anew */
            else
                do_job(&f, &f.jobs[rng_below(&r, f.n)]);
            check_sources(&f, n);
            CHECK(rounds < 1000);
        }
        check_no_overlap(&f);
        teardown(&f);
    }
}

TEST(levels_within_its_bytes_leaves_nothing_that_fits_together)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct levels_opts opts = defaults;
        struct fixture f;
        struct rng r;
        uint64_t n;

        rng_seed(&r, seed);
        opts.max_bytes = 150000;
        setup(&f, T0 + 30 * DAY);
        f.opts = &opts;
        n = 1 + rng_below(&r, 60);
        for (uint64_t i = 1; i <= n; i++)
            add_random(&f, &r, i);
        while (plan_now(&f)) {
            check_jobs(&f);
            do_job(&f, &f.jobs[rng_below(&r, f.n)]);
        }
        CHECK_INT(f.due_ms, INT64_MAX);
        check_sources(&f, n);
        teardown(&f);
    }
}

/* ---- rewrites ---- */

/* As do_job(), of what was planned by ends: the block has the times of its inputs. */
static void do_by_end(struct fixture *f, const struct levels_job *j)
{
    struct catalogue_block out = {.ulid = levels_block_id(SLICE("t"), j), .min_t = INT64_MAX};

    for (size_t i = 0; i < j->n; i++) {
        const struct catalogue_block *in = catalogue_find(f->c, j->inputs[i]->ulid);

        out.min_t = ORR_MIN(out.min_t, in->min_t);
        out.max_t = ORR_MAX(out.max_t, in->max_t);
        out.bytes += in->bytes;
    }
    for (size_t i = 0; i < j->n; i++)
        CHECK(catalogue_retire(f->c, j->inputs[i]->ulid, 1));
    catalogue_add(f->c, &out);
}

/* Log lines: each window's block overlaps those beside it, and some reach back for days. */
TEST(levels_by_end_merges_each_block_at_most_once_a_level)
{
    uint64_t written = 0, flushed = 0;
    const struct catalogue_block *b;
    struct fixture f;
    size_t n;

    setup(&f, T0);
    for (uint64_t w = 0; w < 5 * 12; w++) {
        int64_t start = T0 + (int64_t)w * 2 * H, late = w % 7 == 3 ? 3 * DAY : 5000;

        add_sized(&f, w + 1, start - late, start + 2 * H + 900000, 1000);
        flushed += 1000;
        for (f.now_ms = start + 2 * H + 900000; f.now_ms < start + 4 * H + 900000;
             f.now_ms += H / 4) {
            b = catalogue_blocks(f.c, &n);
            f.jobs = levels_plan(f.opts, levels_by_end(b, n, f.a), n, f.now_ms, NULL, NULL, f.a,
                                 &f.n, &f.due_ms);
            for (size_t i = 0; i < f.n; i++) {
                CHECK_INT(f.jobs[i].kind, LEVELS_RANGE);
                written += f.jobs[i].bytes;
                do_by_end(&f, &f.jobs[i]);
            }
        }
    }
    CHECK(written <= 2 * flushed);
    b = catalogue_blocks(f.c, &n);
    CHECK(n <= 4 + 1 + 6 + 1); /* whole days, half a day, what is left, what came last */
    for (size_t i = 0; i < n; i++)
        CHECK(b[i].bytes <= 12 * 1000);
    teardown(&f);
}

static int64_t rewrite_odd(void *arg, struct ulid block)
{
    const struct fixture *f = arg;

    for (uint64_t i = 1; i < 10; i += 2)
        if (ulid_eq(block, id_of(i)))
            return f->now_ms - 7;
    return INT64_MAX;
}

TEST(levels_rewrites_what_no_merge_takes_along)
{
    struct levels_opts opts = defaults;
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    opts.rewrite = rewrite_odd;
    opts.rewrite_arg = &f;
    f.opts = &opts;
    add(&f, 1, 0, 24);
    add(&f, 2, 24, 48);
    add(&f, 3, 48, 50); /* merged with 4 */
    add(&f, 4, 50, 52);
    add_sized(&f, 5, T0 + 72 * H, T0 + 96 * H, 2u << 30); /* too large to be merged with others */
    add_sized(&f, 6, T0 + 72 * H, T0 + 96 * H, 2u << 30);
    add(&f, 7, 96, 98);
    f.quarantined = id_of(7);
    CHECK_INT(plan_now(&f), 3);
    for (size_t i = 0; i < f.n; i++) {
        bool is_rewrite = f.jobs[i].kind == LEVELS_REWRITE;
        struct ulid first = f.jobs[i].inputs[0]->ulid;

        CHECK_INT(f.jobs[i].n, is_rewrite ? 1 : 2);
        CHECK(ulid_eq(first, id_of(is_rewrite ? (f.jobs[i].bytes == 1000 ? 1 : 5) : 3)));
        CHECK(!is_rewrite || f.jobs[i].due_ms == f.now_ms - 7);
    }
    CHECK_INT(f.due_ms, INT64_MAX);
    teardown(&f);
}

/* ---- shards ---- */

TEST(levels_splits_blocks_of_no_shard)
{
    struct levels_opts opts = defaults;
    struct fixture f;

    setup(&f, T0 + 12 * H + H / 2);
    opts.split_shards = 4;
    f.opts = &opts;
    add(&f, 1, 0, 2);
    add(&f, 2, 2, 4);
    CHECK_INT(plan_now(&f), 1); /* two become four */
    CHECK_INT(f.jobs[0].kind, LEVELS_RANGE);
    CHECK_INT(f.jobs[0].shards, 4);
    catalogue_free(f.c);
    f.c = catalogue_new(SLICE("metrics"), SLICE("t"));
    for (uint32_t i = 0; i < 4; i++)
        catalogue_add(f.c, &(struct catalogue_block){.ulid = id_of(i),
                                                     .min_t = T0,
                                                     .max_t = T0 + 4 * H,
                                                     .bytes = 1000,
                                                     .shard = i,
                                                     .shards = 4});
    CHECK_INT(plan_now(&f), 0);
    add(&f, 9, 3, 4); /* a late one: split, then each shard merges */
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].kind, LEVELS_SPLIT);
    CHECK_INT(f.jobs[0].n, 1);
    CHECK_INT(f.jobs[0].shards, 4);
    CHECK_INT(f.jobs[0].due_ms, T0 + 12 * H + H / 2);
    f.now_ms--;
    CHECK_INT(plan_now(&f), 0);
    CHECK_INT(f.due_ms, f.now_ms + 1);
    for (uint32_t i = 0; i < 4; i++)
        catalogue_add(f.c, &(struct catalogue_block){.ulid = id_of(20 + i),
                                                     .min_t = T0 + 3 * H,
                                                     .max_t = T0 + 4 * H,
                                                     .bytes = 1000,
                                                     .shard = i,
                                                     .shards = 4});
    CHECK(catalogue_retire(f.c, id_of(9), 1));
    f.now_ms++;
    CHECK_INT(plan_now(&f), 4);
    for (size_t i = 0; i < 4; i++)
        CHECK(f.jobs[i].n == 2 && f.jobs[i].shards == 0 &&
              f.jobs[i].inputs[0]->shard == f.jobs[i].inputs[1]->shard);
    teardown(&f);
}

TEST(levels_splits_more_bytes_than_it_merges)
{
    struct levels_opts opts = defaults;
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    opts.max_bytes = 1000;
    f.opts = &opts;
    add_sized(&f, 1, T0, T0 + 2 * H, 1500);
    add_sized(&f, 2, T0 + 2 * H, T0 + 4 * H, 2500);
    CHECK_INT(plan_now(&f), 0);
    opts.split_shards = 4;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 2);
    opts.split_shards = 3; /* each by itself */
    CHECK_INT(plan_now(&f), 2);
    CHECK_INT(f.jobs[0].kind, LEVELS_SPLIT);
    opts.split_shards = 2;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].bytes, 1500);
    teardown(&f);
}

/* ---- shards by size ---- */

static void add_of(struct fixture *f, uint64_t i, int64_t min_h, int64_t max_h, uint64_t bytes,
                   uint64_t series)
{
    catalogue_add(f->c, &(struct catalogue_block){.ulid = id_of(i),
                                                  .min_t = T0 + min_h * H,
                                                  .max_t = T0 + max_h * H,
                                                  .bytes = bytes,
                                                  .series = series});
}

static void add_shard(struct fixture *f, uint64_t i, int64_t min_h, int64_t max_h, uint32_t shard,
                      uint32_t shards)
{
    catalogue_add(f->c, &(struct catalogue_block){.ulid = id_of(i),
                                                  .min_t = T0 + min_h * H,
                                                  .max_t = T0 + max_h * H,
                                                  .bytes = 100,
                                                  .shard = shard,
                                                  .shards = shards});
}

static struct levels_opts by_size(uint64_t max_bytes, uint64_t max_series)
{
    struct levels_opts opts = defaults;

    opts.splits_by_size = true;
    opts.max_bytes = max_bytes;
    opts.max_series = max_series;
    return opts;
}

TEST(levels_chooses_shards_when_a_range_is_too_large_for_one_block)
{
    struct levels_opts opts = by_size(1000, 0);
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    f.opts = &opts;
    for (int i = 0; i < 12; i++)
        add_of(&f, 1 + i, 2 * i, 2 * i + 2, 100, 50);
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 12);
    CHECK_INT(f.jobs[0].shards, 2); /* 1200 in blocks of 1000 */
    opts.max_bytes = 299;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 8);
    opts.max_bytes = 1200;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 0);
    opts.max_series = 49; /* the same 50 series, two hours after two hours */
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 2);
    opts.max_series = 50;
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 0);
    opts = by_size(2, 0); /* no more than 64, of 128 bytes together: each by itself */
    CHECK_INT(plan_now(&f), 12);
    CHECK(f.jobs[0].kind == LEVELS_SPLIT && f.jobs[0].shards == LEVELS_MAX_SHARDS);
    teardown(&f);
}

TEST(levels_chooses_for_the_day_and_not_for_the_hours_it_has_seen)
{
    struct levels_opts opts = by_size(1000, 0);
    struct fixture f;

    setup(&f, T0 + 12 * H + H / 2);
    f.opts = &opts;
    for (int i = 0; i < 6; i++)
        add_of(&f, 1 + i, 2 * i, 2 * i + 2, 150, 50);
    CHECK_INT(plan_now(&f), 1); /* 900 bytes are one block still */
    CHECK_INT(f.jobs[0].n, 6);
    CHECK_INT(f.jobs[0].shards, 0);
    opts.max_bytes = 800; /* half a day is not, and a day of 1800 needs four */
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].n, 6);
    CHECK_INT(f.jobs[0].shards, 4);
    f.now_ms = T0 + 10 * DAY; /* nothing more came */
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 2);
    teardown(&f);
}

TEST(levels_stays_with_the_shards_a_range_has)
{
    struct levels_opts opts = by_size(1000, 0);
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    f.opts = &opts;
    add_shard(&f, 1, 0, 12, 0, 2);
    add_shard(&f, 2, 0, 12, 1, 2);
    add_of(&f, 3, 14, 16, 900, 5);
    add_of(&f, 4, 16, 18, 900, 5);
    CHECK_INT(plan_now(&f), 1); /* together, though four would be needed without the others */
    CHECK_INT(f.jobs[0].n, 2);
    CHECK_INT(f.jobs[0].shards, 2);
    add_of(&f, 3, 36, 38, 900, 5); /* another day: for that they are none */
    add_of(&f, 4, 38, 40, 900, 5);
    CHECK_INT(plan_now(&f), 1);
    CHECK_INT(f.jobs[0].shards, 2);
    CHECK_INT(f.jobs[0].min_ms, T0 + 36 * H);
    teardown(&f);
}

TEST(levels_splits_a_large_block_by_itself_and_few_shards_into_more)
{
    struct levels_opts opts = by_size(1000, 100);
    struct fixture f;

    setup(&f, T0 + 10 * DAY);
    f.opts = &opts;
    add_of(&f, 1, 0, 24, 900, 301);
    add_of(&f, 2, 24, 48, 5000, 10);
    add_of(&f, 3, 48, 72, 900, 100);
    CHECK_INT(plan_now(&f), 2);
    CHECK(f.jobs[0].kind == LEVELS_SPLIT && f.jobs[0].n == 1 && f.jobs[0].shards == 4);
    CHECK(f.jobs[1].kind == LEVELS_SPLIT && f.jobs[1].n == 1 && f.jobs[1].shards == 8);
    CHECK_INT(f.jobs[1].bytes, 5000);
    catalogue_free(f.c);
    f.c = catalogue_new(SLICE("metrics"), SLICE("t"));
    for (uint32_t i = 0; i < 4; i++)
        add_shard(&f, 10 + i, 0, 12, i, 4);
    add_shard(&f, 20, 12, 24, 1, 2); /* of a compactor that thought otherwise */
    add_shard(&f, 21, 12, 24, 1, 3); /* of one that was told otherwise: it stays */
    CHECK_INT(plan_now(&f), 1);
    CHECK(f.jobs[0].kind == LEVELS_SPLIT && f.jobs[0].n == 1 && f.jobs[0].shards == 4);
    CHECK_INT(f.jobs[0].inputs[0]->shards, 2);
    opts.split_shards =
        8; /* a number that is given goes for what is of no shard, and nothing else */
    CHECK_INT(plan_now(&f), 0);
    teardown(&f);
}

/* As levelmerge.c: a block for each shard that has any of 64 equal parts of the series. */
static void do_sized(struct fixture *f, const struct levels_job *j, uint64_t *io_id)
{
    struct catalogue_block in[LEVELS_MAX_INPUTS];
    uint32_t of = j->inputs[0]->shards, at = j->inputs[0]->shard, n = ORR_MAX(j->shards, 1u);
    int64_t min_ms = j->min_ms, max_ms = j->max_ms;
    uint64_t bytes = j->bytes, series = 0;
    size_t n_in = j->n;

    for (size_t i = 0; i < n_in; i++) {
        in[i] = *j->inputs[i];
        series = ORR_MAX(series, in[i].series);
    }
    for (size_t i = 0; i < n_in; i++)
        CHECK(catalogue_retire(f->c, in[i].ulid, 1));
    for (uint32_t i = 0; i < n; i++) {
        struct catalogue_block b = {.min_t = min_ms, .max_t = max_ms, .shard = at, .shards = of};
        uint32_t parts = n > 1 ? n / ORR_MAX(of, 1u) : 1;

        if (n > 1 && of > 1 && i % of != at)
            continue;
        if (n > 1) {
            b.shard = i;
            b.shards = n;
        }
        b.ulid = id_of(++*io_id);
        b.bytes = bytes / parts;
        b.series = series / parts;
        catalogue_add(f->c, &b);
    }
}

TEST(levels_by_size_ends_with_blocks_that_are_small_enough_and_shards_that_agree)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct levels_opts opts = by_size(100000, 0);
        uint64_t n, id = 1000, whole = 0, rounds = 0;
        const struct catalogue_block *b;
        struct fixture f;
        struct rng r;
        size_t blocks;

        rng_seed(&r, seed);
        opts.max_series = rng_chance(&r, 0.5) ? 1000 : 0;
        setup(&f, T0);
        f.opts = &opts;
        n = 1 + rng_below(&r, 60);
        for (uint64_t i = 1; i <= n; i++) { /* up to one day of 60 * 40000 bytes: 32 shards */
            int64_t at = 2 * (int64_t)rng_below(&r, 12);
            uint64_t bytes = rng_below(&r, 40000);

            add_of(&f, i, at, at + 2, bytes, rng_below(&r, 5000));
            whole += bytes;
        }
        while (plan_now(&f) || f.due_ms != INT64_MAX) {
            CHECK(rounds++ < 1000);
            if (f.n)
                do_sized(&f, &f.jobs[rng_below(&r, f.n)], &id);
            else
                f.now_ms = f.due_ms;
        }
        b = catalogue_blocks(f.c, &blocks);
        for (size_t i = 0; i < blocks; i++) {
            /* what came later than was to be expected may make it more, and never less than it needs */
            CHECK(b[i].bytes <= 3 * opts.max_bytes);
            CHECK_INT(ORR_MAX(b[i].shards, 1u), ORR_MAX(b[0].shards, 1u));
            CHECK(b[i].shards < 2 || (b[i].shards & (b[i].shards - 1)) == 0);
        }
        CHECK(whole <= opts.max_bytes || blocks > 1);
        teardown(&f);
    }
}
