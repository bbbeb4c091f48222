/* What a reader fetches before it is asked for. */
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"
#include "common/block/block_reader_internal.h"

#define CHUNK_GUESS 256 /* bytes of a chunk, where no other tells */

size_t block_reader_room(const struct block_reader *r, size_t n_users)
{
    return r->src->ops->room ? r->src->ops->room(r->src, n_users) : 0;
}

bool block_reader_keeps_ahead(const struct block_reader *r)
{
    return r->src->ops->keeps_ahead && r->src->ops->keeps_ahead(r->src);
}

struct err *block_reader_hold_series(const struct block_reader *r, const uint32_t *refs, size_t n,
                                     size_t room, size_t *ret_n, struct objpages_hold **ret)
{
    struct block_source_range *ranges;
    uint64_t last_page = UINT64_MAX;
    struct err *e;
    size_t k = 0;

    *ret = NULL;
    *ret_n = n;
    if (!r->src->ops->hold)
        return NULL;
    ranges = mem_new_array(struct block_source_range, n + 1);
    for (; k < n; k++) {
        ranges[k] = block_index_series_range(&r->index, refs[k]);
        if (ranges[k].off / OBJPAGES_PAGE != last_page) {
            last_page = ranges[k].off / OBJPAGES_PAGE;
            if (k && room < 2 * OBJPAGES_PAGE)
                break;
            room -= ORR_MIN(room, (size_t)OBJPAGES_PAGE);
        }
    }
    *ret_n = k;
    e = block_source_hold(r->src, ranges, k, ret);
    mem_free(ranges);
    return e;
}

void block_reader_distrust(const struct block_reader *r)
{
    if (r->src->ops->distrust)
        r->src->ops->distrust(r->src);
}

void block_reader_unhold(const struct block_reader *r, struct objpages_hold *h)
{
    block_source_unhold(r->src, h);
}

size_t block_reader_chunk_span(const struct block_chunk_meta *metas, size_t n)
{
    size_t bytes = 0;

    /* Nothing tells how long the last one of a read is: as the others are. */
    for (size_t i = 0, k, len; i < n; i += k) {
        k = block_reader_plan_read(metas + i, n - i, &len);
        bytes += k > 1 ? (size_t)(metas[i + k - 1].ref - metas[i].ref) / (k - 1) * k : CHUNK_GUESS;
    }
    return bytes;
}

struct err *block_reader_hold_chunks(const struct block_reader *r,
                                     const struct block_chunk_list *lists, size_t n,
                                     struct objpages_hold **ret)
{
    VEC(struct block_source_range) ranges = {0};
    struct arena *a = arena_new(0);
    uint32_t segment = UINT32_MAX;
    const char *name = NULL;
    struct err *e;

    *ret = NULL;
    for (size_t i = 0; r->src->ops->hold && i < n; i++)
        for (size_t at = 0, len; at < lists[i].n;) {
            const struct block_chunk_meta *m = lists[i].ptr + at;

            if (m->ref >> 32 >= BLOCK_CHUNKS_MAX_FILES) { /* block_reader_chunks() will say so */
                at++;
                continue;
            }
            if (!name || segment != m->ref >> 32) {
                segment = (uint32_t)(m->ref >> 32);
                name = arena_printf(a, BLOCK_CHUNKS_FORMAT, segment + 1);
            }
            at += block_reader_plan_read(m, lists[i].n - at, &len);
            vec_push(&ranges,
                     ((struct block_source_range){name, (uint32_t)m->ref, len, lists[i].is_ahead}));
        }
    e = block_source_hold(r->src, ranges.ptr, ranges.len, ret);
    vec_done(&ranges);
    arena_free(a);
    return e;
}
