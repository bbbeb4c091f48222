#include "ingester/door/otlp_labels.h"
#include "ingester/door/otlp_target.h"
#include "ingester/door/otlp_translate.h"
#include "tests/unit/ingester/door/otlp_run.h"

#define T "\"timeUnixNano\":\"1767225600000000000\""
#define START "\"startTimeUnixNano\":\"1767225500000000000\","
#define ATTR(k, v) "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define SHOP                                                                                       \
    ATTR("service.name", "shop")                                                                   \
    "," ATTR("service.namespace", "prod") "," ATTR("service.instance.id",                          \
                                                   "i") "," ATTR("host.name", "box")

static void check(const struct otlp_config *c, const char *resource, const char *metrics,
                  const char *want)
{
    struct buf got = {0};

    CHECK_OK(otlp_run(c, NULL, resource, metrics, &got));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}

static void refuse(const struct otlp_config *c, const char *metrics, const char *error)
{
    struct buf got = {0};

    CHECK_ERR(otlp_run(c, NULL, "", metrics, &got), ERR_UNSUPPORTED, error);
    buf_done(&got);
}

/* n points, and for a reason with this text. */
static void check_refused(struct buf *got, int n, const char *why)
{
    char head[64];
    const char *line;

    (void)snprintf(head, sizeof(head), "rejected %d %d ", DOOR_UNTRANSLATABLE, n);
    line = strstr(buf_cstr(got), head);
    if (!line || !strstr(line, why))
        CHECK_STR(buf_cstr(got), why);
}

TEST(otlp_translate_makes_series_of_numbers)
{
    struct otlp_config c = otlp_run_defaults();

    check(
        &c, SHOP,
        "{\"name\":\"a.b\",\"unit\":\"s\",\"description\":\"help\",\"sum\":{\"isMonotonic\":true,"
        "\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"asInt\":\"5\",\"attributes\":[" ATTR("z", "1") "," ATTR(
            "http.method", "GET") "]},{" T ",\"flags\":1}]}},"
                                  "{\"name\":\"g\",\"unit\":\"1\",\"gauge\":{\"dataPoints\":[{" T
                                  ",\"asDouble\":0.5}]}}",
        "a_b_seconds_total{http_method=\"GET\", instance=\"i\", job=\"prod/shop\", z=\"1\"} 5@+0\n"
        "a_b_seconds_total{instance=\"i\", job=\"prod/shop\"} stale@+0\n"
        "g_ratio{instance=\"i\", job=\"prod/shop\"} 0.5@+0\n"
        "target_info{host_name=\"box\", instance=\"i\", job=\"prod/shop\"} 1@+0\n"
        "a_b_seconds_total 1 seconds help\ng_ratio 2  \ntarget_info 2  Target metadata\n");
}

TEST(otlp_translate_joins_attributes_that_escape_to_one_name)
{
    struct otlp_config c = otlp_run_defaults();

    check(&c, "",
          "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T
          ",\"attributes\":[" ATTR("a_b", "3") "," ATTR("a.b", "1") "," ATTR("a/b", "2") "," ATTR(
              "e", "") "," ATTR("__name__", "no") "]}]}}",
          "g{a_b=\"1;2;3\"} 0@+0\ng 2  \n");
}

TEST(otlp_translate_promotes_what_it_is_told_to)
{
    struct otlp_config c = otlp_run_defaults();
    char *names[] = {(char *)(uintptr_t) "host.name"};

    c.promotes_all = true;
    c.ignored = (struct conf_list){names, 1};
    c.promotes_scope = true;
    c.has_type_and_unit = true;
    c.keeps_identifying = true;
    /* The point's own zone stays, its job does not. */
    check(&c, SHOP "," ATTR("zone", "a"),
          "{\"name\":\"g\",\"unit\":\"By\",\"gauge\":{\"dataPoints\":[{" T
          ",\"attributes\":[" ATTR("zone", "b") "," ATTR("job", "mine") "]}]}}",
          "g_bytes{__type__=\"gauge\", __unit__=\"bytes\", instance=\"i\", job=\"prod/shop\", "
          "otel_scope_name=\"lib\", otel_scope_s_a=\"x\", otel_scope_version=\"1\", "
          "service_instance_id=\"i\", service_name=\"shop\", service_namespace=\"prod\", "
          "zone=\"b\"} 0@+0\n"
          "target_info{host_name=\"box\", instance=\"i\", job=\"prod/shop\", "
          "service_instance_id=\"i\", service_name=\"shop\", service_namespace=\"prod\", "
          "zone=\"a\"} 1@+0\n"
          "g_bytes 2 bytes \ntarget_info 2  Target metadata\n");
}

