/* Blocks of traces as a source: which are read, names and values (tracestored_names.c), whole groups (tracestored_columns.c). */
#pragma once
#include "common/base/clock.h"
#include "querier/traces/tracestored.h"

#define TRACESTORED_ATTEMPTS 4 /* at a catalogue whose blocks are there */

/* Who says no times asks for all there is: before 1970, too, as which a span appears that starts after 2262. */
static inline bool tracestored_is_all_time(int64_t start_ns, int64_t end_ns)
{
    return start_ns <= 0 && end_ns == INT64_MAX;
}
/* The blocks of [start_ns, end_ns), and of the time that the tenant may look back; n_services 0: of all services. */
ORR_CHECKED struct err *tracestored_take(struct store_query *sq, struct arena *a, int64_t start_ns,
                                         int64_t end_ns, const struct slice *services,
                                         size_t n_services, struct blockset_view *ret);
struct err *tracestored_columns(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_columns *c);
struct err *tracestored_is_broad(void *src, struct arena *a, const struct tracesource_request *req,
                                 bool *ret);
struct err *tracestored_names(void *src, const struct tracesource_names_request *req,
                              tracesource_name_fn *give, void *arg);
