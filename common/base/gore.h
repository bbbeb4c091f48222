/*
 * What Go's regexp package does beyond matching: all matches, and replacement with $1 and ${name}.
 * Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/re.h"

#define GORE_MAX_GROUPS 256

/* The next match at or after *from, in Go's way of going on: an empty match right behind a match
 * does not count. Start with from 0 and last_end -1. spans as in re_find(). */
struct gore_scan {
    size_t from;
    ptrdiff_t last_end;
};
bool gore_next(const struct re *re, struct slice text, struct gore_scan *scan, int *spans,
               size_t n_spans);
/* Regexp.Expand: $name or ${name} is a group by name or number; unknown ones are empty; $$ is a
 * dollar. spans are of a match in text. */
void gore_expand(struct buf *out, const struct re *re, struct slice replacement, struct slice text,
                 const int *spans, size_t n_spans);
/* Regexp.ReplaceAllString. */
void gore_replace_all(struct buf *out, const struct re *re, struct slice text,
                      struct slice replacement);
