/*
 * Parameters of Prometheus' HTTP API as texts to values, with its error messages.
 *
 * Times: Unix seconds ("1435781430.781") or RFC 3339; also the two texts with which Prometheus
 * writes its least and greatest time. They are kept within ±PROM_TIME_MAX_MS, so that sums of a few
 * of them do not overflow. Durations: seconds or "5m".
 *
 * Errors are ERR_INVALID: `invalid parameter "time": Invalid time value for 'time': cannot parse "x" to
 * a valid timestamp`.
 * Pure; any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/matcher.h"

#define PROM_TIME_MAX_MS 2000000000000000000ll /* 63 million years either way */
#define PROM_MAX_POINTS 11000

/* Absent (ptr NULL) or "": def. */
ORR_CHECKED struct err *prom_param_time(const char *name, struct slice text, int64_t def_ms,
                                        int64_t *ret_ms);
ORR_CHECKED struct err *prom_param_duration(const char *name, struct slice text, int64_t def_ms,
                                            int64_t *ret_ms);
/* Of a range query, which words it otherwise. */
ORR_CHECKED struct err *prom_param_required_time(const char *name, struct slice text,
                                                 int64_t *ret_ms);
/* A count that is not negative; absent or 0: 0, no limit. */
ORR_CHECKED struct err *prom_param_limit(const char *name, struct slice text, uint64_t *ret);
/* start, end and step of a range query against each other. */
ORR_CHECKED struct err *prom_param_check_range(int64_t start_ms, int64_t end_ms, int64_t step_ms);
/* A selector of match[]; refuses one that every series matches. matchers_done() it. */
ORR_CHECKED struct err *prom_param_match(struct arena *a, struct slice text, struct matchers *ret);
/* The same without the name of the parameter in its error. */
ORR_CHECKED struct err *prom_param_selector(struct arena *a, struct slice text,
                                            struct matchers *ret);
/* {name} of /label/{name}/values: "U__a_2e_b" is "a.b"; ERR_INVALID if it cannot be a name. */
ORR_CHECKED struct err *prom_param_label_name(struct arena *a, struct slice text,
                                              struct slice *ret);
