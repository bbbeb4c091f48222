#include "ingester/door/otlp_proto.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/test.h"

#define T0 1767225600000000000ull

/* A KeyValue with a text. */
static void attr(struct buf *b, unsigned number, const char *key, const char *value)
{
    struct buf kv = {0}, v = {0};

    rw_build_text(&kv, 1, key);
    rw_build_text(&v, 1, value);
    rw_build_field(&kv, 2, &v);
    rw_build_field(b, number, &kv);
}

/* A request with one resource, one scope and the metric, which is emptied. */
static struct buf request(struct buf *metric)
{
    struct buf req = {0}, rm = {0}, sm = {0}, res = {0}, scope = {0};

    attr(&res, 1, "service.name", "shop");
    rw_build_field(&rm, 1, &res);
    rw_build_text(&scope, 1, "lib");
    rw_build_text(&scope, 2, "v1");
    attr(&scope, 3, "k", "v");
    rw_build_field(&sm, 1, &scope);
    rw_build_field(&sm, 2, metric);
    rw_build_text(&sm, 3, "url");
    rw_build_field(&rm, 2, &sm);
    rw_build_field(&req, 1, &rm);
    return req;
}

/* A metric with one kind of data, which is emptied. */
static struct buf metric_of(unsigned kind, struct buf *data)
{
    struct buf m = {0};

    rw_build_text(&m, 1, "name");
    rw_build_text(&m, 2, "help");
    rw_build_text(&m, 3, "s");
    rw_build_field(&m, kind, data);
    return m;
}

static const struct otlp_metric *only_metric(struct arena *a, struct buf *req)
{
    struct otlp_metrics m;

    CHECK_OK(otlp_proto_decode(a, buf_slice(req), &m));
    CHECK_INT(m.n_resources, 1);
    CHECK_INT(m.resources[0].attrs.n, 1);
    CHECK_SLICE(otlp_attr(m.resources[0].attrs, SLICE("service.name")), "shop");
    CHECK_INT(m.resources[0].n_scopes, 1);
    CHECK_SLICE(m.resources[0].scopes[0].name, "lib");
    CHECK_SLICE(m.resources[0].scopes[0].version, "v1");
    CHECK_SLICE(m.resources[0].scopes[0].schema_url, "url");
    CHECK_INT(m.resources[0].scopes[0].attrs.n, 1);
    CHECK_INT(m.resources[0].scopes[0].n_metrics, 1);
    CHECK_INT(m.n_points, m.resources[0].scopes[0].metrics[0].n_points);
    return &m.resources[0].scopes[0].metrics[0];
}

TEST(otlp_proto_reads_sums_with_exemplars)
{
    struct buf point = {0}, ex = {0}, data = {0}, metric, req;
    struct arena *a = arena_new(0);
    const struct otlp_metric *m;
    const struct otlp_point *p;

    attr(&ex, 7, "ex", "1");
    rw_build_fixed64(&ex, 2, T0 + 1);
    rw_build_double(&ex, 3, 2.5);
    rw_build_slice(&ex, 4, SLICE("12345678"));
    rw_build_slice(&ex, 5, SLICE("1234567890123456"));
    rw_build_fixed64(&point, 2, T0 - 5);
    rw_build_fixed64(&point, 3, T0);
    rw_build_fixed64(&point, 6, (uint64_t)-7);
    attr(&point, 7, "b", "2");
    rw_build_field(&point, 5, &ex);
    attr(&point, 7, "a", "1");
    rw_build_varint(&point, 8, 1);
    rw_build_field(&data, 1, &point);
    rw_build_fixed64(&point, 3, T0 + 2);
    rw_build_double(&point, 4, 0.5);
    rw_build_field(&data, 1, &point);
    rw_build_varint(&data, 2, OTLP_CUMULATIVE);
    rw_build_varint(&data, 3, 1);
    metric = metric_of(7, &data);
    req = request(&metric);
    m = only_metric(a, &req);
    CHECK_SLICE(m->name, "name");
    CHECK_SLICE(m->description, "help");
    CHECK_SLICE(m->unit, "s");
    CHECK_INT(m->kind, OTLP_SUM);
    CHECK(m->is_monotonic && m->temporality == OTLP_CUMULATIVE);
    CHECK_INT(m->n_points, 2);
    p = m->points;
    CHECK(p->v == -7 && p->time_ns == T0 && p->start_ns == T0 - 5 && p->flags == 1);
    CHECK_INT(p->attrs.n, 2);
    CHECK_SLICE(p->attrs.ptr[0].name, "b");
    CHECK_SLICE(p->attrs.ptr[1].value, "1");
    CHECK_INT(p->n_exemplars, 1);
    CHECK(p->exemplars[0].v == 2.5 && p->exemplars[0].has_value);
    CHECK_SLICE(p->exemplars[0].trace_id, "1234567890123456");
    CHECK_SLICE(p->exemplars[0].span_id, "12345678");
    CHECK_INT(p->exemplars[0].attrs.n, 1);
    CHECK(p[1].v == 0.5 && p[1].attrs.n == 0);
    arena_free(a);
    buf_done(&req);
}

