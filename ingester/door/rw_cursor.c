#include "ingester/door/rw_cursor.h"

#include <stddef.h>

#include "ingester/door/rw_message.h"

void rw_cursor_init(struct rw_cursor *c, struct slice body)
{
    *c = (struct rw_cursor){.p = body.ptr, .end = body.ptr + body.len};
}

/* Whether tag is one of our fields 1..known, with a wire type that is not its own. */
static bool is_misused(uint32_t tag, uint32_t known)
{
    return tag >> 3 <= known;
}

/* ---- samples and exemplars ---- */

static bool parse_sample(struct slice m, struct sample *ret, const char **error)
{
    struct rw_message_sample raw = {0};
    bool is_ok;

    if (ORR_LIKELY(rw_message_plain_sample(m, ret)))
        return true;
    is_ok = rw_message_read(&rw_message_sample_1, m, &raw, error);
    *ret = (struct sample){(int64_t)raw.t_ms, raw.v};
    return is_ok;
}

struct raw_exemplar {
    struct slice label; /* the last one: rw_cursor_label() reads them all */
    double v;
    uint64_t t_ms;
};

static bool parse_exemplar(struct slice m, struct rw_exemplar *ret, const char **error)
{
    static const struct rw_message message = {
        "Exemplar: a field with the wire type of another",
        "Exemplar: malformed",
        3,
        {{RW_TAG(1, RW_BYTES), offsetof(struct raw_exemplar, label)},
         {RW_TAG(2, RW_FIXED64), offsetof(struct raw_exemplar, v)},
         {RW_TAG(3, RW_VARINT), offsetof(struct raw_exemplar, t_ms)}}};
    struct raw_exemplar raw = {0};
    bool is_ok = rw_message_read(&message, m, &raw, error);

    *ret = (struct rw_exemplar){.message = m, .v = raw.v, .t_ms = (int64_t)raw.t_ms};
    return is_ok;
}

static bool parse_label(struct slice m, struct label *ret, const char **error)
{
    static const struct rw_message message = {
        "Label: a field with the wire type of another",
        "Label: malformed",
        2,
        {{RW_TAG(1, RW_BYTES), offsetof(struct label, name)},
         {RW_TAG(2, RW_BYTES), offsetof(struct label, value)}}};

    ret->name = ret->value = SLICE_EMPTY;
    return rw_message_read(&message, m, ret, error);
}

/* ---- a series ---- */

static bool check_exemplar(struct slice m, const char **error)
{
    struct rw_exemplar ex;
    struct rw_fields f = rw_fields_of(m);
    struct label l;

    if (!parse_exemplar(m, &ex, error))
        return false;
    while (rw_cursor_label(&f, &l))
        ;
    return !f.error || (rw_message_bad(error, f.error), false);
}

/* One field behind the labels; the place behind it, or NULL. */
static const uint8_t *series_field(struct rw_series *s, const uint8_t *p, const uint8_t *end,
                                   uint32_t tag, const char **error)
{
    struct slice m;

    switch (tag) {
    case RW_TAG(1, RW_BYTES):
        s->has_more_labels = true;
        return rw_wire_bytes(p, end, &m);
    case RW_TAG(2, RW_BYTES):
        s->n_samples++;
        p = rw_wire_bytes(p, end, &m);
        return p && parse_sample(m, &s->last_sample, error) ? p : NULL;
    case RW_TAG(3, RW_BYTES):
        s->n_exemplars++;
        p = rw_wire_bytes(p, end, &m);
        return p && check_exemplar(m, error) ? p : NULL;
    case RW_TAG(4, RW_BYTES):
        s->n_histograms++;
        return rw_wire_bytes(p, end, &m);
    default:
        if (is_misused(tag, 4))
            return rw_message_bad(error, "TimeSeries: a field with the wire type of another");
        return rw_wire_skip(p, end, tag);
    }
}

static bool parse_series(struct slice m, struct rw_series *s, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t n = 0, tag;

    while (p < end && *p == RW_TAG(1, RW_BYTES)) {
        uint32_t len;

        p = rw_wire_u32(p + 1, end, &len);
        if (ORR_UNLIKELY(!p || len > (size_t)(end - p)))
            return rw_message_bad(error, "TimeSeries: a label is cut short"), false;
        p += len;
        n++;
    }
    s->message = m;
    s->labels = (struct slice){m.ptr, (size_t)(p - m.ptr)};
    s->n_labels = n;
    s->has_more_labels = false;
    s->n_samples = s->n_exemplars = s->n_histograms = 0;
    while (p && p < end) {
        if ((p = rw_wire_tag(p, end, &tag)))
            p = series_field(s, p, end, tag, error);
    }
    return p || (rw_message_bad(error, "TimeSeries: malformed"), false);
}

