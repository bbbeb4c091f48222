#include "common/base/mem.h"
#include "common/block/block_source.h"
#include "common/logblock/logblock_internal.h"

struct err *logblock_open(struct block_reader *streams, struct logblock **ret)
{
    struct logblock *b = mem_new(struct logblock);

    b->streams = streams;
    b->src = block_reader_source(streams);
    lock_init(&b->lock, LOCK_LEAF_MODULE);
    *ret = b;
    return NULL;
}

void logblock_close(struct logblock *b)
{
    if (!b)
        return;
    logfilter_memo_free(b->filter_memo);
    if (b->filter_arena)
        arena_free(b->filter_arena);
    lock_done(&b->lock);
    mem_free(b);
}

size_t logblock_memory(struct logblock *b)
{
    size_t n = sizeof(*b);

    lock_take(&b->lock);
    n += b->directory_bytes;
    if (b->filter_arena)
        n += arena_used(b->filter_arena) + logfilter_memo_bytes(b->filter_memo);
    lock_release(&b->lock);
    return n;
}

struct err *logblock_error(const struct logblock *b, struct err *e)
{
    if (err_is(e, ERR_CORRUPT))
        block_reader_distrust(b->streams);
    return err_wrap(e, "block %s", block_reader_name(b->streams));
}

uint64_t logblock_listed_bytes(const struct logblock *b, const char *file)
{
    const struct block_meta *m = block_reader_meta(b->streams);

    for (size_t i = 0; i < m->n_files; i++)
        if (slice_eq_cstr(m->files[i].path, file))
            return m->files[i].bytes;
    return UINT64_MAX;
}

/* ---- directory ---- */

/* Other counts than meta.json has are those of another block's directory. */
static struct err *read_directory(struct logblock *b, struct logblock_directory *ret,
                                  size_t *ret_bytes)
{
    const struct block_stats *stats = &block_reader_meta(b->streams)->stats;
    struct slice bytes;
    struct err *e;

    if ((e = b->src->ops->file(b->src, LOGBLOCK_DIRECTORY_FILE, &bytes)) ||
        (e = logblock_directory_parse(bytes, ret)))
        return e;
    if (ret->n_pages != stats->chunks || ret->n_streams != stats->series ||
        ret->entries != stats->samples)
        return err_new(ERR_CORRUPT, LOGBLOCK_DIRECTORY_FILE ": it is not that of " BLOCK_META_FILE);
    *ret_bytes = b->src->ops->hold ? bytes.len : 0; /* else it is mapped, as a rule */
    return NULL;
}

struct err *logblock_directory_get(struct logblock *b, const struct logblock_directory **ret)
{
    struct logblock_directory d;
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

void logblock_in_done(struct logblock_in *in)
{
    block_source_unhold(in->block->src, in->hold);
    in->hold = NULL;
    buf_done(&in->scratch);
}

struct err *logblock_in_read(struct logblock_in *in, uint64_t off, size_t len, struct slice *ret,
                             bool *ret_is_kept)
{
    struct block_source *src = in->block->src;
    size_t want = src->ops->hold ? len : ORR_MAX(len, in->ahead);
    struct err *e;

    if (off < in->window_off || off - in->window_off > in->window.len ||
        len > in->window.len - (size_t)(off - in->window_off)) {
        in->window = SLICE_EMPTY;
        if ((e = src->ops->range(src, in->file, off, want, &in->scratch, &in->window)))
            return e;
        in->window_off = off;
        in->is_kept = in->window.ptr != in->scratch.ptr;
        if (in->window.len < len)
            return err_new(ERR_CORRUPT, "%s: cut short", in->file);
    }
    *ret = slice_sub(in->window, (size_t)(off - in->window_off), len);
    *ret_is_kept = in->is_kept;
    return NULL;
}

struct err *logblock_in_hold(struct logblock_in *in, const struct logfilter_range *ranges, size_t n)
{
    struct block_source *src = in->block->src;
    struct block_source_range *all;
    struct err *e;

    block_source_unhold(src, in->hold);
    in->hold = NULL;
    if (!src->ops->hold || !n)
        return NULL;
    all = mem_new_array(struct block_source_range, n);
    for (size_t i = 0; i < n; i++)
        all[i] = (struct block_source_range){in->file, ranges[i].off, ranges[i].len, false};
    e = block_source_hold(src, all, n, &in->hold);
    mem_free(all);
    return e;
}

/* ---- filter ---- */

#define STRIPE_PAGES (2 * OBJPAGES_PAGE) /* what a stripe takes at most when it is held */

static struct err *fetch_filter(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    bool is_kept;

    return logblock_in_read(arg, off, len, ret, &is_kept);
}

static struct err *hold_filter(void *arg, const struct logfilter_range *ranges, size_t n)
{
    return logblock_in_hold(arg, ranges, n);
}

static struct logfilter_io filter_io(struct logblock_in *in)
{
    struct logfilter_io io = {.fetch = fetch_filter, .arg = in};
    size_t room = block_reader_room(in->block->streams, 1);

    if (in->block->src->ops->hold) {
        io.ahead = hold_filter;
        io.ahead_max = room / STRIPE_PAGES;
    }
    return io;
}

static struct err *open_filter(struct logblock *b, const struct logfilter_io *io,
                               struct logfilter **ret)
{
    const struct logblock_directory *d;
    uint64_t size = logblock_listed_bytes(b, LOGBLOCK_FILTER_FILE);
    struct arena *a;
    struct err *e;

