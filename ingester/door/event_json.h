/*
 * Events in JSON, one or a list of them, into log_builder.h as common/model/event.h has them.
 *
 *   {"kind":"deployment","title":"shop 1.2.3","time":"2026-01-01T00:00:00Z","end":…,
 *    "service":"shop","attributes":{"version":"1.2.3"}}
 *
 * kind (1 to EVENT_JSON_MAX_KIND of letters, digits and _ . -) and title (1 to EVENT_JSON_MAX_TITLE bytes) must be there; time is now, if it is not;
 * times are those of json_lines_time(). Attributes are texts, numbers and truths. What is malformed, or has another member,
 * refuses the whole request and is named: ERR_INVALID. More than EVENT_JSON_MAX events or ..._ATTRIBUTES: ERR_LIMIT.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/log_builder.h"

#define EVENT_JSON_MAX 1000
#define EVENT_JSON_MAX_ATTRIBUTES 64
#define EVENT_JSON_MAX_KIND 128
#define EVENT_JSON_MAX_TITLE 4096
#define EVENT_JSON_MAX_BYTES (1u << 20) /* of a request */

ORR_CHECKED struct err *event_json_decode(struct log_builder *b, struct slice body);
