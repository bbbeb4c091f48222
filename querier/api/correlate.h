/*
 * GET /api/correlate: what all signals of a tenant hold about one trace.
 *
 *   trace_id     1 to 32 hexadecimal digits, not all 0
 *   start, end   where it is looked for, as Loki's API has times. Without them: spans whenever they were; all else from margin before
 *                the first span to margin behind the last; or, if there are no spans, in the last hour
 *   margin       2m; 1h at most
 *   limit        of spans, of lines, of events, of exemplars, each: 1000; 10000 at most, of lines the tenant's limit
 *
 *   {"status":"success","data":{
 *     "traceID":"…","startTimeUnixNano":"…","endTimeUnixNano":"…",            where lines, events and exemplars were looked for
 *     "trace": null, or
 *       {"rootSpanID":"…","rootServiceName":"…","rootTraceName":"…",          of the first span without a parent; absent if there is none
 *        "startTimeUnixNano":"…","durationNanos":"…","spanCount":n,"errorCount":n,
 *        "serviceStats":{"<service>":{"spanCount":n,"errorCount":n}},
 *        "spans":[{"spanID","parentSpanID","serviceName","name","kind","status","statusMessage","startTimeUnixNano","durationNanos"}]},
 *     "exemplars":[…],          as query_exemplars has them: those with a label trace_id (traceID …) of this trace
 *     "logs":[{"timeUnixNano":"…","line":"…","labels":{…},"structuredMetadata":{…}}],     oldest first
 *     "events":[…],             as /api/v1/events has them, oldest first
 *     "profiles":[],            none yet: profiles are to come
 *     "links":[{"to","by","language","query","startTimeUnixNano","endTimeUnixNano","path"}],      correlate_links.c
 *     "truncated":["spans"],    of which there is more than is shown
 *     "partial":[{"signal":"logs","error":"…"}]                               what could not be asked, or not to the end, and why
 *   },"warnings":[…]}
 *
 * Lines are those with structured metadata (or a label) trace_id, traceid, traceID or traceId, and those that have the id in their text,
 * in lower case; of ids of 64 bits also in 16 digits. Texts are found by the needle filters of blocks; structured metadata has none, so all pages of
 * the time are read for it (1.2 million lines a CPU-second, measured): limits.max-query-bytes-read bounds that, and margin.
 *
 * A part that fails leaves the others: "partial" says so. When all fail, the first's error is the answer, as of Prometheus' API. A trace that
 * nobody has heard of is an answer with nothing in it. One tenant a request.
 *
 * Owner: main makes it after the APIs whose sources it uses and frees it before them; handlers run on any loop.
 */
#pragma once
#include "querier/api/loki_api.h"
#include "querier/api/tempo_api.h"

struct correlate;
struct correlate *correlate_new(struct tempo_api *tempo, struct loki_api *loki); /* lent */
void correlate_free(struct correlate *c); /* NULL is allowed */
/* Before the server listens. */
void correlate_routes(struct correlate *c, struct http_server *server);
