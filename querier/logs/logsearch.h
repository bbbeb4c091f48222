/*
 * Runs a search of Elasticsearch's (querier/search) over a log source: the first hits in its order, how many there are, its
 * aggregations.
 *
 *     struct logsearch s = {.body = &body, .plan = &plan, .limits = {.start_ns = …, .end_ns = …, .max_bytes = …}};
 *     if ((e = logsearch_run(&s, source, arena)))
 *         return e;
 *     … s.hits, s.total …, logsearch_hit_json() …, esagg_run_json(s.aggs, …)
 *     logsearch_done(&s);
 *
 * The selects of the plan are read one after the other, each in the order of time asked for. Where @timestamp is the first key (or none is
 * given), what is behind the last hit is not read, unless something needs all of it: aggregations, or a count of hits that is not yet
 * as high as it is asked for. So a search for ten hits reads the newest ten and counts to ten thousand.
 *
 * Threads: blocks; on a worker. Memory: the arena's, hits on the heap charged to it.
 */
#pragma once
#include "querier/logs/logquery.h"
#include "querier/search/esbody.h"
#include "querier/search/esplan.h"

struct logsearch_hit;
struct logsearch {
    const struct esbody *body;
    const struct esplan *plan;
    struct logquery limits; /* start_ns, end_ns, max_bytes, deadline_mono_ms, cancel */
    /* What has been found: in order, the first body->from left out. */
    struct logsearch_hit **hits;
    size_t n_hits, n_kept;
    uint64_t total;         /* that fit, as far as they were counted */
    bool is_at_least;       /* there may be more than total */
    bool has_streams;       /* something was there to be looked at */
    struct esagg_run *aggs; /* NULL: none were asked for */
    struct logquery_stats stats;
    struct arena *arena;
};

ORR_CHECKED struct err *logsearch_run(struct logsearch *s, struct logsource *source,
                                      struct arena *a);
void logsearch_done(struct logsearch *s);
/* Between hits that are printed, which takes its time, too: the deadline, the cancel flag, the memory. NULL: go on. */
ORR_CHECKED struct err *logsearch_look(const struct logsearch *s);
/* {"_index":…,"_id":…,"_score":…,"_source":…,"fields":…,"sort":[…]} */
void logsearch_hit_json(const struct logsearch *s, size_t i, struct buf *out);
/* fn sees the hit's document. */
void logsearch_hit_visit(const struct logsearch *s, size_t i,
                         void (*fn)(void *arg, struct esdoc *d), void *arg);
