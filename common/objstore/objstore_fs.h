/*
 * The object store that is a directory: the embedded default, or a shared file system.
 *
 *   <root>/<key>            an object is a file at its key
 *   <root>/.orrery/lock     flock()ed around each change of a name, so that conditional puts are
 *                           atomic between processes
 *   <root>/.orrery/tmp/     files being written; renamed into place after fsync
 *
 * The etag is the hash of the content up to 1 MiB, above that inode, size and time of change.
 * "a" and "a/b" cannot both be objects here (ERR_INVALID), unlike in S3. Directories that become
 * empty are removed. A file in tmp is flock()ed by its writer: one that is not was left by a crash, and
 * is removed when the store is opened.
 */
#pragma once
#include "common/objstore/objstore.h"

struct objstore_fs_opts {
    bool no_sync; /* tests: no fsync */
};
/* The directory is made if absent. opts may be NULL. */
ORR_CHECKED struct err *objstore_fs_open(const char *root, const struct objstore_fs_opts *opts,
                                         struct objstore **ret);
