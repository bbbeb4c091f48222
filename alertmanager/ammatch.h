/*
 * Alertmanager's matchers: name op value, alone ("foo=~\"b.*\"") or in a list ("{foo=bar,x!=y}").
 *
 * There are two grammars. CLASSIC is the old one: names are [a-zA-Z_:][a-zA-Z0-9_:]*, whatever
 * follows the operator is the value, braces may be missing on either side. UTF8 takes any name and
 * value, quoted as Go quotes when they hold white space or one of {}!=~,\"'`. FALLBACK, the
 * default of Alertmanager, reads both, and where they disagree or only CLASSIC accepts it takes
 * CLASSIC's answer.
 *
 * A regular expression must match the whole value; a dot does not match a line feed (in PromQL it
 * does). An absent label is "".
 *
 * Bytes live in the arena given, compiled expressions until ammatch_list_done(). Immutable once
 * made: any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/re.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"

#define AMMATCH_MAX_BYTES 65536 /* of one text */

enum ammatch_mode { AMMATCH_CLASSIC, AMMATCH_UTF8, AMMATCH_FALLBACK };

struct ammatch {
    enum matcher_op op;
    struct slice name, value;
    struct re *re; /* =~ and !~ */
};
struct ammatch_list {
    struct ammatch *ptr;
    size_t n;
};

/* ERR_INVALID for a bad expression. Copies. */
ORR_CHECKED struct err *ammatch_init(struct arena *a, enum matcher_op op, struct slice name,
                                     struct slice value, struct ammatch *ret);
void ammatch_done(struct ammatch *m);
/* Exactly one matcher, without braces. */
ORR_CHECKED struct err *ammatch_parse(struct arena *a, enum ammatch_mode mode, struct slice text,
                                      struct ammatch *ret);
ORR_CHECKED struct err *ammatch_parse_list(struct arena *a, enum ammatch_mode mode,
                                           struct slice text, struct ammatch_list *ret);
void ammatch_list_done(struct ammatch_list *l);
/* In place by name, value, operator: the order in the keys of routes. */
void ammatch_list_sort(struct ammatch_list *l);

bool ammatch_matches(const struct ammatch *m, struct labels ls);
/* All of them; the empty list matches everything. */
bool ammatch_list_matches(const struct ammatch_list *l, struct labels ls);
void ammatch_text(struct buf *out, const struct ammatch *m);           /* foo="bar" */
void ammatch_list_text(struct buf *out, const struct ammatch_list *l); /* {foo="bar",x!="y"} */
