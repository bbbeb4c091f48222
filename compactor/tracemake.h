/*
 * Checked inputs of traces become one block on disk: what blockmake.h does for metrics. Each span once (tracepiece_unite()). Traces have
 * no periods by series: a block leaves whole. Of a tombstone the end alone counts: all spans that began up to then are left out, as who
 * deletes a tenant wants it; no others are made. A block without spans has the range of its inputs.
 *
 * Memory: of each block that is merged a row group, a trace, and what traceblock_writer keeps. Blocking; owner: the calling thread.
 */
#pragma once
#include "compactor/blockmake.h"

/* As blockmake(). Shards are not made. */
ORR_CHECKED struct err *tracemake(const struct blockmake_opts *opts, struct arena *a,
                                  struct block_meta *ret_meta);
