#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/logblock/logblock_internal.h"

#define SLOTS 3 /* pages open at once: this one, and those that it shares a stream's ends with */
#define READ_AHEAD (1u << 20) /* from a source that holds nothing */
#define MAX_HELD 256
#define FRONT_BYTES (64u << 10) /* of a page that may turn out to lack the needle */
/* Of so many pages of a block one that is left has as many bytes to search, about 32 KiB, as the stripes have that are read for the
 * grams of a context. */
#define PAGES_A_CANDIDATE 512u
#define MIN_CANDIDATES 4
#define MAX_CONTEXTS 8 /* of pages that are of other forms */

/* What would stand around a needle, and which of the candidates may have that. */
struct context {
    struct slice text;
    uint64_t *left;
};

struct logblock_set {
    struct logblock *block;
    struct arena *arena;
    struct logblock_query q;
    bool is_all; /* whatever the times are */
    struct logblock_matches m;
    size_t next;           /* stream of m */
    uint64_t n_candidates; /* pages that the filter left */
    struct context contexts[MAX_CONTEXTS];
    size_t n_contexts;

    /* Reading ahead. */
    struct logblock_in in;
    struct logblock_in body; /* holds the page that is searched */
    VEC(uint32_t) held;
    struct objpages_hold *series_hold;
    size_t series_end; /* of the matches: held up to here */

    /* The stream; NULL: none. */
    const struct logblock_match *cur;
    struct arena *stream_arena;
    uint32_t at; /* its next page */
    uint32_t left;
    struct logblock_run run; /* page NULL: none */
    struct logblock_page slots[SLOTS];
    struct logblock_stats stats;
    struct err *err;
};

/* A bound that says nothing of this block is none. */
static struct err *look_at_bound(struct logblock_set *s)
{
    bool counts = false;
    struct err *e = s->q.bound ? logblock_bound_counts(s->block, s->q.bound, &counts) : NULL;

    if (!counts)
        s->q.bound = NULL;
    return e;
}

static struct err *select_from(struct logblock *b, struct arena *a, const struct logblock_query *q,
                               bool is_all, struct logblock_set **ret)
{
    struct logblock_set *s = mem_new(struct logblock_set);
    struct err *e;

    s->block = b;
    s->arena = a;
    s->q = *q;
    s->is_all = is_all;
    s->stream_arena = arena_child(a, 0);
    e = look_at_bound(s);
    s->in = (struct logblock_in){.block = b,
                                 .file = LOGBLOCK_PAGES_FILE,
                                 .ahead = q->is_backward || q->n_needles ? 0 : READ_AHEAD};
    s->body = (struct logblock_in){.block = b, .file = LOGBLOCK_PAGES_FILE};
    if (e || (e = logblock_match(b, a, q, is_all, &s->m))) {
        err_free(logblock_set_close(s));
        return logblock_error(b, e);
    }
    s->stats.pages_skipped = s->m.skipped;
    s->stats.filter_bytes = s->m.filter_bytes;
    for (uint32_t i = 0; q->n_needles && i < LOGPAGE_WORDS(s->m.dir->n_pages); i++)
        s->n_candidates += (uint64_t)__builtin_popcountll(s->m.pages[i]);
    *ret = s;
    return NULL;
}

struct err *logblock_select(struct logblock *b, struct arena *a, const struct logblock_query *q,
                            struct logblock_set **ret)
{
    return select_from(b, a, q, false, ret);
}

struct err *logblock_select_all(struct logblock *b, struct arena *a, struct logblock_set **ret)
{
    struct logblock_set *s;
    struct err *e = select_from(b, a, &(struct logblock_query){0}, true, &s);

    if (e)
        return e;
    if (s->m.n != s->m.dir->n_streams) {
        err_free(logblock_set_close(s));
        return logblock_error(b, err_new(ERR_CORRUPT, "index: it lacks streams of the directory"));
    }
    *ret = s;
    return NULL;
}

/* ---- streams ---- */

/* The entries of the next series come together. */
static struct err *hold_series(struct logblock_set *s)
{
    const struct block_reader *r = s->block->streams;
    size_t i = s->next, n = ORR_MIN(s->m.n - i, (size_t)1024), k;
    uint32_t *refs;
    struct err *e;

    if (i < s->series_end)
        return NULL;
    block_reader_unhold(r, s->series_hold);
    s->series_hold = NULL;
    refs = mem_new_array(uint32_t, n);
    for (k = 0; k < n; k++)
        refs[k] = s->m.ptr[i + k].ref;
    e = block_reader_hold_series(r, refs, n, block_reader_room(r, ORR_MAX(s->q.n_readers, 1u)), &k,
                                 &s->series_hold);
    mem_free(refs);
    s->series_end = i + k;
    return e;
}

