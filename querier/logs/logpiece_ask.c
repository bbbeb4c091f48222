#include "querier/logs/logpiece_ask.h"

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/logblock/logblock.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logpiece_wire.h"
#include "querier/logs/logremote.h"

#define NOBODY UINT16_MAX

struct logsource_owners {
    struct ring *ring; /* the queriers' */
    size_t n;
    uint16_t who[]; /* of each piece: its number in the ring, or NOBODY else */
};

struct logsource_asked {
    struct logremote *remote; /* the fork */
    struct ring *ring;        /* referenced */
    uint16_t who;
    struct fanout *f;
    bool has_end;
    struct logpiece_wire_end end;
};

/* ---- who ---- */

static bool owner_of(struct store_query *sq, const struct ring *ring,
                     const struct logsource_piece *p, uint16_t *ret)
{
    return p->from_ns < p->to_ns &&
           store_log_owner(sq, ring, logblock_ms(p->from_ns), logblock_ms(p->to_ns - 1), ret);
}

static void owners_done(struct logsource_owners *o)
{
    if (!o)
        return;
    ring_unref(o->ring);
    mem_free(o);
}

static struct logsource_owners *owners(struct logsource *src, const struct logsource_piece *list,
                                       size_t n)
{
    struct logremote *r = (struct logremote *)src;
    struct ring *ring = r->opts.has_known_mark ? NULL : store_log_owners(r->opts.sq);
    struct logsource_owners *o;
    bool any = false;

    if (!ring)
        return NULL;
    o = mem_alloc(sizeof(*o) + n * sizeof(o->who[0]));
    o->ring = ring;
    o->n = n;
    for (size_t i = 0; i < n; i++) {
        bool is_owned = ring_size(ring) > 1 && owner_of(r->opts.sq, ring, &list[i], &o->who[i]);

        any |= is_owned;
        if (!is_owned)
            o->who[i] = NOBODY;
    }
    if (any)
        return o;
    owners_done(o);
    return NULL;
}

static bool is_away(const struct logsource_owners *o, size_t i)
{
    return o->who[i] != NOBODY;
}

/* ---- one piece ---- */

static struct logsource_asked *ask(struct logsource *fork, struct logsource_owners *o, size_t i,
                                   struct slice what)
{
    struct logremote *r = (struct logremote *)fork;
    const struct store_query_opts *opts = &r->opts.sq->opts;
    struct logsource_asked *asked = mem_new(struct logsource_asked);
    struct buf b = {0};

    ORR_ASSERT(i < o->n && is_away(o, i));
    logpiece_wire_ask_encode(&b, &(struct logpiece_wire_ask){.grace_ns = r->opts.grace_ns,
                                                             .max_streams = r->opts.max_streams,
                                                             .min_ms = opts->min_ms,
                                                             .shard_size = opts->shard_size,
                                                             .what = what});
    *asked = (struct logsource_asked){.remote = r, .ring = ring_ref(o->ring), .who = o->who[i]};
    asked->f = store_ask_log_owner(r->opts.sq, asked->ring, asked->who, "querier.log_piece",
                                   buf_slice(&b));
    buf_done(&b);
    return asked;
}

static struct err *malformed(void)
{
    return err_new(ERR_CORRUPT, "a querier's answer is malformed");
}

/* Kept for used(): until all of the answer was read it may turn out to be of no use. */
static struct err *take_end(struct logsource_asked *asked, struct reader *frame)
{
    struct arena *a = asked->remote->opts.sq->opts.arena;
    struct reader kept = reader_new(arena_dup(a, reader_rest(frame)));

    if (!logpiece_wire_end_decode(a, &kept, &asked->end))
        return malformed();
    asked->has_end = true;
    return NULL;
}

static struct err *take_frame(struct logsource_asked *asked, struct slice bytes, struct buf *out)
{
    struct reader r = reader_new(bytes);

    if (asked->has_end)
        return malformed();
    switch (reader_u8(&r)) {
    case LOGPIECE_WIRE_BEGUN:
        store_be_patient(asked->remote->opts.sq, asked->f, LOGPIECE_ASK_PATIENCE);
        return reader_left(&r) ? malformed() : NULL;
    case LOGPIECE_WIRE_MADE:
        buf_slice_append(out, reader_rest(&r));
        return buf_ok(out) ? NULL
                           : err_new(ERR_TOO_LARGE,
                                     "a querier's answer has more than %zu bytes, "
                                     "which is all that its piece may have",
                                     out->max_bytes);
    case LOGPIECE_WIRE_END:
        return take_end(asked, &r);
    default:
        return malformed();
    }
}

static struct err *answer(struct logsource_asked *asked, struct buf *ret)
{
    struct slice bytes;
    struct err *e;

    for (;;) {
        if ((e = fanout_wait(asked->f)))
            return e;
        if (!fanout_frame(asked->f, 0, &bytes))
            return asked->has_end ? NULL : err_new(ERR_CORRUPT, "a querier's answer has no end");
        if ((e = take_frame(asked, bytes, ret)))
            return e;
        fanout_pop(asked->f, 0);
    }
}

/* What a fork would have left: see remote_join(). */
static void used(struct logsource_asked *asked)
{
    const struct logpiece_wire_end *end = &asked->end;
    struct objstore_tally *tally = objstore_tally_get();
    struct logremote *r = asked->remote;
    struct store_query *sq = r->opts.sq;

    ORR_ASSERT(asked->has_end);
    if (tally) {
        METRIC_ADD(tally->gets, end->gets);
        METRIC_ADD(tally->bytes, end->bytes);
    }
    r->mark = ORR_MAX(r->mark, end->mark);
    sq->logs_dropped_by = ORR_MAX(sq->logs_dropped_by, end->mark);
    sq->failed_streams += end->failed_streams;
    for (size_t i = 0; i < end->n_warnings; i++)
        store_query_warn(sq, end->warnings[i]);
}

static void failed(struct logsource_asked *asked)
{
    store_log_owner_failed(asked->remote->opts.sq, asked->ring, asked->who, asked->f);
}

static void stop(struct logsource_asked *asked)
{
    fanout_stop(asked->f);
}

static void done(struct logsource_asked *asked)
{
    fanout_close(asked->f);
    ring_unref(asked->ring);
    mem_free(asked);
}

const struct logsource_away_ops logpiece_ask_ops = {.owners = owners,
                                                    .is_away = is_away,
                                                    .owners_done = owners_done,
                                                    .ask = ask,
                                                    .answer = answer,
                                                    .used = used,
                                                    .failed = failed,
                                                    .stop = stop,
                                                    .done = done};
