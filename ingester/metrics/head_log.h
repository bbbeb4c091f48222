/*
 * What the head writes into the WAL. The record's tenant is the WAL's own field; a record belongs to
 * one tenant, and (HEAD_LOG_SHARD) to one shard. Little endian; varints as in buf.h.
 *
 * Record type HEAD_LOG_SHARD (16): what one shard accepted of one batch.
 *
 *   u16 shard, then sections up to the end:
 *   u8 1 SERIES      u32 n, n * { u32 ref, u64 fp.lo, u64 fp.hi, lstr canonical labels }
 *   u8 2 SAMPLES     i64 base_ms, u32 n, n * { u32 ref, i32 t_ms - base_ms, u64 value bits }
 *   u8 3 HISTOGRAMS  u32 n, n * { u32 ref, i64 t_ms, lstr histogram (batch.h) }
 *   u8 4 EXEMPLARS   u32 n, n * { u32 ref, i64 t_ms, f64 value, lstr canonical labels }
 *   u8 5 METADATA    u32 n, n * { u8 type, lstr family, lstr help, lstr unit }
 *   u8 7 STARTS      u32 n, n * { u32 ref, varint t_ms - t_ms of the item before, varint st_ms - st_ms of
 *                    the item before } (the first: of 0): the sample of ref at t_ms has this start
 *                    timestamp, 0: none is known. Of every sample of a series that has some.
 *   u8 6 RAW         u64 seq: HEAD_LOG_RAW records of this tenant and shard up to seq are applied
 *
 * A series is defined before the first record that uses its ref. A definition may be repeated, and
 * may give a ref or a fingerprint that was in use to another series: the earlier one is then gone.
 * Samples that were sent again are logged again, because their first record may not have become
 * durable; reading ignores what is there.
 *
 * Record type HEAD_LOG_RAW (17): a batch that came while the head was still replaying.
 *
 *   i64 ooo_window_ms, u64 max_series, i64 min_t_ms, i64 max_t_ms, u32 max_metadata,
 *   then the batch (batch.h); only its series with labels count.
 *
 * Owner: the shard thread (building); replay reads on any.
 */
#pragma once
#include "ingester/metrics/head_internal.h"

enum head_log_type { HEAD_LOG_SHARD = 16, HEAD_LOG_RAW = 17 };
#define HEAD_LOG_RAW_HEADER 36

void head_log_reset(struct head_log *l);
void head_log_done(struct head_log *l);
void head_log_series(struct head_log *l, uint32_t ref, struct hash128 fp, struct slice canonical);
void head_log_sample(struct head_log *l, uint32_t ref, int64_t t_ms, double v);
void head_log_histogram(struct head_log *l, uint32_t ref, int64_t t_ms, struct slice encoded);
void head_log_exemplar(struct head_log *l, uint32_t ref, const struct batch_exemplar *ex);
void head_log_metadata(struct head_log *l, const struct batch_meta *m);
void head_log_start(struct head_log *l, uint32_t ref, int64_t t_ms, int64_t st_ms);
bool head_log_is_empty(const struct head_log *l);
/* The payload; lent until the next call. */
struct slice head_log_finish(struct head_log *l, uint32_t shard);

/* Reading: what a record says, item by item. NULL members are skipped over. */
struct head_log_visitor {
    void (*series)(void *arg, uint32_t ref, struct hash128 fp, struct slice canonical);
    /* Of a sample that comes soon: far (ref's memory), then near (what that points to). */
    void (*prefetch)(void *arg, uint32_t ref, bool is_near);
    void (*sample)(void *arg, uint32_t ref, int64_t t_ms, double v);
    void (*histogram)(void *arg, uint32_t ref, int64_t t_ms, struct slice encoded);
    void (*exemplar)(void *arg, uint32_t ref, const struct batch_exemplar *ex);
    void (*metadata)(void *arg, const struct batch_meta *m);
    void (*start)(void *arg, uint32_t ref, int64_t t_ms, int64_t st_ms);
    void (*raw_through)(void *arg, uint64_t seq);
};
bool head_log_shard_of(struct slice payload, uint32_t *ret_shard);
ORR_CHECKED struct err *head_log_visit(struct slice payload, const struct head_log_visitor *v,
                                       void *arg);

void head_log_raw_header(struct buf *out, const struct head_limits *limits);
ORR_CHECKED struct err *head_log_raw_open(struct slice payload, struct head_limits *ret_limits,
                                          struct batch *ret);
