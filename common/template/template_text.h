/*
 * Functions that Prometheus' and Alertmanager's templates share: toUpper toLower title match
 * reReplaceAll safeHtml humanize humanize1024 humanizeDuration humanizePercentage
 * humanizeTimestamp toTime toDuration parseDuration urlQueryEscape urlUnescape stripPort stripDomain args.
 * title leaves the letters behind the first of a word as they are (Prometheus); title_lower makes
 * them lower (Alertmanager).
 */
#pragma once
#include "common/template/template.h"

value_fn template_text_upper, template_text_lower, template_text_title, template_text_title_lower,
    template_text_match, template_text_replace_all, template_text_safe_html,
    template_text_query_escape, template_text_query_unescape, template_text_strip_port,
    template_text_strip_domain, template_text_args;
value_fn template_text_humanize, template_text_humanize_1024, template_text_humanize_duration,
    template_text_humanize_percentage, template_text_humanize_timestamp, template_text_to_time,
    template_text_to_duration, template_text_parse_duration;
