/* Where the bits of a gram are, for filters of one page and of many. Within common/logblock only. */
#pragma once
#include "common/logblock/logfilter.h"

#define LOGFILTER_MAX_CLASS 160

/* Stripes of a class: from one to the next they grow by an eighth or less. */
uint32_t logfilter_stripes(uint32_t size_class);
/* The LOGFILTER_HASHES rows of a gram: all in one stripe. */
void logfilter_rows(uint32_t hash, uint32_t n_stripes, uint32_t *ret);
