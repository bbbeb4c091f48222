/*
 * Short queries before long ones. A query is young for its first TURNS_YOUNG_MS; an older one rests for a
 * moment again and again while there are young ones, and works at least half of the time whatever comes,
 * so that it ends, too. As long as short queries come (one ended in the last TURNS_SHORT_MS, and was young) the threads of
 * old ones leave a core to them (thread.h): a query wakes up half a dozen threads one after the other, and behind threads
 * that compute each of them would wait for the end of a slice. A dashboard beside a query over a year then hardly notices it.
 *
 * Any thread: the count is shared by all queries of an engine, a struct turn is its query's, or its part's.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TURNS_YOUNG_MS 200
#define TURNS_REST_MS 2
#define TURNS_SHORT_MS 2000

struct turns {
    atomic_uint young;
    atomic_llong short_ms; /* when the last short query ended; 0: none has */
};

struct turn {
    struct turns *turns;
    int64_t since_ms; /* began, or rested last */
    bool is_young;
};

/* began_mono_ms: when the whole began that this is a part of, for a query is no younger for being cut into pieces; 0: now.
 * From here to turn_end() on one thread. */
void turn_begin(struct turn *t, struct turns *turns, int64_t began_mono_ms, int64_t now_mono_ms);
/* Now and then; may sleep TURNS_REST_MS. */
void turn_look(struct turn *t, int64_t now_mono_ms);
void turn_end(struct turn *t, int64_t now_mono_ms);
