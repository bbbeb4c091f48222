/*
 * Log lines of an answer of Loki's API, on standard output: "2024-05-01 12:00:00.123 {labels} line", the oldest first.
 *
 * One thread.
 */
#pragma once
#include "deploy/orreryctl/ctl_json.h"

/* Whether the query is for lines: it begins with a selector. */
bool ctl_logline_is_asked(const char *query);
/* streams: [{"stream":{…},"values":[["ns","line"]…]}…]. ret_last_ns (may be NULL) gets the time of the last, if there is one. */
void ctl_logline_show(json_t *streams, int64_t *ret_last_ns);
