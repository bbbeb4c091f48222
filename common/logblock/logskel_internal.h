/*
 * What of a text is its skeleton, and what varies: the spans of its variables. What lies between them is
 * the template's.
 *
 *   JSON     an object: strings without their quotes, numbers, true, false, null, and lists
 *            {"a":"b","c":{"d":1}}         a: b, c_d: 1
 *   logfmt   values, without their quotes if they have any: nothing but key=value pairs
 *            level=info msg="a b"          level: info, msg: a b
 *   words    what stands in double quotes, and of the rest words with a digit in them, between
 *            white space and brackets (coarse), or between any signs (fine)
 *            login of user42 "a b" failed  user42, a b
 *
 * A text is JSON, or logfmt, only if it is so plain that common/logs/jsonline.h, or logfmt.h, gives the
 * same names and values, and no error: what is read from the columns must be what a stage would say.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/vec.h"

#define LOGSKEL_MAX_VARS 256
#define LOGSKEL_MAX_DEPTH 8

/* What a variable is to the stages. */
enum logskel_var {
    LOGSKEL_PLAIN,         /* nothing: it has no name */
    LOGSKEL_JSON_STRING,   /* without its quotes, escaped */
    LOGSKEL_JSON_WORD,     /* number, true, false, null */
    LOGSKEL_JSON_LIST,     /* between its brackets; no stage gives it out */
    LOGSKEL_LOGFMT,        /* as it is */
    LOGSKEL_LOGFMT_QUOTED, /* without its quotes, escaped */
    LOGSKEL_PAIR,          /* of structured metadata */
    LOGSKEL_VARS
};
enum logskel_kind {
    LOGSKEL_COARSE,
    LOGSKEL_FINE,
    LOGSKEL_JSON,
    LOGSKEL_LOGFMT_PAIRS,
    LOGSKEL_WHOLE, /* of several lines, or of no use as words: one variable */
    LOGSKEL_PAIRS, /* structured metadata */
    LOGSKEL_KINDS
};

struct logskel_span {
    uint32_t at, len;
};

struct logskel {
    VEC(struct logskel_span) spans; /* of all texts so far */
    /* Of the text before, if names were asked for: one of each span. */
    VEC(uint8_t) vars;
    VEC(struct slice) names; /* in names_in; PLAIN ones are empty */
    struct buf key, scratch;
};
void logskel_done(struct logskel *s);

/* Appends the spans of text, which are in order and do not touch one another. For a log line: JSON,
 * logfmt, whole if it is of several lines, or coarse words, whatever it is. */
enum logskel_kind logskel_line(struct logskel *s, struct slice text);
/* As words. */
void logskel_words(struct logskel *s, struct slice text, bool is_fine);
/* The same, as it is on machines without AVX2. */
void logskel_words_plain(struct logskel *s, struct slice text, bool is_fine);
/* vars and names of a text of that kind; names lie in a. */
void logskel_name(struct logskel *s, struct slice text, enum logskel_kind kind, struct arena *a);

/* ---- a template, known ---- */

/*
 * What stands between the variables of a text, so that one of the same template is known by comparing it: each value
 * ends where its kind ends, and what follows must be the same bytes. Lives in the arena; is immutable.
 */
struct logskel_form;

/* Of a text, its spans and its kind; is_line: logskel_line() found them. NULL: texts like it are to be looked at whole. */
struct logskel_form *logskel_form_of(struct arena *a, struct slice text,
                                     const struct logskel_span *spans, uint32_t n,
                                     enum logskel_kind kind, bool is_line);
/* True: text is of the template, and its spans, the same as ever, are appended. False: nothing is said. */
bool logskel_like(struct logskel *s, struct slice text, const struct logskel_form *f);

/* What bytes are to words; what is none of it is a letter. */
enum logskel_class { LOGSKEL_DIGIT = 1, LOGSKEL_COARSE_SIGN = 2, LOGSKEL_FINE_SIGN = 4 };
extern const uint8_t logskel_classes[256];
