/*
 * What the two halves of the directory store share.
 */
#pragma once
#include "common/objstore/objstore_fs.h"

#define OBJSTORE_FS_OWN ".orrery"

struct objstore_fs {
    struct objstore base; /* first: the interface's pointer is ours */
    char *root;
    bool no_sync;
    uint64_t nonce; /* in the names of tmp: processes of several machines may have one pid */
    _Atomic uint64_t next_tmp;
};

struct err *objstore_fs_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                             struct objstore_listing *ret);
