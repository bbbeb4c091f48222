#include "ingester/door/otlp_proto.h"

#include "ingester/door/otlp_header.h"

#define BASE_BYTES (1u << 20)
#define FACTOR 8 /* times the bytes of the request, for arrays */

/* ---- metrics ---- */

/* A Gauge, Sum, … message. */
static bool parse_data(struct wire_decoder *d, struct slice m, enum otlp_kind kind,
                       struct otlp_metric *ret)
{
    size_t n = count(m, TAG(1, RW_BYTES));
    struct otlp_point *points = array(d, n, sizeof(*points));
    struct fields f = fields_of(m);
    bool has_temporality = kind == OTLP_SUM || kind == OTLP_HISTOGRAM || kind == OTLP_EXPONENTIAL;

    if (!points)
        return false;
    if (ret->kind != OTLP_NONE)
        return bad(d, "Metric: more than one kind of data") != NULL;
    ret->kind = kind;
    ret->points = points;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            struct slice point = bytes(&f);

            if (f.p && !otlp_proto_point(d, point, kind, &points[ret->n_points++]))
                return false;
        } else if (has_temporality && f.tag == TAG(2, RW_VARINT)) {
            ret->temporality = (int32_t)varint(&f);
        } else if (kind == OTLP_SUM && f.tag == TAG(3, RW_VARINT)) {
            ret->is_monotonic = varint(&f) != 0;
        } else {
            other(d, &f, N(1) | (has_temporality ? N(2) : 0) | (kind == OTLP_SUM ? N(3) : 0),
                  "Metric: a field of its data with the wire type of another");
        }
    }
    d->n_points += ret->n_points;
    return end_of(d, &f, "Metric: malformed data");
}

static enum otlp_kind kind_of(uint32_t tag)
{
    switch (tag) {
    case TAG(5, RW_BYTES):
        return OTLP_GAUGE;
    case TAG(7, RW_BYTES):
        return OTLP_SUM;
    case TAG(9, RW_BYTES):
        return OTLP_HISTOGRAM;
    case TAG(10, RW_BYTES):
        return OTLP_EXPONENTIAL;
    case TAG(11, RW_BYTES):
        return OTLP_SUMMARY;
    default:
        return OTLP_NONE;
    }
}

static bool parse_metric(struct wire_decoder *d, struct slice m, struct otlp_metric *ret)
{
    struct fields f = fields_of(m);

    ret->name = ret->unit = ret->description = SLICE_EMPTY;
    while (next_field(&f)) {
        enum otlp_kind kind = kind_of(f.tag);

        if (kind != OTLP_NONE) {
            struct slice data = bytes(&f);

            if (f.p && !parse_data(d, data, kind, ret))
                return false;
        } else if (f.tag == TAG(1, RW_BYTES)) {
            ret->name = bytes(&f);
        } else if (f.tag == TAG(2, RW_BYTES)) {
            ret->description = bytes(&f);
        } else if (f.tag == TAG(3, RW_BYTES)) {
            ret->unit = bytes(&f);
        } else {
            other(d, &f, N(1) | N(2) | N(3) | N(5) | N(7) | N(9) | N(10) | N(11),
                  "Metric: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Metric: malformed");
}

/* ---- scopes and resources ---- */

static bool parse_scope(struct wire_decoder *d, struct slice m, struct otlp_scope *ret)
{
    struct otlp_header h = otlp_header_empty();

    if (!otlp_header_proto_scope(d, m, &h))
        return false;
    ret->name = h.name;
    ret->version = h.version;
    ret->attrs = otlp_header_labels(d->a, &h);
    return true;
}

static bool parse_resource(struct wire_decoder *d, struct slice m, struct otlp_resource *ret)
{
    struct otlp_header h = otlp_header_empty();

    if (!otlp_header_proto_resource(d, m, &h))
        return false;
    ret->attrs = otlp_header_labels(d->a, &h);
    return true;
}

static bool parse_scope_metrics(struct wire_decoder *d, struct slice m, struct otlp_scope *ret)
{
    size_t n = count(m, TAG(2, RW_BYTES));
    struct otlp_metric *metrics = array(d, n, sizeof(*metrics));
    struct fields f = fields_of(m);
    bool has_scope = false;

    if (!metrics)
        return false;
    ret->name = ret->version = ret->schema_url = SLICE_EMPTY;
    ret->metrics = metrics;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag == TAG(1, RW_BYTES)) {
            s = bytes(&f);
            if (has_scope)
                return bad(d, "ScopeMetrics: its scope comes twice") != NULL;
            has_scope = true;
            if (f.p && !parse_scope(d, s, ret))
                return false;
        } else if (f.tag == TAG(2, RW_BYTES)) {
            s = bytes(&f);
            if (f.p && !parse_metric(d, s, &metrics[ret->n_metrics++]))
                return false;
        } else if (f.tag == TAG(3, RW_BYTES)) {
            ret->schema_url = bytes(&f);
        } else {
            other(d, &f, N(1) | N(2) | N(3), "ScopeMetrics: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "ScopeMetrics: malformed");
}

static bool parse_resource_metrics(struct wire_decoder *d, struct slice m,
                                   struct otlp_resource *ret)
{
    size_t n = count(m, TAG(2, RW_BYTES));
    struct otlp_scope *scopes = array(d, n, sizeof(*scopes));
    struct fields f = fields_of(m);
    bool has_resource = false;

    if (!scopes)
        return false;
    ret->scopes = scopes;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag == TAG(1, RW_BYTES)) {
            s = bytes(&f);
            if (has_resource)
                return bad(d, "ResourceMetrics: its resource comes twice") != NULL;
            has_resource = true;
            if (f.p && !parse_resource(d, s, ret))
                return false;
        } else if (f.tag == TAG(2, RW_BYTES)) {
            s = bytes(&f);
            if (f.p && !parse_scope_metrics(d, s, &scopes[ret->n_scopes++]))
                return false;
        } else {
            other(d, &f, N(1) | N(2), "ResourceMetrics: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "ResourceMetrics: malformed");
}

static bool parse_request(struct wire_decoder *d, struct slice body, struct otlp_metrics *ret)
{
    size_t n = count(body, TAG(1, RW_BYTES));
    struct otlp_resource *resources = array(d, n, sizeof(*resources));
    struct fields f = fields_of(body);

    if (!resources)
        return false;
    ret->resources = resources;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(d, &f, N(1), "Request: a field with the wire type of another");
            continue;
        }
        s = bytes(&f);
        if (f.p && !parse_resource_metrics(d, s, &resources[ret->n_resources++]))
            return false;
    }
    return end_of(d, &f, "Request: malformed");
}

struct err *otlp_proto_decode(struct arena *a, struct slice body, struct otlp_metrics *ret)
{
    struct wire_decoder d = {.a = a, .max_bytes = arena_used(a) + FACTOR * body.len + BASE_BYTES};

    *ret = (struct otlp_metrics){0};
    if (parse_request(&d, body, ret)) {
        ret->n_points = d.n_points;
        return NULL;
    }
    return wire_decoder_err(&d, body.len, FACTOR);
}
