/* What one ingester streams back, as series. */
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "querier/store/series_source.h"

struct peer_source {
    struct series_source base;
    struct fanout *f;
    size_t stream;
    struct reader frame;
    bool has_frame, is_keyed;
    struct arena *arena; /* of the current series */
};

/* Drops the frame that has been read and waits for the next; false at the end. */
static struct err *next_frame(struct peer_source *p, bool *ret_more)
{
    struct slice bytes;
    struct err *e;

    if (p->has_frame)
        fanout_pop(p->f, p->stream);
    p->has_frame = false;
    if ((e = fanout_wait(p->f)))
        return e;
    *ret_more = p->has_frame = fanout_frame(p->f, p->stream, &bytes);
    if (p->has_frame)
        p->frame = reader_new(bytes);
    return NULL;
}

static void take_chunks(struct peer_source *p, const struct rpc_series *in,
                        struct source_series *ret)
{
    struct columns_chunk *chunks = arena_array(p->arena, struct columns_chunk, in->n_chunks);

    for (size_t i = 0; i < in->n_chunks; i++)
        chunks[i].chunk = (struct chunk){.encoding = in->chunks[i].encoding,
                                         .min_t = in->chunks[i].min_ms,
                                         .max_t = in->chunks[i].max_ms,
                                         .data = in->chunks[i].data};
    ret->labels = in->labels;
    ret->fp = in->fp;
    ret->chunks = chunks;
    ret->n_chunks = in->n_chunks;
}

static struct err *peer_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct peer_source *p = (struct peer_source *)base;
    struct rpc_series in = {.is_keyed = p->is_keyed};
    struct err *e;

    arena_reset(p->arena);
    while (!p->has_frame || !reader_left(&p->frame))
        if ((e = next_frame(p, ret_more)) || !*ret_more)
            return e;
    if (!rpc_series_decode(p->arena, &p->frame, &in))
        return err_new(ERR_CORRUPT, "an ingester's answer is malformed");
    take_chunks(p, &in, ret);
    *ret_more = true;
    return NULL;
}

static void peer_close(struct series_source *base)
{
    struct peer_source *p = (struct peer_source *)base;

    arena_free(p->arena);
    mem_free(p);
}

struct series_source *series_source_peer(struct fanout *f, size_t i, bool is_keyed)
{
    static const struct series_source_ops ops = {peer_next, peer_close};
    struct peer_source *p = mem_new(struct peer_source);

    p->base.ops = &ops;
    p->f = f;
    p->stream = i;
    p->is_keyed = is_keyed;
    p->arena = arena_new(0);
    return &p->base;
}
