#include "common/objstore/objpages.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/reader.h"
#include "common/base/vec.h"

#define GAP_PAGES 4     /* between two pages of one read */
#define RUN_PAGES 128   /* of one read */
#define AHEAD_PAGES 512 /* of one read that goes on */
#define BOOKS_BYTES 128 /* of the map and the allocator, about, for each page */
#define THREADS 4
#define FETCH_TRIES 3 /* of pages whose fetch by another caller has failed */
#define KEY_TAIL 8    /* the number of the page, big endian, behind "object\0" */

enum page_state { PAGE_COMING, PAGE_HERE, PAGE_FAILED };

struct page {
    /* under objpages.lock; bytes do not change once it is PAGE_HERE */
    enum page_state state;
    unsigned users;
    struct page *older, *newer; /* in the list while it is here and has no user */
    uint64_t no, object_bytes;
    uint8_t *bytes;
    size_t len;
    size_t object_len; /* of the object's key, with which key begins */
    bool is_out;       /* no longer in the map; goes with its last user */
    bool goes_on;      /* as struct want, of who fetches it */
    struct slice key;  /* behind the struct */
};

struct objpages {
    struct objpages_opts opts;
    struct job_pool *pool;
    struct lock lock;
    pthread_cond_t arrived;
    struct map map;               /* struct page */
    struct page *newest, *oldest; /* by use */
    /* of pages that are being read, which are in buffers meanwhile; of them those that are ahead */
    size_t coming_bytes, ahead_bytes;
    uint64_t ahead_turn, ahead_next; /* whose turn it is to wait for room; the next to be given */
    struct objpages_stats stats;
    struct {
        uint64_t gets, fetched, below_hits;
    } by_all; /* of the stats, without the lock */
};

struct objpages_hold {
    VEC(struct page *) pages; /* in the order of by_place() */
    bool has_read;
};

struct objpages *objpages_new(const struct objpages_opts *opts)
{
    struct objpages *p = mem_new(struct objpages);

    p->opts = *opts;
    p->stats.max_bytes = opts->max_bytes;
    lock_init(&p->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&p->arrived);
    p->pool = job_pool_new("objpages", opts->threads ? opts->threads : THREADS, RUN_PAGES);
    return p;
}

static size_t page_cost(const struct page *g)
{
    return sizeof(*g) + 2 * g->key.len + g->len + BOOKS_BYTES;
}

static void page_free(struct page *g)
{
    mem_free(g->bytes);
    mem_free(g);
}

/* ---- with the lock ---- */

static void list_out(struct objpages *p, struct page *g)
{
    *(g->older ? &g->older->newer : &p->oldest) = g->newer;
    *(g->newer ? &g->newer->older : &p->newest) = g->older;
    g->older = g->newer = NULL;
    p->stats.held_bytes += page_cost(g);
}

static void list_in(struct objpages *p, struct page *g)
{
    g->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = g;
    p->newest = g;
    p->stats.held_bytes -= page_cost(g);
}

/* Of a page that is in no list. */
static void uncount(struct objpages *p, const struct page *g)
{
    p->stats.held_bytes -= page_cost(g);
    p->stats.bytes -= page_cost(g);
    p->stats.pages--;
}

/* What the budget leaves beside the buffers of reads that are under way. */
static size_t max_pages_bytes(const struct objpages *p)
{
    return p->opts.max_bytes - ORR_MIN(p->opts.max_bytes, p->coming_bytes);
}

static void trim(struct objpages *p, size_t max_bytes)
{
    while (p->oldest && p->stats.bytes > max_bytes) {
        struct page *g = p->oldest;

        list_out(p, g);
        uncount(p, g);
        p->stats.evictions++;
        (void)map_del(&p->map, g->key);
        page_free(g);
    }
}

static void use(struct objpages *p, struct page *g)
{
    if (g->users++ == 0 && g->state == PAGE_HERE)
        list_out(p, g);
}

static void unuse(struct objpages *p, struct page *g)
{
    if (--g->users)
        return;
    if (g->state == PAGE_HERE && !g->is_out) {
        list_in(p, g);
        return;
    }
    if (g->state == PAGE_HERE)
        uncount(p, g);
    page_free(g);
}

/* ---- which pages ---- */

struct want {
    struct slice object;
    uint64_t no;
    bool goes_on; /* no range begins in it */
};
struct wants {
    VEC(struct want) v;
};

