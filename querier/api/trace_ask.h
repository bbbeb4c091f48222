/*
 * What Jaeger's and Zipkin's APIs ask about traces: whole ones, names, and who calls whom. On the worker of a task, whose arena,
 * deadline and cancel flag hold for all of it.
 *
 * Owner: one worker.
 */
#pragma once
#include "querier/api/tempo_api_internal.h"
#include "querier/traces/tracedeps.h"

/* Of one question. */
#define TRACE_ASK_MAX_TRACES 10000
/* Of names and of operations; ERR_LIMIT beyond. */
#define TRACE_ASK_MAX_NAMES 100000
/* Operations of a service are looked for in so many of its spans: those of the ids that come first, which is as good as any choice. */
#define TRACE_ASK_MAX_SPANS 2000000

struct trace_ask {
    const struct tempo_api *api;
    struct prom_task *task;
    struct tempo_range range;
};

struct trace_find {
    uint8_t (*ids)[16]; /* those with these ids, whenever they were; sorts them */
    size_t n_ids;       /* 0: of those that match in the range the newest */
    struct slice traceql;
    uint32_t limit;
};
/* Appends a trace. p is lent for the call, and its attributes may be changed; scratch memory is a's. */
typedef void trace_ask_put_fn(struct buf *out, struct arena *a, struct tracepiece *p);
/* Whole traces into the task's answer, which is sent as it grows: in the order of their ids, with commas; how many there are. */
ORR_CHECKED struct err *trace_ask_find(const struct trace_ask *q, const struct trace_find *f,
                                       trace_ask_put_fn *put, uint64_t *ret_n);

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
/* Those into the task's answer, {"parent":…,"child":…,"callCount":n} with commas; how many there are. has_errors: with errorCount, too. */
ORR_CHECKED struct err *trace_ask_put_deps(const struct trace_ask *q, bool has_errors,
                                           uint64_t *ret_n);
