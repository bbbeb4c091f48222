/*
 * What the files of logquery_pieces.c share: the pieces of a request that are under way or read ahead.
 *
 * Whoever has begun a piece is alone with it, but for what its owner's wait needs (away, which stop_all() looks at); all else of a slot is
 * guarded by the lock.
 */
#pragma once
#include "common/base/lock.h"
#include "querier/logs/logquery_internal.h"

#define LOGQUERY_AHEAD 8 /* pieces, beside those under way */
#define LOGQUERY_OTHER_SHARES                                                                      \
    2 /* of memory, each what a piece has: of the answer, and of all that is read ahead */

/* SENT: somebody else runs it */
enum logquery_slot_state { SLOT_EMPTY, SLOT_ASKED, SLOT_READS, SLOT_READ, SLOT_SENT, SLOT_BEGUN };

struct logquery_slot {
    enum logquery_slot_state state;
    size_t number;                /* of the piece */
    struct logquery_piece piece;  /* its run has no source: there is none */
    struct arena *ahead_arena;    /* NULL: nothing was read ahead */
    struct logsource_asked *away; /* NULL: nobody else was asked, or it has answered */
};

struct logquery_slots {
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
    struct logquery_slot *slots; /* by the piece's number modulo n_slots */
    size_t taken, asked;         /* pieces; asked: up to here, if any were */
    size_t full;                 /* of those taken, with lines or blocks */
    bool is_closed;              /* nothing of the query is to be touched any more */
};

static inline struct logquery_slot *logquery_slot_of(struct logquery_slots *s, size_t i)
{
    return &s->slots[i % s->n_slots];
}

/* ---- logquery_slot.c: a piece's begin and end, and what is read ahead of it ---- */

void logquery_slots_unref(struct logquery_slots *s);
/* What one piece may have when all lanes are busy, and as much the answer, and what is read ahead. 0: no bound. */
size_t logquery_slot_memory(const struct logquery_slots *s);
/* With the lock. */
void logquery_slot_begin(struct logquery_slots *s, struct logquery_slot *slot, size_t i);
/* Without the lock, once it has begun: again from the start, as if nothing had been made, in an arena of its own. */
void logquery_slot_renew(struct logquery_slots *s, struct logquery_slot *slot);
/* Without the lock: what was read ahead has locks of its own. Who was asked to read it ahead, and comes only now, still looks at
 * the slot. */
void logquery_slot_end(struct logquery_slots *s, struct logquery_slot *slot);
/* With the lock, while piece i begins: asks for those behind it. */
void logquery_slot_look_ahead(struct logquery_slots *s, size_t i);

/* ---- logquery_away.c: pieces that others run ---- */

bool logquery_away_is(const struct logquery_slots *s, size_t i);
/* With the lock: begins the piece, and has its owner run it. */
void logquery_away_send(struct logquery_slots *s, struct logquery_slot *slot, size_t i);
/* Waits for the answer. False: nobody has run it, and it is as if it had just begun. */
bool logquery_away_is_answered(struct logquery_slots *s, struct logquery_slot *slot);
