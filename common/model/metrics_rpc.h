/*
 * What queriers, compactors and rulers ask ingesters about metrics, and the bytes of it. Methods:
 *
 *   ingester.push      batch (ingester/metrics/batch.h) → batch reply; door to replica only
 *   ingester.push_late the same, of samples that a quorum took (ingester/distribute.h): their order is not
 *                      asked. Peers of before do not know it
 *   ingester.aggregate batch of inputs by agg_rule_key() → batch reply; door to the owner of a group
 *   ingester.write     prometheus.WriteRequest (protobuf, not compressed) → empty; any ingester
 *                      distributes it like a client's write: how rulers store results
 *   ingester.write_late the same, of samples that may be older than those their series have, whatever
 *                      the tenant's window: how rulers fill holes. Peers of before do not know it
 *   ingester.select    rpc_select → stream of frames of series with chunks (tenant of the call)
 *   ingester.names     rpc_select, kind names or values → stream of frames of lstr, sorted over all
 *   ingester.metadata  family (raw bytes; "" for all) → stream of frames of metadata entries
 *   ingester.exemplars rpc_select → stream of frames of exemplar series
 *   ingester.pairs     rpc_select, kind names (of all labels) or values (of one) → stream of frames of
 *                      label pairs with the series in memory that have them; the first one has an
 *                      empty name and counts all series that match
 *   ingester.head      empty → rpc_head
 *   ingester.segments  empty → frames of segments, of all tenants (tenant of the call: that one)
 *   ingester.segment_read    rpc_segment_read → stream of raw bytes of one file of a segment
 *   ingester.segment_dropped rpc_segment_read (ulid, version) → empty: a visible block names it as a source
 *   ingester.flush     empty → empty once all is cut (tenant of the call; none: all tenants)
 *   compactor.hint     empty → empty: this tenant has new segments, look now
 *   ruler.rules        empty → JSON list of the groups of the tenant that this ruler owns
 *   ruler.config       rpc_rules → the tenant's groups of rules in that language, of all rulers, as YAML
 *   ruler.change       rpc_rules_change → empty once the tenant's rules in the bucket are changed so
 *   querier.tombstones uvarint version → empty: the tenant's tombstones are at this version now; querier.tombstones_logs
 *                      those of log lines
 *   querier.query      rpc_query → body of Prometheus' /api/v1/query reply (JSON), also for errors;
 *                      with wants_exact, a histogram in it is the base64 of hist_wire.h, not an object
 *   querier.query_logs rpc_query, its expr in LogQL, for samples → the same. Peers of before do not know it
 *
 * Answers of ingester.select, names, metadata, exemplars and pairs have a mark (rpc_call_mark()): the version of the tenant's
 * catalogue by which the ingester has last dropped a segment. What it had before and has no more is in blocks which
 * that version names, and those after it: an answer and an older catalogue are not whole. 0: nothing was dropped, or
 * a peer of before answers.
 *
 * Every message starts with a format byte (1). Integers are LEB128 (uvarint; times zigzag), strings
 * lstr. A frame holds whole entries, is at most METRICS_RPC_FRAME_BYTES unless one entry alone is
 * longer, and starts with no header: entries back to back.
 *
 * Decoders take bytes as hostile and borrow from them; ERR_INVALID. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/reader.h"
#include "common/model/matcher.h"
#include "common/model/sample.h"

#define METRICS_RPC_FRAME_BYTES (256u << 10)
#define METRICS_RPC_MAX_LABELS 4096

enum rpc_select_kind { RPC_SELECT_CHUNKS, RPC_SELECT_LABELS, RPC_SELECT_NAMES, RPC_SELECT_VALUES };

struct rpc_select {
    enum rpc_select_kind kind;
    struct matchers matchers;
    int64_t min_ms, max_ms;                /* both inclusive */
    struct slice name;                     /* RPC_SELECT_VALUES: of this label */
    uint32_t shard_index, shard_count;     /* by fingerprint; 0: all */
    uint64_t max_series, max_bytes, limit; /* 0: none; limit: stop without error after so many */
    /* RPC_SELECT_CHUNKS: each series begins with its fingerprint (16 bytes, lo and hi), by which they
     * are sorted, and shows only those of its labels that are among names. */
    bool is_keyed;
    const struct slice *names;
    size_t n_names;
    bool newest_only; /* only the newest sample in the range is wanted; more may come */
};
/* format | kind, RPC_SELECT_KEYED and _NEWEST added | times | name | shard | limits |
 * if keyed: count, names | matchers */
#define RPC_SELECT_KEYED 0x100
#define RPC_SELECT_NEWEST 0x200
void rpc_select_encode(struct buf *out, const struct rpc_select *s);
/* matchers are compiled into a; matchers_done() them. */
ORR_CHECKED struct err *rpc_select_decode(struct arena *a, struct slice bytes,
                                          struct rpc_select *ret);

