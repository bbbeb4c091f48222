/*
 * Evaluations of a group that were missed and are to be made up for: runs of slots (rule_schedule.h) of one interval, the oldest
 * first. Pure. Unix milliseconds.
 *
 * Bounded: of more than RULE_CATCHUP_MAX_RUNS holes the oldest ones are given up.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_CATCHUP_MAX_RUNS 16

struct rule_catchup {
    struct rule_catchup_run {
        int64_t first_ms, last_ms; /* both are missing */
    } runs[RULE_CATCHUP_MAX_RUNS]; /* in order, none touches the next one */
    size_t n;
    int64_t interval_ms;
};

void rule_catchup_init(struct rule_catchup *c, int64_t interval_ms);
/* The slots from first to last are missing; how many others are given up for them. */
uint64_t rule_catchup_add(struct rule_catchup *c, int64_t first_ms, int64_t last_ms);
/* Gives up the slots before a time; how many. */
uint64_t rule_catchup_expire(struct rule_catchup *c, int64_t before_ms);
/* The oldest one; false: nothing is missing. */
bool rule_catchup_next(const struct rule_catchup *c, int64_t *ret_ms);
/* The oldest one is there. */
void rule_catchup_pop(struct rule_catchup *c);
uint64_t rule_catchup_count(const struct rule_catchup *c);
