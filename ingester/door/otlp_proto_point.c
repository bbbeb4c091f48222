#include "ingester/door/otlp_proto_internal.h"

/* ---- exemplars ---- */

static bool parse_exemplar(struct wire_decoder *d, struct slice m, struct otlp_exemplar *ret)
{
    struct fields f = fields_of(m);
    struct attrs attrs = {0};

    if (!otlp_proto_attrs_room(d, count(m, TAG(7, RW_BYTES)), &attrs))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(2, RW_FIXED64):
            ret->time_ns = fixed64(&f);
            break;
        case TAG(3, RW_FIXED64):
            ret->v = f64(&f);
            ret->has_value = true;
            break;
        case TAG(4, RW_BYTES):
            ret->span_id = bytes(&f);
            break;
        case TAG(5, RW_BYTES):
            ret->trace_id = bytes(&f);
            break;
        case TAG(6, RW_FIXED64):
            ret->v = (double)(int64_t)fixed64(&f);
            ret->has_value = true;
            break;
        case TAG(7, RW_BYTES):
            if (!otlp_proto_attr(d, &f, &attrs))
                return false;
            break;
        default:
            other(d, &f, N(2) | N(3) | N(4) | N(5) | N(6) | N(7),
                  "Exemplar: a field with the wire type of another");
        }
    }
    ret->attrs = attrs_of(&attrs);
    if (f.p && !otlp_ids_fit(ret))
        return bad(d, "Exemplar: a trace or span id of a wrong length") != NULL;
    return end_of(d, &f, "Exemplar: malformed");
}

/* ---- repeated numbers ---- */

/* Both forms: packed, or an element a field. */
static size_t count_fixed64(struct slice m, uint32_t number)
{
    struct fields f = fields_of(m);
    size_t n = 0;

    while (next_field(&f)) {
        if (f.tag == TAG(number, RW_FIXED64))
            n++;
        if (f.tag == TAG(number, RW_BYTES))
            n += bytes(&f).len / 8;
        else
            skip(&f);
    }
    return n;
}

static size_t count_varint(struct slice m, uint32_t number)
{
    struct fields f = fields_of(m);
    struct slice s;
    size_t n = 0;

    while (next_field(&f)) {
        if (f.tag == TAG(number, RW_VARINT))
            n++;
        if (f.tag != TAG(number, RW_BYTES)) {
            skip(&f);
            continue;
        }
        s = bytes(&f);
        for (size_t i = 0; i < s.len; i++)
            n += s.ptr[i] < 0x80;
    }
    return n;
}

/* Takes the elements of the field of f behind the first *n of out. */
static void take_fixed64(struct fields *f, void *out, size_t *n)
{
    struct slice s;

    if ((f->tag & 7) == RW_FIXED64) {
        uint64_t v = fixed64(f);

        if (f->p)
            memcpy((uint8_t *)out + 8 * (*n)++, &v, 8);
        return;
    }
    s = bytes(f);
    if (f->p && s.len % 8)
        f->p = NULL;
    if (f->p && s.len)
        memcpy((uint8_t *)out + 8 * *n, s.ptr, s.len);
    *n += f->p ? s.len / 8 : 0;
}

static void take_varint(struct fields *f, uint64_t *out, size_t *n)
{
    struct fields in;
    struct slice s;

    if ((f->tag & 7) == RW_VARINT) {
        uint64_t v = varint(f);

        if (f->p)
            out[(*n)++] = v;
        return;
    }
    s = bytes(f);
    if (!f->p)
        return;
    for (in = fields_of(s); in.p && in.p < in.end;) {
        uint64_t v = varint(&in);

        if (in.p)
            out[(*n)++] = v;
    }
    if (!in.p)
        f->p = NULL;
}

/* ---- points ---- */

/* What of a point's fields has which number. */
struct layout {
    uint32_t attrs, exemplars, flags;
};
static const struct layout layouts[] = {
    [OTLP_GAUGE] = {7, 5, 8},         [OTLP_SUM] = {7, 5, 8},     [OTLP_HISTOGRAM] = {9, 8, 10},
    [OTLP_EXPONENTIAL] = {1, 11, 10}, [OTLP_SUMMARY] = {7, 0, 8},
};

