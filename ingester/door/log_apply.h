/*
 * A tenant's rules for log lines (common/model/log_rule.h), applied to one.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/log_builder.h"

void log_tally_add(struct log_tally *t, size_t bytes);
/*
 * What those rules whose bits are set leave of a line; changed texts are in the arena. False: nothing.
 * tally: one a rule, of which those count that dropped or changed the line.
 */
bool log_apply_rules(const struct log_rules *rules, uint64_t bits, struct arena *a,
                     struct log_tally *tally, struct log_in *io);
