/*
 * What the writer and the reader of histogram chunks share.
 */
#pragma once
#include "common/block/chunk_bits.h"
#include "common/block/chunk_hist.h"

#define CHUNK_HIST_FLAGS 2  /* offset of the flags byte */
#define CHUNK_HIST_HEADER 3 /* count and flags */
#define CHUNK_HIST_RESET_BITS 0x80
#define CHUNK_HIST_NO_RESET_BITS 0x40
#define CHUNK_HIST_GAUGE_BITS 0xc0
#define CHUNK_HIST_MAX_SPANS 16384
#define CHUNK_HIST_MAX_BUCKETS 65536 /* a side */
#define CHUNK_HIST_MAX_BOUNDS 65536
#define CHUNK_HIST_WHOLE_BOUND 33554430.0 /* largest bound times 1000 that is stored short */

#define CHUNK_HIST_MIN_SCHEMA (-4)
#define CHUNK_HIST_MAX_SCHEMA 8
