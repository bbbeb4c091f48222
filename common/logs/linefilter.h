/*
 * The line filters of a LogQL pipeline, |= != |~ !~ |> !> with their alternatives and ip(), made
 * into one function of a line.
 *
 * A text is searched by textfind.h. A regex that only looks for texts is such a search, too; of
 * another the longest text that every match holds is searched first, and the regex runs on the
 * lines that have it. Filters run in the order of their cost: texts before regexes.
 *
 * No allocation a line. Any thread once made.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/re.h"
#include "common/lang/logql_ast.h"

struct linefilter;

/*
 * Of those of the n stages that are line filters; the others are passed over, so hand in what may
 * be filtered together. Texts are borrowed from the tree. ERR_INVALID: a regex, pattern or address
 * that is none. Free with linefilter_done(); the rest is the arena's.
 */
ORR_CHECKED struct err *linefilter_make(struct arena *a, const struct logql_stage *stages, size_t n,
                                        struct linefilter **ret);
void linefilter_done(struct linefilter *f); /* NULL is allowed */
/* Of a compiled regex over lines, as re_bytes() reckons: some thousand words. What takes more can take milliseconds for
 * each byte of a line, which nobody can interrupt. */
#define LINEFILTER_MAX_REGEX_BYTES (512u << 10)

/* re_compile() of a regex that looks for something in a line; its memory is charged to the arena,
 * ERR_LIMIT when that is over, or it is larger than the above. */
ORR_CHECKED struct err *linefilter_regex(struct arena *a, struct slice regex, struct re **ret);
bool linefilter_keeps(const struct linefilter *f, struct slice line);

/* Texts each of which is in every line that the line filters among the n stages keep, as far as they tell: those
 * of |=, and what the matches of |~ and |> hold. At most max into ret, which has room for them; borrowed from the tree
 * or in the arena. */
size_t linefilter_needles(struct arena *a, const struct logql_stage *stages, size_t n,
                          struct slice *ret, size_t max);
