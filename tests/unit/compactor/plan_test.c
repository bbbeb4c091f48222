#include "common/base/arena.h"
#include "common/base/map.h"
#include "compactor/plan.h"
#include "tests/unit/test.h"

#define HOUR_MS 3600000ll
#define W0 (PLAN_WINDOW_MS * 200000)              /* a window */
#define CUT_MS (W0 + PLAN_WINDOW_MS + 20 * 60000) /* after its end and the grace */
#define EARLY_MS (W0 + HOUR_MS)

/* Three ingesters, one in each of three zones, RF 3. */
struct fixture {
    struct plan *plan;
    struct ring_read_set set;
    uint16_t instances[3], zones[3];
    int64_t now_ms;
    struct map named; /* ULID text → 1 */
    bool is_bucket_down;
    struct ulid dropped[16];
    size_t n_dropped;
};

static const struct plan_opts test_opts = {.flush_wait_ms = 120000,
                                           .early_wait_ms = 5000,
                                           .grace_ms = 15 * 60000,
                                           .drop_delay_ms = 1000,
                                           .retry_min_ms = 5000,
                                           .retry_max_ms = 60000,
                                           .quarantine_ms = HOUR_MS};

static void setup(struct fixture *f, unsigned n)
{
    *f = (struct fixture){.now_ms = 1000000};
    for (uint16_t i = 0; i < n; i++)
        f->instances[i] = f->zones[i] = i;
    f->set = (struct ring_read_set){f->instances, f->zones, n, n, true, n == 3 ? 1 : 0, 1};
    f->plan = plan_new(&test_opts);
}

static void teardown(struct fixture *f)
{
    plan_free(f->plan);
    map_done(&f->named);
}

static struct ulid id_of(int64_t cut_ms, uint8_t i)
{
    uint8_t entropy[10] = {[9] = i};

    return ulid_make(cut_ms, entropy);
}

static enum plan_named is_named(void *arg, struct slice tenant, struct ulid segment)
{
    struct fixture *f = arg;

    (void)tenant;
    if (f->is_bucket_down)
        return PLAN_UNKNOWN;
    return map_has(&f->named, slice_cstr(ulid_print(segment).s)) ? PLAN_NAMED : PLAN_PENDING;
}

static void name(struct fixture *f, struct ulid segment)
{
    map_put(&f->named, slice_cstr(ulid_print(segment).s), f);
}

struct row {
    unsigned position;
    int64_t cut_ms;
    uint8_t id;
};

/* A round: those in `answers` (bits) answer with their rows. Returns the number of jobs. */
static size_t round_of(struct fixture *f, unsigned answers, const struct row *rows, size_t n_rows)
{
    size_t n;

    plan_begin(f->plan, f->now_ms, &f->set);
    for (unsigned i = 0; i < f->set.n; i++)
        if (answers & 1u << i)
            plan_answer(f->plan, i, false);
    for (size_t i = 0; i < n_rows; i++)
        if (answers & 1u << rows[i].position)
            plan_segment(f->plan, rows[i].position,
                         &(struct plan_segment){SLICE("t"), id_of(rows[i].cut_ms, rows[i].id), W0,
                                                W0 + PLAN_WINDOW_MS, 1, 10, 0});
    plan_end(f->plan, is_named, f);
    (void)plan_jobs(f->plan, &n);
    return n;
}

static size_t inputs_of(struct fixture *f, size_t job)
{
    size_t n;
    const struct plan_job *jobs = plan_jobs(f->plan, &n);

    CHECK(job < n);
    return jobs[job].n;
}

static size_t drops_of(struct fixture *f)
{
    size_t n;

    (void)plan_drops(f->plan, &n);
    return n;
}

static enum plan_wait wait_of(struct fixture *f)
{
    size_t n;
    const struct plan_row *rows = plan_rows(f->plan, &n);

    CHECK_INT(n, 1);
    return rows->wait;
}

TEST(plan_windows_are_two_hours_also_before_1970)
{
    CHECK_INT(plan_window(0), 0);
    CHECK_INT(plan_window(PLAN_WINDOW_MS - 1), 0);
    CHECK_INT(plan_window(-1), -PLAN_WINDOW_MS);
    CHECK_INT(plan_window(-PLAN_WINDOW_MS), -PLAN_WINDOW_MS);
    CHECK(plan_key(SLICE("a"), 0) != plan_key(SLICE("a"), PLAN_WINDOW_MS));
}

