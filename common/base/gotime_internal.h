/* Layouts, shared by formatting and parsing. */
#pragma once
#include "common/base/gotime.h"

enum gotime_std {
    GOTIME_NONE, /* the rest of the layout is literal */
    GOTIME_LONG_MONTH,
    GOTIME_MONTH,
    GOTIME_NUM_MONTH,
    GOTIME_ZERO_MONTH,
    GOTIME_LONG_WEEKDAY,
    GOTIME_WEEKDAY,
    GOTIME_DAY,
    GOTIME_UNDER_DAY,
    GOTIME_ZERO_DAY,
    GOTIME_UNDER_YEAR_DAY,
    GOTIME_ZERO_YEAR_DAY,
    GOTIME_HOUR,
    GOTIME_HOUR12,
    GOTIME_ZERO_HOUR12,
    GOTIME_MINUTE,
    GOTIME_ZERO_MINUTE,
    GOTIME_SECOND,
    GOTIME_ZERO_SECOND,
    GOTIME_LONG_YEAR,
    GOTIME_YEAR,
    GOTIME_PM,
    GOTIME_LOWER_PM,
    GOTIME_ABBREV,
    GOTIME_OFFSET,        /* a numeric offset; see struct gotime_chunk */
    GOTIME_FRACTION_ZERO, /* .000: exactly so many digits */
    GOTIME_FRACTION_NINE, /* .999: without trailing zeros */
};

struct gotime_chunk {
    struct slice prefix; /* literal text before it */
    enum gotime_std std;
    unsigned digits; /* of a fraction */
    char separator;  /* of a fraction: '.' or ',' */
    bool is_z;       /* offset: Z for UTC */
    bool has_colon;  /* offset: 07:00 */
    unsigned parts;  /* offset: 1 hours, 2 with minutes, 3 with seconds */
};

/* The next field of *layout, which it advances. */
struct gotime_chunk gotime_next_chunk(struct slice *layout);
extern const char *const gotime_months[12];
extern const char *const gotime_weekdays[7];
