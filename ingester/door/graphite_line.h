/*
 * Graphite's plaintext protocol, line by line.
 *
 *     path[;tag=value]... value [timestamp]
 *
 *   words      separated by blanks or tabs; \r\n is allowed
 *   value      a float as Go reads it; NaN is left out without a word, as carbon does
 *   timestamp  Unix seconds, also with a fraction; none, -1 and N: now
 *
 * A bad line does not spoil the others.
 *
 * Owner: one thread. Lends from the text; the tags are valid until the next call.
 */
#pragma once
#include "common/model/labels.h"

#define GRAPHITE_MAX_TAGS 256

enum graphite_item { GRAPHITE_END, GRAPHITE_POINT, GRAPHITE_BAD };

struct graphite_line {
    struct slice path;                        /* without tags */
    struct label tags[GRAPHITE_MAX_TAGS + 1]; /* from the second on; the first is the taker's */
    size_t n_tags;
    double value;
    bool has_time;
    int64_t t_ms;
    size_t line;       /* from 1 */
    const char *error; /* of GRAPHITE_BAD: a constant */
    struct slice rest; /* the reader's own */
};

void graphite_line_init(struct graphite_line *r, struct slice text);
enum graphite_item graphite_line_next(struct graphite_line *r);
