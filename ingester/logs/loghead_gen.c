/* Generations of open lines. */
#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"

#define BLOCK_MIN 4096u
#define BLOCK_MAX (256u << 10)

struct loggen *loggen_new(struct loghead *h, uint32_t id, int64_t now_ms)
{
    struct loggen *g = mem_new(struct loggen);

    *g = (struct loggen){.refs = 1, .id = id, .head = h, .opened_ms = now_ms};
    g->logged_at = atomic_load_explicit(&h->logged_bytes, memory_order_relaxed);
    return g;
}

void loggen_ref(struct loggen *g)
{
    (void)atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
}

static void charge(struct loghead *h, int64_t bytes)
{
    METRIC_SET(h->m.open_bytes, atomic_fetch_add(&h->open_bytes, bytes) + bytes);
}

void loggen_unref(struct loggen *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) > 1)
        return;
    VEC_FOREACH (b, &g->blocks)
        mem_free(b->ptr);
    vec_done(&g->blocks);
    vec_done(&g->stream_refs);
    charge(g->head, -g->bytes);
    mem_free(g);
}

/* Blocks grow with the generation, so that a small tenant's stays small. */
static struct logblock_mem *add_block(struct loggen *g, size_t need)
{
    size_t cap = (size_t)g->bytes;

    cap = ORR_MIN(ORR_MAX(cap, (size_t)BLOCK_MIN), (size_t)BLOCK_MAX);
    cap = ORR_MAX(cap, need);
    vec_push(&g->blocks, ((struct logblock_mem){mem_alloc(cap), 0, (uint32_t)cap}));
    g->bytes += (int64_t)cap;
    charge(g->head, (int64_t)cap);
    return &vec_last(&g->blocks);
}

struct logline *loggen_add(struct loggen *g, uint32_t line_len, uint32_t meta_len)
{
    size_t need = (sizeof(struct logline) + line_len + meta_len + 7) & ~(size_t)7;
    struct logblock_mem *b = g->blocks.len ? &vec_last(&g->blocks) : NULL;
    struct logline *l;

    if (!b || b->cap - b->used < need)
        b = add_block(g, need);
    l = (struct logline *)(void *)(b->ptr + b->used);
    b->used += (uint32_t)need;
    g->entries++;
    return l;
}
