/*
 * Whole files of a block that a source has read and keeps until it is closed, as many threads ask for them.
 *
 * Within common/block only. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/lock.h"
#include "common/base/vec.h"

struct block_file_kept {
    char *name;
    struct slice bytes;
};
struct block_files {
    struct lock lock; /* guards all; their bytes never change or move */
    VEC(struct block_file_kept) all;
};

void block_files_init(struct block_files *f);
void block_files_done(struct block_files *f);
bool block_files_find(struct block_files *f, const char *name, struct slice *ret);
/* Takes the bytes of b over. Two that read a file at once both keep theirs; the first is found from then on. */
struct slice block_files_keep(struct block_files *f, const char *name, struct buf *b);
