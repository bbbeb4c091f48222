/* loghead_push.c: pushes under way; loghead_split.c: a batch into the parts of one. */
#pragma once
#include "ingester/door/log_batch.h"
#include "ingester/logs/loghead_internal.h"

/* What goes to one shard: the thread that takes the batch fills bytes and index, the shard's the rest. */
struct logpush_part {
    struct mailbox_msg msg;
    struct logpush *push;
    struct buf bytes;    /* a record as in logrecord.h, of all that came */
    VEC(uint32_t) index; /* of each: in the batch */
    struct batch_reply reply;
    struct err *err;
};
struct logpush {
    struct loghead *head;
    struct logtenant *tenant;
    struct loghead_limits limits;
    loghead_push_fn *done;
    void *arg;
    int64_t bytes;
    _Atomic uint32_t left;
    struct logpush_part parts[]; /* one a shard */
};

/* ---- loghead_split.c ---- */

/* Streams of a batch as the door has it. */
struct logpush_items {
    const struct log_batch *batch;
    const uint32_t *streams; /* NULL: the first n */
    size_t n;
    bool with_labels; /* also of streams that are known */
};

/* Whether open lines and queue take so many bytes more: ERR_UNAVAILABLE. */
ORR_CHECKED struct err *logpush_check_room(struct loghead *h, int64_t bytes);
/* The batch (log_batch.h) into the parts, p->bytes is what they have then. ERR_INVALID, ERR_UNAVAILABLE: some of it may be
 * there. */
ORR_CHECKED struct err *logpush_split_bytes(struct logpush *p, struct slice bytes);
ORR_CHECKED struct err *logpush_split_items(struct logpush *p, const struct logpush_items *items);
