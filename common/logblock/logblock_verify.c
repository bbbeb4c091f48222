/* All of a block is read, page by page, and held against its index, its directory, its filter and its meta.json. */
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"

#define READ_AHEAD (1u << 20)

struct verifying {
    struct logblock *block;
    const struct logblock_directory *dir;
    struct logblock_in pages, filter;

    /* The index, series by series. */
    struct arena *arena;
    struct block_refs refs;
    size_t next;                    /* ref */
    struct arena *series_arena;     /* of this one's */
    struct block_chunk_meta *metas; /* that are left of it */
    size_t n_metas;

    /* The stream that pages have come to. */
    bool has_stream;
    uint32_t stream;
    struct logblock_stream_at sum;
    int64_t last_ns, min_ns, max_ns;

    /* The filter, made anew: it follows from the pages. */
    struct logfilter_grams grams;
    struct logfilter_out *filters;
    struct buf made;
    uint64_t filter_at;
    bool has_old_filter; /* it says nothing, and is not made any more */
};

static struct err *wrong(const char *what)
{
    return err_new(ERR_CORRUPT, "%s", what);
}

/* ---- streams ---- */

/* The sums of a stream, once all of it was seen. */
static struct err *end_stream(struct verifying *v)
{
    struct logblock_stream_at want;

    if (!v->has_stream)
        return NULL;
    v->has_stream = false;
    want = logblock_directory_stream(v->dir, v->stream);
    if (v->sum.entries != want.entries || v->sum.bytes != want.bytes)
        return wrong("directory: a stream has other sums than its lines");
    return v->n_metas ? wrong("index: a stream has pages in which it has no lines") : NULL;
}

static struct err *next_series(struct verifying *v, uint32_t stream)
{
    struct block_reader_series s;
    struct err *e;

    if (v->next == v->refs.n)
        return wrong("index: it lacks a stream of the pages");
    arena_reset(v->series_arena);
    if ((e = block_reader_series(v->block->streams, v->series_arena, v->refs.ptr[v->next++], &s)))
        return e;
    v->metas = s.chunks;
    v->n_metas = s.n_chunks;
    return hash128_eq(labels_fingerprint(s.labels), logblock_directory_stream(v->dir, stream).fp)
               ? NULL
               : wrong("index: labels do not have the fingerprint that the directory says");
}

/* A stream begins, or goes on in another page. */
static struct err *check_run(struct verifying *v, const struct logblock_page *p,
                             const struct logpage_run *run)
{
    int64_t first = p->times[run->first], last = p->times[run->first + run->n - 1];
    struct err *e;

    if (!v->has_stream || run->stream != v->stream) {
        uint32_t next = v->has_stream ? v->stream + 1 : 0;

        if ((e = end_stream(v)))
            return e;
        if (run->stream != next || next >= v->dir->n_streams)
            return wrong("pages: streams are not one behind the other");
        if ((e = next_series(v, next)))
            return e;
        v->has_stream = true;
        v->stream = run->stream;
        v->sum = (struct logblock_stream_at){0};
    } else if (first < v->last_ns) {
        return wrong("pages: times of a stream descend");
    }
    if (!v->n_metas || v->metas->ref != ((uint64_t)run->stream << 32 | p->number) ||
        v->metas->min_t != logblock_ms(first) || v->metas->max_t != logblock_ms(last))
        return wrong("index: a stream has other pages, or other times in them, than its lines");
    v->metas++;
    v->n_metas--;
    v->last_ns = last;
    return NULL;
}

/* ---- pages ---- */

/* Decodes the run's lines. */
static struct err *count_run(struct verifying *v, struct logblock_page *p, uint32_t stream,
                             uint64_t *raw)
{
    struct logblock_run run;
    struct logpage_entry en;
    uint64_t bytes = 0;
    struct err *e = logblock_run_open(p, stream, 0, 0, true, &run);

    while (!e && logblock_run_next(&run, false, &en)) {
        bytes += logpage_entry_bytes(&en);
        logfilter_grams_add(&v->grams, en.line);
        v->sum.entries++;
    }
    v->sum.bytes += bytes;
    *raw += bytes;
    return e;
}

static struct err *check_runs(struct verifying *v, struct logblock_page *p,
                              const struct logblock_page_at *at)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    uint64_t raw = 0;
    struct err *e = NULL;

    for (size_t i = 0; !e && i < p->n_runs; i++) {
        const struct logpage_run *run = &p->runs[i];

        if (!(e = check_run(v, p, run)))
            e = count_run(v, p, run->stream, &raw);
        min = ORR_MIN(min, p->times[run->first]);
        max = ORR_MAX(max, p->times[run->first + run->n - 1]);
    }
    v->min_ns = ORR_MIN(v->min_ns, min);
    v->max_ns = ORR_MAX(v->max_ns, max);
    if (!e && (raw != at->raw || raw != logpage_raw_bytes(p->page)))
        e = wrong("directory: a page has other sums than its lines");
    if (!e && (min != at->min_ns || max != at->max_ns || min != logpage_min_ns(p->page) ||
               max != logpage_max_ns(p->page)))
        e = wrong("directory: a page has other times than its lines");
    return e;
}

