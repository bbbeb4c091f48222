#include "common/base/mem.h"
#include "ingester/metrics/batch.h"

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
    *r = (struct batch_reply){0};
}

void batch_reject(struct batch_reply *r, enum batch_reason reason, uint32_t series, int64_t t_ms)
{
    r->rejected[reason]++;
    if (r->n_examples < BATCH_MAX_EXAMPLES)
        r->examples[r->n_examples++] = (struct batch_example){reason, series, t_ms};
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

    buf_byte(out, 1);
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
    buf_uvarint(out, r->n_examples);
    for (size_t i = 0; i < r->n_examples; i++) {
        buf_byte(out, (uint8_t)r->examples[i].reason);
        buf_uvarint(out, r->examples[i].series);
        buf_varint(out, r->examples[i].t_ms);
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
    if (n > 256)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t reason = reader_u8(r);
        uint64_t series = reader_uvarint(r);
        int64_t t_ms = reader_varint(r);

        if (ret->n_examples < BATCH_MAX_EXAMPLES && reason < BATCH_REASON_COUNT &&
            series < BATCH_MAX_SERIES)
            ret->examples[ret->n_examples++] =
                (struct batch_example){(enum batch_reason)reason, (uint32_t)series, t_ms};
    }
    return true;
}

struct err *batch_reply_decode(struct slice bytes, struct batch_reply *ret)
{
    struct reader r = reader_new(bytes);
    struct batch_reply reply = {0};
    uint8_t version = reader_u8(&r);

    reply.accepted = reader_uvarint(&r);
    if (version != 1 || !read_unknown(&r, &reply) || !read_rejects(&r, &reply) || !reader_ok(&r) ||
        reader_left(&r)) {
        batch_reply_done(&reply);
        return err_new(ERR_INVALID, "batch reply: malformed (version %u)", version);
    }
    *ret = reply;
    return NULL;
}
