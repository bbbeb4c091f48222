/*
 * A stream that explodes is brought to several replica sets instead of one.
 *
 *   lines of a stream in one write ──▶ how fast has it come lately? ──▶ pieces, each a shard of the stream with a place of
 *                                                                        its own on the ring
 *
 * A shard is a place and no more: all have the stream's fingerprint and labels, so whoever reads finds one stream, of
 * which some ingesters hold some lines and others the rest, and compaction puts them together. There is no label that
 * tells them apart (Loki shows __stream_shard__).
 *
 * Rates are kept in a table of fixed size by the stream's place on the ring: streams that meet there count as one, so at
 * worst one is spread that need not be, which costs its labels on some more ingesters. A rate is what came within the
 * last seconds, older ones counting less. Each process sees what comes through its own door; as with the tenants' rates
 * it takes that for its share, so a stream that comes through all doors is sharded in time, and one that comes through
 * one door more than it needs. A piece is not made smaller than some kilobytes, so small writes go to one shard each, one
 * after the other.
 *
 * Lines of one time that come one behind the other stay together, and so in their order.
 *
 * Any thread.
 */
#pragma once
#include "common/base/clock.h"
#include "common/ring/ring.h"
#include "ingester/door/log_batch.h"
#include "ingester/logs/loghead.h"

struct log_shards;

struct log_shards *log_shards_new(const struct clock *clock); /* NULL: the system's */
void log_shards_free(struct log_shards *s);                   /* NULL is allowed */
/*
 * Counts what the batch has, and cuts its streams that are faster than the tenant's shard_streams_desired_rate: pieces are
 * streams of it from now on. sets: of the ring, that differ; with one there is nothing to be shared out. doors:
 * processes that take writes.
 */
void log_shards_split(struct log_shards *s, struct log_batch *b, size_t sets, size_t doors);
/* Where on the ring a stream of the batch belongs. */
uint32_t log_shards_token(const struct log_batch *b, const struct log_stream *s);
/*
 * Whether a stream is at home at this instance of the tenant's ring: its labels bring it there, and not its rate alone. There it counts
 * against limits of the whole cluster, so a stream that is sharded counts once. Unplaced: the ring does not have the instance.
 */
enum loghead_place log_shards_place(const struct ring *r, struct slice instance,
                                    struct slice tenant, struct hash128 fp);
