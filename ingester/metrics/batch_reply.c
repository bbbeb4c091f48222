#include "common/base/mem.h"
#include "ingester/metrics/batch.h"

#define VERSION 2
#define VERSION_WIDEST 3 /* the same, and a label behind it */
#define REFUSAL_MIN_BYTES 3

static const char *const reason_names[BATCH_REASON_COUNT] = {
#define X(sym, num, name, text) [num] = name,
    BATCH_REASONS(X)
#undef X
};
static const char *const reason_texts[BATCH_REASON_COUNT] = {
#define X(sym, num, name, text) [num] = text,
    BATCH_REASONS(X)
#undef X
};

const char *batch_reason_name(enum batch_reason r)
{
    return (unsigned)r < BATCH_REASON_COUNT ? reason_names[r] : "unknown";
}

const char *batch_reason_text(enum batch_reason r)
{
    return (unsigned)r < BATCH_REASON_COUNT ? reason_texts[r] : "rejected";
}

void batch_reply_done(struct batch_reply *r)
{
    vec_done(&r->unknown);
    vec_done(&r->refusals);
    mem_free((void *)(uintptr_t)r->widest.ptr);
    *r = (struct batch_reply){0};
}

/* Both are ascending: from the ends, so that it needs no other place. */
static void merge_unknown(struct batch_reply *into, const struct batch_reply *from)
{
    size_t i = into->unknown.len, j = from->unknown.len, k = i + j;

    vec_reserve(&into->unknown, j);
    into->unknown.len = k;
    while (j > 0)
        into->unknown.ptr[--k] = i > 0 && into->unknown.ptr[i - 1] > from->unknown.ptr[j - 1]
                                     ? into->unknown.ptr[--i]
                                     : from->unknown.ptr[--j];
}

void batch_reply_widest(struct slice *io_widest, uint64_t *io_values, struct slice widest,
                        uint64_t values)
{
    if (slice_eq(*io_widest, widest)) {
        *io_values += values;
    } else if (values > *io_values) {
        struct slice other = *io_widest;

        *io_widest = widest;
        *io_values = values;
        widest = other;
    }
    mem_free((void *)(uintptr_t)widest.ptr);
}

void batch_reply_merge(struct batch_reply *into, struct batch_reply *from)
{
    into->accepted += from->accepted;
    for (size_t i = 0; i < BATCH_REASON_COUNT; i++)
        into->rejected[i] += from->rejected[i];
    VEC_FOREACH (x, &from->refusals)
        vec_push(&into->refusals, *x);
    merge_unknown(into, from);
    batch_reply_widest(&into->widest, &into->widest_values, from->widest, from->widest_values);
    from->widest = (struct slice){0};
    batch_reply_done(from);
}

void batch_reject(struct batch_reply *r, enum batch_reason reason, uint32_t series, int64_t t_ms)
{
    r->rejected[reason]++;
    if (batch_reason_is_sample(reason))
        vec_push(&r->refusals, ((struct batch_refusal){reason, series, t_ms}));
}

uint32_t batch_reject_entry(struct batch_reply *r, enum batch_reason reason, uint32_t series,
                            const struct batch_entry *en)
{
    struct reader in = reader_new(en->histograms);
    uint64_t before = r->rejected[reason];
    struct slice encoded;
    int64_t t_ms;

    if (en->has_inline)
        batch_reject(r, reason, series, en->inline_sample.t_ms);
    for (uint32_t k = 0; k < en->n_samples; k++)
        batch_reject(r, reason, series, batch_entry_sample(en, k).t_ms);
    while (batch_next_histogram(&in, &t_ms, &encoded))
        batch_reject(r, reason, series, t_ms);
    return (uint32_t)(r->rejected[reason] - before);
}

uint64_t batch_rejected(const struct batch_reply *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < BATCH_REASON_COUNT; i++)
        n += r->rejected[i];
    return n;
}

void batch_reply_encode(struct buf *out, const struct batch_reply *r)
{
    uint32_t last = 0;
    size_t reasons = 0;

    buf_byte(out, r->widest.len ? VERSION_WIDEST : VERSION);
    buf_uvarint(out, r->accepted);
    buf_uvarint(out, r->unknown.len);
    for (size_t i = 0; i < r->unknown.len; i++) {
        buf_uvarint(out, r->unknown.ptr[i] - last);
        last = r->unknown.ptr[i];
    }
    for (size_t i = 0; i < BATCH_REASON_COUNT; i++)
        reasons += r->rejected[i] != 0;
    buf_uvarint(out, reasons);
    for (size_t i = 0; i < BATCH_REASON_COUNT; i++) {
        if (r->rejected[i]) {
            buf_byte(out, (uint8_t)i);
            buf_uvarint(out, r->rejected[i]);
        }
    }
    buf_uvarint(out, r->refusals.len);
    VEC_FOREACH (x, &r->refusals) {
        buf_byte(out, (uint8_t)x->reason);
        buf_uvarint(out, x->series);
        buf_varint(out, x->t_ms);
    }
    if (r->widest.len) {
        buf_lstr(out, r->widest);
        buf_uvarint(out, r->widest_values);
    }
}

static bool read_unknown(struct reader *r, struct batch_reply *ret)
{
    uint64_t n = reader_uvarint(r), at = 0;

    if (n > BATCH_MAX_SERIES || n > reader_left(r))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t step = reader_uvarint(r);

        if (step > BATCH_MAX_SERIES || (i && !step) || at + step >= BATCH_MAX_SERIES)
            return false;
        at += step;
        vec_push(&ret->unknown, (uint32_t)at);
    }
    return true;
}

static bool read_rejects(struct reader *r, struct batch_reply *ret)
{
    uint64_t n = reader_uvarint(r);

    if (n > 256)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t reason = reader_u8(r);
        uint64_t count = reader_uvarint(r);

        /* a reason of a newer version is still a rejection: counted with the most general one */
        ret->rejected[reason < BATCH_REASON_COUNT ? reason : BATCH_OUT_OF_ORDER] += count;
    }
    n = reader_uvarint(r);
    if (n > reader_left(r) / REFUSAL_MIN_BYTES)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t reason = reader_u8(r);
        uint64_t series = reader_uvarint(r);
        int64_t t_ms = reader_varint(r);

        if (series >= BATCH_MAX_SERIES)
            return false;
        vec_push(&ret->refusals,
                 ((struct batch_refusal){reason < BATCH_REASON_COUNT ? (enum batch_reason)reason
                                                                     : BATCH_OUT_OF_ORDER,
                                         (uint32_t)series, t_ms}));
    }
    return true;
}

static bool read_widest(struct reader *r, struct batch_reply *ret)
{
    struct slice label = reader_lstr(r);

    if (!reader_ok(r) || label.len == 0)
        return false;
    ret->widest = slice_of(slice_dup(label), label.len);
    ret->widest_values = reader_uvarint(r);
    return true;
}

struct err *batch_reply_decode(struct slice bytes, struct batch_reply *ret)
{
    struct reader r = reader_new(bytes);
    struct batch_reply reply = {0};
    uint8_t version = reader_u8(&r);

    reply.accepted = reader_uvarint(&r);
    if ((version != VERSION && version != VERSION_WIDEST) || !read_unknown(&r, &reply) ||
        !read_rejects(&r, &reply) || (version == VERSION_WIDEST && !read_widest(&r, &reply)) ||
        !reader_ok(&r) || reader_left(&r)) {
        batch_reply_done(&reply);
        return err_new(ERR_INVALID, "batch reply: malformed (version %u)", version);
    }
    *ret = reply;
    return NULL;
}