    lock_take(&b->lock);
    *ret = b->filter;
    lock_release(&b->lock);
    if (*ret)
        return NULL;
    if (size == UINT64_MAX)
        return err_new(ERR_CORRUPT, BLOCK_META_FILE ": it names no file " LOGBLOCK_FILTER_FILE);
    if ((e = logblock_directory_get(b, &d)))
        return e;
    a = arena_new(0);
    e = logfilter_open(a, size, d->n_pages, io, ret);
    lock_take(&b->lock);
    if (!e && !b->filter) {
        b->filter = *ret;
        b->filter_memo = logfilter_memo_new(*ret);
        b->filter_arena = a;
        a = NULL;
    }
    *ret = b->filter;
    lock_release(&b->lock);
    if (a)
        arena_free(a);
    return e;
}

struct err *logblock_narrow(struct logblock *b, const struct slice *needles, size_t n,
                            uint64_t *set, uint64_t *touched)
{
    struct logblock_in in = {.block = b, .file = LOGBLOCK_FILTER_FILE};
    struct logfilter_io io = filter_io(&in);
    struct logfilter_grams *grams = NULL; /* large: not for the stack */
    struct logfilter *f;
    struct err *e = NULL;

    for (size_t i = 0; !e && i < n; i++) {
        if (needles[i].len < LOGFILTER_MIN_NEEDLE)
            continue;
        if (!grams) {
            grams = mem_new(struct logfilter_grams);
            if ((e = open_filter(b, &io, &f)))
                break;
        }
        logfilter_grams_clear(grams);
        logfilter_grams_add(grams, needles[i]);
        e = logfilter_narrow(f, &io, grams, b->filter_memo, set, touched);
    }
    if (grams)
        logfilter_grams_done(grams);
    mem_free(grams);
    logblock_in_done(&in);
    return e;
}

/* ---- a page ---- */

#define RUNS_APART 8 /* so many streams of a page are decoded one by one */

static struct err *bad_page(const char *what)
{
    return err_new(ERR_CORRUPT, "log page: %s", what);
}

struct err *logblock_page_load(struct logblock_page *p, uint32_t n)
{
    struct err *e;

    if (logpage_n_entries(p->page) != n)
        return bad_page("it has another number of entries than the directory says");
    if ((e = logpage_runs(p->page, &p->runs, &p->n_runs)) ||
        (e = logpage_times(p->page, &p->times)))
        return e;
    for (size_t k = 0; k < p->n_runs; k++)
        for (uint32_t i = p->runs[k].first + 1; i < p->runs[k].first + p->runs[k].n; i++)
            if (p->times[i] < p->times[i - 1])
                return bad_page("times descend");
    return NULL;
}

void logblock_page_done(struct logblock_page *p)
{
    if (p->arena)
        arena_free(p->arena);
    *p = (struct logblock_page){0};
}

/* Without those at the ends that are not wanted. */
static void trim(struct logblock_run *r)
{
    const uint64_t *want = r->page->want;

    while (want && r->at < r->end && !logpage_has(want, r->at))
        r->at++;
    while (want && r->at < r->end && !logpage_has(want, r->end - 1))
        r->end--;
}

static struct err *decode(struct logblock_page *p, uint32_t first, uint32_t end,
                          struct slice **ret_lines, struct labels **ret_metas)
{
    struct slice *lines = arena_array(p->arena, struct slice, end - first);
    struct labels *metas = arena_array(p->arena, struct labels, end - first);
    struct err *e = logpage_lines(p->page, p->want, first, end - first, lines);

    if (!e)
        e = logpage_meta(p->page, p->want, first, end - first, metas);
    *ret_lines = lines;
    *ret_metas = metas;
    return e;
}

/* Who wants many of a page's streams, which may be thousands, wants all at once. */
static struct err *load_run(struct logblock_page *p, struct logblock_run *r, bool is_all)
{
    struct slice *lines;
    struct labels *metas;
    struct err *e;

    if (!p->lines && (is_all || ++p->n_asked > RUNS_APART) &&
        (e = decode(p, 0, logpage_n_entries(p->page), &p->lines, &p->metas)))
        return e;
    if (p->lines) {
        r->lines = p->lines + r->at;
        r->metas = p->metas + r->at;
        return NULL;
    }
    e = decode(p, r->at, r->end, &lines, &metas);
    r->lines = lines;
    r->metas = metas;
    return e;
}

struct err *logblock_run_open(struct logblock_page *p, uint32_t stream, int64_t from_ns,
                              int64_t to_ns, bool is_all, struct logblock_run *ret)
{
    const struct logpage_run *run = logpage_find_run(p->runs, p->n_runs, stream);
    struct logblock_run r = {.page = p, .stream = stream};
    struct err *e;

    if (!run)
        return bad_page("it has no line of a stream that the index names");
    r.at = run->first;
    r.end = run->first + run->n;
    if (!is_all) {
        r.at = logpage_find_time(p->times, r.at, r.end, from_ns);
        r.end = logpage_find_time(p->times, r.at, r.end, to_ns);
    }
    trim(&r);
    r.first = r.at;
    if (r.at < r.end && (e = load_run(p, &r, is_all)))
        return e;
    *ret = r;
    return NULL;
}

bool logblock_run_next(struct logblock_run *r, bool is_backward, struct logpage_entry *ret)
{
    uint32_t i;

    do {
        if (r->at == r->end)
            return false;
        i = is_backward ? --r->end : r->at++;
    } while (r->page->want && !logpage_has(r->page->want, i));
    *ret = (struct logpage_entry){r->stream, r->page->times[i], r->lines[i - r->first],
                                  r->metas[i - r->first]};
    return true;
}