/* Segments of one window each, all at one ingester that is alone. */
static void list_windows(struct fixture *f, const char *tenant, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++) {
        uint8_t entropy[10] = {[7] = (uint8_t)*tenant, [8] = (uint8_t)(i >> 8), [9] = (uint8_t)i};
        int64_t start = W0 - (int64_t)(i + 1) * PLAN_WINDOW_MS;

        plan_segment(f->plan, 0,
                     &(struct plan_segment){slice_cstr(tenant), ulid_make(CUT_MS, entropy), start,
                                            start + PLAN_WINDOW_MS, 1, 10, 0});
    }
}

TEST(plan_lets_tenants_take_turns)
{
    struct fixture f;
    const struct plan_job *jobs;
    size_t n;

    setup(&f, 1);
    plan_begin(f.plan, f.now_ms, &f.set);
    plan_answer(f.plan, 0, false);
    list_windows(&f, "b-many", 0, 4000);
    list_windows(&f, "a", 0, 2);
    list_windows(&f, "c", 3, 1); /* newer windows than most of b-many's */
    plan_end(f.plan, is_named, &f);
    jobs = plan_jobs(f.plan, &n);
    CHECK_INT(n, PLAN_MAX_TENANT_JOBS + 3);
    CHECK_SLICE(jobs[0].tenant, "a");
    CHECK_SLICE(jobs[1].tenant, "b-many");
    CHECK_SLICE(jobs[2].tenant, "c");
    CHECK_SLICE(jobs[3].tenant, "a");
    CHECK_SLICE(jobs[4].tenant, "b-many");
    CHECK(jobs[0].window_ms < jobs[3].window_ms && jobs[1].window_ms < jobs[4].window_ms);
    CHECK_INT(plan_next_ms(f.plan), f.now_ms); /* there is more */
    teardown(&f);
}

TEST(plan_serves_each_of_many_tenants_within_some_rounds)
{
    struct fixture f;
    const struct plan_job *jobs;
    struct map served = {0};
    char tenants[1000][8];
    size_t n;

    setup(&f, 1);
    for (int round = 0; round < 4; round++, f.now_ms += 100) { /* nothing is ever done */
        plan_begin(f.plan, f.now_ms, &f.set);
        plan_answer(f.plan, 0, false);
        for (size_t i = 0; i < ORR_COUNT(tenants); i++) {
            snprintf(tenants[i], sizeof(tenants[i]), "%03zu", i);
            list_windows(&f, tenants[i], i * 2, 2);
        }
        plan_end(f.plan, is_named, &f);
        jobs = plan_jobs(f.plan, &n);
        CHECK_INT(n, PLAN_MAX_JOBS);
        for (size_t i = 0; i < n; i++)
            map_put(&served, jobs[i].tenant, &f);
    }
    CHECK_INT(served.len, ORR_COUNT(tenants));
    map_done(&served);
    teardown(&f);
}

TEST(plan_flushes_at_once_when_all_have_cut)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS + 1, 2}, {2, CUT_MS, 3}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 7, rows, 3), 1);
    CHECK_INT(inputs_of(&f, 0), 3);
    CHECK_INT(drops_of(&f), 0);
    teardown(&f);
}

TEST(plan_flushes_the_only_replica_at_once)
{
    struct fixture f;
    const struct row rows[] = {{0, EARLY_MS, 1}};

    setup(&f, 1);
    CHECK_INT(round_of(&f, 1, rows, 1), 1);
    CHECK_INT(round_of(&f, 0, rows, 1), 0);
    teardown(&f);
}

TEST(plan_waits_for_who_may_not_have_cut_yet)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 2}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 7, rows, 2), 0);
    CHECK_INT(wait_of(&f), PLAN_WAITS_FOR_OTHERS);
    CHECK_INT(plan_next_ms(f.plan), f.now_ms + test_opts.flush_wait_ms);
    f.now_ms += test_opts.flush_wait_ms - 1;
    CHECK_INT(round_of(&f, 7, rows, 2), 0);
    f.now_ms += 1;
    CHECK_INT(round_of(&f, 7, rows, 2), 1);
    CHECK_INT(inputs_of(&f, 0), 2);
    teardown(&f);
}

