#include "querier/traces/traceremote.h"

#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/model/traces_rpc.h"
#include "querier/traces/tracenames.h"
#include "querier/traces/tracescan.h"

#define NAMES_RANGES 16 /* of ids */

/* One ingester's answer: traces by id. */
struct peer {
    struct reader frame;
    bool has_frame, is_over;
    bool has_item; /* at hand; it borrows from the frame, and its list is the peer's arena's */
    struct rpc_traces_item item;
    struct arena *arena;
};

/* The bytes of a piece; and which before it has the same hash: its number, 0 if none has. */
struct known {
    struct slice bytes;
    size_t before;
};

struct remote_set {
    struct tracesource_set base;
    struct store_query *sq;
    struct fanout *f;
    struct peer *peers;
    size_t n;
    struct arena *arena; /* of the trace at hand */
    uint8_t id[16];
    VEC(struct tracepiece) pieces;
    VEC(struct known) known; /* their bytes, to tell what replicas have alike */
    struct map index;        /* hash of bytes -> number of the last that has it */
    struct err *err;         /* the first: nothing is read any more */
};

static void fail(struct remote_set *s, struct err *e)
{
    s->err = err_first(s->err, e);
}

/* Drops the frame that has been read and waits for the next. */
static void next_frame(struct remote_set *s, size_t i)
{
    struct peer *p = &s->peers[i];
    struct slice bytes;
    struct err *e;

    if (p->has_frame)
        fanout_pop(s->f, i);
    p->has_frame = false;
    if ((e = fanout_wait(s->f))) {
        fail(s, e);
        p->is_over = true;
        return;
    }
    p->has_frame = fanout_frame(s->f, i, &bytes);
    if (p->has_frame)
        p->frame = reader_new(bytes);
    else
        p->is_over = true;
}

/* The next item is at hand then, or is_over. What was at hand is gone. */
static void advance(struct remote_set *s, size_t i)
{
    struct peer *p = &s->peers[i];

    arena_reset(p->arena);
    p->has_item = false;
    while (!p->is_over && (!p->has_frame || !reader_left(&p->frame)))
        next_frame(s, i);
    if (p->is_over || s->err)
        return;
    if (!rpc_traces_item_decode(p->arena, &p->frame, &p->item))
        fail(s, err_new(ERR_CORRUPT, "an ingester's answer is malformed"));
    else if (memcmp(p->item.id, s->id, sizeof(s->id)) < 0)
        fail(s, err_new(ERR_CORRUPT, "an ingester's traces do not come by their ids"));
    else
        p->has_item = true;
}

/* A piece that came from another already is left out; the others are kept: frames go. */
static void keep(struct remote_set *s, struct slice piece)
{
    struct tracepiece p;
    struct hash128 hash;
    struct err *e;
    void **slot;

    hash = hash_xxh128(piece, 0);
    slot = map_slot(&s->index, slice_of(&hash, sizeof(hash)));
    for (size_t i = (uintptr_t)*slot; i; i = s->known.ptr[i - 1].before)
        if (slice_eq(s->known.ptr[i - 1].bytes, piece))
            return;
    piece = arena_dup(s->arena, piece);
    if ((e = tracepiece_decode(s->arena, piece, &p))) {
        fail(s, e);
        return;
    }
    vec_push(&s->known, ((struct known){piece, (uintptr_t)*slot}));
    vec_push(&s->pieces, p);
    *slot = (void *)(uintptr_t)s->known.len;
}

/* All that the peer has of the trace: several items, one behind the other. */
static void take(struct remote_set *s, size_t i)
{
    struct peer *p = &s->peers[i];

    while (!s->err && p->has_item && memcmp(p->item.id, s->id, 16) == 0) {
        for (uint32_t k = 0; k < p->item.n && !s->err; k++)
            keep(s, p->item.pieces[k]);
        if (arena_over(s->sq->opts.arena))
            fail(s, err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                            arena_limit(s->sq->opts.arena)));
        else if (!s->err)
            advance(s, i);
    }
}

static bool remote_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    struct remote_set *s = ORR_CONTAINER(set, struct remote_set, base);
    const uint8_t *least = NULL;

    for (size_t i = 0; i < s->n && !s->err; i++) {
        struct peer *p = &s->peers[i];

        if (!p->has_item && !p->is_over)
            advance(s, i);
        if (p->has_item && (!least || memcmp(p->item.id, least, 16) < 0))
            least = p->item.id;
    }
    if (!least || s->err)
        return false;
    memcpy(s->id, least, sizeof(s->id));
    arena_reset(s->arena);
    vec_clear(&s->pieces);
    vec_clear(&s->known);
    map_done(&s->index);
    for (size_t i = 0; i < s->n && !s->err; i++)
        take(s, i);
    *ret = (struct tracesource_trace){s->id, s->pieces.ptr, s->pieces.len};
    return !s->err;
}

