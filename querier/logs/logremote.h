/*
 * The log lines that all ingesters together hold, and those in blocks, as one source: every ingester that may hold lines of
 * the range is asked (store_ask_logs(), RPC ingester.select_logs), the blocks of the range are read (store_take_logs()), and
 * what several hold alike comes once (logjoin.h).
 *
 *     logremote_init(&r, &(struct logremote_opts){…});
 *     logquery(eng, &q, &r.source, …)          or logremote_streams(), logremote_names()
 *
 * Whole or an error: as with metrics the loss of one zone (or instance) is made up for by the others
 * (querier/store/fanout.h); more is ERR_UNAVAILABLE that names who failed and why. So is a catalogue older than what ingesters
 * say they have dropped by.
 *
 * Lines come by stretches of time (logstretch.h), each of which is a question of its own: first the ingesters, and when all of them have begun
 * to answer, the blocks, by a catalogue that has what they no longer hold (the seam of store.h). So whatever is flushed,
 * compacted and dropped between two stretches, each is whole; and since stretches do not share a moment, no line is in two. A
 * block is opened when its first stretch begins.
 *
 * Order: streams by fingerprint, which is how ingesters and blocks have them; so one of them at a time is merged, and
 * what is held is a few frames of each ingester, a few pages of each block of the stretch, and the lines of one moment.
 *
 * What is deleted of the tenant's lines (common/block/tombstone_list.h) is left out last, over what was joined: the list is taken
 * when a select begins, and where nothing of the range is on it nothing else is done.
 *
 * What the pipeline's first line filters look for (pipeline_needles()) is handed to ingesters and blocks, which leave out
 * lines without it, most of them unread; a bound on a field (pipeline_bound()) to blocks.
 *
 * Blocks are read by the querier that runs the piece of the query: an owner of them, if there are any (logpiece_ask.h).
 *
 * It is cut into pieces (logcut.h) for several threads. Each is a stretch, and by the same catalogue as the others; ingesters send
 * the streams of all fingerprints to each piece of a stretch that is cut by them.
 *
 * Threads: all calls block and are made by the query's worker, those on a fork by the fork's. Memory: the query's arena.
 */
#pragma once
#include "querier/logs/logsource.h"
#include "querier/store/store.h"

struct logremote_opts {
    struct store_query *sq; /* lent: tenant, arena, deadline, cancel flag */
    /* How far ahead of the clock a line may have been when it came, 0: however far. Tells since when
     * ingesters may hold lines of a range. */
    int64_t grace_ns;
    uint64_t max_streams; /* ERR_LIMIT beyond, at each ingester, in each block; 0: any number */
    /* For who asks time and again for what came a moment ago: no look at the bucket, unless an ingester says that it has
     * dropped lines by a later catalogue than known_mark, the mark of the time before. */
    bool has_known_mark;
    uint64_t known_mark;
    uint64_t cut_bytes; /* of pieces, at least (logcut.h); 0: as it has them */
};
struct logremote {
    struct logsource source;
    struct logremote_opts opts;
    uint64_t
        mark; /* the highest catalogue by which ingesters have said to have dropped lines (logs_rpc.h) */
};
void logremote_init(struct logremote *r, const struct logremote_opts *opts);

/* ---- beside lines ---- */

/* What there is in a range [start, end). */
struct logremote_range {
    int64_t start_ns, end_ns;
    int64_t
        step_ns; /* of volumes, from start on, LOG_STEPS_MAX at most; 0: of the range as a whole alone */
};
struct logremote_stream {
    struct hash128 fp;
    struct labels labels; /* lent until the next */
    /* Of replicas as logjoin.h has it, and of all blocks. Where a range begins or ends within a frame (loghead.h) all of it counts;
     * within a block, the range's share of its time. What is in a block and not yet dropped by ingesters counts twice.
     * Of streams that deletions are about the lines are counted that are left, which takes to read them. */
    uint64_t entries, bytes;
    /* Bytes in each step, lent until the next: those of a frame or of a block as if its lines came evenly, and of each step that of
     * the replica that has most in it, so they can add up to more than the whole. NULL: the range has none. */
    const uint64_t *steps;
};
struct logremote_streams;
/* Streams with entries in the range that are not deleted, each once: by fingerprint, but for those that deletions are about,
 * which come last. wants_volume: else entries and bytes mean nothing, and of each of the latter one line is enough. */
ORR_CHECKED struct err *logremote_streams(struct logremote *r, struct matchers ms,
                                          struct logremote_range range, bool wants_volume,
                                          struct logremote_streams **ret);
bool logremote_streams_next(struct logremote_streams *s, struct logremote_stream *ret);
/* NULL, or why it ended early. Frees s. */
ORR_CHECKED struct err *logremote_streams_close(struct logremote_streams *s);

/* Names of labels (label.ptr NULL) or values of one, of streams with entries in the range: sorted, each
 * once, in the arena. */
ORR_CHECKED struct err *logremote_names(struct logremote *r, struct matchers ms, struct slice label,
                                        struct logremote_range range, struct store_names *ret);
