#include "querier/store/blockset.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/spell.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/block/block_summary.h"
#include "querier/store/blockset_internal.h"

#define LOOK_THREADS 16

struct open_block {
    struct block_reader *reader;
    struct logblock *lines;    /* NULL: it has none */
    struct traceblock *traces; /* the same */
    char *key;
    unsigned users;
    uint64_t used_at;
    size_t bytes; /* of memory */
};

static bool close_oldest(void *arg);

/* ---- life ---- */

struct blockset *blockset_new(const struct blockset_opts *opts)
{
    struct blockset *bs = mem_new(struct blockset);

    bs->opts = *opts;
    bs->opts.local_root = mem_strdup(opts->local_root);
    bs->has_lines = slice_eq_cstr(opts->signal, "logs");
    bs->has_traces = slice_eq_cstr(opts->signal, "traces");
    if (!bs->opts.max_open)
        bs->opts.max_open = 1000;
    bs->share.give = close_oldest;
    bs->share.arg = bs;
    if (opts->room)
        blockset_room_join(opts->room, &bs->share);
    lock_init(&bs->lock, LOCK_CACHE);
    bs->lookout = lookout_new(opts->local_root ? 0 : LOOK_THREADS, blockset_look, bs);
    return bs;
}

static void open_block_free(struct blockset *bs, struct open_block *b)
{
    if (bs->opts.pages)
        objpages_charge(bs->opts.pages, -(int64_t)b->bytes);
    logblock_close(b->lines);
    traceblock_close(b->traces);
    block_reader_close(b->reader);
    mem_free(b->key);
    mem_free(b);
}

void blockset_free(struct blockset *bs)
{
    if (!bs)
        return;
    lookout_free(bs->lookout);
    MAP_FOREACH (e, &bs->tenants) {
        struct blockset_tenant *t = e->value;

        blockset_held_unref(t->held);
        lookout_state_done(&t->look);
        mem_free(t);
    }
    MAP_FOREACH (e, &bs->blocks)
        open_block_free(bs, e->value);
    map_done(&bs->tenants);
    map_done(&bs->blocks);
    lock_done(&bs->lock);
    mem_free((char *)bs->opts.local_root);
    mem_free(bs);
}

void blockset_stats_get(struct blockset *bs, struct blockset_stats *ret)
{
    lock_take(&bs->lock);
    *ret = bs->stats;
    ret->open = bs->blocks.len;
    ret->reader_bytes = atomic_load(&bs->share.bytes);
    lock_release(&bs->lock);
}

/* ---- readers ---- */

/* With the lock. */
static void count_reader(struct blockset *bs, int64_t bytes)
{
    (void)atomic_fetch_add(&bs->share.bytes, (size_t)bytes);
}

/* Takes out the least recently used; NULL: all are in use. */
static struct open_block *take_oldest(struct blockset *bs)
{
    struct open_block *oldest = NULL;

    lock_take(&bs->lock);
    MAP_FOREACH (e, &bs->blocks) {
        struct open_block *b = e->value;

        if (!b->users && (!oldest || b->used_at < oldest->used_at))
            oldest = b;
    }
    if (oldest) {
        (void)map_del(&bs->blocks, slice_cstr(oldest->key));
        count_reader(bs, -(int64_t)oldest->bytes);
    }
    lock_release(&bs->lock);
    return oldest;
}

static bool close_oldest(void *arg)
{
    struct blockset *bs = arg;
    struct open_block *victim = take_oldest(bs);

    if (victim)
        open_block_free(bs, victim);
    return victim != NULL;
}

static bool has_too_many(struct blockset *bs)
{
    struct blockset_stats st;

    blockset_stats_get(bs, &st);
    return st.open > bs->opts.max_open;
}

static void evict(struct blockset *bs)
{
    while (has_too_many(bs) && close_oldest(bs))
        continue;
    if (bs->opts.room)
        blockset_room_fit(bs->opts.room);
}

static struct open_block *find_open(struct blockset *bs, const char *key)
{
    struct open_block *b;

    lock_take(&bs->lock);
    b = map_get(&bs->blocks, slice_cstr(key));
    if (b) {
        b->users++;
        b->used_at = ++bs->tick;
    }
    lock_release(&bs->lock);
    return b;
}

