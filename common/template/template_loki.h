/*
 * The functions of Loki's line_format and label_format, beside Go's own:
 *
 *   lower upper title trim trimAll trimPrefix trimSuffix trunc substr indent nindent repeat replace
 *   contains hasPrefix hasSuffix ToLower ToUpper Trim TrimLeft TrimRight TrimPrefix TrimSuffix
 *   TrimSpace Replace regexReplaceAll regexReplaceAllLiteral count alignLeft alignRight urlencode
 *   urldecode b64enc b64dec fromJson default
 *   int float64 add sub mul div mod max min addf subf mulf divf maxf minf ceil floor round
 *   bytes duration duration_seconds
 *   __timestamp__ now date toDate toDateInZone unixToTime unixEpoch unixEpochMillis unixEpochNanos
 *   __line__
 *
 * Labels are the dot (value_labels()), a missing one is empty: execute with
 * TEMPLATE_MISSING_ZERO and ctx a struct template_loki. Times without a zone are UTC.
 * A text that is no number counts as 0 in arithmetic. Any thread.
 */
#pragma once
#include "common/template/template.h"

struct template_loki {
    struct slice line; /* __line__ */
    int64_t ts_ns;     /* __timestamp__ */
    int64_t now_ns;
};

extern const struct template_funcs template_loki_funcs;
