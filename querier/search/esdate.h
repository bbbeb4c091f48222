/*
 * Dates as Elasticsearch's queries have them, to and from Unix nanoseconds.
 *
 *     2026-01-02T03:04:05.678Z   2026-01   1767322800000   now-1h/h   2026-01-02||+1M/d
 *
 * Maths: + and - with a number and a unit, / with a unit (y M w d h H m s), from left to right, by the calendar of the zone. A
 * date may lack its end: rounded down that is the beginning; rounded up 01 for month and day, and the last moment of the
 * day, hour, minute or second. Digits alone, more than four, are Unix milliseconds.
 *
 * Formats, several parted by ||: epoch_millis, epoch_second, [strict_]date_optional_time[_nanos], and patterns of yyyy (uuuu), MM,
 * dd, HH, mm, ss, S…, X, XXX, Z, 'text' and punctuation. Others are ERR_UNSUPPORTED that names them.
 *
 * Pure; any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/gotime.h"

#define ESDATE_MAX_BYTES 256 /* of a text */
#define ESDATE_MS ((int64_t)1000000)

struct esdate_opts {
    int64_t now_ns;
    const struct gozone *zone; /* of dates that name none, and of maths; NULL: UTC */
    struct slice format;       /* empty: strict_date_optional_time||epoch_millis */
    bool rounds_up;
    bool
        saturates; /* a date beyond what nanoseconds reach (1823 to 2116) is the last one within: of bounds */
};
struct esdate {
    int64_t ns;
    int64_t unit_ns; /* how exact it is: a millisecond, or 1 if more digits than that were given */
};

/* ERR_INVALID, ERR_UNSUPPORTED. */
ORR_CHECKED struct err *esdate_parse(struct slice text, const struct esdate_opts *opts,
                                     struct esdate *ret);
/* The text of a document's field, or of a number in one: no maths. False: it is no date. */
bool esdate_of_value(struct slice text, int64_t *ret_ns);
/* Whether the formats are known. */
ORR_CHECKED struct err *esdate_check_format(struct slice format);
/* By the first of the formats; empty: 2026-01-02T03:04:05.678Z. */
void esdate_format(struct buf *out, int64_t ns, struct slice format, const struct gozone *zone);

/* The beginning of the unit (one of y q M w d h m s) that ns is in, n units on. */
int64_t esdate_floor(int64_t ns, char unit, const struct gozone *zone);
int64_t esdate_add(int64_t ns, char unit, int64_t n, const struct gozone *zone);
/* The beginning of the unit behind the one that begins at ns. */
int64_t esdate_next(int64_t ns, char unit, const struct gozone *zone);
/* An IANA name, Z, or +HH:MM. Free with gozone_free(). */
ORR_CHECKED struct err *esdate_zone(struct slice text, struct gozone **ret);
/* Rounded towards the past. */
int64_t esdate_floor_ms(int64_t ns);
