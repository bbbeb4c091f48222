/*
 * Checked inputs of log lines become one block on disk: what blockmake.h does for metrics.
 *
 * Each line once (common/logblock/logmerge.h), without lines that tombstones delete and streams whose retention is over. A
 * tombstone deletes what common/logblock/linetombs.h says. A block of which no line is left has the
 * range of its inputs.
 *
 * Memory: a page of each of LOGBLOCK_MERGE_SOURCES sources, and what logblock_writer keeps. Blocking; owner: the calling thread.
 */
#pragma once
#include "compactor/blockmake.h"

/* As blockmake(). Shards are not made. */
ORR_CHECKED struct err *logmake(const struct blockmake_opts *opts, struct arena *a,
                                struct block_meta *ret_meta);
