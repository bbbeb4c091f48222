#include "querier/store/block_owners.h"

#include "common/base/buf.h"
#include "common/base/mem.h"

static uint32_t key_of(struct slice tenant, struct ulid ulid)
{
    struct buf b = {0};
    uint32_t key;

    buf_slice_append(&b, slice_of(ulid.bytes, sizeof(ulid.bytes)));
    buf_slice_append(&b, tenant);
    key = ring_key(buf_slice(&b));
    buf_done(&b);
    return key;
}

/* Of those in order that have this zone. */
static unsigned zone_share(const struct ring *ring, const uint16_t *owners, unsigned n,
                           unsigned zone)
{
    unsigned share = 0;

    for (unsigned i = 0; i < n; i++)
        share += ring_zone(ring, owners[i]) == zone;
    return share;
}

static bool is_among(const uint16_t *owners, unsigned n, uint16_t who)
{
    for (unsigned i = 0; i < n; i++)
        if (owners[i] == who)
            return true;
    return false;
}

static size_t zones_among(const struct ring *ring, const uint16_t *order, size_t n)
{
    bool *seen = mem_new_array(bool, ring_size(ring) + 1);
    size_t zones = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned zone = ring_zone(ring, order[i]);

        zones += !seen[zone];
        seen[zone] = true;
    }
    mem_free(seen);
    return zones;
}

unsigned block_owners_of(const struct ring *ring, struct slice tenant, struct ulid ulid, unsigned n,
                         uint16_t ret[BLOCK_OWNERS_MAX])
{
    uint16_t *order = mem_new_array(uint16_t, ring_size(ring) + 1);
    size_t found = ring_order(ring, key_of(tenant, ulid), order, ring_size(ring));
    size_t zones = zones_among(ring, order, found);
    unsigned got = 0, per_zone = zones ? (unsigned)((n + zones - 1) / zones) : 0;

    n = ORR_MIN(n, (unsigned)BLOCK_OWNERS_MAX);
    for (size_t i = 0; i < found && got < n; i++)
        if (zone_share(ring, ret, got, ring_zone(ring, order[i])) < per_zone)
            ret[got++] = order[i];
    for (size_t i = 0; i < found && got < n; i++)
        if (!is_among(ret, got, order[i]))
            ret[got++] = order[i];
    mem_free(order);
    return got;
}
