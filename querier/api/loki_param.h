/*
 * Parameters of Loki's HTTP API as texts to values.
 *
 * Times: Unix nanoseconds; a number of at most ten digits is seconds, one with a point fractions of them
 * (to the millisecond); or RFC 3339. Durations: seconds as a number, or "5m". Both must be within
 * ±LOKI_TIME_MAX_NS, times less than that, so that the length of a range fits.
 *
 * Errors are ERR_INVALID and name the parameter.
 * Pure; any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

#define LOKI_TIME_MAX_NS ((int64_t)1 << 62) /* the year 2116 */
#define LOKI_DEF_POINTS 250

/* Absent (ptr NULL) or "": def. */
ORR_CHECKED struct err *loki_param_time(const char *name, struct slice text, int64_t def_ns,
                                        int64_t *ret_ns);
ORR_CHECKED struct err *loki_param_duration(const char *name, struct slice text, int64_t def_ns,
                                            int64_t *ret_ns);
/* The step of a range of length_ns. Absent: LOKI_DEF_POINTS of them, but min_s seconds at least. More than PROM_MAX_POINTS are
 * an error. */
ORR_CHECKED struct err *loki_param_step(struct slice text, int64_t length_ns, int64_t min_s,
                                        int64_t *ret_ns);
/* A positive count; the second is that of the parameter limit. */
ORR_CHECKED struct err *loki_param_count(const char *name, struct slice text, uint32_t def,
                                         uint32_t *ret);
ORR_CHECKED struct err *loki_param_limit(struct slice text, uint32_t def, uint32_t *ret);
/* forward or backward, in any case; absent: backward. */
ORR_CHECKED struct err *loki_param_direction(struct slice text, bool *ret_is_forward);
