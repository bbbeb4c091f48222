/* Shared by fhist.c, fhist_stat.c and fhist_trim.c. */
#pragma once
#include "common/model/fhist.h"

/* Upper bound of bucket idx, positive side. */
double fhist_bound(const struct fhist *h, int32_t idx);
double fhist_lower(const struct fhist *h, int32_t idx);
