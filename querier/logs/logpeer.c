#include "querier/logs/logpeer.h"

#include "common/base/mem.h"
#include "common/model/logs_rpc.h"

struct peer {
    struct logjoin_origin origin;
    struct store_query *sq;
    struct fanout *f;
    size_t stream; /* of the fan-out */
    uint64_t *lines;
    struct reader frame;
    bool has_frame, is_over;
    bool has_item; /* one is at hand that was not handed out; it borrows from frame and items */
    struct rpc_logs_item item;
    struct arena *items, *labels;
    uint64_t *steps; /* of the stream; NULL: none were asked for */
    size_t n_steps;
    const struct log_steps *spread; /* over which its volume is spread; NULL: the peer tells */
    int64_t from_ns;
};

static void fail(struct peer *p, struct err *e)
{
    p->origin.err = err_first(p->origin.err, e);
    p->is_over = true;
    p->has_item = false;
}

/* Drops the frame that has been read and waits for the next. */
static void next_frame(struct peer *p)
{
    struct slice bytes;
    struct err *e;

    if (p->has_frame)
        fanout_pop(p->f, p->stream);
    p->has_frame = false;
    if ((e = fanout_wait(p->f))) {
        fail(p, e);
        return;
    }
    p->has_frame = fanout_frame(p->f, p->stream, &bytes);
    if (p->has_frame)
        p->frame = reader_new(bytes);
    else
        p->is_over = true;
}

/* The next item is at hand then, or is_over. What was at hand is gone. */
static void advance(struct peer *p)
{
    const struct arena *a = p->sq->opts.arena;

    arena_reset(p->items);
    p->has_item = false;
    while (!p->is_over && (!p->has_frame || !reader_left(&p->frame)))
        next_frame(p);
    if (p->is_over)
        return;
    if (!rpc_logs_item_decode(p->items, &p->frame, &p->item))
        fail(p, err_new(ERR_CORRUPT, "an ingester's answer is malformed"));
    else if (arena_over(a))
        fail(p, err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                        arena_limit(a)));
    else
        p->has_item = true;
}

/* What of the volume follows the stream; the item behind it is at hand then. */
static void take_steps(struct peer *p, uint64_t bytes)
{
    memset(p->steps, 0, p->n_steps * sizeof(*p->steps));
    if (p->spread) {
        log_steps_spread(p->spread, p->from_ns, p->spread->to_ns - 1, bytes, p->steps);
        return;
    }
    advance(p);
    while (p->has_item && p->item.tag == RPC_LOGS_STEP) {
        if (p->item.step < p->n_steps)
            p->steps[p->item.step] += p->item.bytes;
        else
            fail(p, err_new(ERR_CORRUPT, "an ingester's answer has a step that was not asked for"));
        if (!p->is_over)
            advance(p);
    }
}

static bool peer_stream(struct logjoin_origin *o, struct logjoin_stream *ret)
{
    struct peer *p = (struct peer *)o;
    struct slice text;

    if (!p->has_item)
        advance(p);
    while (!p->is_over && p->item.tag != RPC_LOGS_STREAM)
        advance(p);
    if (p->is_over)
        return false;
    arena_reset(p->labels);
    *ret = (struct logjoin_stream){
        .fp = p->item.fp, .entries = p->item.entries, .bytes = p->item.bytes};
    text = arena_dup(p->labels, p->item.text);
    if (!labels_of_canonical(p->labels, text, &ret->labels)) {
        fail(p, err_new(ERR_CORRUPT, "an ingester's answer is malformed"));
        return false;
    }
    p->has_item = false;
    if (!p->steps)
        return true;
    take_steps(p, ret->bytes);
    ret->steps = p->steps;
    return !p->origin.err;
}

static bool peer_entry(struct logjoin_origin *o, struct logsource_entry *ret)
{
    struct peer *p = (struct peer *)o;

    if (!p->has_item)
        advance(p);
    if (p->is_over || p->item.tag != RPC_LOGS_ENTRY)
        return false;
    *ret = (struct logsource_entry){p->item.t_ns, p->item.text, p->item.metadata};
    p->has_item = false;
    if (p->lines)
        ++*p->lines;
    return true;
}

static struct err *peer_close(struct logjoin_origin *o)
{
    struct peer *p = (struct peer *)o;

    arena_free(p->items);
    arena_free(p->labels);
    mem_free(p);
    return NULL;
}

struct logjoin_origin *logpeer_new(struct store_query *sq, struct fanout *f, size_t i,
                                   const struct log_steps *steps, bool is_spread, int64_t from_ns,
                                   uint64_t *lines)
{
    static const struct logjoin_origin_ops ops = {peer_stream, peer_entry, peer_close};
    struct peer *p = mem_new(struct peer);

    *p = (struct peer){.origin = {.ops = &ops, .is_replica = true},
                       .sq = sq,
                       .f = f,
                       .stream = i,
                       .lines = lines,
                       .items = arena_child(sq->opts.arena, 0),
                       .labels = arena_child(sq->opts.arena, 0)};
    if (steps->step_ns) {
        p->n_steps = log_steps_count(steps);
        p->steps = arena_array(sq->opts.arena, uint64_t, p->n_steps);
        p->spread = is_spread ? arena_copy(sq->opts.arena, steps, 1) : NULL;
        p->from_ns = from_ns;
    }
    return &p->origin;
}
