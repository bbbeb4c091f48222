/*
 * The simulator: runs state machines on a virtual clock, with a network that loses, repeats, delays
 * and partitions, disks that forget and tear what was not synced, clocks that step, nodes that crash.
 * Everything that happens follows from the seed: a failure is repeated with  --seed S -v.
 *
 * A scenario is a function in tests/sim/NAME_sim.c:
 *
 *     SIM_SCENARIO(gossip, "all agree after the network has healed")
 *     {
 *         int n = sim_node_add(sim, &(struct sim_node_ops){start, stop, receive}, my_node);
 *         sim_start(sim, n);
 *         sim_run_for(sim, 30 * NS_PER_S);
 *         if (!as_it_should_be)
 *             sim_fail(sim, "node %d ...", n);
 *     }
 *
 * One run is one thread, one struct sim, about a few milliseconds of real time.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/base/slice.h"

struct sim;
typedef void sim_fn(void *arg);
typedef void sim_disk_fn(void *arg, bool is_ok);

#define SIM_MAX_NODES 64
#define SIM_MAX_FILES 8

/* ---- the run ---- */

struct sim *sim_new(uint64_t seed, const char *broken, bool is_verbose);
void sim_free(struct sim *s);
/* NULL: no violation so far. */
const char *sim_violation(const struct sim *s);
uint64_t sim_events(const struct sim *s);
struct rng *sim_rng(struct sim *s);
/* A number in [lo, hi]. */
int64_t sim_between(struct sim *s, int64_t lo, int64_t hi);
bool sim_chance(struct sim *s, double p);
/* A violation: the first one is kept, and the run ends soon after. */
void sim_fail(struct sim *s, const char *fmt, ...) ORR_PRINTF(2, 3);
/* A line of the story, shown with -v. */
void sim_note(struct sim *s, const char *fmt, ...) ORR_PRINTF(2, 3);
bool sim_is_verbose(const struct sim *s);
/* Whether the code under test shall be broken in this way (--break WHAT). */
bool sim_is_broken(const struct sim *s, const char *what);
/* Memory that lives as long as the run; zeroed. For the arguments of events. */
void *sim_alloc(struct sim *s, size_t bytes);

/* ---- time ---- */

int64_t sim_now_ns(const struct sim *s); /* true time, from 0 */
void sim_at(struct sim *s, int64_t delay_ns, sim_fn *fn, void *arg);
/* Runs events until this much time has passed, or a violation. */
void sim_run_for(struct sim *s, int64_t ns);

/* ---- nodes ---- */

struct sim_node_ops {
    void (*start)(void *arg); /* from nothing but what its disk holds */
    void (*stop)(void *arg);  /* crash: drop everything but the disk; NULL: there is nothing else */
    void (*receive)(void *arg, int from, struct slice bytes); /* NULL: it is sent nothing */
};
int sim_node_add(struct sim *s, const struct sim_node_ops *ops, void *arg); /* down */
int sim_nodes(const struct sim *s);
void sim_start(struct sim *s, int node);
/* Its events and syncs are dropped, unsynced bytes are lost or torn. No effect when down. */
void sim_crash(struct sim *s, int node);
bool sim_is_up(const struct sim *s, int node);
/* An event of a node: dropped when it crashes before. */
void sim_node_at(struct sim *s, int node, int64_t delay_ns, sim_fn *fn, void *arg);
/* The node's own clocks: mono starts anew with it; wall may step. */
int64_t sim_mono_ns(const struct sim *s, int node);
int64_t sim_wall_ms(const struct sim *s, int node);
void sim_clock_step(struct sim *s, int node, int64_t ms);

/* ---- network ---- */

struct sim_net {
    double loss, repeat;                /* chances */
    int64_t min_delay_ns, max_delay_ns; /* reorders by itself */
};
void sim_net_set(struct sim *s, const struct sim_net *net);
/* Copies bytes. To a node that is down, or in another part, they are lost. */
void sim_send(struct sim *s, int from, int to, struct slice bytes);
/* Cuts: two nodes hear each other when they are in one part. */
void sim_partition(struct sim *s, int node, int part);
void sim_heal(struct sim *s);                             /* all in part 0 */
bool sim_can_talk(const struct sim *s, int from, int to); /* to is up, and in the same part */

/* ---- disks ---- */

struct sim_disk {
    int64_t min_sync_ns, max_sync_ns;
    double sync_fails; /* chance of EIO: what was to be synced is in the same state as before */
};
void sim_disk_set(struct sim *s, const struct sim_disk *disk);
/* File numbers 0..SIM_MAX_FILES-1 of a node. A crash keeps a random part of what was appended since
 * the last completed sync, possibly with its last bytes garbled. */
void sim_append(struct sim *s, int node, int file, struct slice bytes);
/* Makes what was appended so far durable, then calls fn (in the node's life only). */
void sim_sync(struct sim *s, int node, int file, sim_disk_fn *fn, void *arg);
struct slice sim_content(const struct sim *s, int node, int file); /* lent until the next change */
/* Replaces the content durably and in one piece (write, fsync, rename, fsync). */
void sim_replace(struct sim *s, int node, int file, struct slice bytes);

/* ---- scenarios ---- */

typedef void sim_scenario_fn(struct sim *sim);
void sim_register(const char *name, const char *about, sim_scenario_fn *fn);
#define SIM_SCENARIO(name, about)                                                                  \
    static void sim_scenario_##name(struct sim *sim);                                              \
    __attribute__((constructor)) static void sim_register_##name(void)                             \
    {                                                                                              \
        sim_register(#name, (about), sim_scenario_##name);                                         \
    }                                                                                              \
    static void sim_scenario_##name(struct sim *sim)
