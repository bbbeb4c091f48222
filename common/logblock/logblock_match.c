/* Which streams a query wants, and which pages have lines of them. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"

#define REFS_ONE_BY_ONE 64 /* so few streams are all looked at, whatever their fingerprints */

/* What is being made of a query. */
struct matching {
    struct logblock *block;
    struct arena *arena;
    const struct logblock_query *q;
    bool is_all;
    struct logblock_matches out;
    uint64_t *all;    /* pages of the streams that match, whatever the times */
    size_t n_streams; /* that match and have lines in the range, of whatever share */
};

static struct err *bad_index(const char *what)
{
    return err_new(ERR_CORRUPT, "index: %s", what);
}

/* A stream's chunks are pages of one after the other, of one ordinal, that are there. */
static struct err *check_metas(const struct matching *s, const struct block_chunk_meta *m, size_t n)
{
    if (n == 0)
        return bad_index("a stream without pages");
    for (size_t i = 0; i < n; i++)
        if (m[i].ref >> 32 != m[0].ref >> 32 || m[i].ref != m[0].ref + i)
            return bad_index("pages of a stream that are not one behind the other");
    if (m[0].ref >> 32 >= s->out.dir->n_streams || (uint32_t)m[n - 1].ref >= s->out.dir->n_pages)
        return bad_index("a stream or a page that is not there");
    return NULL;
}

/* Of a stream; ref: of the index. In tmp, whatever was there before. */
static struct err *metas_of(const struct matching *s, struct arena *tmp, uint32_t ref,
                            struct block_chunk_meta **ret, size_t *ret_n)
{
    struct err *e;

    arena_reset(tmp);
    e = block_reader_metas(s->block->streams, tmp, ref, ret, ret_n);
    return e ? e : check_metas(s, *ret, *ret_n);
}

static bool is_of_share(const struct matching *s, uint32_t stream)
{
    uint64_t fp;

    if (!s->q->fp_last)
        return true;
    fp = logblock_directory_stream(s->out.dir, stream).fp.hi;
    return fp >= s->q->fp_first && fp <= s->q->fp_last;
}

static bool is_in_range(const struct matching *s, const struct block_chunk_meta *m)
{
    struct logblock_page_at at;

    if (s->is_all)
        return true;
    at = logblock_directory_page(s->out.dir, (uint32_t)m->ref);
    return m->max_t >= logblock_ms(s->q->from_ns) && m->min_t <= logblock_ms(s->q->to_ns - 1) &&
           at.max_ns >= s->q->from_ns && at.min_ns < s->q->to_ns;
}

/* Keeps the stream if any of its pages has lines of it in the range. */
static void keep_match(struct matching *s, uint32_t ref, const struct block_chunk_meta *m, size_t n)
{
    struct logblock_match x = {
        .ref = ref, .stream = (uint32_t)(m[0].ref >> 32), .first = UINT32_MAX};
    bool is_wanted = is_of_share(s, x.stream);

    for (size_t i = 0; i < n; i++) {
        uint32_t page = (uint32_t)m[i].ref;

        if (is_wanted)
            s->all[page >> 6] |= 1ull << (page & 63);
        if (!is_in_range(s, &m[i]))
            continue;
        if (is_wanted)
            s->out.pages[page >> 6] |= 1ull << (page & 63);
        x.first = ORR_MIN(x.first, page);
        x.last = page;
    }
    if (x.first == UINT32_MAX)
        return;
    s->n_streams++;
    if (is_wanted)
        s->out.ptr[s->out.n++] = x;
}

/* The stream before. */
struct before {
    uint64_t next_stream; /* the least that may follow */
    uint32_t last_page;
};

static struct err *match_one(struct matching *s, struct arena *tmp, uint32_t ref,
                             struct before *before)
{
    struct block_chunk_meta *m;
    size_t n;
    struct err *e = metas_of(s, tmp, ref, &m, &n);

    if (e)
        return e;
    if (m[0].ref >> 32 < before->next_stream || (uint32_t)m[0].ref < before->last_page)
        return bad_index("streams out of order");
    *before = (struct before){(m[0].ref >> 32) + 1, (uint32_t)m[n - 1].ref};
    keep_match(s, ref, m, n);
    return NULL;
}

/* The upper half of a stream's fingerprint; ref: of the index. */
static struct err *fp_of(const struct matching *s, struct arena *tmp, uint32_t ref, uint64_t *ret)
{
    struct block_chunk_meta *m;
    size_t n;
    struct err *e = metas_of(s, tmp, ref, &m, &n);

    if (!e)
        *ret = logblock_directory_stream(s->out.dir, (uint32_t)(m[0].ref >> 32)).fp.hi;
    return e;
}

