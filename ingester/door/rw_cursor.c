#include "ingester/door/rw_cursor.h"

#include "ingester/door/rw_wire.h"

/* Tags of the fields, number << 3 | wire type. */
#define TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

void rw_cursor_init(struct rw_cursor *c, struct slice body)
{
    *c = (struct rw_cursor){.p = body.ptr, .end = body.ptr + body.len};
}

static const uint8_t *bad(const char **error, const char *what)
{
    if (!*error)
        *error = what;
    return NULL;
}

/* Whether tag is one of our fields 1..known, with a wire type that is not its own. */
static bool is_misused(uint32_t tag, uint32_t known)
{
    return tag >> 3 <= known;
}

/* ---- samples and exemplars ---- */

/* What a remote-write client sends: a value and a time that both differ from 0. */
static inline bool sample_is_plain(const uint8_t *p, const uint8_t *end, struct sample *ret)
{
    uint64_t t = 0;

    if (end - p < 11 || p[0] != TAG(1, RW_FIXED64) || p[9] != TAG(2, RW_VARINT))
        return false;
    memcpy(&ret->v, p + 1, 8);
    if (rw_wire_u64(p + 10, end, &t) != end)
        return false;
    ret->t_ms = (int64_t)t;
    return true;
}

static bool parse_sample(struct slice m, struct sample *ret, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t tag;
    uint64_t t = 0;

    if (ORR_LIKELY(sample_is_plain(p, end, ret)))
        return true;
    *ret = (struct sample){0};
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == TAG(1, RW_FIXED64))
            p = rw_wire_f64(p, end, &ret->v);
        else if (tag == TAG(2, RW_VARINT))
            p = rw_wire_u64(p, end, &t);
        else if (is_misused(tag, 2))
            p = bad(error, "Sample: a field with the wire type of another");
        else
            p = rw_wire_skip(p, end, tag);
    }
    ret->t_ms = (int64_t)t;
    return p || (bad(error, "Sample: malformed"), false);
}

static bool parse_exemplar(struct slice m, struct rw_exemplar *ret, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    struct slice label;
    uint32_t tag;
    uint64_t t = 0;

    *ret = (struct rw_exemplar){.message = m};
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == TAG(1, RW_BYTES))
            p = rw_wire_bytes(p, end, &label);
        else if (tag == TAG(2, RW_FIXED64))
            p = rw_wire_f64(p, end, &ret->v);
        else if (tag == TAG(3, RW_VARINT))
            p = rw_wire_u64(p, end, &t);
        else if (is_misused(tag, 3))
            p = bad(error, "Exemplar: a field with the wire type of another");
        else
            p = rw_wire_skip(p, end, tag);
    }
    ret->t_ms = (int64_t)t;
    return p || (bad(error, "Exemplar: malformed"), false);
}

static bool parse_label(struct slice m, struct label *ret, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t tag;

    ret->name = ret->value = SLICE_EMPTY;
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == TAG(1, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->name);
        else if (tag == TAG(2, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->value);
        else if (is_misused(tag, 2))
            p = bad(error, "Label: a field with the wire type of another");
        else
            p = rw_wire_skip(p, end, tag);
    }
    return p || (bad(error, "Label: malformed"), false);
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
    return !f.error || (bad(error, f.error), false);
}

/* One field behind the labels; the place behind it, or NULL. */
static const uint8_t *series_field(struct rw_series *s, const uint8_t *p, const uint8_t *end,
                                   uint32_t tag, const char **error)
{
    struct slice m;

    switch (tag) {
    case TAG(1, RW_BYTES):
        s->has_more_labels = true;
        return rw_wire_bytes(p, end, &m);
    case TAG(2, RW_BYTES):
        s->n_samples++;
        p = rw_wire_bytes(p, end, &m);
        return p && parse_sample(m, &s->last_sample, error) ? p : NULL;
    case TAG(3, RW_BYTES):
        s->n_exemplars++;
        p = rw_wire_bytes(p, end, &m);
        return p && check_exemplar(m, error) ? p : NULL;
    case TAG(4, RW_BYTES):
        s->n_histograms++;
        return rw_wire_bytes(p, end, &m);
    default:
        if (is_misused(tag, 4))
            return bad(error, "TimeSeries: a field with the wire type of another");
        return rw_wire_skip(p, end, tag);
    }
}

static bool parse_series(struct slice m, struct rw_series *s, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t n = 0, tag;

    while (p < end && *p == TAG(1, RW_BYTES)) {
        uint32_t len;

        p = rw_wire_u32(p + 1, end, &len);
        if (ORR_UNLIKELY(!p || len > (size_t)(end - p)))
            return bad(error, "TimeSeries: a label is cut short"), false;
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
    return p || (bad(error, "TimeSeries: malformed"), false);
}

static bool parse_metadata(struct slice m, struct rw_metadata *ret, const char **error)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t tag;
    uint64_t type = 0;

    *ret = (struct rw_metadata){SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, METRIC_UNKNOWN};
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == TAG(1, RW_VARINT))
            p = rw_wire_u64(p, end, &type);
        else if (tag == TAG(2, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->family);
        else if (tag == TAG(4, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->help);
        else if (tag == TAG(5, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->unit);
        else if (is_misused(tag, 5) && tag >> 3 != 3)
            p = bad(error, "MetricMetadata: a field with the wire type of another");
        else
            p = rw_wire_skip(p, end, tag);
    }
    if ((uint32_t)type <= METRIC_STATESET)
        ret->type = (enum sample_metric_type)(uint32_t)type;
    return p || (bad(error, "MetricMetadata: malformed"), false);
}

enum rw_cursor_item rw_cursor_next(struct rw_cursor *c)
{
    const uint8_t *p = c->p;
    struct slice m;
    uint32_t tag;

    while (p < c->end) {
        if (!(p = rw_wire_tag(p, c->end, &tag)))
            break;
        if (ORR_LIKELY(tag == TAG(1, RW_BYTES))) {
            if (!(p = rw_wire_bytes(p, c->end, &m)) || !parse_series(m, &c->series, &c->error))
                break;
            c->p = p;
            return RW_CURSOR_SERIES;
        }
        if (tag == TAG(3, RW_BYTES)) {
            if (!(p = rw_wire_bytes(p, c->end, &m)) || !parse_metadata(m, &c->metadata, &c->error))
                break;
            c->p = p;
            return RW_CURSOR_METADATA;
        }
        if (is_misused(tag, 3) && tag >> 3 != 2) {
            (void)bad(&c->error, "WriteRequest: a field with the wire type of another");
            break;
        }
        if (!(p = rw_wire_skip(p, c->end, tag)))
            break;
    }
    if (p && p == c->end && !c->error) {
        c->p = p;
        return RW_CURSOR_END;
    }
    (void)bad(&c->error, "WriteRequest: malformed");
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

    return next_field(f, TAG(1, RW_BYTES), &m) && (parse_label(m, ret, &f->error) || fail(f));
}

bool rw_cursor_sample(struct rw_fields *f, struct sample *ret)
{
    struct slice m;

    return next_field(f, TAG(2, RW_BYTES), &m) && (parse_sample(m, ret, &f->error) || fail(f));
}

bool rw_cursor_exemplar(struct rw_fields *f, struct rw_exemplar *ret)
{
    struct slice m;

    return next_field(f, TAG(3, RW_BYTES), &m) && (parse_exemplar(m, ret, &f->error) || fail(f));
}

bool rw_cursor_histogram(struct rw_fields *f, struct slice *ret)
{
    return next_field(f, TAG(4, RW_BYTES), ret);
}
