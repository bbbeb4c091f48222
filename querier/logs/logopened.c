#include "querier/logs/logopened.h"

#include "common/base/mem.h"
#include "querier/logs/logstored.h"

static void close_origins(struct logjoin_origin **origins, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (origins[i])
            err_free(origins[i]->ops->close(origins[i]));
        origins[i] = NULL;
    }
}

/* Blocks that are opened side by side: each waits for some reads, one after the other. */
struct opening {
    struct logblock_query query;
    struct log_steps steps;
    const struct blockset_view *view;
    struct objstore_tally *tally; /* of the thread that asks */
    size_t room;
    bool reads_ahead;
    struct logjoin_origin **origins; /* those that are there stay */
    struct err **errs;
};

static void open_block(void *arg, size_t i)
{
    struct opening *o = arg;
    const struct blockset_view *v = o->view;
    const struct logstored_opts opts = {.block = v->lines[i],
                                        .query = o->query,
                                        .min_ms = v->meta[i].min_t,
                                        .max_ms = v->meta[i].max_t,
                                        .steps = o->steps,
                                        .room = o->room,
                                        .reads_ahead = o->reads_ahead};
    struct objstore_tally *before;

    if (o->origins[i])
        return;
    before = objstore_tally_set(o->tally);
    o->errs[i] = logstored_new(&opts, &o->origins[i]);
    (void)objstore_tally_set(before);
}

static void run_opening(struct opening *o, struct job_pool *pool)
{
    if (pool && o->view->n > 1)
        job_parallel(pool, o->view->n, open_block, o);
    else
        for (size_t i = 0; i < o->view->n; i++)
            open_block(o, i);
}

static struct err *fill(struct store_query *sq, struct arena *a, const struct blockset_view *v,
                        const struct logblock_query *q, struct log_steps steps, bool reads_ahead,
                        struct logsource_stats *stats, struct logjoin_origin **origins)
{
    size_t left = arena_left(sq->opts.arena);
    struct opening o = {.query = *q,
                        .steps = steps,
                        .view = v,
                        .tally = objstore_tally_get(),
                        .room = left == SIZE_MAX ? 0 : ORR_MAX(left, (size_t)1),
                        .reads_ahead = reads_ahead,
                        .origins = origins,
                        .errs = arena_array(a, struct err *, v->n)};
    struct err *e = NULL;

    o.query.n_readers = (unsigned)v->n * ORR_MAX(q->n_readers, 1u);
    run_opening(&o, store_logs_jobs(sq));
    for (size_t i = 0; i < v->n; i++) {
        if (o.errs[i])
            e = err_first(e, err_wrap(o.errs[i], "block %s", ulid_print(v->meta[i].ulid).s));
        else
            logstored_adopt(origins[i], a, stats);
    }
    if (e)
        close_origins(origins, v->n);
    return e;
}

struct err *logopened_fill(struct store_query *sq, struct arena *a, const struct blockset_view *v,
                           const struct logblock_query *q, struct log_steps steps,
                           struct logsource_stats *stats, struct logjoin_origin **origins)
{
    return fill(sq, a, v, q, steps, false, stats, origins);
}

/* ---- ahead ---- */

struct logopened {
    struct store_query *sq;
    struct arena *arena; /* of the view and the blocks' sets */
    struct blockset_view view;
    struct logjoin_origin *
        *origins; /* of the view's blocks; NULL: closed, or somebody else's now */
};

void logopened_close(struct logopened *o)
{
    if (!o)
        return;
    close_origins(o->origins, o->view.n);
    store_release_logs(o->sq, &o->view);
    arena_free(o->arena);
    mem_free(o);
}

struct logjoin_origin *logopened_take(struct logopened *o, struct ulid ulid)
{
    for (size_t i = 0; o && i < o->view.n; i++) {
        struct logjoin_origin *origin = o->origins[i];

        if (!origin || memcmp(&o->view.meta[i].ulid, &ulid, sizeof(ulid)) != 0)
            continue;
        o->origins[i] = NULL;
        return origin;
    }
    return NULL;
}

struct err *logopened_ahead(struct store_query *sq, struct arena *a, const struct logblock_query *q,
                            struct logopened **ret)
{
    const struct blockset_filter filter = {&q->matchers, 1};
    struct logopened *o = mem_new(struct logopened);
    struct err *e;

    *o = (struct logopened){.sq = sq, .arena = arena_child(a, 0)};
    e = store_take_logs(sq, o->arena, NULL, logblock_ms(q->from_ns), logblock_ms(q->to_ns - 1),
                        &filter, &o->view);
    if (!e) {
        o->origins = arena_array(o->arena, struct logjoin_origin *, o->view.n);
        e = fill(sq, o->arena, &o->view, q, (struct log_steps){0}, true, NULL, o->origins);
    }
    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT, "blocks of log lines take more than may be open ahead");
    if (e) {
        logopened_close(o);
        return e;
    }
    *ret = o;
    return NULL;
}
