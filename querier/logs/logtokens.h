/*
 * A log line as a skeleton and its tokens, for what looks for patterns.
 *
 *     took=12ms msg="cache miss" (retry 3)
 *     skeleton  took=\1 msg="\1" (\1 \1)         tokens  12ms, cache miss, retry, 3
 *
 * Signs are white space, quotes, brackets and =; colons, commas, semicolons and ' where a word ends or begins, so that
 * 10.0.0.1:80, 1,5 and 23:03:40 are one token. A word before = and a quoted one before a colon are part of the skeleton. A quoted
 * value behind = or a colon is one token.
 *
 * A skeleton holds LOGTOKENS_TOKEN where a token is, and LOGTOKENS_REST at its end if there was more than max tokens; no < is in it. A
 * token that could not stand in a pattern (with <, control bytes, not UTF-8, very long) varies, and so does one that
 * begins with a digit, or a long one of hexadecimal digits.
 *
 * Owner: one thread; the buffers are kept from line to line.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/vec.h"

#define LOGTOKENS_TOKEN 1
#define LOGTOKENS_REST 2
#define LOGTOKENS_LONGEST 128 /* bytes of a token that does not vary */

struct logtoken {
    struct slice text; /* in the line */
    bool varies, has_digits;
};
struct logtokens {
    size_t max; /* tokens */
    struct buf skeleton;
    struct logtoken *ptr;
    size_t n, cap;
};
void logtokens_split(struct logtokens *t, struct slice line);
void logtokens_done(struct logtokens *t);
