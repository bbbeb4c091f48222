/*
 * Calls to other processes from a thread that may wait: the call runs on the loop of the RPC pool,
 * the caller sleeps until the whole answer is there (messages of a streamed one joined), it fails,
 * or stop becomes true.
 *
 *     pc = peercall_start(&opts, payload);  ... start others ...
 *     e = peercall_wait(pc, &answer);
 *
 * Owner: the calling thread, which is not a loop.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/rpc/rpc.h"

struct peercall;

struct peercall_opts {
    struct rpc_pool *pool;
    struct loop *loop;   /* the pool's */
    const char *address; /* copied */
    const char *method;  /* static */
    struct slice tenant; /* copied; may be empty */
    int64_t timeout_ms;
    size_t max_bytes;        /* of the answer; more is ERR_TOO_LARGE */
    const atomic_bool *stop; /* may be NULL; ERR_CANCELED */
    /* For who may be waiting when the loop has ended: ERR_TIMEOUT after so long. 0: as long as it takes the loop. */
    int64_t patience_ms;
};

/* Copies payload. Never NULL; peercall_wait() it. */
struct peercall *peercall_start(const struct peercall_opts *opts, struct slice payload);
/* Replaces ret (may be NULL). Frees pc. */
ORR_CHECKED struct err *peercall_wait(struct peercall *pc, struct buf *ret);
/* Both. */
ORR_CHECKED struct err *peercall_run(const struct peercall_opts *opts, struct slice payload,
                                     struct buf *ret);
