/*
 * Tails: GET /loki/api/v1/tail and /api/prom/tail, a websocket on which lines come as they come in:
 *
 *     {"streams":[{"stream":{…},"values":[["1700000000000000000","line"]]}]}
 *
 * query, delay_for (seconds, 5 at most), limit and start as Loki has them, encoding flags too. What is wrong with the request is
 * answered before the handshake, as plain text: 400; 429 beyond limits.max-concurrent-tail-requests of a tenant; 503 beyond
 * LOKI_TAIL_MAX, or when the process stops.
 *
 * There is no thread for a tail: a timer on the loop of its connection has it polled (querier/logs/logtail.h) on one of
 * LOKI_TAIL_THREADS workers, every LOKI_TAIL_MIN_MS, or so much less often as there are more tails. What a poll gives is
 * sent at once, if no more than LOKI_TAIL_HIGH bytes wait for the client; else the tail is not polled until they are gone.
 *
 * It ends with a close frame that says why:
 *
 *   1001  the process stops                       1008  the client has not read for LOKI_TAIL_SLOW_MS, or the query gives more
 *   1011  the query fails, or ingesters could           lines than a tail can follow (for LOKI_TAIL_LAG_MS)
 *         not be asked for LOKI_TAIL_LOST_MS; or LOKI_TAIL_LONGEST_MS are over
 *
 * Owner: main makes and frees it; a tail belongs to its connection's loop, and to a worker while it is polled.
 */
#pragma once
#include "common/net/http_server.h"
#include "querier/api/prom_task.h"

#define LOKI_TAIL_THREADS 2
#define LOKI_TAIL_MAX 10000
#define LOKI_TAIL_MIN_MS 500
#define LOKI_TAIL_MAX_MS 5000
#define LOKI_TAIL_POLL_MS 10000 /* a poll may take */
#define LOKI_TAIL_HIGH (256u << 10)
#define LOKI_TAIL_SLOW_MS 15000
#define LOKI_TAIL_LAG_MS 60000
#define LOKI_TAIL_LOST_MS 30000
#define LOKI_TAIL_LONGEST_MS 3600000

struct loki_tails;
struct loki_tails *loki_tails_new(struct prom_tasks *tasks, struct engine *engine); /* both lent */
/* No more polls; done(arg) is called, on any thread, when none is under way. The tails themselves end when the server
 * drains. */
void loki_tails_drain(struct loki_tails *ts, loop_fn *done, void *arg);
/* After the HTTP server was freed: waits for polls under way, and there are no more. */
void loki_tails_stop(struct loki_tails *ts);
/* Before the loops. NULL is allowed. */
void loki_tails_free(struct loki_tails *ts);