TEST(otlp_translate_bounds_what_resources_bring)
{
    struct otlp_config c = otlp_run_defaults();
    struct buf attrs = {0}, got = {0};

    c.promotes_all = true;
    for (int i = 0; i <= OTLP_LABELS_MAX + 1; i++)
        buf_printf(&attrs, "%s{\"key\":\"k%d\",\"value\":{\"stringValue\":\"v\"}}", i ? "," : "",
                   i);
    CHECK_OK(otlp_run(&c, NULL, buf_cstr(&attrs),
                      "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T "},{" T "}]}}", &got));
    check_refused(&got, 2, "resource: more than 1000 attributes");
    buf_done(&attrs);
    buf_done(&got);
}

/* What is known of one point's keys is used for the next, and must not show. */
TEST(otlp_translate_takes_points_one_by_one_whatever_was_before)
{
    struct otlp_config c = otlp_run_defaults();

    c.promotes_all = true;
    check(
        &c, ATTR("w", "weak"),
        "{\"name\":\"g\",\"gauge\":{\"dataPoints\":["
        "{" T ",\"attributes\":[" ATTR("w", "1") "," ATTR(
            "a.b",
            "2") "]},"
                 "{" T ",\"attributes\":[" ATTR("w", "3") "," ATTR(
                     "a.b",
                     "4") "]},"
                          "{" T ",\"attributes\":[" ATTR("w", "") "," ATTR(
                              "a.b",
                              "5") "]},"
                                   "{" T ",\"attributes\":[" ATTR("w", "6") "," ATTR(
                                       "a.b",
                                       "7") "]},"
                                            "{" T ",\"attributes\":[" ATTR("a.b", "8") "," ATTR(
                                                "w",
                                                "9") "]},"
                                                     "{" T
                                                     ",\"attributes\":[" ATTR("a_b", "10") "," ATTR(
                                                         "a.b",
                                                         "11") "]},"
                                                               "{" T ",\"attributes\":[" ATTR(
                                                                   "a_b",
                                                                   "12") "," ATTR("a.b",
                                                                                  "13") "]},"
                                                                                        "{" T
                                                                                        "},{" T
                                                                                        "}]}},{"
                                                                                        "\"name\":"
                                                                                        "\"f\","
                                                                                        "\"gauge\":"
                                                                                        "{\"dataPoi"
                                                                                        "nts\":[{" T
                                                                                        "}]}}",
        "f{w=\"weak\"} 0@+0\n"
        "g{a_b=\"11;10\", w=\"weak\"} 0@+0\ng{a_b=\"13;12\", w=\"weak\"} 0@+0\n"
        "g{a_b=\"2\", w=\"1\"} 0@+0\ng{a_b=\"4\", w=\"3\"} 0@+0\n"
        "g{a_b=\"5\", w=\"weak\"} 0@+0\ng{a_b=\"7\", w=\"6\"} 0@+0\n"
        "g{a_b=\"8\", w=\"9\"} 0@+0\ng{w=\"weak\"} 0@+0\ng{w=\"weak\"} 0@+0\n"
        "g 2  \nf 2  \n");
}

#define HISTOGRAM                                                                                  \
    "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" START T        \
    ",\"count\":\"6\",\"sum\":9,\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[0.5,10]," \
    "\"exemplars\":[{\"asDouble\":0.1,\"traceId\":\"000102030405060708090a0b0c0d0e0f\"},"          \
    "{\"asDouble\":11,\"filteredAttributes\":[" ATTR("a.b", "c") "]},{\"asDouble\":0.2}]}]}}"

TEST(otlp_translate_makes_classic_histograms)
{
    struct otlp_config c = otlp_run_defaults();

    check(&c, "", HISTOGRAM,
          "h_bucket{le=\"+Inf\"} 6@+0 # {\"a.b\"=\"c\"} 11\n"
          "h_bucket{le=\"0.5\"} 1@+0 # {trace_id=\"000102030405060708090a0b0c0d0e0f\"} 0.1\n"
          "h_bucket{le=\"10\"} 3@+0\n"
          "h_count 6@+0\nh_sum 9@+0\nh 3  \n");
}

