#include "ingester/door/otlp_delta.h"
#include "tests/unit/ingester/door/otlp_run.h"

/* A sum's points, at seconds of the run. */
#define POINT(s, v)                                                                                \
    "{\"startTimeUnixNano\":\"17672255" s "000000000\",\"timeUnixNano\":\"17672256" s              \
    "000000000\",\"asInt\":\"" v "\"}"
#define SUM(points)                                                                                \
    "{\"name\":\"a\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":1,\"dataPoints\":"   \
    "[" points "]}}"

static struct otlp_config adding(void)
{
    struct otlp_config c = otlp_run_defaults();

    c.delta = OTLP_DELTA_CUMULATIVE;
    return c;
}

static void check(struct otlp_delta *d, const char *metrics, const char *want)
{
    struct otlp_config c = adding();
    struct buf got = {0};

    CHECK_OK(otlp_run(&c, d, "", metrics, &got));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}

TEST(otlp_delta_adds_sums_up)
{
    struct otlp_delta *d = otlp_delta_new();
    char late[60];

    (void)snprintf(late, sizeof(late), "a_total 1  \nrejected %d 1\n", DOOR_DELTA_LATE);
    check(d, SUM(POINT("00", "2") "," POINT("10", "3")),
          "a_total 2@+0\na_total 5@+10000\na_total 1  \n");
    check(d, SUM(POINT("20", "1")), "a_total 6@+20000\na_total 1  \n");
    /* The same once more adds nothing. */
    check(d, SUM(POINT("20", "1")), late);
    check(d, SUM(POINT("30", "1")), "a_total 7@+30000\na_total 1  \n");
    otlp_delta_free(d);
}

TEST(otlp_delta_adds_explicit_histograms_up_and_begins_anew_with_other_bounds)
{
    static const char form[] = "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":1,"
                               "\"dataPoints\":[{\"timeUnixNano\":"
                               "\"176722560%d000000000\",\"count\":3,\"sum\":1.5,\"bucketCounts\":["
                               "1,2],\"explicitBounds\":[%d]}]}}";
    struct otlp_delta *d = otlp_delta_new();
    char text[400];

    (void)snprintf(text, sizeof(text), form, 0, 1);
    check(
        d, text,
        "h_bucket{le=\"+Inf\"} 3@+0\nh_bucket{le=\"1\"} 1@+0\nh_count 3@+0\nh_sum 1.5@+0\nh 3  \n");
    (void)snprintf(text, sizeof(text), form, 1, 1);
    check(d, text,
          "h_bucket{le=\"+Inf\"} 6@+1000\nh_bucket{le=\"1\"} 2@+1000\nh_count 6@+1000\nh_sum "
          "3@+1000\nh 3  \n");
    (void)snprintf(text, sizeof(text), form, 2, 7);
    check(d, text,
          "h_bucket{le=\"+Inf\"} 3@+2000\nh_bucket{le=\"7\"} 1@+2000\nh_count 3@+2000\nh_sum "
          "1.5@+2000\nh 3  \n");
    otlp_delta_free(d);
}

TEST(otlp_delta_brings_exponential_histograms_to_one_scale)
{
    static const char form[] =
        "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{"
        "\"timeUnixNano\":\"176722560%d000000000\",\"count\":%s,\"scale\":%d,\"zeroCount\":1,"
        "\"positive\":{"
        "\"offset\":%d,\"bucketCounts\":[%s]}}]}}";
    struct otlp_delta *d = otlp_delta_new();
    char text[400];

    (void)snprintf(text, sizeof(text), form, 0, "4", 2, 0, "1,2");
    check(d, text, "e h(2 z1 c4 s0 p+1[1,2])\ne 3  \n");
    /* Coarser: what was there comes along. */
    (void)snprintf(text, sizeof(text), form, 1, "6", 1, -1, "2,3");
    check(d, text, "e h(1 z2 c10 s0 p+0[2,6])\ne 3  \n");
    /* Finer: the new one is brought down. */
    (void)snprintf(text, sizeof(text), form, 2, "3", 2, 2, "1,1");
    check(d, text, "e h(1 z3 c13 s0 p+0[2,6,2])\ne 3  \n");
    /* Far away: so coarse that both fit into the bound of 100 buckets. */
    (void)snprintf(text, sizeof(text), form, 3, "2", 1, 1000, "1");
    check(d, text, "e h(-3 z4 c15 s0 p+0[2,8] p+61[1])\ne 3  \n");
    otlp_delta_free(d);
}

