/* Silences as API v2 writes and reads them. Any thread. */
#pragma once
#include "alertmanager/silences.h"

void silence_json(struct buf *out, const struct silence *s, int64_t now_ns);
/* The body of POST /api/v2/silences; texts are the arena's. ERR_INVALID, ERR_LIMIT. What a silence must be besides is
 * for silences_set() to say. */
ORR_CHECKED struct err *silence_from_json(struct arena *a, struct slice body,
                                          struct silences_spec *ret);
