/*
 * A request in pieces, side by side (joborder.h): each is read by the source's fork, in an arena of its own, and what it
 * makes is taken in the order of the pieces. A query for the first lines is likely to have them with the first piece that has any, so
 * others are not begun before that.
 *
 *     taken │ lanes: under way, or waiting to be taken │ ahead: first reads │
 *
 * Where the source waits for what is far away, other threads make the first reads of the pieces that come next, LOGQUERY_AHEAD of them; for a
 * query for the first lines as many as have been read in vain. A piece whose turn comes while that is under way waits for it; before, it does all by itself.
 *
 * Pieces that others own (logsource.h) are asked of them as far ahead, and when their turn comes their answers are waited for: by
 * then most are there. What is not answered is read as if nobody had been asked.
 */
#include "common/base/clock.h"
#include "common/base/joborder.h"
#include "common/base/mem.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logpiece_wire.h"
#include "querier/logs/logquery_pieces_internal.h"

/* Of memory that a piece under way may have, at least: for pages of its blocks, and what it makes. */
#define PIECE_BYTES (64u << 20)

static void read_in_turn(struct logquery_slots *s, struct logquery_piece *p)
{
    struct objstore_tally *before = objstore_tally_set(s->tally);
    struct turns *turns = s->run->q->turns;
    struct turn turn;

    if (turns) {
        turn_begin(&turn, turns, p->run.began_mono_ms, clock_mono_ms(&clock_system));
        p->run.turn = &turn;
    }
    p->err = s->opts->read(s->opts->arg, p);
    p->run.turn = NULL;
    if (turns)
        turn_end(&turn, clock_mono_ms(&clock_system));
    (void)objstore_tally_set(before);
}

static void stop_all(struct logquery_slots *s)
{
    lock_take(&s->lock);
    atomic_store(&s->stop, true);
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].away)
            s->away->stop(s->slots[i].away);
    lock_release(&s->lock);
}

/* ---- each in its turn ---- */

static void run_piece(void *arg, size_t i)
{
    struct logquery_slots *s = arg;
    struct logquery_slot *slot = logquery_slot_of(s, i);

    lock_take(&s->lock);
    if (slot->state == SLOT_ASKED)
        slot->state = SLOT_EMPTY; /* who was asked finds it so */
    while (slot->state == SLOT_READS)
        lock_wait(&s->lock, &s->changed);
    if (slot->state == SLOT_EMPTY && logquery_away_is(s, i))
        logquery_away_send(s, slot, i);
    else if (slot->state == SLOT_EMPTY)
        logquery_slot_begin(s, slot, i);
    slot->state = SLOT_BEGUN;
    logquery_slot_look_ahead(s, i);
    lock_release(&s->lock);
    if (!slot->away || !logquery_away_is_answered(s, slot))
        read_in_turn(s, &slot->piece);
}

/* Each piece was within the limit by itself. */
static struct err *check_sums(const struct logquery_slots *s)
{
    const struct logsource_stats *sum = &s->run->stats->source;
    uint64_t max = s->run->q->max_bytes;

    if (max && (s->run->stats->bytes > max || sum->page_bytes + sum->filter_bytes > s->max_stored))
        return logquery_run_too_much(s->run->q);
    return logquery_run_look(s->run);
}

static unsigned take_piece(void *arg, size_t i)
{
    struct logquery_slots *s = arg;
    struct logquery_slot *slot = logquery_slot_of(s, i);
    const struct logsource_piece *next = &s->list[ORR_MIN(i + 1, s->n - 1)];
    bool is_enough = false;
    struct err *e = slot->piece.err;

    slot->piece.err = NULL;
    lock_take(&s->lock);
    logquery_run_add(s->run, &slot->piece.stats);
    s->full += slot->piece.stats.source.blocks || slot->piece.stats.lines;
    if (!e)
        e = check_sums(s);
    if (!e)
        e = s->opts->take(s->opts->arg, &slot->piece,
                          s->opts->req->is_forward ? next->from_ns : next->to_ns - 1, &is_enough);
    lock_release(&s->lock);
    s->err = e;
    if (e || is_enough)
        stop_all(s);
    logquery_slot_end(s, slot);
    lock_take(&s->lock);
    s->taken = i + 1; /* the slot is free */
    lock_release(&s->lock);
    if (e || is_enough)
        return 0;
    return s->opts->req->wants_first && !s->full ? 1 : (unsigned)s->lanes;
}