/* A point under way. */
struct point {
    struct wire_decoder *d;
    struct otlp_point *ret;
    struct attrs attrs;
    struct otlp_exemplar *exemplars;
    uint64_t *counts;
    double *bounds;
    struct otlp_quantile *quantiles;
};

static bool number_field(struct point *p, struct fields *f)
{
    switch (f->tag) {
    case TAG(4, RW_FIXED64):
        p->ret->v = f64(f);
        break;
    case TAG(6, RW_FIXED64):
        p->ret->v = (double)(int64_t)fixed64(f);
        break;
    default:
        other(p->d, f, N(2) | N(3) | N(4) | N(5) | N(6) | N(7) | N(8),
              "NumberDataPoint: a field with the wire type of another");
    }
    return true;
}

/* count and sum, which three kinds have alike. */
static bool sum_field(struct point *p, struct fields *f)
{
    if (f->tag == TAG(4, RW_FIXED64)) {
        p->ret->count = fixed64(f);
    } else if (f->tag == TAG(5, RW_FIXED64)) {
        p->ret->v = f64(f);
        p->ret->has_sum = true;
    } else {
        return false;
    }
    return true;
}

static bool histogram_field(struct point *p, struct fields *f)
{
    if (sum_field(p, f))
        return true;
    switch (f->tag) {
    case TAG(6, RW_FIXED64):
    case TAG(6, RW_BYTES):
        take_fixed64(f, p->counts, &p->ret->histogram.counts.n);
        break;
    case TAG(7, RW_FIXED64):
    case TAG(7, RW_BYTES):
        take_fixed64(f, p->bounds, &p->ret->histogram.bounds.n);
        break;
    default:
        other(p->d, f, N(2) | N(3) | N(4) | N(5) | N(6) | N(7) | N(8) | N(9) | N(10),
              "HistogramDataPoint: a field with the wire type of another");
    }
    return true;
}

static bool parse_buckets(struct wire_decoder *d, struct slice m, struct otlp_buckets *ret)
{
    struct fields f = fields_of(m);
    uint64_t *counts = array(d, count_varint(m, 2), sizeof(*counts));

    if (ret->counts.ptr)
        return bad(d, "ExponentialHistogramDataPoint: buckets come twice") != NULL;
    if (!counts)
        return false;
    ret->counts.ptr = counts;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_VARINT):
            ret->offset = rw_wire_zigzag32((uint32_t)varint(&f));
            break;
        case TAG(2, RW_VARINT):
        case TAG(2, RW_BYTES):
            take_varint(&f, counts, &ret->counts.n);
            break;
        default:
            other(d, &f, N(1) | N(2), "Buckets: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Buckets: malformed");
}

static bool exponential_field(struct point *p, struct fields *f)
{
    struct slice m;

    if (sum_field(p, f))
        return true;
    switch (f->tag) {
    case TAG(6, RW_VARINT):
        p->ret->scale = rw_wire_zigzag32((uint32_t)varint(f));
        break;
    case TAG(7, RW_FIXED64):
        p->ret->exponential.zero_count = fixed64(f);
        break;
    case TAG(8, RW_BYTES):
    case TAG(9, RW_BYTES):
        m = bytes(f);
        return !f->p || parse_buckets(p->d, m,
                                      f->tag == TAG(8, RW_BYTES) ? &p->ret->exponential.pos
                                                                 : &p->ret->exponential.neg);
    default:
        other(p->d, f, N(1) | N(2) | N(3) | N(4) | N(5) | N(6) | N(7) | N(8) | N(9) | N(10) | N(11),
              "ExponentialHistogramDataPoint: a field with the wire type of another");
    }
    return true;
}

static bool parse_quantile(struct wire_decoder *d, struct slice m, struct otlp_quantile *ret)
{
    struct fields f = fields_of(m);

    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_FIXED64))
            ret->quantile = f64(&f);
        else if (f.tag == TAG(2, RW_FIXED64))
            ret->v = f64(&f);
        else
            other(d, &f, N(1) | N(2), "ValueAtQuantile: a field with the wire type of another");
    }
    return end_of(d, &f, "ValueAtQuantile: malformed");
}