static int by_place(const void *a, const void *b)
{
    const struct want *x = a, *y = b;
    int c = slice_cmp(x->object, y->object);

    if (c == 0)
        c = (x->no > y->no) - (x->no < y->no);
    return c;
}

/* Of the ranges that are ahead, or of the others: each page once, in the order of the object. */
static struct wants wants_of(const struct objpages_range *ranges, size_t n, bool is_ahead)
{
    struct wants w = {0};
    size_t out = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t first = ranges[i].off / OBJPAGES_PAGE, last;

        if (!ranges[i].len || ranges[i].is_ahead != is_ahead)
            continue;
        last = (ranges[i].off + (ranges[i].len - 1)) / OBJPAGES_PAGE;
        for (uint64_t no = first; no <= last; no++)
            if (no == first || vec_last(&w.v).no != no ||
                !slice_eq(vec_last(&w.v).object, ranges[i].object))
                vec_push(&w.v, ((struct want){ranges[i].object, no, no != first}));
    }
    if (w.v.len > 1)
        qsort(w.v.ptr, w.v.len, sizeof(*w.v.ptr), by_place);
    for (size_t i = 0; i < w.v.len; i++)
        if (!out || by_place(&w.v.ptr[out - 1], &w.v.ptr[i]) != 0)
            w.v.ptr[out++] = w.v.ptr[i];
        else
            w.v.ptr[out - 1].goes_on &= w.v.ptr[i].goes_on;
    w.v.len = out;
    return w;
}

static struct slice key_of(struct buf *b, const struct want *w)
{
    buf_reset(b);
    buf_slice_append(b, w->object);
    buf_byte(b, 0);
    buf_u64be(b, w->no);
    return buf_slice(b);
}

static struct page *page_new(const struct want *w, struct slice key)
{
    struct page *g = mem_zalloc(sizeof(*g) + key.len);

    g->no = w->no;
    g->goes_on = w->goes_on;
    g->object_len = w->object.len;
    memcpy(g + 1, key.ptr, key.len);
    g->key = slice_of(g + 1, key.len);
    g->users = 1;
    return g;
}

static struct slice object_of(const struct page *g)
{
    return slice_sub(g->key, 0, g->object_len);
}

/* ---- fetching ---- */

static struct slice copy_of(struct slice bytes)
{
    uint8_t *copy =
        mem_alloc(ORR_MAX(bytes.len, (size_t)1)); /* not a byte more: 64 KiB is a size class */

    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return slice_of(copy, bytes.len);
}

/* Takes the bytes. */
static void publish(struct objpages *p, struct page *g, struct slice bytes, uint64_t object_bytes)
{
    lock_take(&p->lock);
    g->bytes = (uint8_t *)(uintptr_t)bytes.ptr;
    g->len = bytes.len;
    g->object_bytes = object_bytes;
    g->state = PAGE_HERE;
    p->coming_bytes -= OBJPAGES_PAGE;
    p->stats.bytes += page_cost(g);
    p->stats.held_bytes += page_cost(g);
    p->stats.pages++;
    trim(p, max_pages_bytes(p));
    (void)pthread_cond_broadcast(&p->arrived);
    lock_release(&p->lock);
}

static void give_up(struct objpages *p, struct page *g)
{
    lock_take(&p->lock);
    g->state = PAGE_FAILED;
    p->coming_bytes -= OBJPAGES_PAGE;
    (void)map_del(&p->map, g->key);
    (void)pthread_cond_broadcast(&p->arrived);
    lock_release(&p->lock);
}

/* Pages of one object that are read at once; some in between may be here already. Those ahead lie behind them. */
struct run {
    struct page **pages;
    size_t n;
    const struct want *ahead;
    size_t n_ahead;
    struct err *e;
};
struct fetch {
    struct objpages *p;
    struct objstore_tally *tally; /* of the thread that asks */
    VEC(struct run) runs;
};

static uint64_t held_end(const struct run *r)
{
    return r->pages[r->n - 1]->no + 1;
}

static uint64_t run_end(const struct run *r)
{
    return r->n_ahead ? r->ahead[r->n_ahead - 1].no + 1 : held_end(r);
}

