/*
 * A frame: what one tenant had open in one shard of the log head when it was sealed. Frames lie back to
 * back in files. A frame says itself which streams it has, with their labels, and which records of
 * the log it covers. Little endian.
 *
 *   offset  size  field
 *        0     6  magic "ORRLFR"
 *        6     1  0; 1: dropped. The only byte that changes, in place, once: no checksum covers it. What lies
 *                 behind the tenant may be zeros then
 *        7     1  version: 4; of version 3, which is read, too, filters are of other grams, and as if they were not there;
 *                 of version 2 pages have 32 bytes, and no filters
 *        8     4  crc32c of the front: from 12 to the tenant's end
 *       12     4  crc32c of the rest of the head
 *       16     8  bytes of the frame, all of it; a multiple of 8
 *       24     4  bytes of the head: all up to the pages
 *       28     4  shard
 *       32     4  bytes of the tenant
 *       36     4  streams
 *       40     4  pages
 *       44     4  number of the frame in its segment, from 1
 *       48     8  entries
 *       56     8  bytes of lines and structured metadata
 *       64    16  least and greatest time, Unix ns
 *       80     8  epoch of the log's sequence numbers (loghead.h's meta file)
 *       88     8  all records of this tenant and shard up to this number are covered, by this or an
 *                 earlier frame
 *       96    16  so are those from … to … (0, 0: none): taken while older ones were read back
 *      112    16  segment: its ULID
 *      128     8  begin of the segment's window, Unix ms
 *      136     8  bytes of the labels: stored, decompressed
 *      144     -  the tenant
 *              -  streams, 56 bytes each, ascending by fingerprint (hash128_cmp):
 *                   u64 u64 fingerprint (lower, upper half); i64 i64 least, greatest time;
 *                   u64 bytes; u32 entries; u32 u32 first and last page; u32 0
 *              -  pages, 48 bytes each: u64 offset in the frame, u32 bytes, u32 entries,
 *                 i64 i64 least, greatest time; u32 bytes of its filter (0: it has none), u32 class of
 *                 that; u32 crc32c of page and filter; u32 0
 *              -  labels, zstd: canonical, as lstr each, in the streams' order
 *              -  the pages (logpage.h), whose streams are indexes of the frame's, each followed by its filter
 *                 (logfilter_bits_write()); zeros to the end
 *
 * Entries are in pages by stream, time, arrival, and none is there twice. A page of one stream that has a filter can be
 * taken over into a block as it is (logblock_merge()).
 *
 * Any thread. An open frame borrows the bytes.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/block/ulid.h"

#define LOGFRAME_HEADER_BYTES 144
#define LOGFRAME_DROPPED_AT 6 /* where this byte is written, it is dropped: */
#define LOGFRAME_DROPPED 1
#define LOGFRAME_STREAM_BYTES 56
#define LOGFRAME_PAGE_BYTES 48
#define LOGFRAME_PAGE_BYTES_2 32 /* of version 2 */
#define LOGFRAME_MAX_BYTES (1ull << 32)

struct logframe_stream {
    struct hash128 fp;
    int64_t min_ns, max_ns;
    uint64_t bytes;
    uint32_t entries, first_page, last_page;
};
struct logframe_page {
    uint64_t offset; /* when building: in the pages' bytes; when read: in the frame */
    uint32_t bytes, entries;
    int64_t min_ns, max_ns;
    uint32_t filter_bytes, filter_class; /* filter_bytes 0: it has none */
    bool has_crc;                        /* when read: of version 4 */
    uint32_t crc;                        /* when built it is found out */
};
struct logframe_head {
    uint32_t shard, n_streams, n_pages;
    uint64_t entries, bytes;
    int64_t min_ns, max_ns;
    uint64_t epoch, through, live_from, live_to;
    struct ulid segment;
    int64_t window_ms;
    uint32_t number; /* in the segment */
};

/* Appends a frame. labels: uncompressed, in streams' order; page_bytes: pages back to back, each with its filter behind it. */
ORR_CHECKED struct err *logframe_build(const struct logframe_head *head, struct slice tenant,
                                       const struct logframe_stream *streams,
                                       const struct logframe_page *pages, struct slice labels,
                                       struct slice page_bytes, struct buf *out);

struct logframe {
    struct logframe_head head;
    bool is_dropped;
    struct slice tenant, bytes; /* all of the frame */
    const uint8_t *streams, *pages;
    size_t page_bytes;   /* of the table */
    bool has_filters;    /* that are known, and so checksums, which are over them, too */
    struct slice labels; /* compressed */
    uint32_t labels_bytes;
};
/* The frame that begins where bytes do, which may go on behind it. ERR_CORRUPT: there is none, or
 * it is torn; ERR_UNSUPPORTED: of another version. Checks the head, not the pages. One that is dropped opens as long as its bytes are there. */
ORR_CHECKED struct err *logframe_open(struct slice bytes, struct logframe *ret);
/* Only the front: head (of which streams and pages are not there to be asked for), tenant and bytes; of a frame that is
 * dropped, too. */
ORR_CHECKED struct err *logframe_open_front(struct slice bytes, struct logframe *ret);
/* Where the front ends: what a frame that is dropped keeps. */
size_t logframe_front_bytes(const struct logframe *f);
struct logframe_stream logframe_stream_at(const struct logframe *f, uint32_t i);
struct logframe_page logframe_page_at(const struct logframe *f, uint32_t i);
struct slice logframe_page_bytes(const struct logframe *f, uint32_t i);
struct slice logframe_filter_bytes(const struct logframe *f, uint32_t i); /* empty: it has none */
/* Page and filter have the checksum that the frame says; it must have one. */
bool logframe_page_is_whole(const struct logframe *f, uint32_t i);
/* False: it has no such stream. */
bool logframe_find(const struct logframe *f, struct hash128 fp, uint32_t *ret);
/* Appends the labels, lstr each. */
ORR_CHECKED struct err *logframe_labels(const struct logframe *f, struct buf *out);