static bool summary_field(struct point *p, struct fields *f)
{
    struct slice m;

    if (sum_field(p, f))
        return true;
    if (f->tag != TAG(6, RW_BYTES)) {
        other(p->d, f, N(2) | N(3) | N(4) | N(5) | N(6) | N(7) | N(8),
              "SummaryDataPoint: a field with the wire type of another");
        return true;
    }
    m = bytes(f);
    return !f->p || parse_quantile(p->d, m, &p->quantiles[p->ret->summary.n_quantiles++]);
}

/* Room for what is repeated in a point. */
static bool point_room(struct point *p, struct slice m, enum otlp_kind kind, const struct layout *l)
{
    struct wire_decoder *d = p->d;
    size_t n_attrs = 0, n_exemplars = 0;
    struct fields f = fields_of(m);

    while (next_field(&f)) {
        n_attrs += f.tag == TAG(l->attrs, RW_BYTES);
        n_exemplars += f.tag == TAG(l->exemplars, RW_BYTES);
        skip(&f);
    }
    if (!otlp_proto_attrs_room(d, n_attrs, &p->attrs) ||
        (n_exemplars && !(p->exemplars = array(d, n_exemplars, sizeof(*p->exemplars)))))
        return false;
    if (kind == OTLP_HISTOGRAM) {
        if (!(p->counts = array(d, count_fixed64(m, 6), 8)) ||
            !(p->bounds = array(d, count_fixed64(m, 7), 8)))
            return false;
        p->ret->histogram.counts.ptr = p->counts;
        p->ret->histogram.bounds.ptr = p->bounds;
    } else if (kind == OTLP_SUMMARY) {
        if (!(p->quantiles = array(d, count(m, TAG(6, RW_BYTES)), sizeof(*p->quantiles))))
            return false;
        p->ret->summary.quantiles = p->quantiles;
    }
    return true;
}

/* Fields that all kinds have, at their own numbers. False: not one of them. */
static bool common_field(struct point *p, struct fields *f, const struct layout *l, bool *ret_ok)
{
    struct otlp_point *r = p->ret;

    *ret_ok = true;
    if (f->tag == TAG(3, RW_FIXED64)) {
        r->time_ns = fixed64(f);
    } else if (f->tag == TAG(2, RW_FIXED64)) {
        r->start_ns = fixed64(f);
    } else if (f->tag == TAG(l->attrs, RW_BYTES)) {
        *ret_ok = otlp_proto_attr(p->d, f, &p->attrs);
    } else if (f->tag == TAG(l->flags, RW_VARINT)) {
        r->flags = (uint32_t)varint(f);
    } else if (l->exemplars && f->tag == TAG(l->exemplars, RW_BYTES)) {
        struct slice m = bytes(f);

        *ret_ok = !f->p || parse_exemplar(p->d, m, &p->exemplars[r->n_exemplars++]);
    } else {
        return false;
    }
    return true;
}

bool otlp_proto_point(struct wire_decoder *d, struct slice m, enum otlp_kind kind,
                      struct otlp_point *ret)
{
    typedef bool field_fn(struct point *, struct fields *);
    static field_fn *const own[] = {
        [OTLP_GAUGE] = number_field,        [OTLP_SUM] = number_field,
        [OTLP_HISTOGRAM] = histogram_field, [OTLP_EXPONENTIAL] = exponential_field,
        [OTLP_SUMMARY] = summary_field,
    };
    struct point p = {.d = d, .ret = ret};
    struct fields f = fields_of(m);
    bool ok;

    if (!point_room(&p, m, kind, &layouts[kind]))
        return false;
    while (next_field(&f)) {
        if (!common_field(&p, &f, &layouts[kind], &ok))
            ok = own[kind](&p, &f);
        if (!ok)
            return false;
    }
    ret->attrs = attrs_of(&p.attrs);
    ret->exemplars = p.exemplars;
    return end_of(d, &f, "a data point: malformed");
}
