/* Names of labels and values of one label, over ingesters and blocks. */
#include "common/base/slice_sort.h"
#include "common/model/logs_rpc.h"
#include "querier/store/store_internal.h"
#include "querier/store/tombstone_filter.h"

/* A growing set of texts in the query's arena: what came twice goes whenever the list has doubled. */
struct names {
    struct store_query *sq;
    VEC(struct slice) list;
    size_t tidied;    /* length after the last time */
    uint64_t charged; /* bytes of the budget */
};

static struct err *tidy(struct names *ns)
{
    struct series_budget *b = &ns->sq->budget;
    size_t n = slice_sort_unique(ns->list.ptr, ns->list.len);

    ns->list.len = ns->tidied = n;
    b->bytes -= ns->charged;
    ns->charged = 0;
    for (size_t i = 0; i < n; i++)
        ns->charged += ns->list.ptr[i].len;
    b->bytes += ns->charged;
    if (b->max_bytes && b->bytes > b->max_bytes)
        return err_new(ERR_LIMIT, "the answer needs more than %llu bytes",
                       (unsigned long long)b->max_bytes);
    return NULL;
}

static struct err *add(struct names *ns, struct slice name)
{
    vec_push(&ns->list, arena_dup(ns->sq->opts.arena, name));
    if (arena_over(ns->sq->opts.arena))
        return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                       arena_limit(ns->sq->opts.arena));
    return ns->list.len > 2 * ns->tidied + 4096 ? tidy(ns) : NULL;
}

static struct err *malformed(void)
{
    return err_new(ERR_CORRUPT, "an ingester's answer is malformed");
}

typedef struct err *frame_fn(struct names *ns, struct slice frame);

static struct err *add_texts(struct names *ns, struct slice frame)
{
    struct reader r = reader_new(frame);
    struct err *e = NULL;

    while (!e && reader_left(&r)) {
        struct slice name = reader_lstr(&r);

        e = reader_ok(&r) ? add(ns, name) : malformed();
    }
    return e;
}

/* Reads every frame of every stream through fn. */
static struct err *drain(struct names *ns, struct fanout *f, frame_fn *fn)
{
    struct err *e = NULL;
    bool any = f != NULL;

    while (any && !(e = fanout_wait(f))) {
        any = false;
        for (size_t i = 0; !e && i < fanout_streams(f); i++) {
            struct slice bytes;

            if (!fanout_frame(f, i, &bytes))
                continue;
            any = true;
            e = fn(ns, bytes);
            fanout_pop(f, i);
        }
        if (e)
            break;
    }
    return e;
}

static struct err *ask_peers(struct names *ns, struct matchers ms, struct slice label,
                             int64_t min_ms, int64_t max_ms)
{
    struct rpc_select rs = {.kind = label.ptr ? RPC_SELECT_VALUES : RPC_SELECT_NAMES,
                            .matchers = ms,
                            .min_ms = min_ms,
                            .max_ms = max_ms,
                            .name = label.ptr ? label : SLICE_EMPTY};
    struct fanout *f = NULL;
    struct buf b = {0};
    struct err *e;

    rpc_select_encode(&b, &rs);
    e = store_ask(ns->sq, "ingester.names", buf_slice(&b), &f);
    buf_done(&b);
    if (e)
        return e;
    e = drain(ns, f, add_texts);
    store_heard(ns->sq, f);
    fanout_close(f);
    return e;
}

static struct err *read_block(struct names *ns, const struct block_reader *r,
                              const struct matchers *ms, struct slice label, int64_t min_ms,
                              int64_t max_ms)
{
    struct arena *a = arena_child(ns->sq->opts.arena, 0);
    struct block_names found = {0};
    struct block_refs refs;
    struct err *e;

    if (!ms || !ms->n) {
        e = label.ptr ? block_reader_label_values(r, a, label, &found)
                      : block_reader_label_names(r, a, &found);
    } else {
        e = block_reader_select_range(r, a, *ms, min_ms, max_ms, &refs);
        if (!e)
            e = label.ptr ? block_reader_values_of(r, a, refs, label, &found)
                          : block_reader_names_of(r, a, refs, &found);
    }
    for (size_t i = 0; !e && i < found.n; i++)
        e = add(ns, found.ptr[i]);
    arena_free(a);
    return e;
}