TEST(otlp_proto_reads_histograms_packed_and_not)
{
    struct buf point = {0}, packed = {0}, data = {0}, metric, req;
    struct arena *a = arena_new(0);
    const struct otlp_point *p;

    rw_build_fixed64(&point, 4, 6);
    rw_build_double(&point, 5, 1.5);
    buf_u64le(&packed, 1);
    buf_u64le(&packed, 2);
    rw_build_field(&point, 6, &packed);
    rw_build_fixed64(&point, 6, 3);
    rw_build_double(&point, 7, 0.1);
    buf_f64le(&packed, 1);
    rw_build_field(&point, 7, &packed);
    attr(&point, 9, "a", "1");
    rw_build_double(&point, 11, 7); /* min: not ours, but known */
    rw_build_field(&data, 1, &point);
    rw_build_varint(&data, 2, OTLP_DELTA);
    metric = metric_of(9, &data);
    req = request(&metric);
    p = only_metric(a, &req)->points;
    CHECK(p->count == 6 && p->has_sum && p->v == 1.5 && p->attrs.n == 1);
    CHECK_INT(p->histogram.counts.n, 3);
    CHECK(p->histogram.counts.ptr[0] == 1 && p->histogram.counts.ptr[2] == 3);
    CHECK_INT(p->histogram.bounds.n, 2);
    CHECK(p->histogram.bounds.ptr[0] == 0.1 && p->histogram.bounds.ptr[1] == 1);
    arena_free(a);
    buf_done(&req);
}

TEST(otlp_proto_reads_exponential_histograms_and_summaries)
{
    struct buf point = {0}, buckets = {0}, counts = {0}, data = {0}, metric, req;
    struct arena *a = arena_new(0);
    const struct otlp_point *p;

    rw_build_fixed64(&point, 4, 310);
    rw_build_zigzag(&point, 6, -2);
    rw_build_fixed64(&point, 7, 4);
    rw_build_zigzag(&buckets, 1, -3);
    buf_uvarint(&counts, 300);
    buf_uvarint(&counts, 0);
    rw_build_field(&buckets, 2, &counts);
    rw_build_varint(&buckets, 2, 6);
    rw_build_field(&point, 8, &buckets);
    attr(&point, 1, "a", "1");
    rw_build_field(&data, 1, &point);
    metric = metric_of(10, &data);
    req = request(&metric);
    p = only_metric(a, &req)->points;
    CHECK(p->count == 310 && !p->has_sum && p->scale == -2 && p->exponential.zero_count == 4);
    CHECK(p->exponential.pos.offset == -3 && p->exponential.pos.counts.n == 3);
    CHECK(p->exponential.pos.counts.ptr[0] == 300 && p->exponential.pos.counts.ptr[2] == 6);
    CHECK_INT(p->exponential.neg.counts.n, 0);
    buf_done(&req);

    rw_build_double(&buckets, 1, 0.5);
    rw_build_double(&buckets, 2, 7);
    rw_build_field(&point, 6, &buckets);
    rw_build_fixed64(&point, 4, 2);
    rw_build_double(&point, 5, 9);
    rw_build_field(&data, 1, &point);
    metric = metric_of(11, &data);
    req = request(&metric);
    p = only_metric(a, &req)->points;
    CHECK(p->count == 2 && p->v == 9 && p->summary.n_quantiles == 1);
    CHECK(p->summary.quantiles[0].quantile == 0.5 && p->summary.quantiles[0].v == 7);
    buf_done(&req);
    arena_free(a);
}

