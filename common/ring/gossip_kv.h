/*
 * A small table that everybody knows: key → (version, value), the highest version wins (then the
 * greater bytes). For facts such as "the catalogue of tenant t is at version 17", which the
 * compactor writes and ingesters and queriers act on. A gossip channel (gossip.h).
 *
 * Entries: n { lstr key, uvarint version, lstr value }, in deltas and full states alike.
 *
 * Owner: the thread of the gossip.
 */
#pragma once
#include "common/ring/gossip.h"

struct gossip_kv;

#define GOSSIP_KV_MAX_KEY 512
#define GOSSIP_KV_MAX_VALUE 4096

/* A newer value became known (not for our own gossip_kv_set()). Slices are lent. */
typedef void gossip_kv_fn(void *arg, struct slice key, uint64_t version, struct slice value);

/* Registers itself as channel; name must outlive it. max_entries bounds it: further keys are
 * refused and counted. */
ORR_CHECKED struct err *gossip_kv_new(struct gossip *g, const char *name, size_t max_entries,
                                      gossip_kv_fn *on_change, void *arg, struct gossip_kv **ret);
void gossip_kv_free(struct gossip_kv *kv); /* before the gossip */
/* ERR_CONFLICT when a higher version is known, ERR_LIMIT when full or too long. */
ORR_CHECKED struct err *gossip_kv_set(struct gossip_kv *kv, struct slice key, uint64_t version,
                                      struct slice value, int64_t mono_ns);
/* False if absent. *ret_value is lent until the next change. */
bool gossip_kv_get(const struct gossip_kv *kv, struct slice key, uint64_t *ret_version,
                   struct slice *ret_value);
size_t gossip_kv_count(const struct gossip_kv *kv);
uint64_t gossip_kv_refused(const struct gossip_kv *kv);
