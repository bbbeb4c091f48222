/*
 * A request in pieces, side by side (joborder.h): each is read by the source's fork, in an arena of its own, and what it
 * makes is taken in the order of the pieces. A query for the first lines is likely to have them with the first piece that has any, so
 * others are not begun before that.
 *
 *     taken │ lanes: under way, or waiting to be taken │ ahead: first reads │
 *
 * Where the source waits for what is far away, other threads make the first reads of the pieces that come next, AHEAD of them; for a
 * query for the first lines as many as have been read in vain. A piece whose turn comes while that is under way waits for it; before, it does all by itself.
 *
 * Pieces that others own (logsource.h) are asked of them as far ahead, and when their turn comes their answers are waited for: by
 * then most are there. What is not answered is read as if nobody had been asked.
 */
#include "common/base/clock.h"
#include "common/base/joborder.h"
#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/objstore/objstore.h"
#include "querier/logs/logpiece_wire.h"
#include "querier/logs/logquery_internal.h"

#define AHEAD 8 /* pieces, beside those under way */
/* Of memory that a piece under way may have, at least: for pages of its blocks, and what it makes. */
#define PIECE_BYTES (64u << 20)
#define OTHER_SHARES 2 /* as large: of the answer, and of all that is read ahead */

/* SENT: somebody else runs it */
enum slot_state { EMPTY, ASKED, AHEAD_READS, AHEAD_DONE, SENT, BEGUN };

struct slot {
    enum slot_state state;
    size_t number;                /* of the piece */
    struct logquery_piece piece;  /* its run has no source: there is none */
    struct arena *ahead_arena;    /* NULL: nothing was read ahead */
    struct logsource_asked *away; /* NULL: nobody else was asked, or it has answered */
};

struct pieces {
    _Atomic uint32_t refs; /* the query's, and one for each piece that was asked to be read ahead */
    const struct logquery_pieces *opts; /* the query's, as all that it points to */
    struct logquery_run *run;
    struct objstore_tally *tally; /* of the query's thread */
    struct job_pool *ahead_pool;  /* NULL: nothing is read ahead */
    const struct logsource_away_ops *away;
    struct logsource_owners *owners; /* NULL: all is read here */
    const struct logsource_piece *list;
    size_t n, lanes, n_slots;
    atomic_bool stop;
    uint64_t max_stored; /* of bytes of pages and filters: logquery_run_stream() */
    struct err *err;     /* of who takes, one at a time */

    struct lock
        lock; /* guards what follows; and the query's source and arena, which forks are made of while results are taken */
    pthread_cond_t changed;
    struct slot *slots;  /* by the piece's number modulo n_slots */
    size_t taken, asked; /* pieces; asked: up to here, if any were */
    size_t full;         /* of those taken, with lines or blocks */
    bool is_closed;      /* nothing of the query is to be touched any more */
};

static void pieces_unref(struct pieces *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    (void)pthread_cond_destroy(&s->changed);
    lock_done(&s->lock);
    mem_free(s->slots);
    mem_free(s);
}

/* ---- a piece: begin and end ---- */

/* What one piece may have when all lanes are busy, and as much the answer, and what is read ahead. */
static size_t share_of_memory(const struct pieces *s)
{
    size_t left = arena_left(s->run->arena);

    return left == SIZE_MAX ? 0 : ORR_MAX(left / (s->lanes + OTHER_SHARES), (size_t)1);
}