/* Half of the memory may be buffers of what is read ahead. */
static uint64_t ahead_room(const struct objpages *p)
{
    size_t room = p->opts.max_bytes / 2;

    return (room - ORR_MIN(room, p->ahead_bytes)) / OBJPAGES_PAGE;
}

/*
 * How many of these pages may be read ahead. Who may wait does so until others have read theirs, in turn: many short reads instead
 * of a few long ones are what reading ahead is to spare. They wait for nobody, so this ends.
 */
static uint64_t ahead_begin(struct objpages *p, uint64_t pages, bool may_wait)
{
    lock_take(&p->lock);
    if (may_wait) {
        uint64_t turn = p->ahead_next++;

        while (p->ahead_turn != turn || (p->ahead_bytes && ahead_room(p) < pages))
            lock_wait(&p->lock, &p->arrived);
        p->ahead_turn++;
        (void)pthread_cond_broadcast(&p->arrived);
    }
    pages = ORR_MIN(pages, ahead_room(p));
    p->ahead_bytes += pages * OBJPAGES_PAGE;
    p->coming_bytes += pages * OBJPAGES_PAGE;
    trim(p, max_pages_bytes(p));
    lock_release(&p->lock);
    return pages;
}

static void ahead_end(struct objpages *p, uint64_t pages)
{
    if (!pages)
        return;
    lock_take(&p->lock);
    p->ahead_bytes -= pages * OBJPAGES_PAGE;
    p->coming_bytes -= pages * OBJPAGES_PAGE;
    (void)pthread_cond_broadcast(&p->arrived);
    lock_release(&p->lock);
}

/* The read goes on with what lies close behind; what lies in between is read as well, and not kept. One that waits here may not
 * have begun another that does, or two could wait for each other. */
static void go_on(struct objpages *p, struct run *r, const struct wants *ahead, bool may_wait)
{
    struct slice object = object_of(r->pages[0]);
    uint64_t end = held_end(r), most = r->pages[0]->no + AHEAD_PAGES, got;
    size_t from = 0, n = 0;

    while (from < ahead->v.len &&
           (!slice_eq(ahead->v.ptr[from].object, object) || ahead->v.ptr[from].no < end))
        from++;
    r->ahead = ahead->v.ptr + from;
    for (; from + n < ahead->v.len && slice_eq(r->ahead[n].object, object) &&
           r->ahead[n].no - end < GAP_PAGES && r->ahead[n].no < most;
         n++)
        end = r->ahead[n].no + 1;
    got = n ? ahead_begin(p, end - held_end(r), may_wait) : 0;
    while (n && r->ahead[n - 1].no >= held_end(r) + got)
        n--;
    r->n_ahead = n;
    ahead_end(p, got - (run_end(r) - held_end(r)));
}

static struct err *publish_run(struct objpages *p, struct run *r, struct slice got,
                               uint64_t object_bytes)
{
    uint64_t start = r->pages[0]->no * OBJPAGES_PAGE;
    uint64_t due =
        ORR_MIN(object_bytes - ORR_MIN(object_bytes, start), run_end(r) * OBJPAGES_PAGE - start);
    struct objpages_below_page *down;
    struct buf key = {0};
    struct arena *a;

    if (got.len != due)
        return err_new(ERR_IO, "%.*s: %zu bytes where %zu were due",
                       SLICE_ARG(object_of(r->pages[0])), got.len, (size_t)due);
    down = mem_new_array(struct objpages_below_page, r->n + r->n_ahead);
    a = arena_new(0);
    for (size_t i = 0; i < r->n; i++) {
        size_t at = (size_t)(r->pages[i]->no * OBJPAGES_PAGE - start);

        down[i] = (struct objpages_below_page){r->pages[i]->key, object_bytes,
                                               slice_sub(got, ORR_MIN(at, got.len), OBJPAGES_PAGE)};
        publish(p, r->pages[i], copy_of(down[i].bytes), object_bytes);
    }
    for (size_t i = 0; i < r->n_ahead; i++) {
        size_t at = (size_t)(r->ahead[i].no * OBJPAGES_PAGE - start);

        down[r->n + i] =
            (struct objpages_below_page){arena_dup(a, key_of(&key, &r->ahead[i])), object_bytes,
                                         slice_sub(got, ORR_MIN(at, got.len), OBJPAGES_PAGE)};
    }
    if (p->opts.below)
        p->opts.below->put(p->opts.below->arg, down, r->n + r->n_ahead);
    mem_free(down);
    buf_done(&key);
    arena_free(a);
    return NULL;
}

