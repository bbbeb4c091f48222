/*
 * Time zones from the system's tz database (TZif files), as Go's time.Location has them.
 * A loaded zone is read-only: any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct gozone;

/* An IANA name, "UTC" or "" (UTC). ERR_NOT_FOUND if there is no such zone. */
ORR_CHECKED struct err *gozone_load(struct slice name, struct gozone **ret);
/* A zone with one offset, as time.FixedZone. */
struct gozone *gozone_fixed(struct slice abbrev, int32_t offset_s);
void gozone_free(struct gozone *z);
const struct gozone *gozone_utc(void); /* static: not to be freed */
bool gozone_is_utc(const struct gozone *z);
struct slice gozone_name(const struct gozone *z);

struct gozone_period {
    int32_t offset_s; /* east of UTC */
    bool is_dst;
    struct slice abbrev;    /* lent by the zone */
    int64_t start_s, end_s; /* INT64_MIN and INT64_MAX where it has no end */
};
/* What holds at a Unix time. NULL is UTC, here and below. */
struct gozone_period gozone_at(const struct gozone *z, int64_t unix_s);
/* The offset of an abbreviation such as "CEST" around a local time given as if it were UTC. */
bool gozone_lookup(const struct gozone *z, struct slice abbrev, int64_t local_s,
                   int32_t *ret_offset_s);
