/*
 * What was judged lately: evidence and verdict of traces, for spans that come late, and for other replicas that ask. The last `max`
 * that came in are remembered, 64 bytes and a slot of a hash table each; who is forgotten is judged anew by its late
 * spans alone.
 *
 * Nothing here locks.
 */
#pragma once
#include "common/base/vec.h"
#include "ingester/traces/sampling.h"

struct sampling_judged {
    uint8_t id[16];
    uint64_t rules; /* tail_rules.id they were judged by */
    struct sampling_evidence e;
    uint32_t tenant;
    uint16_t policy;
    bool is_kept;
};

struct sampling_memory_entry;
struct sampling_memory {
    VEC(struct sampling_memory_entry) all;
    uint32_t *slots;
    size_t n_slots, max, oldest; /* oldest: where the next one goes when there are max */
};

void sampling_memory_init(struct sampling_memory *m, size_t max);
void sampling_memory_done(struct sampling_memory *m);
/* False: it is not remembered. */
bool sampling_memory_get(const struct sampling_memory *m, uint32_t tenant, const uint8_t id[16],
                         struct sampling_judged *ret);
/*
 * A verdict is new here, or another one's. Of one trace and the same rules evidence is united, and kept stands against not kept: a trace that one
 * ingester keeps is kept. Of other rules the new one is remembered, unless the old one keeps.
 */
void sampling_memory_put(struct sampling_memory *m, const struct sampling_judged *j);
