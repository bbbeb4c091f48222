/*
 * Reading: what matches is taken from the shards' threads in short turns (which streams, where their
 * open lines are), together with a hold on generations and frames; all else happens on the reader's thread.
 *
 * A stream's entries are merged from its sources: the open lines, and each frame it is in, page by
 * page. Pages are opened when their time comes, and kept within a budget: streams come in the order
 * in which they lie in frames.
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/slice_sort.h"
#include "ingester/logs/loghead_internal.h"

#define TURN_STREAMS 512u         /* some hundred microseconds */
#define PAGES_BYTES (64ull << 20) /* of decoded pages that no source is at */
#define NO_ORDER UINT32_MAX       /* of open lines: behind all frames */

struct row {
    struct hash128 fp;
    const struct logline *last;
    uint32_t last_gen, part;
    size_t labels_at;
    uint32_t labels_len;
};

struct page { /* decoded */
    struct arena *arena;
    struct logpage *lp;
    const struct logpage_run *runs;
    const int64_t *times;
    uint64_t *want; /* entries that hold the needles; NULL: all */
    size_t n_runs, charged;
    uint32_t pins;
    uint64_t group; /* the last that entries of it are in */
    struct held *held;
    uint32_t number;
};
struct held { /* a frame */
    struct logsealed *sealed;
    struct page **pages; /* NULL: none opened yet */
};

struct part { /* of a shard */
    struct loghead_set *set;
    struct logtable *table; /* NULL: there is none yet */
    VEC(struct row) rows;
    struct buf labels;
    VEC(struct loggen *) gens;
    VEC(struct held) frames;
    uint32_t min_gen;
    /* of the capture */
    uint32_t *refs;
    size_t n_refs, at;
    int64_t match_ns;
    bool has_matched;
    struct err *err;
};

struct open_line {
    const struct logline *line;
    uint32_t order;
};

struct source {
    int64_t key; /* time of its next entry, or of an earlier one */
    uint32_t order;
    bool is_exact;
    struct held *held; /* NULL: the open lines */
    uint32_t stream;
    struct logframe_stream fs;
    uint32_t next_page; /* frame: to be opened when this one is through */
    uint32_t pages_left;
    struct page *page;
    const struct slice *lines;
    const struct labels *metas;
    uint32_t base;    /* entry of the page that lines[0] is */
    uint32_t at, end; /* entries [at, end) are left: in the page, or of the open lines */
};

struct grouped { /* entries of one time */
    struct loghead_entry en;
    uint32_t order, at;
};

struct loghead_set {
    struct logtenant *tenant;
    struct loghead_query q;
    bool wants_labels; /* and no entries: one open line of a stream is enough */
    struct part parts[LOGHEAD_MAX_SHARDS];
    uint32_t n_parts;
    VEC(struct row) rows;
    size_t next_row;
    uint64_t streams;
    const struct row *row;
    VEC(struct open_line) open;
    VEC(struct source) sources;
    VEC(struct source *) heap;
    bool has_sources;
    VEC(struct grouped) group;
    size_t group_at;
    uint64_t group_number;
    struct arena *group_arena;
    VEC(struct page *) pages; /* opened */
    size_t pages_bytes;
    struct err *err;
};

/* ---- capturing, on the shards' threads ---- */

static bool overlaps(const struct loghead_query *q, int64_t min_ns, int64_t max_ns)
{
    return max_ns >= q->from_ns && min_ns < q->to_ns;
}

static void match(struct part *p)
{
    struct head_matching hm = logtable_matching(p->table);
    roaring_bitmap_t *b = head_matching_refs(&hm, p->set->q.matchers);

    p->n_refs = roaring_bitmap_get_cardinality(b);
    p->refs = mem_new_array(uint32_t, p->n_refs + 1);
    roaring_bitmap_to_uint32_array(b, p->refs);
    roaring_bitmap_free(b);
    p->has_matched = true;
}

static void take_row(struct part *p, uint32_t ref)
{
    const struct logstream *s = &p->table->streams.ptr[ref];
    struct row *r = vec_add(&p->rows);

    *r = (struct row){.fp = s->fp,
                      .last = s->last,
                      .last_gen = s->last_gen,
                      .part = (uint32_t)(p - p->set->parts),
                      .labels_at = p->labels.len};
    logtable_canonical(p->table, ref, &p->labels);
    r->labels_len = (uint32_t)(p->labels.len - r->labels_at);
}

