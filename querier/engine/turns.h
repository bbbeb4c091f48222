/*
 * Short queries before long ones. A query is young for its first TURNS_YOUNG_MS; an older one rests for a
 * moment again and again while there are young ones, and works at least half of the time whatever comes,
 * so that it ends, too. A dashboard beside a query over a year then hardly notices it.
 *
 * Any thread: the count is shared by all queries of an engine, a struct turn is its query's.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TURNS_YOUNG_MS 200
#define TURNS_REST_MS 2

struct turns {
    atomic_uint young;
};

struct turn {
    struct turns *turns;
    int64_t since_ms; /* began, or rested last */
    bool is_young;
};

void turn_begin(struct turn *t, struct turns *turns, int64_t now_mono_ms);
/* Now and then; may sleep TURNS_REST_MS. */
void turn_look(struct turn *t, int64_t now_mono_ms);
void turn_end(struct turn *t);