/* With the lock. */
static void begin_piece(struct pieces *s, struct slot *slot, size_t i)
{
    const struct logquery_run *whole = s->run;
    struct logquery_piece *p = &slot->piece;

    *slot = (struct slot){.number = i, .piece.at = s->list[i]};
    p->run = *whole;
    p->run.limit_bytes = arena_limit(whole->arena);
    p->run.arena = arena_new(share_of_memory(s));
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

/* With the lock: has the piece run by its owner. */
static void send_piece(struct pieces *s, struct slot *slot, size_t i)
{
    struct logpiece_wire_what what = {.q = *s->run->q,
                                      .leaf = s->opts->leaf,
                                      .at = s->list[i],
                                      .memory_bytes = share_of_memory(s)};
    struct buf b = {0};

    begin_piece(s, slot, i);
    logpiece_wire_what_encode(&b, &what);
    slot->away = s->away->ask(slot->piece.run.source, s->owners, i, buf_slice(&b));
    slot->state = SENT;
    if (slot->away && atomic_load(&s->stop)) /* since stop_all() went over those that were away */
        s->away->stop(slot->away);
    buf_done(&b);
}

static bool is_away(const struct pieces *s, size_t i)
{
    return s->owners && s->away->is_away(s->owners, i);
}

/* Without the lock: what was read ahead has locks of its own. Who was asked to read it ahead, and comes only now, still looks at
 * the slot. */
static void end_piece(struct pieces *s, struct slot *slot)
{
    struct logquery_piece *p = &slot->piece;

    if (!p->run.source)
        return;
    if (slot->away)
        s->away->done(slot->away);
    logsource_ahead_done(p->run.source, p->req.ahead);
    if (p->state)
        s->opts->drop(p->state);
    lock_take(&s->lock);
    logsource_join(s->run->source, p->run.source);
    lock_release(&s->lock);
    arena_free(slot->ahead_arena);
    arena_free(p->run.arena);
    err_free(p->err);
    lock_take(&s->lock);
    *slot = (struct slot){0};
    lock_release(&s->lock);
}

/* ---- ahead ---- */

struct asked {
    struct pieces *pieces;
    size_t number;
};

/* On a thread of the source's pool. */
static void read_ahead(void *arg)
{
    struct asked *a = arg;
    struct pieces *s = a->pieces;
    struct slot *slot = &s->slots[a->number % s->n_slots];
    struct logquery_piece *p = &slot->piece;
    struct objstore_tally *before;
    size_t share;

    lock_take(&s->lock);
    if (s->is_closed || slot->state != ASKED || slot->number != a->number) {
        lock_release(&s->lock);
        return;
    }
    begin_piece(s, slot, a->number);
    share = arena_limit(p->run.arena);
    slot->ahead_arena = arena_new(share ? ORR_MAX(share / AHEAD, (size_t)1) : 0);
    slot->state = AHEAD_READS;
    lock_release(&s->lock);
    before = objstore_tally_set(s->tally);
    p->req.ahead = logsource_ahead(p->run.source, slot->ahead_arena, &p->req);
    (void)objstore_tally_set(before);
    lock_take(&s->lock);
    slot->state = AHEAD_DONE;
    (void)pthread_cond_broadcast(&s->changed);
    lock_release(&s->lock);
}

static void asked_done(void *arg)
{
    struct asked *a = arg;

    pieces_unref(a->pieces);
    mem_free(a);
}

/* With the lock. False: there is no thread for it now. */
static bool ask_for(struct pieces *s, size_t i)
{
    struct slot *slot = &s->slots[i % s->n_slots];
    struct asked *a;
    struct err *e;

    if (is_away(s, i)) {
        send_piece(s, slot, i);
        return true;
    }
    if (!s->ahead_pool)
        return true;
    a = mem_new(struct asked);
    *a = (struct asked){s, i};
    atomic_fetch_add(&s->refs, 1);
    *slot = (struct slot){.state = ASKED, .number = i};
    if (!(e = job_run(s->ahead_pool, NULL, read_ahead, asked_done, a)))
        return true;
    err_free(e);
    slot->state = EMPTY;
    asked_done(a);
    return false;
}

/* With the lock, while piece i begins. */
static void look_ahead(struct pieces *s, size_t i)
{
    size_t ahead = s->opts->req->wants_first ? ORR_MIN(s->full, (size_t)AHEAD) : AHEAD;
    size_t end = ORR_MIN(s->n, ORR_MIN(i + 1 + ahead, s->taken + s->n_slots));

    if ((!s->ahead_pool && !s->owners) || atomic_load(&s->stop))
        return;
    s->asked = ORR_MAX(s->asked, i + 1);
    while (s->asked < end && ask_for(s, s->asked))
        s->asked++;
}

/* ---- pieces in their order ---- */

static void read_in_turn(struct pieces *s, struct logquery_piece *p)
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

/* ---- pieces of others ---- */

static struct err *load(struct pieces *s, struct logquery_piece *p, struct slice bytes)
{
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    if (logpiece_wire_stats_decode(&r, &p->stats))
        e = s->opts->load(s->opts->arg, p, &r);
    if (!e && (!reader_ok(&r) || reader_left(&r)))
        e = err_new(ERR_CORRUPT, "what a querier has made of a piece is malformed");
    return e;
}

static struct err *wait_for_answer(struct pieces *s, struct slot *slot)
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

/* False: nobody has run it, and it is as before. */
static bool is_answered(struct pieces *s, struct slot *slot)
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

static void stop_all(struct pieces *s)
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
    struct pieces *s = arg;
    struct slot *slot = &s->slots[i % s->n_slots];

    lock_take(&s->lock);
    if (slot->state == ASKED)
        slot->state = EMPTY; /* who was asked finds it so */
    while (slot->state == AHEAD_READS)
        lock_wait(&s->lock, &s->changed);
    if (slot->state == EMPTY && is_away(s, i))
        send_piece(s, slot, i);
    else if (slot->state == EMPTY)
        begin_piece(s, slot, i);
    slot->state = BEGUN;
    look_ahead(s, i);
    lock_release(&s->lock);
    if (!slot->away || !is_answered(s, slot))
        read_in_turn(s, &slot->piece);
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

static unsigned take_piece(void *arg, size_t i)
{
    struct pieces *s = arg;
    struct slot *slot = &s->slots[i % s->n_slots];
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
    end_piece(s, slot);
    lock_take(&s->lock);
    s->taken = i + 1; /* the slot is free */
    lock_release(&s->lock);
    if (e || is_enough)
        return 0;
    return s->opts->req->wants_first && !s->full ? 1 : (unsigned)s->lanes;
}

/* What nobody wants any more, but for what is being read ahead, which is waited for. */
static void close_pieces(struct pieces *s)
{
    lock_take(&s->lock);
    atomic_store(&s->stop, true);
    s->is_closed = true;
    for (size_t i = 0; i < s->n_slots; i++)
        while (s->slots[i].state == AHEAD_READS)
            lock_wait(&s->lock, &s->changed);
    lock_release(&s->lock);
    for (size_t i = 0; i < s->n_slots; i++)
        end_piece(s, &s->slots[i]);
    if (s->owners)
        s->away->owners_done(s->owners);
}

/* On a machine of many cores an even share of the memory is no more than a piece takes by itself: then fewer run at once. */
static size_t lanes_of(const struct logquery_run *r, size_t n)
{
    size_t lanes = ORR_MIN(ORR_MAX((size_t)r->q->lanes, (size_t)1), n);
    size_t shares = (size_t)(arena_left(r->arena) / PIECE_BYTES);

    return ORR_MIN(lanes, ORR_MAX(shares, (size_t)OTHER_SHARES + 1) - OTHER_SHARES);
}

static struct logsource_owners *owners_of(const struct logquery_pieces *ps,
                                          const struct logsource_piece *list, size_t n)
{
    struct logsource *source = ps->run->source;
    const struct logsource_away_ops *away = source->ops->away;

    return n && away && ps->load ? away->owners(source, list, n) : NULL;
}

/* Takes the owners over. */
static struct pieces *pieces_new(const struct logquery_pieces *ps, struct job_pool *ahead_pool,
                                 const struct logsource_piece *list, size_t n,
                                 struct logsource_owners *owners)
{
    struct logquery_run *r = ps->run;
    const struct logsource_stats *before = &r->stats->source;
    struct pieces *s = mem_new(struct pieces);

    s->opts = ps;
    s->run = r;
    s->list = list;
    s->n = n;
    s->lanes = lanes_of(r, n);
    s->ahead_pool = ahead_pool;
    s->away = r->source->ops->away;
    s->owners = owners;
    s->n_slots = ORR_MIN(s->lanes + (ahead_pool || owners ? AHEAD : 0), n);
    s->slots = mem_new_array(struct slot, s->n_slots);
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
    p.req.side_by_side = AHEAD;
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
    struct pieces *s;
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
    pieces_unref(s);
    return true;
}