TEST(otlp_translate_makes_native_histograms)
{
    struct otlp_config c = otlp_run_defaults();

    c.to_nhcb = true;
    check(&c, "", HISTOGRAM,
          "h h(-53 z0 c6 s9 p+0[1,2,3] <0.5 <10) # "
          "{trace_id=\"000102030405060708090a0b0c0d0e0f\"} 0.1 # {\"a.b\"=\"c\"} 11\nh 3  "
          "\n");
    check(
        &c, "",
        "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"count\":\"12\",\"sum\":3,\"scale\":1,\"zeroCount\":\"2\",\"positive\":{\"offset\":-2,"
        "\"bucketCounts\":[\"1\",0,0,0,4,0,1]},\"negative\":{\"bucketCounts\":[4]}},"
        "{\"timeUnixNano\":\"1767225601000000000\",\"scale\":10,\"count\":6,\"positive\":{"
        "\"offset\":3,"
        "\"bucketCounts\":[1,2,3]},\"flags\":0},{\"timeUnixNano\":\"1767225602000000000\","
        "\"flags\":1}]}}",
        "e h(0 z0 c0 snan)\n"
        "e h(1 z2 c12 s3 p-1[1] p+3[4,0,1] n+1[4])\n"
        "e h(8 z0 c6 s0 p+1[1,5])\ne 3  \n");
}

TEST(otlp_translate_makes_summaries)
{
    struct otlp_config c = otlp_run_defaults();

    check(&c, "",
          "{\"name\":\"s\",\"unit\":\"ms\",\"summary\":{\"dataPoints\":[{" T
          ",\"count\":\"3\",\"sum\":7,\"quantileValues\":[{\"quantile\":0.5,\"value\":2},"
          "{\"quantile\":1,\"value\":4}]}]}}",
          "s_milliseconds_count 3@+0\ns_milliseconds_sum 7@+0\n"
          "s_milliseconds{quantile=\"0.5\"} 2@+0\ns_milliseconds{quantile=\"1\"} 4@+0\n"
          "s_milliseconds 5 milliseconds \n");
}

TEST(otlp_translate_drops_attributes_of_long_exemplars)
{
    struct otlp_config c = otlp_run_defaults();
    char text[700];

    (void)snprintf(
        text, sizeof(text),
        "{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"exemplars\":[{\"asInt\":\"1\",\"spanId\":\"0000000000000001\","
        "\"filteredAttributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"%0130d\"}}]}]}]}}",
        0);
    check(&c, "", text, "c 0@+0 # {span_id=\"0000000000000001\"} 1\nc 2  \n");
}

TEST(otlp_translate_samples_target_info_over_the_range)
{
    struct otlp_config c = otlp_run_defaults();
    struct buf got = {0};

    CHECK_OK(otlp_run(
        &c, NULL, SHOP,
        "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T "},"
        "{\"timeUnixNano\":\"1767225920000000000\"},{\"timeUnixNano\":\"1767225910000000000\"}]}}",
        &got));
    CHECK(strstr(buf_cstr(&got), "1@+0 1@+150000 1@+300000 1@+320000\n") != NULL);
    buf_reset(&got);
    /* A point without a time: not one sample for each 150 s since 1970. */
    CHECK_OK(otlp_run(&c, NULL, SHOP,
                      "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T "},{\"timeUnixNano\":0}]}}",
                      &got));
    CHECK(got.len < 40 * OTLP_TARGET_SAMPLES);
    buf_done(&got);
}

TEST(otlp_translate_refuses_a_request_with_a_wrong_temporality)
{
    struct otlp_config c = otlp_run_defaults();
    struct buf metrics = {0};

    refuse(&c, "{\"name\":\"a\",\"sum\":{\"aggregationTemporality\":1,\"dataPoints\":[{" T "}]}}",
           "metric \"a\": delta temporality is not taken");
    refuse(&c, "{\"name\":\"a\",\"sum\":{\"dataPoints\":[{" T "}]}}", "unknown aggregation");
    refuse(&c,
           "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T "}]}},"
           "{\"name\":\"a\",\"sum\":{\"dataPoints\":[{" T "}]}}",
           "unknown aggregation");
    for (int i = 0; i < 5; i++) {
        char name[] = {(char)('a' + i), 0};

        buf_str(&metrics, i ? "," : "");
        buf_printf(&metrics, "{\"name\":\"%s\",\"sum\":{\"dataPoints\":[{}]}}", name);
    }
    refuse(&c, buf_cstr(&metrics), "\"c\": an unknown aggregation temporality; and more");
    buf_done(&metrics);
}

/* The good one beside it is stored; it is told why the other is not. */
static void leave_out(const char *metric, int n, const char *why)
{
    struct otlp_config c = otlp_run_defaults();
    struct buf metrics = {0}, got = {0};

    buf_printf(&metrics, "%s,{\"name\":\"good\",\"gauge\":{\"dataPoints\":[{" T "}]}}", metric);
    CHECK_OK(otlp_run(&c, NULL, SHOP, buf_cstr(&metrics), &got));
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("good{instance=\"i\", job=\"prod/shop\"} 0@+0\n"
                                                  "target_info{")));
    CHECK(strstr(buf_cstr(&got), "\ngood 2  \ntarget_info 2  Target metadata\nrejected "));
    check_refused(&got, n, why);
    buf_reset(&got);
    /* and alone it is not a success because of target_info */
    CHECK_OK(otlp_run(&c, NULL, SHOP, metric, &got));
    CHECK(!strstr(buf_cstr(&got), "target_info"));
    check_refused(&got, n, why);
    buf_done(&metrics);
    buf_done(&got);
}

