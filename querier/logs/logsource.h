/*
 * Where log queries get their lines: the interface between querier/logs and whatever holds them
 * (an ingester's head, blocks, other queriers, a table in tests).
 *
 * A select answers with streams, pulled one after the other, each with its entries:
 *
 *     if ((e = logsource_select(src, arena, &req, &set)))
 *         return e;
 *     do
 *         while (logsource_set_stream(set, &labels))
 *             while (logsource_set_entry(set, &entry))
 *                 use(entry);                  lent until the next call on the set
 *     while (logsource_set_more(set, &t_ns));        or before, if enough is at hand
 *     e = logsource_set_close(set);                  NULL if the end was reached; always frees
 *
 * Stretches: a set comes as one or several stretches of time, that follow one another in the direction asked
 * for. So what is read is not held open all at once, and who has what it wants need not read the rest.
 * logsource_set_more() says that there is another, and its first moment in that direction; the next stream begins it.
 *
 * Order: in a stretch each label set once (replicas merged, the same line at the same time once), streams in any
 * order; entries of a stream by time, forward or backward as asked. The next stream may be asked for
 * before the entries of this one have ended; the next stretch may not.
 *
 * Range: entries with start_ns <= ts_ns < end_ns; a set may deliver others, which are passed over.
 *
 * Pieces: a source that can be read by several threads at once says how it would cut a request (logsource_cut()), and gives a
 * thread a source of its own (logsource_fork()), which is asked for a piece. All pieces together, in their order, have what one
 * set would have, in the same order; but for where a stretch ends. Where things are far away the first reads for a piece can be made
 * while others are worked on (logsource_ahead()).
 *
 * Owners: pieces that mostly read what others have at hand can be run by those (struct logsource_away_ops): who runs the query says
 * what is to be done, in bytes of its own, and gets bytes back.
 *
 * Threads: all from the one worker thread that runs the query, or the piece; they may block, and give up with
 * ERR_TIMEOUT or ERR_CANCELED once the deadline has passed or the flag is set.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/lang/logql_ast.h"

struct logsource_ahead; /* what was read ahead of a select */
/* Part of a request: a stretch of time, and of it the streams whose fingerprint has an upper half in [fp_first, fp_last]. */
struct logsource_piece {
    int64_t from_ns, to_ns; /* to is exclusive */
    uint64_t fp_first, fp_last;
};

struct logsource_request {
    struct matchers
        matchers; /* lent until the set is closed; none, or all match "": all such streams (searches) */
    int64_t start_ns, end_ns;
    bool is_forward;
    /* Hint: the pipeline that the lines go through. What its first line filters drop may be left
     * out. NULL: none. */
    const struct logql_logs *logs;
    /* Hint: of each stream no more than the first so many are looked at, in the direction asked for. 0:
     * all may be. */
    uint64_t max_entries;
    /* Hint: some first lines, in the direction asked for, are likely to be enough: stretches begin short. */
    bool wants_first;
    int64_t deadline_mono_ms;  /* clock_system's mono; 0: none */
    const atomic_bool *cancel; /* may be NULL */
    /* Only this of it, as one stretch, which start_ns and end_ns are those of; one of logsource_cut()'s. NULL: all. */
    const struct logsource_piece *piece;
    const atomic_bool *stop; /* like cancel: what is read is not wanted any more; may be NULL */
    struct logsource_ahead
        *ahead; /* of this very request: taken over; NULL: nothing was read ahead */
    unsigned
        side_by_side; /* requests under way that share what memory there is to read ahead; 0: 1 */
};

struct logsource_entry {
    int64_t ts_ns;
    struct slice line;
    struct labels metadata; /* structured metadata, by name */
};

/* What it took, so far. */
struct logsource_stats {
    uint64_t ingesters; /* answers of ingesters, all stretches together */
    uint64_t blocks;    /* opened, likewise */
    uint64_t pages;     /* of blocks, read */
    uint64_t
        pages_skipped; /* and not, though they are of streams that were asked for: their times, or the filter, say
                               that no line is wanted */
    uint64_t page_bytes; /* of pages read, as they are stored */
    uint64_t filter_bytes;
    uint64_t block_lines, block_bytes; /* that came of blocks; bytes are those of the lines */
    uint64_t ingester_lines;
    uint64_t duplicates; /* lines that came more than once */
    uint64_t ahead;      /* of the blocks: their first reads were made ahead */
    uint64_t deleted;    /* and lines that a deletion hides */
    uint64_t away;       /* pieces that were run by others */
};

struct logsource_set;
struct logsource_set_ops {
    bool (*stream)(struct logsource_set *set, struct labels *ret); /* lent until the next stream */
    bool (*entry)(struct logsource_set *set, struct logsource_entry *ret);
    struct err *(*close)(struct logsource_set *set);
    bool (*more)(struct logsource_set *set, int64_t *ret_ns); /* NULL: it is one stretch */
    void (*stats)(const struct logsource_set *set, struct logsource_stats *ret); /* NULL: none */
};
/* First member of an implementation's own set. */
struct logsource_set {
    const struct logsource_set_ops *ops;
};

