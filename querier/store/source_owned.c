#include "querier/store/source_owned.h"

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/block/start_runs.h"
#include "querier/store/block_wire.h"
#include "querier/store/store_internal.h"

#define MAX_FRAMES 256 /* of all blocks of a select, while there are no more blocks than that */

struct owned_source {
    struct series_source base;
    struct source_owned_opts opts;
    uint16_t owners[BLOCK_OWNERS_MAX];
    unsigned at; /* of the owners: who is asked */
    struct fanout *f;
    bool has_begun, has_frame, has_end;
    struct reader frame;
    /* read here, when no owner does it */
    struct blockset_view view;
    struct series_source *here;
    bool is_skipped; /* there is nothing to be read */
    /* what was given last: where the next one goes on */
    bool has_last;
    struct labels last;
    struct hash128 last_fp;
    struct arena *view_arena, *last_arena, *arena;
};

static const char *instance_of(const struct owned_source *o)
{
    return ring_member(o->opts.ring, o->owners[o->at])->instance;
}

/* ---- an owner ---- */

/* All blocks of a select wait together, so that many must not each hold much. */
static uint32_t credits_of(size_t n_together)
{
    return (uint32_t)ORR_MIN(ORR_MAX(MAX_FRAMES / ORR_MAX(n_together, 1), 1), FANOUT_CREDITS);
}

static void ask_owner(struct owned_source *o)
{
    struct store_query *sq = o->opts.sq;
    struct block_wire_ask ask = {*o->opts.block, o->opts.select, o->opts.n_together};
    struct fanout_opts opts = {.pool = sq->store->opts.pool,
                               .loop = sq->store->opts.loop,
                               .ring = o->opts.ring,
                               .method = "querier.block",
                               .tenant = sq->opts.tenant,
                               .deadline_mono_ms = sq->opts.deadline_mono_ms,
                               .cancel = sq->opts.cancel,
                               .straggler_ms = sq->store->opts.straggler_ms,
                               .credits = credits_of(o->opts.n_together),
                               .has_other = true,
                               .suspects = sq->store->owner_suspects};
    struct buf b = {0};

    opts.set = fanout_set_of_one(o->owners[o->at]);
    block_wire_ask_encode(&b, &ask);
    opts.payload = buf_slice(&b);
    o->has_begun = false;
    o->f = fanout_start(&opts);
    buf_done(&b);
}

static struct err *malformed(void)
{
    return err_new(ERR_CORRUPT, "a querier's answer is malformed");
}

static void take_end(struct owned_source *o, struct err **ret)
{
    struct objstore_tally *tally = objstore_tally_get();
    struct block_wire_end end;

    o->has_end = block_wire_end_decode(&o->frame, &end);
    if (!o->has_end) {
        *ret = malformed();
    } else if (tally) {
        METRIC_ADD(tally->gets, end.gets);
        METRIC_ADD(tally->bytes, end.bytes);
    }
    if (o->has_end && end.is_skipped)
        store_count_skipped(o->opts.sq, BLOCK_SKIP_SUMMARY, 1);
}

static struct err *take_frame(struct owned_source *o, struct slice bytes)
{
    struct err *e = NULL;

    o->frame = reader_new(bytes);
    switch (reader_u8(&o->frame)) {
    case BLOCK_WIRE_BEGUN:
        o->has_begun = true;
        fanout_be_patient(o->f, SOURCE_OWNED_PATIENCE * o->opts.sq->store->opts.straggler_ms);
        return reader_left(&o->frame) ? malformed() : NULL;
    case BLOCK_WIRE_SERIES:
        return o->has_end ? malformed() : NULL;
    case BLOCK_WIRE_END:
        take_end(o, &e);
        return e;
    default:
        return malformed();
    }
}

/* The next frame; *ret_more false: there is none, and the answer is whole. */
static struct err *next_frame(struct owned_source *o, bool *ret_more)
{
    struct slice bytes;
    struct err *e;

    if (o->has_frame)
        fanout_pop(o->f, 0);
    o->has_frame = false;
    if ((e = fanout_wait(o->f)))
        return e;
    o->has_frame = fanout_frame(o->f, 0, &bytes);
    *ret_more = o->has_frame;
    if (o->has_frame)
        return take_frame(o, bytes);
    return o->has_end ? NULL : err_new(ERR_CORRUPT, "a querier's answer has no end");
}

static void take_series(struct owned_source *o, const struct block_wire_series *in,
                        struct source_series *ret)
{
    struct columns_chunk *chunks = arena_array(o->arena, struct columns_chunk, in->series.n_chunks);
    unsigned tier = tier_of(o->opts.block->resolution_ms);

    for (size_t i = 0; i < in->series.n_chunks; i++) {
        const struct rpc_chunk *c = &in->series.chunks[i];

        chunks[i].chunk = (struct chunk){
            .encoding = c->encoding, .min_t = c->min_ms, .max_t = c->max_ms, .data = c->data};
        if (c->encoding == CHUNK_STARTS)
            continue;
        chunks[i].tier = tier;
        chunks[i].deleted = in->deleted;
        chunks[i].n_deleted = in->n_deleted;
    }
    *ret = (struct source_series){.labels = in->series.labels,
                                  .fp = in->series.fp,
                                  .chunks = chunks,
                                  .n_chunks = in->series.n_chunks};
}

static struct err *next_of_owner(struct owned_source *o, struct source_series *ret, bool *ret_more)
{
    struct block_wire_series in = {.series = {.is_keyed = o->opts.select.is_keyed}};
    struct err *e;

