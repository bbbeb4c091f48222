#include "compactor/logcheck.h"

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"
#include "common/logblock/linetombs.h"
#include "common/logblock/logframe.h"

struct logcheck {
    struct slice bytes; /* mapped */
    VEC(struct logframe) frames;
    struct logblock *block;
};

static struct err *wrong(const char *what)
{
    return err_new(ERR_CORRUPT, "%s", what);
}

/* ---- one frame ---- */

struct seen { /* of a stream, so far */
    uint32_t entries, pages;
};

struct frame_walk {
    const struct logframe *frame;
    struct segcheck *found;
    struct seen *seen;  /* by stream */
    struct arena *page; /* of the page at hand */
    bool is_deep;       /* texts, too, whatever the checksums say */
    int64_t min_ns, max_ns;
    uint32_t last_stream; /* of the entry before */
    int64_t last_ns;
};

static struct err *check_stream_labels(struct slice canonical, struct hash128 fp)
{
    struct reader r = reader_new(canonical);
    struct slice last = SLICE_EMPTY;
    struct label l;
    size_t n = 0;

    while (labels_next_canonical(&r, &l)) {
        if (!l.name.len || !l.value.len || (n && slice_cmp(last, l.name) >= 0))
            return wrong("labels are not in order, or a name or value is empty");
        last = l.name;
        n++;
    }
    if (!reader_ok(&r) || n == 0 || n > BLOCK_MAX_LABELS)
        return wrong("a stream has no labels, too many, or malformed ones");
    return hash128_eq(labels_fingerprint_of_canonical(canonical), fp)
               ? NULL
               : wrong("labels do not have the fingerprint that they stand under");
}

static struct err *check_labels(const struct logframe *f)
{
    struct buf b = {0};
    struct reader r;
    struct err *e = f->labels_bytes > LOGCHECK_MAX_LABELS_BYTES ? wrong("its labels are too large")
                                                                : logframe_labels(f, &b);

    r = reader_new(buf_slice(&b));
    for (uint32_t i = 0; !e && i < f->head.n_streams; i++) {
        struct slice canonical = reader_lstr(&r);

        e = reader_ok(&r) ? check_stream_labels(canonical, logframe_stream_at(f, i).fp)
                          : wrong("its labels are cut off");
    }
    if (!e && reader_left(&r))
        e = wrong("it has more labels than streams");
    buf_done(&b);
    return e;
}

/* Entries [run->first, + run->n) of page i. */
static struct err *check_run(struct frame_walk *w, uint32_t i, const struct logpage_run *run,
                             const int64_t *times)
{
    struct logframe_stream s;
    struct seen *seen;

    if (run->stream >= w->frame->head.n_streams || run->stream < w->last_stream)
        return wrong("streams are not in order");
    s = logframe_stream_at(w->frame, run->stream);
    seen = &w->seen[run->stream];
    if (i < s.first_page || i > s.last_page)
        return wrong("a stream is in a page that it says it is not in");
    for (uint32_t k = run->first; k < run->first + run->n; k++) {
        if (times[k] < s.min_ns || times[k] > s.max_ns ||
            ((k > run->first || seen->entries) && times[k] < w->last_ns))
            return wrong("times are not in order, or not those of their stream");
        w->last_ns = times[k];
    }
    w->last_stream = run->stream;
    seen->entries += run->n; /* no more than 2^32: each is of a page that is there */
    seen->pages++;
    return NULL;
}

static struct err *check_texts(struct frame_walk *w, struct logpage *p)
{
    uint32_t n = logpage_n_entries(p);
    struct slice *lines = arena_array(w->page, struct slice, n);
    struct labels *meta = arena_array(w->page, struct labels, n);
    struct err *e = logpage_lines(p, NULL, 0, n, lines);

    return e ? e : logpage_meta(p, NULL, 0, n, meta);
}

/* What a block makes of a page that it takes over as it is (logblock_merge()). */
static struct err *check_taken(const struct logframe *f, uint32_t i, bool is_alone)
{
    struct logframe_page at = logframe_page_at(f, i);
    struct logfilter_bits bits;
    struct buf moved = {0};
    struct err *e;

    if (!at.filter_bytes)
        return NULL;
    if (!logfilter_bits_read(at.filter_class, logframe_filter_bytes(f, i), &bits))
        return wrong("the filter of a page");
    logfilter_bits_done(&bits);
    e = is_alone ? logpage_renumber(logframe_page_bytes(f, i), 0, &moved) : NULL;
    buf_done(&moved);
    return e;
}

