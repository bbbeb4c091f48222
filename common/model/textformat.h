/*
 * Reads what a target exposes about itself: the Prometheus text format 0.0.4 and OpenMetrics 1.0
 * text, entry by entry, accepting and refusing what Prometheus' own two parsers do.
 *
 *     struct textformat t;
 *     textformat_init(&t, arena, TEXTFORMAT_OPENMETRICS, text);
 *     while ((entry = textformat_next(&t)) > TEXTFORMAT_END)
 *         switch (entry) { case TEXTFORMAT_SERIES: use t.labels, t.value, ... }
 *     if (entry == TEXTFORMAT_BAD)
 *         e = textformat_err(&t);
 *
 * Where they are surprising on purpose or by habit, so are we:
 *   both         a name may stand quoted within the braces ({"a.b", x="y"} 1), any UTF-8; unknown
 *                escapes stay as they are; "le" of histograms and "quantile" of summaries (by the
 *                last TYPE, whatever its name) are rewritten as OpenMetrics floats: 1 -> 1.0;
 *                all NaNs become the one NaN that Go knows
 *   0.0.4        labels may follow one another without a comma; values may span lines; a missing
 *                newline at the end is forgiven; UNIT is a comment; blanks before a name are a part
 *                of it
 *   OpenMetrics  exactly one space between words; # EOF is needed, nothing may follow it; a unit
 *                must be a suffix of its family's name; times are seconds; lines ..._created are
 *                series like any other; exemplar labels are not unescaped; after a value an
 *                unreadable rest is the fault of the next entry
 *
 * Labels are neither sorted nor unique nor without empty values: see who takes them.
 *
 * Owner: one thread. Lends from the text; what had to be unescaped lies in the arena.
 */
#pragma once
#include "common/base/err.h"
#include "common/model/sample.h"

#define TEXTFORMAT_MAX_LABELS 4096 /* of one series; more is refused */

enum textformat_kind { TEXTFORMAT_PROMETHEUS, TEXTFORMAT_OPENMETRICS };

enum textformat_entry {
    TEXTFORMAT_BAD = -1,
    TEXTFORMAT_END = 0,
    TEXTFORMAT_HELP,
    TEXTFORMAT_TYPE,
    TEXTFORMAT_UNIT,
    TEXTFORMAT_COMMENT, /* 0.0.4 only */
    TEXTFORMAT_SERIES,
};

/* Labels being collected; kept from entry to entry. */
struct textformat_labels {
    struct label *ptr;
    size_t n, cap;
};

struct textformat {
    /* HELP, TYPE, UNIT: the family. */
    struct slice family;
    struct slice text; /* HELP, UNIT; COMMENT with its # */
    enum sample_metric_type type;
    /* SERIES; valid until the next call. */
    struct labels labels; /* the name first, as __name__ */
    double value;
    bool has_time;
    int64_t t_ms;
    bool has_exemplar, has_exemplar_time;
    struct labels exemplar_labels;
    double exemplar_value;
    int64_t exemplar_t_ms;

    /* The rest is the parser's own. */
    struct arena *arena;
    struct slice input;
    size_t pos, token, line_start, end;
    enum textformat_kind kind;
    int state;
    bool has_name;
    struct slice name;
    struct textformat_labels own, exemplar_own;
    const char *error;
};

void textformat_init(struct textformat *t, struct arena *a, enum textformat_kind kind,
                     struct slice text);
/* After END or BAD: the same again. */
enum textformat_entry textformat_next(struct textformat *t);
/* After BAD: ERR_INVALID with what was expected, the line's number and what stands there. */
ORR_CHECKED ORR_NONNULL struct err *textformat_err(const struct textformat *t);

/* "le" and "quantile" as OpenMetrics writes floats: Go's %g, and .0 behind what looks like an
 * integer. Appends. */
void textformat_float(struct buf *out, double v);
