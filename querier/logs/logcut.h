/*
 * Into which pieces (logsource.h) a request is cut for several threads, pure.
 *
 * Stretches of time (logstretch.h) are pieces as they are; where there are few, those whose blocks have many bytes are cut
 * further, to pieces of LOGCUT_BYTES at least. A block has its streams one behind the other, each by time, in pages of about 1 MiB of
 * lines: a cut by time goes through a page of each stream, which both sides read. So that is done where streams have many pages;
 * else the stretch is cut by fingerprints, or into fewer pieces.
 */
#pragma once
#include "querier/logs/logsource.h"
#include "querier/logs/logstretch.h"

#define LOGCUT_BYTES (4u << 20)         /* of blocks, as stored */
#define LOGCUT_NEEDLE_BYTES (16u << 20) /* where most of it is likely to be left unread */

/* bytes: instead of LOGCUT_BYTES; 0: those. left: the plan, whose stretches are the blocks'. In the arena, in the plan's order; at least one if the range is not empty. */
struct logsource_piece *logcut(struct arena *a, struct logstretch left,
                               const struct logstretch_block *blocks, size_t n, unsigned lanes,
                               uint64_t bytes, size_t *ret_n);
