#include "common/base/arena.h"

#include <stdio.h>

#include "common/base/arena_room.h"
#include "common/base/mem.h"

#define FIRST_CHUNK_BYTES 4096u
#define MAX_CHUNK_BYTES (1u << 20)
#define ALIGN 16u

struct chunk {
    struct chunk *next; /* older */
    size_t cap, used;
    _Alignas(16) uint8_t bytes[];
};

struct arena {
    struct arena *parent;
    struct chunk *chunks; /* newest first */
    size_t limit, used;
    bool is_over;
    arena_grant_fn *grant;
    void *grant_arg;
};

struct arena *arena_new(size_t limit_bytes)
{
    struct arena *a = mem_new(struct arena);

    a->limit = limit_bytes;
    return a;
}

struct arena *arena_child(struct arena *parent, size_t limit_bytes)
{
    struct arena *a = arena_new(limit_bytes);

    a->parent = parent;
    return a;
}

static void charge_one(struct arena *a, int64_t bytes)
{
    a->used = bytes < 0 && (size_t)-bytes > a->used ? 0 : a->used + (size_t)bytes;
    if (a->limit && a->used > a->limit)
        a->is_over = true;
}

void arena_charge(struct arena *a, int64_t bytes)
{
    for (; a; a = a->parent)
        charge_one(a, bytes);
}

static void free_chunks(struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;

        mem_free(c);
        c = next;
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    if (a->parent)
        arena_charge(a->parent, -(int64_t)a->used);
    free_chunks(a->chunks);
    mem_free(a);
}

void arena_reset(struct arena *a)
{
    arena_charge(a, -(int64_t)a->used);
    if (a->chunks) {
        free_chunks(a->chunks->next);
        a->chunks->next = NULL;
        a->chunks->used = 0;
    }
    a->is_over = false;
}

static struct chunk *add_chunk(struct arena *a, size_t bytes)
{
    size_t cap = a->chunks ? a->chunks->cap * 2 : FIRST_CHUNK_BYTES;
    struct chunk *c;

    if (cap > MAX_CHUNK_BYTES)
        cap = MAX_CHUNK_BYTES;
    if (cap < bytes)
        cap = bytes;
    c = mem_alloc(sizeof(*c) + cap);
    c->cap = cap;
    c->used = 0;
    /* a chunk made to measure does not end the one that still has room */
    if (bytes > MAX_CHUNK_BYTES / 4 && a->chunks) {
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        c->next = a->chunks;
        a->chunks = c;
    }
    return c;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct chunk *c = a->chunks;
    size_t need;
    void *p;

    if (__builtin_add_overflow(bytes, ALIGN - 1, &need))
        need = SIZE_MAX / 2; /* fails in the allocator, with a message */
    need &= ~(size_t)(ALIGN - 1);
    if (!c || c->cap - c->used < need)
        c = add_chunk(a, need);
    p = c->bytes + c->used;
    c->used += need;
    arena_charge(a, (int64_t)need);
    return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
    return memset(arena_alloc(a, bytes), 0, bytes);
}

void *arena_calloc(struct arena *a, size_t n, size_t each)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, each, &bytes))
        bytes = SIZE_MAX / 2;
    return arena_zalloc(a, bytes);
}

void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t new_bytes)
{
    struct chunk *c = a->chunks;
    size_t had = (old_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    size_t need = (new_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    void *q;

    if (p && new_bytes <= had)
        return p;
    if (p && c && (uint8_t *)p + had == c->bytes + c->used && c->cap - c->used >= need - had) {
        c->used += need - had;
        arena_charge(a, (int64_t)(need - had));
        return p;
    }
    q = arena_alloc(a, new_bytes);
    if (p && old_bytes)
        memcpy(q, p, old_bytes);
    return q;
}

void *arena_copy_bytes(struct arena *a, const void *p, size_t bytes)
{
    void *copy = arena_alloc(a, bytes);

    if (bytes)
        memcpy(copy, p, bytes);
    return copy;
}

void *arena_more_bytes(struct arena *a, void *p, size_t n, size_t each)
{
    if (n & (n - 1)) /* full at 0 and the powers of two */
        return p;
    return arena_grow(a, p, n * each, (n ? n * 2 : 1) * each);
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    return slice_of(arena_copy_bytes(a, s.ptr, s.len), s.len);
}

char *arena_cstr(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.len + 1);

    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_cstr(a, slice_cstr(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ORR_ASSERT(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

bool arena_over(const struct arena *a)
{
    for (; a; a = a->parent)
        if (a->is_over)
            return true;
    return false;
}

size_t arena_limit(const struct arena *a)
{
    return a->limit;
}

size_t arena_left(const struct arena *a)
{
    size_t left = SIZE_MAX;

    for (; a; a = a->parent)
        if (a->limit)
            left = ORR_MIN(left, a->limit - ORR_MIN(a->used, a->limit));
    return left;
}

void arena_on_limit(struct arena *a, arena_grant_fn *grant, void *arg)
{
    a->grant = grant;
    a->grant_arg = arg;
}

static bool has_room(const struct arena *a, size_t bytes)
{
    return arena_left(a) >= bytes && (!a->limit || a->used <= a->limit);
}

bool arena_room(struct arena *a, size_t bytes)
{
    size_t want;

    if (has_room(a, bytes))
        return true;
    if (!a->limit || !a->grant || __builtin_add_overflow(a->used, bytes, &want))
        return false;
    if (want > a->limit)
        a->limit += a->grant(a->grant_arg, want - a->limit);
    return has_room(a, bytes);
}
