/*
 * One question to many instances: starts the same streamed call at every member of a read set and
 * hands what comes back to one worker thread, which blocks.
 *
 *     fanout_start(&opts) ─▶ fanout_wait() ─▶ for each stream: fanout_frame(), fanout_pop() ─┐
 *                                ▲                                                           │
 *                                └───────────────────────────────────────────────────────────┘
 *     fanout_close()
 *
 * fanout_wait() returns when every stream has a frame at hand, has ended, or counts as failed. It
 * fails, naming the instances and what they said, as soon as more units (zones or instances) have
 * failed than the read set tolerates: an answer is whole or it is an error. It also ends with
 * ERR_TIMEOUT and ERR_CANCELED.
 *
 * Stragglers: when only streams that the read could do without are still owed, they get
 * straggler_ms more and then count as failed. Those that the ring calls unhealthy, or that straggled
 * in the last FANOUT_SUSPECT_MS (fanout_suspects), get a tenth of that. So a process that hangs costs
 * a read a moment, not its deadline.
 *
 * What the streams' units have elsewhere: fanout_lose() says that something of an instance, or zone, is lost that is in no stream (a
 * block that is corrupt). The read is whole as long as all that fails is of that one, as if its streams had failed. An error names as much
 * of what is lost as FANOUT_LOSS_BYTES hold.
 *
 * Memory: at most FANOUT_CREDITS (opts.credits) frames a stream are held here; the sender stops beyond that.
 *
 * Threads: the calls live on the pool's loop; everything declared here belongs to the one worker, but for
 * fanout_stop().
 */
#pragma once
#include <stdatomic.h>

#include "common/ring/quorum.h"
#include "common/rpc/rpc.h"

#define FANOUT_CREDITS 4
#define FANOUT_SUSPECT_MS 10000
#define FANOUT_LOSS_BYTES 4096

struct fanout;

/* Who straggled when, over many fan-outs. Any thread. */
struct fanout_suspects;
struct fanout_suspects *fanout_suspects_new(void);
void fanout_suspects_free(struct fanout_suspects *s);      /* after the fan-outs; NULL is allowed */
uint64_t fanout_suspects_count(struct fanout_suspects *s); /* stragglers given up so far */
/* Straggled (or was said to) in the last FANOUT_SUSPECT_MS. */
bool fanout_suspects_has(struct fanout_suspects *s, const char *instance);
void fanout_suspects_add(struct fanout_suspects *s, const char *instance);

struct fanout_opts {
    struct rpc_pool *pool;
    struct loop *loop;        /* the pool's */
    struct ring *ring;        /* read_set's; referenced */
    struct ring_read_set set; /* taken over */
    const char *method;       /* static */
    struct slice tenant;
    struct slice payload;      /* copied */
    int64_t deadline_mono_ms;  /* 0: none (the call's own default then ends it) */
    const atomic_bool *cancel; /* may be NULL */
    int64_t straggler_ms;      /* 0: wait for everybody until the deadline */
    uint32_t credits;          /* 0: FANOUT_CREDITS */
    /* Who asks knows another way: whoever is owed for straggler_ms is a straggler, and the read fails if it cannot do
     * without. */
    bool has_other;
    struct fanout_suspects *suspects; /* may be NULL */
};

/* A set for who asks this one alone. */
struct ring_read_set fanout_set_of_one(uint16_t who);
struct fanout *fanout_start(const struct fanout_opts *opts);
size_t fanout_streams(const struct fanout *f);
ORR_CHECKED struct err *fanout_wait(struct fanout *f);
/* From now on straggler_ms is this. */
void fanout_be_patient(struct fanout *f, int64_t straggler_ms);
/* Nobody wants the rest: a wait under way, and every later one, ends with ERR_CANCELED. Any thread, until the close. */
void fanout_stop(struct fanout *f);
/* The frame at hand of stream i, lent until it is popped; false when the stream is over. */
bool fanout_frame(struct fanout *f, size_t i, struct slice *ret);
void fanout_pop(struct fanout *f, size_t i);
/* The highest mark (rpc_call_mark()) of what came so far; complete for what is opened before the first frame once
 * fanout_wait() has returned. */
uint64_t fanout_mark(struct fanout *f);
/* With what a stream failed; only if it did. */
enum err_code fanout_code(struct fanout *f, size_t i);
/* Data of this instance, or of this zone, or of one that is either, is lost; what says which. False: the read cannot do without it as
 * well. From true on it ends with an error that says what, when another one fails. */
bool fanout_lose(struct fanout *f, struct slice zone, struct slice instance, const char *what);
bool fanout_has_failed_with(struct fanout *f, enum err_code code); /* any stream has */
size_t fanout_failed(struct fanout *f); /* streams that did not answer to the end */
/* How many of those that did not fail hold one datum, on average: what counts over all of them are to
 * be divided by. */
double fanout_copies(struct fanout *f);
/* NULL is allowed. Calls still under way are cancelled. */
void fanout_close(struct fanout *f);
