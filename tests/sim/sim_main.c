/*
 * orrery-sim: runs the scenarios, one seed after the other.
 *
 *     orrery-sim [--seeds N] [--from SEED] [--scenario NAME] [--break WHAT] [--expect-violation]
 *     orrery-sim --seed S -v        repeats one seed and tells its story
 *
 * Ends with status 1 at the first violation, after printing its scenario and seed. With
 * --expect-violation (a test of the test, together with --break) it is the other way round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/vec.h"
#include "tests/sim/sim.h"

struct scenario {
    const char *name, *about;
    sim_scenario_fn *fn;
};
static VEC(struct scenario) scenarios;

void sim_register(const char *name, const char *about, sim_scenario_fn *fn)
{
    vec_push(&scenarios, ((struct scenario){name, about, fn}));
}

struct options {
    uint64_t from, seeds;
    const char *scenario, *broken;
    bool is_verbose, expects_violation;
};

static int usage(const char *unknown)
{
    if (unknown)
        fprintf(stderr, "orrery-sim: do not understand %s\n", unknown);
    printf("orrery-sim [--seeds N] [--from SEED] [--scenario NAME] [--break WHAT]\n"
           "           [--expect-violation] [--seed S] [-v]\nscenarios:\n");
    VEC_FOREACH (s, &scenarios)
        printf("  %-10s %s\n", s->name, s->about);
    printf("--break quorum: writes are acknowledged after one replica\n"
           "--break sync: replicas acknowledge before the disk has synced; the log does not sync\n"
           "--break late: what a quorum has is not brought to replicas that it came to too late\n"
           "--break disk-sync: the log's disk says that it has synced, and has not\n"
           "--break disk-names: the log's disk does not sync directories\n"
           "--break left: tombstones are dropped after a second\n"
           "--break silence: alertmanagers do not keep silences on disk\n"
           "--break dedup: alertmanagers do not ask the notification log\n"
           "--break claim: alertmanagers do not ask each other before they speak\n"
           "--break drop-early: segments are dropped before the catalogue names their block\n"
           "--break unnamed: what an expired block named is not named any more\n"
           "--break no-marks: readers do not ask by which catalogue ingesters have dropped\n"
           "--break late-marks: ingesters note that after the drop\n"
           "--break forget-marks: ingesters forget it when they crash\n"
           "--break delete-early: files of replaced blocks are deleted at once\n"
           "--break no-fence: a compaction does not ask whether its inputs are live\n"
           "--break no-retired: orphans are deleted beside the catalogue\n"
           "--break split-apart: the blocks of a split are added one by one\n"
           "--break one-name: a block's id does not depend on what was left out of it\n"
           "--break lose-names: a block names only the sources of which data is left\n"
           "--break two-owners: who writes is told by the ring alone, not by the lease\n"
           "--break no-quiet: the next put does not wait for one that failed\n"
           "--break no-wait: a lease is used as soon as it is written\n"
           "--break late: a put takes place later than is allowed for\n"
           "--break no-rest: who has just got a lease deletes and forgets at once\n"
           "--break alone: orphans are left to who has held the lease for long\n");
    return unknown ? 2 : 0;
}

/* False for what is not understood, with *ret_bad naming it (NULL: help was asked for). */
static bool parse(int argc, char **argv, struct options *o, const char **ret_bad)
{
    *ret_bad = NULL;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(a, "-v") == 0) {
            o->is_verbose = true;
        } else if (strcmp(a, "--expect-violation") == 0) {
            o->expects_violation = true;
        } else if (strcmp(a, "--help") == 0) {
            return false;
        } else if (!v) {
            *ret_bad = a;
            return false;
        } else {
            i++;
            if (strcmp(a, "--seeds") == 0) {
                o->seeds = strtoull(v, NULL, 10);
            } else if (strcmp(a, "--from") == 0) {
                o->from = strtoull(v, NULL, 10);
            } else if (strcmp(a, "--seed") == 0) {
                o->from = strtoull(v, NULL, 10);
                o->seeds = 1;
            } else if (strcmp(a, "--scenario") == 0) {
                o->scenario = v;
            } else if (strcmp(a, "--break") == 0) {
                o->broken = v;
            } else {
                *ret_bad = a;
                return false;
            }
        }
    }
    return true;
}

/* True when the seed shows no violation. */
static bool run_one(const struct scenario *sc, const struct options *o, uint64_t seed)
{
    struct sim *sim = sim_new(seed, o->broken, o->is_verbose);
    bool ok;

    sc->fn(sim);
    ok = !sim_violation(sim);
    if (!ok)
        printf("VIOLATION scenario=%s seed=%llu: %s\n  again: orrery-sim --scenario %s --seed "
               "%llu%s%s -v\n",
               sc->name, (unsigned long long)seed, sim_violation(sim), sc->name,
               (unsigned long long)seed, o->broken ? " --break " : "", o->broken ? o->broken : "");
    sim_free(sim);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .seeds = 1000};
    const char *bad;
    bool ok = true, any = false;
    clock_t start = clock();

    if (!parse(argc, argv, &o, &bad))
        return usage(bad);
    setvbuf(stdout, NULL, _IOLBF, 0);
    VEC_FOREACH (sc, &scenarios) {
        clock_t begun = clock();
        uint64_t seed = o.from;

        if (o.scenario && strcmp(o.scenario, sc->name) != 0)
            continue;
        any = true;
        for (; seed < o.from + o.seeds && ok; seed++) {
            ok = run_one(sc, &o, seed);
            if (ok && (seed - o.from + 1) % 2000 == 0)
                printf("%s: %llu seeds\n", sc->name, (unsigned long long)(seed - o.from + 1));
        }
        printf("%s: %llu seeds, %.1f s of CPU\n", sc->name, (unsigned long long)(seed - o.from),
               (double)(clock() - begun) / CLOCKS_PER_SEC);
        if (!ok)
            break;
    }
    if (!any)
        return usage(o.scenario);
    printf("%s in %.1f s of CPU\n", ok ? "no violation" : "a violation",
           (double)(clock() - start) / CLOCKS_PER_SEC);
    vec_done(&scenarios);
    return ok == o.expects_violation;
}
