/* What the files of the role share. */
#pragma once
#include "common/rpc/feed.h"
#include "ingester/distribute.h"
#include "ingester/door/agg_send.h"
#include "ingester/door/door.h"
#include "ingester/door/ha_tracker.h"
#include "ingester/door/line_door.h"
#include "ingester/door/message_door.h"
#include "ingester/door/otlp_door.h"
#include "ingester/flush.h"
#include "ingester/ingester.h"
#include "ingester/late_news.h"
#include "ingester/replica.h"

struct ingester;
struct loghead;
struct tracehead;
struct tracehead_sampling;
struct sampler;
struct trace_batch;

struct ingester_conf {
    int64_t logs_open_bytes, logs_seal_bytes, logs_seal_age_ns, logs_seal_wal_bytes, logs_idle_ns;
    int64_t logs_cache_bytes;
    int64_t traces_idle_ns, traces_max_live_ns, traces_cut_period_ns, traces_live_max;
    int64_t traces_segment_bytes, traces_buffer_bytes, traces_remembered, traces_verdict_wait_ns;
    int64_t push_timeout_ns, max_inflight_bytes, max_body_bytes, door_cache_bytes;
    int64_t wal_segment_bytes, wal_buffer_bytes;
    bool wal_io_uring;
    int64_t shards, checkpoint_wal_bytes, replay_queue_bytes, push_queue_bytes, memory_chunk_bytes;
    int64_t regex_cache_bytes;
    int64_t exemplars_per_tenant;
    int64_t cut_grace_ns, maintain_period_ns, flush_wait_ns;
    bool has_traces, cut_on_shutdown, leave_on_shutdown;
    int64_t leave_grace_ns, self_upload_after_ns, visible_after_ns;
    char *otlp_http_address, *otlp_grpc_address; /* only while the role opens */
    struct line_door_conf lines;                 /* strings: while it is opened */
    struct message_door_conf messages;           /* likewise */
};

struct rpc_segment;
/* What the RPC methods about segments need of a signal; on workers. */
struct ingester_segment_ops {
    /* Rows, mem_free()d by the caller; row: the i-th, lent by them; false: compactors are not to have it. */
    void *(*list)(struct ingester *ing, size_t *ret_n);
    bool (*row)(const void *rows, size_t i, struct rpc_segment *ret);
    /* A segment that somebody reads. */
    struct err *(*pin)(struct ingester *ing, struct slice tenant, struct slice ulid, void **ret);
    void (*unpin)(void *pin);
    struct err *(*files)(void *pin, struct buf *out); /* appends lstr path, uvarint bytes of each */
    struct err *(*open)(void *pin, const char *file, uint64_t *ret_bytes); /* once a pin */
    /* Of the file that was opened, at most n bytes, at least one; they lie in the file. */
    struct err *(*read)(void *pin, uint64_t offset, size_t n, struct buf *out);
    struct err *(*dropped)(struct ingester *ing, struct slice tenant, struct slice ulid,
                           uint64_t version);
};
extern const struct ingester_segment_ops ingester_segment_files;  /* metrics */
extern const struct ingester_segment_ops ingester_segment_frames; /* logs */
extern const struct ingester_segment_ops ingester_segment_pieces; /* traces */
struct ingester_segment_side {
    struct ingester *ing;
    const struct ingester_segment_ops *ops;
};

struct ingester {
    struct process *process;
    struct ingester_conf conf; /* no strings but while it is opened */
    struct limits *limits;
    struct wal *wal;
    struct head *head;
    struct replica *replica;
    struct distribute *distribute;
    struct ha_tracker *ha;
    struct agg_pool *agg_pool;
    struct agg_sender *agg_sender;
    struct ownfeed *agg_feed;
    struct door *door;
    struct late_news *late_news;
    struct otlp_door *otlp;
    struct grpc_server *otlp_grpc; /* at an address of its own; NULL: none */
    struct line_door *lines;
    struct flush *flush;
    char *work_dir;
    struct ingester_logs *logs;
    struct ingester_traces *traces;
    struct sampler *sampler; /* with traces */
    struct ingester_generator *generator;
    struct ingester_segment_side metrics_segments, logs_segments, traces_segments;
    struct feeds *feeds;
    int64_t start_ms;
};

