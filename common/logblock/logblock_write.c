#include "common/base/mem.h"
#include "common/block/block_format.h"
#include "common/block/block_spool.h"
#include "common/block/block_summary.h"
#include "common/logblock/logblock_internal.h"

/* Of the stream, in the page that is being filled. */
struct part {
    uint64_t entries;
    int64_t min_ns, max_ns;
};

struct logblock_writer {
    struct block_meta meta;
    int level;
    bool has_summary;
    struct block_dir dir;
    struct block_spool spool;
    struct block_out pages, filter;
    struct logpage_builder *builder;
    struct logfilter_grams grams;
    struct logfilter_out *filters;
    struct buf scratch;
    struct buf page_entries, stream_entries; /* of the directory */
    uint32_t n_pages, n_streams;
    uint64_t lines;
    int64_t min_ns, max_ns;

    /* The page that is being filled. */
    struct arena *texts;
    VEC(struct logpage_entry) entries;
    uint64_t raw;

    /* The stream. Its ordinal is n_streams, if it gets entries. */
    struct arena *arena;
    bool has_stream;
    struct hash128 fp;
    struct labels labels;
    struct logblock_stream_at so_far;
    int64_t last_ns;
    struct part part;
    struct buf metas; /* as the index wants them, without their number */
    uint64_t n_metas, last_ref;
    int64_t last_max_ms;
};

struct err *logblock_writer_open(const struct logblock_writer_opts *opts,
                                 struct logblock_writer **ret)
{
    struct logblock_writer *w = mem_new(struct logblock_writer);
    struct err *e;

    w->meta = opts->meta;
    w->level = opts->level ? opts->level : LOGPAGE_LEVEL;
    w->has_summary = opts->has_summary;
    w->pages.fd = w->filter.fd = w->spool.out.fd = -1;
    w->builder = logpage_builder_new();
    w->filters = logfilter_out_new();
    w->texts = arena_new(0);
    w->arena = arena_new(0);
    w->min_ns = INT64_MAX;
    w->max_ns = INT64_MIN;
    if ((e = block_dir_open(&w->dir, opts->dir, opts->meta.ulid, opts->no_sync)) ||
        (e = block_spool_open(&w->spool, &w->dir)) ||
        (e = block_dir_create(&w->dir, LOGBLOCK_PAGES_FILE, &w->pages)) ||
        (e = block_dir_create(&w->dir, LOGBLOCK_FILTER_FILE, &w->filter))) {
        logblock_writer_close(w);
        return err_wrap(e, "write block %s", ulid_print(opts->meta.ulid).s);
    }
    *ret = w;
    return NULL;
}

uint64_t logblock_writer_lines(const struct logblock_writer *w)
{
    return w->lines;
}

/* ---- pages ---- */

/* What of the stream is in the page becomes a chunk of its series. */
static void end_part(struct logblock_writer *w)
{
    int64_t min_ms = logblock_ms(w->part.min_ns), max_ms = logblock_ms(w->part.max_ns);
    uint64_t ref = (uint64_t)w->n_streams << 32 | w->n_pages;

    if (!w->part.entries)
        return;
    if (!w->n_metas) {
        buf_varint(&w->metas, min_ms);
        buf_uvarint(&w->metas, (uint64_t)(max_ms - min_ms));
        buf_uvarint(&w->metas, ref);
    } else {
        buf_uvarint(&w->metas, (uint64_t)(min_ms - w->last_max_ms));
        buf_uvarint(&w->metas, (uint64_t)(max_ms - min_ms));
        buf_varint(&w->metas, (int64_t)(ref - w->last_ref));
    }
    w->n_metas++;
    w->last_ref = ref;
    w->last_max_ms = max_ms;
    w->part = (struct part){0};
}

static void flush_filter(struct logblock_writer *w)
{
    block_out_put(&w->filter, buf_slice(&w->scratch));
    buf_reset(&w->scratch);
}

/* The page that is in scratch; of p what follows from its bytes is filled in. Takes the bits. */
static struct err *put_built(struct logblock_writer *w, struct logblock_page_at *p,
                             struct logfilter_bits *bits)
{
    p->offset = w->pages.pos;
    p->bytes = (uint32_t)w->scratch.len;
    p->crc = hash_crc32c(buf_slice(&w->scratch));
    logblock_directory_put_page(&w->page_entries, p);
    block_out_put(&w->pages, buf_slice(&w->scratch));
    buf_reset(&w->scratch);
    logfilter_out_add(w->filters, bits, &w->scratch);
    flush_filter(w);
    w->min_ns = ORR_MIN(w->min_ns, p->min_ns);
    w->max_ns = ORR_MAX(w->max_ns, p->max_ns);
    if (++w->n_pages == LOGBLOCK_MAX_PAGES)
        return err_new(ERR_LIMIT, "%u pages of log lines in one block", LOGBLOCK_MAX_PAGES);
    return err_first(block_out_check(&w->pages), block_out_check(&w->filter));
}

