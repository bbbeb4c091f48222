/*
 * Loki's push in JSON, and that of its first version:
 *
 *   {"streams": [{"stream": {"app": "shop"},
 *                 "values": [["1767225600000000000", "line", {"trace_id": "7"}], …]}, …]}
 *   {"streams": [{"labels": "{app=\"shop\"}",
 *                 "entries": [{"ts": "2026-01-01T00:00:00Z", "line": "line"}, …]}, …]}
 *
 * As Loki reads it: unknown members are stepped over; null and what is missing is empty; times of
 * the first form are texts of digits, those of the second RFC 3339; values of structured metadata
 * are texts; numbers and booleans as values of labels stand for their text.
 *
 * Bounds: LOKI_JSON_MAX_BYTES of text, LOKI_JSON_MAX_DEPTH.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/log_builder.h"

#define LOKI_JSON_MAX_BYTES (16u << 20)
#define LOKI_JSON_MAX_DEPTH 16

/* ERR_INVALID says what is wrong, ERR_TOO_LARGE. Lines lie in the document: the caller
 * has the batch keep *ret_doc (NULL when this failed). */
ORR_CHECKED struct err *loki_json_decode(struct log_builder *b, struct slice body,
                                         struct jsonval_doc **ret_doc);
ORR_CHECKED struct err *loki_json_decode_legacy(struct log_builder *b, struct slice body,
                                                struct jsonval_doc **ret_doc);
