/*
 * The heap. Never returns NULL: a process without heap aborts and replays its log. Memory that a
 * tenant can make grow is charged to a budget by its owner (arena.h, limits), not here.
 *
 * Any thread.
 */
#pragma once
#include "common/base/attr.h"

void *mem_alloc(size_t bytes);           /* not zeroed */
void *mem_zalloc(size_t bytes);          /* zeroed */
void *mem_calloc(size_t n, size_t each); /* zeroed; aborts on overflow of n*each */
void *mem_realloc(void *p, size_t bytes);
void *mem_reallocarray(void *p, size_t n, size_t each); /* aborts on overflow */
void *mem_aligned(size_t align, size_t bytes);
void mem_free(void *p);          /* NULL is allowed */
char *mem_strdup(const char *s); /* NULL stays NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_dup(const void *p, size_t n);
char *mem_printf(const char *fmt, ...) ORR_PRINTF(1, 2);

#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))
#define mem_new_array(type, n) ((type *)mem_calloc((n), sizeof(type)))

/* Bytes the allocator holds from the system for live data (jemalloc stats.allocated; 0 without). */
size_t mem_allocated_bytes(void);
/* Memory this process may use: the cgroup's limit if there is one, else physical memory. */
uint64_t mem_limit_bytes(void);
