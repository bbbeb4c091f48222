#include "alertmanager/amturn.h"

#include "common/base/buf.h"
#include "common/base/mem.h"

struct amturn_replicas amturn_replicas(const struct ring *r, struct slice tenant)
{
    struct amturn_replicas ret;

    ret.n = ring_order(r, ring_key(tenant), ret.at, ORR_MIN(ring_rf(r), RING_MAX_RF));
    return ret;
}

bool amturn_is_replica(const struct amturn_replicas *reps, int instance)
{
    for (size_t i = 0; i < reps->n; i++)
        if (reps->at[i] == instance)
            return true;
    return false;
}

unsigned amturn_position(const struct ring *r, struct slice self_name, struct slice tenant,
                         struct slice group_key)
{
    struct amturn_replicas reps = amturn_replicas(r, tenant);
    int self = ring_find(r, self_name);
    size_t n = ring_size(r), found;
    uint16_t *order = mem_new_array(uint16_t, n + 1);
    struct buf key = {0};
    unsigned position = 0;

    buf_lstr(&key, tenant);
    buf_lstr(&key, group_key);
    found = ring_order(r, ring_key(buf_slice(&key)), order, n);
    for (size_t i = 0; i < found && order[i] != self; i++)
        position += amturn_is_replica(&reps, order[i]);
    buf_done(&key);
    mem_free(order);
    return amturn_is_replica(&reps, self) ? position : (unsigned)reps.n;
}