static struct err *put_page(struct logblock_writer *w)
{
    struct logblock_page_at p = {.entries = (uint32_t)w->entries.len,
                                 .raw = w->raw,
                                 .min_ns = INT64_MAX,
                                 .max_ns = INT64_MIN};
    struct logfilter_bits bits;
    struct err *e;

    buf_reset(&w->scratch);
    if ((e = logpage_build(w->builder, w->entries.ptr, w->entries.len, w->level, &w->scratch,
                           &w->grams)))
        return e;
    if (w->scratch.len > LOGBLOCK_MAX_PAGE_BYTES)
        return err_new(ERR_TOO_LARGE, "a page of log lines of %zu bytes", w->scratch.len);
    VEC_FOREACH (en, &w->entries) {
        p.min_ns = ORR_MIN(p.min_ns, en->ts_ns);
        p.max_ns = ORR_MAX(p.max_ns, en->ts_ns);
    }
    bits = logfilter_bits_of(&w->grams);
    return put_built(w, &p, &bits);
}

static struct err *end_page(struct logblock_writer *w)
{
    struct err *e;

    if (!w->entries.len)
        return NULL;
    end_part(w);
    if ((e = put_page(w)))
        return e;
    vec_clear(&w->entries);
    arena_reset(w->texts);
    w->raw = 0;
    return NULL;
}

/* ---- streams ---- */

static struct err *end_stream(struct logblock_writer *w)
{
    struct err *e;

    if (!w->has_stream || !w->so_far.entries)
        return NULL;
    end_part(w);
    buf_reset(&w->scratch);
    buf_uvarint(&w->scratch, w->n_metas);
    buf_slice_append(&w->scratch, buf_slice(&w->metas));
    if ((e = block_spool_add(&w->spool, w->labels, buf_slice(&w->scratch))))
        return e;
    w->so_far.fp = w->fp;
    logblock_directory_put_stream(&w->stream_entries, &w->so_far);
    w->so_far = (struct logblock_stream_at){0};
    w->n_metas = 0;
    buf_reset(&w->metas);
    if (++w->n_streams == LOGBLOCK_MAX_STREAMS)
        return err_new(ERR_LIMIT, "%u streams of log lines in one block", LOGBLOCK_MAX_STREAMS);
    return NULL;
}

static struct err *bad_stream(const struct logblock_writer *w, struct labels labels,
                              const char *what)
{
    struct buf b = {0};
    struct err *e;

    labels_text(&b, labels);
    e = err_new(ERR_INVALID, "write block %s: stream %s: %s", ulid_print(w->meta.ulid).s,
                buf_cstr(&b), what);
    buf_done(&b);
    return e;
}

static const char *fault_of(struct labels ls)
{
    if (ls.n > BLOCK_MAX_LABELS)
        return "too many labels";
    for (size_t i = 0; i < ls.n; i++) {
        if (ls.ptr[i].name.len == 0 || ls.ptr[i].value.len == 0)
            return "empty label";
        if (i && slice_cmp(ls.ptr[i - 1].name, ls.ptr[i].name) >= 0)
            return "labels are not sorted";
    }
    return NULL;
}

struct err *logblock_writer_stream(struct logblock_writer *w, struct hash128 fp,
                                   struct labels labels)
{
    const char *fault = fault_of(labels);
    struct err *e;

    if (!fault && w->has_stream && hash128_cmp(w->fp, fp) >= 0)
        fault = "its fingerprint is not behind that of the stream before it";
    if (fault)
        return bad_stream(w, labels, fault);
    if ((e = end_stream(w)))
        return err_wrap(e, "write block %s", ulid_print(w->meta.ulid).s);
    arena_reset(w->arena);
    w->labels = labels_dup(w->arena, labels);
    w->fp = fp;
    w->has_stream = true;
    return NULL;
}

static struct err *make_room(struct logblock_writer *w, uint64_t raw)
{
    if (raw > LOGPAGE_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "write block %s: a log line of %llu bytes; the most is %u",
                       ulid_print(w->meta.ulid).s, (unsigned long long)raw, LOGPAGE_MAX_BYTES);
    if (w->entries.len &&
        (w->raw + raw > LOGPAGE_AIM_BYTES || w->entries.len == LOGPAGE_MAX_ENTRIES))
        return err_wrap(end_page(w), "write block %s", ulid_print(w->meta.ulid).s);
    return NULL;
}

struct err *logblock_writer_entry(struct logblock_writer *w, const struct logpage_entry *e)
{
    uint64_t raw = logpage_entry_bytes(e);
    struct err *err;

    if (!w->has_stream)
        return err_new(ERR_INVALID, "write block %s: a log line before its stream",
                       ulid_print(w->meta.ulid).s);
    if (w->so_far.entries && e->ts_ns < w->last_ns)
        return bad_stream(w, w->labels, "times descend");
    if ((err = make_room(w, raw)))
        return err;
    vec_push(&w->entries, ((struct logpage_entry){
                              w->n_streams, e->ts_ns, arena_dup(w->texts, e->line),
                              e->meta.n ? labels_dup(w->texts, e->meta) : (struct labels){0}}));
    if (!w->part.entries++)
        w->part.min_ns = e->ts_ns;
    w->part.max_ns = w->last_ns = e->ts_ns;
    w->raw += raw;
    w->so_far.entries++;
    w->so_far.bytes += raw;
    w->lines++;
    return NULL;
}