static struct err *next_stream(struct logblock_set *s, struct logblock_stream *ret)
{
    struct block_reader_series series;
    struct logblock_stream_at at;
    struct err *e;

    if ((e = logblock_check(&s->q, s->arena)) || (e = hold_series(s)))
        return e;
    s->cur = &s->m.ptr[s->next++];
    s->left = s->cur->last - s->cur->first + 1;
    s->at = s->q.is_backward ? s->cur->last : s->cur->first;
    arena_reset(s->stream_arena);
    if ((e = block_reader_series(s->block->streams, s->stream_arena, s->cur->ref, &series)))
        return e;
    at = logblock_directory_stream(s->m.dir, s->cur->stream);
    *ret = (struct logblock_stream){at.fp, series.labels, at.entries, at.bytes};
    return NULL;
}

bool logblock_set_stream(struct logblock_set *s, struct logblock_stream *ret)
{
    s->run = (struct logblock_run){0};
    s->cur = NULL;
    s->left = 0;
    if (s->err || s->next == s->m.n)
        return false;
    s->err = next_stream(s, ret);
    return !s->err;
}

/* ---- reading pages ahead ---- */

static bool is_held(const struct logblock_set *s, uint32_t page)
{
    VEC_FOREACH (p, &s->held)
        if (*p == page)
            return true;
    return false;
}

/* Of pages that may lack the needles the beginning says so, as a rule. With a bound alone nearly all are read. */
static size_t bytes_to_hold(const struct logblock_set *s, uint32_t page)
{
    size_t n = logblock_directory_page(s->m.dir, page).bytes;

    return s->q.n_needles ? ORR_MIN(n, (size_t)FRONT_BYTES) : n;
}

/* False: there is no room for more. */
static bool plan_page(struct logblock_set *s, uint32_t page, size_t *room)
{
    size_t n;

    if (s->held.len && vec_last(&s->held) == page) /* of many streams, as a rule */
        return true;
    if (!logblock_has_page(&s->m, page) || is_held(s, page))
        return true;
    n = bytes_to_hold(s, page) + OBJPAGES_PAGE;
    if ((s->held.len && *room < n) || s->held.len == MAX_HELD)
        return false;
    *room -= ORR_MIN(*room, n);
    vec_push(&s->held, page);
    return true;
}

/* The pages of this stream from here on, then those of the next ones. */
static void plan_pages(struct logblock_set *s, size_t room)
{
    size_t i = s->next;
    uint32_t left = s->left, at = s->at;

    vec_clear(&s->held);
    for (;;) {
        const struct logblock_match *m;

        for (; left; left--, at += s->q.is_backward ? UINT32_MAX : 1u)
            if (!plan_page(s, at, &room))
                return;
        if (i == s->m.n)
            return;
        m = &s->m.ptr[i++];
        left = m->last - m->first + 1;
        at = s->q.is_backward ? m->last : m->first;
    }
}

static struct err *hold_pages(struct logblock_set *s)
{
    struct logfilter_range ranges[MAX_HELD];
    size_t room = block_reader_room(s->block->streams, ORR_MAX(s->q.n_readers, 1u));

    if (!room || (s->cur && is_held(s, s->at)))
        return NULL;
    plan_pages(s, room);
    for (size_t i = 0; i < s->held.len; i++)
        ranges[i] =
            (struct logfilter_range){logblock_directory_page(s->m.dir, s->held.ptr[i]).offset,
                                     bytes_to_hold(s, s->held.ptr[i])};
    return logblock_in_hold(&s->in, ranges, s->held.len);
}

struct err *logblock_set_ahead(struct logblock_set *s)
{
    struct err *e;

    ORR_ASSERT(s->next == 0 && !s->cur);
    if (s->err || !s->m.n)
        return NULL;
    e = hold_series(s);
    return logblock_error(s->block, e ? e : hold_pages(s));
}

/* ---- pages ---- */

struct page_bytes {
    struct logblock_set *set;
    struct arena *arena;
    uint64_t offset;
};

static struct err *fetch_page(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    struct page_bytes *p = arg;
    bool is_kept;
    struct err *e = logblock_in_read(&p->set->in, p->offset + off, len, ret, &is_kept);

    if (!e && !is_kept)
        *ret = arena_dup(p->arena, *ret);
    return e;
}

