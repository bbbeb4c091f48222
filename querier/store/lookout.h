/*
 * Looks at the bucket for whether something that is held is still true, for many askers and with
 * bounded patience: a bucket that hangs must not make every query hang that could do with what is
 * known.
 *
 * For each thing (a tenant's catalogue, its tombstones) at most one look is under way; who comes
 * meanwhile waits for it. A look runs on a thread of the lookout's own, so its askers can give up.
 *
 *   NULL            a look that began at since_ns or later has ended well
 *   ERR_TIMEOUT     the look under way has lasted for LOOKOUT_PATIENCE_MS; it goes on
 *   other           the look failed; for LOOKOUT_PAUSE_MS after that it is not tried again
 *
 * Not so for who is_patient, having nothing to go on with: looks again at once, waits for the end.
 *
 * Any worker; blocks.
 */
#pragma once
#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/slice.h"

#define LOOKOUT_PATIENCE_MS 3000
#define LOOKOUT_PAUSE_MS 1000

struct lookout;
/* Looks for the thing; says what it found to its owner itself. */
typedef struct err *lookout_fn(void *arg, struct slice name);

/* Part of the thing; the lookout's. {0} at first; ended with lookout_state_done(). */
struct lookout_state {
    bool is_running;
    int64_t began_ns, well_ns; /* of the look under way, of the last that ended well */
    struct err *failure;       /* of the last, if that failed */
    int64_t failed_ns;
};

/* threads 0: looks are made by the asker: for a store that does not hang. */
struct lookout *lookout_new(unsigned threads, lookout_fn *look, void *arg);
void lookout_free(struct lookout *lo); /* waits for the looks under way; NULL is allowed */
void lookout_state_done(struct lookout_state *st);
bool lookout_is_idle(struct lookout *lo, const struct lookout_state *st); /* may go */

/* st lives until lookout_free(). */
ORR_CHECKED struct err *lookout_ask(struct lookout *lo, struct lookout_state *st, struct slice name,
                                    int64_t since_ns, bool is_patient);