static struct err *open_reader(struct blockset *bs, struct slice prefix, struct labels external,
                               struct block_reader **ret)
{
    const struct block_reader_opts opts = {.external = external};
    struct block_source *src;
    struct err *e;
    char *path;

    if (!bs->opts.local_root)
        return block_reader_open(block_source_pages(bs->opts.pages, bs->opts.heads, prefix), &opts,
                                 ret);
    path = mem_printf("%s/%.*s", bs->opts.local_root, SLICE_ARG(prefix));
    e = fsx_exists(path) ? block_source_dir(path, &src) : err_new(ERR_NOT_FOUND, "%s", path);
    mem_free(path);
    return e ? e : block_reader_open(src, &opts, ret);
}

/* Files that were swapped have all their checksums right; meta.json has none, and says what a reader goes by. */
static struct err *check_identity(const struct block_reader *r, const struct catalogue_block *b)
{
    const struct block_meta *m = block_reader_meta(r);

    if (!ulid_eq(m->ulid, b->ulid))
        return err_new(ERR_CORRUPT, "it says it is %s", ulid_print(m->ulid).s);
    if (m->min_t != b->min_t || m->max_t != b->max_t || m->resolution_ms != b->resolution_ms)
        return err_new(ERR_CORRUPT, BLOCK_META_FILE
                       ": it says another range of time, or resolution, than the catalogue");
    return NULL;
}

static struct slice dir_of(const struct blockset *bs, struct arena *a, struct slice tenant,
                           const struct catalogue_block *block)
{
    return block->dir.len ? block->dir
                          : block_store_prefix(a, bs->opts.signal, tenant, block->ulid);
}

/* ---- summaries ---- */

static struct err *read_summary(struct blockset *bs, const char *key, uint64_t bytes,
                                struct buf *ret)
{
    struct err *e;
    char *path;

    if (!bs->opts.local_root)
        return objpages_read(bs->opts.pages, slice_cstr(key), 0, (size_t)bytes, ret, NULL);
    path = mem_printf("%s/%s", bs->opts.local_root, key);
    e = fsx_read(path, BLOCK_SUMMARY_MAX_BYTES, ret);
    mem_free(path);
    return e;
}

/* Ends e: the block is opened instead, and if it is gone that shows there. */
static void note_bad_summary(struct blockset *bs, const char *key, struct err *e)
{
    if (bs->opts.pages && err_is(e, ERR_CORRUPT))
        objpages_distrust(bs->opts.pages, slice_cstr(key));
    LOG_WARN(store, "the summary of a block cannot be used", KV_STR("path", key), KV_ERR(e));
    err_free(e);
    lock_take(&bs->lock);
    bs->stats.bad_summaries++;
    lock_release(&bs->lock);
}

static bool may_match_any(const struct block_summary *s, const struct catalogue_block *block,
                          const struct blockset_filter *filter)
{
    for (size_t i = 0; i < filter->n; i++)
        if (block_summary_may_match(s, block->labels, filter->sets[i]))
            return true;
    return false;
}

/* Whether the block's summary says that it has nothing of what is looked for. */
static bool is_summed_out(struct blockset *bs, struct arena *a, struct slice tenant,
                          const struct catalogue_block *block, const struct blockset_filter *filter)
{
    struct block_summary s;
    struct buf b = {0};
    bool ret = false;
    struct slice dir;
    struct err *e;
    char *key;

    if (!filter || !filter->n || !block->summary_bytes ||
        block->summary_bytes > BLOCK_SUMMARY_MAX_BYTES)
        return false;
    dir = dir_of(bs, a, tenant, block);
    key = arena_printf(a, "%.*s/" BLOCK_SUMMARY_FILE, SLICE_ARG(dir));
    if (!(e = read_summary(bs, key, block->summary_bytes, &b)) &&
        !(e = block_summary_open(buf_slice(&b), block->ulid, &s)))
        ret = !may_match_any(&s, block, filter);
    if (err_is(e, ERR_UNSUPPORTED))
        err_free(e); /* of an older version: as if there were none */
    else if (e)
        note_bad_summary(bs, key, e);
    buf_done(&b);
    return ret;
}

/* More than when it was opened: what is read at first use. */
static size_t memory_of(const struct open_block *b)
{
    return block_reader_memory(b->reader) + (b->lines ? logblock_memory(b->lines) : 0) +
           (b->traces ? traceblock_memory(b->traces) : 0);
}