/* ---- pages that are taken over ---- */

#define LEAST_RAW (LOGPAGE_AIM_BYTES / 4)

static bool is_worth_it(const struct logblock_writer *w, uint64_t raw)
{
    return raw >= LEAST_RAW && (!w->entries.len || w->raw >= LEAST_RAW);
}

static struct err *take_page(struct logblock_writer *w, const struct logblock_part *p,
                             const struct logpage_about *about)
{
    struct logblock_page_at at;
    struct logfilter_bits bits;
    struct err *e = end_page(w);

    if (e)
        return e;
    if (w->so_far.entries && about->min_ns < w->last_ns)
        return bad_stream(w, w->labels, "times descend");
    buf_reset(&w->scratch);
    if ((e = logpage_renumber(p->page, w->n_streams, &w->scratch)))
        return e;
    if (!logfilter_bits_read(p->filter_class, p->filter, &bits))
        return err_new(ERR_CORRUPT, "the filter of a page of log lines");
    w->part = (struct part){about->entries, about->min_ns, about->max_ns};
    end_part(w);
    w->last_ns = about->max_ns;
    w->so_far.entries += about->entries;
    w->so_far.bytes += about->raw_bytes;
    w->lines += about->entries;
    at = (struct logblock_page_at){.entries = about->entries,
                                   .raw = about->raw_bytes,
                                   .min_ns = about->min_ns,
                                   .max_ns = about->max_ns};
    return put_built(w, &at, &bits);
}

struct err *logblock_writer_page(struct logblock_writer *w, const struct logblock_part *p,
                                 bool *ret_taken)
{
    struct logpage_about about;
    struct err *e = logpage_peek(p->page, &about);

    *ret_taken = !e && is_worth_it(w, about.raw_bytes);
    if (*ret_taken)
        e = take_page(w, p, &about);
    return err_wrap(e, "write block %s", ulid_print(w->meta.ulid).s);
}

/* ---- the end ---- */

static struct err *put_filter(struct logblock_writer *w)
{
    buf_reset(&w->scratch);
    logfilter_out_end(w->filters, &w->scratch);
    flush_filter(w);
    return block_dir_keep(&w->dir, LOGBLOCK_FILTER_FILE, &w->filter);
}

static struct err *put_directory(struct logblock_writer *w)
{
    struct err *e;

    logblock_directory_write(buf_slice(&w->page_entries), buf_slice(&w->stream_entries),
                             &w->scratch);
    e = block_dir_put(&w->dir, LOGBLOCK_DIRECTORY_FILE, buf_slice(&w->scratch));
    if (!e)
        block_dir_note(&w->dir, LOGBLOCK_DIRECTORY_FILE, w->scratch.len);
    return e;
}

static struct err *finish(struct logblock_writer *w)
{
    static const struct slice summary = SLICE_INIT(BLOCK_SUMMARY_FILE);
    bool has_summary = false;
    struct err *e;

    if ((e = end_stream(w)) || (e = end_page(w)) ||
        (e = block_dir_keep(&w->dir, LOGBLOCK_PAGES_FILE, &w->pages)) || (e = put_filter(w)) ||
        (e = put_directory(w)) || (e = block_spool_finish(&w->spool, &w->dir, NULL)) ||
        (w->has_summary && (e = block_spool_summary(&w->spool, &w->dir, &has_summary))))
        return e;
    if (w->lines) {
        w->meta.min_t = logblock_ms(w->min_ns);
        w->meta.max_t = logblock_ms(w->max_ns) + 1;
    }
    w->meta.stats =
        (struct block_stats){.samples = w->lines, .series = w->n_streams, .chunks = w->n_pages};
    w->meta.sidecars = &summary;
    w->meta.n_sidecars = has_summary;
    return block_dir_commit(&w->dir, &w->meta);
}

struct err *logblock_writer_finish(struct logblock_writer *w, struct arena *a,
                                   struct block_meta *ret_meta)
{
    struct err *e = finish(w);

    if (e)
        return err_wrap(e, "write block %s", ulid_print(w->meta.ulid).s);
    *ret_meta = block_meta_dup(a, &w->meta);
    return NULL;
}

void logblock_writer_close(struct logblock_writer *w)
{
    if (!w)
        return;
    block_out_abort(&w->pages);
    block_out_abort(&w->filter);
    block_spool_done(&w->spool);
    block_dir_done(&w->dir);
    logpage_builder_free(w->builder);
    logfilter_out_free(w->filters);
    logfilter_grams_done(&w->grams);
    buf_done(&w->scratch);
    buf_done(&w->page_entries);
    buf_done(&w->stream_entries);
    buf_done(&w->metas);
    vec_done(&w->entries);
    arena_free(w->texts);
    arena_free(w->arena);
    mem_free(w);
}
