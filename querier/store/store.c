#include "querier/store/store.h"

#include "common/base/clock.h"
#include "common/base/metric.h"
#include "common/block/block_store.h"
#include "querier/store/blockloss.h"
#include "querier/store/source_owned.h"
#include "querier/store/store_internal.h"
#include "querier/store/tier_pick.h"
#include "querier/store/tombstone_filter.h"

#define BLOCK_CACHE_BYTES (256u << 20)
#define BLOCK_THREADS 8 /* that wait for answers of the object store, of several blocks at a time */
#define FRESH_ATTEMPTS 4   /* at a catalogue whose blocks are there */
#define BLOCKS_QUEUED 1024 /* more and a query reads its blocks alone */

static void open_disk(struct store *s, const struct store_opts *opts)
{
    char *pages = mem_printf("%s/pages", opts->block_disk_dir);
    char *heads = mem_printf("%s/heads", opts->block_disk_dir);

    if (opts->block_disk_bytes)
        s->disk = page_disk_open(pages, opts->block_disk_bytes);
    if (opts->block_heads_bytes)
        s->heads = block_heads_new(heads, opts->block_heads_bytes);
    mem_free(pages);
    mem_free(heads);
}

static void open_pages(struct store *s, const struct store_opts *opts)
{
    if (opts->block_disk_dir)
        open_disk(s, opts);
    s->jobs = job_pool_new("block", BLOCK_THREADS, BLOCKS_QUEUED);
    s->pages = objpages_new(&(struct objpages_opts){
        .store = opts->objstore,
        .max_bytes = opts->block_cache_bytes ? opts->block_cache_bytes : BLOCK_CACHE_BYTES,
        .below = s->disk ? page_disk_below(s->disk) : NULL});
    s->room = blockset_room_new(s->pages);
}

static struct blockset *new_blockset(struct store *s, struct slice signal,
                                     const struct store_opts *opts)
{
    return blockset_new(&(struct blockset_opts){.signal = signal,
                                                .objstore = opts->objstore,
                                                .local_root = opts->local_root,
                                                .pages = s->pages,
                                                .room = s->room,
                                                .heads = s->heads,
                                                .jobs = s->jobs,
                                                .max_open = opts->max_open_blocks});
}

struct store *store_new(const struct store_opts *opts)
{
    struct store *s = mem_new(struct store);

    s->opts = *opts;
    s->opts.local_root = s->opts.block_disk_dir = NULL;
    s->opts.self = mem_strdup(opts->self);
    s->suspects = fanout_suspects_new();
    s->owner_suspects = fanout_suspects_new();
    if (!opts->queriers || opts->local_root)
        s->opts.block_replication = 0;
    if (opts->objstore && !opts->local_root)
        open_pages(s, opts);
    if (opts->objstore) {
        s->blocks = new_blockset(s, SLICE("metrics"), opts);
        s->log_blocks = new_blockset(s, SLICE("logs"), opts);
        s->trace_blocks = new_blockset(s, SLICE("traces"), opts);
    }
    if (opts->objstore) {
        s->tombs = tombset_new(opts->objstore, SLICE("metrics"), opts->tombstone_max_age_ms,
                               !opts->local_root);
        s->log_tombs = tombset_new(opts->objstore, SLICE("logs"), opts->tombstone_max_age_ms,
                                   !opts->local_root);
    }
    if (s->blocks && opts->server)
        s->serve = block_serve_new(s->blocks, opts->server);
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    block_serve_free(s->serve);
    blockset_free(s->blocks);
    blockset_free(s->log_blocks);
    blockset_free(s->trace_blocks);
    blockset_room_free(s->room);
    job_pool_free(s->jobs);
    objpages_free(s->pages);
    page_disk_close(s->disk);
    block_heads_free(s->heads);
    tombset_free(s->tombs);
    tombset_free(s->log_tombs);
    fanout_suspects_free(s->suspects);
    fanout_suspects_free(s->owner_suspects);
    mem_free((void *)s->opts.self);
    mem_free(s);
}

