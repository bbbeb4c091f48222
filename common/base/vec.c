#include "common/base/vec.h"

void *vec_grow(void *ptr, size_t *cap, size_t want, size_t each)
{
    size_t next = *cap + *cap / 2 + 4;

    if (next < want)
        next = want;
    *cap = next;
    return mem_reallocarray(ptr, next, each);
}
