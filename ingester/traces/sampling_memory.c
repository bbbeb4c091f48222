#include "ingester/traces/sampling_memory.h"

#include "common/base/hash.h"

#define NONE UINT32_MAX
#define MIN_SLOTS 1024

struct sampling_memory_entry {
    uint8_t id[16];
    uint64_t rules, leaves, start_ns, end_ns;
    uint32_t spans, tenant;
    uint32_t next; /* in its slot */
    uint16_t policy;
    bool is_kept;
};
_Static_assert(sizeof(struct sampling_memory_entry) == 64, "what the memory budget counts on");

void sampling_memory_init(struct sampling_memory *m, size_t max)
{
    *m = (struct sampling_memory){.max = ORR_MIN(ORR_MAX(max, 1u), NONE - 1u)};
}

void sampling_memory_done(struct sampling_memory *m)
{
    vec_done(&m->all);
    mem_free(m->slots);
    sampling_memory_init(m, m->max);
}

static uint32_t *slot_of(const struct sampling_memory *m, uint32_t tenant, const uint8_t id[16])
{
    return &m->slots[hash_xxh64(slice_of(id, 16), tenant) & (m->n_slots - 1)];
}

static uint32_t find(const struct sampling_memory *m, uint32_t tenant, const uint8_t id[16])
{
    uint32_t i = m->n_slots ? *slot_of(m, tenant, id) : NONE;

    while (i != NONE && (m->all.ptr[i].tenant != tenant || memcmp(m->all.ptr[i].id, id, 16) != 0))
        i = m->all.ptr[i].next;
    return i;
}

static void link_entry(struct sampling_memory *m, uint32_t i)
{
    uint32_t *slot = slot_of(m, m->all.ptr[i].tenant, m->all.ptr[i].id);

    m->all.ptr[i].next = *slot;
    *slot = i;
}

static void unlink_entry(struct sampling_memory *m, uint32_t i)
{
    uint32_t *slot = slot_of(m, m->all.ptr[i].tenant, m->all.ptr[i].id);

    while (*slot != i)
        slot = &m->all.ptr[*slot].next;
    *slot = m->all.ptr[i].next;
}

static void grow(struct sampling_memory *m)
{
    mem_free(m->slots);
    m->n_slots = m->n_slots ? 2 * m->n_slots : MIN_SLOTS;
    m->slots = mem_new_array(uint32_t, m->n_slots);
    memset(m->slots, 0xff, m->n_slots * sizeof(*m->slots));
    for (uint32_t i = 0; i < m->all.len; i++)
        link_entry(m, i);
}

/* A place for a new one, in no slot yet. */
static uint32_t place(struct sampling_memory *m)
{
    uint32_t i;

    if (m->all.len < m->max) {
        if (m->all.len >= m->n_slots)
            grow(m);
        (void)vec_add(&m->all);
        return (uint32_t)m->all.len - 1;
    }
    i = (uint32_t)m->oldest;
    m->oldest = (m->oldest + 1) % m->max;
    unlink_entry(m, i);
    return i;
}

static struct sampling_evidence evidence_of(const struct sampling_memory_entry *en)
{
    return (struct sampling_evidence){en->leaves, en->start_ns, en->end_ns, en->spans};
}

bool sampling_memory_get(const struct sampling_memory *m, uint32_t tenant, const uint8_t id[16],
                         struct sampling_judged *ret)
{
    uint32_t i = find(m, tenant, id);
    const struct sampling_memory_entry *en;

    if (i == NONE)
        return false;
    en = &m->all.ptr[i];
    *ret = (struct sampling_judged){.rules = en->rules,
                                    .e = evidence_of(en),
                                    .tenant = tenant,
                                    .policy = en->policy,
                                    .is_kept = en->is_kept};
    memcpy(ret->id, id, sizeof(ret->id));
    return true;
}

static void set(struct sampling_memory_entry *en, const struct sampling_judged *j,
                const struct sampling_evidence *e)
{
    en->rules = j->rules;
    en->leaves = e->leaves;
    en->start_ns = e->start_ns;
    en->end_ns = e->end_ns;
    en->spans = e->spans;
    en->policy = j->policy;
    en->is_kept = j->is_kept;
}

void sampling_memory_put(struct sampling_memory *m, const struct sampling_judged *j)
{
    uint32_t i = find(m, j->tenant, j->id);
    struct sampling_memory_entry *en;
    struct sampling_evidence e = j->e;

    if (i == NONE) {
        i = place(m);
        en = &m->all.ptr[i];
        en->tenant = j->tenant;
        memcpy(en->id, j->id, sizeof(en->id));
        set(en, j, &e);
        link_entry(m, i);
        return;
    }
    en = &m->all.ptr[i];
    if (en->rules == j->rules) {
        struct sampling_evidence old = evidence_of(en);

        sampling_unite(&e, &old);
    }
    if (en->is_kept && !j->is_kept) {
        if (en->rules == j->rules)
            set(en,
                &(struct sampling_judged){
                    .rules = en->rules, .policy = en->policy, .is_kept = true},
                &e);
        return;
    }
    set(en, j, &e);
}
