/*
 * Blocks in a bucket: <signal>/<tenant>/<ULID>/… (where they were adopted in place: anywhere), with meta.json uploaded last and deleted first: a
 * block whose meta.json is there is whole.
 *
 * Blocking: workers only.
 */
#pragma once
#include "common/block/catalogue.h"
#include "common/objstore/objstore.h"

/* "metrics/<tenant>/<ULID>": where we put a block. */
struct slice block_store_prefix(struct arena *a, struct slice signal, struct slice tenant,
                                struct ulid ulid);
/* Where a block of a catalogue is: dir (catalogue_block, catalogue_retired), or as above when that is empty. */
struct slice block_store_dir(struct arena *a, const struct catalogue *c, struct ulid ulid,
                             struct slice dir);
/* Uploads the files named in meta and meta.json last. dir is the block's directory. If meta.json is
 * in the bucket already, and all files with their lengths, this does nothing: derived ids make it the same block. */
ORR_CHECKED struct err *block_store_upload(struct objstore *store, struct slice signal,
                                           struct slice tenant, const char *dir,
                                           const struct block_meta *meta);
/* The meta.json that such an upload has left: *ret_found false when there is none, or it is not that of this block. In the arena. */
ORR_CHECKED struct err *block_store_find(struct objstore *store, struct slice signal,
                                         struct slice tenant, struct ulid ulid, struct arena *a,
                                         struct block_meta *ret, bool *ret_found);
/* Downloads a block into dir/<ULID> (through a .tmp directory), 8 MiB in memory at a time. Not synced: the bucket
 * keeps it, and who works on a copy throws it away after a crash. */
ORR_CHECKED struct err *block_store_download(struct objstore *store, struct slice prefix,
                                             struct ulid ulid, const char *dir);
/* What an edit that adds the block to c asks first (catalogue.h): ERR_UNAVAILABLE while it is retired there;
 * ERR_NOT_FOUND names a file of it that is not in the bucket whole. A handful of stats. */
ORR_CHECKED struct err *block_store_addable(struct objstore *store, const struct catalogue *c,
                                            const struct block_meta *meta);
/* The same for a block that is not at block_store_prefix() but in dir. */
ORR_CHECKED struct err *block_store_addable_in(struct objstore *store, const struct catalogue *c,
                                               const struct block_meta *meta, struct slice dir);
ORR_CHECKED struct err *block_store_delete(struct objstore *store, struct slice prefix);