/* The first of the streams, which are in the order of their fingerprints, with one above fp, or (or_equal) that one. */
static struct err *find_fp(struct matching *s, struct block_refs refs, uint64_t fp, bool or_equal,
                           size_t *ret)
{
    size_t from = 0, to = refs.n;
    struct arena *tmp = arena_new(0);
    struct err *e = NULL;

    while (!e && from < to) {
        size_t mid = from + (to - from) / 2;
        uint64_t at;

        if ((e = fp_of(s, tmp, refs.ptr[mid], &at)))
            break;
        if (at > fp || (or_equal && at == fp))
            to = mid;
        else
            from = mid + 1;
    }
    arena_free(tmp);
    *ret = from;
    return e;
}

/* Of the streams those of the query's share; all, where they may be more than the query may select. */
static struct err *narrow_by_fp(struct matching *s, struct block_refs *io)
{
    size_t from, to;
    struct err *e;

    if (!s->q->fp_last || io->n < REFS_ONE_BY_ONE ||
        (s->q->max_streams && io->n > s->q->max_streams))
        return NULL;
    if ((e = find_fp(s, *io, s->q->fp_first, true, &from)) ||
        (e = find_fp(s, *io, s->q->fp_last, false, &to)))
        return e;
    io->ptr += from;
    io->n = to > from ? to - from : 0;
    return NULL;
}

static struct err *match_all(struct matching *s, struct block_refs refs)
{
    const struct block_reader *r = s->block->streams;
    struct arena *tmp = arena_new(0);
    struct before before = {0};
    struct err *e = NULL;

    for (size_t at = 0, n; !e && at < refs.n; at += n) {
        struct objpages_hold *hold;

        if ((e = block_reader_hold_series(r, refs.ptr + at, refs.n - at, block_reader_room(r, 1),
                                          &n, &hold)))
            break;
        for (size_t i = at; !e && i < at + n; i++)
            if (i % 4096 || !(e = logblock_check(s->q, s->arena)))
                e = match_one(s, tmp, refs.ptr[i], &before);
        block_reader_unhold(r, hold);
    }
    arena_free(tmp);
    return e;
}

static uint64_t count(const uint64_t *set, uint32_t n)
{
    uint64_t k = 0;

    for (uint32_t i = 0; i < LOGPAGE_WORDS(n); i++)
        k += (uint64_t)__builtin_popcountll(set[i]);
    return k;
}

static bool has_any_page(const struct matching *s, const struct logblock_match *m)
{
    for (uint32_t i = m->first; i <= m->last; i++)
        if (logblock_has_page(&s->out, i))
            return true;
    return false;
}

static struct err *narrow_by_needles(struct matching *s)
{
    struct err *e = logblock_narrow(s->block, s->q->needles, s->q->n_needles, s->out.pages,
                                    &s->out.filter_bytes);
    size_t kept = 0;

    if (e)
        return e;
    for (size_t i = 0; i < s->out.n; i++)
        if (has_any_page(s, &s->out.ptr[i]))
            s->out.ptr[kept++] = s->out.ptr[i];
    s->out.n = kept;
    return NULL;
}

static struct err *find(struct matching *s)
{
    struct logblock_matches *out = &s->out;
    struct block_refs refs;
    struct err *e;

    if ((e = logblock_directory_get(s->block, &out->dir)) ||
        (e = block_reader_select(s->block->streams, s->arena, s->q->matchers, &refs)))
        return e;
    if ((e = narrow_by_fp(s, &refs)))
        return e;
    out->ptr = arena_array(s->arena, struct logblock_match, refs.n);
    out->pages = arena_array(s->arena, uint64_t, LOGPAGE_WORDS(out->dir->n_pages));
    s->all = arena_array(s->arena, uint64_t, LOGPAGE_WORDS(out->dir->n_pages));
    if ((e = match_all(s, refs)))
        return e;
    if (s->q->max_streams && s->n_streams > s->q->max_streams)
        return err_new(ERR_LIMIT, "the query selects more than %llu streams",
                       (unsigned long long)s->q->max_streams);
    if ((e = narrow_by_needles(s)))
        return e;
    out->skipped = count(s->all, out->dir->n_pages) - count(out->pages, out->dir->n_pages);
    return logblock_check(s->q, s->arena);
}

struct err *logblock_check(const struct logblock_query *q, const struct arena *a)
{
    if ((q->cancel && atomic_load(q->cancel)) || (q->stop && atomic_load(q->stop)))
        return err_new(ERR_CANCELED, "the query was canceled");
    if (q->deadline_mono_ms && clock_mono_ms(&clock_system) >= q->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "the query timed out");
    return arena_over(a) ? err_new(ERR_LIMIT, "selecting log lines: over the memory budget") : NULL;
}

struct err *logblock_match(struct logblock *b, struct arena *a, const struct logblock_query *q,
                           bool is_all, struct logblock_matches *ret)
{
    struct matching s = {.block = b, .arena = a, .q = q, .is_all = is_all};
    struct err *e = is_all || q->from_ns < q->to_ns ? find(&s) : NULL;

    if (!e)
        *ret = s.out;
    return e;
}
