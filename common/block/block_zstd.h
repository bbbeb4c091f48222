/*
 * A part of a block's file as one frame of zstd, where that is shorter; how many bytes come out is said beside it. For common/logblock and
 * common/traceblock.
 *
 * Owner of a packer: one thread. Unpacking: any thread, each with a context of its own that is kept, for making one costs as much as a
 * page of small columns.
 */
#pragma once
#include "common/base/buf.h"

struct block_zstd;

struct block_zstd *block_zstd_new(int level);
void block_zstd_level(struct block_zstd *z, int level);
void block_zstd_free(struct block_zstd *z); /* NULL is allowed */
/* Appends the frame. False, and nothing: it would not be shorter by a 32nd, and by a byte at least. */
bool block_zstd_pack(struct block_zstd *z, struct slice raw, struct buf *out);
/* False: it is no frame of so many bytes, for which there is room at to. */
bool block_zstd_unpack(struct slice stored, uint8_t *to, size_t bytes);
