#include <stdlib.h>

#include "common/base/rng.h"
#include "common/base/vec.h"
#include "compactor/tierplan.h"
#include "tests/unit/test.h"

#define H 3600000ll
#define DAY (24 * H)
#define T0 (20160 * DAY) /* where a range of 14 days begins */

static const struct levels_opts raw = {.ranges_ms = {2 * H, 12 * H, 24 * H},
                                       .n_ranges = 3,
                                       .wait_ms = H / 2,
                                       .max_inputs = 64,
                                       .max_bytes = 1u << 30};
static const struct levels_opts coarse = {.ranges_ms = {24 * H, 14 * DAY},
                                          .n_ranges = 2,
                                          .wait_ms = H / 2,
                                          .max_inputs = 64,
                                          .max_bytes = 1u << 30};

static struct ulid id_of(uint64_t i)
{
    uint8_t entropy[10] = {0};

    memcpy(entropy, &i, sizeof(i));
    return ulid_make(T0, entropy);
}

struct fixture {
    struct tierplan_opts opts;
    struct catalogue *c;
    struct arena *a;
    struct levels_job *jobs;
    size_t n;
    int64_t due_ms, now_ms;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){
        .opts = {.levels = raw, .coarse = coarse, .is_on = true, .after_ms = {0, 40 * H, 10 * DAY}},
        .c = catalogue_new(SLICE("metrics"), SLICE("t")),
        .a = arena_new(0),
        .now_ms = T0};
}

static void teardown(struct fixture *f)
{
    catalogue_free(f->c);
    arena_free(f->a);
}

static void add(struct fixture *f, uint64_t i, int64_t min_h, int64_t max_h)
{
    struct ulid_text text = ulid_print(id_of(i));
    struct slice seg = slice_cstr(text.s);

    catalogue_add(f->c, &(struct catalogue_block){.ulid = id_of(i),
                                                  .min_t = T0 + min_h * H,
                                                  .max_t = T0 + max_h * H,
                                                  .level = 1,
                                                  .segments = &seg,
                                                  .n_segments = 1,
                                                  .bytes = 1000});
}

static size_t plan_at(struct fixture *f, int64_t now_ms)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);

    f->now_ms = now_ms;
    f->jobs = tierplan(&f->opts, b, n, now_ms, NULL, NULL, f->a, &f->n, &f->due_ms);
    return f->n;
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* To the catalogue what levelmerge.h does. */
static void do_job(struct fixture *f, const struct levels_job *j)
{
    struct catalogue_block out = {.ulid = levels_block_id(SLICE("t"), j),
                                  .min_t = INT64_MAX,
                                  .max_t = INT64_MIN,
                                  .resolution_ms = j->resolution_ms,
                                  .bytes = 1000};
    VEC(struct slice) names = {0};
    size_t kept = 0;

    for (size_t i = 0; i < j->n; i++) {
        size_t n;
        struct slice *more = tier_names_of(f->a, j->inputs[i], &n);

        out.min_t = ORR_MIN(out.min_t, j->inputs[i]->min_t);
        out.max_t = ORR_MAX(out.max_t, j->inputs[i]->max_t);
        for (size_t k = 0; k < n; k++)
            vec_push(&names, arena_dup(f->a, more[k]));
    }
    qsort(names.ptr, names.len, sizeof(*names.ptr), by_text);
    for (size_t i = 0; i < names.len; i++)
        if (!kept || !slice_eq(names.ptr[kept - 1], names.ptr[i]))
            names.ptr[kept++] = names.ptr[i];
    out.segments = names.ptr;
    out.n_segments = kept;
    CHECK(!catalogue_find(f->c, out.ulid) && !catalogue_is_retired(f->c, out.ulid));
    for (size_t i = 0; i < j->n && j->kind != LEVELS_DOWNSAMPLE; i++)
        CHECK(catalogue_retire(f->c, j->inputs[i]->ulid, f->now_ms));
    catalogue_add(f->c, &out);
    vec_done(&names);
}

/* Copies of jobs: doing one changes the catalogue that lends the others' inputs. */
static size_t do_all(struct fixture *f, int64_t now_ms)
{
    size_t done = 0;

    while (plan_at(f, now_ms)) {
        do_job(f, &f->jobs[0]);
        CHECK(++done < 10000);
    }
    return done;
}

static size_t count(const struct fixture *f, int64_t resolution_ms)
{
    size_t n, found = 0;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);

    for (size_t i = 0; i < n; i++)
        found += b[i].resolution_ms == resolution_ms;
    return found;
}

TEST(tierplan_downsamples_what_is_old_enough_once)
{
    struct fixture f;

    setup(&f);
    add(&f, 1, 0, 24);
    CHECK_INT(plan_at(&f, T0 + 63 * H), 0);
    CHECK_INT(f.due_ms, T0 + 64 * H);
    f.opts.is_on = false;
    CHECK_INT(plan_at(&f, T0 + 64 * H), 0);
    f.opts.is_on = true;
    CHECK_INT(plan_at(&f, T0 + 64 * H), 1);
    CHECK_INT(f.jobs[0].kind, LEVELS_DOWNSAMPLE);
    CHECK_INT(f.jobs[0].resolution_ms, AGGR_5M_MS);
    CHECK_INT(do_all(&f, T0 + 64 * H), 1);
    CHECK_INT(count(&f, 0), 1);
    CHECK_INT(count(&f, AGGR_5M_MS), 1);
    CHECK_INT(f.due_ms, T0 + 14 * DAY + H / 2); /* then nothing comes to the block of 5m any more */
    CHECK_INT(do_all(&f, f.due_ms), 1);
    CHECK_INT(count(&f, AGGR_1H_MS), 1);
    CHECK_INT(f.due_ms, INT64_MAX);
    teardown(&f);
}

