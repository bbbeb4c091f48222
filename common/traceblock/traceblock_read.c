#include "common/base/mem.h"
#include "common/traceblock/traceblock_internal.h"

struct err *traceblock_open(struct block_reader *services, struct traceblock **ret)
{
    struct traceblock *b = mem_new(struct traceblock);

    b->services = services;
    b->src = block_reader_source(services);
    lock_init(&b->lock, LOCK_LEAF_MODULE);
    *ret = b;
    return NULL;
}

void traceblock_close(struct traceblock *b)
{
    if (!b)
        return;
    lock_done(&b->lock);
    mem_free(b);
}

size_t traceblock_memory(struct traceblock *b)
{
    size_t n;

    lock_take(&b->lock);
    n = sizeof(*b) + b->directory_bytes;
    lock_release(&b->lock);
    return n;
}

struct err *traceblock_error(const struct traceblock *b, struct err *e)
{
    if (err_is(e, ERR_CORRUPT))
        block_reader_distrust(b->services);
    return err_wrap(e, "block %s", block_reader_name(b->services));
}

/* ---- directory ---- */

/* Other counts than meta.json has are those of another block's directory. */
static struct err *read_directory(struct traceblock *b, struct traceblock_directory *ret,
                                  size_t *ret_bytes)
{
    const struct block_stats *stats = &block_reader_meta(b->services)->stats;
    struct slice bytes;
    struct err *e;

    if ((e = b->src->ops->file(b->src, TRACEBLOCK_DIRECTORY_FILE, &bytes)) ||
        (e = traceblock_directory_parse(bytes, ret)))
        return e;
    if (ret->n != stats->chunks || ret->spans != stats->samples)
        return err_new(ERR_CORRUPT,
                       TRACEBLOCK_DIRECTORY_FILE ": it is not that of " BLOCK_META_FILE);
    *ret_bytes = b->src->ops->hold ? bytes.len : 0; /* else it is mapped, as a rule */
    return NULL;
}

struct err *traceblock_directory_get(struct traceblock *b, const struct traceblock_directory **ret)
{
    struct traceblock_directory d;
    size_t bytes = 0;
    struct err *e = NULL;
    bool is_there;

    lock_take(&b->lock);
    is_there = b->has_directory;
    lock_release(&b->lock);
    if (!is_there && !(e = read_directory(b, &d, &bytes))) {
        lock_take(&b->lock);
        if (!b->has_directory) { /* else another thread was faster: the same bytes */
            b->directory = d;
            b->directory_bytes = bytes;
            b->has_directory = true;
        }
        lock_release(&b->lock);
    }
    *ret = &b->directory;
    return e;
}

/* ---- parts of files ---- */

static const char *const part_files[] = {TRACEBLOCK_FRONT_FILE, TRACEBLOCK_BACK_FILE};

static void unhold(struct traceblock_in *in, enum tracegroup_part part)
{
    block_source_unhold(in->block->src, in->hold[part]);
    in->hold[part] = NULL;
}

void traceblock_in_done(struct traceblock_in *in)
{
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        unhold(in, (enum tracegroup_part)i);
    buf_done(&in->scratch);
}

struct err *traceblock_in_read(struct traceblock_in *in, const char *file, uint64_t off, size_t len,
                               struct slice *ret)
{
    struct block_source *src = in->block->src;
    struct err *e = src->ops->range(src, file, off, len, &in->scratch, ret);

    if (!e && ret->len < len)
        e = err_new(ERR_CORRUPT, "%s: cut short", file);
    in->bytes += len;
    return e;
}

static struct err *fetch(void *arg, enum tracegroup_part part, uint64_t off, size_t len,
                         struct slice *ret)
{
    struct traceblock_in *in = arg;

    return traceblock_in_read(in, part_files[part], in->group.place.offset[part] + off, len, ret);
}

struct tracegroup_io traceblock_in_io(struct traceblock_in *in)
{
    return (struct tracegroup_io){fetch, in};
}

static struct err *hold(struct traceblock_in *in, enum tracegroup_part part, uint64_t off,
                        uint64_t len)
{
    struct block_source_range range = {part_files[part], off, len, false};

    unhold(in, part);
    return block_source_hold(in->block->src, &range, 1, &in->hold[part]);
}

struct err *traceblock_in_hold_front(struct traceblock_in *in, uint32_t group, uint32_t end)
{
    const struct traceblock_directory *d = &in->block->directory;
    struct block_source *src = in->block->src;
    uint64_t begin, len = 0;
    size_t room;

    if (!src->ops->hold || group < in->held_end)
        return NULL;
    room = block_reader_room(in->block->services, 1);
    begin = traceblock_directory_at(d, group).place.offset[TRACEGROUP_FRONT];
    for (in->held_end = group; in->held_end < end; in->held_end++) {
        uint32_t bytes = traceblock_directory_at(d, in->held_end).place.bytes[TRACEGROUP_FRONT];

        if (in->held_end > group && len + bytes > room)
            break;
        len += bytes;
    }
    return hold(in, TRACEGROUP_FRONT, begin, len);
}

void traceblock_in_unhold_back(struct traceblock_in *in)
{
    unhold(in, TRACEGROUP_BACK);
}

struct err *traceblock_in_hold_back(struct traceblock_in *in)
{
    if (!in->block->src->ops->hold)
        return NULL;
    return hold(in, TRACEGROUP_BACK, in->group.place.offset[TRACEGROUP_BACK],
                in->group.place.bytes[TRACEGROUP_BACK]);
}
