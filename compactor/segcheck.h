/*
 * Whether the bytes of a fetched segment make sense: every checksum, series in strictly ascending
 * order of well-formed labels, each chunk decodes to samples in ascending time that lie where the
 * index says, chunks of a series do not overlap, and the segment is the one that was asked for. What passes can be merged and written
 * again without an error that is the segment's fault.
 *
 * Reads the whole segment. Blocking; owner: the calling thread.
 */
#pragma once
#include "common/block/block_reader.h"

/* What was found: the range of its meta.json, widened to that of its chunks. */
struct segcheck {
    int64_t min_t, max_t; /* max_t exclusive */
    uint64_t samples;
};
/* Opens and checks. ERR_CORRUPT: the bytes are wrong; another code: they could not be read. */
/* external: labels that its series get besides their own. */
ORR_CHECKED struct err *segcheck_open(const char *dir, struct slice tenant, struct ulid segment,
                                      struct labels external, struct block_reader **ret,
                                      struct segcheck *ret_found);
/* For checks of other signals: whether a block is the one that was asked for; and takes e: what is missing, of another format or
 * malformed is wrong bytes, too. */
ORR_CHECKED struct err *segcheck_identity(const struct block_meta *m, struct slice tenant,
                                          struct ulid segment);
struct err *segcheck_as_corrupt(struct err *e);
