/*
 * Influx line protocol, point by point, as InfluxDB 1.x reads it.
 *
 *     measurement[,tag=value]... field=value[,field=value]... [timestamp]
 *
 *   escapes   \, \  (blank) in measurements, those and \= in tags and field keys, \" and \\ in
 *             strings; another backslash stands for itself
 *   values    1.5 1e3 (float)   7i (integer)   7u (unsigned)   t T true True TRUE f F false False
 *             FALSE (1 and 0)   "text" (no number: INFLUX_STRING); texts may span lines
 *   # at the start of a line: a comment. Blank lines, blanks before a line and \r\n are allowed.
 *
 * A bad point does not spoil the ones after it: reading goes on behind the line on which it began, also
 * when a text without its closing quote led further. What is read again because of that is at most
 * INFLUX_MAX_REREAD times the input; past it, a bad point ends where reading it did.
 *
 * Owner: one thread. Lends from the text; what had to be unescaped lies in the arena; the arrays
 * are valid until the next call.
 */
#pragma once
#include "common/base/arena.h"
#include "common/model/labels.h"

#define INFLUX_MAX_REREAD 4
#define INFLUX_MAX_PARTS 4096 /* tags, and fields, of one point */

enum influx_item { INFLUX_END, INFLUX_POINT, INFLUX_BAD };
enum influx_kind { INFLUX_NUMBER, INFLUX_STRING };

struct influx_field {
    struct slice key;
    double value;
    enum influx_kind kind;
};

struct influx_line {
    struct slice measurement;
    const struct label *tags; /* in the order they stand; values not empty */
    const struct influx_field *fields;
    size_t n_tags, n_fields;
    bool has_time;
    int64_t time;      /* in the unit of the request */
    size_t line;       /* number, from 1 */
    const char *error; /* of INFLUX_BAD: a constant */

    /* The reader's own. */
    struct arena *arena;
    struct slice input;
    size_t pos, next_line, cap_tags, cap_fields, reread_bytes;
    struct label *tag_array;
    struct influx_field *field_array;
    bool has_backslash; /* the point has one so far */
};

void influx_line_init(struct influx_line *r, struct arena *a, struct slice text);
enum influx_item influx_line_next(struct influx_line *r);

/* Units of time stamps: InfluxDB's names of both API versions ("ns" for none). False: unknown.
 * *ret_ns: nanoseconds in one. */
bool influx_line_precision(struct slice name, int64_t *ret_ns);
/* False when it does not fit. Rounded down. */
bool influx_line_to_ms(int64_t time, int64_t unit_ns, int64_t *ret_ms);
