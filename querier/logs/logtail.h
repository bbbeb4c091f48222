/*
 * A tail: what a query for lines gives, as it comes in, each line once.
 *
 *     t = logtail_new(&(struct logtail_opts){.expr = …, .start_ns = …, .limit = 100});
 *     every now and then:
 *         logtail_poll(t, engine, source, arena, &poll, &batch)   batch.messages: Loki's JSON, oldest lines first
 *
 * The first poll gives the newest limit lines since start_ns, the following ones what is new in a window that ends at the moment
 * of the poll less delay_ns, and begins LOGTAIL_LATE_NS before the end of the one before: a line that comes so late is still
 * given. Which lines of a window are new is told by their hashes (of labels, time and text), so that it does not matter when or from
 * which replica they came. Lines later than that are not given.
 *
 * Bounds: LOGTAIL_LINES of a window and about LOGTAIL_BYTES of messages a poll. A window that has more ends there (batch.has_more:
 * poll again at once), and the next one looks back half as far, until there is less again. Nothing is left out but what of
 * one nanosecond is beyond LOGTAIL_LINES.
 *
 * Memory between polls: the query, and 24 bytes for each line that the next window may have again. Owner: one thread at a time.
 */
#pragma once
#include "common/base/vec.h"
#include "querier/logs/logquery.h"

#define LOGTAIL_LATE_NS (10 * 1000000000ll)
#define LOGTAIL_LINES 5000
#define LOGTAIL_BYTES (1u << 20)
#define LOGTAIL_MESSAGE_LINES 100 /* in one message, as Loki has it */

struct logtail_opts {
    struct slice expr; /* copied */
    int64_t start_ns, delay_ns;
    uint32_t limit; /* of the lines before the first poll */
    bool categorizes;
};
struct logtail;
struct logtail *logtail_new(const struct logtail_opts *opts);
void logtail_free(struct logtail *t); /* NULL is allowed */

struct logtail_poll {
    int64_t now_ns;
    int64_t deadline_mono_ms;
    const atomic_bool *cancel;
    uint64_t max_bytes; /* of lines that may be looked at; 0: any */
};
struct logtail_batch {
    VEC(struct buf) messages;
    uint64_t lines;
    bool has_more;
};
void logtail_batch_done(struct logtail_batch *b);

/* Begin and end of the lines that the poll would look at. */
void logtail_window(const struct logtail *t, int64_t now_ns, int64_t *ret_start_ns,
                    int64_t *ret_end_ns);
/* On a worker; arena: of this poll. Errors are logquery()'s; after one the next poll begins where this one would have. *ret
 * has to be {0}. */
ORR_CHECKED struct err *logtail_poll(struct logtail *t, const struct engine *eng,
                                     struct logsource *source, struct arena *a,
                                     const struct logtail_poll *poll, struct logtail_batch *ret);
