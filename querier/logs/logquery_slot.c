/* A piece of a query: its begin and its end, and what is read ahead of it. */
#include "common/base/job.h"
#include "common/base/mem.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logquery_pieces_internal.h"

void logquery_slots_unref(struct logquery_slots *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    (void)pthread_cond_destroy(&s->changed);
    lock_done(&s->lock);
    mem_free(s->slots);
    mem_free(s);
}

size_t logquery_slot_memory(const struct logquery_slots *s)
{
    size_t left = arena_left(s->run->arena);

    return left == SIZE_MAX ? 0 : ORR_MAX(left / (s->lanes + LOGQUERY_OTHER_SHARES), (size_t)1);
}

void logquery_slot_begin(struct logquery_slots *s, struct logquery_slot *slot, size_t i)
{
    const struct logquery_run *whole = s->run;
    struct logquery_piece *p = &slot->piece;

    *slot = (struct logquery_slot){.number = i, .piece.at = s->list[i]};
    p->run = *whole;
    p->run.limit_bytes = arena_limit(whole->arena);
    p->run.arena = arena_new(logquery_slot_memory(s));
    p->run.source = logsource_fork(whole->source, p->run.arena);
    p->run.stats = &p->stats;
    p->run.stop = &s->stop;
    p->run.ticks = 0;
    p->req = *s->opts->req;
    p->req.piece = &p->at;
    p->req.start_ns = p->at.from_ns;
    p->req.end_ns = p->at.to_ns;
    p->req.stop = &s->stop;
    p->req.side_by_side = (unsigned)s->n_slots;
}

static void drop_state(struct logquery_slots *s, struct logquery_piece *p)
{
    if (p->state)
        s->opts->drop(p->state);
    p->state = NULL;
}

void logquery_slot_renew(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct logquery_piece *p = &slot->piece;

    drop_state(s, p);
    lock_take(&s->lock);
    logsource_join(s->run->source, p->run.source);
    arena_free(p->run.arena);
    logquery_slot_begin(s, slot, slot->number);
    slot->state = SLOT_BEGUN;
    lock_release(&s->lock);
}

void logquery_slot_end(struct logquery_slots *s, struct logquery_slot *slot)
{
    struct logquery_piece *p = &slot->piece;

    if (!p->run.source)
        return;
    if (slot->away)
        s->away->done(slot->away);
    logsource_ahead_done(p->run.source, p->req.ahead);
    drop_state(s, p);
    lock_take(&s->lock);
    logsource_join(s->run->source, p->run.source);
    lock_release(&s->lock);
    arena_free(slot->ahead_arena);
    arena_free(p->run.arena);
    err_free(p->err);
    lock_take(&s->lock);
    *slot = (struct logquery_slot){0};
    lock_release(&s->lock);
}

/* ---- ahead ---- */

struct asked {
    struct logquery_slots *pieces;
    size_t number;
};

/* On a thread of the source's pool. */
static void read_ahead(void *arg)
{
    struct asked *a = arg;
    struct logquery_slots *s = a->pieces;
    struct logquery_slot *slot = logquery_slot_of(s, a->number);
    struct logquery_piece *p = &slot->piece;
    struct objstore_tally *before;
    size_t share;

    lock_take(&s->lock);
    if (s->is_closed || slot->state != SLOT_ASKED || slot->number != a->number) {
        lock_release(&s->lock);
        return;
    }
    logquery_slot_begin(s, slot, a->number);
    share = arena_limit(p->run.arena);
    slot->ahead_arena = arena_new(share ? ORR_MAX(share / LOGQUERY_AHEAD, (size_t)1) : 0);
    slot->state = SLOT_READS;
    lock_release(&s->lock);
    before = objstore_tally_set(s->tally);
    p->req.ahead = logsource_ahead(p->run.source, slot->ahead_arena, &p->req);
    (void)objstore_tally_set(before);
    lock_take(&s->lock);
    slot->state = SLOT_READ;
    (void)pthread_cond_broadcast(&s->changed);
    lock_release(&s->lock);
}

static void asked_done(void *arg)
{
    struct asked *a = arg;

    logquery_slots_unref(a->pieces);
    mem_free(a);
}

/* With the lock. False: there is no thread for it now. */
static bool ask_for(struct logquery_slots *s, size_t i)
{
    struct logquery_slot *slot = logquery_slot_of(s, i);
    struct asked *a;
    struct err *e;

    if (logquery_away_is(s, i)) {
        logquery_away_send(s, slot, i);
        return true;
    }
    if (!s->ahead_pool)
        return true;
    a = mem_new(struct asked);
    *a = (struct asked){s, i};
    atomic_fetch_add(&s->refs, 1);
    *slot = (struct logquery_slot){.state = SLOT_ASKED, .number = i};
    if (!(e = job_run(s->ahead_pool, NULL, read_ahead, asked_done, a)))
        return true;
    err_free(e);
    slot->state = SLOT_EMPTY;
    asked_done(a);
    return false;
}

void logquery_slot_look_ahead(struct logquery_slots *s, size_t i)
{
    size_t ahead =
        s->opts->req->wants_first ? ORR_MIN(s->full, (size_t)LOGQUERY_AHEAD) : LOGQUERY_AHEAD;
    size_t end = ORR_MIN(s->n, ORR_MIN(i + 1 + ahead, s->taken + s->n_slots));

    if ((!s->ahead_pool && !s->owners) || atomic_load(&s->stop))
        return;
    s->asked = ORR_MAX(s->asked, i + 1);
    while (s->asked < end && ask_for(s, s->asked))
        s->asked++;
}
