/*
 * Names of other systems as names that PromQL takes without quotes: every character but
 * [a-zA-Z0-9_] becomes _, and _ is put before a first digit, as Mimir does for Influx and
 * statsd_exporter for StatsD.
 *
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"

/* s itself where it is plain already, else a copy in the arena. */
struct slice plain_name(struct arena *a, struct slice s);
/* Writes s at *to, which has room for s.len + 1 bytes, and moves it on. is_start: nothing of the
 * name stands before it. */
void plain_name_put(uint8_t **to, struct slice s, bool is_start);
