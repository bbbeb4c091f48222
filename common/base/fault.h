/*
 * Fault points. Each call that can fail passes one, so a test walks through every failure of an
 * operation:
 *
 *     FAULT_SWEEP (n) { ... }    fails the n-th fallible call; ends after the run in which none did
 *
 * In a release build fault_hit() is one load of a flag that is never set; points stay in so that
 * integration tests can arm them by name in a running process (ORRERY_FAULT, see fault.c).
 *
 * Arming and counting are process-wide and atomic; sweeps are for single-threaded tests.
 */
#pragma once
#include "common/base/attr.h"

/* True when this call must fail. errnum receives the errno to fail with (EIO, or as armed). */
bool fault_hit_slow(const char *point, int *ret_errnum);
extern bool fault_is_armed; /* relaxed: who arms while others run may be seen a little later */

static inline bool fault_hit(const char *point, int *ret_errnum)
{
    return ORR_UNLIKELY(__atomic_load_n(&fault_is_armed, __ATOMIC_RELAXED)) &&
           fault_hit_slow(point, ret_errnum);
}

/* Fails the nth call from now on (0 = the first), once. */
void fault_arm_nth(uint64_t nth);
/* Fails every call at point with errnum; NULL errnum 0 disarms it. */
void fault_arm_point(const char *point, int errnum);
void fault_disarm(void);
bool fault_did_fire(void); /* since the last fault_arm_nth() */
/* "wal.write=ENOSPC,wal.sync=EIO" from the environment variable ORRERY_FAULT. */
void fault_arm_from_env(void);

bool fault_sweep_next(uint64_t *n);
#define FAULT_SWEEP(n) for (uint64_t n = UINT64_MAX; fault_sweep_next(&n);)
