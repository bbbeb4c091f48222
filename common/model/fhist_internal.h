/* Shared by fhist.c and fhist_stat.c. */
#pragma once
#include "common/model/fhist.h"

double fhist_bound(const struct fhist *h,
                   int32_t idx); /* upper bound of bucket idx, positive side */
double fhist_lower(const struct fhist *h, int32_t idx);