TEST(plan_waits_shortly_for_what_was_cut_by_command)
{
    struct fixture f;
    /* the second window of the same cut is past, but was cut early too */
    const struct row rows[] = {{0, EARLY_MS, 1}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 7, rows, 1), 0);
    f.now_ms += test_opts.early_wait_ms;
    CHECK_INT(round_of(&f, 7, rows, 1), 1);
    teardown(&f);
}

/* Ids of before the cut, as log lines have them: when it was cut is told, and the first time counts. */
TEST(plan_goes_by_the_time_of_the_cut_that_it_was_told)
{
    int64_t told_ms[] = {W0 + HOUR_MS, W0 + PLAN_WINDOW_MS + test_opts.grace_ms};

    for (size_t i = 0; i < ORR_COUNT(told_ms); i++) {
        struct plan_segment seg = {SLICE("t"), id_of(W0 + 1000, 1), W0, W0 + PLAN_WINDOW_MS, 1,
                                   1,          told_ms[i]};
        int64_t wait_ms = i ? test_opts.flush_wait_ms : test_opts.early_wait_ms;
        struct fixture f;
        size_t n;

        setup(&f, 3);
        for (int round = 0; round < 3; round++) {
            plan_begin(f.plan, f.now_ms, &f.set);
            for (unsigned k = 0; k < 3; k++)
                plan_answer(f.plan, k, false);
            plan_segment(f.plan, 0, &seg);
            plan_end(f.plan, is_named, &f);
            (void)plan_jobs(f.plan, &n);
            CHECK_INT(n, round == 2);
            if (round < 2)
                CHECK_INT(plan_rows(f.plan, &n)->oldest_ms, told_ms[i]);
            f.now_ms += round == 0 ? wait_ms - 1 : 1;
            seg.cut_ms += HOUR_MS;
        }
        teardown(&f);
    }
}

TEST(plan_takes_all_windows_of_an_early_cut_as_early)
{
    struct fixture f;
    struct plan_segment past = {.tenant = SLICE("t"),
                                .ulid = id_of(CUT_MS, 1),
                                .min_ms = W0,
                                .max_ms = W0 + PLAN_WINDOW_MS,
                                .bytes = 1};
    struct plan_segment now = {.tenant = SLICE("t"),
                               .ulid = id_of(CUT_MS + 5, 2),
                               .min_ms = W0 + PLAN_WINDOW_MS,
                               .max_ms = W0 + 2 * PLAN_WINDOW_MS,
                               .bytes = 1};
    size_t n = 0;

    setup(&f, 3);
    for (int i = 0; i < 2; i++) {
        plan_begin(f.plan, f.now_ms, &f.set);
        for (unsigned k = 0; k < 3; k++)
            plan_answer(f.plan, k, false);
        plan_segment(f.plan, 0, &past);
        plan_segment(f.plan, 0, &now);
        plan_end(f.plan, is_named, &f);
        (void)plan_jobs(f.plan, &n);
        CHECK_INT(n, i == 0 ? 0 : 2);
        f.now_ms += test_opts.early_wait_ms;
    }
    teardown(&f);
}

TEST(plan_does_without_one_zone_and_not_without_two)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 2}, {2, CUT_MS, 3}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 3, rows, 3), 0);
    f.now_ms += test_opts.flush_wait_ms;
    CHECK_INT(round_of(&f, 1, rows, 3), 0);
    CHECK_INT(wait_of(&f), PLAN_WAITS_FOR_ANSWERS);
    CHECK_INT(round_of(&f, 3, rows, 3), 1);
    CHECK_INT(inputs_of(&f, 0), 2);
    teardown(&f);
}