static enum otlp_delta_result add(struct otlp_delta *d, const char *tenant, uint64_t stream,
                                  uint64_t t, int64_t now_ms, double *ret)
{
    struct otlp_delta_opts opts = {.max_streams = 2, .max_buckets = 10, .now_ms = now_ms};
    struct otlp_point p = {.time_ns = t, .v = 1}, sum;
    struct arena *a = arena_new(0);
    enum otlp_delta_result result = otlp_delta_add(
        d, slice_cstr(tenant), &opts, (struct hash128){stream, 0}, OTLP_SUM, &p, a, &sum);

    if (result == OTLP_DELTA_TAKEN)
        *ret = sum.v;
    arena_free(a);
    return result;
}

TEST(otlp_delta_bounds_streams_and_forgets_the_silent)
{
    struct otlp_delta *d = otlp_delta_new();
    const int64_t silence = OTLP_DELTA_SILENCE_MS;
    double v = 0;

    CHECK_INT(add(d, "a", 1, 1, 1000, &v), OTLP_DELTA_TAKEN);
    CHECK_INT(add(d, "a", 2, 1, 1000, &v), OTLP_DELTA_TAKEN);
    CHECK_INT(add(d, "a", 3, 1, 1000, &v), OTLP_DELTA_FULL);
    CHECK_INT(add(d, "b", 3, 1, 1000, &v), OTLP_DELTA_TAKEN); /* another tenant */
    CHECK_INT(add(d, "a", 2, 2, silence, &v), OTLP_DELTA_TAKEN);
    CHECK(v == 2);
    CHECK_INT(add(d, "a", 3, 1, silence + 1000, &v), OTLP_DELTA_FULL);
    /* Stream 1 was silent for too long, stream 2 was not. */
    CHECK_INT(add(d, "a", 3, 1, silence + 70000, &v), OTLP_DELTA_TAKEN);
    CHECK_INT(add(d, "a", 2, 3, silence + 70000, &v), OTLP_DELTA_TAKEN);
    CHECK(v == 3);
    otlp_delta_free(d);
    otlp_delta_free(NULL);
}

TEST(otlp_delta_takes_the_strangest_scales)
{
    static const int32_t scales[] = {INT32_MAX, INT32_MIN, 8, -4, 63, 64, 100, 20};
    static const int32_t offsets[] = {0, INT32_MAX, INT32_MIN, -1};
    static const uint64_t counts[] = {1, 0, 2};
    struct otlp_delta_opts opts = {.max_streams = 10, .max_buckets = 10, .now_ms = 1};
    struct otlp_delta *d = otlp_delta_new();
    struct arena *a = arena_new(0);
    uint64_t t = 1;

    for (size_t i = 0; i < ORR_COUNT(scales); i++)
        for (size_t k = 0; k < ORR_COUNT(offsets); k++) {
            struct otlp_point sum, p = {.time_ns = t++, .scale = scales[i]};

            p.exponential.pos = (struct otlp_buckets){offsets[k], {counts, 3}};
            if (otlp_delta_add(d, SLICE("t"), &opts, (struct hash128){1, 1}, OTLP_EXPONENTIAL, &p,
                               a, &sum) == OTLP_DELTA_TAKEN)
                CHECK(sum.exponential.pos.counts.n <= 10 && sum.scale >= -4 && sum.scale <= 8);
        }
    arena_free(a);
    otlp_delta_free(d);
}
