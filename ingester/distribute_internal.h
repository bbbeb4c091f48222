/* distribute.c: pushes under way; distribute_judge.c: what quorums took and single replicas refused. */
#pragma once
#include <stdatomic.h>

#include "common/ring/quorum.h"
#include "ingester/distribute.h"

struct distribute_metrics {
    uint64_t pushes, failures, resent_series, refused_bytes, replica_failures, late_samples,
        missed_samples;
    int64_t inflight, inflight_bytes;
    struct metric_hist quorum_s;
};

struct distribute {
    struct distribute_ops ops;
    char *instance;
    int64_t timeout_ms, max_inflight_bytes;
    _Atomic size_t refs; /* the owner's, and one of each flight */
    _Atomic bool is_closed;
    struct distribute_metrics m;
};

/* Of samples that a quorum took and this replica refused because they came late: all at this time. */
struct target_late {
    uint32_t series; /* in the push */
    int64_t t_ms;
};

/* One instance's part of a push. */
struct target {
    struct flight *f;
    uint16_t instance;
    bool is_local, is_again, is_answered, has_failed, is_late;
    struct buf bytes;    /* unused when the flight's are shared */
    VEC(uint32_t) index; /* series of the batch to items of the cargo; empty: the same */
    /* the answer */
    uint64_t rejected[BATCH_REASON_COUNT];
    VEC(struct distribute_example) refusals;
    /* is_late: the batch is of these, by series and time; owed of the sent ones a quorum has */
    VEC(struct target_late) late;
    uint64_t late_owed, late_sent;
    /* handed over from the thread that answers a local one */
    struct err *local_error;
    struct batch_reply local_reply;
};

/* A push under way. Owner: its loop. */
struct flight {
    struct distribute *d;
    struct loop *loop;
    struct distribute_cargo cargo;
    struct push *p; /* it is the cargo; NULL: that is another */
    struct ring *ring;
    struct quorum quorum;
    struct target *targets;
    size_t n_targets, waiting;
    struct buf shared; /* the batch of all targets, when there is one replica set */
    bool is_shared, is_told, has_sent_late;
    struct err *first_error;
    struct slice widest; /* owned; as of replicas that answered so far */
    uint64_t widest_values;
    struct loop_timer *timer;
    int64_t start_ms, charged_bytes;
    distribute_done_fn *done;
    void *arg;
};

/* ---- distribute_judge.c ---- */

struct distribute_shorts {
    struct distribute_refusal *ptr;
    size_t len, cap;
};

/* What a majority says: of what does not fail a write, and so is not told one by one. */
uint64_t distribute_judge_count(const struct flight *f, unsigned reason);
/* Fills r and ret_all (may be NULL) with what is short of a quorum now; true when an outstanding answer may still change
 * that. */
bool distribute_judge(const struct flight *f, struct distribute_result *r,
                      struct distribute_shorts *ret_all);
/*
 * Of a push, when all have answered: gives each target that is owed late samples the batch of them, is_late; how
 * many targets. What else of a quorum's samples a replica refused is counted as missed.
 */
size_t distribute_judge_late(struct flight *f);

/* A series with labels, and what it has of these times (ascending); how many samples and histograms: if
 * none, nothing is written. */
uint64_t distribute_write_times(struct batch_writer *w, const struct push_series *s,
                                const struct target_late *times, size_t n);
