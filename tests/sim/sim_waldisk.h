/*
 * A disk for the write-ahead log (common/wal/walio.h) that is as bad as a disk may be:
 *
 *  - a write is in the page cache until a sync of its file succeeds; when power fails, what was not
 *    synced is there whole, not at all, up to some byte, in some of its sectors, or with its last
 *    bytes garbled;
 *  - a file's size and name are no better: without a sync of the file, of the directory, a file may
 *    have its old length, a name may be missing, a removed one may be back;
 *  - writes and syncs fail with EIO, in part; after a failed sync the pages count as clean: a later
 *    sync does not save them;
 *  - creating fails with ENOSPC while the disk is full;
 *  - power fails at a chosen call, in its middle; from then on every call fails.
 *
 * All choices are the sim's. Owner: one run.
 */
#pragma once
#include "common/wal/walio.h"
#include "tests/sim/sim.h"

struct sim_waldisk;

struct sim_waldisk_opts {
    double fails;       /* chance that a write or a sync fails with EIO */
    bool syncs_nothing; /* syncs say that all is well, and do nothing */
    bool syncs_no_names;
};

struct sim_waldisk *sim_waldisk_new(struct sim *s, const struct sim_waldisk_opts *opts);
void sim_waldisk_free(struct sim_waldisk *d);
/* For wal_opts.io: it belongs to the disk, and the log's freeing of it does nothing. */
struct walio *sim_waldisk_io(struct sim_waldisk *d);
void sim_waldisk_set_full(struct sim_waldisk *d, bool is_full);
/* At the n-th changing call from now on (0: the next); negative: not. */
void sim_waldisk_power_off_after(struct sim_waldisk *d, int64_t n);
bool sim_waldisk_is_off(const struct sim_waldisk *d);
/* Calls that failed since the last start, power failures included. */
uint64_t sim_waldisk_failures(const struct sim_waldisk *d);
/* The process is gone. Its files are closed, and if power was lost only what the disk holds is
 * left of them. */
void sim_waldisk_restart(struct sim_waldisk *d, bool has_lost_power);
/* Flips one bit behind a segment's header, on disk. False: there is no segment with records. */
bool sim_waldisk_flip_bit(struct sim_waldisk *d);
