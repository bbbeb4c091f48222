/*
 * What a querier knows of a tenant's metrics: the recent part from the ingesters, the older part
 * from blocks, as one.
 *
 *     store_query_init(&sq, store, tenant, …)      one per query, in its arena
 *     engine_query(eng, q, &sq.storage, …)         or store_series(), store_names() …
 *     store_query_done(&sq)
 *
 * Replicas and blocks are merged sample by sample (columns.h). Ingesters are asked by the tenant's
 * sub-ring, and the loss of one zone (or instance) is made up for (fanout.h); more is an error that
 * names who failed, never a gap.
 *
 * The seam between ingesters and blocks. An ingester drops a segment only after a catalogue that
 * names it as a source is in the bucket. So a select first waits until every ingester has begun to
 * answer, which fixes what each of them holds, and then takes a catalogue no older than that
 * moment: what was dropped before is in its blocks, what is dropped later is in the answer. What is
 * in both is merged. No time window decides who is asked. And since the newest catalogue cannot always be had (a bucket
 * that hangs, one held for catalogue_max_age_ms), each answer says by which version its ingester has last dropped
 * something (metrics_rpc.h): a catalogue older than that is not used, and if there is no newer one the read fails.
 *
 * A block that others own (block_owners.h) is asked of them (source_owned.h), and read here if they do not answer.
 *
 * What a tombstone has deleted (tombset.h) is taken out last, over the merged series, so it is of no
 * consequence where a sample lies.
 *
 * Threads: a struct store is shared by all workers; a store_query belongs to one. All calls on a
 * store_query block: workers only.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/model/logs_rpc.h"
#include "common/model/metrics_rpc.h"
#include "common/ring/ring.h"
#include "common/rpc/rpc.h"
#include "querier/engine/storage.h"
#include "querier/store/block_serve.h"
#include "querier/store/blockset.h"
#include "querier/store/fanout.h"
#include "querier/store/page_disk.h"
#include "querier/store/series_merge.h"
#include "querier/store/tombset.h"

struct store;

struct store_opts {
    struct rpc_pool *pool;
    struct loop *loop; /* the pool's */
    /* The ingesters' ring of now, a new reference. Any thread. NULL: there are no ingesters, only
     * blocks. */
    struct ring *(*ring)(void *arg);
    void *ring_arg;
    struct ring *(*logs_ring)(void *arg); /* those that take log lines; NULL: there are none */
    void *logs_ring_arg;
    struct ring *(*traces_ring)(void *arg); /* those that take spans; NULL: there are none */
    void *traces_ring_arg;
    struct objstore *objstore; /* NULL: no blocks, only ingesters */
    const char *local_root;    /* see blockset.h */
    /* Blocks that are not in local_root have owners among the queriers of this ring (a new reference; any thread),
     * block_replication each (up to BLOCK_OWNERS_MAX); self is this one. 0 or NULL: every store reads all itself. */
    struct ring *(*queriers)(void *arg);
    void *queriers_arg;
    const char *self; /* copied */
    unsigned block_replication;
    struct rpc_server
        *server; /* where blocks are read for others; NULL: nowhere. It has not started yet */
    size_t max_open_blocks; /* of each signal */
    /* Of blocks that are not in local_root: memory for what is read of them, 0: 256 MiB; and a directory for that
     * below the memory, NULL: none, with how much of it pages and headers may use, 0: none. */
    size_t block_cache_bytes;
    const char *block_disk_dir;
    uint64_t block_disk_bytes, block_heads_bytes;
    int64_t straggler_ms;         /* see fanout.h */
    int64_t ingester_lookback_ms; /* how far back an ingester's data may not be in blocks yet */
    int64_t catalogue_max_age_ms; /* 0: every select looks whether the catalogue has changed */
    int64_t
        tombstone_max_age_ms; /* how old a tombstone list may be that nobody announced a newer of */
};

struct store *store_new(const struct store_opts *opts);
void store_free(struct store *s); /* NULL is allowed */
/* The catalogue of this tenant and signal ("metrics", "logs", "traces"; others are passed over) has a newer version. Any
 * thread. */
