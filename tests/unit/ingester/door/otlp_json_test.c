#include <math.h>

#include "ingester/door/otlp_json.h"
#include "tests/unit/test.h"

/* In {"resourceMetrics":[{"scopeMetrics":[{"metrics":[ … ]}]}]}. */
static struct err *decode(struct arena *a, const char *metrics, struct jsonval_doc **ret_doc,
                          const struct otlp_metric **ret)
{
    char *body =
        arena_printf(a, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[%s]}]}]}", metrics);
    struct otlp_metrics m;
    struct err *e = otlp_json_decode(a, slice_cstr(body), ret_doc, &m);

    if (!e)
        *ret = m.resources[0].scopes[0].metrics;
    return e;
}

TEST(otlp_json_reads_each_kind)
{
    static const char text[] =
        "{\"name\":\"a\",\"unit\":\"s\",\"description\":\"d\",\"sum\":{\"isMonotonic\":true,"
        "\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\"dataPoints\":["
        "{\"timeUnixNano\":\"1767225600000000000\",\"start_time_unix_nano\":5,\"asInt\":\"-3\","
        "\"flags\":1,\"exemplars\":[{\"asDouble\":1.5,\"traceId\":"
        "\"0102030405060708090a0B0c0d0e0f10\",\"spanId\":\"0102030405060708\","
        "\"filteredAttributes\":[{\"key\":\"k\",\"value\":{\"intValue\":7}}]}]}]}},"
        "{\"gauge\":{\"dataPoints\":[{\"asDouble\":\"NaN\",\"attributes\":["
        "{\"key\":\"t\",\"value\":{\"stringValue\":\"x\"}},"
        "{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
        "{\"key\":\"d\",\"value\":{\"doubleValue\":5}},"
        "{\"key\":\"y\",\"value\":{\"bytesValue\":\"/+8\"}},"
        "{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{}]}}},"
        "{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"z\",\"value\":{"
        "\"boolValue\":"
        "false}}]}}},{\"key\":\"e\"}]}]}},"
        "{\"histogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{\"count\":\"4\",\"sum\":2,"
        "\"bucketCounts\":[\"1\",3],\"explicitBounds\":[0.5]}]}},"
        "{\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":-1,\"zeroCount\":2,\"positive\":{"
        "\"offset\":-4,\"bucketCounts\":[1]},\"negative\":null}]}},"
        "{\"summary\":{\"dataPoints\":[{\"quantileValues\":[{},{\"quantile\":1,\"value\":2}]}]}}";
    struct arena *a = arena_new(0);
    const struct otlp_metric *m;
    const struct otlp_point *p;
    struct jsonval_doc *doc;

    CHECK_OK(decode(a, text, &doc, &m));
    CHECK_INT(m[0].kind, OTLP_SUM);
    CHECK(m[0].is_monotonic && m[0].temporality == OTLP_CUMULATIVE);
    p = m[0].points;
    CHECK(p->v == -3 && p->time_ns == 1767225600000000000ull && p->start_ns == 5 && p->flags == 1);
    CHECK_INT(p->n_exemplars, 1);
    CHECK_INT(p->exemplars[0].trace_id.len, 16);
    CHECK(p->exemplars[0].trace_id.ptr[10] == 0x0b && p->exemplars[0].span_id.ptr[7] == 8);
    CHECK_SLICE(p->exemplars[0].attrs.ptr[0].value, "7");
    p = m[1].points;
    CHECK(m[1].kind == OTLP_GAUGE && isnan(p->v));
    CHECK_INT(p->attrs.n, 7);
    CHECK_SLICE(p->attrs.ptr[0].value, "x");
    CHECK_SLICE(p->attrs.ptr[1].value, "true");
    CHECK_SLICE(p->attrs.ptr[2].value, "5");
    CHECK_SLICE(p->attrs.ptr[3].value, "/+8=");
    CHECK_SLICE(p->attrs.ptr[4].value, "[1,null]");
    CHECK_SLICE(p->attrs.ptr[5].value, "{\"z\":false}");
    CHECK_SLICE(p->attrs.ptr[6].value, "");
    p = m[2].points;
    CHECK(m[2].temporality == OTLP_DELTA && p->count == 4 && p->has_sum && p->v == 2);
    CHECK(p->histogram.counts.n == 2 && p->histogram.counts.ptr[1] == 3);
    CHECK(p->histogram.bounds.n == 1 && p->histogram.bounds.ptr[0] == 0.5);
    p = m[3].points;
    CHECK(p->scale == -1 && p->exponential.zero_count == 2 && p->exponential.pos.offset == -4);
    CHECK(p->exponential.pos.counts.n == 1 && p->exponential.neg.counts.n == 0);
    p = m[4].points;
    CHECK(p->summary.n_quantiles == 2 && p->summary.quantiles[1].v == 2);
    jsonval_free(doc);
    arena_free(a);
}