/*
 * A range may begin in the object and reach over its end (the length of a last chunk is a guess): with the page that it begins in
 * here already, what is fetched begins past the end. The page before it says so; then there is nothing of these.
 */
static struct err *publish_past_end(struct objpages *p, struct run *r)
{
    uint64_t start = r->pages[0]->no * OBJPAGES_PAGE;
    struct objstore_get get = {.off = start - OBJPAGES_PAGE, .len = OBJPAGES_PAGE};
    struct objstore_info info;
    struct buf b = {0};
    struct err *e;

    METRIC_ADD(p->by_all.gets, 1);
    e = objstore_get(p->opts.store, object_of(r->pages[0]), &get, &b, &info);
    METRIC_ADD(p->by_all.fetched, b.len);
    if (!e)
        e = publish_run(p, r, SLICE_EMPTY, info.bytes);
    buf_done(&b);
    return e;
}

static void fetch_run(void *arg, size_t i)
{
    struct fetch *f = arg;
    struct run *r = &f->runs.ptr[i];
    uint64_t start = r->pages[0]->no * OBJPAGES_PAGE;
    struct objstore_get get = {
        .off = start, .len = run_end(r) * OBJPAGES_PAGE - start, .is_single = true};
    struct objstore_tally *before = objstore_tally_set(f->tally);
    struct objstore_info info;
    struct buf b = {0};

    METRIC_ADD(f->p->by_all.gets, 1);
    r->e = objstore_get(f->p->opts.store, object_of(r->pages[0]), &get, &b, &info);
    METRIC_ADD(f->p->by_all.fetched, b.len);
    if (!r->e) {
        r->e = publish_run(f->p, r, buf_slice(&b), info.bytes);
    } else if (err_is(r->e, ERR_INVALID) && r->pages[0]->goes_on) {
        err_free(r->e);
        r->e = publish_past_end(f->p, r);
    }
    (void)objstore_tally_set(before);
    if (err_is(r->e, ERR_INVALID)) {
        struct err *e = err_new(ERR_CORRUPT, "%s", err_msg(r->e));

        err_free(r->e);
        r->e = e;
    }
    for (size_t k = 0; r->e && k < r->n; k++)
        give_up(f->p, r->pages[k]);
    buf_done(&b);
    ahead_end(f->p, run_end(r) - held_end(r));
}

/* Takes pages that lie below out of the list. */
static size_t take_from_below(struct objpages *p, struct page **pages, size_t n)
{
    struct slice bytes;
    uint64_t object_bytes;
    size_t out = 0;

    for (size_t i = 0; i < n; i++) {
        if (p->opts.below->get(p->opts.below->arg, pages[i]->key, &bytes, &object_bytes)) {
            METRIC_ADD(p->by_all.below_hits, 1);
            publish(p, pages[i], bytes, object_bytes);
        } else {
            pages[out++] = pages[i];
        }
    }
    return out;
}

/* All of the pages are ours to fetch, and in order. */
static struct err *fetch_pages(struct objpages *p, struct page **pages, size_t n,
                               const struct objpages_range *ranges, size_t n_ranges,
                               bool *ret_has_read)
{
    struct fetch f = {.p = p, .tally = objstore_tally_get()};
    struct wants ahead = {0};
    bool is_ahead = false;
    struct err *e = NULL;

    if (p->opts.below && (n = take_from_below(p, pages, n)) > 0)
        ahead = wants_of(ranges, n_ranges, true);
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && slice_eq(object_of(pages[k]), object_of(pages[i])) &&
                        pages[k]->no - pages[k - 1]->no <= GAP_PAGES &&
                        pages[k]->no - pages[i]->no < RUN_PAGES;
             k++)
            ;
        vec_push(&f.runs, ((struct run){.pages = pages + i, .n = k - i}));
        /* the last one of an object: between two there is nothing that is ahead of both */
        if (ahead.v.len && (k == n || !slice_eq(object_of(pages[k]), object_of(pages[i])))) {
            go_on(p, &vec_last(&f.runs), &ahead, !is_ahead);
            is_ahead |= vec_last(&f.runs).n_ahead > 0;
        }
    }
    *ret_has_read |= f.runs.len > 0;
    if (f.runs.len == 1)
        fetch_run(&f, 0);
    else if (f.runs.len)
        job_parallel(p->pool, f.runs.len, fetch_run, &f);
    VEC_FOREACH (r, &f.runs)
        e = err_first(e, r->e);
    vec_done(&f.runs);
    vec_done(&ahead.v);
    return e;
}

