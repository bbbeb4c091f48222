/*
 * A file written from front to back, buffered, with a running CRC-32C. Within common/block, and common/logblock.
 *
 * Errors latch: puts after a failure do nothing, close reports the first one.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

struct block_out {
    int fd; /* -1: closed */
    char *path;
    struct buf buf;
    uint64_t pos; /* bytes put so far */
    uint32_t crc; /* of the bytes since block_out_crc_begin() */
    struct err *failed;
};

/* Creates the file, which must not exist. */
ORR_CHECKED struct err *block_out_open(struct block_out *o, const char *path);
void block_out_put(struct block_out *o, struct slice s);
void block_out_u8(struct block_out *o, uint8_t v);
void block_out_u32be(struct block_out *o, uint32_t v);
void block_out_u64be(struct block_out *o, uint64_t v);
void block_out_uvarint(struct block_out *o, uint64_t v);
void block_out_lstr(struct block_out *o, struct slice s); /* uvarint length, bytes */
void block_out_align(struct block_out *o, unsigned to);   /* zeros up to a multiple */
void block_out_crc_begin(struct block_out *o);
void block_out_crc_end(struct block_out *o); /* puts the CRC, big endian */
/* A copy of the first error so far. */
ORR_CHECKED struct err *block_out_check(struct block_out *o);
/* Flushes, syncs if asked to, closes. A closed one is left alone. */
ORR_CHECKED struct err *block_out_close(struct block_out *o, bool sync);
/* Closes without caring. */
void block_out_abort(struct block_out *o);
