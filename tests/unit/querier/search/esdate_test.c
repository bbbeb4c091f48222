#include "common/base/clock.h"
#include "querier/search/esdate.h"
#include "tests/unit/test.h"

#define NOW 1767322800000000000ll /* 2026-01-02T03:00:00Z */

static void check_parse(const char *text, const char *format, bool rounds_up, const char *want)
{
    struct esdate_opts o = {
        .now_ns = NOW + 5, .format = slice_cstr(format), .rounds_up = rounds_up};
    struct buf b = {0};
    struct esdate d;

    CHECK_OK(esdate_parse(slice_cstr(text), &o, &d));
    esdate_format(&b, d.ns, SLICE("strict_date_optional_time_nanos"), NULL);
    test_check_str(buf_slice(&b), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&b);
}

TEST(esdate_reads_dates)
{
    check_parse("2026-01-02T03:04:05.678Z", "", false, "2026-01-02T03:04:05.678000000Z");
    check_parse("2026-01-02T03:04:05.123456789+01:00", "", false, "2026-01-02T02:04:05.123456789Z");
    check_parse("2026", "", false, "2026-01-01T00:00:00.000000000Z");
    check_parse("2026-02", "", true, "2026-02-01T23:59:59.999000000Z");
    check_parse("2026-02-03T04", "", true, "2026-02-03T04:59:59.999000000Z");
    check_parse("1767322800000", "", false, "2026-01-02T03:00:00.000000000Z");
    check_parse("1767322800", "epoch_second", false, "2026-01-02T03:00:00.000000000Z");
    check_parse("02/01/2026 04", "dd/MM/yyyy HH", false, "2026-01-02T04:00:00.000000000Z");
    check_parse("2026-01-02", "yyyy-MM-dd||epoch_millis", true, "2026-01-02T23:59:59.999000000Z");
}

TEST(esdate_does_maths)
{
    check_parse("now", "", false, "2026-01-02T03:00:00.000000000Z");
    check_parse("now-1h", "", false, "2026-01-02T02:00:00.000000000Z");
    check_parse("now-1h+30m/h", "", false, "2026-01-02T02:00:00.000000000Z");
    check_parse("now-2592000s", "", false, "2025-12-03T03:00:00.000000000Z");
    check_parse("now-1000000m/d", "", false, "2024-02-07T00:00:00.000000000Z");
    check_parse("now/d", "", false, "2026-01-02T00:00:00.000000000Z");
    check_parse("now/d", "", true, "2026-01-02T23:59:59.999000000Z");
    check_parse("now/w", "", false, "2025-12-29T00:00:00.000000000Z");
    check_parse("2026-01-31||+1M", "", false, "2026-02-28T00:00:00.000000000Z");
    check_parse("2026-01-31||-1M/M", "", false, "2025-12-01T00:00:00.000000000Z");
    check_parse("2024-02-29||+1y/d", "", false, "2025-02-28T00:00:00.000000000Z");
}

TEST(esdate_refuses_what_is_none)
{
    static const char *const bad[] = {
        "",         "yesterday", "2026-13-01",   "2026-02-30",
        "now-1x",   "now+",      "now-1",        "2026-01-02T25:00:00Z",
        "now+999y", "now*2",     "2026-01-02||", "99999999999999999999"};
    struct esdate_opts o = {.now_ns = NOW};
    struct esdate d;
    size_t failed = 0;

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct err *e = esdate_parse(slice_cstr(bad[i]), &o, &d);

        failed += err_is(e, ERR_INVALID);
        err_free(e);
    }
    CHECK_INT(failed, ORR_COUNT(bad) - 1); /* maths of nothing are fine */
    o.format = SLICE("QQQ yyyy");
    CHECK_ERR(esdate_parse(SLICE("x"), &o, &d), ERR_UNSUPPORTED, "[QQQ yyyy]");
}

static void check_floor(const char *zone, char unit, int64_t ns, const char *want)
{
    struct gozone *z = NULL;
    struct buf b = {0};

    CHECK_OK(esdate_zone(slice_cstr(zone), &z));
    esdate_format(&b, esdate_floor(ns, unit, z), SLICE_EMPTY, z);
    test_check_str(buf_slice(&b), slice_cstr(want), zone, __FILE__, __LINE__);
    buf_done(&b);
    gozone_free(z);
}

TEST(esdate_rounds_by_the_calendar_of_a_zone)
{
    check_floor("UTC", 'd', NOW, "2026-01-02T00:00:00.000Z");
    check_floor("+05:30", 'd', NOW, "2026-01-02T00:00:00.000+05:30");
    check_floor("America/New_York", 'd', NOW, "2026-01-01T00:00:00.000-05:00");
    check_floor("Europe/Berlin", 'q', NOW + 100 * 86400ll * NS_PER_S,
                "2026-04-01T00:00:00.000+02:00");
    check_floor("Z", 'y', NOW, "2026-01-01T00:00:00.000Z");
}

/* From each day's beginning to the next one: what two days later begins is what it was found to be from there. */
static void check_days(const char *zone, const char *from, const char *const *want)
{
    struct esdate_opts o = {.now_ns = NOW};
    struct gozone *z = NULL;
    struct esdate d;
    int64_t ns;

    CHECK_OK(esdate_zone(slice_cstr(zone), &z));
    CHECK_OK(esdate_parse(slice_cstr(from), &o, &d));
    for (ns = d.ns; *want; want++, ns = esdate_next(ns, 'd', z)) {
        struct buf b = {0};

        esdate_format(&b, ns, SLICE_EMPTY, z);
        test_check_str(buf_slice(&b), slice_cstr(*want), zone, __FILE__, __LINE__);
        buf_done(&b);
        CHECK_INT(esdate_floor(ns, 'd', z), ns);
        CHECK_INT(esdate_floor(ns + 20 * 3600 * NS_PER_S, 'd', z), ns);
    }
    gozone_free(z);
}

TEST(esdate_begins_days_whose_midnight_is_left_out)
{
    static const char *const cairo[] = {"2024-04-25T00:00:00.000+02:00",
                                        "2024-04-26T01:00:00.000+03:00",
                                        "2024-04-27T00:00:00.000+03:00", NULL};
    static const char *const santiago[] = {
        "2024-09-07T00:00:00.000-04:00", "2024-09-08T01:00:00.000-03:00",
        "2024-09-09T00:00:00.000-03:00", "2024-09-10T00:00:00.000-03:00", NULL};
    static const char *const berlin[] = {"2026-10-24T00:00:00.000+02:00",
                                         "2026-10-25T00:00:00.000+02:00",
                                         "2026-10-26T00:00:00.000+01:00", NULL};

    check_days("Africa/Cairo", "2024-04-25T00:00:00+02:00", cairo);
    check_days("America/Santiago", "2024-09-07T00:00:00-04:00", santiago);
    check_days("Europe/Berlin", "2026-10-24T00:00:00+02:00", berlin);
}