static bool is_second_day(void *arg, const struct catalogue_block *b)
{
    (void)arg;
    return b->min_t == T0 + 24 * H;
}

TEST(tierplan_waits_for_blocks_that_a_deletion_cuts)
{
    struct fixture f;

    setup(&f);
    add(&f, 1, 0, 24);
    add(&f, 2, 24, 48);
    f.opts.waits = is_second_day;
    CHECK_INT(plan_at(&f, T0 + 10 * DAY), 1);
    CHECK_INT(f.jobs[0].min_ms, T0);
    CHECK_INT(do_all(&f, T0 + 10 * DAY), 1);
    f.opts.waits = NULL;
    CHECK_INT(plan_at(&f, T0 + 10 * DAY), 1);
    CHECK_INT(f.jobs[0].min_ms, T0 + 24 * H);
    teardown(&f);
}

TEST(tierplan_waits_for_what_is_to_be_merged_first)
{
    struct fixture f;

    setup(&f);
    for (int i = 0; i < 12; i++)
        add(&f, (uint64_t)i, 2 * i, 2 * i + 2);
    CHECK_INT(plan_at(&f, T0 + 100 * H), 1);
    CHECK_INT(f.jobs[0].kind, LEVELS_RANGE);
    CHECK_INT(do_all(&f, T0 + 100 * H), 2);
    CHECK_INT(count(&f, AGGR_5M_MS), 1);
    teardown(&f);
}

TEST(tierplan_makes_nothing_that_expires_at_once)
{
    struct fixture f;

    setup(&f);
    add(&f, 1, 0, 24);
    f.opts.keep_ms[1] = 30 * DAY;
    CHECK_INT(plan_at(&f, T0 + 31 * DAY + H), 0);
    CHECK_INT(plan_at(&f, T0 + 30 * DAY), 1);
    teardown(&f);
}

TEST(tierplan_makes_anew_what_something_late_came_to)
{
    struct fixture f;

    setup(&f);
    add(&f, 1, 0, 24);
    CHECK_INT(do_all(&f, T0 + 64 * H), 1);
    add(&f, 2, 4, 6);
    CHECK_INT(do_all(&f, T0 + 64 * H), 3); /* merged; downsampled; merged with the one before */
    CHECK_INT(count(&f, 0), 1);
    CHECK_INT(count(&f, AGGR_5M_MS), 1);
    CHECK_INT(do_all(&f, T0 + 65 * H), 0);
    teardown(&f);
}

/* ---- nothing that came is missing at any time, whatever was merged and by whatever tier it is read ---- */

#define DAYS 40
#define MAX_SEGMENTS 600

struct came {
    int64_t min_ms, max_ms;
    char text[32];
};

static bool names_it(const struct catalogue_block *b, const char *text)
{
    for (size_t i = 0; i < b->n_segments; i++)
        if (slice_eq_cstr(b->segments[i], text))
            return true;
    return false;
}

static void check_all_is_read(struct fixture *f, const struct came *came, size_t n_came,
                              unsigned max_tier)
{
    size_t n, n_spans;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);
    struct tiers *t = tiers_new(b, n);
    struct arena *a = arena_new(0);
    bool is_coarser;
    struct tier_span *s =
        tiers_choose(t, a, T0, T0 + DAYS * DAY, max_tier, NULL, &n_spans, &is_coarser);

    CHECK(!is_coarser);
    for (size_t i = 0; i < n_came; i++)
        for (size_t k = 0; k < n_spans; k++) {
            int64_t lo = ORR_MAX(s[k].min_ms, came[i].min_ms);
            int64_t hi = ORR_MIN(s[k].max_ms, came[i].max_ms - 1);
            bool is_there = lo > hi;

            for (size_t x = 0; x < n && !is_there; x++)
                is_there = tier_of(b[x].resolution_ms) == s[k].tier && b[x].min_t <= lo &&
                           b[x].max_t > hi && names_it(&b[x], came[i].text);
            CHECK(is_there);
        }
    arena_free(a);
    tiers_free(t);
}

TEST(tierplan_never_loses_what_came_whatever_is_late)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct came *came = mem_new_array(struct came, MAX_SEGMENTS);
        size_t n_came = 0;
        struct fixture f;
        struct rng r;

        setup(&f);
        rng_seed(&r, seed);
        for (int64_t h = 0; h < DAYS * 24; h += 2) {
            int64_t at = rng_chance(&r, 0.03) ? 2 * (int64_t)rng_below(&r, (uint64_t)h / 2 + 1) : h;
            struct came *x = &came[n_came++];

            add(&f, seed * 10000 + n_came, at, at + 2);
            *x = (struct came){.min_ms = T0 + at * H, .max_ms = T0 + (at + 2) * H};
            snprintf(x->text, sizeof(x->text), "%s", ulid_print(id_of(seed * 10000 + n_came)).s);
            for (uint64_t k = rng_below(&r, 3); k && plan_at(&f, T0 + (h + 2) * H); k--)
                do_job(&f, &f.jobs[rng_below(&r, f.n)]);
            if (h % 48 == 0)
                for (unsigned tier = 0; tier < TIERS; tier++)
                    check_all_is_read(&f, came, n_came, tier);
        }
        (void)do_all(&f, T0 + 80 * DAY);
        for (unsigned tier = 0; tier < TIERS; tier++)
            check_all_is_read(&f, came, n_came, tier);
        CHECK_INT(count(&f, 0), DAYS);
        CHECK_INT(count(&f, AGGR_5M_MS), 3);
        CHECK_INT(count(&f, AGGR_1H_MS), 3);
        teardown(&f);
        mem_free(came);
    }
}
