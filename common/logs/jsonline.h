/*
 * A log line that is a JSON object, flattened into labels as Loki's json stage has them:
 *
 *     {"a":{"b c":1.50},"s":"x","l":[1],"n":null,"t":true}   ->   a_b_c=1.50  s=x  t=true
 *
 * Names are joined with _, what no label name may hold becomes _, a digit in front gets one before
 * it. Lists and nulls are left out; numbers stay as they are written.
 *
 * The line is read once and leniently: values are given out until it turns out to be malformed,
 * and they count. An object inside the line is given out only if it is closed. A value with a malformed
 * escape is empty.
 *
 * Owner: one thread. No allocation but of the two buffers, which are kept.
 */
#pragma once
#include "common/base/buf.h"

#define JSONLINE_MAX_DEPTH 64

/* Whether names that begin with prefix are wanted; other objects are passed over. */
typedef bool jsonline_prefix_fn(void *arg, struct slice prefix);

struct jsonline {
    struct buf key, value;     /* scratch */
    jsonline_prefix_fn *wants; /* NULL: all are */
    bool is_flat;              /* only strings of the outermost object, names as they are */
    bool keeps_path;           /* in path: the names as they stand in the line, each an lstr */
    struct buf path;
    const char *error; /* after jsonline_each() has failed */
};
/* key and value live until it returns. False: that is enough. */
typedef bool jsonline_fn(void *arg, struct slice key, struct slice value);

/* False if the line is no JSON object; j->error says why. */
bool jsonline_each(struct jsonline *j, struct slice line, jsonline_fn *fn, void *arg);
void jsonline_done(struct jsonline *j);

/* The escape at the front of s, which begins with a backslash, appended to out; returns the bytes
 * taken, 0: it is none. Lenient: half of a pair is U+FFFD, and \' is taken, as Go's encoding/json and
 * loggers have it. */
size_t jsonline_escape(struct slice s, struct buf *out, bool is_lenient);
/* Appends raw, what stands between the quotes of a string, without its escapes. False: one of them is
 * malformed, or half of a pair; what was appended is then undefined. All other bytes stay. */
bool jsonline_unescape(struct slice raw, struct buf *out);
/* Appends name as part of a label name. */
void jsonline_label_name(struct buf *out, struct slice name, bool is_first);