void store_hint(struct store *s, struct slice signal, struct slice tenant, uint64_t version)
{
    struct blockset *bs = slice_eq_cstr(signal, "metrics")  ? s->blocks
                          : slice_eq_cstr(signal, "logs")   ? s->log_blocks
                          : slice_eq_cstr(signal, "traces") ? s->trace_blocks
                                                            : NULL;

    if (bs)
        blockset_hint(bs, tenant, version);
}

void store_hint_tombstones(struct store *s, struct slice signal, struct slice tenant,
                           uint64_t version)
{
    struct tombset *ts = slice_eq_cstr(signal, "metrics") ? s->tombs
                         : slice_eq_cstr(signal, "logs")  ? s->log_tombs
                                                          : NULL;

    if (ts)
        tombset_hint(ts, tenant, version);
}

void store_stats_get(struct store *s, struct store_stats *ret)
{
    *ret = (struct store_stats){.selects = __atomic_load_n(&s->selects, __ATOMIC_RELAXED),
                                .failures = __atomic_load_n(&s->failures, __ATOMIC_RELAXED),
                                .tier_blocks = {METRIC_GET(s->tier_blocks[0]),
                                                METRIC_GET(s->tier_blocks[1]),
                                                METRIC_GET(s->tier_blocks[2])},
                                .stragglers = fanout_suspects_count(s->suspects)};
    ret->lost_blocks = METRIC_GET(s->lost_blocks);
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        ret->skipped[i] = METRIC_GET(s->skipped[i]);
    ret->owned =
        (struct store_owned_stats){METRIC_GET(s->owned.own), METRIC_GET(s->owned.asked),
                                   METRIC_GET(s->owned.failed), METRIC_GET(s->owned.returned)};
    if (s->serve)
        block_serve_stats_get(s->serve, &ret->serve);
    if (s->blocks)
        blockset_stats_get(s->blocks, &ret->blocks);
    if (s->log_blocks)
        blockset_stats_get(s->log_blocks, &ret->log_blocks);
    if (s->trace_blocks)
        blockset_stats_get(s->trace_blocks, &ret->trace_blocks);
    store_logs_stats_get(s, &ret->logs);
    store_traces_stats_get(s, &ret->traces);
    if (s->tombs)
        tombset_stats_get(s->tombs, &ret->tombstones);
    if (s->log_tombs)
        tombset_stats_get(s->log_tombs, &ret->log_tombstones);
    if (s->pages)
        objpages_stats_get(s->pages, &ret->pages);
    if (s->heads)
        block_heads_stats_get(s->heads, &ret->heads);
    if (s->disk)
        page_disk_stats_get(s->disk, &ret->disk);
}

void store_query_warn(struct store_query *sq, struct slice text)
{
    VEC_FOREACH (w, &sq->warnings) {
        if (slice_eq(*w, text))
            return;
    }
    if (sq->warnings.len == STORE_QUERY_WARNINGS)
        return;
    vec_reserve(&sq->warnings, STORE_QUERY_WARNINGS - sq->warnings.len); /* sets have lent them */
    vec_push(&sq->warnings, arena_dup(sq->opts.arena, text));
}

void store_query_lend_warnings(const struct store_query *sq, struct series_set *set)
{
    set->warnings = sq->warnings.ptr;
    set->n_warnings = sq->warnings.len;
}

/* ---- asking ---- */

/* whole: a reference, taken over. */
static struct err *ask(struct store_query *sq, struct ring *whole, const char *method,
                       struct slice payload, int64_t since_ms, struct fanout **ret)
{
    struct store *s = sq->store;
    struct ring *ring;
    struct fanout_opts opts = {.pool = s->opts.pool,
                               .loop = s->opts.loop,
                               .method = method,
                               .tenant = sq->opts.tenant,
                               .payload = payload,
                               .deadline_mono_ms = sq->opts.deadline_mono_ms,
                               .cancel = sq->opts.cancel,
                               .straggler_ms = s->opts.straggler_ms,
                               .suspects = s->suspects};

