#include "common/block/tiers.h"
#include "tests/unit/test.h"

#define H 3600000ll

static struct ulid id_of(unsigned i)
{
    uint8_t entropy[10] = {0};

    entropy[9] = (uint8_t)i;
    return ulid_make(1000, entropy);
}

static struct catalogue_block block(unsigned id, int64_t min_h, int64_t max_h, int64_t res,
                                    const struct slice *segments, size_t n)
{
    return (struct catalogue_block){.ulid = id_of(id),
                                    .min_t = min_h * H,
                                    .max_t = max_h * H,
                                    .resolution_ms = res,
                                    .segments = segments,
                                    .n_segments = n};
}

/* "0-9:1 10-19:0": hours, last one inclusive, and the tier. */
static void check_choice(const struct catalogue_block *b, size_t n, int64_t min_h, int64_t max_h,
                         unsigned max_tier, bool is_coarser, const char *want)
{
    struct tiers *t = tiers_new(b, n);
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct tier_span *s;
    bool got;

    s = tiers_choose(t, a, min_h * H, max_h * H - 1, max_tier, NULL, &n, &got);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%lld-%lld:%u", i ? " " : "", (long long)(s[i].min_ms / H),
                   (long long)(s[i].max_ms / H), s[i].tier);
    CHECK_STR(buf_cstr(&out), want);
    CHECK_INT(got, is_coarser);
    buf_done(&out);
    arena_free(a);
    tiers_free(t);
}

TEST(tiers_are_read_by_the_coarsest_that_may_be)
{
    const struct slice s[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c")};
    const struct catalogue_block b[] = {
        block(1, 0, 24, 0, &s[0], 1),      block(2, 24, 48, 0, &s[1], 1),
        block(3, 48, 50, 0, &s[2], 1),     block(4, 0, 48, AGGR_5M_MS, s, 2),
        block(5, 0, 48, AGGR_1H_MS, s, 2),
    };

    check_choice(b, 5, 0, 60, 0, false, "0-59:0");
    check_choice(b, 5, 0, 60, 1, false, "0-47:1 48-59:0");
    check_choice(b, 5, 0, 60, 2, false, "0-47:2 48-59:0");
    check_choice(b, 5, 10, 30, 2, false, "10-29:2");
    check_choice(b, 4, 10, 49, 2, false, "10-47:1 48-48:0");
    check_choice(b, 0, 0, 10, 2, false, "0-9:0");
}

TEST(tiers_leave_out_what_came_late_until_it_is_in)
{
    const struct slice s[] = {SLICE_INIT("a"), SLICE_INIT("late")};
    struct catalogue_block b[] = {block(1, 0, 24, 0, &s[0], 1), block(2, 4, 6, 0, &s[1], 1),
                                  block(3, 0, 24, AGGR_5M_MS, &s[0], 1)};

    check_choice(b, 3, 0, 24, 1, false, "0-3:1 4-5:0 6-23:1");
    b[1] = block(4, 0, 24, 0, s, 2); /* both, merged */
    check_choice((const struct catalogue_block[]){b[1], b[2]}, 2, 0, 24, 1, false, "0-23:0");
    b[2] = block(5, 0, 24, AGGR_5M_MS, s, 2);
    check_choice(b, 3, 0, 24, 1, false, "0-23:1");
}

TEST(tiers_fall_back_on_coarser_ones_when_the_finer_have_expired)
{
    const struct slice s[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c")};
    const struct catalogue_block b[] = {block(1, 0, 72, AGGR_1H_MS, s, 3),
                                        block(2, 24, 72, AGGR_5M_MS, &s[1], 2),
                                        block(3, 48, 72, 0, &s[2], 1)};

    check_choice(b, 3, 0, 100, 0, true, "0-23:2 24-47:1 48-99:0");
    check_choice(b, 3, 0, 100, 1, true, "0-23:2 24-71:1 72-99:0");
    check_choice(b, 3, 0, 100, 2, false, "0-71:2 72-99:0");
    check_choice(b, 3, 48, 100, 0, false, "48-99:0");
}

TEST(tiers_stand_for_blocks_without_segments_by_their_id_and_for_shards_apart)
{
    struct ulid_text one = ulid_print(id_of(1));
    const struct slice id = slice_cstr(one.s), s = SLICE("a");
    struct catalogue_block adopted[] = {block(1, 0, 24, 0, NULL, 0),
                                        block(2, 0, 24, AGGR_5M_MS, &id, 1)};
    struct catalogue_block sharded[] = {block(3, 0, 24, 0, &s, 1), block(4, 0, 24, 0, &s, 1),
                                        block(5, 0, 24, AGGR_5M_MS, &s, 1)};

    check_choice(adopted, 2, 0, 24, 1, false, "0-23:1");
    adopted[0].ulid = id_of(9);
    check_choice(adopted, 2, 0, 24, 1, false, "0-23:0");
    for (size_t i = 0; i < 3; i++)
        sharded[i].shards = 2;
    sharded[1].shard = 1;
    check_choice(sharded, 3, 0, 24, 1, false, "0-23:0");
    sharded[1].shard = 0;
    check_choice(sharded, 3, 0, 24, 1, false, "0-23:1");
}

#define M 60000ll

/* "0-59:2 ...": minutes, last one inclusive, and the tier. */
static void check_cut(const struct catalogue_block *b, size_t n, const int64_t *cuts_m,
                      size_t n_cuts, unsigned max_tier, const char *want)
{
    struct tiers *t = tiers_new(b, n);
    struct arena *a = arena_new(0);
    int64_t at[4];
    struct tier_cuts cuts = {at, n_cuts};
    struct buf out = {0};
    struct tier_span *s;
    bool is_coarser;

    for (size_t i = 0; i < n_cuts; i++)
        at[i] = cuts_m[i] * M;
    s = tiers_choose(t, a, 0, 6 * H - 1, max_tier, &cuts, &n, &is_coarser);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%lld-%lld:%u", i ? " " : "", (long long)(s[i].min_ms / M),
                   (long long)(s[i].max_ms / M), s[i].tier);
    CHECK_STR(buf_cstr(&out), want);
    CHECK(!is_coarser);
    buf_done(&out);
    arena_free(a);
    tiers_free(t);
}

TEST(tiers_are_not_read_where_a_deletion_cuts_a_window)
{
    const struct slice s[] = {SLICE_INIT("a")};
    const struct catalogue_block b[] = {
        block(1, 0, 6, 0, s, 1),
        block(2, 0, 6, AGGR_5M_MS, s, 1),
        block(3, 0, 6, AGGR_1H_MS, s, 1),
    };

    check_cut(b, 3, (const int64_t[]){120, 180}, 2, 2, "0-359:2"); /* whole hours */
    check_cut(b, 3, (const int64_t[]){125, 180}, 2, 2, "0-119:2 120-179:1 180-359:2");
    check_cut(b, 3, (const int64_t[]){123, 127}, 2, 2, "0-119:2 120-129:0 130-179:1 180-359:2");
    check_cut(b, 3, (const int64_t[]){123, 307}, 2, 1,
              "0-119:1 120-124:0 125-304:1 305-309:0 310-359:1");
    check_cut(b + 1, 2, (const int64_t[]){123}, 1, 2,
              "0-119:2 120-179:1 180-359:2"); /* no samples */
    check_cut(b + 2, 1, (const int64_t[]){123}, 1, 2, "0-359:2");
    check_cut(b, 3, NULL, 0, 2, "0-359:2");
}
