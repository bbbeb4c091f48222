/*
 * The shop of orreryctl demo: what its services say of themselves, second by second, as OTLP's JSON.
 *
 *   gateway ─┬─ checkout ─┬─ orders ──── database (orders)
 *            │            ├─ payments ── database (accounts)
 *            └────────────┴─ inventory ─ cache
 *
 * Things go wrong on a schedule, in each cycle once (fractions of the cycle, from where the lock is taken):
 *
 *   0      a batch job, the nightly reconciliation, holds the lock of the accounts for 30 s: payments' query waits for it, checkout fails
 *   0.25   checkout 1.4.2 is deployed, which cannot price some items; taken back after an eighth of the cycle
 *   0.50   the cache refuses connections for a sixteenth: inventory throws errors at everybody
 *   0.63   checkout puts the session's id into a label for a sixteenth
 *
 * Events tell of the batch job and the deployments. Traces, lines and exemplars carry the ids that join them.
 *
 * Pure: the same seed, options and seconds give the same bytes. Owner: one thread.
 */
#pragma once
#include "common/base/buf.h"

struct demo_shop;

struct demo_shop_opts {
    uint64_t seed;
    double rate;     /* requests a second */
    int64_t cycle_s; /* at least DEMO_SHOP_MIN_CYCLE_S */
    int64_t lock_s;  /* one of the seconds when the lock is taken */
};
#define DEMO_SHOP_MIN_CYCLE_S 240
#define DEMO_SHOP_LOCK_S 30

/* from_s: the first second that will be told; counters begin there. */
struct demo_shop *demo_shop_new(const struct demo_shop_opts *opts, int64_t from_s);
void demo_shop_free(struct demo_shop *s); /* NULL is allowed */

/* The requests that end in the second t_s. Seconds ascend. */
void demo_shop_tick(struct demo_shop *s, int64_t t_s);

/* Bodies of POST /v1/traces, /v1/logs, and /api/v1/events, of what came since the last call; out is appended to. False: nothing did. */
bool demo_shop_traces(struct demo_shop *s, struct buf *out);
bool demo_shop_lines(struct demo_shop *s, struct buf *out);
bool demo_shop_events(struct demo_shop *s, struct buf *out);
/* A body of POST /v1/metrics: all of them as of the end of the last second, with exemplars of those since the last call. */
void demo_shop_metrics(struct demo_shop *s, struct buf *out);

/* A namespace of rules, as YAML: its error ratios, and alerts on them. */
const char *demo_shop_rules(void);