TEST(otlp_json_passes_over_what_it_does_not_know)
{
    struct arena *a = arena_new(0);
    const struct otlp_metric *m;
    struct jsonval_doc *doc;

    CHECK_OK(
        decode(a, "{\"name\":null,\"new\":{\"x\":[1]},\"name\":\"b\",\"metadata\":[]}", &doc, &m));
    CHECK_INT(m->kind, OTLP_NONE);
    CHECK_SLICE(m->name, "b");
    jsonval_free(doc);
    arena_free(a);
}

TEST(otlp_json_says_what_is_wrong)
{
    static const struct {
        const char *metric, *error;
    } cases[] = {
        {"{", "JSON"},
        {"7", "metrics: not an object"},
        {"{\"name\":7}", "name: not a string"},
        {"{\"sum\":{\"dataPoints\":{}}}", "dataPoints: not a list"},
        {"{\"sum\":{\"dataPoints\":[{\"asInt\":\"1.5\"}]}}", "asInt: not an integer"},
        {"{\"sum\":{\"dataPoints\":[{\"asInt\":1.5}]}}", "asInt: not an integer"},
        {"{\"sum\":{\"dataPoints\":[{\"timeUnixNano\":-1}]}}", "timeUnixNano: not an unsigned"},
        {"{\"sum\":{\"isMonotonic\":1}}", "isMonotonic: not true or false"},
        {"{\"sum\":{},\"gauge\":{}}", "more than one kind"},
        {"{\"sum\":{\"dataPoints\":[{\"exemplars\":[{\"traceId\":\"0g\"}]}]}}", "hexadecimal"},
        {"{\"sum\":{\"dataPoints\":[{\"exemplars\":[{\"spanId\":\"01\"}]}]}}", "wrong length"},
        {"{\"sum\":{\"dataPoints\":[{\"attributes\":[1]}]}}", "attributes: not an object"},
        {"{\"sum\":{\"dataPoints\":[{\"attributes\":[{\"value\":{\"bytesValue\":\"?\"}}]}]}}",
         "base64"},
        {"{\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":3000000000}]}}", "32 bits"},
    };
    struct arena *a = arena_new(0);
    const struct otlp_metric *m;
    struct jsonval_doc *doc;
    struct otlp_metrics all;
    struct buf big = {0};

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_ERR(decode(a, cases[i].metric, &doc, &m), ERR_INVALID, cases[i].error);
    buf_fill(&big, ' ', OTLP_JSON_MAX_BYTES + 1);
    CHECK_ERR(otlp_json_decode(a, buf_slice(&big), &doc, &all), ERR_TOO_LARGE, "JSON");
    buf_done(&big);
    buf_str(&big, "{\"resourceMetrics\":[{}");
    for (unsigned i = 0; i < 1000000; i++)
        buf_str(&big, ",{}");
    buf_str(&big, "]}");
    CHECK_ERR(otlp_json_decode(a, buf_slice(&big), &doc, &all), ERR_LIMIT, "eight times");
    buf_done(&big);
    arena_free(a);
}

TEST(otlp_json_bounds_the_depth_of_values)
{
    struct arena *a = arena_new(0);
    struct buf value = {0}, all = {0};
    const struct otlp_metric *m;
    struct jsonval_doc *doc;

    for (int i = 0; i < OTLP_MAX_DEPTH + 1; i++)
        buf_str(&value, "{\"arrayValue\":{\"values\":[");
    for (int i = 0; i < OTLP_MAX_DEPTH + 1; i++)
        buf_str(&value, "]}}");
    buf_printf(&all, "{\"gauge\":{\"dataPoints\":[{\"attributes\":[{\"value\":%s}]}]}}",
               buf_cstr(&value));
    CHECK_ERR(decode(a, buf_cstr(&all), &doc, &m), ERR_INVALID, "too deep");
    buf_done(&value);
    buf_done(&all);
    arena_free(a);
}
