/*
 * Several sources of traces as one (tracesource.h): sets are merged by id, and with a trace come the pieces of all sources that have it.
 *
 *     struct tracejoin j = {.sources = sources, .n = 2};
 *     struct tracesource all = tracejoin_source(&j);
 *
 * In columns it gives what is in the last source alone, if that has any. An error of one source is that of all. Owner: as those of tracesource.h; j and its sources outlive every set.
 */
#pragma once
#include "querier/traces/tracesource.h"

struct tracejoin {
    const struct tracesource *sources;
    size_t n;
};

struct tracesource tracejoin_source(struct tracejoin *j);
