/*
 * The tombstones file: which time ranges of which series are deleted. Within common/block only.
 *
 *   u32 magic 0130BA30 | u8 version 1 | { uvarint series ref, varint min t, varint max t }... |
 *   u32 CRC-32C of the entries
 */
#pragma once
#include "common/block/block_reader.h"

struct block_tombstones {
    struct block_tombstone {
        uint32_t ref;
        struct block_interval in;
    } * ptr;                          /* by ref and time; neighbours that touch are one */
    struct block_interval *intervals; /* the same, without refs */
    size_t n;
};

ORR_CHECKED struct err *block_tombstones_parse(const char *block, struct slice bytes,
                                               struct block_tombstones *ret);
void block_tombstones_done(struct block_tombstones *t);
const struct block_interval *block_tombstones_find(const struct block_tombstones *t, uint32_t ref,
                                                   size_t *ret_n);
