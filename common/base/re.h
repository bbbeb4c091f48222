/*
 * Regular expressions in Go's syntax and semantics, linear time (RE2 behind a C++ shim, re.cc).
 * Any thread once compiled.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct re;

enum re_flag {
    RE_ANCHORED = 1, /* the whole input must match, as ^(?s:...)$ in label matchers */
    RE_LATIN1 = 2,   /* bytes, not UTF-8 */
};
/* ERR_INVALID with the position and reason. Memory is bounded (8 MiB a program). */
ORR_CHECKED struct err *re_compile(struct slice pattern, unsigned flags, struct re **ret);
void re_free(struct re *re);
bool re_match(const struct re *re, struct slice text);
/* Leftmost match at or after from. spans receives 2*(groups+1) byte offsets, -1 for a group that
 * took no part; n_spans is its capacity in ints. */
bool re_find(const struct re *re, struct slice text, size_t from, int *spans, size_t n_spans);
/* About what the compiled regex takes; matching may add up to as much as the bound of a program. */
size_t re_bytes(const struct re *re);
size_t re_groups(const struct re *re);
/* NULL when the group has no name. */
const char *re_group_name(const struct re *re, size_t group);
int re_group_index(const struct re *re, struct slice name); /* -1: none */
