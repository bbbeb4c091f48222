/*
 * A group makes up for evaluations that were missed: because nobody evaluated it (a ruler died, the machine was too busy), or because
 * no querier answered. Its recording rules are evaluated at those times, in their order, and what they yield is written there. Alerts
 * are of now: nothing is done about theirs.
 *
 * What was missed before the group came here is told by what is stored: the last sample of one of its recording rules, of the first
 * RULE_FILL_ASKED, is from the last evaluation (which is done once more: it may have been cut short). A group of which nothing is
 * stored has no hole that anyone could know of.
 *
 * Slots are filled the oldest first, after an evaluation of now that went well, and no longer than until_ms; those older
 * than rule_group_settings.catch_up_ms are given up, and counted. A rule that fails at such a time for good is passed over there.
 *
 * Owner: as of the group.
 */
#pragma once
#include "ruler/rule_group.h"

#define RULE_FILL_ASKED 4

/* After rule_group_eval() for ts_ms. until_ms: monotonic. */
void rule_fill(struct rule_group_run *g, const struct rule_group_settings *set,
               const struct rule_group_ops *ops, int64_t ts_ms, int64_t until_ms,
               const atomic_bool *is_cancelled);
/*
 * For how long after an evaluation that took duration_s slots may be begun, if the next evaluation is due in left_ms: a part of the
 * interval, and so that the next one may be late but is not missed: a slot is up to three evaluations (just before a hole, in it, just
 * behind it), taken for four like that one. Else those of now would be missed for those of then, and made up for in their turn, without
 * an end. 0: none.
 */
int64_t rule_fill_time_ms(int64_t interval_ms, int64_t left_ms, double duration_s);
/* Forgets where it was. */
void rule_fill_stop(struct rule_group_run *g);
