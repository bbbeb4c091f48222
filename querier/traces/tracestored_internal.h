/* Blocks of traces as a source: which are read, names and values (tracestored_names.c), whole groups (tracestored_columns.c). */
#pragma once
#include "common/base/clock.h"
#include "querier/traces/traceids_set.h"
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
/*
 * ---- tracestored_each.c ----
 *
 * Memory of one block's: an arena of another thread's making cannot be a child of the query's, so it is charged. {0} before.
 */
struct tracestored_part {
    struct arena *arena; /* NULL: there is none, or none any more */
    size_t charged;
};
/* What it has come to take since it was charged last. */
void tracestored_charge(struct store_query *sq, struct tracestored_part *p);
void tracestored_end(struct store_query *sq, struct tracestored_part *p); /* frees it */
/* a: the part's, empty. Any thread. */
typedef struct err *tracestored_each_fn(void *arg, size_t i, struct arena *a);
/* fn of each block of the view, whose errors are those of blocks; the first. All parts are to be ended afterwards. */
ORR_CHECKED struct err *tracestored_each(struct store_query *sq, const struct blockset_view *v,
                                         struct tracestored_part *parts, tracestored_each_fn *fn,
                                         void *arg);
/* Ids of what each block has of q, in its part: ret[i] is {0} before, and ascending. */
ORR_CHECKED struct err *tracestored_ids(struct store_query *sq, const struct blockset_view *v,
                                        const struct traceblock_query *q,
                                        struct tracestored_part *parts, struct traceids_set *ret);
ORR_CHECKED struct err *tracestored_too_much(const struct store_query *sq);
void tracestored_count(struct store_query *sq, const struct traceblock_stats *st);

struct err *tracestored_columns(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_columns *c);
struct err *tracestored_is_broad(void *src, struct arena *a, const struct tracesource_request *req,
                                 bool *ret);
struct err *tracestored_names(void *src, const struct tracesource_names_request *req,
                              tracesource_name_fn *give, void *arg);