TEST(otlp_translate_leaves_out_what_cannot_be_translated_and_nothing_else)
{
    leave_out("{\"name\":\"a\"}", 1, "metric \"a\": no data, or of a kind that is not known");
    leave_out("{\"name\":\"...\",\"gauge\":{\"dataPoints\":[{" T "}]}}", 1, "nothing is left");
    leave_out("{\"name\":\"...\",\"gauge\":{\"dataPoints\":[{" T "},{" T "}]}}", 2,
              "metric \"...\": ");
    leave_out("{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T
              ",\"attributes\":[" ATTR("", "x") "]}]}}",
              1, "without a name");
    leave_out(
        "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"scale\":-5}]}}",
        1, "scale -5");
    leave_out(
        "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"count\":7,\"positive\":{\"bucketCounts\":[1]}}]}}",
        1, "Count field");
    leave_out(
        "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
        ",\"count\":1,\"positive\":{\"offset\":2147483647,\"bucketCounts\":[1]}}]}}",
        1, "out of range");
    leave_out("{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T
              ",\"count\":1,\"sum\":2,\"exemplars\":[{" T "}]}]}}",
              1, "an exemplar has no value");
    leave_out(
        "{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"},{\"name\":\"d\"},{\"name\":\"e\"}", 5,
        "metric \"c\": no data, or of a kind that is not known; and more\n");
}

TEST(otlp_translate_takes_the_good_points_of_a_metric)
{
    struct otlp_config c = otlp_run_defaults();

    check(&c, "",
          "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T ",\"asInt\":1},{" T
          ",\"asInt\":2,\"attributes\":[" ATTR(
              "", "x") "]},{" T ",\"asInt\":3,\"attributes\":[" ATTR("a", "b") "]}]}}",
          "g 1@+0\ng{a=\"b\"} 3@+0\ng 2  \nrejected 14 1 metric \"g\": an attribute without a "
          "name\n");
    /* of no points nothing is lost, and nothing is said */
    check(&c, "",
          "{\"name\":\"e\",\"gauge\":{}},{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" T "}]}}",
          "g 0@+0\ng 2  \n");
}

TEST(otlp_translate_stores_deltas_as_they_are_when_told_so)
{
    struct otlp_config c = otlp_run_defaults();

    c.delta = OTLP_DELTA_STORE;
    check(&c, "",
          "{\"name\":\"a\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":1,"
          "\"dataPoints\":[{" T
          ",\"asInt\":2}]}},{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":1,"
          "\"dataPoints\":[{" T ",\"count\":1,\"positive\":{\"bucketCounts\":[1]}}]}}",
          "a_total 2@+0\ne h(0 gauge z0 c1 s0 p+1[1])\na_total 0  \ne 0  \n");
}

#define SINCE T ",\"startTimeUnixNano\":\"1767225590000000000\""

TEST(otlp_translate_says_when_counters_and_deltas_began)
{
    struct otlp_config c = otlp_run_defaults();

    c.delta = OTLP_DELTA_STORE;
    otlp_run_has_starts = true;
    check(&c, "",
          "{\"name\":\"d\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":1,"
          "\"dataPoints\":[{" SINCE ",\"asInt\":2}]}},"
          "{\"name\":\"c\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":2,"
          "\"dataPoints\":[{" SINCE ",\"asInt\":3}]}},"
          "{\"name\":\"u\",\"sum\":{\"aggregationTemporality\":2,"
          "\"dataPoints\":[{" SINCE ",\"asInt\":4}]}},"
          "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{" SINCE ",\"asInt\":5}]}},"
          "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":1,"
          "\"dataPoints\":[{" SINCE ",\"count\":1,\"positive\":{\"bucketCounts\":[1]}}]}}",
          "c_total 3@+0 since -10000 zero -10000\n"
          "d_total 2@+0 since -10000\n"
          "e h(0 gauge z0 c1 s0 p+1[1]) since -10000\n"
          "g 5@+0\n"
          "u 4@+0\n"
          "d_total 0  \nc_total 1  \nu 2  \ng 2  \ne 0  \n");
    otlp_run_has_starts = false;
}
