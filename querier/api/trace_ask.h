/*
 * What Jaeger's and Zipkin's APIs ask about traces: whole ones, names, and who calls whom. On the worker of a task, whose arena,
 * deadline and cancel flag hold for all of it.
 *
 * Owner: one worker.
 */
#pragma once
#include "querier/api/tempo_api_internal.h"
#include "querier/traces/tracedeps.h"

/* Of names and of operations; ERR_LIMIT beyond. */
#define TRACE_ASK_MAX_NAMES 100000
/* Operations of a service are looked for in so many of its spans: those of the ids that come first, which is as good as any choice. */
#define TRACE_ASK_MAX_SPANS 2000000

struct trace_ask {
    const struct tempo_api *api;
    struct prom_task *task;
    struct tempo_range range;
};

/* p is lent for the call, and its attributes may be changed. */
typedef struct err *trace_ask_fn(void *arg, struct arena *a, struct tracepiece *p);
/* All there is of the traces with these ids, in the order of the ids; those that are not there are left out. Sorts ids. */
ORR_CHECKED struct err *trace_ask_traces(const struct trace_ask *q, uint8_t (*ids)[16], size_t n,
                                         trace_ask_fn *fn, void *arg);
/* Of those that match the newest, whole, but in the order of their ids. */
ORR_CHECKED struct err *trace_ask_search(const struct trace_ask *q, struct slice traceql,
                                         uint32_t limit, trace_ask_fn *fn, void *arg);

/* Names of the table's attributes, or values of one that are texts; sorted. */
ORR_CHECKED struct err *trace_ask_names(const struct trace_ask *q, enum tracetable table,
                                        struct slice attribute, struct slice **ret, size_t *ret_n);
ORR_CHECKED struct err *trace_ask_services(const struct trace_ask *q, struct slice **ret,
                                           size_t *ret_n);

struct trace_ask_operation {
    struct slice name;
    uint8_t kind;
};
/* Of one service, by name and kind. */
ORR_CHECKED struct err *trace_ask_operations(const struct trace_ask *q, struct slice service,
                                             struct trace_ask_operation **ret, size_t *ret_n);

/* The caller frees *ret. */
ORR_CHECKED struct err *trace_ask_deps(const struct trace_ask *q, struct tracedeps **ret);