static struct err *check_page(struct frame_walk *w, uint32_t i)
{
    struct logframe_page at = logframe_page_at(w->frame, i);
    int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
    const struct logpage_run *runs;
    const int64_t *times;
    struct logpage *p;
    struct err *e;
    size_t n;

    arena_reset(w->page);
    if ((e = logpage_open(w->page, logframe_page_bytes(w->frame, i), &p)) ||
        (e = logpage_runs(p, &runs, &n)) || (e = logpage_times(p, &times)))
        return e;
    if (logpage_n_entries(p) != at.entries)
        return wrong("a page has another number of entries than the frame says");
    for (uint32_t k = 0; k < at.entries; k++) {
        min_ns = ORR_MIN(min_ns, times[k]);
        max_ns = ORR_MAX(max_ns, times[k]);
    }
    if (min_ns != at.min_ns || max_ns != at.max_ns || min_ns != logpage_min_ns(p) ||
        max_ns != logpage_max_ns(p))
        return wrong("a page has other times than the frame says");
    w->min_ns = ORR_MIN(w->min_ns, min_ns);
    w->max_ns = ORR_MAX(w->max_ns, max_ns);
    for (size_t k = 0; k < n && !e; k++)
        e = check_run(w, i, &runs[k], times);
    w->found->samples += at.entries;
    if (e)
        return e;
    if (at.has_crc && !logframe_page_is_whole(w->frame, i))
        return wrong("checksum of a page");
    if (at.has_crc && !w->is_deep)
        return NULL;
    return (e = check_texts(w, p))
               ? e
               : check_taken(w->frame, i, n && runs[0].stream == runs[n - 1].stream);
}

/* What was seen of each is what it says: who reads it asks all of its pages for it. */
static struct err *check_seen(const struct frame_walk *w)
{
    for (uint32_t i = 0; i < w->frame->head.n_streams; i++) {
        struct logframe_stream s = logframe_stream_at(w->frame, i);

        if (w->seen[i].entries != s.entries)
            return wrong("a stream has another number of entries than it says");
        if (w->seen[i].pages != s.last_page - s.first_page + 1)
            return wrong("a stream says it is in a page that has no lines of it");
    }
    return NULL;
}

/* found: times in ns, max_t inclusive. */
static struct err *check_frame(const struct logframe *f, struct slice tenant, struct ulid segment,
                               bool is_deep, struct segcheck *found)
{
    struct frame_walk w = {
        .frame = f, .found = found, .is_deep = is_deep, .min_ns = INT64_MAX, .max_ns = INT64_MIN};
    uint64_t before = found->samples;
    struct err *e;

    if (!slice_eq(f->tenant, tenant))
        return wrong("it says it is another tenant's");
    if (!ulid_eq(f->head.segment, segment) || f->is_dropped)
        return wrong("it is of another segment, or dropped");
    if ((e = check_labels(f)))
        return e;
    w.seen = mem_new_array(struct seen, (size_t)f->head.n_streams + 1);
    w.page = arena_new(0);
    for (uint32_t i = 0; i < f->head.n_pages && !e; i++)
        e = check_page(&w, i);
    if (!e)
        e = check_seen(&w);
    if (!e && found->samples - before != f->head.entries)
        e = wrong("it has another number of entries than it says");
    /* a merge goes by them when it opens many at once */
    if (!e && (w.min_ns != f->head.min_ns || w.max_ns != f->head.max_ns))
        e = wrong("it has other times than it says");
    found->min_t = ORR_MIN(found->min_t, w.min_ns);
    found->max_t = ORR_MAX(found->max_t, w.max_ns);
    arena_free(w.page);
    mem_free(w.seen);
    return e;
}

/* ---- a segment ---- */

static struct err *open_frames(struct logcheck *c, struct slice tenant, struct ulid segment,
                               struct segcheck *found)
{
    struct slice rest = c->bytes;
    struct err *e = NULL;

    while (rest.len && !e) {
        struct logframe f;

        if ((e = logframe_open(rest, &f)) || (e = check_frame(&f, tenant, segment, false, found))) {
            e = err_wrap(e, "frame %zu", c->frames.len + 1);
            break;
        }
        vec_push(&c->frames, f);
        rest = slice_from(rest, f.bytes.len);
    }
    /* It would be named, and dropped, with nothing to show for it. */
    return !e && !found->samples ? wrong("it has no lines") : e;
}

struct err *logcheck_open_segment(const char *dir, struct slice tenant, struct ulid segment,
                                  struct logcheck **ret, struct segcheck *ret_found)
{
    struct segcheck found = {INT64_MAX, INT64_MIN, 0};
    struct logcheck *c = mem_new(struct logcheck);
    char *path = mem_printf("%s/" LOGCHECK_FRAMES_FILE, dir);
    struct err *e = fsx_map(path, &c->bytes);

