/*
 * What blocks of traces have cost this querier, as metrics.
 *
 * Any thread.
 */
#pragma once
#include "querier/store/store.h"

void tracestats_write(const struct store_stats *s, struct buf *out, bool is_openmetrics);
