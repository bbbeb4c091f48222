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

static struct err *wait_for_answer(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct objstore_tally *before = objstore_tally_set(s->tally);
    struct logquery_piece *p = &slot->piece;
    size_t room = arena_left(p->run.arena);
    struct buf b = {.max_bytes = room == SIZE_MAX ? 0 : ORR_MAX(room, (size_t)1)};
    struct err *e = s->away->answer(slot->away, &b);
    size_t held = b.len;

    (void)objstore_tally_set(before);
    if (!e) {
        arena_charge(p->run.arena, (int64_t)held);
        e = load(s, p, buf_slice(&b));
        arena_charge(p->run.arena, -(int64_t)held);
    }
    buf_done(&b);
    return e;
}

bool logquery_away_is_answered(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct logquery_piece *p = &slot->piece;
    struct logsource_asked *away = slot->away;
    struct err *e = wait_for_answer(s, slot);

    lock_take(&s->lock);
    slot->away = NULL;
    lock_release(&s->lock);
    if (!e) {
        p->stats.source.away = 1;
        s->away->done(away);
        return true;
    }
    err_free(e);
    if (p->state)
        s->opts->drop(p->state);
    p->state = NULL;
    p->stats = (struct logquery_stats){0};
    p->err = logquery_run_look(&p->run); /* the query's own end; else it is run here */
    if (!p->err)
        s->away->failed(away);
    s->away->done(away);
    return p->err != NULL;
}
