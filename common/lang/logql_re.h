/*
 * What can be said of a regular expression from its text, without compiling it. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

/* Whether the expression does no more than look for texts: literals, alternations of them, and .*
 * or .+ around them. Loki prints such label filters differently from others. */
bool logql_re_is_simple(struct slice regex);

/* The texts that a search (not anchored) by the regex is a search for: foo|.*bar.* is foo or bar. */
struct logql_re_texts {
    const struct slice *ptr;
    size_t n;
    bool ignores_case;    /* of ASCII letters; the texts are lower case then */
    const bool *has_star; /* of each: .* stands before or behind it */
};
/* False if the regex is more than that, or has more than max texts. */
bool logql_re_texts(struct arena *a, struct slice regex, size_t max, struct logql_re_texts *ret);
/* The longest text found that stands in whatever the regex (one that compiles) matches; empty if
 * none is known. */
struct slice logql_re_required(struct arena *a, struct slice regex);
