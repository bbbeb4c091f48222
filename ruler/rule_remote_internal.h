/* What rule_remote.c (what is asked) and rule_remote_call.c (how) share. */
#pragma once
#include "ruler/rule_remote.h"

/* Asks members of role in the order that key gives, until one answers; replaces *ret. */
ORR_CHECKED struct err *rule_remote_call(const struct rule_remote_shared *sh, uint32_t role,
                                         uint32_t key, const struct rpc_call_opts *opts,
                                         struct slice payload, bool retries_timeouts,
                                         struct buf *ret);
