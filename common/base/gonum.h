/*
 * Number texts as Go reads them, underscores and base prefixes included. Any thread.
 */
#pragma once
#include "common/base/slice.h"

/* strconv.ParseInt(s, 0, 64): sign, 0x 0o 0b prefixes, a leading 0 for octal, 1_000. */
bool gonum_int(struct slice text, int64_t *ret);
/* strconv.ParseFloat(s, 64). Out of range: false, and *ret is +-Inf. Malformed: false, 0. */
bool gonum_float(struct slice text, double *ret);
/* gonum_int(), or else gonum_float(): a number of PromQL. */
bool gonum_number(struct slice text, double *ret);