/* *ret NULL: nothing of it is wanted. */
static struct err *get_reader(struct blockset *bs, struct arena *a, struct slice tenant,
                              const struct catalogue_block *block,
                              const struct blockset_filter *filter, struct open_block **ret)
{
    struct ulid_text text = ulid_print(block->ulid);
    char *key = arena_printf(a, "%.*s/%s", SLICE_ARG(tenant), text.s);
    struct open_block *b, *other, *victim = NULL;
    struct err *e;

    if ((*ret = find_open(bs, key)) || is_summed_out(bs, a, tenant, block, filter))
        return NULL;
    b = mem_new(struct open_block);
    if ((e = open_reader(bs, dir_of(bs, a, tenant, block), block->labels, &b->reader)) ||
        (e = check_identity(b->reader, block)) ||
        (bs->has_lines && (e = logblock_open(b->reader, &b->lines))) ||
        (bs->has_traces && (e = traceblock_open(b->reader, &b->traces)))) {
        block_reader_close(b->reader);
        mem_free(b);
        return e;
    }
    b->key = mem_strdup(key);
    b->users = 1;
    b->bytes = memory_of(b);
    if (bs->opts.pages)
        objpages_charge(bs->opts.pages, (int64_t)b->bytes);
    lock_take(&bs->lock);
    if ((other = map_get(&bs->blocks, slice_cstr(key)))) {
        other->users++; /* another query was faster */
        *ret = other;
        victim = b;
    } else {
        map_put(&bs->blocks, slice_cstr(key), b);
        b->used_at = ++bs->tick;
        bs->stats.opened++;
        count_reader(bs, (int64_t)b->bytes);
        *ret = b;
    }
    lock_release(&bs->lock);
    if (victim)
        open_block_free(bs, victim);
    evict(bs);
    return NULL;
}

static void unuse(struct blockset *bs, struct open_block *b)
{
    size_t bytes = memory_of(b);
    int64_t more;

    lock_take(&bs->lock);
    more = (int64_t)bytes - (int64_t)b->bytes;
    b->bytes = bytes;
    b->users--;
    count_reader(bs, more);
    if (bs->opts.pages) /* before another may close it, and give back all */
        objpages_charge(bs->opts.pages, more);
    lock_release(&bs->lock);
}

void blockset_release(struct blockset *bs, struct blockset_view *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->handles[i])
            unuse(bs, v->handles[i]);
    evict(bs);
    *v = (struct blockset_view){0};
}

/* ---- views ---- */

struct opening {
    struct blockset *bs;
    struct slice tenant;
    struct objstore_tally *tally; /* of the thread that asks */
    const struct catalogue_block **blocks;
    const struct blockset_filter *filter;
    const struct blockset_chooser *chooser;
    const struct blockset_losses *losses;
    bool is_last; /* what is not there now is not going to be */
    struct open_block **handles;
    bool *is_elsewhere; /* by the chooser */
    struct err **errs;
    size_t n;
};

static void open_one(void *arg, size_t i)
{
    struct opening *o = arg;
    struct objstore_tally *before = objstore_tally_set(o->tally);
    struct arena *a = arena_new(0);

    o->is_elsewhere[i] = o->chooser && !o->chooser->is_here(o->chooser->arg, o->blocks[i]);
    if (!o->is_elsewhere[i])
        o->errs[i] = get_reader(o->bs, a, o->tenant, o->blocks[i], o->filter, &o->handles[i]);
    (void)objstore_tally_set(before);
    arena_free(a);
}

static void run_opening(struct opening *o)
{
    if (o->bs->opts.jobs && o->n > 1)
        job_parallel(o->bs->opts.jobs, o->n, open_one, o);
    else
        for (size_t i = 0; i < o->n; i++)
            open_one(o, i);
}

static bool is_gone(const struct err *e)
{
    return err_is(e, ERR_NOT_FOUND) || err_errnum_of(e) == ENOENT;
}

/* Takes the error of a block that can be done without. */
static bool is_lost(struct opening *o, size_t i)
{
    struct err *e = o->errs[i];

    if (!o->losses || !(err_is(e, ERR_CORRUPT) || (o->is_last && is_gone(e))) ||
        !o->losses->allows(o->losses->arg, o->blocks[i], e))
        return false;
    err_free(e);
    return true;
}