struct job_pool;
struct logsource;
struct logsource_owners; /* of the pieces of a request */
struct logsource_asked;  /* a piece that somebody else runs */
/* Where pieces are run by others. An answer counts like what a fork has read; who has none runs the piece by itself. */
struct logsource_away_ops {
    /* Who owns the n pieces; NULL: this one reads all by itself. */
    struct logsource_owners *(*owners)(struct logsource *src, const struct logsource_piece *list,
                                       size_t n);
    bool (*is_away)(const struct logsource_owners *o, size_t i);
    void (*owners_done)(struct logsource_owners *o);
    /* Starts, and does not wait. fork: that of the piece; what: copied. Only if it is away. */
    struct logsource_asked *(*ask)(struct logsource *fork, struct logsource_owners *o, size_t i,
                                   struct slice what);
    /* Waits. What is answered is added to ret, which may have a bound: ERR_TOO_LARGE. On the fork's thread, once. */
    struct err *(*answer)(struct logsource_asked *asked, struct buf *ret);
    /* All of the answer was of use: now what it took, and what there is to say of it, counts. On the fork's thread. */
    void (*used)(struct logsource_asked *asked);
    void (*failed)(struct logsource_asked
                       *asked); /* of no use, and not for the query's own end: it is run here */
    void (*stop)(struct logsource_asked *asked); /* ends the wait; any thread */
    void (*done)(struct logsource_asked *asked); /* cancels what is under way */
};
struct logsource_ops {
    /* arena: the query's, for what lives as long as the query; charged to its budget. */
    struct err *(*select)(struct logsource *src, struct arena *arena,
                          const struct logsource_request *req, struct logsource_set **ret);
    /* The pieces for so many threads, in the arena, in the order of the request's direction. NULL: the source is not cut. */
    size_t (*cut)(struct logsource *src, struct arena *arena, const struct logsource_request *req,
                  unsigned lanes, struct logsource_piece **ret);
    /* The same source for another thread; arena: that thread's. None of these while another runs. */
    struct logsource *(*fork)(struct logsource *src, struct arena *arena);
    /* Its thread is done with it: what it has found out is src's, and it is freed. */
    void (*join)(struct logsource *src, struct logsource *fork);
    /* Whose threads wait for what is far away. NULL, or it gives NULL: nothing is. */
    struct job_pool *(*ahead_pool)(struct logsource *src);
    /* For a fork: reads what a select of req will want first; that takes it over (req.ahead), or ahead_done() does. NULL: nothing; what
     * fails fails again in the select. The fork and its arena are not used meanwhile. arena: for what is at hand then; what would take
     * more than that is not read. */
    struct logsource_ahead *(*ahead)(struct logsource *fork, struct arena *arena,
                                     const struct logsource_request *req);
    void (*ahead_done)(struct logsource_ahead *ahead);
    const struct logsource_away_ops *away; /* NULL: pieces are run here */
};
/* First member of an implementation. */
struct logsource {
    const struct logsource_ops *ops;
};

ORR_CHECKED static inline struct err *logsource_select(struct logsource *src, struct arena *arena,
                                                       const struct logsource_request *req,
                                                       struct logsource_set **ret)
{
    return src->ops->select(src, arena, req, ret);
}
/* 0: it is not cut. */
static inline size_t logsource_cut(struct logsource *src, struct arena *arena,
                                   const struct logsource_request *req, unsigned lanes,
                                   struct logsource_piece **ret)
{
    return src->ops->cut ? src->ops->cut(src, arena, req, lanes, ret) : 0;
}
static inline struct logsource *logsource_fork(struct logsource *src, struct arena *arena)
{
    return src->ops->fork(src, arena);
}
static inline void logsource_join(struct logsource *src, struct logsource *fork)
{
    src->ops->join(src, fork);
}
static inline struct job_pool *logsource_ahead_pool(struct logsource *src)
{
    return src->ops->ahead_pool ? src->ops->ahead_pool(src) : NULL;
}
static inline struct logsource_ahead *logsource_ahead(struct logsource *fork, struct arena *arena,
                                                      const struct logsource_request *req)
{
    return fork->ops->ahead(fork, arena, req);
}
/* NULL is allowed. */
static inline void logsource_ahead_done(struct logsource *src, struct logsource_ahead *ahead)
{
    if (ahead)
        src->ops->ahead_done(ahead);
}
static inline bool logsource_set_stream(struct logsource_set *set, struct labels *ret)
{
    return set->ops->stream(set, ret);
}
static inline bool logsource_set_entry(struct logsource_set *set, struct logsource_entry *ret)
{
    return set->ops->entry(set, ret);
}
/* After the last stream. */
static inline bool logsource_set_more(struct logsource_set *set, int64_t *ret_ns)
{
    return set->ops->more && set->ops->more(set, ret_ns);
}
static inline void logsource_set_stats(const struct logsource_set *set, struct logsource_stats *ret)
{
    *ret = (struct logsource_stats){0};
    if (set->ops->stats)
        set->ops->stats(set, ret);
}
ORR_CHECKED static inline struct err *logsource_set_close(struct logsource_set *set)
{
    return set->ops->close(set);
}