/* What was made of the filter so far is what the file has. */
static struct err *check_filter(struct verifying *v)
{
    struct slice found;
    bool is_kept;
    struct err *e;

    if (v->has_old_filter)
        buf_reset(&v->made);
    if (!v->made.len)
        return NULL;
    if ((e = logblock_in_read(&v->filter, v->filter_at, v->made.len, &found, &is_kept)))
        return e;
    if (!slice_eq(found, buf_slice(&v->made)))
        return wrong(LOGBLOCK_FILTER_FILE ": it is not that of the pages");
    v->filter_at += v->made.len;
    buf_reset(&v->made);
    return NULL;
}

static struct err *look_at_filter(struct verifying *v)
{
    uint64_t size = logblock_listed_bytes(v->block, LOGBLOCK_FILTER_FILE);
    struct slice end;
    bool is_kept;
    struct err *e;

    if (size == UINT64_MAX || size < LOGFILTER_END_BYTES)
        return wrong(BLOCK_META_FILE ": files of other sizes");
    if ((e = logblock_in_read(&v->filter, size - LOGFILTER_END_BYTES, LOGFILTER_END_BYTES, &end,
                              &is_kept)))
        return e;
    v->has_old_filter = logfilter_is_of_before(end);
    return NULL;
}

static struct err *check_page(struct verifying *v, uint32_t number)
{
    struct logblock_page_at at = logblock_directory_page(v->dir, number);
    struct logblock_page p = {.arena = arena_new(0), .number = number};
    struct logfilter_bits bits;
    struct slice bytes;
    bool is_kept;
    struct err *e;

    logfilter_grams_clear(&v->grams);
    if (!(e = logblock_in_read(&v->pages, at.offset, at.bytes, &bytes, &is_kept)) &&
        hash_crc32c(bytes) != at.crc)
        e = wrong("directory: another checksum");
    if (!e && !(e = logpage_open(p.arena, bytes, &p.page)) &&
        !(e = logblock_page_load(&p, at.entries)))
        e = check_runs(v, &p, &at);
    logblock_page_done(&p);
    if (e)
        return err_wrap(e, "page %u", number);
    bits = logfilter_bits_of(&v->grams);
    logfilter_out_add(v->filters, &bits, &v->made);
    return check_filter(v);
}

/* ---- all ---- */

static struct err *check_meta(const struct verifying *v)
{
    const struct block_meta *m = block_reader_meta(v->block->streams);

    if (logblock_listed_bytes(v->block, LOGBLOCK_PAGES_FILE) != v->dir->pages_bytes ||
        (!v->has_old_filter &&
         logblock_listed_bytes(v->block, LOGBLOCK_FILTER_FILE) != v->filter_at))
        return wrong(BLOCK_META_FILE ": files of other sizes");
    if (v->dir->entries &&
        (m->min_t != logblock_ms(v->min_ns) || m->max_t != logblock_ms(v->max_ns) + 1))
        return wrong(BLOCK_META_FILE ": other times than the lines");
    return NULL;
}

static struct err *check_all(struct verifying *v)
{
    struct err *e;

    if ((e = logblock_directory_get(v->block, &v->dir)) || (e = look_at_filter(v)) ||
        (e = block_reader_verify_postings(v->block->streams)) ||
        (e = block_reader_select(v->block->streams, v->arena, (struct matchers){0}, &v->refs)))
        return e;
    if (v->refs.n != v->dir->n_streams)
        return wrong("index: it has other streams than the directory");
    for (uint32_t i = 0; i < v->dir->n_pages; i++)
        if ((e = check_page(v, i)))
            return e;
    logfilter_out_end(v->filters, &v->made);
    if ((e = end_stream(v)) || (e = check_filter(v)))
        return e;
    if (v->next != v->refs.n)
        return wrong("index: it has streams without lines");
    return check_meta(v);
}

struct err *logblock_verify(struct logblock *b)
{
    struct verifying *v = mem_new(struct verifying); /* grams are large */
    struct err *e;

    v->block = b;
    v->pages = (struct logblock_in){.block = b, .file = LOGBLOCK_PAGES_FILE, .ahead = READ_AHEAD};
    v->filter = (struct logblock_in){.block = b, .file = LOGBLOCK_FILTER_FILE};
    v->arena = arena_new(0);
    v->series_arena = arena_new(0);
    v->filters = logfilter_out_new();
    v->min_ns = INT64_MAX;
    v->max_ns = INT64_MIN;
    e = check_all(v);
    logblock_in_done(&v->pages);
    logblock_in_done(&v->filter);
    logfilter_out_free(v->filters);
    logfilter_grams_done(&v->grams);
    buf_done(&v->made);
    arena_free(v->arena);
    arena_free(v->series_arena);
    mem_free(v);
    return logblock_error(b, e);
}
