/*
 * A request in pieces, side by side (joborder.h): each is read by the source's fork, in an arena of its own, and what it
 * makes is taken in the order of the pieces. A query for the first lines is likely to have them with the first piece, so
 * the others are not begun before that.
 */
#include "common/base/joborder.h"
#include "common/base/lock.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logquery_internal.h"

struct slot {
    struct logquery_piece piece;
    struct logsource *source;
};

struct pieces {
    const struct logquery_pieces *opts;
    struct logquery_run *run;
    struct objstore_tally *tally; /* of the query's thread */
    const struct logsource_piece *list;
    size_t n, window;
    struct slot *slots; /* of the window, by the piece's number modulo window */
    atomic_bool stop;
    uint64_t max_stored; /* of bytes of pages and filters: logquery_run_stream() */
    struct err *err;
    struct lock lock; /* of the query's source and arena: forks are made while results are taken */
};

/* What one piece may have when all of a window are under way, and the answer as much. */
static size_t share_of_memory(const struct pieces *s)
{
    size_t left = arena_left(s->run->arena);

    return left == SIZE_MAX ? 0 : ORR_MAX(left / (s->window + 1), (size_t)1);
}

static void begin_piece(struct pieces *s, struct slot *slot, size_t i)
{
    const struct logquery_run *whole = s->run;
    struct logquery_piece *p = &slot->piece;

    *slot = (struct slot){.piece.at = s->list[i]};
    lock_take(&s->lock);
    p->run = *whole;
    p->run.limit_bytes = arena_limit(whole->arena);
    p->run.arena = arena_new(share_of_memory(s));
    p->run.source = slot->source = logsource_fork(whole->source, p->run.arena);
    lock_release(&s->lock);
    p->run.stats = &p->stats;
    p->run.stop = &s->stop;
    p->run.ticks = 0;
    p->req = *s->opts->req;
    p->req.piece = &p->at;
    p->req.start_ns = p->at.from_ns;
    p->req.end_ns = p->at.to_ns;
    p->req.stop = &s->stop;
}

static void run_piece(void *arg, size_t i)
{
    struct pieces *s = arg;
    struct slot *slot = &s->slots[i % s->window];
    struct objstore_tally *before = objstore_tally_set(s->tally);

    begin_piece(s, slot, i);
    slot->piece.err = s->opts->read(s->opts->arg, &slot->piece);
    (void)objstore_tally_set(before);
}

static void end_piece(struct pieces *s, struct slot *slot)
{
    struct logquery_piece *p = &slot->piece;

    if (p->state)
        s->opts->drop(p->state);
    lock_take(&s->lock);
    logsource_join(s->run->source, slot->source);
    lock_release(&s->lock);
    arena_free(p->run.arena);
    err_free(p->err);
    *slot = (struct slot){0};
}

/* Each piece was within the limit by itself. */
static struct err *check_sums(const struct pieces *s)
{
    const struct logsource_stats *sum = &s->run->stats->source;
    uint64_t max = s->run->q->max_bytes;

    if (max && (s->run->stats->bytes > max || sum->page_bytes + sum->filter_bytes > s->max_stored))
        return logquery_run_too_much(s->run->q);
    return logquery_run_look(s->run);
}

static bool take_piece(void *arg, size_t i)
{
    struct pieces *s = arg;
    struct slot *slot = &s->slots[i % s->window];
    bool is_last = i + 1 == s->n, is_enough = false;
    const struct logsource_piece *next = &s->list[is_last ? i : i + 1];
    struct err *e = slot->piece.err;

    slot->piece.err = NULL;
    lock_take(&s->lock);
    logquery_run_add(s->run, &slot->piece.stats);
    if (!e)
        e = check_sums(s);
    if (!e)
        e = s->opts->take(s->opts->arg, &slot->piece,
                          s->opts->req->is_forward ? next->from_ns : next->to_ns - 1, &is_enough);
    lock_release(&s->lock);
    end_piece(s, slot);
    s->err = e;
    if (!e && !is_enough)
        return true;
    atomic_store(&s->stop, true);
    return false;
}

bool logquery_pieces_run(const struct logquery_pieces *ps, struct err **ret)
{
    struct logquery_run *r = ps->run;
    unsigned lanes = r->q->pool ? r->q->lanes : 0;
    struct logsource_stats before = r->stats->source;
    struct pieces s = {.opts = ps, .run = r};
    struct logsource_piece *list = NULL;

    if (lanes >= 2)
        s.n = logsource_cut(r->source, r->arena, ps->req, lanes, &list);
    if (s.n < 2)
        return false;
    s.list = list;
    s.window = ORR_MIN((size_t)lanes, s.n);
    s.slots = arena_array(r->arena, struct slot, s.window);
    s.tally = objstore_tally_get();
    s.max_stored = before.page_bytes + before.filter_bytes + r->q->max_bytes;
    lock_init(&s.lock, LOCK_CACHE);
    joborder(&(struct joborder){.pool = r->q->pool,
                                .n = s.n,
                                .lanes = (unsigned)s.window,
                                .begins_alone = ps->req->wants_first,
                                .run = run_piece,
                                .take = take_piece,
                                .arg = &s});
    for (size_t i = 0; i < s.window; i++)
        if (s.slots[i].source)
            end_piece(&s, &s.slots[i]);
    lock_done(&s.lock);
    *ret = s.err;
    return true;
}
