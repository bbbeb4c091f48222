/* Hexadecimal digits, and ids that are written with them. Pure; any thread. */
#pragma once
#include "common/base/slice.h"

/* The value of a digit in either case; -1: it is none. */
static inline int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Up to 2 n digits as n bytes, with zeros in front of what is shorter: how ids of traces are written. The position
 * of the first character (from 0) that is no digit, or -1. Longer texts are the caller's to refuse.
 */
static inline ptrdiff_t hex_id(struct slice text, uint8_t *out, size_t n)
{
    memset(out, 0, n);
    for (size_t i = 0; i < text.len && i < 2 * n; i++) {
        int digit = hex_digit(text.ptr[text.len - 1 - i]);

        if (digit < 0)
            return (ptrdiff_t)(text.len - 1 - i);
        out[n - 1 - i / 2] |= (uint8_t)(i % 2 ? digit << 4 : digit);
    }
    return -1;
}
