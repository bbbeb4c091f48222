#include "ingester/traces/tracelive.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#define MIN_SLOTS 1024

void tracelives_init(struct tracelives *t)
{
    *t = (struct tracelives){
        .oldest = TRACELIVE_NONE, .newest = TRACELIVE_NONE, .free = TRACELIVE_NONE};
}

void tracelives_done(struct tracelives *t)
{
    vec_done(&t->all);
    mem_free(t->slots);
    tracelives_init(t);
}

static uint32_t *slot_of(const struct tracelives *t, uint32_t tenant, const uint8_t id[16])
{
    return &t->slots[hash_xxh64(slice_of(id, 16), tenant) & (t->n_slots - 1)];
}

uint32_t tracelives_find(const struct tracelives *t, uint32_t tenant, const uint8_t id[16])
{
    uint32_t i = t->n_slots ? *slot_of(t, tenant, id) : TRACELIVE_NONE;

    while (i != TRACELIVE_NONE &&
           (t->all.ptr[i].tenant != tenant || memcmp(t->all.ptr[i].id, id, 16) != 0))
        i = t->all.ptr[i].next;
    return i;
}

/* ---- the order ---- */

static void unlink_one(struct tracelives *t, uint32_t i)
{
    struct tracelive *l = &t->all.ptr[i];

    *(l->older == TRACELIVE_NONE ? &t->oldest : &t->all.ptr[l->older].newer) = l->newer;
    *(l->newer == TRACELIVE_NONE ? &t->newest : &t->all.ptr[l->newer].older) = l->older;
}

static void link_newest(struct tracelives *t, uint32_t i)
{
    struct tracelive *l = &t->all.ptr[i];

    l->older = t->newest;
    l->newer = TRACELIVE_NONE;
    *(t->newest == TRACELIVE_NONE ? &t->oldest : &t->all.ptr[t->newest].newer) = i;
    t->newest = i;
}

static void link_oldest(struct tracelives *t, uint32_t i)
{
    struct tracelive *l = &t->all.ptr[i];

    l->newer = t->oldest;
    l->older = TRACELIVE_NONE;
    *(t->oldest == TRACELIVE_NONE ? &t->newest : &t->all.ptr[t->oldest].older) = i;
    t->oldest = i;
}

/* ---- in and out ---- */

static void grow(struct tracelives *t)
{
    mem_free(t->slots);
    t->n_slots = t->n_slots ? 2 * t->n_slots : MIN_SLOTS;
    t->slots = mem_new_array(uint32_t, t->n_slots);
    memset(t->slots, 0xff, t->n_slots * sizeof(*t->slots));
    for (uint32_t i = t->oldest; i != TRACELIVE_NONE; i = t->all.ptr[i].newer) {
        uint32_t *slot = slot_of(t, t->all.ptr[i].tenant, t->all.ptr[i].id);

        t->all.ptr[i].next = *slot;
        *slot = i;
    }
}

/* Linked by the caller. */
static uint32_t insert(struct tracelives *t, const struct tracelive *l)
{
    uint32_t i = t->free, *slot;

    if (t->n >= t->n_slots)
        grow(t);
    if (i != TRACELIVE_NONE) {
        t->free = t->all.ptr[i].next;
    } else {
        i = (uint32_t)t->all.len;
        (void)vec_add(&t->all);
    }
    slot = slot_of(t, l->tenant, l->id);
    t->all.ptr[i] = *l;
    t->all.ptr[i].next = *slot;
    *slot = i;
    t->n++;
    t->bytes += l->bytes;
    return i;
}

void tracelives_touch(struct tracelives *t, uint32_t tenant, const uint8_t id[16], size_t bytes,
                      uint64_t seq, int64_t now_ms, int64_t max_live_ms, bool *ret_new)
{
    uint32_t i = tracelives_find(t, tenant, id);
    struct tracelive *l;

    *ret_new = i == TRACELIVE_NONE;
    if (i == TRACELIVE_NONE) {
        struct tracelive new = {.first_seq = seq,
                                .first_ms = now_ms,
                                .last_ms = now_ms,
                                .bytes = bytes,
                                .tenant = tenant};

        memcpy(new.id, id, sizeof(new.id));
        link_newest(t, insert(t, &new));
        return;
    }
    l = &t->all.ptr[i];
    l->first_seq = ORR_MIN(l->first_seq, seq);
    l->bytes += bytes;
    t->bytes += bytes;
    if (now_ms - l->first_ms >= max_live_ms)
        return;
    l->last_ms = now_ms;
    if (i != t->newest) {
        unlink_one(t, i);
        link_newest(t, i);
    }
}

struct tracelive tracelives_remove(struct tracelives *t, uint32_t i)
{
    struct tracelive ret = t->all.ptr[i];
    uint32_t *slot = slot_of(t, ret.tenant, ret.id);

    unlink_one(t, i);
    while (*slot != i)
        slot = &t->all.ptr[*slot].next;
    *slot = ret.next;
    t->all.ptr[i].next = t->free;
    t->free = i;
    t->n--;
    t->bytes -= ret.bytes;
    return ret;
}

void tracelives_restore(struct tracelives *t, const struct tracelive *l, bool *ret_new)
{
    uint32_t i = tracelives_find(t, l->tenant, l->id);

    *ret_new = i == TRACELIVE_NONE;
    if (i == TRACELIVE_NONE) {
        link_oldest(t, insert(t, l));
        return;
    }
    t->all.ptr[i].first_seq = ORR_MIN(t->all.ptr[i].first_seq, l->first_seq);
    t->all.ptr[i].first_ms = ORR_MIN(t->all.ptr[i].first_ms, l->first_ms);
    t->all.ptr[i].bytes += l->bytes;
    t->bytes += l->bytes;
}