void store_hint(struct store *s, struct slice signal, struct slice tenant, uint64_t version);
/* The same of the tombstones. */
void store_hint_tombstones(struct store *s, struct slice signal, struct slice tenant,
                           uint64_t version);

struct store_owned_stats {
    uint64_t own, asked; /* blocks of selects: read here, asked of an owner */
    uint64_t failed;     /* owners that did not answer, or not to the end */
    uint64_t returned;   /* blocks read here since no owner did */
};
/* Of selects of log lines. */
struct store_logs_stats {
    uint64_t selects,
        failures;    /* stretches of queries, names, streams; those that could not begin */
    uint64_t blocks; /* read */
    uint64_t skipped[BLOCK_SKIP_REASONS];                           /* not opened */
    uint64_t pages, pages_skipped, page_bytes, filter_bytes, lines; /* logblock_stats */
    uint64_t ahead;           /* of the blocks: their first reads were made ahead */
    uint64_t deleted;         /* lines that a deletion hid */
    uint64_t asked, returned; /* pieces of queries: asked of an owner, and run here all the same */
};
/* Of selects over blocks of traces. */
struct store_traces_stats {
    uint64_t selects, failures;                    /* those that could not begin */
    uint64_t blocks;                               /* read */
    uint64_t skipped[BLOCK_SKIP_REASONS];          /* not opened */
    uint64_t groups, groups_skipped, bytes, spans; /* traceblock_stats */
};
struct store_stats {
    struct store_logs_stats logs;
    struct store_traces_stats traces;
    struct store_owned_stats owned;
    struct block_serve_stats serve;
    uint64_t selects, failures, stragglers;
    uint64_t lost_blocks;        /* that are corrupt and were done without (blockloss.h) */
    uint64_t tier_blocks[TIERS]; /* blocks read by selects: as measured, of 5 minutes, of an hour */
    uint64_t skipped[BLOCK_SKIP_REASONS]; /* blocks that were not opened */
    struct blockset_stats blocks, log_blocks, trace_blocks;
    struct tombset_stats tombstones, log_tombstones;
    struct block_heads_stats heads;
    struct page_disk_stats disk; /* all 0 without one */
    struct objpages_stats pages; /* all 0 when blocks are in local_root */
};
void store_stats_get(struct store *s, struct store_stats *ret);

#define STORE_QUERY_WARNINGS 24

struct store_query_opts {
    struct slice tenant;            /* lent */
    struct arena *arena;            /* the query's */
    unsigned shard_size;            /* of the tenant; 0: the whole ring */
    uint64_t max_series, max_bytes; /* over all selects of the query; 0: none */
    int64_t min_ms; /* how far back it may look: selects are cut to it; 0: no bound */
    int64_t deadline_mono_ms;
    const atomic_bool *cancel; /* may be NULL */
};

struct store_query {
    struct storage storage; /* for the engine */
    struct store *store;
    struct store_query_opts opts;
    struct series_budget budget;
    struct series_budget *charged; /* of the query that this is a part of, instead; NULL: its own */
    uint64_t
        dropped_by; /* the catalogue has to be at least this: the highest any ingester said so far */
    uint64_t logs_dropped_by; /* the same of the catalogue of log lines */
    int64_t
        logs_not_before_ns; /* when that was first taken, or was found to be out of date; 0: it was not */
    uint64_t traces_dropped_by; /* the same two of traces */
    int64_t traces_not_before_ns;
    size_t failed_streams; /* of ingesters that did not answer, over all selects that were closed */
    size_t lost_blocks;    /* that were done without (blockloss.h), likewise */
    struct map lost;       /* their ids */
    VEC(struct slice) warnings; /* texts in the arena; no more than STORE_QUERY_WARNINGS */
};
void store_query_init(struct store_query *sq, struct store *s, const struct store_query_opts *opts);
void store_query_done(struct store_query *sq);
/* Adds a warning to the answer, once; copies text. What is more than STORE_QUERY_WARNINGS is left out. */
void store_query_warn(struct store_query *sq, struct slice text);

/* What is deleted of the tenant: a reference; empty when there is no bucket. Whoever keeps an answer
 * for later keeps the list's version beside it, and drops both when it has changed. */
