/*
 * Who of the compactors changes what in a bucket without conditional puts: for each tenant one, which holds the lease
 * (common/block/writelease.h) of the tenant's share. Where the bucket has conditional puts, or s3.one-writer is off
 * (objstore_needs_one_writer() says no), nothing of this plays a part, and writers_store() is the bucket.
 *
 * All of the role goes by writers_store(), a store over the bucket that lets nobody change a catalogue or a list without the lease:
 *
 *   conditional put   is refused (ERR_UNAVAILABLE) unless the ring says the share is ours and the lease may be used, now. One
 *                     at a time for a share, in one attempt, given up after put_ms. Afterwards the object is read back: what
 *                     is not what was put has been overwritten, which is logged as an error, counted and ERR_CONFLICT, at
 *                     which the change is made again on what stands there. After a put of which it is not known what became
 *                     of it (any error but a conflict) none is begun for put_ms more, for it may still take place.
 *   deletion          is refused likewise, also while a put may take place of which it is not known.
 *   all else          passes: blocks have names that are made of their contents.
 *
 * When the ring gives a share to another, no put is begun any more from that moment on, and the lease is given back when
 * nothing is under way. A thread, "writers", finds out whether there are leases; before that is known a conditional put asks the
 * bucket itself. Then it starts one for each share, so that a server that is slow to answer for one lease does not hold up
 * another: these read, claim, renew and give back.
 *
 * Any thread, save new, start and free.
 */
#pragma once
#include "common/base/buf.h"
#include "common/block/writelease.h"
#include "common/objstore/objstore.h"

struct writers;

struct writers_metrics {
    int64_t held;
    uint64_t refused, overwritten, lost;
};

struct writers_opts {
    struct objstore *below;
    const char *instance; /* lent */
    int64_t lease_ms;     /* how long a read or write of a lease may take; > 0 */
    int64_t put_ms;       /* how long a put of a catalogue may take; > 0 */
    /* Whether the ring gives the share to this process. Any thread. */
    bool (*wants)(void *arg, unsigned shard);
    /* Something has come to be ours, or has come to be known. May be NULL. On threads of its own, several at a time. */
    void (*gained)(void *arg);
    void *arg;
};

struct writers *writers_new(const struct writers_opts *opts);
void writers_free(struct writers *w); /* stops first; NULL is allowed */
/* ended: all has been given back; at once when stopped, where there are no leases or that is not known yet. Called once, on the
 * thread or in writers_stop(). */
ORR_CHECKED struct err *writers_start(struct writers *w, void (*ended)(void *arg), void *arg);
/* Asks the thread to end, which gives back what it holds. Any thread. */
void writers_stop(struct writers *w);

struct objstore *writers_store(struct writers *w);
/* Whether it is known what decides: until then nothing should be begun. */
bool writers_know(struct writers *w);
/* Whether a lease decides, and not the ring alone: objstore_needs_one_writer() has said yes. */
bool writers_decide(struct writers *w);
/* With writers_decide(): whether this process may change what is the tenant's, now. */
bool writers_may(struct writers *w, struct slice tenant);
/* For how long it has been nobody but this process, in ms; INT64_MAX: nobody has had the lease before, or without writers_decide(). */
int64_t writers_alone_ms(struct writers *w, struct slice tenant);
/* The shares that are held, as JSON: [1,5]. */
void writers_put(struct writers *w, struct buf *out);
