/*
 * Label matchers: name = != =~ !~ value, as in PromQL selectors and match[].
 * Any thread once compiled.
 */
#pragma once
#include "common/base/re.h"
#include "common/model/labels.h"

enum matcher_op { MATCHER_EQ, MATCHER_NE, MATCHER_RE, MATCHER_NRE };

/* The values a regex can take, when it is a small set of literals or starts with one. */
struct matcher {
    enum matcher_op op;
    struct slice name, value;
    struct re *re; /* RE and NRE, unless there is a set */
    struct slice
        *set; /* RE/NRE that is an alternation of literals: those, sorted, each once; else NULL */
    size_t set_n;
    struct slice prefix; /* RE/NRE: literal every match starts with (may be empty) */
};

struct matchers {
    const struct matcher *ptr;
    size_t n;
};

/* Longest regex, unless it is an alternation of literals: longer ones cost more than any use of them. */
#define MATCHER_MAX_REGEX_BYTES 32768
/* Of one selector. The parser refuses more, and so does whoever reads the wire form; each regex that is compiled
 * may have megabytes. */
#define MATCHERS_MAX 4096
#define MATCHERS_MAX_REGEXES 256

/* Fills *ret; bytes are borrowed from the arena's copies. ERR_INVALID for a bad regex. The regex is
 * freed with matcher_done(); its memory is charged to the arena, ERR_LIMIT when that is over. */
ORR_CHECKED struct err *matcher_init(struct arena *a, enum matcher_op op, struct slice name,
                                     struct slice value, struct matcher *ret);
void matcher_done(struct matcher *m);
/* ERR_LIMIT, naming the bound, if there are too many of them. */
ORR_CHECKED struct err *matchers_check_count(struct matchers ms);
bool matcher_matches(const struct matcher *m, struct slice value); /* of an absent label: "" */
bool matcher_matches_empty(const struct matcher *m);
bool matchers_match(struct matchers ms, struct labels ls);
const char *matcher_op_text(enum matcher_op op);
void matcher_text(struct buf *out, const struct matcher *m); /* a="b" */
void matchers_text(struct buf *out, struct matchers ms);     /* {a="b", c!="d"} */
/* Wire form: uvarint count, then op u8, lstr name, lstr value each. */
void matchers_encode(struct buf *out, struct matchers ms);
ORR_CHECKED struct err *matchers_decode(struct arena *a, struct slice bytes, struct matchers *ret);
void matchers_done(struct matchers ms);
