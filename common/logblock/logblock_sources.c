/* Blocks and frames as sources of a merge. One that has not been asked for a stream yet takes little memory: there may be thousands. */
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logframe.h"

/* ---- a block ---- */

struct of_block {
    struct logblock *block;
    struct arena *arena;
    struct logblock_set *set; /* from the first stream on */
};

static struct err *block_stream(void *arg, struct logblock_stream *ret, bool *ret_is_end)
{
    struct of_block *s = arg;
    struct err *e;

    if (!s->set) {
        s->arena = arena_new(0);
        if ((e = logblock_select_all(s->block, s->arena, &s->set)))
            return e;
    }
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
    if (s->arena)
        arena_free(s->arena);
    mem_free(s);
}

/* The directory has a checksum of each page, and all streams. */
static struct hash128 order_of_block(const struct logblock_directory *d)
{
    struct logblock_page_at first = {0};
    uint64_t hash;

    if (d->n_pages)
        first = logblock_directory_page(d, 0);
    hash = hash_xxh64(slice_of(d->pages, (size_t)d->n_pages * LOGBLOCK_DIRECTORY_PAGE), 0);
    hash = hash_xxh64(slice_of(d->streams, (size_t)d->n_streams * LOGBLOCK_DIRECTORY_STREAM), hash);
    return (struct hash128){hash, (uint64_t)first.min_ns};
}

struct err *logblock_source_block(struct logblock *b, struct logblock_source *ret)
{
    const struct logblock_directory *d;
    struct err *e = logblock_directory_get(b, &d);
    struct of_block *s;

    if (e)
        return logblock_error(b, e);
    s = mem_new(struct of_block);
    s->block = b;
    *ret = (struct logblock_source){.stream = block_stream,
                                    .entry = block_entry,
                                    .close = block_close,
                                    .arg = s,
                                    .order = order_of_block(d)};
    return NULL;
}

/* ---- a frame ---- */

struct of_frame {
    struct logframe frame;
    struct buf labels; /* of all streams, from the first one on */
    struct reader labels_left;
    struct arena *arena; /* of the stream's labels */
    uint32_t next;       /* stream */
    struct logframe_stream st;
    uint32_t next_page; /* of the stream that is under way */
    uint32_t end_page;  /* from here on none is read */
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
    struct err *e;

    if (s->next == 0) {
        buf_reset(&s->labels);
        if ((e = logframe_labels(&s->frame, &s->labels)))
            return e;
        s->labels_left = reader_new(buf_slice(&s->labels));
    }
    s->run = (struct logblock_run){0};
    *ret_is_end = s->next == s->frame.head.n_streams;
    if (*ret_is_end)
        return NULL;
    s->st = logframe_stream_at(&s->frame, s->next++);
    s->next_page = s->st.first_page;
    s->end_page = s->st.last_page + 1;
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

/* Whether page i has nothing but stream k, which is in it. */
static bool is_alone(const struct logframe *f, uint32_t k, uint32_t i)
{
    return (k == 0 || logframe_stream_at(f, k - 1).last_page < i) &&
           (k + 1 == f->head.n_streams || logframe_stream_at(f, k + 1).first_page > i);
}

static bool frame_part(void *arg, uint32_t ahead, struct logblock_part *ret)
{
    struct of_frame *s = arg;
    struct logframe_page p;
    uint32_t i = s->next_page + ahead;

    if (s->next == 0 || ahead > s->st.last_page || i > s->st.last_page)
        return false;
    p = logframe_page_at(&s->frame, i);
    *ret = (struct logblock_part){i == s->st.first_page ? s->st.min_ns : p.min_ns,
                                  i == s->st.last_page ? s->st.max_ns : p.max_ns,
                                  .filter_class = p.filter_class};
    if (p.filter_bytes && is_alone(&s->frame, s->next - 1, i)) {
        ret->page = logframe_page_bytes(&s->frame, i);
        ret->filter = logframe_filter_bytes(&s->frame, i);
    }
    return true;
}

static void frame_limit(void *arg, uint32_t n)
{
    struct of_frame *s = arg;

    s->end_page = s->next_page + ORR_MIN(n, s->st.last_page + 1 - s->next_page);
}

static void frame_pass(void *arg)
{
    struct of_frame *s = arg;

    s->next_page++;
}

static struct err *frame_entry(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct of_frame *s = arg;
    struct err *e;

    *ret_is_end = false;
    while (!s->run.page || !logblock_run_next(&s->run, false, ret)) {
        s->run = (struct logblock_run){0};
        *ret_is_end = s->next == 0 || s->next_page >= s->end_page;
        if (s->page.arena && is_alone(&s->frame, s->next - 1, s->page.number))
            logblock_page_done(&s->page); /* nobody asks for it again */
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

/* Where it is in its log; then what it has: the header of a page has checksums of what is in it. */
static struct hash128 order_of_frame(const struct logframe *f)
{
    uint64_t hash = hash_xxh64(
        slice_of(f->streams, (size_t)f->head.n_streams * LOGFRAME_STREAM_BYTES), f->head.shard);

    for (uint32_t i = 0; i < f->head.n_pages; i++)
        hash = hash_xxh64(slice_sub(logframe_page_bytes(f, i), 0, LOGPAGE_HEADER_BYTES), hash);
    return (struct hash128){hash, f->head.through};
}

/* Whether some page cannot be taken over, for whatever reason. */
static bool has_mixed(const struct logframe *f)
{
    uint64_t pages = 0;

    for (uint32_t k = 0; k < f->head.n_streams; k++) {
        struct logframe_stream st = logframe_stream_at(f, k);

        pages += st.last_page - st.first_page + 1;
    }
    for (uint32_t i = 0; i < f->head.n_pages; i++)
        if (!logframe_page_at(f, i).filter_bytes)
            return true;
    return pages != f->head.n_pages;
}

struct logblock_source logblock_source_frame(const struct logframe *f)
{
    struct of_frame *s = mem_new(struct of_frame);

    s->frame = *f;
    s->arena = arena_new(0);
    return (struct logblock_source){.stream = frame_stream,
                                    .entry = frame_entry,
                                    .part = frame_part,
                                    .limit = frame_limit,
                                    .pass = frame_pass,
                                    .close = frame_close,
                                    .arg = s,
                                    .has_mixed = has_mixed(f),
                                    .labels_bytes = f->labels_bytes,
                                    .min_ns = f->head.min_ns,
                                    .max_ns = f->head.max_ns,
                                    .order = order_of_frame(f)};
}