static void hold(struct part *p)
{
    const struct logtable *tb = p->table;

    p->min_gen = tb->min_gen;
    VEC_FOREACH (g, &tb->gens) {
        loggen_ref(*g);
        vec_push(&p->gens, *g);
    }
    VEC_FOREACH (f, &tb->frames) {
        const struct logframe_head *h = &(*f)->frame.head;

        if (!overlaps(&p->set->q, h->min_ns, h->max_ns))
            continue;
        (void)atomic_fetch_add_explicit(&(*f)->refs, 1, memory_order_relaxed);
        vec_push(&p->frames, ((struct held){.sealed = *f}));
    }
}

static bool run_capture(struct logshard *sh, void *arg)
{
    struct part *p = arg;
    size_t end;

    if (!p->table) {
        if (!(p->table = p->set->tenant->tables[sh->index]))
            return false;
        p->table->captures++;
    }
    if (!p->has_matched) {
        struct head_matching hm = logtable_matching(p->table);

        if (!head_matching_prepare(&hm, p->set->q.matchers, &p->match_ns)) {
            if (p->match_ns <= HEAD_MATCH_MAX_NS)
                return true;
            p->err = head_match_costly();
            p->table->captures--;
            return false;
        }
        match(p);
    }
    end = ORR_MIN(p->at + TURN_STREAMS, p->n_refs);
    for (; p->at < end; p->at++)
        take_row(p, p->refs[p->at]);
    if (p->at < p->n_refs)
        return true;
    hold(p);
    p->table->captures--;
    return false;
}

/* The filter is then of that label, of some lines at least. */
static bool some_stream_has(const struct loghead_set *s, struct slice name)
{
    struct label l;

    VEC_FOREACH (row, &s->rows) {
        struct reader r =
            reader_new(slice_of(s->parts[row->part].labels.ptr + row->labels_at, row->labels_len));

        while (labels_next_canonical(&r, &l))
            if (slice_eq(l.name, name))
                return true;
    }
    return false;
}

static int cmp_row(const void *a, const void *b)
{
    return hash128_cmp(((const struct row *)a)->fp, ((const struct row *)b)->fp);
}

struct err *loghead_select(struct loghead *h, const struct loghead_query *q,
                           struct loghead_set **ret)
{
    struct loghead_set *s;
    struct err *e = NULL;

    if (!loghead_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the log is being read back");
    s = mem_new(struct loghead_set);
    s->q = *q;
    s->group_arena = arena_new(0);
    if ((s->tenant = loghead_tenant_find(h, q->tenant)) && q->from_ns < q->to_ns) {
        s->n_parts = h->n_shards;
        for (uint32_t i = 0; i < s->n_parts; i++)
            s->parts[i].set = s;
        logshard_call_all(h, run_capture, s->parts, sizeof(*s->parts));
    }
    for (uint32_t i = 0; i < s->n_parts; i++) {
        e = err_first(e, s->parts[i].err);
        s->parts[i].err = NULL;
        VEC_FOREACH (r, &s->parts[i].rows)
            vec_push(&s->rows, *r);
        vec_done(&s->parts[i].rows);
        mem_free(s->parts[i].refs);
        s->parts[i].refs = NULL;
    }
    if (s->rows.len > 1)
        qsort(s->rows.ptr, s->rows.len, sizeof(*s->rows.ptr), cmp_row);
    if (e)
        return err_first(e, loghead_set_close(s));
    if (s->q.bound && some_stream_has(s, s->q.bound->name))
        s->q.bound = NULL;
    *ret = s;
    return NULL;
}

/* ---- pages ---- */

static void page_free(struct loghead_set *s, size_t i)
{
    struct page *pg = s->pages.ptr[i];

    s->pages_bytes -= pg->charged;
    pg->held->pages[pg->number] = NULL;
    arena_free(pg->arena);
    mem_free(pg);
    vec_remove_swap(&s->pages, i);
}

static void charge(struct loghead_set *s, struct page *pg)
{
    size_t now = arena_used(pg->arena);

    s->pages_bytes += now - pg->charged;
    pg->charged = now;
}

static void trim(struct loghead_set *s)
{
    for (size_t i = s->pages.len; i-- > 0 && s->pages_bytes > PAGES_BYTES;)
        if (!s->pages.ptr[i]->pins && s->pages.ptr[i]->group != s->group_number)
            page_free(s, i);
}

/* Frames are one read away: that a page has nothing is found out by matching it. */
static struct err *match_page(const struct loghead_query *q, struct page *pg)
{
    bool has;
    struct err *e;

