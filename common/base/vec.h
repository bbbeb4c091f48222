/*
 * A growing array of one type on the heap.
 *
 *     VEC(struct point) points = {0};
 *     vec_push(&points, ((struct point){1, 2}));
 *     VEC_FOREACH (p, &points)
 *         use(p->x);
 *     vec_done(&points);
 *
 * Elements move when it grows: keep indexes, not pointers, across a push.
 */
#pragma once
#include "common/base/mem.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *ptr;                                                                                 \
        size_t len, cap;                                                                           \
    }

#define vec_reserve(v, n)                                                                          \
    ((v)->len + (n) > (v)->cap                                                                     \
         ? (void)((v)->ptr = vec_grow((v)->ptr, &(v)->cap, (v)->len + (n), sizeof(*(v)->ptr)))     \
         : (void)0)
#define vec_push(v, item) (vec_reserve(v, 1), (v)->ptr[(v)->len++] = (item))
/* Room for one more, zeroed; returns its address. */
#define vec_add(v)                                                                                 \
    (vec_reserve(v, 1), memset(&(v)->ptr[(v)->len], 0, sizeof(*(v)->ptr)), &(v)->ptr[(v)->len++])
#define vec_pop(v) ((v)->ptr[--(v)->len])
#define vec_last(v) ((v)->ptr[(v)->len - 1])
#define vec_remove_swap(v, i) ((v)->ptr[i] = (v)->ptr[--(v)->len])
#define vec_clear(v) ((void)((v)->len = 0))
#define vec_done(v) (mem_free((v)->ptr), (v)->ptr = NULL, (v)->len = (v)->cap = 0)
#define VEC_FOREACH(it, v)                                                                         \
    for (__typeof__((v)->ptr + 0) it = (v)->ptr; (v)->len && it < (v)->ptr + (v)->len; it++)

void *vec_grow(void *ptr, size_t *cap, size_t want, size_t each);
