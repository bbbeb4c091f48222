/*
 * The log head: the recent log lines of one ingester, all tenants.
 *
 *   loghead_push(), loghead_push_batch() ─ split by stream ─▶ shard threads: one record each into the log (logrecord.h),
 *                                            then into the tenant's open lines ─▶ done when durable
 *   open lines ─ past a size, an age or a memory budget, at the end of a window ─▶ sealed: sorted, equal ones once,
 *                in pages (common/logblock/logpage.h), as one frame (logframe.h) of a file
 *   frames ─ window's end + grace, or on command ─▶ a segment, for compactors; dropped when a block has it
 *   loghead_select() ─▶ streams by fingerprint, entries by time, from open lines and frames
 *
 * A head has a fixed number of shards (chosen when DIR is new, kept in DIR/head/meta), each a
 * thread that owns its streams; the low bits of the fingerprint choose. Lines may come in any order: what
 * the door lets in is taken. Of entries equal in time, line and structured metadata one is kept;
 * other lines of the same time are all kept, in the order they came.
 *
 * A *segment* is all frames, over all shards, of a tenant's lines that came in one window of LOGHEAD_WINDOW_MS of the
 * clock (so replicas have the same lines in the same window, but for those of its edges). It is named in the frames, and
 * is no file of its own. While it grows nobody is told of it; then it is cut, and what comes later in the window is
 * another segment. One that frames name when they are read back grows no more; it is cut at its time.
 *
 * Files: DIR/head/meta, DIR/head/<shard>/frames-<n>, DIR/dropped-by/<tenant> (ingester/metrics/dropped_by.h), and
 * the log, DIR/wal, which the caller opens and nobody else writes to. The log is cut when everything before is in frames. A frame is written once
 * the log has what is in it, and says so; so recovery is: frames, then the log's records that
 * are in none. Pushes are taken meanwhile, reads answer ERR_UNAVAILABLE. A frame that is torn was
 * not the only place of its lines: it is left out. A frame that is dropped is marked so in place and its pages are given
 * back to the disk; its head goes on saying what of the log it covers, until the log has none of that.
 *
 * Memory: open lines are bounded by a budget over all tenants (open_bytes; pushes beyond are refused
 * with ERR_UNAVAILABLE), streams by the tenants' limits.
 *
 * Threads: loghead_push() and plain getters from any, never blocking on disk. What is marked
 * "blocking" belongs on a worker.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/logblock/logblock.h"
#include "common/model/log_steps.h"
#include "common/model/matcher.h"
#include "common/wal/wal.h"
#include "ingester/metrics/batch.h"

#define LOGHEAD_WINDOW_MS 7200000ll

struct loghead;
struct log_batch; /* ingester/door/log_batch.h */

/* Whether a stream is in this head because of its labels; else some of its lines were brought here beside (ingester/log_shards.h). */
enum loghead_place { LOGHEAD_UNPLACED /* it cannot be told yet */, LOGHEAD_HOME, LOGHEAD_AWAY };
/* On a shard's thread, for pushes with max_homes: when a stream becomes active, and as long as it cannot be told. */
typedef enum loghead_place loghead_place_fn(void *arg, struct slice tenant, struct hash128 fp);

struct loghead_opts {
    const char *dir;          /* created if absent; head/ inside is ours */
    struct wal *wal;          /* opened by the caller, closed by it after loghead_close() */
    unsigned shards;          /* 0: one per CPU; a power of two, else rounded up. Kept by DIR. */
    int64_t open_bytes;       /* budget for lines that are not in frames; 0: 512 MiB */
    int64_t seal_bytes;       /* a tenant's open lines in a shard are sealed past it; 0: 16 MiB */
    int64_t seal_age_ms;      /* or when the first came so long ago; 0: 30 min */
    int64_t seal_wal_bytes;   /* or when so much log was written since; 0: 512 MiB */
    int64_t push_queue_bytes; /* batches waiting for shard threads; 0: 256 MiB */
    int64_t idle_ms;          /* a stream without lines for so long is not active; 0: 1 h */
    int64_t grace_ms;         /* from a window's end until its segments are cut; 0: 15 min */
    /* Pages get needle filters, so that blocks can take them over: where no other ingester has the lines, too. */
    bool has_filters;
    int64_t regex_cache_bytes; /* remembered regexes, over all shards; 0: 16 MiB */
    loghead_place_fn *place;   /* NULL: all streams are at home */
    void *place_arg;
    const struct clock *clock; /* NULL: the system's */
};

