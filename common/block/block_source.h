/*
 * Where the bytes of a block come from:
 *   a directory                 all files are mapped
 *   an object store             the index whole, chunks by range; for who reads a block once, and all of it
 *   an object store by pages    all but small files by range, through a cache that many blocks share; for
 *                               who reads a little of many blocks, again and again
 *
 * A reader asks for file names below the block: "index", "chunks/000001". From a source that has hold() it
 * says beforehand which ranges it is about to read, so that they are fetched together, and reads the index by
 * range too.
 *
 * All but close() may be called from any number of threads at once; they block.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/block/block_heads.h"
#include "common/objstore/objpages.h"
#include "common/objstore/objstore.h"

struct block_source;

struct block_source_range {
    const char *name;
    uint64_t off, len; /* may reach past the end of the file */
    bool is_ahead;     /* as in objpages.h */
};

struct block_source_ops {
    /* The whole file, lent until the source is closed. Absent: ERR_NOT_FOUND. */
    struct err *(*file)(struct block_source *s, const char *name, struct slice *ret);
    /* Bytes [off, off+len), or fewer at the end of the file: lent memory of the source, or put into
     * scratch (which is replaced). */
    struct err *(*range)(struct block_source *s, const char *name, uint64_t off, size_t len,
                         struct buf *scratch, struct slice *ret);
    void (*close)(struct block_source *s);
    /* The rest is NULL where everything is at hand. */
    struct err *(*hold)(struct block_source *s, const struct block_source_range *ranges, size_t n,
                        struct objpages_hold **ret);
    void (*unhold)(struct block_source *s, struct objpages_hold *h); /* NULL is allowed */
    /* What is held from off on, as much of it as lies together: lent by the hold; empty if it is not held. */
    struct slice (*held)(struct block_source *s, const struct objpages_hold *h, const char *name,
                         uint64_t off);
    /* How many bytes to hold at a time, of n_users who do. */
    size_t (*room)(struct block_source *s, size_t n_users);
    bool (*keeps_ahead)(struct block_source *s); /* what is ahead costs no get later */
    struct err *(*size)(struct block_source *s, const char *name, uint64_t *ret);
    /* What was read of the block proved to be broken: it is read again the next time. */
    void (*distrust)(struct block_source *s);
};

struct block_source {
    const struct block_source_ops *ops;
    char *name; /* for messages: the directory or the object prefix; owned */
    struct block_heads
        *heads; /* where what is read by parts may keep the header of its index; or NULL */
};

/* Maps the files as they are asked for. */
ORR_CHECKED struct err *block_source_dir(const char *path, struct block_source **ret);
/* prefix: "metrics/<tenant>/<ULID>". The store must outlive the source. */
struct block_source *block_source_objstore(struct objstore *store, struct slice prefix);
/* The same through the cache, which must outlive the source, as must heads (NULL: headers are in memory). */
struct block_source *block_source_pages(struct objpages *pages, struct block_heads *heads,
                                        struct slice prefix);
/* hold() and unhold() of a source that may have none: then *ret is NULL. */
ORR_CHECKED struct err *block_source_hold(struct block_source *s,
                                          const struct block_source_range *ranges, size_t n,
                                          struct objpages_hold **ret);
void block_source_unhold(struct block_source *s, struct objpages_hold *h);
void block_source_close(struct block_source *s); /* NULL is allowed */
