/*
 * A client's log lines, whatever protocol they came in: streams by fingerprint, their entries, and
 * the memory they lie in. log_builder.h fills it; what it is sent as, to replicas and into their
 * write-ahead log, is one form that needs no change on the way:
 *
 *   u8      version, 1
 *   uvarint streams; each:
 *     16      fingerprint of its labels: lower half, upper half, little endian
 *     uvarint bytes of its canonical labels (common/model/labels.h), and those; 0 of them: a
 *             replica that has had this fingerprint knows them
 *     uvarint entries; each:
 *       varint  time in Unix nanoseconds, less that of the entry before it (the first: as it is)
 *       uvarint bytes of the line, and those: any bytes
 *       uvarint pairs of structured metadata, sorted by name, names unique; each:
 *         uvarint 0: a new pair: name and value, each as uvarint length and bytes
 *                 n: the n-th new pair of this batch again
 *
 * Of new pairs only the first LOG_BATCH_MAX_PAIRS can be meant again. Times wrap as 64-bit integers
 * do. Nothing follows the last stream.
 *
 * Everything pointed to lives in body, arena, what it keeps (log_batch_keep()), or is static: a
 * replica may ask for the batch again when the client has long been answered. Owner: one thread, or
 * loop.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/vec.h"
#include "common/model/labels.h"
#include "common/model/limits.h"

#define LOG_BATCH_VERSION 1
#define LOG_BATCH_MAX_PAIRS 4096
#define LOG_BATCH_MAX_METADATA 4096 /* pairs of an entry, whatever the tenant's limit */
#define LOG_BATCH_NONE UINT32_MAX

struct log_entry {
    int64_t t_ns;
    struct slice line;
    const struct label *metadata;
    uint32_t n_metadata;
    uint32_t next; /* of the stream, in entries; LOG_BATCH_NONE: the last */
};

struct log_stream {
    struct hash128 fp;
    struct slice labels; /* canonical */
    bool is_known;       /* the replicas have been sent its labels before */
    uint8_t level;       /* that its labels say (line_level.h) */
    int64_t moved_ns;    /* how far its last was moved on (increment_duplicate_timestamp) */
    uint32_t shard;      /* where on the ring (ingester/log_shards.h) */
    uint32_t first, last, n;
    uint64_t bytes; /* of its lines and structured metadata */
    uint64_t pairs; /* of structured metadata */
};

struct log_batch_kept {
    void (*release)(void *what);
    void *what;
};

struct log_batch {
    uint32_t refs;   /* who still needs it; all on one loop */
    struct buf body; /* decompressed */
    VEC(struct log_batch_kept) kept;
    size_t kept_bytes;
    struct arena *arena;
    struct slice tenant; /* in the arena */
    struct tenant_limits limits;
    VEC(struct log_stream) streams;
    VEC(struct log_entry) entries;
    uint64_t bytes; /* of lines and structured metadata */
    struct buf scratch;
    uint32_t *slots; /* by fingerprint: index + 1 into streams; open addressing */
    size_t n_slots;
};

/* Copies tenant. */
struct log_batch *log_batch_new(struct slice tenant, const struct tenant_limits *limits);
void log_batch_ref(struct log_batch *b);
/* Gives up a reference, the first one too; the last frees. NULL is allowed. */
void log_batch_free(struct log_batch *b);
/* Something of so many bytes that entries lend from: release(what) when the batch is freed. */
void log_batch_keep(struct log_batch *b, void (*release)(void *what), void *what, size_t bytes);
/* Makes *io a part of the body, by a copy if it is none; what was the body before is gone. */
void log_batch_own(struct log_batch *b, struct slice *io);
/* Memory it holds, roughly. */
size_t log_batch_memory(const struct log_batch *b);
/* The stream with this fingerprint, or LOG_BATCH_NONE. */
uint32_t log_batch_find(const struct log_batch *b, struct hash128 fp);
/* One that was not found. Its labels are lent. */
uint32_t log_batch_put(struct log_batch *b, struct hash128 fp, struct slice labels);
/* So many entries are to come; a guess, taken for the truth only if it is no large number. */
void log_batch_expect(struct log_batch *b, size_t entries);
/* Behind the stream's last. metadata: sorted, unique, lent. */
void log_batch_add(struct log_batch *b, uint32_t stream, const struct log_entry *e);

/*
 * Cuts a stream before each entry that comes when its lines have so many bytes (not 0): what follows is another stream
 * with the same fingerprint and labels, behind the batch's last. Not between entries of one time. log_batch_find() finds
 * the first, and to none of them may be added any more.
 */
void log_batch_split(struct log_batch *b, uint32_t stream, uint64_t bytes);

/* The entries of a stream, in the order they came. */
#define LOG_BATCH_FOREACH(e, b, s)                                                                 \
    for (const struct log_entry *e = (s)->n ? &(b)->entries.ptr[(s)->first] : NULL; e;             \
         e = e->next == LOG_BATCH_NONE ? NULL : &(b)->entries.ptr[e->next])

/* Appends the form above of the n streams with these indexes (NULL: of all); those without entries
 * are left out. with_labels: also of
 * streams that are known. */
void log_batch_encode(const struct log_batch *b, const uint32_t *streams, size_t n,
                      bool with_labels, struct buf *out);

/* ---- reading what was sent ---- */

/* Owner: one thread. Lends from the bytes, and from the arena what stands for metadata. */
struct log_batch_reader {
    struct reader r;
    struct arena *arena;
    uint64_t streams_left, entries_left;
    uint64_t t_ns;
    struct label *pairs; /* that may be meant again */
    size_t n_pairs, cap_pairs;
    struct label *metadata; /* of the entry */
    size_t cap_metadata;
};
struct log_batch_head {
    struct hash128 fp;
    struct slice labels; /* canonical, not yet looked into; empty: known */
    uint64_t n_entries;
};

void log_batch_reader_init(struct log_batch_reader *r, struct arena *a, struct slice bytes);
/* Steps over entries that were not asked for. False at the end, or on malformed bytes. */
bool log_batch_next_stream(struct log_batch_reader *r, struct log_batch_head *ret);
/* The next of the stream; its metadata is valid until the next call. */
bool log_batch_next_entry(struct log_batch_reader *r, struct log_entry *ret);
/* ERR_CORRUPT if it did not end where it should. */
ORR_CHECKED struct err *log_batch_reader_end(const struct log_batch_reader *r);
