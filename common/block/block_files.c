#include "common/block/block_files.h"

#include "common/base/mem.h"

void block_files_init(struct block_files *f)
{
    *f = (struct block_files){0};
    lock_init(&f->lock, LOCK_LEAF_MODULE);
}

void block_files_done(struct block_files *f)
{
    VEC_FOREACH (k, &f->all) {
        mem_free((void *)k->bytes.ptr);
        mem_free(k->name);
    }
    vec_done(&f->all);
    lock_done(&f->lock);
}

bool block_files_find(struct block_files *f, const char *name, struct slice *ret)
{
    bool found = false;

    lock_take(&f->lock);
    for (size_t i = 0; i < f->all.len && !found; i++)
        if ((found = strcmp(f->all.ptr[i].name, name) == 0))
            *ret = f->all.ptr[i].bytes;
    lock_release(&f->lock);
    return found;
}

struct slice block_files_keep(struct block_files *f, const char *name, struct buf *b)
{
    struct block_file_kept k = {.name = mem_strdup(name)};

    k.bytes.ptr = buf_take(b, &k.bytes.len);
    lock_take(&f->lock);
    vec_push(&f->all, k);
    lock_release(&f->lock);
    return k.bytes;
}
