/*
 * What to flush and what to drop: the planner of the compactor, a pure state machine. The caller
 * asks ingesters and the bucket, feeds in what they said, and does what the plan says; tests/sim
 * drives the same code.
 *
 *     plan_begin(p, now, &read_set)               a round; positions are those of the read set
 *     plan_answer(p, position, is_leaving)        this ingester has told all its segments:
 *     plan_segment(p, position, &seg) ...           each of them that we own
 *     plan_end(p, catalogue, arg)                 asks which are named by a live block
 *     plan_jobs(p, &n), plan_drops(p, &n)         what to do now; lent until the next plan_begin()
 *     plan_flushed / plan_failed / plan_quarantine   how it went
 *
 * A segment is PENDING until a live block of the catalogue names it as a source, then NAMED.
 * Pending segments of one tenant and 2-hour window are flushed together, into one block:
 *
 *   - at once when every ingester of the read set has a segment of the window: then each has cut it.
 *     (An ingester cuts a window whole, but for what arrives late, which comes as another segment.)
 *   - else, since an ingester without one either has nothing of it or has not cut it yet, after a
 *     wait (from when the first was seen): flush_wait_ms for a window that was cut in its time (all
 *     ingesters cut it within minutes of one another, grace_ms or more after its end);
 *     early_wait_ms for one that was cut early, by command or because its ingester leaves: the others
 *     will not cut it any time soon. A cut is early when one of its segments was made before that
 *     segment's end + grace_ms, or when its ingester is LEAVING.
 *   - in either case only when all ingesters of all units (zones) but rf/2 have answered in this
 *     round, as a read needs it (quorum.h).
 *
 * This rule is about making one block and not three. That nothing is lost hangs on the next one
 * alone: a segment is dropped only when a live block names it. So what comes late is flushed as one
 * more block of the same window, which overlaps; reads merge them.
 *
 * A drop is told to the ingester drop_delay_ms after we have first seen the segment named by a
 * catalogue read from the bucket. Readers take the catalogue after every ingester has begun to
 * answer (querier/store/store.h), so any delay is sound; it lets the gossip of the new version reach
 * queriers first, so that one that cannot read the bucket at that moment knows that its catalogue is
 * old. Drops are repeated until the ingester does not list the segment any more.
 *
 * A window whose flush failed waits: retry_min_ms, doubled with each failure in a row, up to
 * retry_max_ms. A quarantined segment is left out of flushes (and stays with its ingester) for
 * quarantine_ms, then gets another chance.
 *
 * One tenant with thousands of windows does not hold up the others: jobs are dealt tenant by tenant,
 * and a round has so few of them that what was cut meanwhile gets its turn soon.
 *
 * What is remembered is only for timing and may be lost in a restart. Times are monotonic ms.
 * Owner: one thread.
 */
#pragma once
#include "common/base/slice.h"
#include "common/block/ulid.h"
#include "common/ring/ring.h"

#define PLAN_WINDOW_MS 7200000ll
#define PLAN_MAX_INPUTS 256 /* segments of one job; more wait for the next round */
#define PLAN_MAX_JOBS 256 /* of one round; the next comes at once and begins with another tenant */
#define PLAN_MAX_TENANT_JOBS 32 /* of them one tenant's */

struct plan;

struct plan_opts {
    int64_t flush_wait_ms, early_wait_ms, grace_ms, drop_delay_ms;
    int64_t retry_min_ms, retry_max_ms, quarantine_ms;
};
struct plan *plan_new(const struct plan_opts *opts);
void plan_free(struct plan *p);
void plan_set_opts(struct plan *p, const struct plan_opts *opts);

struct plan_segment {
    struct slice tenant; /* lent until plan_end() has returned */
    struct ulid ulid;
    int64_t min_ms, max_ms; /* max exclusive */
    uint64_t series, bytes;
    /* When it was cut, Unix; 0: the time of its id. As told when it was listed first: an id that is made when a segment is
     * begun does not say, and who asks then knows but that it was cut by now. */
    int64_t cut_ms;
};

/* Start of the window that a segment belongs to. */
int64_t plan_window(int64_t min_ms);
/* Key of (tenant, window) on the compactor ring: ring_key("tenant/<window start in ms>"). */
uint32_t plan_key(struct slice tenant, int64_t window_ms);

/* set: borrowed until plan_end(). */
void plan_begin(struct plan *p, int64_t now_ms, const struct ring_read_set *set);
void plan_answer(struct plan *p, unsigned position, bool is_leaving);
void plan_segment(struct plan *p, unsigned position, const struct plan_segment *seg);

/* Does a live block in the tenant's catalogue name the segment? PLAN_UNKNOWN: the catalogue could not
 * be read, and nothing is done about the tenant in this round. */
enum plan_named { PLAN_UNKNOWN, PLAN_PENDING, PLAN_NAMED };
typedef enum plan_named plan_named_fn(void *arg, struct slice tenant, struct ulid segment);
void plan_end(struct plan *p, plan_named_fn *named, void *arg);

struct plan_input {
    struct ulid ulid;
    unsigned position; /* who has it */
    int64_t min_ms, max_ms;
    uint64_t series, bytes;
};
struct plan_job {
    struct slice tenant;
    int64_t window_ms;
    const struct plan_input *inputs; /* ascending by ulid, each once */
    size_t n;
};
struct plan_drop {
    struct slice tenant;
    struct ulid ulid;
    unsigned position;
};
/* Tenants take turns, each with its oldest window first. */
const struct plan_job *plan_jobs(const struct plan *p, size_t *ret_n);
const struct plan_drop *plan_drops(const struct plan *p, size_t *ret_n);

/* The catalogue names the job's segments now. */
void plan_flushed(struct plan *p, const struct plan_job *job, int64_t now_ms);
void plan_failed(struct plan *p, const struct plan_job *job, int64_t now_ms);
void plan_quarantine(struct plan *p, struct slice tenant, struct ulid segment, int64_t now_ms);

/* Why the pending segments of a window are not in a job, for the status page. */
#define PLAN_WAITS(X)                                                                              \
    X(PLAN_READY, "ready")                                                                         \
    X(PLAN_WAITS_FOR_OTHERS, "waits for segments of other ingesters")                              \
    X(PLAN_WAITS_FOR_ANSWERS, "too many ingesters do not answer")                                  \
    X(PLAN_WAITS_FOR_CATALOGUE, "the catalogue cannot be read")                                    \
    X(PLAN_WAITS_FOR_RETRY, "waits after a failure")                                               \
    X(PLAN_WAITS_IN_QUARANTINE, "quarantined")
enum plan_wait {
#define X(sym, text) sym,
    PLAN_WAITS(X)
#undef X
};
const char *plan_wait_text(enum plan_wait w);

struct plan_row {
    struct slice tenant;
    int64_t window_ms;
    size_t pending, quarantined, named; /* segments */
    uint64_t bytes;                     /* of pending ones */
    int64_t oldest_ms;                  /* Unix ms when the oldest pending one was cut */
    unsigned failures;
    enum plan_wait wait;
};
/* One for each window with pending or quarantined segments, as of the last plan_end(). */
const struct plan_row *plan_rows(const struct plan *p, size_t *ret_n);
/* Monotonic ms at which a round may find something new to do though nobody says so (a wait or a
 * delay ends); INT64_MAX: none is known of. */
int64_t plan_next_ms(const struct plan *p);