    ring = ring_subring(whole, sq->opts.tenant, sq->opts.shard_size, since_ms);
    ring_unref(whole);
    opts.ring = ring;
    ring_read_set(ring, since_ms, &opts.set);
    if (opts.set.n == 0) { /* nobody is known yet: an empty answer would be a lie */
        ring_read_set_done(&opts.set);
        ring_unref(ring);
        return err_new(ERR_UNAVAILABLE, "no ingester is known");
    }
    *ret = fanout_start(&opts);
    ring_unref(ring);
    return NULL;
}

struct err *store_ask(struct store_query *sq, const char *method, struct slice payload,
                      struct fanout **ret)
{
    const struct store_opts *o = &sq->store->opts;

    *ret = NULL;
    if (!o->ring)
        return NULL;
    return ask(sq, o->ring(o->ring_arg), method, payload,
               clock_wall_ms(&clock_system) - o->ingester_lookback_ms, ret);
}

struct err *store_ask_logs(struct store_query *sq, const char *method, struct slice payload,
                           int64_t since_ms, struct fanout **ret)
{
    const struct store_opts *o = &sq->store->opts;

    *ret = NULL;
    if (!o->logs_ring)
        return err_new(ERR_UNAVAILABLE, "no ingester is known that takes log lines");
    if (sq->store->log_blocks) /* what came before is in those */
        since_ms = ORR_MAX(since_ms, clock_wall_ms(&clock_system) - o->ingester_lookback_ms);
    return ask(sq, o->logs_ring(o->logs_ring_arg), method, payload, since_ms, ret);
}

struct err *store_ask_traces(struct store_query *sq, const char *method, struct slice payload,
                             struct fanout **ret)
{
    const struct store_opts *o = &sq->store->opts;
    int64_t since_ms = 0;

    *ret = NULL;
    if (!o->traces_ring)
        return err_new(ERR_UNAVAILABLE, "no ingester is known that takes spans");
    if (sq->store->trace_blocks) /* what came before is in those */
        since_ms = clock_wall_ms(&clock_system) - o->ingester_lookback_ms;
    return ask(sq, o->traces_ring(o->traces_ring_arg), method, payload, since_ms, ret);
}

void store_heard(struct store_query *sq, struct fanout *f)
{
    if (f)
        sq->dropped_by = ORR_MAX(sq->dropped_by, fanout_mark(f));
}

/* Which catalogue is new enough. */
static struct newness_need catalogue_need(const struct store_query *sq)
{
    int64_t max_age_ns = sq->store->opts.catalogue_max_age_ms * NS_PER_MS;

    return (struct newness_need){clock_mono_ns(&clock_system) - max_age_ns, sq->dropped_by};
}

struct newness_need store_need_of(struct store_query *sq, uint64_t dropped_by,
                                  int64_t *io_not_before_ns)
{
    if (!*io_not_before_ns)
        *io_not_before_ns =
            clock_mono_ns(&clock_system) - sq->store->opts.catalogue_max_age_ms * NS_PER_MS;
    return (struct newness_need){*io_not_before_ns, dropped_by};
}

void store_warn_if_stale(struct store_query *sq, const struct blockset_view *v)
{
    if (v->is_stale)
        store_query_warn(sq,
                         SLICE("the object store did not answer: blocks newer than the last known "
                               "catalogue are missing, if there are any"));
}

static struct series_budget *budget_of(struct store_query *sq)
{
    return sq->charged ? sq->charged : &sq->budget;
}

void store_count_skipped(struct store_query *sq, enum block_skip reason, uint64_t n)
{
    METRIC_ADD(sq->store->skipped[reason], n);
    METRIC_ADD(budget_of(sq)->skipped[reason], n);
}

static void count_view(struct store_query *sq, const struct blockset_view *v)
{
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        store_count_skipped(sq, (enum block_skip)i, v->skipped[i]);
}

struct err *store_take_blocks(struct store_query *sq, int64_t min_ms, int64_t max_ms,
                              const struct blockset_filter *filter, struct blockset_view *ret)
{
    struct newness_need need = catalogue_need(sq);
    struct store *s = sq->store;
    struct err *e;

    *ret = (struct blockset_view){0};
    if (!s->blocks)
        return NULL;
    if ((e = blockset_take(s->blocks, sq->opts.arena, sq->opts.tenant, &need, min_ms, max_ms,
                           filter, ret)))
        return e;
    store_warn_if_stale(sq, ret);
    count_view(sq, ret);
    return NULL;
}

