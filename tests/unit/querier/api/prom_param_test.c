#include "querier/api/prom_param.h"
#include "tests/unit/test.h"

TEST(prom_param_times)
{
    int64_t t;

    CHECK_OK(prom_param_time("time", SLICE("1435781430.781"), 7, &t));
    CHECK_INT(t, 1435781430781);
    CHECK_OK(prom_param_time("time", SLICE("2015-07-01T20:10:51.781Z"), 7, &t));
    CHECK_INT(t, 1435781451781);
    CHECK_OK(prom_param_time("time", SLICE("2015-07-01T22:10:51+02:00"), 7, &t));
    CHECK_INT(t, 1435781451000);
    CHECK_OK(prom_param_time("time", (struct slice){0}, 7, &t));
    CHECK_INT(t, 7);
    CHECK_OK(prom_param_time("start", SLICE("-292273086-05-16T16:47:06Z"), 7, &t));
    CHECK_INT(t, -PROM_TIME_MAX_MS);
    CHECK_OK(prom_param_time("end", SLICE("9e15"), 7, &t));
    CHECK_INT(t, PROM_TIME_MAX_MS);
    CHECK_ERR(prom_param_time("time", SLICE("x"), 7, &t), ERR_INVALID,
              "invalid parameter \"time\": Invalid time value for 'time': cannot parse \"x\" to a "
              "valid timestamp");
    CHECK_ERR(prom_param_required_time("start", SLICE("x"), &t), ERR_INVALID,
              "invalid parameter \"start\": cannot parse \"x\" to a valid timestamp");
    CHECK_ERR(prom_param_required_time("start", (struct slice){0}, &t), ERR_INVALID, "\"\"");
    CHECK_OK(prom_param_required_time("start", SLICE("1.5"), &t));
    CHECK_INT(t, 1500);
    CHECK_ERR(prom_param_time("time", SLICE("1e40"), 7, &t), ERR_INVALID, "timestamp");
    CHECK_ERR(prom_param_time("time", SLICE("NaN"), 7, &t), ERR_INVALID, "timestamp");
    CHECK_ERR(prom_param_time("time", SLICE("2015-07-01"), 7, &t), ERR_INVALID, "timestamp");
}

TEST(prom_param_durations_and_limits)
{
    uint64_t n;
    int64_t d;

    CHECK_OK(prom_param_duration("step", SLICE("15s"), 0, &d));
    CHECK_INT(d, 15000);
    CHECK_OK(prom_param_duration("step", SLICE("1h30m"), 0, &d));
    CHECK_INT(d, 5400000);
    CHECK_OK(prom_param_duration("step", SLICE("0.5"), 0, &d));
    CHECK_INT(d, 500);
    CHECK_OK(prom_param_duration("step", SLICE("-1"), 0, &d));
    CHECK_INT(d, -1000);
    CHECK_ERR(prom_param_duration("step", SLICE("1x"), 0, &d), ERR_INVALID,
              "invalid parameter \"step\": cannot parse \"1x\" to a valid duration");
    CHECK_ERR(prom_param_duration("step", SLICE("1e300"), 0, &d), ERR_INVALID, "");
    CHECK_OK(prom_param_limit("limit", SLICE("12"), &n));
    CHECK_INT(n, 12);
    CHECK_OK(prom_param_limit("limit", (struct slice){0}, &n));
    CHECK_INT(n, 0);
    CHECK_ERR(prom_param_limit("limit", SLICE("-1"), &n), ERR_INVALID, "non-negative");
    CHECK_ERR(prom_param_limit("limit", SLICE("a"), &n), ERR_INVALID, "limit");
}

TEST(prom_param_ranges)
{
    CHECK_OK(prom_param_check_range(0, 0, 1));
    CHECK_OK(prom_param_check_range(0, 11000, 1));
    CHECK_ERR(prom_param_check_range(0, 11001, 1), ERR_INVALID, "11,000 points");
    CHECK_ERR(prom_param_check_range(-PROM_TIME_MAX_MS, PROM_TIME_MAX_MS, 1), ERR_INVALID,
              "11,000 points");
    CHECK_ERR(prom_param_check_range(1, 0, 1), ERR_INVALID, "invalid parameter \"end\"");
    CHECK_ERR(prom_param_check_range(0, 1, 0), ERR_INVALID, "zero or negative");
    CHECK_ERR(prom_param_check_range(0, 1, -1), ERR_INVALID, "zero or negative");
}

TEST(prom_param_selectors)
{
    struct arena *a = arena_new(0);
    struct matchers ms;

    CHECK_OK(prom_param_match(a, SLICE("up{job=~\"a.*\"}"), &ms));
    CHECK_INT(ms.n, 2);
    matchers_done(ms);
    CHECK_ERR(prom_param_match(a, SLICE("{a=~\".*\"}"), &ms), ERR_INVALID,
              "match[] must contain at least one non-empty matcher");
    CHECK_ERR(prom_param_match(a, SLICE("up["), &ms), ERR_INVALID, "invalid parameter \"match[]\"");
    CHECK_ERR(prom_param_match(a, SLICE(""), &ms), ERR_INVALID, "");
    arena_free(a);
}

static void check_name(const char *text, const char *want)
{
    struct arena *a = arena_new(0);
    struct slice got;

    CHECK_OK(prom_param_label_name(a, slice_cstr(text), &got));
    CHECK_SLICE(got, want);
    arena_free(a);
}

TEST(prom_param_label_names)
{
    struct arena *a = arena_new(0);
    struct slice got;

    check_name("job", "job");
    check_name("a.b", "a.b");
    check_name("U__a_2e_b", "a.b");
    check_name("U__a__b", "a_b");
    check_name("U___1f600_", "\xf0\x9f\x98\x80");
    check_name("U__a_2e", "U__a_2e"); /* not a whole escape: stands for itself */
    check_name("U__a_zz_", "U__a_zz_");
    check_name("U___110000_", "U___110000_");
    CHECK_ERR(prom_param_label_name(a, SLICE(""), &got), ERR_INVALID, "invalid label name");
    CHECK_ERR(prom_param_label_name(a, SLICE("\xff"), &got), ERR_INVALID, "invalid label name");
    arena_free(a);
}