/* ---- taking ---- */

static void give_back(struct objpages *p, struct page **pages, size_t n)
{
    lock_take(&p->lock);
    for (size_t i = 0; i < n; i++)
        unuse(p, pages[i]);
    trim(p, max_pages_bytes(p));
    lock_release(&p->lock);
}

/* References to all; those that were not here become ours to fetch. */
static size_t look(struct objpages *p, const struct want *w, size_t n, struct page **ret,
                   struct page **ret_mine)
{
    struct buf b = {0};
    size_t n_mine = 0;

    lock_take(&p->lock);
    for (size_t i = 0; i < n; i++) {
        struct slice key = key_of(&b, &w[i]);
        void **slot = map_slot(&p->map, key);

        if (*slot) {
            use(p, *slot);
            p->stats.hits++;
        } else {
            *slot = ret_mine[n_mine++] = page_new(&w[i], key);
            p->coming_bytes += OBJPAGES_PAGE;
            p->stats.misses++;
        }
        ret[i] = *slot;
    }
    trim(p, max_pages_bytes(p));
    lock_release(&p->lock);
    buf_done(&b);
    return n_mine;
}

/* Until others have fetched theirs; false: one of them has failed. */
static bool wait_for_all(struct objpages *p, struct page **pages, size_t n)
{
    bool is_well = true;

    lock_take(&p->lock);
    for (size_t i = 0; i < n; i++) {
        while (pages[i]->state == PAGE_COMING)
            lock_wait(&p->lock, &p->arrived);
        is_well &= pages[i]->state == PAGE_HERE;
    }
    lock_release(&p->lock);
    return is_well;
}

/* The pages of the ranges, which are in w already. */
static struct err *take(struct objpages *p, const struct want *w, size_t n,
                        const struct objpages_range *ranges, size_t n_ranges, struct page **ret,
                        bool *ret_has_read)
{
    struct page **mine = mem_new_array(struct page *, n + 1);
    struct err *e = NULL;
    bool is_well = false;

    for (int i = 0; !e && !is_well && i < FETCH_TRIES; i++) {
        size_t n_mine = look(p, w, n, ret, mine);

        e = n_mine ? fetch_pages(p, mine, n_mine, ranges, n_ranges, ret_has_read) : NULL;
        is_well = wait_for_all(p, ret, n) && !e;
        if (!is_well)
            give_back(p, ret, n);
    }
    mem_free((void *)mine);
    return e || is_well
               ? e
               : err_new(ERR_UNAVAILABLE, "others failed to read %.*s", SLICE_ARG(w[0].object));
}

/* ---- */

struct err *objpages_hold(struct objpages *p, const struct objpages_range *ranges, size_t n,
                          struct objpages_hold **ret)
{
    struct wants w = wants_of(ranges, n, false);
    struct objpages_hold *h = mem_new(struct objpages_hold);
    struct err *e = NULL;

    vec_reserve(&h->pages, w.v.len + 1);
    if (w.v.len && !(e = take(p, w.v.ptr, w.v.len, ranges, n, h->pages.ptr, &h->has_read)))
        h->pages.len = w.v.len;
    vec_done(&w.v);
    if (e)
        objpages_unhold(p, h);
    else
        *ret = h;
    return e;
}

void objpages_unhold(struct objpages *p, struct objpages_hold *h)
{
    if (!h)
        return;
    give_back(p, h->pages.ptr, h->pages.len);
    vec_done(&h->pages);
    mem_free(h);
}

bool objpages_hold_has_read(const struct objpages_hold *h)
{
    return h && h->has_read;
}

/* As by_place(), of a page and a key in two halves. */
static int cmp_place(const struct page *g, struct slice prefix, struct slice rest, uint64_t no)
{
    struct slice object = object_of(g);
    int c = slice_cmp(slice_sub(object, 0, prefix.len), prefix);

    if (c == 0)
        c = slice_cmp(slice_from(object, ORR_MIN(prefix.len, object.len)), rest);
    return c ? c : (g->no > no) - (g->no < no);
}

