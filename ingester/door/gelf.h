/*
 * GELF: one JSON object a message, plain, gzip or zlib; over UDP maybe in chunks.
 *
 *   {"version":"1.1","host":"h","short_message":"text","full_message":"…","timestamp":1385053862.3072,
 *    "level":3,"_user_id":9001}
 *
 *   chunk: 1e 0f, 8 bytes id of the message, u8 number, u8 count (1..GELF_MAX_CHUNKS), data
 *
 * What comes of it: labels job="gelf", host, and app of _app, _service or facility; the line is
 * full_message, else short_message; the time is timestamp, else now; structured metadata: level by
 * its syslog name, short_message where it is not the line, and the other members that are texts,
 * numbers or booleans, without their first _.
 *
 * Chunks wait GELF_CHUNK_MS for the rest, in gelf_chunks_new()'s budget: over it, or too late, the
 * oldest message is dropped and counted.
 *
 * Owner of a struct gelf_chunks: one thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/log_builder.h"

#define GELF_MAX_CHUNKS 128
#define GELF_CHUNK_MS 5000
#define GELF_MAX_BYTES (2u << 20) /* of a message, decompressed */
#define GELF_MAX_DEPTH 8
#define GELF_MAX_FIELDS 256

/* A whole message. What cannot be read is refused and counted. Lines lie in the batch. */
ORR_CHECKED struct err *gelf_add(struct log_builder *b, struct slice message);

struct gelf_chunks;
struct gelf_chunks *gelf_chunks_new(size_t max_bytes);
void gelf_chunks_free(struct gelf_chunks *c); /* NULL is allowed */
/* A datagram. True: *ret is a whole message: the datagram itself, or lent until the next call. */
bool gelf_chunks_put(struct gelf_chunks *c, struct slice datagram, int64_t now_ms,
                     struct slice *ret);
/* Drops what has waited too long; gelf_chunks_put() does so as well. */
void gelf_chunks_expire(struct gelf_chunks *c, int64_t now_ms);
uint64_t gelf_chunks_dropped(const struct gelf_chunks *c); /* messages */
size_t gelf_chunks_bytes(const struct gelf_chunks *c);     /* held */
