/*
 * Durations as Prometheus and Go write and read them. All are nanoseconds. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

/* Prometheus' model.ParseDuration: "1h30m", units y w d h m s ms in this order, once each, whole
 * numbers; "0" alone is allowed, "" is not. */
ORR_CHECKED struct err *promdur_parse(struct slice text, int64_t *ret_ns);
/* model.ParseDurationAllowNegative: a '-' in front is allowed. */
ORR_CHECKED struct err *promdur_parse_signed(struct slice text, int64_t *ret_ns);
/* model.Duration.String(): "1h30m", "0s"; below a millisecond is cut off. */
void promdur_print(struct buf *out, int64_t ns);
/* time.Duration.Seconds(). */
double promdur_seconds(int64_t ns);
/* Go's time.ParseDuration: "-1.5h", "300ms", "1h15m30.918s"; units ns us µs ms s m h. */
ORR_CHECKED struct err *promdur_parse_go(struct slice text, int64_t *ret_ns);
/* Go's time.Duration.String(): "1h15m30.918s", "1.5µs", "0s". */
void promdur_print_go(struct buf *out, int64_t ns);
