/*
 * A storage in memory: for tests, benchmarks and rule unit tests. Samples may be added in any order; a
 * second sample of a series at the same time replaces the first.
 *
 * Owner: one thread at a time; not while a select is open.
 */
#pragma once
#include "querier/engine/storage.h"

struct memstore;
struct memstore *memstore_new(void);
void memstore_free(struct memstore *m);
void memstore_clear(struct memstore *m);
/* Copies everything. h NULL: a float; else v is ignored. st_ms 0: start unknown. */
void memstore_add(struct memstore *m, struct labels ls, int64_t t_ms, double v,
                  const struct histogram *h, int64_t st_ms);
/*
 * Sets the counter reset hints that Prometheus' head would store: it keeps runs of histograms that
 * continue one another in a chunk; the first of a chunk is unknown, the rest are no resets. Samples
 * marked as gauges stay gauges. Again after more were added: those that have theirs keep them.
 */
void memstore_derive_hints(struct memstore *m);
size_t memstore_series(const struct memstore *m);
struct storage *memstore_storage(struct memstore *m);