ORR_CHECKED struct err *loghead_open(const struct loghead_opts *opts, struct loghead **ret);
/* Waits for pushes under way, stops the threads; what is open stays in the log. Blocking. NULL is
 * allowed. */
void loghead_close(struct loghead *h);
bool loghead_is_ready(const struct loghead *h); /* the replay is through */
/* Blocking, until ready. The error that ended the replay, if one did (then the head stays unready).
 */
ORR_CHECKED struct err *loghead_wait_ready(struct loghead *h);

struct loghead_replay_stats {
    uint64_t frames, dropped_frames, torn_frames, streams; /* from files */
    uint64_t records, entries, skipped; /* from the log; skipped: records that frames have */
    uint64_t unknown, broken; /* streams without a definition; records that cannot be read */
    int64_t replay_ms;
    struct wal_replay_stats wal;
};
void loghead_replay_stats_get(struct loghead *h, struct loghead_replay_stats *ret);

/* ---- writing ---- */

struct loghead_limits {
    uint64_t max_streams; /* active streams of the tenant in this head; 0: no limit */
    /* Of those that are at home here; and as many of those that are away, which count where they are at home. 0: no limit */
    uint64_t max_homes;
    /* Bytes of lines and structured metadata a second of each stream, and how many at once (tokenbucket.h); rate 0: no
     * limit. A stream's lines of one push are taken or refused together. */
    double stream_rate, stream_burst;
};

/*
 * The push is through: e NULL: everything not rejected or unknown is stored and durable; else
 * (ERR_IO, ERR_UNAVAILABLE) it may or may not be stored. Takes e; reply is lent for the call, its
 * indexes are those of the batch's streams, its times milliseconds; where streams were over a limit of streams it says which
 * label has the most values (batch_reply.widest). Called exactly once per
 * successful loghead_push(), on the wal thread, a shard thread or the caller's: must not block.
 */
typedef void loghead_push_fn(void *arg, struct err *e, struct batch_reply *reply);
/* bytes: log_batch.h; lent for the call. An error here (ERR_INVALID: not a batch; ERR_UNAVAILABLE when
 * queues or the budget are full, or the head is closing) means done is not called. Any thread. */
ORR_CHECKED struct err *loghead_push(struct loghead *h, struct slice tenant, struct slice bytes,
                                     const struct loghead_limits *limits, loghead_push_fn *done,
                                     void *arg);
/*
 * The same of a batch that is not bytes yet: its streams with these n indexes (NULL: the first n), labels also of known ones if
 * with_labels. The reply's indexes are places among those n. Streams without entries are left out. All is lent for the call.
 */
ORR_CHECKED struct err *loghead_push_batch(struct loghead *h, const struct log_batch *batch,
                                           const uint32_t *streams, size_t n, bool with_labels,
                                           const struct loghead_limits *limits,
                                           loghead_push_fn *done, void *arg);

/* ---- reading: blocking; a set belongs to one thread ---- */

struct loghead_query {
    struct slice tenant;
    struct matchers matchers; /* all must hold */
    int64_t from_ns, to_ns;   /* to is exclusive */
    bool is_backward;         /* newest first */
    uint64_t max_streams;     /* ERR_LIMIT beyond; 0: no limit */
    /* Of entries only those whose line holds all of these; most others are not read. Lent until the set is closed. Not
     * together with volumes. */
    const struct slice *needles;
    size_t n_needles;
    /* NULL: none. Of entries in frames those are left out that it leaves out (logblock.h), if no stream that matches has a label of
     * the name. Lent and allowed likewise. */
    const struct logblock_bound *bound;
};
struct loghead_stream {
    struct hash128 fp;
    struct slice labels; /* canonical */
};
struct loghead_entry {
    int64_t t_ns;
    struct slice line;
    struct labels metadata;
};
struct loghead_set;
/*
 * Streams that match and may have entries in the range, by fingerprint (hash128_cmp). What it lends
 * is there, whatever is written, sealed or dropped, until loghead_set_close().
 */
ORR_CHECKED struct err *loghead_select(struct loghead *h, const struct loghead_query *q,
                                       struct loghead_set **ret);
/* The next stream; texts live as long as the set. False at the end or after an error. */
bool loghead_set_stream(struct loghead_set *s, struct loghead_stream *ret);
/* Its next entry; valid until the next call. Those of one time come in the order they arrived,
 * backward in the opposite one. False at the stream's end or after an error. */
bool loghead_set_entry(struct loghead_set *s, struct loghead_entry *ret);
/* NULL, or why it stopped early. Frees s. NULL is allowed. */
ORR_CHECKED struct err *loghead_set_close(struct loghead_set *s);

