/*
 * Search for a fixed text in many lines: what most line filters do.
 *
 * The two rarest bytes of the text (by what logs hold) are compared at sixteen places at once; only
 * where both fit is the text compared. Without SSE2, and for texts so long that comparing them over
 * and over would cost (TEXTFIND_MAX_BYTES), the C library's memmem() does it.
 *
 * Borrows the text. Any thread once made.
 */
#pragma once
#include "common/base/slice.h"

#define TEXTFIND_MAX_BYTES 64

struct textfind {
    struct slice text;
    bool ignores_case; /* of ASCII letters; text is lower case then */
    uint32_t at[2];    /* the places of the two bytes in text, at[0] < at[1] */
};

struct textfind textfind_of(struct slice text);
/* text must be lower case ASCII, and not longer than TEXTFIND_MAX_BYTES. */
struct textfind textfind_of_nocase(struct slice text);
/* Where it first is in s at or after from; -1: nowhere. The empty text is everywhere. */
ptrdiff_t textfind_in(const struct textfind *f, struct slice s, size_t from);
