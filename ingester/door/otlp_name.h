/*
 * OpenTelemetry names and units as Prometheus names, as Prometheus translates them.
 *
 *   strategy                            name http.server.duration, unit s, a histogram
 *   UnderscoreEscapingWithSuffixes      http_server_duration_seconds
 *   UnderscoreEscapingWithoutSuffixes   http_server_duration
 *   NoUTF8EscapingWithSuffixes          http.server.duration_seconds
 *   NoTranslation                       http.server.duration
 *
 * Suffixes: the unit (By/s: bytes_per_second; a unit in braces is none), then total for monotonic
 * sums, ratio for gauges of unit 1. A suffix that the name has already is not doubled. A namespace
 * goes in front, with an underscore.
 *
 * Label names are escaped with the Underscore strategies only: a rune that may not stand is an
 * underscore, key_ goes before a digit.
 *
 * Any thread. Results lie in the arena, or are the input where nothing changes.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/otlp_config.h"

#define OTLP_NAME_TOLD 200 /* bytes of a name that messages show */

/* What decides about suffixes. */
enum otlp_name_type { OTLP_NAME_GAUGE, OTLP_NAME_COUNTER /* a monotonic sum */, OTLP_NAME_OTHER };

/* ERR_INVALID when nothing of the name is left. */
ORR_CHECKED struct err *otlp_name_metric(struct arena *a, enum otlp_strategy strategy,
                                         struct slice prefix, struct slice name, struct slice unit,
                                         enum otlp_name_type type, struct slice *ret);
/* km/h: km_per_hour. is_utf8: nothing is escaped. */
struct slice otlp_name_unit(struct arena *a, bool is_utf8, struct slice unit);

struct otlp_name_labels {
    bool is_utf8;
    bool has_key_prefix;    /* key before a single leading underscore */
    bool keeps_underscores; /* a run of them stays one */
};
/* Whether otlp_name_label() would give the name back as it is. */
bool otlp_name_label_stands(const struct otlp_name_labels *how, struct slice name);
/* ERR_INVALID for an empty name, or one of which only underscores are left. */
ORR_CHECKED struct err *otlp_name_label(struct arena *a, const struct otlp_name_labels *how,
                                        struct slice name, struct slice *ret);