struct raw_metadata {
    uint64_t type;
    struct slice family, help, unit;
};

static bool parse_metadata(struct slice m, struct rw_metadata *ret, const char **error)
{
    static const struct rw_message message = {
        "MetricMetadata: a field with the wire type of another",
        "MetricMetadata: malformed",
        4,
        {{RW_TAG(1, RW_VARINT), offsetof(struct raw_metadata, type)},
         {RW_TAG(2, RW_BYTES), offsetof(struct raw_metadata, family)},
         {RW_TAG(4, RW_BYTES), offsetof(struct raw_metadata, help)},
         {RW_TAG(5, RW_BYTES), offsetof(struct raw_metadata, unit)}}};
    struct raw_metadata raw = {0, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY};
    bool is_ok = rw_message_read(&message, m, &raw, error);

    *ret = (struct rw_metadata){raw.family, raw.help, raw.unit, METRIC_UNKNOWN};
    if ((uint32_t)raw.type <= METRIC_STATESET)
        ret->type = (enum sample_metric_type)(uint32_t)raw.type;
    return is_ok;
}

enum rw_cursor_item rw_cursor_next(struct rw_cursor *c)
{
    const uint8_t *p = c->p;
    struct slice m;
    uint32_t tag;

    while (p < c->end) {
        if (!(p = rw_wire_tag(p, c->end, &tag)))
            break;
        if (ORR_LIKELY(tag == RW_TAG(1, RW_BYTES))) {
            if (!(p = rw_wire_bytes(p, c->end, &m)) || !parse_series(m, &c->series, &c->error))
                break;
            c->p = p;
            return RW_CURSOR_SERIES;
        }
        if (tag == RW_TAG(3, RW_BYTES)) {
            if (!(p = rw_wire_bytes(p, c->end, &m)) || !parse_metadata(m, &c->metadata, &c->error))
                break;
            c->p = p;
            return RW_CURSOR_METADATA;
        }
        if (is_misused(tag, 3) && tag >> 3 != 2) {
            (void)rw_message_bad(&c->error, "WriteRequest: a field with the wire type of another");
            break;
        }
        if (!(p = rw_wire_skip(p, c->end, tag)))
            break;
    }
    if (p && p == c->end && !c->error) {
        c->p = p;
        return RW_CURSOR_END;
    }
    (void)rw_message_bad(&c->error, "WriteRequest: malformed");
    return RW_CURSOR_BAD;
}

/* ---- within a message ---- */

/* The next field with this tag. */
static bool next_field(struct rw_fields *f, uint32_t want, struct slice *ret)
{
    uint32_t tag;

    while (f->p < f->end) {
        const uint8_t *p = rw_wire_tag(f->p, f->end, &tag);

        if (p)
            p = tag == want ? rw_wire_bytes(p, f->end, ret) : rw_wire_skip(p, f->end, tag);
        if (!p) {
            f->error = "malformed field";
            f->p = f->end;
            return false;
        }
        f->p = p;
        if (tag == want)
            return true;
    }
    return false;
}

static bool fail(struct rw_fields *f)
{
    f->p = f->end;
    return false;
}

bool rw_cursor_label(struct rw_fields *f, struct label *ret)
{
    struct slice m;

    return next_field(f, RW_TAG(1, RW_BYTES), &m) && (parse_label(m, ret, &f->error) || fail(f));
}

bool rw_cursor_sample(struct rw_fields *f, struct sample *ret)
{
    struct slice m;

    return next_field(f, RW_TAG(2, RW_BYTES), &m) && (parse_sample(m, ret, &f->error) || fail(f));
}

bool rw_cursor_exemplar(struct rw_fields *f, struct rw_exemplar *ret)
{
    struct slice m;

    return next_field(f, RW_TAG(3, RW_BYTES), &m) && (parse_exemplar(m, ret, &f->error) || fail(f));
}

bool rw_cursor_histogram(struct rw_fields *f, struct slice *ret)
{
    return next_field(f, RW_TAG(4, RW_BYTES), ret);
}