struct err *store_read_sidecar(struct store_query *sq, const struct block_reader *r,
                               const char *name, struct slice *ret)
{
    const struct block_meta *m = block_reader_meta(r);
    struct slice prefix;
    struct buf b = {0};
    struct err *e;

    *ret = SLICE_EMPTY;
    if (!block_meta_has_sidecar(m, name))
        return NULL;
    prefix = block_store_prefix(sq->opts.arena, SLICE("metrics"), sq->opts.tenant, m->ulid);
    e = objstore_get(sq->store->opts.objstore,
                     slice_cstr(arena_printf(sq->opts.arena, "%.*s/%s", SLICE_ARG(prefix), name)),
                     NULL, &b, NULL);
    if (!e)
        *ret = arena_dup(sq->opts.arena, buf_slice(&b));
    buf_done(&b);
    return e;
}

/* ---- selecting ---- */

/* What an open series set stands on. */
struct selection {
    struct store_query *sq;
    struct fanout *f;
    struct blockset_view blocks;
    struct ring *queriers; /* NULL: all blocks are read here */
    struct blockloss loss;
    bool is_last; /* what is not there now is not going to be */
};

static void selection_done(void *arg)
{
    struct selection *sel = arg;

    if (sel->f)
        sel->sq->failed_streams += fanout_failed(sel->f);
    sel->sq->lost_blocks += sel->loss.known.len;
    blockloss_done(&sel->loss);
    fanout_close(sel->f);
    if (sel->sq->store->blocks)
        blockset_release(sel->sq->store->blocks, &sel->blocks);
    ring_unref(sel->queriers);
    mem_free(sel);
}

struct ask {
    struct matchers ms;
    int64_t min_ms, max_ms;
    bool labels_only, newest_only;
    struct series_keying keying;
    struct tier_pick pick; /* {0}: samples, where there are any */
    int64_t reach_ms;      /* how long before min_ms a point may be that is still seen there */
    struct tier_cuts cuts; /* by deletions */
};

static struct rpc_select select_of(const struct store_query *sq, const struct ask *ask)
{
    return (struct rpc_select){.kind = ask->labels_only ? RPC_SELECT_LABELS : RPC_SELECT_CHUNKS,
                               .matchers = ask->ms,
                               .min_ms = ask->min_ms,
                               .max_ms = ask->max_ms,
                               .max_series = sq->budget.max_series,
                               .max_bytes = sq->budget.max_bytes,
                               .is_keyed = ask->keying.is_keyed,
                               .names = ask->keying.names,
                               .n_names = ask->keying.n_names,
                               .shard_index = ask->keying.shard_index,
                               .shard_count = ask->keying.shard_count,
                               .newest_only = ask->newest_only};
}

static struct err *start_peers(struct selection *sel, const struct ask *ask)
{
    struct rpc_select rs = select_of(sel->sq, ask);
    struct buf b = {0};
    struct err *e;

    rpc_select_encode(&b, &rs);
    e = store_ask(sel->sq, "ingester.select", buf_slice(&b), &sel->f);
    buf_done(&b);
    if (e || !sel->f || (e = fanout_wait(sel->f)))
        return e;
    /* From here on each ingester's answer is fixed: see the header on the seam. */
    store_heard(sel->sq, sel->f);
    return NULL;
}

/* ---- blocks and who reads them ---- */

unsigned store_askable_owners(struct store_query *sq, const struct ring *queriers, struct ulid ulid,
                              uint16_t ret[BLOCK_OWNERS_MAX])
{
    struct store *s = sq->store;
    uint16_t owners[BLOCK_OWNERS_MAX];
    unsigned n = 0, found = block_owners_of(queriers, sq->opts.tenant, ulid,
                                            s->opts.block_replication, owners);

    for (unsigned i = 0; i < found; i++) {
        const char *who = ring_member(queriers, owners[i])->instance;

        if (strcmp(who, s->opts.self) == 0)
            return 0;
        if (!fanout_suspects_has(s->owner_suspects, who))
            ret[n++] = owners[i];
    }
    return n;
}

