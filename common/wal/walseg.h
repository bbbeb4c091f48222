/*
 * One file of the write-ahead log: bytes and scanning. All integers little endian.
 *
 *   segment   offset size
 *                  0    8  magic "ORRWAL" 0 1
 *                  8    8  sequence number of the first record
 *                 16    8  creation time, Unix ns
 *                 24    4  crc32c of the 24 bytes before
 *                 28    4  0
 *                 32    -  groups, back to back, then zeros (unwritten, preallocated space)
 *
 *   group     what one write and sync made durable; starts on a multiple of 8
 *                  0    4  magic "OGRP"
 *                  4    4  bytes of the body
 *                  8    8  sequence number of its first record
 *                 16    4  number of records
 *                 20    4  crc32c of the 20 bytes before
 *                 24    -  records, back to back, padded with zeros to 8
 *
 *   record         0    4  bytes of what follows the checksum
 *                  4    4  crc32c of it
 *                  8    1  type
 *                  9    1  bytes of the tenant
 *                 10    -  tenant | payload
 *
 * Records carry checksums of their own, so one flipped bit costs one record (or what follows it in its
 * group, when the lengths do not add up any more); group headers carry sequence numbers, so what
 * follows a broken place keeps its own. After a broken group header the scan looks for the next valid
 * one on a multiple of 8.
 *
 * Scanning reads a mapped file and allocates nothing. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wal/wal.h"

#define WALSEG_HEADER_BYTES 32u
#define WALSEG_GROUP_BYTES 24u
#define WALSEG_RECORD_BYTES 10u
#define WALSEG_MAX_RECORD_BYTES (64u << 20)

void walseg_header(uint8_t out[WALSEG_HEADER_BYTES], uint64_t first_seq, int64_t created_ns);
/* False if it is not a segment header. */
bool walseg_parse_header(struct slice file, uint64_t *ret_first_seq);

/* Fills the room left at the front of a group buffer; body is what follows it, padded. */
void walseg_group_header(uint8_t out[WALSEG_GROUP_BYTES], size_t body_bytes, uint64_t first_seq,
                         uint32_t records);
/* Checksum of a record that will be written by walseg_append_record(). */
uint32_t walseg_record_crc(uint8_t type, struct slice tenant, struct slice payload);
void walseg_append_record(struct buf *group, uint32_t crc, uint8_t type, struct slice tenant,
                          struct slice payload);

enum walseg_event {
    WALSEG_RECORD, /* rec is set */
    WALSEG_BROKEN, /* [offset, offset + bytes) cannot be read; the scan goes on behind it */
    WALSEG_TORN,   /* the same, but nothing valid follows: the tail of an interrupted write */
    WALSEG_END,
};

struct walseg_scan {
    struct slice file;
    size_t at;              /* of the next group header */
    size_t rec_at, rec_end; /* within the current group */
    uint64_t seq;           /* of the next record in the group */
    uint64_t group_end_seq;
    uint64_t next_seq; /* one past the highest number a valid group header claimed */
    /* of the last event */
    struct wal_record rec;
    size_t offset, bytes;
};

/* file starts with a valid header. */
void walseg_scan_init(struct walseg_scan *s, struct slice file, uint64_t first_seq);
enum walseg_event walseg_scan_next(struct walseg_scan *s);

/* Where the log goes on behind a file. */
struct walseg_tail {
    uint64_t next_seq;          /* number after the last record that a valid group header claims */
    size_t torn_at, torn_bytes; /* cut here before anything else is done; 0 bytes: nothing torn */
    bool has_records;
};
void walseg_tail(struct slice file, uint64_t first_seq, struct walseg_tail *ret);
