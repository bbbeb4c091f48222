/*
 * A pool of pieces of traces as a source (tracesource.h): for tests, and for whoever has a few traces in memory.
 *
 * Owner: one thread; after tracepool_end() any, and it is read-only.
 */
#pragma once
#include "querier/traces/tracesource.h"

struct tracepool;

struct tracepool *tracepool_new(void);
void tracepool_free(struct tracepool *t); /* NULL is allowed */
/* Copies the bytes. ERR_CORRUPT. */
ORR_CHECKED struct err *tracepool_add(struct tracepool *t, struct slice piece);
/* No more are added. */
void tracepool_end(struct tracepool *t);
struct tracesource tracepool_source(struct tracepool *t);