struct rpc_chunk {
    int64_t min_ms, max_ms;
    uint8_t encoding; /* Prometheus', or CHUNK_STARTS (common/block/start_runs.h) */
    struct slice data;
};
struct rpc_series {
    struct labels labels;
    const struct rpc_chunk *chunks;
    size_t n_chunks;
    bool is_keyed; /* whoever decodes says what was asked for */
    struct hash128 fp;
};
/* [fingerprint lo, hi] | label count | lstr name, lstr value ... | chunk count | (min, max - min, u8 encoding, lstr data)... */
void rpc_series_encode(struct buf *out, const struct rpc_series *s);
/* The next entry; its arrays are in a, its bytes in the frame. False at the end or when malformed
 * (then reader_ok is false). */
bool rpc_series_decode(struct arena *a, struct reader *frame, struct rpc_series *ret);

struct rpc_metadata {
    struct slice family, help, unit;
    enum sample_metric_type type;
};
void rpc_metadata_encode(struct buf *out, const struct rpc_metadata *m);
bool rpc_metadata_decode(struct reader *frame, struct rpc_metadata *ret);

/* labels as above | exemplar count | (labels, f64 value, t) ... */
struct rpc_exemplars {
    struct labels labels;
    const struct exemplar *ptr;
    size_t n;
};
void rpc_exemplars_encode(struct buf *out, const struct rpc_exemplars *e);
bool rpc_exemplars_decode(struct arena *a, struct reader *frame, struct rpc_exemplars *ret);

/* lstr name | lstr value | uvarint series */
struct rpc_pair {
    struct slice name, value;
    uint64_t series;
};
void rpc_pair_encode(struct buf *out, const struct rpc_pair *p);
bool rpc_pair_decode(struct reader *frame, struct rpc_pair *ret);

/* What an ingester holds of a tenant in memory; min > max: no sample. */
struct rpc_head {
    uint64_t series, pairs, chunks, appended;
    uint64_t rate_milli; /* samples in 1000 s, of late */
    int64_t min_ms, max_ms;
};
void rpc_head_encode(struct buf *out, const struct rpc_head *h);
ORR_CHECKED struct err *rpc_head_decode(struct slice bytes, struct rpc_head *ret);

struct rpc_segment {
    struct slice tenant, ulid;
    int64_t min_ms, max_ms; /* max exclusive */
    uint64_t series, samples, bytes;
};
void rpc_segment_encode(struct buf *out, const struct rpc_segment *s);
bool rpc_segment_decode(struct reader *frame, struct rpc_segment *ret);

/* The tenant is the call's. file: a relative path of one of the segment's files ("index",
 * "chunks/000001", "meta.json", "exemplars", "metadata", "starts"); "" asks for the list of files, answered
 * by frames of (lstr path, uvarint bytes). version: a version of the catalogue that names the segment; 0: not told. It is the
 * end of the message, left out when it is 0: peers of before do not read on. */
struct rpc_segment_read {
    struct slice ulid, file;
    uint64_t offset, len; /* len 0: to the end */
    uint64_t version;     /* of a drop */
};
void rpc_segment_read_encode(struct buf *out, const struct rpc_segment_read *r);
ORR_CHECKED struct err *rpc_segment_read_decode(struct slice bytes, struct rpc_segment_read *ret);

struct rpc_query {
    struct slice expr;
    int64_t time_ms;
    int64_t timeout_ms; /* 0: the querier's */
    bool wants_exact;   /* histograms with schema, spans and all */
};
/* ns and group may be empty: all. */
struct rpc_rules {
    struct slice language, ns, group;
};
void rpc_rules_encode(struct buf *out, const struct rpc_rules *r);
ORR_CHECKED struct err *rpc_rules_decode(struct slice bytes, struct rpc_rules *ret);

/* X(symbol): numbers of them are on the wire */
#define RPC_RULES_OPS(X) X(RPC_RULES_SET) X(RPC_RULES_DELETE) X(RPC_RULES_DELETE_NAMESPACE)
enum rpc_rules_op {
#define X(sym) sym,
    RPC_RULES_OPS(X)
#undef X
        RPC_RULES_OP_COUNT
};
struct rpc_rules_change {
    enum rpc_rules_op op;
    struct slice language, ns;
    struct slice group; /* RPC_RULES_DELETE */
    struct slice yaml;  /* RPC_RULES_SET: a group, its name is in it */
    struct slice
        overridden; /* "a,b": namespaces whose protection does not hold for this; peers of before send none */
};
void rpc_rules_change_encode(struct buf *out, const struct rpc_rules_change *c);
ORR_CHECKED struct err *rpc_rules_change_decode(struct slice bytes, struct rpc_rules_change *ret);

void rpc_query_encode(struct buf *out, const struct rpc_query *q);
ORR_CHECKED struct err *rpc_query_decode(struct slice bytes, struct rpc_query *ret);
