#include "ruler/rule_schedule.h"

#include "common/base/hash.h"

#define SCHEDULE_SEED 0x736c6f74ull

int64_t rule_schedule_offset(struct slice key, int64_t interval_ms)
{
    return (int64_t)(hash_xxh64(key, SCHEDULE_SEED) % (uint64_t)interval_ms);
}

int64_t rule_schedule_slot(int64_t now_ms, int64_t interval_ms, int64_t offset_ms)
{
    int64_t over = (now_ms - offset_ms) % interval_ms;

    return now_ms - (over < 0 ? over + interval_ms : over);
}

uint64_t rule_schedule_missed(int64_t last_ms, int64_t slot_ms, int64_t interval_ms)
{
    return slot_ms > last_ms ? (uint64_t)((slot_ms - last_ms - 1) / interval_ms) : 0;
}
