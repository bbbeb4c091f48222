/*
 * When a group is evaluated: at times t with t mod interval = offset, where offset comes from the
 * hash of the group's key. So groups spread over the interval, and a group keeps its times over
 * restarts and changes of owner. Pure. Unix milliseconds.
 */
#pragma once
#include "common/base/slice.h"

int64_t rule_schedule_offset(struct slice key, int64_t interval_ms);
/* The last slot that is not after now. */
int64_t rule_schedule_slot(int64_t now_ms, int64_t interval_ms, int64_t offset_ms);
/* Slots after last (any time) and before slot: what was missed when slot is evaluated next. 0 if the clock went
 * back. */
uint64_t rule_schedule_missed(int64_t last_ms, int64_t slot_ms, int64_t interval_ms);
