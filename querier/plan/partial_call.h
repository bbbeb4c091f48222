/*
 * A call to another querier that a worker starts, and waits for later.
 *
 * Owner: the worker. Each started call is waited for once, which ends it.
 */
#pragma once
#include <stdatomic.h>

#include "common/rpc/rpc.h"

struct partial_call;
/* Never fails: what goes wrong is told by the wait. payload is copied. */
struct partial_call *partial_call_start(struct rpc_pool *pool, const char *addr,
                                        struct slice tenant, struct slice payload,
                                        int64_t timeout_ms);
/* cancel may be NULL; looked at now and then. */
ORR_CHECKED struct err *partial_call_wait(struct partial_call *c, const atomic_bool *cancel,
                                          struct buf *ret);
