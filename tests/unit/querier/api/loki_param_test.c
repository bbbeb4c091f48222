#include "common/base/clock.h"
#include "querier/api/loki_param.h"
#include "tests/unit/test.h"

static void check_time(const char *text, int64_t want)
{
    int64_t got = 0;

    CHECK_OK(loki_param_time("start", slice_cstr(text), 7, &got));
    CHECK_INT(got, want);
}

TEST(loki_param_times)
{
    int64_t got;

    check_time("", 7);
    check_time("1700000000000000001", 1700000000000000001);
    check_time("1700000000", 1700000000 * NS_PER_S); /* ten digits are seconds */
    check_time("17000000000", 17000000000);          /* eleven are not */
    check_time("1700000000.25", 1700000000 * NS_PER_S + 250 * NS_PER_MS);
    check_time("-1.5", -1500 * NS_PER_MS);
    check_time("2023-11-14T22:13:20Z", 1700000000 * NS_PER_S);
    check_time("2023-11-14T23:13:20.123456789+01:00", 1700000000 * NS_PER_S + 123456789);
    CHECK_ERR(loki_param_time("start", SLICE("soon"), 0, &got), ERR_INVALID,
              "invalid parameter \"start\": cannot parse \"soon\"");
    CHECK_ERR(loki_param_time("start", SLICE("9223372036854775807"), 0, &got), ERR_INVALID,
              "parse");
    CHECK_ERR(loki_param_time("start", SLICE("9900000000"), 0, &got), ERR_INVALID, "parse");
    CHECK_ERR(loki_param_time("start", SLICE("1e300."), 0, &got), ERR_INVALID, "parse");
    CHECK_ERR(loki_param_time("start", SLICE("9999-01-01T00:00:00Z"), 0, &got), ERR_INVALID,
              "parse");
}

TEST(loki_param_times_are_so_far_apart_that_a_length_fits)
{
    int64_t first, last, length;

    CHECK_ERR(loki_param_time("start", SLICE("-4611686018427387904"), 0, &first), ERR_INVALID,
              "parse");
    CHECK_ERR(loki_param_time("end", SLICE("4611686018427387904"), 0, &last), ERR_INVALID, "parse");
    CHECK_OK(loki_param_time("start", SLICE("-4611686018427387903"), 0, &first));
    CHECK_OK(loki_param_time("end", SLICE("4611686018427387903"), 0, &last));
    CHECK(!__builtin_sub_overflow(last, first, &length));
}

TEST(loki_param_durations)
{
    int64_t got;

    CHECK_OK(loki_param_duration("step", SLICE(""), 5, &got));
    CHECK_INT(got, 5);
    CHECK_OK(loki_param_duration("step", SLICE("1.5"), 5, &got));
    CHECK_INT(got, 1500 * NS_PER_MS);
    CHECK_OK(loki_param_duration("step", SLICE("1h30m"), 5, &got));
    CHECK_INT(got, 5400 * NS_PER_S);
    CHECK_ERR(loki_param_duration("step", SLICE("long"), 5, &got), ERR_INVALID, "\"step\"");
    CHECK_ERR(loki_param_duration("step", SLICE("1e15"), 5, &got), ERR_INVALID, "\"step\"");
}

TEST(loki_param_steps)
{
    int64_t got;

    CHECK_OK(loki_param_step(SLICE(""), 3600 * NS_PER_S, 1, &got));
    CHECK_INT(got, 14 * NS_PER_S); /* 250 of an hour */
    CHECK_OK(loki_param_step(SLICE(""), 3600 * NS_PER_S, 60, &got));
    CHECK_INT(got, 60 * NS_PER_S);
    CHECK_OK(loki_param_step(SLICE("5m"), 3600 * NS_PER_S, 1, &got));
    CHECK_INT(got, 300 * NS_PER_S);
    CHECK_OK(loki_param_step(SLICE("1"), 11000 * NS_PER_S, 1, &got));
    CHECK_ERR(loki_param_step(SLICE("1"), 11001 * NS_PER_S, 1, &got), ERR_INVALID, "11,000");
    CHECK_ERR(loki_param_step(SLICE("0"), NS_PER_S, 1, &got), ERR_INVALID, "zero or negative");
    CHECK_ERR(loki_param_step(SLICE("-1"), NS_PER_S, 1, &got), ERR_INVALID, "zero or negative");
    CHECK_ERR(loki_param_step(SLICE("x"), NS_PER_S, 1, &got), ERR_INVALID, "\"step\"");
}

TEST(loki_param_limits_and_directions)
{
    uint32_t limit;
    bool is_forward;

    CHECK_OK(loki_param_limit(SLICE(""), 100, &limit));
    CHECK_INT(limit, 100);
    CHECK_OK(loki_param_limit(SLICE("5"), 100, &limit));
    CHECK_INT(limit, 5);
    CHECK_ERR(loki_param_limit(SLICE("0"), 100, &limit), ERR_INVALID, "positive");
    CHECK_ERR(loki_param_limit(SLICE("-1"), 100, &limit), ERR_INVALID, "positive");
    CHECK_ERR(loki_param_limit(SLICE("4294967296"), 100, &limit), ERR_INVALID, "\"limit\"");
    CHECK_OK(loki_param_direction(SLICE(""), &is_forward));
    CHECK_INT(is_forward, false);
    CHECK_OK(loki_param_direction(SLICE("Forward"), &is_forward));
    CHECK_INT(is_forward, true);
    CHECK_OK(loki_param_direction(SLICE("BACKWARD"), &is_forward));
    CHECK_INT(is_forward, false);
    CHECK_ERR(loki_param_direction(SLICE("up"), &is_forward), ERR_INVALID, "invalid direction");
}
