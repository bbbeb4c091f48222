/*
 * Numbers as Go writes and reads them (num_short.h, and the C++ library behind num_shim.h).
 */
#pragma once
#include "common/base/buf.h"

/* strconv.FormatFloat(v, fmt, prec, 64): fmt 'e' 'E' 'f' 'g' 'G'; prec -1 = shortest. */
void num_format(struct buf *out, double v, char fmt, int prec);
/* What num_format(v, 'f', -1) appends, into the caller's NUM_F_BYTES; returns the length, no NUL. */
#define NUM_F_BYTES 352
size_t num_write_f(double v, char *out);
/* Decimal digits of v, at most 20; returns the length, no NUL. Writes at least 8 bytes. */
size_t num_write_u64(uint64_t v, char *out);
/* fmt.Sprintf("%v", v): 'g' with shortest precision, so 1e+06 and 123456. */
void num_format_v(struct buf *out, double v);
/* strconv.ParseFloat(s, 64): decimal, hex, underscores not accepted, Inf, NaN; false if malformed.
 * Out of range gives +-Inf and false, as Go's ErrRange does. */
bool num_parse(struct slice s, double *ret);