    mem_free(path);
    if (!e)
        e = open_frames(c, tenant, segment, &found);
    if (e) {
        logcheck_close(c);
        return err_wrap(segcheck_as_corrupt(e), "segment %s", ulid_print(segment).s);
    }
    *ret = c;
    *ret_found =
        (struct segcheck){logblock_ms(found.min_t), logblock_ms(found.max_t) + 1, found.samples};
    return NULL;
}

struct err *logcheck_deep(const struct logcheck *c)
{
    struct segcheck found = {INT64_MAX, INT64_MIN, 0};
    struct err *e = NULL;

    for (size_t i = 0; i < c->frames.len && !e; i++) {
        const struct logframe *f = &c->frames.ptr[i];

        e = err_wrap(check_frame(f, f->tenant, f->head.segment, true, &found), "frame %zu", i + 1);
    }
    return e ? segcheck_as_corrupt(e) : NULL;
}

/* ---- a block ---- */

struct err *logcheck_open_block(struct block_reader *streams, struct slice tenant,
                                struct ulid block, struct logcheck **ret,
                                struct segcheck *ret_found)
{
    const struct block_meta *m = block_reader_meta(streams);
    struct logcheck *c = mem_new(struct logcheck);
    struct err *e;

    if (!(e = segcheck_identity(m, tenant, block)) && !(e = logblock_open(streams, &c->block)))
        e = logblock_verify(c->block);
    if (e) {
        logcheck_close(c);
        return err_wrap(segcheck_as_corrupt(e), "block %s", ulid_print(block).s);
    }
    *ret = c;
    *ret_found = (struct segcheck){m->min_t, m->max_t, m->stats.samples};
    return NULL;
}

void logcheck_close(struct logcheck *c)
{
    if (!c)
        return;
    logblock_close(c->block);
    vec_done(&c->frames);
    fsx_unmap(c->bytes);
    mem_free(c);
}

/* ---- what is deleted of it ---- */

#define MAX_NEEDLES 16

static struct err *find_line(struct logblock_set *set, struct linetombs *tombs, bool *ret)
{
    struct logblock_stream st;
    struct logpage_entry en;
    bool any;

    while (!*ret && logblock_set_stream(set, &st)) {
        struct err *e = linetombs_stream(tombs, st.labels, &any);

        if (e)
            return e;
        while (any && !*ret && logblock_set_entry(set, &en))
            *ret = linetombs_has(tombs, en.ts_ns, en.line, en.meta);
    }
    return NULL;
}

static struct err *search(struct logblock *b, struct arena *a, const struct tombstone *t,
                          struct linetombs *tombs, const atomic_bool *stop, bool *ret)
{
    struct slice needles[MAX_NEEDLES];
    struct logblock_query q = {.matchers = t->matchers,
                               .from_ns = logblock_ns(t->min_ms),
                               .to_ns = logblock_end_ns(t->max_ms),
                               .needles = needles,
                               .stop = stop};
    struct logblock_set *set;
    struct err *e = linetombs_needles(tombs, 0, a, needles, MAX_NEEDLES, &q.n_needles);

    if (e || (e = logblock_select(b, a, &q, &set)))
        return e;
    e = find_line(set, tombs, ret);
    return err_first(e, logblock_set_close(set));
}

struct err *logcheck_holds(struct block_reader *streams, const struct tombstone *t,
                           const atomic_bool *stop, bool *ret)
{
    struct tombstone_list *one = tombstone_list_new(SLICE_EMPTY);
    struct arena *a = arena_new(0);
    struct linetombs *tombs = NULL;
    struct logblock *b = NULL;
    struct err *e = tombstone_list_add(one, t);

    *ret = false;
    if (!e)
        tombs = linetombs_new(a, one, NULL, logblock_ns(t->min_ms), logblock_end_ns(t->max_ms));
    if (tombs && !(e = logblock_open(streams, &b)))
        e = search(b, a, t, tombs, stop, ret);
    logblock_close(b);
    linetombs_free(tombs);
    tombstone_list_unref(one);
    arena_free(a);
    return e;
}

/* ---- reading ---- */

size_t logcheck_n_sources(const struct logcheck *c)
{
    return c->block ? 1 : c->frames.len;
}

struct err *logcheck_sources(const struct logcheck *c, struct logblock_source *ret)
{
    if (c->block)
        return logblock_source_block(c->block, ret);
    for (size_t i = 0; i < c->frames.len; i++)
        ret[i] = logblock_source_frame(&c->frames.ptr[i]);
    return NULL;
}
