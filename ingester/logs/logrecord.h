/*
 * What the log head writes into its log: per shard what it took of one batch. The record's tenant is
 * the log's own field. The same bytes go from the thread that takes a batch to the shards. Little
 * endian; varints as in buf.h.
 *
 *   u8   version, 1
 *   u16  shard
 *   then streams up to the end, each:
 *     u64 u64 fingerprint: lower half, upper half
 *     lstr    canonical labels; empty: an earlier record has them, and is kept as long as this one
 *     u32     entries
 *     u32     bytes of them, and those, back to back:
 *       i64  time in Unix ns
 *       u32  bytes of the line, u32 bytes of the structured metadata
 *       the line
 *       structured metadata: (lstr name, lstr value) up to the end, sorted by name, names unique
 *
 * Type of the records in the log: LOGRECORD_TYPE.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/model/labels.h"

#define LOGRECORD_TYPE 32
#define LOGRECORD_HEAD_BYTES 3 /* what logrecord_begin() writes */
#define LOGRECORD_ENTRY_BYTES 16

/* ---- writing ---- */

void logrecord_begin(struct buf *out, uint32_t shard);
/* entries: bytes of n of them, as above. */
void logrecord_stream(struct buf *out, struct hash128 fp, struct slice labels, uint32_t n,
                      struct slice entries);
/* The same in steps: n times logrecord_entry() between the two. What begin returns is end's at. */
size_t logrecord_begin_stream(struct buf *out, struct hash128 fp, struct slice labels);
void logrecord_end_stream(struct buf *out, size_t at, uint32_t n);
/* At most so many bytes of it. */
size_t logrecord_entry_room(size_t line_bytes, struct labels metadata);
void logrecord_entry(struct buf *out, int64_t t_ns, struct slice line, struct labels metadata);

/* ---- reading: any bytes ---- */

struct logrecord_stream {
    struct hash128 fp;
    struct slice labels; /* not looked into */
    uint32_t n;
    struct slice entries;
};
struct logrecord_entry {
    int64_t t_ns;
    struct slice line, metadata; /* one right behind the other; metadata: not looked into */
};
/* False: not a record. */
bool logrecord_open(struct slice payload, uint32_t *ret_shard, struct reader *ret);
/* False at the end, or when malformed (then reader_ok() is false). */
bool logrecord_next_stream(struct reader *r, struct logrecord_stream *ret);
/* Over stream.entries; likewise. */
bool logrecord_next_entry(struct reader *r, struct logrecord_entry *ret);
/* Exactly n well-formed entries. */
bool logrecord_entries_valid(const struct logrecord_stream *s);
/* Pairs in the arena, texts lent. False when malformed. */
bool logrecord_metadata(struct arena *a, struct slice metadata, struct labels *ret);