/* What was opened goes into the view, also when others were not. */
static struct err *take_opened(struct opening *o, struct arena *a, struct catalogue_block *metas,
                               struct blockset_view *v)
{
    struct open_block **handles = v->handles;
    struct err *e = NULL;

    for (size_t i = 0; i < o->n; i++) {
        if (o->errs[i] && is_lost(o, i))
            continue;
        if (o->errs[i]) {
            e = err_first(e, err_wrap(o->errs[i], "block %s", ulid_print(o->blocks[i]->ulid).s));
            continue;
        }
        if (!o->handles[i] && !o->is_elsewhere[i]) {
            v->skipped[BLOCK_SKIP_SUMMARY]++;
            continue;
        }
        handles[v->n] = o->handles[i];
        v->readers[v->n] = o->handles[i] ? o->handles[i]->reader : NULL;
        if (v->lines)
            v->lines[v->n] = o->handles[i] ? o->handles[i]->lines : NULL;
        if (v->traces)
            v->traces[v->n] = o->handles[i] ? o->handles[i]->traces : NULL;
        metas[v->n] = *o->blocks[i];
        metas[v->n].segments = NULL; /* the catalogue's, which may go */
        metas[v->n].n_segments = 0;
        metas[v->n].dir = arena_dup(a, o->blocks[i]->dir);
        metas[v->n].labels = labels_dup(a, o->blocks[i]->labels);
        metas[v->n].origin.zone = arena_dup(a, o->blocks[i]->origin.zone);
        metas[v->n].origin.instance = arena_dup(a, o->blocks[i]->origin.instance);
        v->n++;
    }
    return e;
}

/* What is asked for. */
struct want {
    int64_t min_ms, max_ms;
    bool by_tiers;
    unsigned max_tier;
    int64_t reach_ms;
    const struct blockset_filter *filter;
    const struct tier_cuts *cuts;
    const struct blockset_chooser *chooser;
    const struct blockset_losses *losses;
};

static bool is_in_time(const struct want *w, const struct catalogue_block *b)
{
    bool reaches = w->by_tiers && tier_of(b->resolution_ms) > 0;
    int64_t min_ms = reaches ? w->min_ms - w->reach_ms : w->min_ms;

    return b->min_t <= w->max_ms && b->max_t > min_ms;
}

static bool is_labelled_out(const struct want *w, const struct catalogue_block *b)
{
    if (!w->filter || !w->filter->n)
        return false;
    for (size_t i = 0; i < w->filter->n; i++)
        if (block_skip_labels_may_match(b->labels, w->filter->sets[i]))
            return false;
    return true;
}

/* By the catalogue's word; counts why not. */
static bool is_wanted(const struct want *w, struct blockset_view *v,
                      const struct catalogue_block *b)
{
    unsigned tier = tier_of(b->resolution_ms);

    if (!is_in_time(w, b)) {
        v->skipped[BLOCK_SKIP_TIME]++;
        return false;
    }
    if (is_labelled_out(w, b)) {
        v->skipped[BLOCK_SKIP_LABELS]++;
        return false;
    }
    for (size_t i = 0; i < v->n_spans; i++)
        if (v->spans[i].tier == tier && b->min_t <= v->spans[i].max_ms &&
            b->max_t > v->spans[i].min_ms)
            return true;
    return v->n_spans == 0;
}

static struct err *open_all(struct blockset *bs, struct arena *a, const struct blockset_held *h,
                            const struct want *w, bool is_last, struct blockset_view *v)
{
    struct opening o = {.bs = bs,
                        .tenant = catalogue_tenant(h->c),
                        .tally = objstore_tally_get(),
                        .filter = w->filter,
                        .chooser = w->chooser,
                        .losses = w->losses,
                        .is_last = is_last};
    const struct catalogue *c = h->c;
    struct catalogue_block *metas;
    size_t n;
    const struct catalogue_block *all = catalogue_blocks(c, &n);

    o.blocks = arena_array(a, const struct catalogue_block *, n);
    v->version = catalogue_version(c);
    if (w->by_tiers && h->tiers && w->min_ms <= w->max_ms)
        v->spans = tiers_choose(h->tiers, a, w->min_ms - w->reach_ms, w->max_ms, w->max_tier,
                                w->cuts, &v->n_spans, &v->is_coarser);
    for (size_t i = 0; i < n; i++)
        if (is_wanted(w, v, &all[i]))
            o.blocks[o.n++] = &all[i];
    o.handles = arena_array(a, struct open_block *, o.n);
    o.errs = arena_array(a, struct err *, o.n);
    o.is_elsewhere = arena_array(a, bool, o.n);
    v->meta = metas = arena_array(a, struct catalogue_block, o.n);
    v->readers = arena_array(a, struct block_reader *, o.n);
    if (bs->has_lines)
        v->lines = arena_array(a, struct logblock *, o.n);
    if (bs->has_traces)
        v->traces = arena_array(a, struct traceblock *, o.n);
    v->handles = arena_array(a, struct open_block *, o.n);
    run_opening(&o);
    return take_opened(&o, a, metas, v);
}

