/*
 * The labels of a series as a client sent them: whether they are in order, and what to do when they
 * are not. Rules are Prometheus' (names and values UTF-8, names not empty and unique, a metric
 * name), and the tenant's limits.
 *
 * Canonical bytes: see common/model/labels.h. A label whose value is empty is no label: it is left
 * out, but its name still counts for uniqueness.
 *
 * Any thread.
 */
#pragma once
#include "common/model/labels.h"
#include "common/model/limits.h"
#include "ingester/door/door_reason.h"

enum series_labels_form {
    SERIES_LABELS_CANONICAL, /* the bytes can stay as they are */
    SERIES_LABELS_OTHER,     /* not sorted, an empty value, another encoding: to be rebuilt */
};
/* bytes: label fields of a TimeSeries, back to back. *ret_reason is set when they are canonical. */
enum series_labels_form series_labels_check(struct slice bytes, const struct tenant_limits *limits,
                                            enum door_reason *ret_reason);
/* Why labels, sorted by name but maybe with empty values and names that occur twice, are refused. */
enum door_reason series_labels_reason(struct labels sorted, const struct tenant_limits *limits);
/*
 * Reads the labels wherever they are in a TimeSeries message, and writes them canonically into the
 * arena. *ret_reason is not DOOR_OK when they are refused; then *ret holds them sorted but not
 * canonical, for messages. *ret_has_empty (may be NULL): a label without a value was left out.
 * ERR_INVALID: the protobuf is malformed.
 */
ORR_CHECKED struct err *series_labels_build(struct arena *a, struct slice message,
                                            const struct tenant_limits *limits, struct slice *ret,
                                            enum door_reason *ret_reason, bool *ret_has_empty);
/* For messages: up{a="b"} of label fields; cut after max_bytes. */
void series_labels_text(struct buf *out, struct slice bytes, size_t max_bytes);
