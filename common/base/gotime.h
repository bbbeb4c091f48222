/*
 * Times in Go's layouts: "2006-01-02T15:04:05.999999999Z07:00". Formatting and parsing follow
 * time.Format and time.ParseInLocation, proleptic Gregorian calendar included.
 *
 * A struct gotime borrows its zone. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/gozone.h"

#define GOTIME_RFC3339 "2006-01-02T15:04:05Z07:00"
#define GOTIME_RFC3339_NANO "2006-01-02T15:04:05.999999999Z07:00"

struct gotime {
    int64_t unix_s;
    uint32_t ns;               /* 0..999999999, added to unix_s */
    const struct gozone *zone; /* NULL: UTC, unless has_fixed */
    bool has_fixed;            /* the offset and name below instead of a zone */
    int32_t fixed_offset_s;
    char fixed_abbrev[8]; /* "" if it has no name */
};

struct gotime_civil {
    int64_t year;
    int month, day; /* from 1 */
    int hour, minute, second;
    int weekday;  /* 0: Sunday */
    int year_day; /* from 1 */
    int32_t offset_s;
    struct slice abbrev; /* lent by the zone or the gotime */
};

struct gotime gotime_of_ms(int64_t unix_ms, const struct gozone *zone);
struct gotime gotime_of_ns(int64_t unix_ns, const struct gozone *zone);
/* Saturates. */
int64_t gotime_ms(struct gotime t);
struct gotime_civil gotime_civil(const struct gotime *t);
/* time.Date: fields out of their range carry over. */
int64_t gotime_date(const struct gozone *zone, int64_t year, int month, int day, int hour,
                    int minute, int second);
int gotime_days_in(int month, int64_t year);

void gotime_format(struct buf *out, const struct gotime *t, struct slice layout);
/* Texts without a zone are in zone (NULL: UTC). ERR_INVALID. */
ORR_CHECKED struct err *gotime_parse(struct slice layout, struct slice text,
                                     const struct gozone *zone, struct gotime *ret);
/* The time parameters of Prometheus' API: seconds as a number ("1435781430.781") or RFC 3339. */
ORR_CHECKED struct err *gotime_parse_api(struct slice text, int64_t *ret_ms);
/* Its durations: seconds as a number or "5m". Milliseconds. */
ORR_CHECKED struct err *gotime_parse_api_duration(struct slice text, int64_t *ret_ms);
