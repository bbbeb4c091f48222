/*
 * Memory of one request, freed in one call.
 *
 * arena_alloc() does not fail: past the budget the arena remembers it and keeps serving (from the
 * heap), and the executor asks arena_over() once per batch and ends the request with ERR_LIMIT.
 * One check instead of a hundred. Budgets nest: a child arena charges its parent too.
 *
 * Owner: one thread at a time.
 */
#pragma once
#include <stdarg.h>

#include "common/base/slice.h"

struct arena;

/* limit_bytes 0: no limit. */
struct arena *arena_new(size_t limit_bytes);
/* Shares the parent's budget, not its memory; free it before the parent, from the same thread. */
struct arena *arena_child(struct arena *parent, size_t limit_bytes);
void arena_free(struct arena *a);
/* Forgets all allocations, keeps one chunk. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t bytes);           /* 16-byte aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t bytes);          /* zeroed */
void *arena_calloc(struct arena *a, size_t n, size_t each); /* overflow latches over */
/* Grows the last allocation in place where it can. */
void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t new_bytes);
struct slice arena_dup(struct arena *a, struct slice s);
char *arena_strdup(struct arena *a, const char *s);
char *arena_cstr(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) ORR_PRINTF(2, 3);

size_t arena_used(const struct arena *a); /* bytes handed out, children included */
bool arena_over(const struct arena *a);   /* its own budget or an ancestor's is exceeded */
size_t arena_limit(const struct arena *a);
/* What may still be handed out within its own budget and its ancestors'; SIZE_MAX without one. Ask before
 * building outside of it what is then copied into it. */
size_t arena_left(const struct arena *a);
/* Charges memory held elsewhere on behalf of this request (negative gives back). */
void arena_charge(struct arena *a, int64_t bytes);

/* Room for one more behind n elements that this has grown from NULL: doubles as it goes. The pointer may
 * change. */
#define arena_more(a, ptr, n)                                                                      \
    ((__typeof__((ptr) + 0))arena_more_bytes((a), (ptr), (n), sizeof(*(ptr))))
void *arena_more_bytes(struct arena *a, void *p, size_t n, size_t each);

#define arena_new_of(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))
/* A copy of the n elements at ptr, which may be NULL when there are none. */
#define arena_copy(a, ptr, n)                                                                      \
    ((__typeof__((ptr) + 0))arena_copy_bytes((a), (ptr), (n) * sizeof(*(ptr))))
void *arena_copy_bytes(struct arena *a, const void *p, size_t bytes);
