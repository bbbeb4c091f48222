#include "ingester/door/plain_name.h"

static const uint8_t is_plain[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['_'] = 1};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* One _ for each character, however many bytes it has. */
void plain_name_put(uint8_t **to, struct slice s, bool is_start)
{
    uint8_t *p = *to;

    if (is_start && s.len && is_digit(s.ptr[0]))
        *p++ = '_';
    for (size_t i = 0; i < s.len; i++)
        if (is_plain[s.ptr[i]])
            *p++ = s.ptr[i];
        else if ((s.ptr[i] & 0xc0) != 0x80)
            *p++ = '_';
    *to = p;
}

struct slice plain_name(struct arena *a, struct slice s)
{
    size_t i = 0;
    uint8_t *copy, *p;

    while (i < s.len && is_plain[s.ptr[i]])
        i++;
    if (i == s.len && !(s.len && is_digit(s.ptr[0])))
        return s;
    p = copy = arena_alloc(a, s.len + 1);
    plain_name_put(&p, s, true);
    return slice_of(copy, (size_t)(p - copy));
}