static unsigned askable_owners(const struct selection *sel, const struct catalogue_block *b,
                               uint16_t ret[BLOCK_OWNERS_MAX])
{
    return store_askable_owners(sel->sq, sel->queriers, b->ulid, ret);
}

static bool is_read_here(void *arg, const struct catalogue_block *b)
{
    uint16_t owners[BLOCK_OWNERS_MAX];

    return askable_owners(arg, b, owners) == 0;
}

/* What has no reader in the view. Who was not askable when the view was made may be so now, and the other way round:
 * without anybody a block is asked of its owners all the same. */
static void ask_owners(struct selection *sel, const struct ask *ask, struct series_source **srcs)
{
    struct store *s = sel->sq->store;

    for (size_t i = 0; i < sel->blocks.n; i++) {
        struct source_owned_opts opts = {.sq = sel->sq,
                                         .ring = sel->queriers,
                                         .block = &sel->blocks.meta[i],
                                         .select = select_of(sel->sq, ask),
                                         .n_together = sel->blocks.n};
        uint16_t owners[BLOCK_OWNERS_MAX];

        if (sel->blocks.readers[i]) {
            METRIC_ADD(s->owned.own, s->opts.block_replication > 0);
            continue;
        }
        opts.owners = owners;
        opts.n_owners = askable_owners(sel, opts.block, owners);
        if (!opts.n_owners)
            opts.n_owners = block_owners_of(sel->queriers, sel->sq->opts.tenant, opts.block->ulid,
                                            s->opts.block_replication, owners);
        METRIC_ADD(s->owned.asked, 1);
        srcs[i] = series_source_owned(&opts);
    }
}

static struct err *first_of(struct err **errs, size_t n)
{
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++)
        e = err_first(e, errs[i]);
    return e;
}

/* Blocks of one select, opened side by side when they are not at hand. */
struct opening {
    struct selection *sel;
    const struct ask *ask;
    struct objstore_tally *tally; /* of the thread that asks */
    struct series_source **srcs;
    struct err **errs;
    size_t n_here; /* without those that are asked of others */
};

static void open_block(void *arg, size_t i)
{
    struct opening *o = arg;
    struct objstore_tally *before;

    if (!o->sel->blocks.readers[i]) /* asked of an owner */
        return;
    before = objstore_tally_set(o->tally);
    o->errs[i] =
        series_source_block(o->sel->blocks.readers[i], o->ask->ms, o->ask->min_ms, o->ask->max_ms,
                            o->ask->labels_only, &o->ask->keying, o->n_here, &o->srcs[i]);
    (void)objstore_tally_set(before);
}

/* *io_src becomes NULL when none of the owners can read the block, nor this querier, and it can be done without. */
static struct err *begin_owned(struct selection *sel, size_t i, struct series_source **io_src)
{
    struct err *e = series_source_owned_begin(*io_src);

    if (!blockloss_is_of_block(e) || (err_is(e, ERR_NOT_FOUND) && !sel->is_last) ||
        !blockloss_allows(&sel->loss, &sel->blocks.meta[i], e))
        return e;
    err_free(e);
    (*io_src)->ops->close(*io_src);
    *io_src = NULL;
    return NULL;
}

static struct err *open_blocks(struct selection *sel, const struct ask *ask,
                               struct series_source **srcs, size_t *io_n)
{
    size_t n = sel->blocks.n, opened = 0;
    struct opening o = {
        sel, ask, objstore_tally_get(), srcs + *io_n, mem_new_array(struct err *, n + 1), 0};
    struct err *e;

