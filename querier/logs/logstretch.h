/*
 * Into which stretches of time a query cuts its range (logsource.h), pure.
 *
 * Cuts lie where blocks begin or end, on the nearest multiple of LOGSTRETCH_GRID_NS: then few blocks reach into
 * a stretch, whatever the length of the range, and of what is held open for a query there is as much as of those. Groups of blocks that
 * overlap would not do: each flush has lines that are a moment older than the last one's newest, and now and then one that is
 * days older, so all blocks would hang together. A block that reaches over a cut is opened on both sides of it, for the lines
 * of that side alone.
 *
 * Where the first lines are likely to be enough, stretches begin with LOGSTRETCH_FIRST_NS and grow: a block of
 * a day has its streams one behind the other, and the newest hundred lines of it are in few of its pages.
 *
 *     to ▕──────┤  backward: FIRST_NS, then GROWTH times as long each, never over a cut
 *
 * Stretches follow one another without a gap, and have the range as their sum, whatever the blocks are.
 */
#pragma once
#include "common/base/arena.h"

#define LOGSTRETCH_GRID_NS (3600ll * 1000000000)
#define LOGSTRETCH_FIRST_NS (600ll * 1000000000)
#define LOGSTRETCH_GROWTH 4

/* A block: when; and how much, which is not looked at here (logcut.h). */
struct logstretch_block {
    int64_t min_ns, max_ns; /* max is exclusive */
    uint64_t bytes, streams;
};

struct logstretch {
    int64_t from_ns, to_ns; /* what is left; empty: nothing */
    bool is_forward;
    int64_t width_ns;    /* of the next at most; 0: as far as the next cut */
    const int64_t *cuts; /* ascending, each once, within the range */
    size_t n_cuts;
};

/* Cuts are made in the arena. */
struct logstretch logstretch_plan(struct arena *a, int64_t from_ns, int64_t to_ns, bool is_forward,
                                  bool wants_first, const struct logstretch_block *blocks,
                                  size_t n);
/* Whether anything is left, and the first moment of it in the plan's direction. */
bool logstretch_peek(const struct logstretch *s, int64_t *ret_ns);
/* The next; false: none is left. */
bool logstretch_next(struct logstretch *s, int64_t *ret_from_ns, int64_t *ret_to_ns);
