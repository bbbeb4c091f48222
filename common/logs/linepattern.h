/*
 * Line patterns of LogQL: text with captures, <ip> - <user> [<_>] "<method>".
 *
 * A capture takes what stands before the first occurrence of the text behind it; <_> has no name.
 * Two captures have text between them. Any thread once parsed.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/logs/textfind.h"

#define LINEPATTERN_MAX_PARTS 1000

struct linepattern_part {
    bool is_capture;
    struct slice name; /* of a capture; empty: <_> */
    struct textfind find;
};
struct linepattern {
    const struct linepattern_part *parts;
    size_t n;
    size_t n_names;
};

/* Text is copied into the arena. */
ORR_CHECKED struct err *linepattern_parse(struct arena *a, struct slice text,
                                          struct linepattern *ret);
/* Whether the line has that shape (|>), to its end, and no capture is empty. Before a text that
 * the pattern begins with may stand anything. The empty pattern is the empty line's. */
bool linepattern_is(const struct linepattern *p, struct slice line);
/* Into ret, which has room for n_names, the captures that have a name, in their order; returns how
 * many there are. A text that is missing ends it: the capture before takes the rest. */
size_t linepattern_take(const struct linepattern *p, struct slice line, struct slice *ret);
