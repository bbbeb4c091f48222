/*
 * A borrowed run of bytes. Text is bytes with a length; it is NUL-terminated only where the
 * system asks for it. Print with "%.*s" and SLICE_ARG(s).
 */
#pragma once
#include <string.h>

#include "common/base/attr.h"

struct slice {
    const uint8_t *ptr;
    size_t len;
};

#define SLICE_ARG(s) (int)(s).len, (const char *)(s).ptr
/* From a string literal. */
#define SLICE(lit) ((struct slice){(const uint8_t *)("" lit), sizeof(lit) - 1})
#define SLICE_INIT(lit)                                                                            \
    {                                                                                              \
        (const uint8_t *)("" lit), sizeof(lit) - 1                                                 \
    }
#define SLICE_EMPTY ((struct slice){(const uint8_t *)"", 0})

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){(const uint8_t *)p, n};
}

static inline struct slice slice_cstr(const char *s)
{
    return (struct slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_cstr(struct slice a, const char *s)
{
    return slice_eq(a, slice_cstr(s));
}

/* Byte order, as Go compares strings: <0, 0, >0. */
static inline int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline struct slice slice_from(struct slice s, size_t off)
{
    size_t skip = off < s.len ? off : s.len;

    return skip ? slice_of(s.ptr + skip, s.len - skip) : s; /* nothing is added to NULL */
}

static inline struct slice slice_sub(struct slice s, size_t off, size_t n)
{
    struct slice t = slice_from(s, off);

    return slice_of(t.ptr, n < t.len ? n : t.len);
}

bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII */
/* Offset of the first byte c at or after from, or -1. */
ptrdiff_t slice_find_byte(struct slice s, uint8_t c, size_t from);
ptrdiff_t slice_find(struct slice s, struct slice needle, size_t from);
struct slice slice_trim(struct slice s); /* ASCII white space off both ends */
/* Cuts *rest at the first c: the part before it is returned, *rest keeps what follows. Returns
 * false when *rest is exhausted (ptr NULL). Splitting "" yields one empty part. */
bool slice_split(struct slice *rest, uint8_t c, struct slice *ret);
bool slice_is_utf8(struct slice s);
/* Whole slice as a decimal number. False if empty, malformed or out of range. */
bool slice_to_u64(struct slice s, uint64_t *ret);
bool slice_to_i64(struct slice s, int64_t *ret);
/* Heap copy with a NUL behind it. */
char *slice_dup(struct slice s);