    while (!o->has_frame || !reader_left(&o->frame))
        if ((e = next_frame(o, ret_more)) || !*ret_more)
            return e;
    if (!block_wire_series_decode(o->arena, &o->frame, &in))
        return malformed();
    take_series(o, &in, ret);
    *ret_more = true;
    return NULL;
}

/* ---- here ---- */

static struct err *read_here(struct owned_source *o)
{
    const struct rpc_select *s = &o->opts.select;
    const struct series_keying keying = {s->is_keyed, s->names, s->n_names, s->shard_index,
                                         s->shard_count};
    const struct blockset_filter filter = {&s->matchers, 1};
    struct store *st = o->opts.sq->store;
    struct err *e;

    METRIC_ADD(st->owned.returned, 1);
    e = blockset_open(st->blocks, o->view_arena, o->opts.sq->opts.tenant, o->opts.block, &filter,
                      &o->view);
    o->is_skipped = !e && !o->view.n;
    if (o->is_skipped)
        store_count_skipped(o->opts.sq, BLOCK_SKIP_SUMMARY, 1);
    return e || o->is_skipped ? e
                              : series_source_block(o->view.readers[0], s->matchers, s->min_ms,
                                                    s->max_ms, s->kind == RPC_SELECT_LABELS,
                                                    &keying, o->opts.n_together, &o->here);
}

/* ---- one after the other ---- */

/* The end of the query, not of the owner. */
static bool is_own_end(const struct err *e)
{
    return err_is(e, ERR_CANCELED) || err_is(e, ERR_TIMEOUT);
}

/* Who fails is not asked for a while; but that the block is gone, or broken, is not its fault. */
static void judge_owner(struct owned_source *o)
{
    enum err_code code;

    if (!fanout_failed(o->f))
        return;
    code = fanout_code(o->f, 0);
    if (code != ERR_NOT_FOUND && code != ERR_CORRUPT)
        fanout_suspects_add(o->opts.sq->store->owner_suspects, instance_of(o));
}

/* Goes on with the next owner, or here. Ends e unless it ends the query. */
static struct err *go_on(struct owned_source *o, struct err *e)
{
    if (is_own_end(e))
        return e;
    err_free(e);
    judge_owner(o);
    METRIC_ADD(o->opts.sq->store->owned.failed, 1);
    fanout_close(o->f);
    o->f = NULL;
    o->has_frame = o->has_end = false;
    if (!o->has_begun && ++o->at < o->opts.n_owners) {
        ask_owner(o);
        return NULL;
    }
    return read_here(o);
}

static bool is_behind_last(const struct owned_source *o, const struct source_series *s)
{
    if (!o->has_last)
        return true;
    if (o->opts.select.is_keyed)
        return hash128_cmp(s->fp, o->last_fp) > 0;
    return labels_cmp(s->labels, o->last) > 0;
}

static void keep_last(struct owned_source *o, const struct source_series *s)
{
    o->has_last = true;
    o->last_fp = s->fp;
    if (o->opts.select.is_keyed)
        return;
    arena_reset(o->last_arena);
    o->last = labels_dup(o->last_arena, s->labels);
}

static struct err *pull(struct owned_source *o, struct source_series *ret, bool *ret_more)
{
    struct err *e;

    for (;;) {
        arena_reset(o->arena);
        if (o->is_skipped) {
            *ret_more = false;
            return NULL;
        }
        if (o->here)
            return o->here->ops->next(o->here, ret, ret_more);
        e = next_of_owner(o, ret, ret_more);
        if (!e || (e = go_on(o, e)))
            return e;
    }
}

static struct err *owned_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct owned_source *o = (struct owned_source *)base;
    struct err *e;

    do {
        if ((e = pull(o, ret, ret_more)))
            return err_is(e, ERR_NOT_FOUND) ? blockset_gone(e) : e;
    } while (*ret_more && !is_behind_last(o, ret));
    if (*ret_more && !o->here)
        keep_last(o, ret);
    return NULL;
}

static void owned_close(struct series_source *base)
{
    struct owned_source *o = (struct owned_source *)base;

    fanout_close(o->f);
    if (o->here)
        o->here->ops->close(o->here);
    blockset_release(o->opts.sq->store->blocks, &o->view);
    ring_unref(o->opts.ring);
    arena_free(o->view_arena);
    arena_free(o->last_arena);
    arena_free(o->arena);
    mem_free(o);
}

struct series_source *series_source_owned(const struct source_owned_opts *opts)
{
    static const struct series_source_ops ops = {owned_next, owned_close};
    struct owned_source *o = mem_new(struct owned_source);

    ORR_ASSERT(opts->n_owners > 0 && opts->n_owners <= BLOCK_OWNERS_MAX);
    o->base.ops = &ops;
    o->opts = *opts;
    o->opts.ring = ring_ref(opts->ring);
    memcpy(o->owners, opts->owners, opts->n_owners * sizeof(*opts->owners));
    o->view_arena = arena_new(0);
    o->last_arena = arena_new(0);
    o->arena = arena_new(0);
    ask_owner(o);
    return &o->base;
}

struct err *series_source_owned_begin(struct series_source *s)
{
    struct owned_source *o = (struct owned_source *)s;
    bool more = true;
    struct err *e = NULL;

    while (!e && !o->here && !o->is_skipped && more && !o->has_end &&
           (!o->has_frame || !reader_left(&o->frame)))
        if ((e = next_frame(o, &more))) {
            more = true;
            e = go_on(o, e);
        }
    return e;
}
