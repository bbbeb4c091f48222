/* The directory of a block of traces, and an open block; within common/traceblock only. */
#pragma once
#include "common/base/lock.h"
#include "common/block/block_source.h"
#include "common/traceblock/traceblock.h"

#define TRACEBLOCK_MAGIC "ORRTBD\0\1"
#define TRACEBLOCK_MAGIC_BYTES 8
#define TRACEBLOCK_HEADER 28
#define TRACEBLOCK_GROUP 96

struct traceblock_group_at {
    struct tracegroup_place place;
    struct tracegroup_about about;
    uint64_t ids_offset;
};
void traceblock_directory_put(struct buf *groups, const struct traceblock_group_at *g);
void traceblock_directory_write(struct slice groups, uint64_t traces, uint64_t spans,
                                struct buf *out);

struct traceblock_directory {
    uint32_t n;
    uint64_t traces, spans;
    const uint8_t *groups;                       /* encoded; lent */
    uint64_t bytes[TRACEGROUP_PARTS], ids_bytes; /* of the files */
};
/* Parts and filters lie back to back from 0, ids ascend, sums agree. The bytes are lent. ERR_CORRUPT. */
ORR_CHECKED struct err *traceblock_directory_parse(struct slice bytes,
                                                   struct traceblock_directory *ret);
struct traceblock_group_at traceblock_directory_at(const struct traceblock_directory *d,
                                                   uint32_t i);
/* The first group whose last id is not less; n: there is none. */
uint32_t traceblock_directory_find(const struct traceblock_directory *d, const uint8_t id[16]);

struct traceblock {
    struct block_reader *services;
    struct block_source *src; /* of services */
    struct lock lock;         /* guards what follows; once it is there it does not change */
    bool has_directory;
    struct traceblock_directory directory;
    size_t directory_bytes; /* in memory */
};
/* Adds the block's name; and if e is ERR_CORRUPT, what caches have of it is not used again. NULL is allowed. */
ORR_CHECKED struct err *traceblock_error(const struct traceblock *b, struct err *e);
ORR_CHECKED struct err *traceblock_directory_get(struct traceblock *b,
                                                 const struct traceblock_directory **ret);

/* Reads parts of a block's files, by one thread. */
struct traceblock_in {
    struct traceblock *block;
    struct traceblock_group_at group; /* that is read */
    struct buf scratch;
    struct objpages_hold *hold[TRACEGROUP_PARTS];
    uint32_t held_end; /* front parts of groups below it are held */
    uint64_t bytes;    /* read */
};
void traceblock_in_done(struct traceblock_in *in);
/* Exactly [off, off + len) of a file, lent until the next call. */
ORR_CHECKED struct err *traceblock_in_read(struct traceblock_in *in, const char *file, uint64_t off,
                                           size_t len, struct slice *ret);
/* For tracegroup_open(), of in->group. */
struct tracegroup_io traceblock_in_io(struct traceblock_in *in);
/* It and front parts behind it, as many as there is room for, come in one read. */
ORR_CHECKED struct err *traceblock_in_hold_front(struct traceblock_in *in, uint32_t group,
                                                 uint32_t end);
/* Its back part comes in one read. */
ORR_CHECKED struct err *traceblock_in_hold_back(struct traceblock_in *in);
void traceblock_in_unhold_back(struct traceblock_in *in);
