/* What num.c needs of the C++ library. */
#pragma once
#include "common/base/attr.h"

/* Scientific notation d.ddde+XX of a finite, non-negative v with prec digits after the point. At most
 * 1100 bytes; returns the length. */
size_t num_shim_scientific(double v, int prec, char *out, size_t cap);
/* Fixed notation with exactly prec digits after the point. */
size_t num_shim_fixed(double v, int prec, char *out, size_t cap);
