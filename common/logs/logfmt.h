/*
 * Log lines of the form  level=info msg="a b" done key="" flag:  one pair after another, as Loki's
 * decoder takes them apart.
 *
 *     struct logfmt it = logfmt_of(line);
 *     while ((what = logfmt_next(&it, &scratch, &key, &value)) != LOGFMT_END)
 *         if (what == LOGFMT_PAIR)
 *             ...
 *
 * A pair that is malformed (a="b, a==b, ="b", a quote in a key) is LOGFMT_BAD, with it.error and
 * it.pos saying why and where; the next call goes on behind it. A key alone has an empty value.
 *
 * key and value borrow from the line, or, if the value had escapes, value from scratch until the
 * next call. No allocation but scratch's. Owner: one thread.
 */
#pragma once
#include "common/base/buf.h"

struct logfmt {
    struct slice line;
    size_t pos; /* where it goes on; after LOGFMT_BAD where it stopped: behind the bad one */
    size_t error_pos;
    const char *error; /* "unexpected '='", … */
};
enum logfmt_what { LOGFMT_END, LOGFMT_PAIR, LOGFMT_BAD };

static inline struct logfmt logfmt_of(struct slice line)
{
    return (struct logfmt){.line = line};
}
enum logfmt_what logfmt_next(struct logfmt *it, struct buf *scratch, struct slice *ret_key,
                             struct slice *ret_value);

/* The text of a quoted JSON string ("a\u00e9\n"), quotes included in s, appended to out. Half a
 * surrogate pair and bytes that are not UTF-8 become U+FFFD. False if malformed; what was appended
 * is then undefined. \' is taken, too, as Go's loggers write it. */
bool logfmt_unquote(struct slice s, struct buf *out);
