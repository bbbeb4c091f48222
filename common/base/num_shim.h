/* What num.c needs of the C++ library. */
#pragma once
#include "common/base/attr.h"

/* Scientific notation d.ddde+XX of a finite, non-negative v; prec digits after the point, or the
 * shortest that reads back the same for -1. At most 1100 bytes; returns the length. */
size_t num_shim_scientific(double v, int prec, char *out, size_t cap);
/* Fixed notation with exactly prec digits after the point, or the shortest that reads back the same
 * for -1 (of a v below 2^53: beyond, its digits are not the shortest). */
size_t num_shim_fixed(double v, int prec, char *out, size_t cap);
