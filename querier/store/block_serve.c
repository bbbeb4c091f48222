#include "querier/store/block_serve.h"

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/tenant.h"
#include "common/rpc/feed.h"
#include "querier/store/block_wire.h"
#include "querier/store/series_source.h"

#define THREADS 8

struct block_serve {
    struct blockset *blocks;
    struct job_pool *jobs;
    struct feeds *feeds;
    struct block_serve_stats stats;
};

/* One answer. */
struct answer {
    struct block_serve *serve;
    struct arena *arena;
    struct slice tenant; /* in the arena, as the rest */
    struct block_wire_ask ask;
    struct blockset_view view;
    struct series_source *src; /* NULL: not opened yet, or skipped */
    struct objstore_tally tally;
    bool has_begun, is_skipped;
};

static struct err *open_block(struct answer *w)
{
    const struct rpc_select *s = &w->ask.select;
    const struct series_keying keying = {s->is_keyed, s->names, s->n_names, s->shard_index,
                                         s->shard_count};
    const struct blockset_filter filter = {&s->matchers, 1};
    struct err *e =
        blockset_open(w->serve->blocks, w->arena, w->tenant, &w->ask.block, &filter, &w->view);

    w->is_skipped = !e && !w->view.n;
    return e || w->is_skipped ? e
                              : series_source_block(w->view.readers[0], s->matchers, s->min_ms,
                                                    s->max_ms, s->kind == RPC_SELECT_LABELS,
                                                    &keying, (size_t)w->ask.n_together, &w->src);
}

static void put(struct answer *w, struct buf *frame, const struct source_series *s)
{
    struct rpc_chunk few[16];
    struct rpc_chunk *chunks =
        s->n_chunks <= ORR_COUNT(few) ? few : mem_new_array(struct rpc_chunk, s->n_chunks);
    struct block_wire_series out = {
        .series = {s->labels, chunks, s->n_chunks, w->ask.select.is_keyed, s->fp}};

    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct chunk *c = &s->chunks[i].chunk;

        chunks[i] = (struct rpc_chunk){c->min_t, c->max_t, c->encoding, c->data};
    }
    if (s->n_chunks) { /* all are of one block, and its first has what is deleted of the series */
        out.deleted = s->chunks[0].deleted;
        out.n_deleted = s->chunks[0].n_deleted;
    }
    block_wire_series_encode(frame, &out);
    if (chunks != few)
        mem_free(chunks);
}

static struct err *next_frame(struct answer *w, struct buf *frame, bool *ret_more)
{
    struct source_series s;
    struct err *e;

    if (!w->src && (e = open_block(w)))
        return e;
    buf_byte(frame, BLOCK_WIRE_SERIES);
    *ret_more = !w->is_skipped;
    while (*ret_more && frame->len < BLOCK_WIRE_FRAME_BYTES) {
        if ((e = w->src->ops->next(w->src, &s, ret_more)))
            return e;
        if (!*ret_more)
            return NULL;
        put(w, frame, &s);
    }
    return NULL;
}

/* begun, frames of series until there are no more, the end */
static struct err *answer_next(void *src, struct buf *frame, bool *ret_more)
{
    struct answer *w = src;
    struct objstore_tally *before;
    bool more = true;
    struct err *e;

    if (!w->has_begun) {
        w->has_begun = true;
        buf_byte(frame, BLOCK_WIRE_BEGUN);
        return NULL;
    }
    before = objstore_tally_set(&w->tally);
    e = next_frame(w, frame, &more);
    (void)objstore_tally_set(before);
    if (e || more)
        return e;
    if (frame->len == 1) {
        buf_reset(frame);
        block_wire_end_encode(
            frame, &(struct block_wire_end){w->tally.gets, w->tally.bytes, w->is_skipped});
        *ret_more = false;
    }
    return NULL;
}

static void answer_close(void *src)
{
    struct answer *w = src;

    if (w->src)
        w->src->ops->close(w->src);
    blockset_release(w->serve->blocks, &w->view);
    matchers_done(w->ask.select.matchers);
    (void)__atomic_sub_fetch(&w->serve->stats.running, 1, __ATOMIC_RELAXED);
    arena_free(w->arena);
    mem_free(w);
}

static void refuse(struct block_serve *s, struct rpc_call *call, struct err *e)
{
    METRIC_ADD(s->stats.refused, 1);
    rpc_reply_err(call, e);
}

static void on_block(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {NULL, answer_next, answer_close};
    struct block_serve *s = arg;
    struct err *e = tenant_check(rpc_call_tenant(call));
    struct answer *w;

    if (!e && METRIC_GET(s->stats.running) >= BLOCK_SERVE_MAX_CALLS)
        e = err_new(ERR_UNAVAILABLE, "too many blocks are being read for others");
    if (e) {
        refuse(s, call, e);
        return;
    }
    w = mem_new(struct answer);
    w->arena = arena_new(0);
    w->tenant = arena_dup(w->arena, rpc_call_tenant(call));
    if ((e = block_wire_ask_decode(w->arena, arena_dup(w->arena, rpc_call_payload(call)),
                                   &w->ask))) {
        arena_free(w->arena);
        mem_free(w);
        refuse(s, call, e);
        return;
    }
    w->serve = s;
    METRIC_ADD(s->stats.calls, 1);
    METRIC_ADD(s->stats.running, 1);
    feed_start(s->feeds, call, &ops, w);
}

struct block_serve *block_serve_new(struct blockset *blocks, struct rpc_server *server)
{
    struct block_serve *s = mem_new(struct block_serve);

    s->blocks = blocks;
    s->jobs = job_pool_new("owned", THREADS, BLOCK_SERVE_MAX_CALLS);
    s->feeds = feeds_new(s->jobs);
    rpc_server_handle(server, "querier.block", on_block, s);
    return s;
}

void block_serve_free(struct block_serve *s)
{
    if (!s)
        return;
    feeds_free(s->feeds);
    job_pool_free(s->jobs);
    mem_free(s);
}

void block_serve_stats_get(struct block_serve *s, struct block_serve_stats *ret)
{
    *ret = (struct block_serve_stats){METRIC_GET(s->stats.calls), METRIC_GET(s->stats.refused),
                                      METRIC_GET(s->stats.running)};
}
