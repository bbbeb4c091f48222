/*
 * The traces in blocks of the bucket as a source (tracesource.h): those blocks of the tenant that overlap the range of time, by a
 * catalogue that has what ingesters have handed over (store_take_traces()).
 *
 *     struct tracesource both[] = {traceremote_source(&remote), tracestored_source(&stored)};
 *     struct tracejoin j = {.sources = both, .n = 2};
 *
 * In this order: the seam between ingesters and blocks (store.h) asks ingesters first. With both, a trace is whole wherever its spans are.
 *
 * What filters and times leave of a block is found column by column (tracewant.h); of a trace that is wanted all spans come that any of
 * the blocks of the range has, so who gives a range of time and no ids has ids looked for first.
 *
 * Who looks at many traces gets those in columns that one block has whole; ids of all of the range are read for that, of each block.
 *
 * A block that was compacted away before it was read makes a select begin anew by the catalogue of now.
 *
 * Threads: all calls block and are made by the query's worker; blocks that are far away are opened side by side on threads of the store.
 * Memory: the query's arena, but for a row group of each block, which is charged to it.
 */
#pragma once
#include "querier/store/store.h"
#include "querier/traces/tracesource.h"

struct tracestored {
    struct store_query *sq; /* lent: tenant, arena, deadline, cancel flag */
};

struct tracesource tracestored_source(struct tracestored *s);
