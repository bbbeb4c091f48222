/*
 * What log lines have in common: patterns as LogQL's filter |> takes them, with <_> for what varies, and how many lines
 * of each there were in each step of time.
 *
 *     took=12ms msg="cache miss" user=al       took=<_> msg="cache miss" user=<_>      2
 *     took=9ms msg="cache miss" user=bea
 *
 * A line is words with signs between them. The signs, and what stands before = (logfmt) or : (JSON), are its skeleton; the
 * words are its tokens: a value in quotes is one, so is a path, an address or a time. Lines of one skeleton and one level are a
 * tree of tokens. What begins with a digit varies from the start; where a node has more than LOGPATTERNS_WORDS children, or
 * more than LOGPATTERNS_NUMBERED of which digits are a part, they vary, too, and what hangs below them becomes one.
 *
 * Bounds: LOGPATTERNS_TOKENS of a line, the rest of it varies; max_patterns in all: beyond it nodes may have fewer and fewer
 * children, and at last lines of new skeletons are only counted (left_out).
 *
 * Deterministic: the same lines in the same order give the same patterns. Memory: the arena, whose budget the caller looks
 * at. Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"

#define LOGPATTERNS_TOKENS 64
#define LOGPATTERNS_WORDS 15
#define LOGPATTERNS_NUMBERED 3
#define LOGPATTERNS_LEVELS 16 /* different ones; further ones are "" */

struct logpatterns;

struct logpatterns_opts {
    int64_t start_ns, step_ns; /* steps begin at the multiples of step_ns from start_ns on */
    size_t max_patterns;
};
struct logpatterns_sample {
    int64_t step; /* its number */
    uint64_t lines;
};
struct logpattern {
    struct slice text, level;
    uint64_t lines;
    const struct logpatterns_sample *samples; /* by step */
    size_t n_samples;
};

struct logpatterns *logpatterns_new(struct arena *a, const struct logpatterns_opts *opts);
void logpatterns_add(struct logpatterns *p, struct slice level, int64_t ts_ns, struct slice line);
uint64_t logpatterns_left_out(const struct logpatterns *p);
/* The patterns, those of most lines first; in the arena. Samples are lent until the next line is added. */
void logpatterns_list(struct logpatterns *p, struct logpattern **ret, size_t *ret_n);
void logpatterns_free(struct logpatterns *p); /* what is not the arena's; NULL is allowed */
