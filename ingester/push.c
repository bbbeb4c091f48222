#include "ingester/push.h"

#include "common/base/mem.h"

struct push *push_new(struct slice tenant, const struct tenant_limits *limits)
{
    struct push *p = mem_new(struct push);

    p->arena = arena_new(0);
    p->tenant = arena_dup(p->arena, tenant);
    p->limits = *limits;
    return p;
}

void push_free(struct push *p)
{
    if (!p)
        return;
    buf_done(&p->body);
    vec_done(&p->series);
    vec_done(&p->metadata);
    arena_free(p->arena);
    mem_free(p);
}

size_t push_bytes(const struct push *p)
{
    return p->body.cap + arena_used(p->arena) + p->series.cap * sizeof(struct push_series) +
           p->metadata.cap * sizeof(struct push_metadata);
}
