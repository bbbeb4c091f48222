/*
 * Where the bytes of a block come from: a directory (mapped), or an object store (the index whole,
 * chunks by range). A reader asks for file names below the block: "index", "chunks/000001".
 *
 * file() and range() may be called from any number of threads at once; both block.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/objstore/objstore.h"

struct block_source;

struct block_source_ops {
    /* The whole file, lent until the source is closed. Absent: ERR_NOT_FOUND. */
    struct err *(*file)(struct block_source *s, const char *name, struct slice *ret);
    /* Bytes [off, off+len), or fewer at the end of the file: lent memory of the source, or put into
     * scratch (which is replaced). */
    struct err *(*range)(struct block_source *s, const char *name, uint64_t off, size_t len,
                         struct buf *scratch, struct slice *ret);
    void (*close)(struct block_source *s);
};

struct block_source {
    const struct block_source_ops *ops;
    char *name; /* for messages: the directory or the object prefix; owned */
};

/* Maps the files as they are asked for. */
ORR_CHECKED struct err *block_source_dir(const char *path, struct block_source **ret);
/* prefix: "metrics/<tenant>/<ULID>". The store must outlive the source. */
struct block_source *block_source_objstore(struct objstore *store, struct slice prefix);
void block_source_close(struct block_source *s); /* NULL is allowed */
