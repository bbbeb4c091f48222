/*
 * Closed chunks of one shard, outside anonymous memory: append-only mapped files.
 *
 *   DIR/chunks-<file number, 8 hex digits>      HEAD_CHUNKS_FILE bytes each, preallocated
 *
 *   offset  size  field                         all integers little endian
 *        0     8  magic "ORRCHK" 0 1
 *        8     8  file number
 *       16    48  zeros
 *       64     -  records, each aligned to 8:
 *                  0  4  CRC-32C of the record from offset 4 to the end of data
 *                  4  4  size of data
 *                  8  8  position of the series' chunk before this one, 0: none
 *                 16  8  min_ms        24  8  max_ms
 *                 32  4  series ref    36  1  encoding   37  1  zero   38  2  samples
 *                 40  -  data, zeros up to a multiple of 8
 *
 * A position is file number * HEAD_CHUNKS_FILE + offset: it only grows. A series keeps the low 32
 * bits of position / 8 and head_chunks_widen() finds the rest, which is unambiguous as long as less
 * than 32 GiB lie between the oldest file and the end; past 31 GiB nothing more is taken.
 *
 * Pages are written by the kernel when it likes. Only what a checkpoint names must be on disk, so
 * only the checkpoint syncs; what lies behind it is found again by replaying the WAL.
 *
 * When no file can be made (disk full) anonymous memory takes its place, so a closed chunk is never
 * lost; head_chunks_is_volatile() then forbids checkpoints, and the WAL keeps the samples.
 * head_chunks_persist() makes the file and copies what is there, once the disk has room again.
 *
 * Owner: the shard's thread; a struct head_chunks_view is for any one thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/base/vec.h"

#define HEAD_CHUNKS_FILE (64u << 20)
#define HEAD_CHUNKS_START 64u
#define HEAD_CHUNKS_HEADER 40u
#define HEAD_CHUNKS_MAX_LIVE (31ull << 30)

struct head_chunks_owner { /* newest sample of one tenant in a file */
    const void *tenant;
    int64_t max_ms;
};
struct head_chunks_file {
    uint64_t number;
    uint8_t *map;
    int fd; /* -1: anonymous */
    _Atomic uint32_t refs;
    _Atomic bool is_removed; /* unlink when the last reference goes */
    bool is_dirty;           /* written since the last sync; shard thread */
    uint32_t used;           /* bytes; since this process made the file; shard thread */
    char *path;
    VEC(struct head_chunks_owner) owners; /* shard thread */
};
struct head_chunks {
    char *dir;
    VEC(struct head_chunks_file *) files; /* by number, without holes */
    uint64_t next;                        /* position of the next record */
    uint64_t bytes, failures;             /* of live files; files that could not be made */
    uint64_t volatile_bytes;              /* used of those in memory */
    int volatile_errnum;                  /* why they are there */
};

struct head_chunks_record {
    uint64_t prev;
    int64_t min_ms, max_ms;
    uint32_t ref;
    uint8_t encoding;
    uint16_t samples;
    struct slice data; /* on append: need not be in the file */
};

/* Makes dir. Files there are left alone until head_chunks_adopt() or head_chunks_begin(). */
ORR_CHECKED struct err *head_chunks_init(struct head_chunks *c, const char *dir);
void head_chunks_done(struct head_chunks *c); /* files stay on disk */
/* Takes up files first..last(next) of an earlier process, to go on at position next, and removes
 * other ones. ERR_CORRUPT when one is missing or is not what it should be. */
ORR_CHECKED struct err *head_chunks_adopt(struct head_chunks *c, uint64_t first_number,
                                          uint64_t next);
/* Starts empty: removes all files. */
ORR_CHECKED struct err *head_chunks_begin(struct head_chunks *c);

/* Appends and returns the position. ERR_UNAVAILABLE past HEAD_CHUNKS_MAX_LIVE, ERR_TOO_LARGE. */
ORR_CHECKED struct err *head_chunks_append(struct head_chunks *c,
                                           const struct head_chunks_record *rec, const void *tenant,
                                           uint64_t *ret_pos);
uint64_t head_chunks_widen(const struct head_chunks *c, uint32_t low);
static inline uint32_t head_chunks_narrow(uint64_t pos)
{
    return (uint32_t)(pos >> 3);
}
void head_chunks_note_owner(struct head_chunks_file *f, const void *tenant, int64_t max_ms);
bool head_chunks_is_volatile(const struct head_chunks *c);
/* Puts the oldest file that is in memory on disk. *ret_more: there is another. Views go on to read
 * the memory. */
ORR_CHECKED struct err *head_chunks_persist(struct head_chunks *c, bool *ret_more);
/* Removes files from the oldest on while is_dead says that all their owners' data is elsewhere.
 * The file being written stays. */
void head_chunks_drop(struct head_chunks *c,
                      bool (*is_dead)(void *arg, const struct head_chunks_owner *o,
                                      uint64_t end_pos),
                      void *arg);

/* The live files at one moment, kept mapped until done. */
struct head_chunks_view {
    struct head_chunks_file **files;
    size_t n;
    uint64_t next;
};
void head_chunks_view_init(struct head_chunks_view *v, const struct head_chunks *c);
void head_chunks_view_done(struct head_chunks_view *v);
/* False when the position is not in the view (dropped: the chain ends there) or the record is
 * broken (*ret_is_broken). */
bool head_chunks_read(const struct head_chunks_view *v, uint64_t pos,
                      struct head_chunks_record *ret, bool *ret_is_broken);
/* The same for the owner, without a view. */
bool head_chunks_read_own(const struct head_chunks *c, uint64_t pos, struct head_chunks_record *ret,
                          bool *ret_is_broken);
/* Flushes the view's files to disk. Blocking. */
ORR_CHECKED struct err *head_chunks_view_sync(struct head_chunks_view *v);