/* What a block must have to have an answer: series that match a set and have the label that is asked about. */
static struct blockset_filter filter_of(struct names *ns, const struct matchers *sets, size_t n,
                                        struct slice label)
{
    struct arena *a = ns->sq->opts.arena;
    size_t n_sets = n ? n : 1;
    struct matchers *out = arena_array(a, struct matchers, n_sets);

    if (!n && !label.ptr)
        return (struct blockset_filter){0};
    for (size_t i = 0; i < n_sets; i++) {
        struct matchers own = n ? sets[i] : (struct matchers){0};
        struct matcher *ms = arena_array(a, struct matcher, own.n + 1);

        for (size_t k = 0; k < own.n; k++)
            ms[k] = own.ptr[k];
        if (label.ptr)
            ms[own.n] = (struct matcher){.op = MATCHER_NE, .name = label, .value = SLICE_EMPTY};
        out[i] = (struct matchers){ms, own.n + (label.ptr != NULL)};
    }
    return (struct blockset_filter){out, n_sets};
}

static struct err *collect(struct names *ns, const struct matchers *sets, size_t n,
                           struct slice label, int64_t min_ms, int64_t max_ms)
{
    static const struct matchers all;
    const struct blockset_filter filter = filter_of(ns, sets, n, label);
    struct store_query *sq = ns->sq;
    struct blockset_view blocks;
    size_t n_asks = n ? n : 1;
    struct err *e = NULL;

    for (size_t i = 0; !e && i < n_asks; i++)
        e = ask_peers(ns, n ? sets[i] : all, label, min_ms, max_ms);
    if (e || (e = store_take_blocks(sq, min_ms, max_ms, &filter, &blocks)))
        return e;
    for (size_t k = 0; !e && k < blocks.n; k++)
        for (size_t i = 0; !e && i < n_asks; i++)
            e = read_block(ns, blocks.readers[k], n ? &sets[i] : NULL, label, min_ms, max_ms);
    if (sq->store->blocks)
        blockset_release(sq->store->blocks, &blocks);
    return e;
}

/* ---- with tombstones in the range: what the series say of which something is left ---- */

static struct err *add_labels(struct names *ns, struct slice label, struct labels ls)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < ls.n; i++) {
        if (!label.ptr)
            e = add(ns, ls.ptr[i].name);
        else if (slice_eq(ls.ptr[i].name, label))
            e = add(ns, ls.ptr[i].value);
    }
    return e;
}

/* Of the series no tombstone names. *ret_more: there are others. */
static struct err *add_untouched(struct names *ns, struct matchers ms, struct slice label,
                                 int64_t min_ms, int64_t max_ms, struct tombstone_list *tombs,
                                 bool *ret_more)
{
    struct arena *a = arena_new(0);
    struct storage_series s;
    struct series_set *set;
    struct err *e = store_select_raw(ns->sq, ms, min_ms, max_ms, true, &set);

    while (!e && series_set_next(set, &s)) {
        size_t n;

        arena_reset(a);
        (void)tombstone_list_spans(tombs, a, s.labels, min_ms, max_ms, &n);
        if (n)
            *ret_more = true;
        else if ((e = add_labels(ns, label, s.labels)))
            e = err_first(e, series_set_close(set));
    }
    if (!e)
        e = series_set_close(set);
    arena_free(a);
    return e;
}

/* Of those a tombstone names, as far as samples are left. */
static struct err *add_rest(struct names *ns, struct matchers ms, struct slice label,
                            int64_t min_ms, int64_t max_ms, struct tombstone_list *tombs)
{
    size_t n;
    const struct tombstone *all = tombstone_list_all(tombs, &n);
    struct err *e = NULL;

    for (size_t i = 0; !e && i < n; i++) {
        struct matcher *both =
            arena_array(ns->sq->opts.arena, struct matcher, ms.n + all[i].matchers.n);
        struct storage_series s;
        struct series_set *set;

        if (all[i].min_ms > max_ms || all[i].max_ms < min_ms)
            continue;
        for (size_t k = 0; k < ms.n; k++)
            both[k] = ms.ptr[k];
        for (size_t k = 0; k < all[i].matchers.n; k++)
            both[ms.n + k] = all[i].matchers.ptr[k];
        if ((e = store_select_raw(ns->sq, (struct matchers){both, ms.n + all[i].matchers.n}, min_ms,
                                  max_ms, false, &set)))
            return e;
        set = tombstone_filter_new(set, tombs, min_ms, max_ms);
        while (!e && series_set_next(set, &s))
            e = add_labels(ns, label, s.labels);
        e = err_first(e, series_set_close(set));
    }
    return e;
}

