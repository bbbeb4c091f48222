/*
 * A shard's checkpoint: all series with their open chunks, so that a restart reads the log only from
 * the checkpoint on. Closed chunks stay where they are, in the chunk files.
 *
 *   DIR/head/<shard>/checkpoint           written as checkpoint.tmp, synced, renamed
 *
 *   offset  size  field                   all integers little endian
 *        0     8  magic "ORRCKP" 0 1
 *        8     4  shard
 *       12     4  number of shards
 *       16     8  from_seq: log records of this shard below it are not needed
 *       24     -  blocks: u32 length of payload | u32 CRC-32C of payload | payload
 *
 *   payload: u8 kind, then
 *     1 TENANT     lstr id, i64 max_ms, i64 min_ms: blocks 2..7 that follow belong to it
 *     2 NAMES      { lstr name }..., ids continue from the block before
 *     3 PAIRS      { uvarint id, uvarint name id, lstr value }...
 *     4 SERIES     uvarint slab number, u64 from_seq, { series }...
 *                  series: u8 place in the slab, u8 flags (1 open chunk, 2 out-of-order samples,
 *                  4 the open chunk is the first of its window, 8 runs of start timestamps),
 *                          u64 fp.lo, u64 fp.hi, lstr packed labels, i64 newest t_ms, u64 its value,
 *                          u64 position of the newest closed chunk,
 *                          [u8 encoding, lstr open chunk], [uvarint n, n * (i64 t_ms, f64 value)],
 *                          [uvarint n, n * (i64 from_ms, i64 to_ms, i64 st_ms)]
 *     5 EXEMPLARS  u64 from_seq, { u32 ref, i64 t_ms, f64 value, lstr labels }...
 *     6 METADATA   u64 from_seq, { u8 type, lstr family, lstr help, lstr unit }...
 *     7 CUTS       { i64 up_to_ms, u64 position }...
 *     8 FILES      u64 first file number, u64 next position, { u64 file number, uvarint owners *
 *                  (lstr tenant, i64 max_ms) }...
 *     9 END        u64 series in all. A file without it is not a checkpoint.
 *    10 WINDOWS    { i64 start of a 2-hour window with samples }..., of the tenant as 2..7
 *
 * It is written in slices between batches, so it shows no single moment: each slab of series carries
 * its own from_seq, below which log records are already in what it says. Names and pairs come after
 * the series that use them, when all of them are known (none dies meanwhile: cuts wait).
 *
 * Owner: the shard's thread writes and loads; syncing and renaming is the caller's, on a worker.
 */
#pragma once
#include "ingester/metrics/head_internal.h"

/* Loads the shard's checkpoint, if there is one, and sets sh->from_seq. A broken one is put aside
 * (checkpoint.bad), said in the log, and the shard starts from what the log has. */
struct err *head_checkpoint_load(struct head_shard *sh);
/* The parser behind it: fills an empty shard. chunks: adopt the files named. ERR_CORRUPT leaves the
 * shard partly filled; the caller resets it. */
ORR_CHECKED struct err *head_checkpoint_parse(struct head_shard *sh, struct slice bytes,
                                              bool adopt_chunks);