static struct err *remote_close(struct tracesource_set *set)
{
    struct remote_set *s = ORR_CONTAINER(set, struct remote_set, base);
    struct err *e = s->err;

    if (s->f)
        s->sq->failed_streams += fanout_failed(s->f);
    fanout_close(s->f);
    for (size_t i = 0; i < s->n; i++)
        arena_free(s->peers[i].arena);
    mem_free(s->peers);
    vec_done(&s->pieces);
    vec_done(&s->known);
    map_done(&s->index);
    arena_free(s->arena);
    mem_free(s);
    return e;
}

static struct err *ask(struct remote_set *s, const struct tracesource_request *req)
{
    struct rpc_traces_select sel = {.start_ns = req->start_ns,
                                    .end_ns = req->end_ns,
                                    .has_ids = req->ids != NULL,
                                    .ids = req->ids,
                                    .n_ids = req->n_ids,
                                    .ids_only = req->ids_only,
                                    .max_bytes = req->max_bytes};
    struct buf b = {0};
    struct err *e;

    if (req->n_ids > TRACES_RPC_MAX_IDS)
        return err_new(ERR_LIMIT, "more than %u traces may match: ask for less time",
                       TRACES_RPC_MAX_IDS);
    memcpy(sel.first, req->first, sizeof(sel.first));
    memcpy(sel.last, req->last, sizeof(sel.last));
    rpc_traces_select_encode(&b, &sel);
    e = store_ask_traces(s->sq, "ingester.select_traces", buf_slice(&b), &s->f);
    buf_done(&b);
    if (e || (e = fanout_wait(s->f)))
        return e;
    /* From here on each ingester's answer is fixed: the header of store.h on the seam. */
    store_heard_traces(s->sq, s->f);
    return NULL;
}

static struct err *remote_select(void *src, struct arena *a, const struct tracesource_request *req,
                                 struct tracesource_set **ret)
{
    static const struct tracesource_set_ops ops = {remote_next, remote_close};
    const struct traceremote *r = src;
    struct remote_set *s = mem_new(struct remote_set);
    struct err *e;

    (void)a;
    s->base.ops = &ops;
    s->sq = r->sq;
    s->arena = arena_child(r->sq->opts.arena, 0);
    if ((e = ask(s, req)))
        return err_first(e, remote_close(&s->base));
    s->n = fanout_streams(s->f);
    s->peers = mem_calloc(s->n + 1, sizeof(*s->peers));
    for (size_t i = 0; i < s->n; i++)
        s->peers[i].arena = arena_child(r->sq->opts.arena, 0);
    *ret = &s->base;
    return NULL;
}

/* ---- names ---- */

struct naming {
    const struct tracesource_names_request *req;
    tracesource_name_fn *give;
    void *arg;
    bool is_enough;
};

static bool give(void *arg, struct slice s, enum tracecell_type type)
{
    struct naming *n = arg;

    n->is_enough = !n->give(n->arg, s, type);
    return !n->is_enough;
}

static struct err *look(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct naming *n = arg;

    (void)tracenames_of(cols, n->req, NULL, give, n);
    *ret_stop = n->is_enough;
    return NULL;
}

static struct err *remote_names(void *src, const struct tracesource_names_request *req,
                                tracesource_name_fn *fn, void *arg)
{
    struct traceremote *r = src;
    struct tracesource source = traceremote_source(r);
    struct naming n = {.req = req, .give = fn, .arg = arg};
    struct tracescan_stats stats = {0};
    struct tracescan_opts opts = {.source = &source,
                                  .req = {.start_ns = req->start_ns,
                                          .end_ns = req->end_ns,
                                          .deadline_mono_ms = req->deadline_mono_ms,
                                          .cancel = req->cancel},
                                  .ranges = NAMES_RANGES,
                                  .arena = r->sq->opts.arena};

    return tracescan(&opts, look, &n, &stats);
}

struct tracesource traceremote_source(struct traceremote *r)
{
    static const struct tracesource_ops ops = {remote_select, remote_names, NULL, NULL};

    return (struct tracesource){.ops = &ops, .src = r};
}