ORR_CHECKED struct err *store_tombstones(struct store_query *sq, struct tombstone_list **ret);
/* Whether a sample is there that the matchers accept, tombstones or not: what is deleted but not yet
 * gone. *ret_is_sure (may be NULL): every ingester answered, and no block was done without; else those may have some. */
ORR_CHECKED struct err *store_has_samples(struct store_query *sq, struct matchers ms,
                                          int64_t min_ms, int64_t max_ms, bool *ret,
                                          bool *ret_is_sure);

/* Whether the blocks of the range are not at hand and have more bytes than there is room for: then they are read best once, and in
 * the order of their files. */
bool store_reads_whole(struct store_query *sq, int64_t min_ms, int64_t max_ms);

/* ---- beside samples; answers are in the query's arena ---- */

/* Labels of the series that match and have data in the range; a series set with n = 0. */
ORR_CHECKED struct err *store_series(struct store_query *sq, struct matchers ms, int64_t min_ms,
                                     int64_t max_ms, struct series_set **ret);
struct store_names {
    struct slice *ptr; /* sorted, unique */
    size_t n;
};
/* Label names (label.ptr NULL) or values of one label, of series that match any of the n sets of
 * matchers (n 0: of all). */
ORR_CHECKED struct err *store_names(struct store_query *sq, const struct matchers *sets, size_t n,
                                    struct slice label, int64_t min_ms, int64_t max_ms,
                                    struct store_names *ret);
/* Metadata of a family ("": of all), sorted by family, without duplicates. */
ORR_CHECKED struct err *store_metadata(struct store_query *sq, struct slice family,
                                       struct rpc_metadata **ret, size_t *ret_n);
struct store_exemplars_request {
    const struct matchers *sets; /* of series that match any of these */
    size_t n_sets;
    int64_t min_ms, max_ms;
    /* Which of them are wanted, so that others take no memory; NULL: all. */
    bool (*keep)(void *arg, const struct exemplar *ex);
    void *arg;
};
/* Exemplars, sorted by labels, then time; no duplicates. */
ORR_CHECKED struct err *store_exemplars(struct store_query *sq,
                                        const struct store_exemplars_request *req,
                                        struct rpc_exemplars **ret, size_t *ret_n);

/*
 * ---- log lines: who is asked and which blocks are read; querier/logs/logremote.h does the rest ----
 *
 * The seam is that of samples: first ask, wait until all have begun to answer (fanout_wait()), then take blocks. Blocks are
 * read by whoever runs a piece of a query, which their owners are asked to do (querier/logs/logpiece_ask.h).
 */

/*
 * What is deleted of the tenant's lines, as store_tombstones(). Taken before what it is applied to.
 */
ORR_CHECKED struct err *store_log_tombstones(struct store_query *sq, struct tombstone_list **ret);
/*
 * Starts method at the ingesters that may hold lines which came at since_ms (Unix ms, wall clock) or later; with a bucket
 * ingester_lookback_ms ago at the earliest. ERR_UNAVAILABLE: none is known.
 */
ORR_CHECKED struct err *store_ask_logs(struct store_query *sq, const char *method,
                                       struct slice payload, int64_t since_ms, struct fanout **ret);
/*
 * The blocks that overlap [min_ms, max_ms] and may have what the filter looks for, by a catalogue as new as the bucket's at
 * the query's first take, and no older than what the answers in f, and earlier ones, say that has been dropped. In the arena. None
 * without a bucket. f NULL: ahead of the take that counts, also in the statistics.
 */
ORR_CHECKED struct err *store_take_logs(struct store_query *sq, struct arena *a, struct fanout *f,
                                        int64_t min_ms, int64_t max_ms,
                                        const struct blockset_filter *filter,
                                        struct blockset_view *ret);
/* A block of such a view was not there any more: the next view is by the catalogue of now. */
void store_logs_gone(struct store_query *sq);
void store_release_logs(struct store_query *sq, struct blockset_view *v);
/* Whose threads wait for the object store; NULL: blocks are at hand. Lent. */
struct job_pool *store_logs_jobs(struct store_query *sq);
/* When the blocks are that a query of the range will probably read: a plan, nothing more. */
void store_log_times(struct store_query *sq, struct arena *a, int64_t min_ms, int64_t max_ms,
                     const struct blockset_times **ret, size_t *ret_n);
