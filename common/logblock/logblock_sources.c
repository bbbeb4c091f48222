/* Blocks and frames as sources of a merge. */
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logframe.h"

/* ---- a block ---- */

struct of_block {
    struct arena *arena;
    struct logblock_set *set;
};

static struct err *block_stream(void *arg, struct logblock_stream *ret, bool *ret_is_end)
{
    struct of_block *s = arg;

    *ret_is_end = !logblock_set_stream(s->set, ret);
    return *ret_is_end ? logblock_set_take_error(s->set) : NULL;
}

static struct err *block_entry(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct of_block *s = arg;

    *ret_is_end = !logblock_set_entry(s->set, ret);
    return *ret_is_end ? logblock_set_take_error(s->set) : NULL;
}

static void block_close(void *arg)
{
    struct of_block *s = arg;

    err_free(logblock_set_close(s->set));
    arena_free(s->arena);
    mem_free(s);
}

/* The directory's checksum stands for what the block has: it tells of each stream and page. */
static struct hash128 order_of_block(const struct logblock_directory *d)
{
    size_t pages = (size_t)d->n_pages * LOGBLOCK_DIRECTORY_PAGE,
           streams = (size_t)d->n_streams * LOGBLOCK_DIRECTORY_STREAM;
    uint64_t hash = hash_xxh64(slice_of(d->pages, pages), 0);
    struct logblock_page_at first = {0};

    if (d->n_pages)
        first = logblock_directory_page(d, 0);
    return (struct hash128){hash_xxh64(slice_of(d->streams, streams), hash),
                            (uint64_t)first.min_ns};
}

struct err *logblock_source_block(struct logblock *b, struct logblock_source *ret)
{
    const struct logblock_directory *d;
    struct of_block *s = mem_new(struct of_block);
    struct err *e;

    s->arena = arena_new(0);
    if ((e = logblock_select_all(b, s->arena, &s->set)) || (e = logblock_directory_get(b, &d))) {
        block_close(s);
        return e;
    }
    *ret = (struct logblock_source){block_stream, block_entry, block_close, s, order_of_block(d)};
    return NULL;
}

/* ---- a frame ---- */

struct of_frame {
    struct logframe frame;
    struct buf labels;
    struct reader labels_left;
    struct arena *arena; /* of the stream's labels */
    uint32_t next;       /* stream */
    struct logframe_stream st;
    uint32_t next_page; /* of the stream that is under way; behind its last: none */
    struct logblock_page page;
    struct logblock_run run; /* page NULL: none */
};

static struct err *bad_frame(const char *what)
{
    return err_new(ERR_CORRUPT, "frame of log lines: %s", what);
}

static struct err *frame_stream(void *arg, struct logblock_stream *ret, bool *ret_is_end)
{
    struct of_frame *s = arg;
    struct labels labels;

    s->run = (struct logblock_run){0};
    *ret_is_end = s->next == s->frame.head.n_streams;
    if (*ret_is_end)
        return NULL;
    s->st = logframe_stream_at(&s->frame, s->next++);
    s->next_page = s->st.first_page;
    arena_reset(s->arena);
    if (!labels_of_canonical(s->arena, reader_lstr(&s->labels_left), &labels) ||
        !reader_ok(&s->labels_left))
        return bad_frame("labels");
    *ret = (struct logblock_stream){s->st.fp, labels, s->st.entries, s->st.bytes};
    return NULL;
}

static struct err *open_frame_page(struct of_frame *s, uint32_t number)
{
    struct err *e;

    if (s->page.arena && s->page.number == number)
        return NULL;
    logblock_page_done(&s->page);
    s->page = (struct logblock_page){.arena = arena_new(0), .number = number};
    e = logpage_open(s->page.arena, logframe_page_bytes(&s->frame, number), &s->page.page);
    return e ? e : logblock_page_load(&s->page, logframe_page_at(&s->frame, number).entries);
}

static struct err *frame_entry(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct of_frame *s = arg;
    struct err *e;

    *ret_is_end = false;
    while (!s->run.page || !logblock_run_next(&s->run, false, ret)) {
        s->run = (struct logblock_run){0};
        *ret_is_end = s->next == 0 || s->next_page > s->st.last_page;
        if (*ret_is_end)
            return NULL;
        if ((e = open_frame_page(s, s->next_page)) ||
            (e = logblock_run_open(&s->page, s->next - 1, 0, 0, true, &s->run)))
            return err_wrap(e, "frame of log lines: page %u", s->next_page);
        s->next_page++;
    }
    return NULL;
}

static void frame_close(void *arg)
{
    struct of_frame *s = arg;

    logblock_page_done(&s->page);
    buf_done(&s->labels);
    arena_free(s->arena);
    mem_free(s);
}

struct err *logblock_source_frame(const struct logframe *f, struct logblock_source *ret)
{
    struct of_frame *s = mem_new(struct of_frame);
    struct slice tables = slice_of(
        f->streams, (size_t)f->head.n_streams * LOGFRAME_STREAM_BYTES +
                        (size_t)f->head.n_pages * LOGFRAME_PAGE_BYTES); /* one behind the other */
    struct err *e;

    s->frame = *f;
    s->arena = arena_new(0);
    if ((e = logframe_labels(f, &s->labels))) {
        frame_close(s);
        return e;
    }
    s->labels_left = reader_new(buf_slice(&s->labels));
    *ret = (struct logblock_source){frame_stream,
                                    frame_entry,
                                    frame_close,
                                    s,
                                    {hash_xxh64(tables, f->head.shard), f->head.through}};
    return NULL;
}
