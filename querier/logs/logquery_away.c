/*
 * Pieces of a query that the owners of their blocks run. What is not answered, or of no use, is read here as if nobody had been asked.
 */
#include "common/base/mem.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logpiece_wire.h"
#include "querier/logs/logquery_pieces_internal.h"

bool logquery_away_is(const struct logquery_slots *s, size_t i)
{
    return s->owners && s->away->is_away(s->owners, i);
}

void logquery_away_send(struct logquery_slots *s, struct logquery_slot *slot, size_t i)
{
    struct logpiece_wire_what what = {.q = *s->run->q,
                                      .leaf = s->opts->leaf,
                                      .at = s->list[i],
                                      .memory_bytes = logquery_slot_memory(s)};
    struct buf b = {0};

    logquery_slot_begin(s, slot, i);
    logpiece_wire_what_encode(&b, &what);
    slot->away = s->away->ask(slot->piece.run.source, s->owners, i, buf_slice(&b));
    slot->state = SLOT_SENT;
    if (slot->away && atomic_load(&s->stop)) /* since stop_all() went over those that were away */
        s->away->stop(slot->away);
    buf_done(&b);
}

static struct err *load(struct logquery_slots *s, struct logquery_piece *p, struct slice bytes)
{
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    if (logpiece_wire_stats_decode(&r, &p->stats))
        e = s->opts->load(s->opts->arg, p, &r);
    if (!e && (!reader_ok(&r) || reader_left(&r)))
        e = err_new(ERR_CORRUPT, "what a querier has made of a piece is malformed");
    return e;
}

/* All that a piece may have, if that is less. */
static size_t max_answer(const struct logquery_piece *p)
{
    return ORR_MIN(ORR_MAX(arena_left(p->run.arena), (size_t)1), (size_t)LOGPIECE_WIRE_MAX_ANSWER);
}

static struct err *wait_for_answer(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct objstore_tally *before = objstore_tally_set(s->tally);
    struct logquery_piece *p = &slot->piece;
    struct buf b = {.max_bytes = max_answer(p)};
    struct err *e = s->away->answer(slot->away, &b);

    if (!e) {
        arena_charge(p->run.arena, (int64_t)b.cap);
        e = load(s, p, buf_slice(&b));
        arena_charge(p->run.arena, -(int64_t)b.cap);
    }
    if (!e)
        s->away->used(slot->away);
    (void)objstore_tally_set(before);
    buf_done(&b);
    return e;
}

bool logquery_away_is_answered(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct logquery_piece *p = &slot->piece;
    struct logsource_asked *away = slot->away;
    struct err *e = wait_for_answer(s, slot), *over = e ? logquery_run_over(&p->run) : NULL;

    lock_take(&s->lock);
    slot->away = NULL;
    lock_release(&s->lock);
    if (e && !over)
        s->away->failed(away);
    s->away->done(away);
    if (!e) {
        p->stats.source.away = 1;
        return true;
    }
    err_free(e);
    logquery_slot_renew(s, slot);
    p->err = over; /* the query's own end; else it is run here */
    return over != NULL;
}
