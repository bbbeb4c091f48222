/*
 * Tells the other queriers that a tenant's tombstones of a signal ("metrics", "logs") have changed: by gossip, which reaches everybody
 * sooner or later, and by RPC "querier.tombstones" ("querier.tombstones_logs") to those that are healthy, whose answers are
 * waited for up to TOMB_NEWS_WAIT_MS. So a deletion that was acknowledged is seen by no querier, save
 * one that cannot be reached just then; that one hears of it by gossip, or looks by itself.
 *
 * Any worker; blocks.
 */
#pragma once
#include "common/process/process.h"

#define TOMB_NEWS_PREFIX "tombstones/" /* and signal/tenant */
#define TOMB_NEWS_WAIT_MS 2000

/* Has the compactor that writes for the tenant where objstore_needs_one_writer() says yes make a change of its list
 * (tombstone_change_encode()). ERR_UNAVAILABLE: none may, just now. After an error it may have been made. */
ORR_CHECKED struct err *tomb_news_forward(struct process *p, struct slice signal,
                                          struct slice tenant, struct slice change,
                                          uint64_t *ret_version);
void tomb_news_tell(struct process *p, struct slice signal, struct slice tenant, uint64_t version);
