/*
 * The labels of a log stream as Loki's clients write them: {app="shop", env="prod"}, Prometheus'
 * notation of a series without samples. Text that is empty has no labels.
 *
 * Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/model/labels.h"

/* In the order of the text; a name may come twice. Lends from text where nothing is escaped.
 * ERR_INVALID with what is wrong, and where. */
ORR_CHECKED struct err *log_labels_parse(struct arena *a, struct slice text, struct labels *ret);
/* For messages: {a="b"} of canonical bytes, cut after max_bytes. */
void log_labels_text(struct buf *out, struct slice canonical, size_t max_bytes);
/* s, or a copy with U+FFFD for what is not UTF-8. */
struct slice log_labels_utf8(struct arena *a, struct slice s);
