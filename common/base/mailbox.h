/*
 * A thread that owns something, and its mailbox: others send it messages, which it runs one after the other in the
 * order they came. So what it owns needs no lock.
 *
 * A message is a part of what its sender owns; nothing is allocated. fn returns false when it is done (from then on the
 * message may be gone), true to be run again, behind what waits now: long work goes in turns, and others wait for one
 * turn of it only.
 *
 * mailbox_post(): any thread. mailbox_call…(): any other thread that may block. Start, stop and free: the owner's owner.
 */
#pragma once
#include <pthread.h>

#include "common/base/err.h"
#include "common/base/lock.h"

typedef bool mailbox_fn(void *arg);
struct mailbox_msg {
    struct mailbox_msg *next;
    mailbox_fn *fn;
    void *arg;
};

/* How many such threads share what low bits of a hash divide: as many as asked for (0: one per CPU), made a power of
 * two, no more than max, which is one. */
unsigned mailbox_count(unsigned asked, unsigned max);

struct mailbox {
    pthread_t thread;
    struct lock lock; /* rank LEAF_MODULE: what follows */
    pthread_cond_t wake;
    struct mailbox_msg *first, **last;
    bool is_stopping, is_started;
};

/* mb is zeroed; name: of the thread. On failure it is again. */
ORR_CHECKED struct err *mailbox_start(struct mailbox *mb, const char *name);
/* Runs what is there, then joins the thread; what is posted later stays where it is. Again, or when it never started:
 * nothing. */
void mailbox_stop(struct mailbox *mb);
/* Stops it if that was not done. Of a zeroed one: nothing. */
void mailbox_done(struct mailbox *mb);
/* m stays the sender's. */
void mailbox_post(struct mailbox *mb, struct mailbox_msg *m);

/* Runs fn(args[i]) on the thread of boxes[i], all at once and each until it returns false; waits for all. */
void mailbox_call_many(struct mailbox *const *boxes, size_t n, mailbox_fn *fn, void *const *args);
