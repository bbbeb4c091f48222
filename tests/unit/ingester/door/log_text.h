/*
 * A batch of log lines as text, for tests of decoders: a line per stream and one per entry
 *
 *     {app="shop"}
 *       @ns line {name="value", …}
 *
 * then the refusals: "refused reason: lines"; when the decoder gave an error, that: "error: …".
 */
#pragma once
#include "ingester/door/log_builder.h"
#include "ingester/door/log_labels.h"
#include "tests/unit/test.h"

#define LOG_TEXT_NOW_NS 1767225600000000000ll /* 2026-01-01 */

static inline void log_text_labels(struct buf *out, const struct label *ls, size_t n)
{
    struct buf canonical = {0};

    labels_canonical(&canonical, (struct labels){ls, n});
    log_labels_text(out, buf_slice(&canonical), 4096);
    buf_done(&canonical);
}

/* Through the bytes of the batch and back. */
static inline void log_text_print(struct buf *out, const struct log_batch *batch)
{
    struct arena *a = arena_new(0);
    struct buf bytes = {0};
    struct log_batch_reader r;
    struct log_batch_head head;
    struct log_entry e;

    log_batch_encode(batch, NULL, 0, true, &bytes);
    log_batch_reader_init(&r, a, buf_slice(&bytes));
    while (log_batch_next_stream(&r, &head)) {
        log_labels_text(out, head.labels, 4096);
        buf_byte(out, '\n');
        while (log_batch_next_entry(&r, &e)) {
            buf_printf(out, "  @%lld ", (long long)e.t_ns);
            buf_slice_append(out, e.line);
            if (e.n_metadata) {
                buf_byte(out, ' ');
                log_text_labels(out, e.metadata, e.n_metadata);
            }
            buf_byte(out, '\n');
        }
    }
    CHECK_OK(log_batch_reader_end(&r));
    buf_done(&bytes);
    arena_free(a);
}

/* What decode makes of arg. limits NULL: lax. Ends with buf_done(). */
static inline struct buf log_text(log_decode_fn *decode, const void *arg,
                                  const struct tenant_limits *limits)
{
    static const struct tenant_limits none = {.generation = 1};
    struct log_batch *batch = log_batch_new(SLICE("t"), limits ? limits : &none);
    struct log_builder b;
    struct buf out = {0};
    struct err *e;

    log_builder_init(&b, batch, NULL, LOG_TEXT_NOW_NS);
    b.is_lax = !limits;
    e = decode(&b, arg);
    if (!e)
        log_text_print(&out, batch);
    for (size_t i = 0; i < LOG_REASON_COUNT; i++)
        if (b.rejects.lines[i])
            buf_printf(&out, "refused %s: %llu\n", log_reason_name((enum log_reason)i),
                       (unsigned long long)b.rejects.lines[i]);
    if (e)
        buf_printf(&out, "error: %s\n", err_msg(e));
    err_free(e);
    log_batch_free(batch);
    return out;
}

/* Ends got. */
static inline void log_text_check(struct buf got, const char *want)
{
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}
