/*
 * Samples of a series as they are exported.
 *
 *   openmetrics   NAME{LABELS} VALUE SECONDS, # EOF: what promtool makes blocks of
 *   lines         NAME{LABELS} VALUE MILLISECONDS; of a native histogram the notation of promtool tsdb dump:
 *                 {count:3, sum:5, (0.5,1]:1, (1,2]:2}
 *   json          a line for a run of samples of a series, as VictoriaMetrics exports and imports them:
 *                 {"metric":{"__name__":"up","job":"a"},"values":[1,"NaN","Infinity",null],"timestamps":[ms,…]}
 *                 null is a stale marker. Of native histograms, to the last bit, "histograms" in the place of "values":
 *                 {"count":3,"sum":5,"schema":0,"zero_threshold":1e-128,"zero_count":0,"positive_spans":[[0,2]],
 *                  "positive_counts":[1,2],"negative_spans":[],"negative_counts":[],"custom_values":[],
 *                  "hint":"unknown","is_integer":true}
 *                 Spans are [offset, length], counts absolute in their order; sum null: a stale marker.
 *
 * Pure; any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/model/sample.h"

/* X(symbol, name) */
#define CTL_FORMATS(X)                                                                             \
    X(CTL_FORMAT_OPENMETRICS, "openmetrics")                                                       \
    X(CTL_FORMAT_LINES, "lines")                                                                   \
    X(CTL_FORMAT_JSON, "json")
enum ctl_format {
#define X(sym, name) sym,
    CTL_FORMATS(X)
#undef X
};
bool ctl_format_parse(const char *name, enum ctl_format *ret);

struct ctl_point {
    int64_t t;
    double v;
    const struct histogram *h; /* NULL: a float */
};
bool ctl_point_is_stale(const struct ctl_point *s);

/* name{a="b",c="d"}, without the spaces that OpenMetrics does not allow. */
void ctl_point_name(struct buf *out, struct labels ls);
/* A line; of OpenMetrics only for floats. name: ctl_point_name()'s. Scratch in tmp. */
void ctl_point_text(struct buf *out, struct arena *tmp, enum ctl_format format, struct slice name,
                    const struct ctl_point *s);
/* A line of n samples that all are floats, or all histograms; n > 0. */
void ctl_point_json(struct buf *out, struct labels ls, const struct ctl_point *s, size_t n);
