/*
 * Elasticsearch's _bulk: pairs of lines, an action and its document.
 *
 *   {"create":{"_index":"logs-app"}}                 create and index store the document,
 *   {"@timestamp":"2026-01-01T00:00:00Z", …}         as json_lines.h does, with label index
 *   {"delete":{"_index":"a","_id":"1"}}              has no document and is refused
 *   {"update":{"_id":"1"}}                           has one and is refused: logs do not change
 *
 * Documents are the log lines, byte for byte. Each action has a result, in order, as clients expect.
 * An action that cannot be read makes all of the rest unreadable: ERR_INVALID, nothing is stored.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/json_lines.h"

struct elastic_bulk_result {
    uint8_t action; /* enum elastic_bulk_action */
    uint16_t status;
};
enum elastic_bulk_action { ELASTIC_CREATE, ELASTIC_INDEX, ELASTIC_UPDATE, ELASTIC_DELETE };

/* Of one request; in the batch's arena. */
struct elastic_bulk {
    struct json_lines_opts lines;
    struct slice index; /* of actions that name none; may be empty */
    struct elastic_bulk_result *results;
    size_t n, cap;
    bool has_errors;
};

ORR_CHECKED struct err *elastic_bulk_decode(struct log_builder *b, struct slice body,
                                            struct elastic_bulk *bulk);
/* {"took":0,"errors":false,"items":[{"create":{"_index":…,"status":201}}, …]} */
void elastic_bulk_answer(struct buf *out, const struct elastic_bulk *bulk, const char *why);