/* What a stream has in the set's range. Of frames that lie in it partly all is counted. */
struct loghead_volume {
    uint64_t entries, bytes; /* of lines and structured metadata; those sent twice count twice */
    uint64_t frames;         /* places it is in, the open lines counted as one */
};
/* Of the stream that loghead_set_stream() returned last, without reading its lines. */
void loghead_set_volume(struct loghead_set *s, struct loghead_volume *ret);
/* Adds its bytes to the steps that they are in: those of a frame as if its lines came evenly. Sums to the volume's
 * if the steps are the set's range. */
void loghead_set_steps(struct loghead_set *s, const struct log_steps *steps, uint64_t *io_bytes);

/* Sorted and unique, copied into a: names of labels of streams that have entries in the range; values of one.
 */
struct loghead_names {
    struct slice *ptr;
    size_t n;
};
ORR_CHECKED struct err *loghead_label_names(struct loghead *h, const struct loghead_query *q,
                                            struct arena *a, struct loghead_names *ret);
ORR_CHECKED struct err *loghead_label_values(struct loghead *h, const struct loghead_query *q,
                                             struct slice name, struct arena *a,
                                             struct loghead_names *ret);

/* ---- segments ---- */

struct loghead_segment {
    char tenant[152]; /* NUL-terminated */
    char ulid[27];
    int64_t min_ms, max_ms; /* the window; max is exclusive */
    /* Streams of each frame, summed; lines; bytes of frames. */
    uint64_t streams, entries, bytes;
    uint32_t frames;
    int64_t
        cut_ms; /* Unix ms when it was cut; after a restart: when its time had come, if that is longer ago */
    void *pin; /* set by loghead_segment_pin() */
};
/* Those that are cut, by tenant and window; the caller mem_free()s. Any thread. */
void loghead_segments(struct loghead *h, struct loghead_segment **ret, size_t *ret_n);
/* Seals what is open of tenant (empty: of all) and cuts it all. Blocking; ERR_UNAVAILABLE before it is ready. When it
 * cannot be sealed (ERR_IO …) lines stay as they were, for the next cut. *ret_segments (may be NULL): how
 * many were cut. */
ORR_CHECKED struct err *loghead_cut(struct loghead *h, struct slice tenant, size_t *ret_segments);
/* Cuts those whose window ended the grace ago. How many there were. Does not wait. */
size_t loghead_cut_due(struct loghead *h);
/* Keeps what a segment lends, whatever happens to it. ERR_NOT_FOUND: there is no such, or it grows. One of before a restart
 * that is not cut yet is cut by this. Pair with unpin. */
ORR_CHECKED struct err *loghead_segment_pin(struct loghead *h, struct slice tenant,
                                            struct slice ulid, struct loghead_segment *ret);
void loghead_segment_unpin(struct loghead *h, const struct loghead_segment *pinned);
/* Its i-th frame (logframe.h), by number; the number stays the same over restarts. Lent until unpin; the one byte that says
 * whether it is dropped may change. False: there is none. */
bool loghead_segment_frame(const struct loghead_segment *pinned, size_t i, uint32_t *ret_number,
                           struct slice *ret_bytes);
/*
 * A visible block names it as a source, in this version of the tenant's catalogue of logs (0: it is not known in which). When
 * this returns without error it is gone for those who ask from now on, also after a crash. ERR_NOT_FOUND; ERR_IO: it
 * stays. Blocking.
 */
ORR_CHECKED struct err *loghead_segment_dropped(struct loghead *h, struct slice tenant,
                                                struct slice ulid, uint64_t version);
/* The highest version by which a segment of the tenant was dropped here, ever; 0: none was. Asked after a read has
 * been opened it covers all that the read does not find here any more. Any thread. */
uint64_t loghead_dropped_by(struct loghead *h, struct slice tenant);

/* ---- upkeep ---- */

/* Seals what is due, cuts the log and deletes files that nothing needs; about once a second. Blocking, but not on sealing.
 */
ORR_CHECKED struct err *loghead_maintain(struct loghead *h);
/* Seals all that is open (of tenant; empty: of all) and cuts the log. Blocking until it is done, or
 * cannot be done (ERR_IO …; the lines stay as they were). */
ORR_CHECKED struct err *loghead_seal(struct loghead *h, struct slice tenant);

struct loghead_tenant_stats {
    uint64_t streams, active; /* known; with lines lately */
    uint64_t entries, bytes;  /* taken since the start */
};
void loghead_tenant_stats_get(struct loghead *h, struct slice tenant,
                              struct loghead_tenant_stats *ret);
