/*
 * A change of a tenant's list of deletions (common/block/tombstone_list.h), of samples or of log lines: made in the bucket, or by the
 * compactor that may, and told to all queriers. What prom_delete.c and loki_delete.c share.
 *
 * On a task's worker; blocks.
 */
#pragma once
#include "querier/api/prom_task.h"

/* A new one, of this time. */
struct ulid tomb_change_id(int64_t now_ms);
/* When it returns NULL the change is durable, and the queriers that could be reached go by it. *ret_version (may be NULL): of the
 * list. */
ORR_CHECKED struct err *tomb_change_make(struct prom_task *t, struct slice signal,
                                         const struct tombstone_change *change,
                                         uint64_t *ret_version);
/* The list of now, as the bucket has it. */
ORR_CHECKED struct err *tomb_change_list(struct prom_task *t, struct slice signal,
                                         struct tombstone_list **ret);
