#include "common/base/gotime.h"

#include <math.h>

#include "common/base/gonum.h"
#include "common/base/promdur.h"

#define DAY_S 86400
#define NS_PER_S 1000000000

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    int64_t m = a % b;

    return m < 0 ? m + b : m;
}

struct gotime gotime_of_ms(int64_t unix_ms, const struct gozone *zone)
{
    return (struct gotime){.unix_s = floor_div(unix_ms, 1000),
                           .ns = (uint32_t)floor_mod(unix_ms, 1000) * 1000000,
                           .zone = zone};
}

struct gotime gotime_of_ns(int64_t unix_ns, const struct gozone *zone)
{
    return (struct gotime){.unix_s = floor_div(unix_ns, NS_PER_S),
                           .ns = (uint32_t)floor_mod(unix_ns, NS_PER_S),
                           .zone = zone};
}

int64_t gotime_ms(struct gotime t)
{
    int64_t ms;

    if (__builtin_mul_overflow(t.unix_s, 1000, &ms) ||
        __builtin_add_overflow(ms, (int64_t)(t.ns / 1000000), &ms))
        return t.unix_s < 0 ? INT64_MIN : INT64_MAX;
    return ms;
}

int gotime_days_in(int month, int64_t year)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && is_leap);
}

/* Days from 1970-01-01 to the first of March of a year that starts in March: leap days fall on
 * its end. */
static int64_t days_to_march(int64_t year)
{
    return year * 365 + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400) - 719468;
}

/* Days before a month in a year that starts in March (0 = March). */
static int march_month_days(int m)
{
    return (153 * m + 2) / 5;
}

static int64_t civil_to_days(int64_t year, int64_t month, int64_t day)
{
    /* Months carry into years, days into whatever they must. */
    int64_t m = month - 3, y = year + floor_div(m, 12);

    return days_to_march(y) + march_month_days((int)(m - floor_div(m, 12) * 12)) + day - 1;
}

static void days_to_civil(int64_t days, struct gotime_civil *c)
{
    int64_t era = floor_div(days + 719468, 146097);
    int64_t doe = days + 719468 - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int m = (int)((5 * doy + 2) / 153);

    c->day = (int)doy - march_month_days(m) + 1;
    c->month = m < 10 ? m + 3 : m - 9;
    c->year = yoe + era * 400 + (c->month <= 2);
    c->year_day = (int)(days - civil_to_days(c->year, 1, 1)) + 1;
    c->weekday = (int)(days + 4 - floor_div(days + 4, 7) * 7);
}

struct gotime_civil gotime_civil(const struct gotime *t)
{
    struct gotime_civil c = {0};
    int64_t local_s, days, in_day;

    if (t->has_fixed) {
        c.offset_s = t->fixed_offset_s;
        c.abbrev = slice_cstr(t->fixed_abbrev);
    } else {
        struct gozone_period p = gozone_at(t->zone, t->unix_s);

        c.offset_s = p.offset_s;
        c.abbrev = p.abbrev;
    }
    if (__builtin_add_overflow(t->unix_s, (int64_t)c.offset_s, &local_s))
        local_s = t->unix_s;
    days = floor_div(local_s, DAY_S);
    in_day = floor_mod(local_s, DAY_S);
    days_to_civil(days, &c);
    c.hour = (int)(in_day / 3600);
    c.minute = (int)(in_day / 60 % 60);
    c.second = (int)(in_day % 60);
    return c;
}

int64_t gotime_date(const struct gozone *zone, int64_t year, int month, int day, int hour,
                    int minute, int second)
{
    int64_t s = civil_to_days(year, month, day) * DAY_S + hour * INT64_C(3600) +
                minute * INT64_C(60) + second;
    struct gozone_period p;

    if (gozone_is_utc(zone))
        return s;
    /* The offset at the time taken as UTC is right unless a change lies between the two. */
    p = gozone_at(zone, s);
    if (p.offset_s) {
        int64_t guess = s - p.offset_s;

        if (guess < p.start_s || guess >= p.end_s)
            p = gozone_at(zone, guess);
        s -= p.offset_s;
    }
    return s;
}

struct err *gotime_parse_api(struct slice text, int64_t *ret_ms)
{
    struct gotime t;
    struct err *e;
    double v;

    if (gonum_float(text, &v)) {
        double s, fraction = modf(v, &s);

        /* Prometheus rounds to whole milliseconds and takes 290 million years as its bounds. */
        if (!(fabs(v) < 9.2e15))
            return err_new(ERR_INVALID, "cannot parse \"%.*s\" to a valid timestamp",
                           (int)ORR_MIN(text.len, 64), (const char *)text.ptr);
        *ret_ms = (int64_t)s * 1000 + (int64_t)round(fraction * 1000);
        return NULL;
    }
    if ((e = gotime_parse(SLICE(GOTIME_RFC3339_NANO), text, NULL, &t))) {
        err_free(e);
        return err_new(ERR_INVALID, "cannot parse \"%.*s\" to a valid timestamp",
                       (int)ORR_MIN(text.len, 64), (const char *)text.ptr);
    }
    *ret_ms = gotime_ms(t);
    return NULL;
}

struct err *gotime_parse_api_duration(struct slice text, int64_t *ret_ms)
{
    struct err *e;
    int64_t ns;
    double v;

    if (gonum_float(text, &v)) {
        if (!(fabs(v) < 0x1p63 / 1e9))
            return err_new(ERR_INVALID,
                           "cannot parse \"%.*s\" to a valid duration. It overflows int64",
                           (int)ORR_MIN(text.len, 64), (const char *)text.ptr);
        *ret_ms = (int64_t)(v * 1e9) / 1000000;
        return NULL;
    }
    if ((e = promdur_parse(text, &ns))) {
        err_free(e);
        return err_new(ERR_INVALID, "cannot parse \"%.*s\" to a valid duration",
                       (int)ORR_MIN(text.len, 64), (const char *)text.ptr);
    }
    *ret_ms = ns / 1000000;
    return NULL;
}