/* The ingesters' ring for metrics; arg is a struct ingester. A new reference. */
struct ring *ingester_ring(void *arg);
/* ingester_rpc.c, ingester_read.c, ingester_segment.c */
void ingester_rpc_handle(struct ingester *ing);
/* A head_push_fn whose arg is the rpc_call that gets the answer. */
void ingester_rpc_answer(void *arg, struct err *e, struct batch_reply *reply);
void ingester_read_handle(struct ingester *ing);
void ingester_segment_handle(struct ingester *ing);
/* ingester_logs.c: log, head, upkeep, distribution and doors of log lines */
ORR_CHECKED struct err *ingester_logs_open(struct ingester *ing);
struct loghead *ingester_logs_head(struct ingester *ing);
/* Routes and RPC methods. */
void ingester_logs_routes(struct ingester *ing, struct http_server *s);
void ingester_logs_methods(struct ingester *ing, struct grpc_server *g);
void ingester_logs_handle(struct ingester *ing);
ORR_CHECKED struct err *ingester_logs_start(struct ingester *ing);
/* Why this process is not ready, as far as logs go; NULL: it is. */
const char *ingester_logs_trouble(const struct ingester *ing);
/* Takes no more batches from now on. */
void ingester_logs_seal(struct ingester *ing);
/* What came over sockets is written, or timeout_ms are over: false. */
bool ingester_logs_drain(struct ingester *ing, int64_t timeout_ms);
/* Reads certificates again. */
void ingester_logs_reload(struct ingester *ing);
/* Ends upkeep and head; then the rest. */
void ingester_logs_stop(struct ingester *ing);
void ingester_logs_free(struct ingester *ing);
/* ingester_traces.c: the same of traces */
/* A tenant's part of the ingesters' ring for traces; a new reference. */
struct ring *ingester_traces_ring(struct ingester *ing, struct slice tenant);
ORR_CHECKED struct err *ingester_traces_open(struct ingester *ing);
struct tracehead *ingester_traces_head(struct ingester *ing);
void ingester_traces_routes(struct ingester *ing, struct http_server *s);
void ingester_traces_methods(struct ingester *ing, struct grpc_server *g);
void ingester_traces_handle(struct ingester *ing);
ORR_CHECKED struct err *ingester_traces_start(struct ingester *ing);
const char *ingester_traces_trouble(const struct ingester *ing);
void ingester_traces_seal(struct ingester *ing);
void ingester_traces_stop(struct ingester *ing);
void ingester_traces_free(struct ingester *ing);
/* ingester_sampling.c: who judges traces that have ended; before the head of traces opens, after it closed */
void ingester_sampling_open(struct ingester *ing, struct tracehead_sampling *ret);
void ingester_sampling_handle(struct ingester *ing);
void ingester_sampling_free(struct ingester *ing);
/* ingester_generator.c: metrics made of spans; nothing without traces. After the door was built */
ORR_CHECKED struct err *ingester_generator_open(struct ingester *ing);
void ingester_generator_handle(struct ingester *ing);
/* A write of spans begins. False: it is not to be taken, as this ingester stops. *ret_counts: it ends with take, or, if it failed, with leave. */
bool ingester_generator_enter(struct ingester *ing, struct slice tenant, bool *ret_counts);
void ingester_generator_leave(struct ingester *ing);
/* What a quorum took of batch; keeps a reference for as long as it takes. On the batch's loop. */
void ingester_generator_take(struct ingester *ing, struct loop *loop, struct trace_batch *batch,
                             const struct distribute_result *r);
/* Lets no more in, and writes what was counted a last time. Not on a loop; false: it took too long. */
bool ingester_generator_drain(struct ingester *ing, int64_t timeout_ms);
void ingester_generator_free(struct ingester *ing);
/* ingester_pages.c */
void ingester_pages_routes(struct ingester *ing);
