/*
 * A source of log lines in memory: for tests and the conformance runner. Entries may be added in
 * any order; the same line at the same time of a stream is there once.
 *
 * Owner: one thread at a time; nothing may be added while a select is open.
 */
#pragma once
#include "querier/logs/logsource.h"

struct logtable;
struct logtable *logtable_new(void);
void logtable_free(struct logtable *t); /* NULL is allowed */
/* Copies everything. */
void logtable_add(struct logtable *t, struct labels stream, const struct logsource_entry *entry);
struct logsource *logtable_source(struct logtable *t);
