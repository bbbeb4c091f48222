/*
 * Whether the bytes of an input of log lines make sense, and reading it: a segment as fetched from an ingester (the frames of
 * common/logblock/logframe.h, back to back in one file), or a block. What passes can be merged and written again without an
 * error that is the input's fault, but for what stands below.
 *
 *   segment   every frame is of this tenant and segment and not dropped; labels are in order and have the fingerprint that they
 *             stand under; entries come by stream and time, and are as many and in as many pages as the
 *             frame says; pages have the checksum that the frame says. What is in a page that has it is taken for what
 *             the ingester wrote, and not decoded; of a frame of version 2, which has none, all is
 *   block     logblock_verify(), and it is the one that was asked for
 *
 * An ingester that wrote nonsense, with a checksum, is found out by the merge: it fails with ERR_CORRUPT, and logcheck_deep() tells
 * whose fault that is: it decodes texts, and looks at filters of pages, and at pages as they would be taken over.
 *
 * Reads all of it, one page at a time in memory. Blocking; owner: the calling thread.
 */
#pragma once
#include "common/block/tombstone_list.h"
#include "common/logblock/logblock.h"
#include "compactor/segcheck.h"

#define LOGCHECK_FRAMES_FILE "frames"
#define LOGCHECK_MAX_LABELS_BYTES (256u << 20) /* of the streams of one frame, decompressed */

struct logcheck;

/* dir/frames. ERR_CORRUPT: the bytes are wrong; another code: they could not be read. found: samples are lines. */
ORR_CHECKED struct err *logcheck_open_segment(const char *dir, struct slice tenant,
                                              struct ulid segment, struct logcheck **ret,
                                              struct segcheck *ret_found);
/* streams: an open reader of the block, which the caller goes on owning. */
ORR_CHECKED struct err *logcheck_open_block(struct block_reader *streams, struct slice tenant,
                                            struct ulid block, struct logcheck **ret,
                                            struct segcheck *ret_found);
/* Decodes all of a segment. ERR_CORRUPT. */
ORR_CHECKED struct err *logcheck_deep(const struct logcheck *c);
/* Whether a block has lines that t deletes. streams as above. *stop (may be NULL): ERR_CANCELED. ERR_CORRUPT: the block's bytes are
 * wrong; another code: they could not be read, or t not be understood. */
ORR_CHECKED struct err *logcheck_holds(struct block_reader *streams, const struct tombstone *t,
                                       const atomic_bool *stop, bool *ret);
void logcheck_close(struct logcheck *c); /* NULL is allowed */

/* What logblock_merge() is given: so many sources, which read from c. ret has room for them. */
size_t logcheck_n_sources(const struct logcheck *c);
ORR_CHECKED struct err *logcheck_sources(const struct logcheck *c, struct logblock_source *ret);