struct err *blockset_gone(struct err *e)
{
    struct err *ret = err_new(ERR_UNAVAILABLE, "%s", err_msg(e));

    err_free(e);
    return ret;
}

static struct err *take(struct blockset *bs, struct arena *a, struct slice tenant,
                        const struct newness_need *need, const struct want *w,
                        struct blockset_view *ret)
{
    struct newness_need now = *need;
    struct err *e = NULL;

    for (int attempt = 0; attempt < BLOCKSET_ATTEMPTS; attempt++) {
        struct blockset_view v = {0};
        struct blockset_held *h;

        err_free(e);
        if ((e = blockset_catalogue(bs, tenant, &now, &h, &v.is_stale)))
            return e;
        e = open_all(bs, a, h, w, attempt + 1 == BLOCKSET_ATTEMPTS, &v);
        blockset_held_unref(h);
        if (!e) {
            *ret = v;
            return NULL;
        }
        blockset_release(bs, &v);
        if (!is_gone(e))
            return e;
        /* Compacted away since the catalogue was read: look again. */
        now.not_before_ns = clock_mono_ns(&clock_system);
    }
    return blockset_gone(e);
}

struct err *blockset_take(struct blockset *bs, struct arena *a, struct slice tenant,
                          const struct newness_need *need, int64_t min_ms, int64_t max_ms,
                          const struct blockset_filter *filter, struct blockset_view *ret)
{
    return take(bs, a, tenant, need,
                &(struct want){.min_ms = min_ms, .max_ms = max_ms, .filter = filter}, ret);
}

struct err *blockset_take_tiers(struct blockset *bs, struct arena *a, struct slice tenant,
                                const struct newness_need *need, int64_t min_ms, int64_t max_ms,
                                unsigned max_tier, int64_t reach_ms, const struct tier_cuts *cuts,
                                const struct blockset_filter *filter,
                                const struct blockset_chooser *chooser,
                                const struct blockset_losses *losses, struct blockset_view *ret)
{
    return take(bs, a, tenant, need,
                &(struct want){.min_ms = min_ms,
                               .max_ms = max_ms,
                               .by_tiers = true,
                               .max_tier = max_tier,
                               .reach_ms = reach_ms,
                               .cuts = cuts,
                               .filter = filter,
                               .chooser = chooser,
                               .losses = losses},
                ret);
}

struct err *blockset_open(struct blockset *bs, struct arena *a, struct slice tenant,
                          const struct catalogue_block *block, const struct blockset_filter *filter,
                          struct blockset_view *ret)
{
    struct open_block *b;
    struct err *e = get_reader(bs, a, tenant, block, filter, &b);

    if (e)
        return err_wrap(e, "block %s", ulid_print(block->ulid).s);
    *ret = (struct blockset_view){.meta = block, .n = b != NULL};
    ret->skipped[BLOCK_SKIP_SUMMARY] = !b;
    if (!b)
        return NULL;
    ret->readers = arena_array(a, struct block_reader *, 1);
    ret->handles = arena_array(a, struct open_block *, 1);
    ret->readers[0] = b->reader;
    ret->handles[0] = b;
    if (bs->has_lines) {
        ret->lines = arena_array(a, struct logblock *, 1);
        ret->lines[0] = b->lines;
    }
    if (bs->has_traces) {
        ret->traces = arena_array(a, struct traceblock *, 1);
        ret->traces[0] = b->traces;
    }
    return NULL;
}
