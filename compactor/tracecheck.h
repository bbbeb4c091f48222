/*
 * Whether the bytes of an input of traces make sense, and reading it: a segment as fetched from an ingester (the files of
 * common/traces/tracesegment.h, "pieces/000001" …), or a block. What passes can be merged and written again without an error that is
 * the input's fault.
 *
 *   segment   every file opens, every piece of it has its checksum, is of its trace and decodes; traces have the pieces, spans and
 *             times that their file says. Files do not say whose they are: that is who handed them out
 *   block     traceblock_verify(), and it is the one that was asked for
 *
 * Reads all of it, one piece or one row group at a time in memory, and one file at a time mapped: a process may map 65,530, and a job has up to 256
 * segments of TRACECHECK_MAX_FILES. Blocking; owner: the calling thread.
 */
#pragma once
#include "common/traceblock/traceblock.h"
#include "compactor/segcheck.h"

#define TRACECHECK_DIR "pieces"
#define TRACECHECK_MAX_FILES 8192 /* a file each 10 s makes 720 in two hours */

struct tracecheck;

/* dir/pieces/. ERR_CORRUPT: the bytes are wrong; another code: they could not be read. found: samples are spans, as often as they are
 * there. */
ORR_CHECKED struct err *tracecheck_open_segment(const char *dir, struct ulid segment,
                                                struct tracecheck **ret,
                                                struct segcheck *ret_found);
/* services: an open reader of the block, which the caller goes on owning. */
ORR_CHECKED struct err *tracecheck_open_block(struct block_reader *services, struct slice tenant,
                                              struct ulid block, struct tracecheck **ret,
                                              struct segcheck *ret_found);
void tracecheck_close(struct tracecheck *c); /* NULL is allowed */

/* Merges files of a segment, on disk, until there are no more than max: all sources of a job are mapped at once. *stop (may be NULL):
 * ERR_CANCELED. */
ORR_CHECKED struct err *tracecheck_reduce(struct tracecheck *c, size_t max,
                                          const atomic_bool *stop);
/* What traceblock_merge() is given: so many sources, which read from c, a file each mapped until the source is closed; each may be had several times. ERR_… of opening one. */
size_t tracecheck_n_sources(const struct tracecheck *c);
ORR_CHECKED struct err *tracecheck_source(const struct tracecheck *c, size_t i,
                                          struct traceblock_source *ret);
