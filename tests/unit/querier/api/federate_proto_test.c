#include "querier/api/federate_proto.h"
#include "tests/unit/test.h"

/* As Prometheus' scrapers say it. */
TEST(federate_proto_is_asked_for)
{
    CHECK(federate_proto_is_wanted(
        SLICE("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
              "delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/"
              "plain;version=0.0.4;q=0.5,*/*;q=0.1")));
    CHECK(federate_proto_is_wanted(
        SLICE("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
              "encoding=delimited; q=0.6, text/plain;version=0.0.4;q=0.4")));
    CHECK(!federate_proto_is_wanted(
        SLICE("application/openmetrics-text;version=1.0.0,application/vnd.google.protobuf;proto=io."
              "prometheus.client.MetricFamily;encoding=delimited;q=0.2,text/plain;q=0.3")));
    CHECK(!federate_proto_is_wanted(SLICE("application/vnd.google.protobuf")));
    CHECK(!federate_proto_is_wanted(SLICE("application/vnd.google.protobuf;proto=io.prometheus."
                                          "client.MetricFamily;encoding=text")));
    CHECK(!federate_proto_is_wanted(SLICE("application/vnd.google.protobuf;proto=io.prometheus."
                                          "client.MetricFamily;encoding=delimited;q=0")));
    /* a weight that is none is not read */
    CHECK(!federate_proto_is_wanted(SLICE("application/vnd.google.protobuf;proto=io.prometheus."
                                          "client.MetricFamily;q=0.9,text/plain;q=nan")));
    CHECK(federate_proto_is_wanted(SLICE("application/vnd.google.protobuf;proto=io.prometheus."
                                         "client.MetricFamily;q=nan,text/plain;q=2")));
    CHECK(!federate_proto_is_wanted(SLICE("*/*")));
    CHECK(!federate_proto_is_wanted(SLICE(",;=,")));
    CHECK(!federate_proto_is_wanted((struct slice){0}));
}

static void check_hex(struct buf *b, const char *want)
{
    char text[1024] = "";

    CHECK(b->len < 500);
    for (size_t i = 0; i < b->len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", b->ptr[i]);
    CHECK_STR(text, want);
    buf_done(b);
}

TEST(federate_proto_writes_a_float)
{
    struct label pairs[] = {{SLICE("a"), SLICE("b")}};
    struct buf metric = {0}, out = {0};

    federate_proto_metric(&metric, pairs, 1, 300, 1, NULL);
    CHECK_INT(federate_proto_kind(NULL), FEDERATE_UNTYPED);
    federate_proto_family(&out, SLICE("up"), FEDERATE_UNTYPED,
                          federate_proto_framed(buf_slice(&metric)));
    federate_proto_append(&out, buf_slice(&metric));
    /* length, name, type untyped, metric { pair { a, b }, untyped { 1.0 }, timestamp 300 } */
    check_hex(&out, "1e"
                    "0a027570"
                    "1803"
                    "2216"
                    "0a060a016112"
                    "0162"
                    "2a0909000000000000f03f"
                    "30ac02");
    buf_done(&metric);
}

TEST(federate_proto_writes_histograms)
{
    struct histogram_span span = {-1, 2};
    struct histogram h = {.schema = 1,
                          .hint = HISTOGRAM_GAUGE,
                          .count = 3,
                          .sum = 1,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = (double[]){1, 2},
                          .n_pos_buckets = 2};
    struct buf metric = {0};

    CHECK_INT(federate_proto_kind(&h), FEDERATE_GAUGE_HISTOGRAM);
    federate_proto_metric(&metric, NULL, 0, 1, 0, &h);
    check_hex(&metric, "3a3e"
                       "210000000000000840"
                       "11000000000000f03f"
                       "2802"
                       "310000000000000000"
                       "410000000000000000"
                       "620408011002"
                       "71000000000000f03f"
                       "710000000000000040"
                       "3001");
    h = (struct histogram){.schema = HISTOGRAM_CUSTOM_SCHEMA,
                           .count = 3,
                           .sum = 1,
                           .pos_spans = (struct histogram_span[]){{1, 2}},
                           .n_pos_spans = 1,
                           .pos_buckets = (double[]){1, 2},
                           .n_pos_buckets = 2,
                           .custom_bounds = (double[]){1, 2},
                           .n_custom_bounds = 2};
    CHECK_INT(federate_proto_kind(&h), FEDERATE_HISTOGRAM);
    metric = (struct buf){0};
    federate_proto_metric(&metric, NULL, 0, 1, 0, &h); /* the second one is that of +Inf */
    check_hex(&metric, "3a26"
                       "210000000000000840"
                       "11000000000000f03f"
                       "1a12"
                       "110000000000000040"
                       "21000000000000f03f"
                       "3001");
}
