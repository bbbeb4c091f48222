/*
 * Loki's push in protobuf, walked where it lies:
 *
 *   PushRequest  1 Stream*
 *   Stream       1 labels (text: log_labels.h)  2 Entry*  3 hash (not used)
 *   Entry        1 Timestamp: 1 seconds 2 nanos  2 line  3 LabelPair* structured metadata
 *                4 LabelPair* parsed (what queries answer with; not used)
 *   LabelPair    1 name  2 value
 *
 * Strictness is that of rw_cursor.h. Labels may stand behind the entries.
 *
 * Owner: one thread. Lends from the body.
 */
#pragma once
#include "ingester/door/log_builder.h"

/* ERR_INVALID: malformed, or labels that cannot be read: all is refused, as Loki does. */
ORR_CHECKED struct err *loki_proto_decode(struct log_builder *b, struct slice body);