TEST(plan_flushes_a_late_replica_by_itself_and_drops_the_others)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 2}, {2, CUT_MS, 3}};
    size_t n;

    setup(&f, 3);
    name(&f, id_of(CUT_MS, 1));
    name(&f, id_of(CUT_MS, 2));
    CHECK_INT(round_of(&f, 7, rows, 3), 1);
    CHECK_INT(inputs_of(&f, 0), 1);
    CHECK(ulid_eq(plan_jobs(f.plan, &n)->inputs[0].ulid, id_of(CUT_MS, 3)));
    CHECK_INT(drops_of(&f), 0); /* not before the delay */
    f.now_ms += test_opts.drop_delay_ms;
    (void)round_of(&f, 7, rows, 3);
    CHECK_INT(drops_of(&f), 2);
    (void)round_of(&f, 7, rows, 3); /* told again until it is not listed any more */
    CHECK_INT(drops_of(&f), 2);
    teardown(&f);
}

TEST(plan_drops_nothing_that_is_not_named)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 2}, {2, CUT_MS, 3}};

    setup(&f, 3);
    for (int i = 0; i < 50; i++) {
        f.is_bucket_down = i % 3 == 0;
        (void)round_of(&f, 7, rows, 3);
        if (f.is_bucket_down)
            CHECK_INT(wait_of(&f), PLAN_WAITS_FOR_CATALOGUE);
        CHECK_INT(drops_of(&f), 0);
        f.now_ms += 100000;
    }
    teardown(&f);
}

TEST(plan_counts_the_drop_delay_from_the_flush)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}};
    size_t n;

    setup(&f, 1);
    CHECK_INT(round_of(&f, 1, rows, 1), 1);
    plan_flushed(f.plan, plan_jobs(f.plan, &n), f.now_ms);
    CHECK_INT(plan_next_ms(f.plan), f.now_ms + test_opts.drop_delay_ms);
    name(&f, id_of(CUT_MS, 1));
    f.now_ms += test_opts.drop_delay_ms;
    CHECK_INT(round_of(&f, 1, rows, 1), 0);
    CHECK_INT(drops_of(&f), 1);
    teardown(&f);
}

TEST(plan_waits_longer_after_each_failure)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}};
    const int64_t waits[] = {5000, 10000, 20000, 40000, 60000, 60000};
    size_t n;

    setup(&f, 1);
    for (size_t i = 0; i < ORR_COUNT(waits); i++) {
        CHECK_INT(round_of(&f, 1, rows, 1), 1);
        plan_failed(f.plan, plan_jobs(f.plan, &n), f.now_ms);
        f.now_ms += waits[i] - 1;
        CHECK_INT(round_of(&f, 1, rows, 1), 0);
        CHECK_INT(wait_of(&f), PLAN_WAITS_FOR_RETRY);
        f.now_ms += 1;
    }
    CHECK_INT(round_of(&f, 1, rows, 1), 1);
    plan_flushed(f.plan, plan_jobs(f.plan, &n), f.now_ms);
    CHECK_INT(round_of(&f, 1, rows, 1), 1);
    teardown(&f);
}

TEST(plan_leaves_a_quarantined_segment_out_for_a_while)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 2}, {2, CUT_MS, 3}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 7, rows, 3), 1);
    plan_quarantine(f.plan, SLICE("t"), id_of(CUT_MS, 2), f.now_ms);
    CHECK_INT(round_of(&f, 7, rows, 3), 1);
    CHECK_INT(inputs_of(&f, 0), 2);
    name(&f, id_of(CUT_MS, 1));
    name(&f, id_of(CUT_MS, 3));
    CHECK_INT(round_of(&f, 7, rows, 3), 0);
    CHECK_INT(wait_of(&f), PLAN_WAITS_IN_QUARANTINE);
    f.now_ms += test_opts.quarantine_ms;
    (void)round_of(&f, 7, rows, 3);
    CHECK_INT(inputs_of(&f, 0), 1);
    teardown(&f);
}

TEST(plan_takes_a_segment_once_though_two_list_it)
{
    struct fixture f;
    const struct row rows[] = {{0, CUT_MS, 1}, {1, CUT_MS, 1}, {2, CUT_MS, 3}};

    setup(&f, 3);
    CHECK_INT(round_of(&f, 7, rows, 3), 1);
    CHECK_INT(inputs_of(&f, 0), 2);
    teardown(&f);
}
