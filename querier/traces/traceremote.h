/*
 * The traces that ingesters hold as a source (tracesource.h): every ingester that may hold some is asked (store_ask_traces(), RPC
 * ingester.select_traces), and what several have of a trace comes together; a piece that replicas have alike comes once.
 *
 * Whole or an error: the loss of one zone (or instance) is made up for by the others (querier/store/fanout.h); more is
 * ERR_UNAVAILABLE that names who failed and why.
 *
 * Ingesters go by ids and times alone: filters are not sent, so with ids_only every trace of the range may come.
 * Names and values are looked for in the pieces themselves.
 *
 * Threads: all calls block and are made by the query's worker. Memory: the query's arena.
 */
#pragma once
#include "querier/store/store.h"
#include "querier/traces/tracesource.h"

struct traceremote {
    struct store_query *sq; /* lent: tenant, arena, deadline, cancel flag */
};

struct tracesource traceremote_source(struct traceremote *r);