/* What nobody wants any more, but for what is being read ahead, which is waited for. */
static void close_pieces(struct logquery_slots *s)
{
    lock_take(&s->lock);
    atomic_store(&s->stop, true);
    s->is_closed = true;
    for (size_t i = 0; i < s->n_slots; i++)
        while (s->slots[i].state == SLOT_READS)
            lock_wait(&s->lock, &s->changed);
    lock_release(&s->lock);
    for (size_t i = 0; i < s->n_slots; i++)
        logquery_slot_end(s, &s->slots[i]);
    if (s->owners)
        s->away->owners_done(s->owners);
}

/* On a machine of many cores an even share of the memory is no more than a piece takes by itself: then fewer run at once. */
static size_t lanes_of(const struct logquery_run *r, size_t n)
{
    size_t lanes = ORR_MIN(ORR_MAX((size_t)r->q->lanes, (size_t)1), n);
    size_t shares = (size_t)(arena_left(r->arena) / PIECE_BYTES);

    return ORR_MIN(lanes,
                   ORR_MAX(shares, (size_t)LOGQUERY_OTHER_SHARES + 1) - LOGQUERY_OTHER_SHARES);
}

static struct logsource_owners *owners_of(const struct logquery_pieces *ps,
                                          const struct logsource_piece *list, size_t n)
{
    struct logsource *source = ps->run->source;
    const struct logsource_away_ops *away = source->ops->away;

    return n && away && ps->load ? away->owners(source, list, n) : NULL;
}

/* Takes the owners over. */
static struct logquery_slots *pieces_new(const struct logquery_pieces *ps,
                                         struct job_pool *ahead_pool,
                                         const struct logsource_piece *list, size_t n,
                                         struct logsource_owners *owners)
{
    struct logquery_run *r = ps->run;
    const struct logsource_stats *before = &r->stats->source;
    struct logquery_slots *s = mem_new(struct logquery_slots);

    s->opts = ps;
    s->run = r;
    s->list = list;
    s->n = n;
    s->lanes = lanes_of(r, n);
    s->ahead_pool = ahead_pool;
    s->away = r->source->ops->away;
    s->owners = owners;
    s->n_slots = ORR_MIN(s->lanes + (ahead_pool || owners ? LOGQUERY_AHEAD : 0), n);
    s->slots = mem_new_array(struct logquery_slot, s->n_slots);
    s->tally = objstore_tally_get();
    s->max_stored = before->page_bytes + before->filter_bytes + r->q->max_bytes;
    atomic_store(&s->refs, 1);
    lock_init(&s->lock, LOCK_CACHE);
    lock_cond_init(&s->changed);
    return s;
}

/* For somebody else, who takes it. */
static struct err *run_only(const struct logquery_pieces *ps)
{
    const struct logquery_only *only = ps->run->only;
    struct logquery_piece p = {.run = *ps->run, .req = *ps->req, .at = *only->at};
    struct err *e;

    p.run.stats = &p.stats;
    p.req.piece = &p.at;
    p.req.start_ns = p.at.from_ns;
    p.req.end_ns = p.at.to_ns;
    p.req.side_by_side = LOGQUERY_AHEAD;
    e = ps->read(ps->arg, &p);
    if (!e) {
        logpiece_wire_stats_encode(only->out, &p.stats);
        ps->save(p.state, only->out);
    }
    if (p.state)
        ps->drop(p.state);
    return e;
}

bool logquery_pieces_run(const struct logquery_pieces *ps, struct err **ret)
{
    struct logquery_run *r = ps->run;
    struct job_pool *ahead_pool = r->q->pool ? logsource_ahead_pool(r->source) : NULL;
    struct logsource_piece *list = NULL;
    struct logsource_owners *owners;
    struct logquery_slots *s;
    size_t n = 0;

    if (r->only) {
        *ret = run_only(ps);
        return true;
    }
    if (r->q->pool && (r->q->lanes >= 2 || ahead_pool))
        n = logsource_cut(r->source, r->arena, ps->req, ORR_MAX(r->q->lanes, 1u), &list);
    owners = owners_of(ps, list, n);
    if (n < 2 && !owners)
        return false;
    s = pieces_new(ps, ahead_pool, list, n, owners);
    joborder(&(struct joborder){.pool = r->q->pool,
                                .n = n,
                                .lanes = (unsigned)s->lanes,
                                .first = ps->req->wants_first,
                                .run = run_piece,
                                .take = take_piece,
                                .arg = s});
    close_pieces(s);
    *ret = s->err;
    logquery_slots_unref(s);
    return true;
}