    memset((void *)o.srcs, 0, n * sizeof(*o.srcs));
    ask_owners(sel, ask, o.srcs);
    for (size_t i = 0; i < n; i++)
        o.n_here += sel->blocks.readers[i] != NULL;
    if (sel->sq->store->jobs && n > 1)
        job_parallel(sel->sq->store->jobs, n, open_block, &o);
    else
        for (size_t i = 0; i < n; i++)
            open_block(&o, i);
    for (size_t i = 0; i < n; i++)
        if (blockloss_is_of_block(o.errs[i]) &&
            blockloss_allows(&sel->loss, &sel->blocks.meta[i], o.errs[i])) {
            err_free(o.errs[i]);
            o.errs[i] = NULL;
        }
    e = first_of(o.errs, n);
    for (size_t i = 0; i < n; i++) {
        struct series_source *src = o.srcs[i];

        if (!e && src && !sel->blocks.readers[i])
            e = begin_owned(sel, i, &src);
        if (src)
            o.srcs[opened++] = blockloss_source(&sel->loss, &sel->blocks.meta[i], src);
    }
    *io_n += opened;
    mem_free((void *)o.errs);
    return e;
}

/* What is answered by points where samples were asked for is told. */
static void warn_of_points(struct store_query *sq, const struct ask *ask)
{
    if (ask->pick.is_fit)
        store_query_warn(sq, SLICE("samples of a part of the range have expired: aggregates of 5 "
                                   "minutes or an hour are used there"));
    else
        store_query_warn(sq, SLICE("samples of a part of the range have expired: averages over 5 "
                                   "minutes or an hour are used there, of which the function may "
                                   "not make what it would of samples"));
}

static struct err *take_tiers(struct selection *sel, const struct ask *ask,
                              const struct newness_need *need)
{
    const struct blockset_filter filter = {&ask->ms, 1};
    struct blockset_chooser chooser = {is_read_here, sel};
    const struct blockset_losses losses = {blockloss_allows, &sel->loss};
    struct blockset_view *ret = &sel->blocks;
    struct store_query *sq = sel->sq;
    struct store *s = sq->store;
    struct err *e;

    *ret = (struct blockset_view){0};
    if (!s->blocks)
        return NULL;
    e = blockset_take_tiers(s->blocks, sq->opts.arena, sq->opts.tenant, need, ask->min_ms,
                            ask->max_ms, ask->pick.max_tier, ask->reach_ms, &ask->cuts, &filter,
                            sel->queriers ? &chooser : NULL, &losses, ret);
    if (e)
        return e;
    store_warn_if_stale(sq, ret);
    count_view(sq, ret);
    if (ret->is_coarser && !ask->labels_only)
        warn_of_points(sq, ask);
    for (size_t i = 0; i < ret->n; i++) {
        unsigned tier = tier_of(ret->meta[i].resolution_ms);

        METRIC_ADD(s->tier_blocks[tier], 1);
        METRIC_ADD(budget_of(sq)->tier_blocks[tier], 1);
    }
    return NULL;
}

/* The sources of ingesters and blocks; *ret is to be freed, and on failure the sources to be closed. */
static struct err *open_sources(struct selection *sel, const struct ask *ask,
                                const struct newness_need *need, struct series_source ***ret,
                                size_t *ret_n)
{
    size_t n = 0, n_peers = sel->f ? fanout_streams(sel->f) : 0;
    struct err *e = take_tiers(sel, ask, need);
    struct series_source **srcs;

    *ret_n = 0;
    *ret = NULL;
    if (e)
        return e;
    *ret = srcs = mem_new_array(struct series_source *, n_peers + sel->blocks.n + 1);
    for (size_t i = 0; i < n_peers; i++)
        srcs[n++] = series_source_peer(sel->f, i, ask->keying.is_keyed);
    e = open_blocks(sel, ask, srcs, &n);
    *ret_n = n;
    return e;
}

static void close_sources(struct series_source **srcs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        srcs[i]->ops->close(srcs[i]);
    mem_free((void *)srcs);
}

/* A block that its owners found gone was compacted away since the catalogue was read: again from a fresh one. */
static struct err *open_fresh(struct selection *sel, const struct ask *ask,
                              struct series_source ***ret, size_t *ret_n)
{
    struct store *s = sel->sq->store;
    struct newness_need need = catalogue_need(sel->sq);
    struct err *e;

