/*
 * By which version of a tenant's catalogue segments of one signal were last dropped here, on disk:
 *
 *   DIR/<tenant>   the highest of them: decimal digits, newline. It outlives the segments, so that it never goes back
 *
 * Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct dropped_by;

/* dir: made if absent. A file that cannot be read is logged and left out: it is no reason not to start, with all the data
 * there is; what was dropped by it is covered by what other replicas say. Blocking. */
ORR_CHECKED struct err *dropped_by_open(const char *dir, struct dropped_by **ret);
void dropped_by_close(struct dropped_by *d); /* NULL is allowed */
/* 0: none was. */
uint64_t dropped_by_get(struct dropped_by *d, struct slice tenant);
/* On disk, then in memory: a version that was said is there after a crash. A lower one than before changes nothing. Blocking. */
ORR_CHECKED struct err *dropped_by_raise(struct dropped_by *d, struct slice tenant,
                                         uint64_t version);
