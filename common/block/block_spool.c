#include "common/block/block_spool.h"

#include <stdio.h>

#include "common/base/fsx.h"
#include "common/block/block_format.h"
#include "common/block/block_index_out.h"
#include "common/block/block_summary.h"

#define SPOOL_FILE "series.spool"

struct err *block_spool_open(struct block_spool *s, const struct block_dir *d)
{
    *s = (struct block_spool){.out = {.fd = -1}};
    block_symbols_init(&s->symbols);
    (void)block_symbols_string(&s->symbols, SLICE_EMPTY); /* the key of all postings */
    return block_dir_create(d, SPOOL_FILE, &s->out);
}

struct err *block_spool_add(struct block_spool *s, struct labels labels, struct slice metas)
{
    buf_reset(&s->record);
    buf_uvarint(&s->record, labels.n);
    for (size_t i = 0; i < labels.n; i++)
        buf_uvarint(&s->record,
                    block_symbols_pair(&s->symbols, labels.ptr[i].name, labels.ptr[i].value));
    buf_lstr(&s->record, metas);
    block_out_put(&s->out, buf_slice(&s->record));
    s->series++;
    if (s->series == UINT32_MAX / 8)
        return err_new(ERR_LIMIT, "more than %u series in one block", UINT32_MAX / 8);
    return block_out_check(&s->out);
}

struct err *block_spool_finish(struct block_spool *s, struct block_dir *d, uint32_t **ret_refs)
{
    char *spool_path = block_dir_path(d, SPOOL_FILE), *path = block_dir_path(d, BLOCK_INDEX_FILE);
    struct slice spool = SLICE_EMPTY;
    uint64_t bytes = 0;
    struct err *e;

    if (!(e = block_out_close(&s->out, false)) && !(e = fsx_map(spool_path, &spool))) {
        e = block_index_out_write(&s->symbols, spool, s->series, path, !d->no_sync, &bytes,
                                  ret_refs);
        fsx_unmap(spool);
    }
    if (!e && remove(spool_path) != 0)
        e = err_errno(ERR_IO, "remove %s", spool_path);
    if (!e)
        block_dir_note(d, BLOCK_INDEX_FILE, bytes);
    mem_free(spool_path);
    mem_free(path);
    return e;
}

struct err *block_spool_summary(const struct block_spool *s, struct block_dir *d, bool *ret_has)
{
    size_t n = s->symbols.pairs.len;
    struct block_summary_pair *pairs = mem_new_array(struct block_summary_pair, n + 1);
    struct buf b = {0};
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct block_symbols_pair *p = &s->symbols.pairs.ptr[i];

        pairs[i] = (struct block_summary_pair){s->symbols.strings.ptr[p->name].s,
                                               s->symbols.strings.ptr[p->value].s, p->name};
    }
    block_summary_build(d->ulid, pairs, n, s->symbols.strings.len,
                        block_summary_room(block_dir_bytes(d)), &b);
    mem_free(pairs);
    *ret_has = b.len > 0;
    if (*ret_has && !(e = block_dir_put(d, BLOCK_SUMMARY_FILE, buf_slice(&b))))
        block_dir_note(d, BLOCK_SUMMARY_FILE, b.len);
    buf_done(&b);
    return e;
}

void block_spool_done(struct block_spool *s)
{
    block_out_abort(&s->out);
    block_symbols_done(&s->symbols);
    buf_done(&s->record);
}
