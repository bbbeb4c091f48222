/*
 * How severe a log line is, for whoever sent none of that: the first that is found of
 *
 *   structured metadata, then a label of the stream, with one of the names below
 *   the severity number of OpenTelemetry (structured metadata severity_number)
 *   the line: a member of a JSON object, or a key of logfmt, with one of these names
 *   the line: a word of it that is a level ("error", "WARN", "[fatal]"), the first of its bytes
 *
 * Only LINE_LEVEL_MAX_BYTES of a line are looked at. Nested JSON is not walked.
 *
 * Pure; any thread.
 */
#pragma once
#include "common/model/labels.h"

#define LINE_LEVEL_LABEL "detected_level"
#define LINE_LEVEL_MAX_BYTES 4096

/* X(symbol, name) */
#define LINE_LEVELS(X)                                                                             \
    X(LINE_LEVEL_UNKNOWN, "unknown")                                                               \
    X(LINE_LEVEL_TRACE, "trace")                                                                   \
    X(LINE_LEVEL_DEBUG, "debug")                                                                   \
    X(LINE_LEVEL_INFO, "info")                                                                     \
    X(LINE_LEVEL_WARN, "warn")                                                                     \
    X(LINE_LEVEL_ERROR, "error")                                                                   \
    X(LINE_LEVEL_CRITICAL, "critical")                                                             \
    X(LINE_LEVEL_FATAL, "fatal")
enum line_level_kind {
#define X(sym, name) sym,
    LINE_LEVELS(X)
#undef X
        LINE_LEVEL_COUNT
};

struct slice line_level_name(enum line_level_kind level);
/* level, lvl, severity, severity_text, log.level … as people write them. */
bool line_level_is_field(struct slice name);
/* What a value says: "Warning", "err", "CRIT", "30"; LINE_LEVEL_UNKNOWN if nothing. */
enum line_level_kind line_level_of_text(struct slice value);
/* 1 … 24 of OpenTelemetry. */
enum line_level_kind line_level_of_severity(int64_t number);
enum line_level_kind line_level_of_line(struct slice line);
/* Of labels, or structured metadata, by their names. */
enum line_level_kind line_level_of_labels(struct labels ls);
/* All of the above in their order. stream: what its labels say. */
enum line_level_kind line_level_detect(enum line_level_kind stream, struct labels metadata,
                                       struct slice line);
