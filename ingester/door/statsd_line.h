/*
 * StatsD lines, with the tags of DogStatsD, Librato and Influx.
 *
 *     name:value[:value]...|type[|@rate][|#tag:value,tag,...][|c:...][|T...]
 *     name,tag=value:value|type           name#tag=value:value|type
 *
 *   type  c, m counter   g gauge, +1 and -1 change it   ms timer   h, d histogram   s set
 *   rate  0 < rate <= 1: what was counted stands for 1/rate times as much
 *
 * A tag without a value gets "true". Events (_e{...}) and service checks (_sc|...) of DogStatsD are
 * skipped and counted. A line may hold several values; it is read whole or not at all.
 *
 * Owner: one thread. Lends from the text; arrays are valid until the next call.
 */
#pragma once
#include "common/model/labels.h"

#define STATSD_MAX_TAGS 64
#define STATSD_MAX_VALUES 1024 /* of one line */

enum statsd_item { STATSD_END, STATSD_METRIC, STATSD_BAD, STATSD_OTHER /* event, check */ };
enum statsd_type { STATSD_COUNTER, STATSD_GAUGE, STATSD_TIMER_MS, STATSD_HISTOGRAM, STATSD_SET };

struct statsd_line {
    struct slice name;
    struct label tags[STATSD_MAX_TAGS];
    size_t n_tags;
    enum statsd_type type;
    double rate;
    struct slice values; /* for statsd_line_value() */
    const char *error;   /* of STATSD_BAD: a constant */
    struct slice rest;   /* the reader's own */
};

void statsd_line_init(struct statsd_line *r, struct slice text);
enum statsd_item statsd_line_next(struct statsd_line *r);

/* The next value of a line. text: as it stands (an element of a set); *ret_is_change: it has a
 * sign. All values of a STATSD_METRIC can be read: start with a copy of r->values. */
bool statsd_line_value(const struct statsd_line *r, struct slice *values, struct slice *ret_text,
                       double *ret, bool *ret_is_change);