    if (!q->n_needles && !q->bound)
        return NULL;
    pg->want = arena_array(pg->arena, uint64_t, LOGPAGE_WORDS(logpage_n_entries(pg->lp)));
    e = logpage_match_all(pg->lp, q->needles, q->n_needles, pg->want, &has);
    return e || !has || !q->bound ? e : logblock_bound_narrow(pg->lp, q->bound, pg->want, &has);
}

static struct err *page_get(struct loghead_set *s, struct held *h, uint32_t number,
                            struct page **ret)
{
    const struct logframe *f = &h->sealed->frame;
    struct page *pg;
    struct err *e;

    if (!h->pages)
        h->pages = mem_new_array(struct page *, f->head.n_pages);
    if ((pg = h->pages[number])) {
        *ret = pg;
        return NULL;
    }
    trim(s);
    pg = mem_new(struct page);
    *pg = (struct page){.arena = arena_new(0), .held = h, .number = number};
    if ((e = logpage_open(pg->arena, logframe_page_bytes(f, number), &pg->lp)) ||
        (e = logpage_runs(pg->lp, &pg->runs, &pg->n_runs)) ||
        (e = logpage_times(pg->lp, &pg->times)) || (e = match_page(&s->q, pg))) {
        arena_free(pg->arena);
        mem_free(pg);
        return err_wrap(e, "page %u of a frame", number);
    }
    h->pages[number] = pg;
    vec_push(&s->pages, pg);
    charge(s, pg);
    *ret = pg;
    return NULL;
}

/* ---- sources ---- */

static inline int64_t time_at(const struct loghead_set *s, const struct source *x, uint32_t i)
{
    return x->held ? x->page->times[i] : s->open.ptr[i].line->t_ns;
}

static void set_key(const struct loghead_set *s, struct source *x)
{
    x->key = time_at(s, x, s->q.is_backward ? x->end - 1 : x->at);
    x->is_exact = true;
}

/* Past entries that are not wanted, at the end at which the next one is taken. */
static void skip_unwanted(const struct loghead_set *s, struct source *x)
{
    const uint64_t *want = x->held ? x->page->want : NULL;

    if (!want)
        return;
    if (s->q.is_backward)
        while (x->at < x->end && !logpage_has(want, x->end - 1))
            x->end--;
    else
        while (x->at < x->end && !logpage_has(want, x->at))
            x->at++;
}

/* Opens the next page in which the stream has entries that are wanted. False: there is none. */
static bool next_page(struct loghead_set *s, struct source *x)
{
    if (x->page)
        x->page->pins--;
    x->page = NULL;
    while (x->pages_left && !s->err) {
        uint32_t number = x->next_page;
        const struct logpage_run *run;
        struct logframe_page dir = logframe_page_at(&x->held->sealed->frame, number);
        struct page *pg = NULL;
        struct slice *lines;
        struct labels *metas;

        x->pages_left--;
        x->next_page = s->q.is_backward ? number - 1 : number + 1;
        if (!overlaps(&s->q, dir.min_ns, dir.max_ns))
            continue;
        if ((s->err = page_get(s, x->held, number, &pg)))
            return false;
        if (!(run = logpage_find_run(pg->runs, pg->n_runs, x->stream)))
            continue;
        x->at = logpage_find_time(pg->times, run->first, run->first + run->n, s->q.from_ns);
        x->end = logpage_find_time(pg->times, x->at, run->first + run->n, s->q.to_ns);
        x->page = pg;
        skip_unwanted(s, x);
        x->page = NULL;
        if (x->at == x->end)
            continue;
        lines = arena_array(pg->arena, struct slice, x->end - x->at);
        metas = arena_array(pg->arena, struct labels, x->end - x->at);
        if ((s->err = logpage_lines(pg->lp, pg->want, x->at, x->end - x->at, lines)) ||
            (s->err = logpage_meta(pg->lp, pg->want, x->at, x->end - x->at, metas)))
            return false;
        charge(s, pg);
        x->lines = lines;
        x->metas = metas;
        x->base = x->at;
        x->page = pg;
        pg->pins++;
        set_key(s, x);
        return true;
    }
    return false;
}

static bool before(const struct loghead_set *s, const struct source *a, const struct source *b)
{
    if (a->key != b->key)
        return s->q.is_backward ? a->key > b->key : a->key < b->key;
    return a->order < b->order;
}

static void sift_down(struct loghead_set *s, size_t i)
{
    struct source **h = s->heap.ptr, *swap;

    for (;;) {
        size_t least = i, l = 2 * i + 1, r = l + 1;

        if (l < s->heap.len && before(s, h[l], h[least]))
            least = l;
        if (r < s->heap.len && before(s, h[r], h[least]))
            least = r;
        if (least == i)
            return;
        swap = h[i];
        h[i] = h[least];
        h[least] = swap;
        i = least;
    }
}

static void pop_top(struct loghead_set *s)
{
    s->heap.ptr[0] = vec_last(&s->heap);
    s->heap.len--;
    if (s->heap.len)
        sift_down(s, 0);
}

static int cmp_open(const void *a, const void *b)
{
    const struct open_line *x = a, *y = b;

    if (x->line->t_ns != y->line->t_ns)
        return x->line->t_ns < y->line->t_ns ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static bool is_wanted(const struct loghead_query *q, const struct logline *l)
{
    if (l->t_ns < q->from_ns || l->t_ns >= q->to_ns)
        return false;
    for (size_t k = 0; k < q->n_needles; k++)
        if (slice_find(slice_of(l->bytes, l->line_len), q->needles[k], 0) < 0)
            return false;
    return true;
}

/* The row's open lines that are wanted, by time and arrival. */
static void collect_open(struct loghead_set *s)
{
    const struct part *p = &s->parts[s->row->part];
    const struct logline *l = s->row->last;
    uint32_t gen = s->row->last_gen, order = UINT32_MAX;
    bool is_sorted = true;

    vec_clear(&s->open);
    for (; gen >= p->min_gen && gen; gen = l->prev_gen, l = l->prev)
        if (is_wanted(&s->q, l)) {
            struct open_line o = {l, order--};

            if (s->open.len && vec_last(&s->open).line->t_ns < l->t_ns)
                is_sorted = false;
            vec_push(&s->open, o);
            if (s->wants_labels)
                break;
        }
    for (size_t i = 0, n = s->open.len; i < n / 2; i++) {
        struct open_line o = s->open.ptr[i];

        s->open.ptr[i] = s->open.ptr[n - 1 - i];
        s->open.ptr[n - 1 - i] = o;
    }
    if (!is_sorted)
        qsort(s->open.ptr, s->open.len, sizeof(*s->open.ptr), cmp_open);
}

/* What the row has; false: nothing in the range. */
static bool find_sources(struct loghead_set *s)
{
    struct part *p = &s->parts[s->row->part];

    VEC_FOREACH (x, &s->sources)
        if (x->page)
            x->page->pins--;
    vec_clear(&s->sources);
    for (size_t i = 0; i < p->frames.len; i++) {
        struct source x = {.held = &p->frames.ptr[i], .order = (uint32_t)i};

        if (!logframe_find(&x.held->sealed->frame, s->row->fp, &x.stream))
            continue;
        x.fs = logframe_stream_at(&x.held->sealed->frame, x.stream);
        if (!overlaps(&s->q, x.fs.min_ns, x.fs.max_ns))
            continue;
        x.key = s->q.is_backward ? ORR_MIN(x.fs.max_ns, s->q.to_ns - 1)
                                 : ORR_MAX(x.fs.min_ns, s->q.from_ns);
        x.pages_left = x.fs.last_page - x.fs.first_page + 1;
        x.next_page = s->q.is_backward ? x.fs.last_page : x.fs.first_page;
        vec_push(&s->sources, x);
    }
    collect_open(s);
    if (s->open.len) {
        struct source x = {.order = NO_ORDER, .end = (uint32_t)s->open.len};

        set_key(s, &x);
        vec_push(&s->sources, x);
    }
    return s->sources.len > 0;
}

static void begin_sources(struct loghead_set *s)
{
    vec_clear(&s->heap);
    VEC_FOREACH (x, &s->sources)
        vec_push(&s->heap, x);
    for (size_t i = s->heap.len / 2; i-- > 0;)
        sift_down(s, i);
    s->has_sources = true;
}

/* ---- entries of one time ---- */

static int cmp_grouped(const void *a, const void *b)
{
    const struct grouped *x = a, *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int cmp_content(const void *a, const void *b)
{
    const struct loghead_entry *x = &((const struct grouped *)a)->en,
                               *y = &((const struct grouped *)b)->en;
    int c = slice_cmp(x->line, y->line);

    if (!c)
        c = labels_cmp(x->metadata, y->metadata);
    return c ? c : cmp_grouped(a, b);
}

static bool same_content(const struct grouped *a, const struct grouped *b)
{
    return slice_eq(a->en.line, b->en.line) && labels_eq(a->en.metadata, b->en.metadata);
}

/* Equal ones once: the first to arrive. */
static void unite_group(struct loghead_set *s)
{
    struct grouped *g = s->group.ptr;
    size_t n = s->group.len, keep = 1;

    if (n < 2)
        return;
    if (n > 2) {
        qsort(g, n, sizeof(*g), cmp_content);
        for (size_t i = 1; i < n; i++)
            if (!same_content(&g[keep - 1], &g[i]))
                g[keep++] = g[i];
    } else {
        keep += !same_content(&g[0], &g[1]);
    }
    if (keep > 1)
        qsort(g, keep, sizeof(*g), cmp_grouped);
    s->group.len = keep;
}

static bool entry_of(struct loghead_set *s, struct source *x, uint32_t i, struct loghead_entry *ret)
{
    const struct logline *l;

    ret->t_ns = x->key;
    if (x->held) {
        ret->line = x->lines[i - x->base];
        ret->metadata = x->metas[i - x->base];
        x->page->group = s->group_number;
        return true;
    }
    l = s->open.ptr[i].line;
    ret->line = slice_of(l->bytes, l->line_len);
    return logrecord_metadata(s->group_arena, slice_of(l->bytes + l->line_len, l->meta_len),
                              &ret->metadata);
}

/* All of the top source's entries at its key; then it goes down the heap, or out of it. */
static bool gather(struct loghead_set *s, struct source *x)
{
    int64_t t = x->key;

    for (;;) {
        while (x->at < x->end && time_at(s, x, s->q.is_backward ? x->end - 1 : x->at) == t) {
            uint32_t i = s->q.is_backward ? --x->end : x->at++;
            struct grouped *g = vec_add(&s->group);

            /* pages of a stream are by time: within a group a later page comes later */
            g->order = x->order;
            g->at = x->held ? x->page->number << 18 | i : i;
            if (!entry_of(s, x, i, &g->en)) {
                s->err = err_new(ERR_INTERNAL, "structured metadata that was checked is malformed");
                return false;
            }
            skip_unwanted(s, x);
        }
        if (x->at < x->end) {
            set_key(s, x);
            sift_down(s, 0);
            return true;
        }
        if (!x->held || !next_page(s, x)) {
            pop_top(s);
            return !s->err;
        }
        if (x->key != t) {
            sift_down(s, 0);
            return true;
        }
    }
}

static bool next_group(struct loghead_set *s)
{
    int64_t t = 0;

    vec_clear(&s->group);
    s->group_at = 0;
    s->group_number++;
    arena_reset(s->group_arena);
    while (s->heap.len && !s->err) {
        struct source *x = s->heap.ptr[0];

        if (s->group.len && x->key != t)
            break;
        if (!x->is_exact) {
            if (next_page(s, x))
                sift_down(s, 0);
            else
                pop_top(s);
            continue;
        }
        t = x->key;
        if (!gather(s, x))
            break;
    }
    if (s->err || !s->group.len)
        return false;
    unite_group(s);
    return true;
}

/* ---- the set ---- */

bool loghead_set_stream(struct loghead_set *s, struct loghead_stream *ret)
{
    while (s->next_row < s->rows.len && !s->err) {
        const struct row *r = &s->rows.ptr[s->next_row++];

        s->row = r;
        s->has_sources = false;
        vec_clear(&s->group);
        vec_clear(&s->heap);
        s->group_at = 0;
        if (!find_sources(s))
            continue;
        if (s->q.max_streams && ++s->streams > s->q.max_streams) {
            s->err = err_new(ERR_LIMIT, "the query selects more than %llu streams",
                             (unsigned long long)s->q.max_streams);
            return false;
        }
        ret->fp = r->fp;
        ret->labels = slice_of(s->parts[r->part].labels.ptr + r->labels_at, r->labels_len);
        return true;
    }
    s->row = NULL;
    return false;
}

bool loghead_set_entry(struct loghead_set *s, struct loghead_entry *ret)
{
    if (!s->row || s->err)
        return false;
    if (!s->has_sources)
        begin_sources(s);
    if (s->group_at == s->group.len && !next_group(s))
        return false;
    *ret = s->group.ptr[s->q.is_backward ? s->group.len - 1 - s->group_at : s->group_at].en;
    s->group_at++;
    return true;
}

void loghead_set_volume(struct loghead_set *s, struct loghead_volume *ret)
{
    *ret = (struct loghead_volume){0};
    if (!s->row)
        return;
    VEC_FOREACH (x, &s->sources)
        if (x->held) {
            ret->entries += x->fs.entries;
            ret->bytes += x->fs.bytes;
        }
    VEC_FOREACH (o, &s->open)
        ret->bytes += (uint64_t)o->line->line_len + o->line->meta_len;
    ret->entries += s->open.len;
    ret->frames = s->sources.len;
}

struct err *loghead_set_close(struct loghead_set *s)
{
    struct err *e;

    if (!s)
        return NULL;
    e = s->err;
    for (size_t i = s->pages.len; i-- > 0;)
        page_free(s, i);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        struct part *p = &s->parts[i];

        VEC_FOREACH (f, &p->frames) {
            mem_free(f->pages);
            logsealed_unref(f->sealed);
        }
        VEC_FOREACH (g, &p->gens)
            loggen_unref(*g);
        vec_done(&p->frames);
        vec_done(&p->gens);
        vec_done(&p->rows);
        buf_done(&p->labels);
        mem_free(p->refs);
    }
    vec_done(&s->rows);
    vec_done(&s->open);
    vec_done(&s->sources);
    vec_done(&s->heap);
    vec_done(&s->group);
    vec_done(&s->pages);
    arena_free(s->group_arena);
    mem_free(s);
    return e;
}

/* ---- names ---- */

struct texts {
    VEC(struct slice) all;
};

static void add_texts(struct texts *t, struct slice canonical, const struct slice *name)
{
    struct reader r = reader_new(canonical);
    struct label l;

    while (labels_next_canonical(&r, &l))
        if (!name)
            vec_push(&t->all, l.name);
        else if (slice_eq(l.name, *name))
            vec_push(&t->all, l.value);
}

static struct err *list_texts(struct loghead *h, const struct loghead_query *q,
                              const struct slice *name, struct arena *a, struct loghead_names *ret)
{
    struct loghead_stream st;
    struct loghead_set *s;
    struct texts t = {0};
    size_t sorted = 0;
    struct err *e = loghead_select(h, q, &s);

    if (e)
        return e;
    s->wants_labels = true;
    while (loghead_set_stream(s, &st)) {
        add_texts(&t, st.labels, name);
        if (t.all.len > 2 * sorted + 65536)
            sorted = t.all.len = slice_sort_unique(t.all.ptr, t.all.len);
    }
    if (t.all.len)
        t.all.len = slice_sort_unique(t.all.ptr, t.all.len);
    ret->ptr = arena_array(a, struct slice, t.all.len + 1);
    ret->n = t.all.len;
    for (size_t i = 0; i < ret->n; i++)
        ret->ptr[i] = arena_dup(a, t.all.ptr[i]);
    vec_done(&t.all);
    return loghead_set_close(s);
}

struct err *loghead_label_names(struct loghead *h, const struct loghead_query *q, struct arena *a,
                                struct loghead_names *ret)
{
    return list_texts(h, q, NULL, a, ret);
}

struct err *loghead_label_values(struct loghead *h, const struct loghead_query *q,
                                 struct slice name, struct arena *a, struct loghead_names *ret)
{
    return list_texts(h, q, &name, a, ret);
}