    for (int attempt = 1;; attempt++) {
        sel->is_last = attempt == FRESH_ATTEMPTS;
        if (!(e = open_sources(sel, ask, &need, ret, ret_n)))
            return NULL;
        close_sources(*ret, *ret_n);
        if (!sel->queriers || !err_is(e, ERR_NOT_FOUND) || attempt == FRESH_ATTEMPTS)
            return err_is(e, ERR_NOT_FOUND) ? blockset_gone(e) : e;
        err_free(e);
        blockset_release(s->blocks, &sel->blocks);
        need.not_before_ns = clock_mono_ns(&clock_system);
    }
}

static struct err *select_all(struct store_query *sq, const struct ask *ask,
                              struct series_set **ret)
{
    struct selection *sel = mem_new(struct selection);
    struct series_merge_opts opts = {.arena = sq->opts.arena,
                                     .min_ms = ask->min_ms,
                                     .max_ms = ask->max_ms,
                                     .labels_only = ask->labels_only,
                                     .is_keyed = ask->keying.is_keyed,
                                     .deadline_mono_ms = sq->opts.deadline_mono_ms,
                                     .cancel = sq->opts.cancel,
                                     .budget = budget_of(sq),
                                     .on_close = selection_done,
                                     .arg = sel};
    struct series_source **srcs = NULL;
    struct store *s = sq->store;
    struct err *e;
    size_t n;

    METRIC_ADD(s->selects, 1);
    sel->sq = sq;
    if (s->opts.block_replication)
        sel->queriers = s->opts.queriers(s->opts.queriers_arg);
    e = start_peers(sel, ask);
    sel->loss = (struct blockloss){.f = sel->f, .sq = sq};
    if (e || (e = open_fresh(sel, ask, &srcs, &n)))
        goto fail;
    opts.view = (struct columns_view){ask->pick.value, sel->blocks.spans, sel->blocks.n_spans};
    opts.min_ms -= sel->blocks.n_spans ? ask->reach_ms : 0;
    *ret = series_merge(&opts, srcs, n);
    store_query_lend_warnings(sq, *ret);
    sel->loss.set = *ret;
    mem_free((void *)srcs);
    return NULL;
fail:
    METRIC_ADD(s->failures, 1);
    selection_done(sel);
    return e;
}

struct err *store_select_raw(struct store_query *sq, struct matchers ms, int64_t min_ms,
                             int64_t max_ms, bool labels_only, struct series_set **ret)
{
    struct ask ask = {.ms = ms, .min_ms = min_ms, .max_ms = max_ms, .labels_only = labels_only};

    return select_all(sq, &ask, ret);
}

/* ---- without what is deleted ---- */

static struct err *take_tombstones(struct store_query *sq, struct tombset *ts,
                                   struct tombstone_list **ret)
{
    bool is_stale;
    struct err *e;

    if (!ts) {
        *ret = tombstone_list_new(sq->opts.tenant);
        return NULL;
    }
    e = tombset_get(ts, sq->opts.tenant, ret, &is_stale);
    if (!e && is_stale)
        store_query_warn(sq, SLICE("the object store did not answer: what was deleted in the last "
                                   "minutes may still be in the answer"));
    return e;
}

struct err *store_tombstones(struct store_query *sq, struct tombstone_list **ret)
{
    return take_tombstones(sq, sq->store->tombs, ret);
}

struct err *store_log_tombstones(struct store_query *sq, struct tombstone_list **ret)
{
    return take_tombstones(sq, sq->store->log_tombs, ret);
}

/* What of a deletion can be told by points of the range: whole windows, and those seen from before it. */
static void widen(const struct ask *ask, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    int64_t before = ask->reach_ms + AGGR_1H_MS;

    *ret_min_ms = ask->min_ms < INT64_MIN + before ? INT64_MIN : ask->min_ms - before;
    *ret_max_ms = ask->max_ms > INT64_MAX - AGGR_1H_MS ? INT64_MAX : ask->max_ms + AGGR_1H_MS;
}