static void forget(struct logblock_set *s, struct logblock_page *p)
{
    if (p->page)
        s->stats.page_bytes += logpage_touched_bytes(p->page);
    logblock_page_done(p);
}

/* Whether this stream comes to the page yet, or the next ones may: their first page is this one's last, or behind it. */
static bool is_needed(const struct logblock_set *s, const struct logblock_page *p)
{
    const struct logblock_match *m = s->cur;

    if (p->number >= m->last)
        return true;
    return s->q.is_backward ? p->number >= m->first && p->number <= s->at : p->number >= s->at;
}

static struct logblock_page *free_slot(struct logblock_set *s)
{
    struct logblock_page *found = NULL;

    for (size_t i = 0; i < SLOTS; i++) {
        if (s->slots[i].arena && !is_needed(s, &s->slots[i]))
            forget(s, &s->slots[i]);
        if (!s->slots[i].arena)
            found = &s->slots[i];
    }
    ORR_ASSERT(found);
    return found;
}

/* Of the pages that are left those that may have the text, which is the context of a needle in one of them. */
static struct err *left_with(struct logblock_set *s, struct slice text, const uint64_t **ret)
{
    size_t words = LOGPAGE_WORDS(s->m.dir->n_pages);
    uint64_t *left;

    for (size_t i = 0; i < s->n_contexts; i++)
        if (slice_eq(s->contexts[i].text, text)) {
            *ret = s->contexts[i].left;
            return NULL;
        }
    *ret = s->m.pages;
    if (s->n_contexts == MAX_CONTEXTS)
        return NULL;
    left = arena_array(s->arena, uint64_t, words);
    memcpy(left, s->m.pages, words * sizeof(*left));
    s->contexts[s->n_contexts++] = (struct context){arena_dup(s->arena, text), left};
    *ret = left;
    return logblock_narrow(s->block, &text, 1, left, &s->stats.filter_bytes);
}

/*
 * Of a short needle the filter knows little, and leaves many pages that do not hold it. Their beginnings say what would stand
 * around it, of which the filter knows more. That is worth it where the columns of the pages that are left have more bytes than
 * the stripes that are read for it, which other pages, and pieces of the query, need as well.
 */
static struct err *may_in_context(struct logblock_set *s, struct logblock_page *p,
                                  struct slice needle, bool *ret)
{
    struct slice longer[LOGPAGE_MAX_CONTEXTS];
    struct err *e = NULL;
    size_t n;

    if (needle.len < LOGFILTER_MIN_NEEDLE || s->n_candidates < MIN_CANDIDATES ||
        s->n_candidates * PAGES_A_CANDIDATE < s->m.dir->n_pages ||
        !(n = logpage_contexts(p->page, needle, longer)))
        return NULL;
    *ret = false;
    for (size_t i = 0; !e && !*ret && i < n; i++) {
        const uint64_t *left;

        e = left_with(s, longer[i], &left);
        *ret = e || logpage_has(left, p->number);
    }
    return e;
}

/* Whether any line of it can be wanted, as its beginning says. */
static struct err *may_have(struct logblock_set *s, struct logblock_page *p, bool *ret)
{
    struct err *e = NULL;

    *ret = true;
    for (size_t k = 0; !e && *ret && k < s->q.n_needles; k++) {
        *ret = !logpage_lacks(p->page, s->q.needles[k]);
        if (*ret)
            e = may_in_context(s, p, s->q.needles[k], ret);
    }
    return !e && *ret && s->q.bound ? logblock_bound_may(p->page, s->q.bound, ret) : e;
}

/* *ret_has false: no line of it is wanted. */
static struct err *match_lines(struct logblock_set *s, struct logblock_page *p,
                               const struct logblock_page_at *at, bool *ret_has)
{
    struct err *e = may_have(s, p, ret_has);

    if (e || !*ret_has)
        return e;
    p->want = arena_array(p->arena, uint64_t, LOGPAGE_WORDS(logpage_n_entries(p->page)));
    /* What is read of it now are many small parts; from afar they come together. */
    if (s->q.n_needles &&
        (e = logblock_in_hold(&s->body, &(struct logfilter_range){at->offset, at->bytes}, 1)))
        return e;
    if ((e = logpage_match_all(p->page, s->q.needles, s->q.n_needles, p->want, ret_has)))
        return e;
    if (!*ret_has || !s->q.bound)
        return NULL;
    return logblock_bound_narrow(p->page, s->q.bound, p->want, ret_has);
}

