/*
 * What ingesters and queriers say to one another about log lines, and the bytes of it. Methods:
 *
 *   ingester.push_logs    batch (ingester/door/log_batch.h) → batch reply (ingester/metrics/batch.h); door to
 *                         replica only
 *   ingester.select_logs  rpc_logs_select → stream of frames of rpc_logs_item (tenant of the call). Has a mark, like the
 *                         answers of ingester.select (metrics_rpc.h): the version of the tenant's catalogue of logs by
 *                         which the ingester has last dropped a segment
 *
 * Segments of log lines are listed, read and dropped as those of metrics are, with the same messages (rpc_segment,
 * rpc_segment_read): ingester.segments_logs, ingester.segment_read_logs, ingester.segment_dropped_logs. A segment is what one
 * ingester took of a tenant in one window of PLAN_WINDOW_MS of the clock, or in a part of it: min_ms and max_ms of rpc_segment are
 * that window's, not the lines'; series are streams, those of each frame summed; samples are lines; its ULID was made when it was
 * begun. It is listed once it grows no more: some time after the window's end, or on command. Its files are its frames
 * (common/logblock/logframe.h): "frames/000001" …, by their number, of which one may be missing.
 *
 * Every message starts with a format byte (1, but for a select with needles, a bound or steps). Integers are LEB128 (uvarint; times zigzag), strings
 * lstr. A frame holds whole items, back to back, of LOGS_RPC_FRAME_BYTES or a little more:
 *
 *   u8 1 stream: u64 u64 fingerprint (lower, upper half), lstr canonical labels,
 *                uvarint entries, uvarint bytes: of the volume, 0 0 if it was not asked for
 *   u8 2 entry of the stream before: varint time ns, lstr line, uvarint pairs of structured metadata,
 *                each lstr name, lstr value; sorted
 *   u8 3 name, or value, of a label: lstr
 *   u8 4 what the stream before has in one of the steps that were asked for, and not nothing: uvarint number, uvarint bytes
 *
 * Streams come by fingerprint (hash128_cmp), entries by time in the direction asked for, equal times as
 * they arrived (backward: the other way round).
 *
 * Decoders take bytes as hostile and borrow from them. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/model/log_steps.h"
#include "common/model/matcher.h"

#define LOGS_RPC_FRAME_BYTES (256u << 10)
#define LOGS_RPC_MAX_PAIRS 65536

/* What the first filter behind a parser wants of one field: lines of which the parser makes no such label, without an error, or a
 * plain decimal number that is not in [min, max], may be left out. Not of streams, or lines, that have a label of the name themselves. */
struct rpc_logs_bound {
    bool is_logfmt; /* else JSON */
    struct slice name;
    double min, max;
};

enum rpc_logs_kind {
    RPC_LOGS_ENTRIES, /* streams, each followed by its entries */
    RPC_LOGS_STREAMS, /* with their volumes */
    RPC_LOGS_NAMES,   /* of labels */
    RPC_LOGS_VALUES,  /* of the label name */
};
struct rpc_logs_select {
    enum rpc_logs_kind kind;
    struct matchers matchers;
    int64_t from_ns, to_ns; /* to is exclusive */
    struct slice name;
    bool is_backward;
    uint64_t max_streams; /* an error beyond; 0: none */
    uint64_t limit;       /* entries of each stream, or names: no more; 0: all */
    /* Of entries only those whose line holds all of these. */
    const struct slice *needles;
    size_t n_needles;                   /* RPC_LOGS_MAX_NEEDLES at most */
    const struct rpc_logs_bound *bound; /* NULL: none */
    /* Of RPC_LOGS_STREAMS: bytes for each of these steps, too, which end with the range. Not together with needles or a bound. */
    struct log_steps steps;
};
#define RPC_LOGS_MAX_NEEDLES 16
/* Matchers: as matchers_encode(). With needles it is of format 2: before the matchers their number, and an lstr each. With a bound it is
 * of format 3: needles as in 2, of which there may be none; then u8 1 if of logfmt, lstr name, f64 least, f64 greatest. With steps of
 * format 4: before the matchers their varint from and uvarint step. Ingesters of before refuse 3 and 4, with
 * ERR_INVALID, and queriers then ask as in 1 (querier/logs/logremote_internal.h): that is slower, and volumes lose their shape, so ingesters
 * are to be upgraded before queriers. */
void rpc_logs_select_encode(struct buf *out, const struct rpc_logs_select *s);
/* Compiles the matchers into the arena; matchers_done() them. ERR_INVALID. */
ORR_CHECKED struct err *rpc_logs_select_decode(struct arena *a, struct slice bytes,
                                               struct rpc_logs_select *ret);

enum rpc_logs_tag { RPC_LOGS_STREAM = 1, RPC_LOGS_ENTRY, RPC_LOGS_NAME, RPC_LOGS_STEP };
struct rpc_logs_item {
    enum rpc_logs_tag tag;
    struct hash128 fp; /* stream */
    struct slice text; /* canonical labels; the line; the name */
    uint64_t entries, bytes;
    uint64_t step; /* its number: below LOG_STEPS_MAX */
    int64_t t_ns;  /* entry */
    struct labels metadata;
};
void rpc_logs_item_encode(struct buf *out, const struct rpc_logs_item *item);
/* Metadata pairs in the arena. False at the end, or when malformed (then reader_ok() is false). */
bool rpc_logs_item_decode(struct arena *a, struct reader *r, struct rpc_logs_item *ret);