static struct err *collect_live(struct names *ns, const struct matchers *sets, size_t n,
                                struct slice label, int64_t min_ms, int64_t max_ms,
                                struct tombstone_list *tombs)
{
    static const struct matchers all;
    struct err *e = NULL;

    for (size_t i = 0; !e && i < (n ? n : 1); i++) {
        bool more = false;

        e = add_untouched(ns, n ? sets[i] : all, label, min_ms, max_ms, tombs, &more);
        if (!e && more)
            e = add_rest(ns, n ? sets[i] : all, label, min_ms, max_ms, tombs);
    }
    return e;
}

/* Takes the list, sorted, into the arena; e is handed through. */
static struct err *finish(struct names *ns, struct err *e, struct store_names *ret)
{
    if (!e)
        e = tidy(ns);
    if (!e)
        *ret = (struct store_names){arena_copy(ns->sq->opts.arena, ns->list.ptr, ns->list.len),
                                    ns->list.len};
    vec_done(&ns->list);
    return e;
}

struct err *store_names(struct store_query *sq, const struct matchers *sets, size_t n,
                        struct slice label, int64_t min_ms, int64_t max_ms, struct store_names *ret)
{
    struct names ns = {.sq = sq};
    struct tombstone_list *tombs;
    struct err *e = store_tombstones(sq, &tombs);

    if (e)
        return e;
    if (tombstone_list_reaches(tombs, min_ms, max_ms))
        e = collect_live(&ns, sets, n, label, min_ms, max_ms, tombs);
    else
        e = collect(&ns, sets, n, label, min_ms, max_ms);
    tombstone_list_unref(tombs);
    return finish(&ns, e, ret);
}

/* ---- of log streams ---- */

static struct err *add_items(struct names *ns, struct slice frame)
{
    struct arena *a = arena_child(ns->sq->opts.arena, 0);
    struct reader r = reader_new(frame);
    struct rpc_logs_item item;
    struct err *e = NULL;

    while (!e && rpc_logs_item_decode(a, &r, &item)) {
        e = item.tag == RPC_LOGS_NAME ? add(ns, item.text) : malformed();
        arena_reset(a);
    }
    if (!e && !reader_ok(&r))
        e = malformed();
    arena_free(a);
    return e;
}

struct err *store_log_names(struct store_query *sq, const struct rpc_logs_select *select,
                            int64_t since_ms, struct store_names *ret)
{
    struct slice label = select->kind == RPC_LOGS_VALUES ? select->name : (struct slice){0};
    const struct matchers *ms = &select->matchers;
    int64_t min_ms = logblock_ms(select->from_ns), max_ms = logblock_ms(select->to_ns - 1);
    struct names ns = {.sq = sq};
    const struct blockset_filter filter = filter_of(&ns, ms, ms->n != 0, label);
    struct blockset_view blocks = {0};
    struct fanout *f = NULL;
    struct buf b = {0};
    struct err *e;

    rpc_logs_select_encode(&b, select);
    e = store_ask_logs(sq, "ingester.select_logs", buf_slice(&b), since_ms, &f);
    buf_done(&b);
    if (!e)
        e = drain(&ns, f, add_items);
    if (!e)
        e = store_take_logs(sq, sq->opts.arena, f, min_ms, max_ms, &filter, &blocks);
    for (size_t i = 0; !e && i < blocks.n; i++)
        e = read_block(&ns, blocks.readers[i], ms, label, min_ms, max_ms);
    fanout_close(f);
    store_release_logs(sq, &blocks);
    store_count_logs(sq, &(struct store_logs_stats){.selects = 1, .failures = e != NULL});
    return finish(&ns, e, ret);
}