static struct err *open_by_parts(struct logblock_set *s, struct logblock_page *p,
                                 const struct logblock_page_at *at, bool *ret_has)
{
    struct page_bytes *bytes = arena_new_of(p->arena, struct page_bytes);
    struct err *e;

    *bytes = (struct page_bytes){s, p->arena, at->offset};
    e = logpage_open_ranged(p->arena, at->bytes, fetch_page, bytes, &p->page);
    return e ? e : match_lines(s, p, at, ret_has);
}

static struct err *open_whole(struct logblock_set *s, struct logblock_page *p,
                              const struct logblock_page_at *at)
{
    struct page_bytes from = {s, p->arena, at->offset};
    struct slice bytes;
    struct err *e = fetch_page(&from, 0, at->bytes, &bytes);

    if (!e && hash_crc32c(bytes) != at->crc)
        e = err_new(ERR_CORRUPT, LOGBLOCK_PAGES_FILE ": checksum of page %u", p->number);
    return e ? e : logpage_open(p->arena, bytes, &p->page);
}

/* *ret NULL: it has no line that is wanted, of any stream. */
static struct err *open_page(struct logblock_set *s, uint32_t number, struct logblock_page **ret)
{
    struct logblock_page_at at = logblock_directory_page(s->m.dir, number);
    struct logblock_page *p = free_slot(s);
    bool has = true;
    struct err *e;

    *p = (struct logblock_page){.arena = arena_child(s->arena, 0), .number = number};
    *ret = NULL;
    e = s->q.n_needles || s->q.bound ? open_by_parts(s, p, &at, &has) : open_whole(s, p, &at);
    if (!e && has) {
        e = logblock_page_load(p, at.entries);
        s->stats.pages++;
        *ret = p;
    }
    if (!e && !has) {
        s->m.pages[number >> 6] &= ~(1ull << (number & 63));
        s->stats.pages_skipped++;
        forget(s, p);
    }
    return e;
}

static struct err *get_page(struct logblock_set *s, uint32_t number, struct logblock_page **ret)
{
    struct err *e;

    for (size_t i = 0; i < SLOTS; i++)
        if (s->slots[i].arena && s->slots[i].number == number) {
            *ret = &s->slots[i];
            return NULL;
        }
    if ((e = logblock_check(&s->q, s->arena)) || (e = hold_pages(s)))
        return e;
    return open_page(s, number, ret);
}

/* The lines of the stream in its next page that has some; left 0: there is none. */
static struct err *next_run(struct logblock_set *s)
{
    struct logblock_page *p;
    struct err *e;

    s->run = (struct logblock_run){0};
    while (s->left) {
        uint32_t number = s->at;

        p = NULL;
        if (logblock_has_page(&s->m, number) && (e = get_page(s, number, &p)))
            return e;
        s->left--;
        s->at += s->q.is_backward ? UINT32_MAX : 1u;
        if (!p)
            continue;
        if ((e = logblock_run_open(p, s->cur->stream, s->q.from_ns, s->q.to_ns, s->is_all,
                                   &s->run)))
            return e;
        if (s->run.at < s->run.end)
            return arena_over(s->arena)
                       ? err_new(ERR_LIMIT, "log lines need more memory than the query may hold")
                       : NULL;
        s->run = (struct logblock_run){0};
    }
    return NULL;
}

bool logblock_set_entry(struct logblock_set *s, struct logpage_entry *ret)
{
    while (!s->err && s->cur) {
        if (s->run.page && logblock_run_next(&s->run, s->q.is_backward, ret)) {
            s->stats.lines++;
            return true;
        }
        if (!s->left)
            return false;
        s->err = next_run(s);
    }
    return false;
}

struct err *logblock_set_take_error(struct logblock_set *s)
{
    struct err *e = logblock_error(s->block, s->err);

    s->err = NULL;
    return e;
}

void logblock_set_stats(const struct logblock_set *s, struct logblock_stats *ret)
{
    *ret = s->stats;
    for (size_t i = 0; i < SLOTS; i++)
        if (s->slots[i].page)
            ret->page_bytes += logpage_touched_bytes(s->slots[i].page);
}

struct err *logblock_set_close(struct logblock_set *s)
{
    struct err *e;

    if (!s)
        return NULL;
    e = logblock_set_take_error(s);
    for (size_t i = 0; i < SLOTS; i++)
        logblock_page_done(&s->slots[i]);
    logblock_in_done(&s->in);
    logblock_in_done(&s->body);
    block_reader_unhold(s->block->streams, s->series_hold);
    vec_done(&s->held);
    arena_free(s->stream_arena);
    mem_free(s);
    return e;
}