struct slice objpages_held(const struct objpages_hold *h, struct slice prefix, struct slice rest,
                           uint64_t off)
{
    size_t lo = 0, n = h->pages.len, skip = (size_t)(off % OBJPAGES_PAGE);

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;
        const struct page *g = h->pages.ptr[mid];
        int c = cmp_place(g, prefix, rest, off / OBJPAGES_PAGE);

        if (c == 0)
            return slice_from(slice_of(g->bytes, g->len), ORR_MIN(skip, g->len));
        if (c < 0)
            lo = mid + 1;
        else
            n = mid;
    }
    return SLICE_EMPTY;
}

struct err *objpages_read(struct objpages *p, struct slice object, uint64_t off, size_t len,
                          struct buf *ret, uint64_t *ret_object_bytes)
{
    struct objpages_range range = {object, off, len, false};
    struct wants w = wants_of(&range, 1, false);
    bool has_read = false;
    struct page **pages = mem_new_array(struct page *, w.v.len + 1);
    struct err *e = w.v.len ? take(p, w.v.ptr, w.v.len, &range, 1, pages, &has_read) : NULL;
    size_t skip = (size_t)(off % OBJPAGES_PAGE);

    buf_reset(ret);
    for (size_t i = 0; !e && i < w.v.len; i++) {
        struct slice b = slice_of(pages[i]->bytes, pages[i]->len);

        b = slice_from(b, ORR_MIN(skip, b.len));
        buf_slice_append(ret, slice_sub(b, 0, ORR_MIN(b.len, len - ret->len)));
        skip = 0;
        if (ret_object_bytes)
            *ret_object_bytes = pages[i]->object_bytes;
    }
    if (!e)
        give_back(p, pages, w.v.len);
    mem_free((void *)pages);
    vec_done(&w.v);
    return e;
}

/* With the lock: a page that is here out of the map; its key into out. */
static void put_out(struct objpages *p, struct page *g, struct buf *out)
{
    buf_lstr(out, g->key);
    (void)map_del(&p->map, g->key);
    g->is_out = true;
    use(p, g);
    unuse(p, g);
}

void objpages_distrust(struct objpages *p, struct slice prefix)
{
    VEC(struct page *) found = {0};
    struct buf keys = {0};
    struct reader r;

    lock_take(&p->lock);
    MAP_FOREACH (e, &p->map) {
        struct page *g = e->value;

        if (g->state == PAGE_HERE && slice_has_prefix(g->key, prefix))
            vec_push(&found, g);
    }
    VEC_FOREACH (g, &found)
        put_out(p, *g, &keys);
    lock_release(&p->lock);
    r = reader_new(buf_slice(&keys));
    while (p->opts.below && reader_left(&r))
        p->opts.below->drop(p->opts.below->arg, reader_lstr(&r));
    buf_done(&keys);
    vec_done(&found);
}

void objpages_charge(struct objpages *p, int64_t bytes)
{
    lock_take(&p->lock);
    p->stats.bytes += (size_t)bytes;
    p->stats.held_bytes += (size_t)bytes;
    trim(p, max_pages_bytes(p));
    lock_release(&p->lock);
}

size_t objpages_room(struct objpages *p)
{
    size_t room;

    lock_take(&p->lock);
    room = max_pages_bytes(p) - ORR_MIN(max_pages_bytes(p), p->stats.held_bytes);
    lock_release(&p->lock);
    return room;
}

bool objpages_keeps_ahead(const struct objpages *p)
{
    return p->opts.below != NULL;
}

void objpages_stats_get(struct objpages *p, struct objpages_stats *ret)
{
    lock_take(&p->lock);
    *ret = p->stats;
    lock_release(&p->lock);
    ret->gets = METRIC_GET(p->by_all.gets);
    ret->fetched = METRIC_GET(p->by_all.fetched);
    ret->below_hits = METRIC_GET(p->by_all.below_hits);
}

void objpages_free(struct objpages *p)
{
    if (!p)
        return;
    job_pool_free(p->pool);
    trim(p, 0);
    ORR_ASSERT(p->map.len == 0);
    map_done(&p->map);
    (void)pthread_cond_destroy(&p->arrived);
    lock_done(&p->lock);
    mem_free(p);
}
