/* Sorting many texts in byte order (slice_cmp). */
#pragma once
#include "common/base/slice.h"

/* Eight bytes at a time, those in common once: label values mostly begin alike, which is what makes
 * comparing them slow. Sorts ptr in place; no more than 24 bytes a text besides. */
void slice_sort(struct slice *ptr, size_t n);
/* The same, and leaves each text once; returns how many are left. */
size_t slice_sort_unique(struct slice *ptr, size_t n);
