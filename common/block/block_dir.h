/*
 * The directory of a block that is being written: <dir>/<ULID>.tmp/, renamed to <dir>/<ULID>/ once everything is on disk.
 * Within common/block and common/logblock, whose blocks are of log lines.
 *
 * Owner: the writer.
 */
#pragma once
#include "common/base/vec.h"
#include "common/block/block_meta.h"
#include "common/block/block_out.h"

struct block_dir {
    const char *parent; /* borrowed */
    struct ulid ulid;
    char *tmp, *final;
    struct arena *arena; /* names of files */
    VEC(struct block_file) files;
    bool no_sync, is_committed;
};

/* Makes an empty <ULID>.tmp/ in parent, which is made if absent. Also after an error block_dir_done() follows. */
ORR_CHECKED struct err *block_dir_open(struct block_dir *d, const char *parent, struct ulid ulid,
                                       bool no_sync);
char *block_dir_path(const struct block_dir *d, const char *name); /* caller mem_free()s */
/* A file to write; it does not exist yet. */
ORR_CHECKED struct err *block_dir_create(const struct block_dir *d, const char *name,
                                         struct block_out *ret);
/* Closes it, and names it in meta.json. */
ORR_CHECKED struct err *block_dir_keep(struct block_dir *d, const char *name, struct block_out *o);
/* A whole file; one that is not named in meta.json needs no block_dir_note(). */
ORR_CHECKED struct err *block_dir_put(const struct block_dir *d, const char *name,
                                      struct slice content);
void block_dir_note(struct block_dir *d, const char *name, uint64_t bytes);
uint64_t block_dir_bytes(const struct block_dir *d); /* of the files noted so far */
/* meta.json, whose files are filled in, and sources, if there are none: the block's own ulid; sync, rename. m->files belongs
 * to d. */
ORR_CHECKED struct err *block_dir_commit(struct block_dir *d, struct block_meta *m);
/* Frees; what is not committed is removed. */
void block_dir_done(struct block_dir *d);