/* An attribute whose value is a list within a list …, depth of them. */
static struct buf nested(unsigned depth)
{
    struct buf v = {0}, kv = {0}, list = {0}, res = {0}, rm = {0}, req = {0};

    for (unsigned i = 0; i < depth; i++) {
        rw_build_field(&list, 1, &v);
        rw_build_field(&v, 5, &list);
    }
    rw_build_text(&kv, 1, "deep");
    rw_build_field(&kv, 2, &v);
    rw_build_field(&res, 1, &kv);
    rw_build_field(&rm, 1, &res);
    rw_build_field(&req, 1, &rm);
    return req;
}

TEST(otlp_proto_bounds_depth_and_room)
{
    struct arena *a = arena_new(0);
    struct otlp_metrics m;
    struct buf req = nested(OTLP_MAX_DEPTH), data = {0}, metric;

    CHECK_OK(otlp_proto_decode(a, buf_slice(&req), &m));
    CHECK(slice_has_prefix(m.resources[0].attrs.ptr[0].value, SLICE("[[[")));
    buf_done(&req);
    req = nested(OTLP_MAX_DEPTH + 2);
    CHECK_ERR(otlp_proto_decode(a, buf_slice(&req), &m), ERR_INVALID, "too deep");
    buf_done(&req);

    for (unsigned i = 0; i < 100000; i++) /* points of two bytes each */
        rw_build_text(&data, 1, "");
    metric = metric_of(5, &data);
    req = request(&metric);
    CHECK_ERR(otlp_proto_decode(a, buf_slice(&req), &m), ERR_LIMIT, "8 times their room");
    buf_done(&req);
    arena_free(a);
}

TEST(otlp_proto_refuses_what_is_malformed)
{
    static const struct {
        struct slice bytes;
        const char *error;
    } cases[] = {
        {SLICE_INIT("\x0a\x05"), "malformed"},             /* cut short */
        {SLICE_INIT("\x0b"), "wire type"},                 /* a group */
        {SLICE_INIT("\x08\x01"), "wire type"},             /* a number for resource_metrics */
        {SLICE_INIT("\x0a\x04\x0a\x00\x0a\x00"), "twice"}, /* two resources */
        {SLICE_INIT("\x0a\x06\x12\x04\x0a\x00\x0a\x00"), "twice"}, /* two scopes */
        {SLICE_INIT("\x0a\x08\x12\x06\x12\x04\x2a\x00\x3a\x00"),
         "more than one"}, /* gauge and sum */
        {SLICE_INIT("\x0a\x0a\x12\x08\x12\x06\x4a\x04\x0a\x02\x32\x03"),
         "malformed"}, /* counts cut */
    };
    struct arena *a = arena_new(0);
    struct otlp_metrics m;

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_ERR(otlp_proto_decode(a, cases[i].bytes, &m), ERR_INVALID, cases[i].error);
    CHECK_OK(otlp_proto_decode(a, SLICE_EMPTY, &m));
    CHECK_INT(m.n_resources, 0);
    arena_free(a);
}