/* As store_names(), of streams that match and have lines in the range; select is what ingesters are asked. */
ORR_CHECKED struct err *store_log_names(struct store_query *sq,
                                        const struct rpc_logs_select *select, int64_t since_ms,
                                        struct store_names *ret);
/*
 * A query of its own for another thread, which reads a part of sq by the same catalogue; its memory is a. Ended with
 * store_logs_join(), which leaves its warnings, and what it has found out of the catalogue, with sq. Neither while the other one
 * is under way, on any thread.
 */
void store_logs_fork(struct store_query *sq, struct arena *a, struct store_query *ret);
void store_logs_join(struct store_query *sq, struct store_query *part);
/* The ring of the queriers that blocks of log lines have owners among; the caller's. NULL: they have none. */
struct ring *store_log_owners(struct store_query *sq);
/*
 * Who owns most of the bytes that blocks have in [min_ms, max_ms], of those that may be asked now, by the catalogue that is at hand:
 * a number of the ring. False: this querier has as much of them, or there are none.
 */
bool store_log_owner(struct store_query *sq, const struct ring *ring, int64_t min_ms,
                     int64_t max_ms, uint16_t *ret);
/* Asks it and does not wait: a fan-out to this one alone. Who gives no sign of life for straggler_ms has failed. */
struct fanout *store_ask_log_owner(struct store_query *sq, struct ring *ring, uint16_t who,
                                   const char *method, struct slice payload);
/* From now on that is so many times as long. */
void store_be_patient(struct store_query *sq, struct fanout *f, unsigned times);
/* It did not answer to the end: counts that, and if it is out of reach it is not asked for some seconds. */
void store_log_owner_failed(struct store_query *sq, const struct ring *ring, uint16_t who,
                            struct fanout *f);
/* Adds up, for store_stats. */
void store_count_logs(struct store_query *sq, const struct store_logs_stats *add);

/*
 * ---- traces: as log lines; querier/traces/traceremote.h and tracestored.h do the rest ----
 */

/* Starts method at the ingesters that take spans; with a bucket at those that took some ingester_lookback_ms ago or later. */
ORR_CHECKED struct err *store_ask_traces(struct store_query *sq, const char *method,
                                         struct slice payload, struct fanout **ret);
/* Once every stream has begun to answer, and before blocks are taken: what f has said of what is in blocks only. */
void store_heard_traces(struct store_query *sq, struct fanout *f);
/* As store_take_logs(), by a catalogue no older than what store_heard_traces() was told. The filter goes by the label service.name. */
ORR_CHECKED struct err *store_take_traces(struct store_query *sq, struct arena *a, int64_t min_ms,
                                          int64_t max_ms, const struct blockset_filter *filter,
                                          struct blockset_view *ret);
/* A block of such a view was not there any more: the next view is by the catalogue of now. */
void store_traces_gone(struct store_query *sq);
void store_release_traces(struct store_query *sq, struct blockset_view *v);
/* Whose threads wait for the object store; NULL: blocks are at hand. Lent. */
struct job_pool *store_traces_jobs(struct store_query *sq);
/* Adds up, for store_stats; of the view it has been counted. */
void store_count_traces(struct store_query *sq, const struct store_traces_stats *add);

/* ---- what is in memory, for pages about cardinality; replicas are taken off by division ---- */

struct store_pair {
    struct slice name, value;
    uint64_t series;
};
/* Label pairs (of one label; label.ptr NULL: of all) of the series in memory that match, sorted. */
ORR_CHECKED struct err *store_pairs(struct store_query *sq, struct matchers ms, struct slice label,
                                    struct store_pair **ret, size_t *ret_n, uint64_t *ret_series);
/* Sums over the ingesters; pairs is the most any of them has. */
ORR_CHECKED struct err *store_head(struct store_query *sq, struct rpc_head *ret);
/* What meta.json says of every block of the tenant, in the order of the catalogue. */
ORR_CHECKED struct err *store_blocks(struct store_query *sq, struct block_meta **ret,
                                     size_t *ret_n);