static struct err *select_live(struct store_query *sq, const struct ask *ask,
                               struct series_set **ret)
{
    struct tombstone_list *tombs;
    struct ask wider = *ask;
    int64_t min_ms, max_ms;
    struct err *e = store_tombstones(sq, &tombs);

    if (e)
        return e;
    widen(ask, &min_ms, &max_ms);
    if (!tombstone_list_reaches(tombs, min_ms, max_ms)) {
        e = select_all(sq, ask, ret);
    } else {
        wider.labels_only = false;     /* only samples tell whether anything is left of a series */
        wider.newest_only = false;     /* the newest may be deleted */
        wider.keying.is_keyed = false; /* deletions go by all labels */
        wider.cuts.ptr =
            tombstone_list_edges(tombs, sq->opts.arena, &ask->ms, min_ms, max_ms, &wider.cuts.n);
        if (!(e = select_all(sq, &wider, ret)))
            *ret = tombstone_filter_new(*ret, tombs, min_ms, max_ms);
    }
    tombstone_list_unref(tombs);
    return e;
}

struct err *store_has_samples(struct store_query *sq, struct matchers ms, int64_t min_ms,
                              int64_t max_ms, bool *ret, bool *ret_is_sure)
{
    size_t missed_before = sq->failed_streams + sq->lost_blocks;
    struct storage_series s;
    struct series_set *set;
    struct err *e = store_select_raw(sq, ms, min_ms, max_ms, false, &set);

    *ret = false;
    if (e)
        return e;
    while (!*ret && series_set_next(set, &s))
        *ret = s.n > 0;
    e = series_set_close(set);
    if (ret_is_sure)
        *ret_is_sure = sq->failed_streams + sq->lost_blocks == missed_before;
    return e;
}

bool store_reads_whole(struct store_query *sq, int64_t min_ms, int64_t max_ms)
{
    struct store *s = sq->store;

    return s->pages &&
           blockset_bytes(s->blocks, sq->opts.tenant, min_ms, max_ms) > objpages_room(s->pages) / 2;
}

static struct err *storage_ask(struct storage *st, struct arena *arena,
                               const struct storage_request *req, struct series_set **ret)
{
    struct store_query *sq = ORR_CONTAINER(st, struct store_query, storage);
    struct ask ask = {.ms = req->matchers,
                      .min_ms = req->start_ms,
                      .max_ms = req->end_ms,
                      .newest_only = req->newest_only,
                      .pick = tier_pick_of(req),
                      .reach_ms = req->range_ms ? 0 : AGGR_1H_MS,
                      .keying = {req->is_grouped, req->grouping, req->n_grouping, req->shard_index,
                                 req->shard_count}};

    (void)arena;
    /* In the order of keys chunks are all over the files of a block: good where they are mapped, or few. */
    if (ask.keying.is_keyed && store_reads_whole(sq, ask.min_ms, ask.max_ms))
        ask.keying.is_keyed = false;
    /* More than a message may have: the groups come one among the other then, which only takes more memory. */
    if (ask.keying.n_names > METRICS_RPC_MAX_LABELS)
        ask.keying.is_keyed = false;
    if (sq->opts.min_ms) /* an end before it gives a range that holds nothing */
        ask.min_ms = ORR_MAX(ask.min_ms, sq->opts.min_ms);
    return select_live(sq, &ask, ret);
}

struct err *store_series(struct store_query *sq, struct matchers ms, int64_t min_ms, int64_t max_ms,
                         struct series_set **ret)
{
    struct ask ask = {.ms = ms, .min_ms = min_ms, .max_ms = max_ms, .labels_only = true};

    return select_live(sq, &ask, ret);
}

void store_query_init(struct store_query *sq, struct store *s, const struct store_query_opts *opts)
{
    static const struct storage_ops ops = {storage_ask};

    *sq = (struct store_query){.storage = {&ops}, .store = s, .opts = *opts};
    sq->budget.max_series = opts->max_series;
    sq->budget.max_bytes = opts->max_bytes;
}

void store_query_done(struct store_query *sq)
{
    vec_done(&sq->warnings);
    map_done(&sq->lost);
}
