/*
 * The parts of JSON that all who walk a log line pass over alike: white space, strings, words, and blocks
 * that are not looked into. *at is a place in s, and is moved past what was read; if that does not end, to the end of s
 * or near it: there is no going on then. Any thread.
 */
#pragma once
#include "common/logs/bytescan.h"

/* The byte behind the white space at *at; -1: there is none. */
static inline int jsonscan_space(struct slice s, size_t *at)
{
    size_t i = *at;

    while (i < s.len &&
           (s.ptr[i] == ' ' || s.ptr[i] == '\t' || s.ptr[i] == '\n' || s.ptr[i] == '\r'))
        i++;
    *at = i;
    return i < s.len ? s.ptr[i] : -1;
}

/* The string whose first quote is at *at, past its last one. False: it is not closed. */
static inline bool jsonscan_string(struct slice s, size_t *at, bool *ret_has_escapes)
{
    size_t i = bytescan_string(s, *at + 1, ret_has_escapes);

    *at = ORR_MIN(i + 1, s.len);
    return i < s.len;
}

/* The list or object at *at: what lies between its bracket and the one that closes it. NULL, or what is
 * wrong: it is not closed, or a string in it is not. */
static inline const char *jsonscan_block(struct slice s, size_t *at, uint8_t open, uint8_t close)
{
    size_t depth = 0;
    bool has_escapes;

    while (*at < s.len) {
        uint8_t c = s.ptr[*at];

        if (c == '"') {
            if (!jsonscan_string(s, at, &has_escapes))
                return "a string is not closed";
            continue;
        }
        ++*at;
        depth += c == open;
        depth -= c == close;
        if (depth == 0)
            return NULL;
    }
    return open == '{' ? "an object is not closed" : "a list is not closed";
}

/* A number, as far as its first byte says, true, false or null. False: it is none. */
static inline bool jsonscan_word(struct slice s, size_t *at, struct slice *ret)
{
    size_t i = *at;

    while (i < s.len && s.ptr[i] > ' ' && s.ptr[i] != ',' && s.ptr[i] != '}' && s.ptr[i] != ']')
        i++;
    *ret = slice_sub(s, *at, i - *at);
    *at = i;
    return ret->len && (ret->ptr[0] == '-' || (ret->ptr[0] >= '0' && ret->ptr[0] <= '9') ||
                        slice_eq_cstr(*ret, "true") || slice_eq_cstr(*ret, "false") ||
                        slice_eq_cstr(*ret, "null"));
}
