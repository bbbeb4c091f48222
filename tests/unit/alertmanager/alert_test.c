#include "alertmanager/alert.h"
#include "alertmanager/notify_internal.h"
#include "tests/unit/test.h"

#define S 1000000000ll

static void read(const char *json, alert_vec *v, struct err **bad)
{
    *v = (alert_vec){0};
    *bad = NULL;
    CHECK_OK(alert_from_json(slice_cstr(json), 1000 * S, 300 * S, v, bad));
}

TEST(alert_posts_get_their_times)
{
    struct err *bad;
    alert_vec v;

    read("[{\"labels\":{\"b\":\"2\",\"a\":\"1\",\"c\":\"\"},\"annotations\":{\"x\":\"y\"}},"
         "{\"labels\":{\"a\":\"1\"},\"endsAt\":\"1970-01-01T00:10:00Z\"},"
         "{\"labels\":{\"a\":\"1\"},\"startsAt\":\"1970-01-01T00:10:00.5Z\",\"endsAt\":null}]",
         &v, &bad);
    CHECK_OK(bad);
    CHECK_INT(v.len, 3);
    CHECK_INT(v.ptr[0]->labels.n, 2);
    CHECK_INT(v.ptr[0]->starts_ns, 1000 * S);
    CHECK_INT(v.ptr[0]->ends_ns, 1300 * S);
    CHECK(v.ptr[0]->is_timeout);
    CHECK_INT(v.ptr[1]->starts_ns, 600 * S);
    CHECK(!v.ptr[1]->is_timeout && alert_is_resolved(v.ptr[1], 1000 * S));
    CHECK_INT(v.ptr[2]->starts_ns, 600 * S + S / 2);
    alert_vec_done(&v);
}

TEST(alert_posts_keep_the_good_ones)
{
    struct err *bad;
    alert_vec v;

    read("[{\"labels\":{}},{\"labels\":{\"a\":\"1\"}},{\"labels\":{\"a\":1}},7,"
         "{\"labels\":{\"a\":\"1\"},\"startsAt\":\"1970-01-02T00:00:00Z\",\"endsAt\":"
         "\"1970-01-01T00:00:01Z\"}]",
         &v, &bad);
    CHECK_INT(v.len, 1);
    CHECK_ERR(bad, ERR_INVALID, "alert 0");
    alert_vec_done(&v);
    CHECK_ERR(alert_from_json(SLICE("{}"), 0, 0, &v, NULL), ERR_INVALID, "list");
    CHECK_ERR(alert_from_json(SLICE("[{"), 0, 0, &v, NULL), ERR_INVALID, "line");
}

TEST(alert_merging_keeps_the_earliest_start)
{
    struct err *bad;
    alert_vec v;
    struct alert *m;

    read("[{\"labels\":{\"a\":\"1\"},\"startsAt\":\"1970-01-01T00:10:00Z\",\"endsAt\":"
         "\"1970-01-01T01:00:00Z\"},"
         "{\"labels\":{\"a\":\"1\"},\"annotations\":{\"n\":\"2\"}}]",
         &v, &bad);
    v.ptr[1]->updated_ns++;
    m = alert_merge(v.ptr[0], v.ptr[1], 1000 * S);
    CHECK_INT(m->starts_ns, 600 * S);
    CHECK_INT(m->ends_ns, 3600 * S); /* stated, and later than the time-out */
    CHECK_INT(m->annotations.n, 1);
    alert_unref(m);
    v.ptr[0]->ends_ns = 700 * S; /* over before the other began */
    m = alert_merge(v.ptr[0], v.ptr[1], 1000 * S);
    CHECK(m == v.ptr[1]);
    alert_unref(m);
    alert_vec_done(&v);
}

TEST(alert_travels_whole_and_refuses_pieces)
{
    struct err *bad;
    alert_vec v, w;
    struct buf b = {0}, again = {0};

    read("[{\"labels\":{\"a\":\"1\",\"b\":\"2\"},\"annotations\":{\"x\":\"y\"},\"generatorURL\":"
         "\"u\"},"
         "{\"labels\":{\"z\":\"1\"}}]",
         &v, &bad);
    alert_encode(&b, &v);
    CHECK_OK(alert_decode(buf_slice(&b), &w));
    alert_encode(&again, &w);
    CHECK(slice_eq(buf_slice(&b), buf_slice(&again)));
    alert_vec_done(&w);
    for (size_t n = 0; n < b.len; n++)
        CHECK_ERR(alert_decode(slice_of(b.ptr, n), &w), ERR_INVALID, "malformed");
    buf_done(&b);
    buf_done(&again);
    alert_vec_done(&v);
}

TEST(alert_webhook_is_alertmanagers)
{
    struct amconf_integration in = {.kind = "webhook"};
    struct label group[] = {{SLICE_INIT("a"), SLICE_INIT("1")}};
    struct dispatch_note note = {.integration = &in,
                                 .group_key = SLICE_INIT("{}:{a=\"1\"}"),
                                 .receiver = SLICE_INIT("x.y"),
                                 .group_labels = {group, 1},
                                 .now_ns = 1000 * S,
                                 .reason = NFLOG_FIRST};
    struct buf b = {0};
    struct err *bad;
    alert_vec v;

    read("[{\"labels\":{\"a\":\"1\"},\"annotations\":{\"s\":\"t\"}},{\"labels\":{\"a\":\"1\",\"b\":"
         "\"2\"}}]",
         &v, &bad);
    note.alerts = &v;
    notify_webhook_body(&b, &note, SLICE("http://am"), 1, "4");
    CHECK_SLICE(
        buf_slice(&b),
        "{\"receiver\":\"x\\\\.y\",\"status\":\"firing\",\"alerts\":[{\"status\":\"firing\","
        "\"labels\":{\"a\":\"1\"},\"annotations\":{\"s\":\"t\"},\"startsAt\":"
        "\"1970-01-01T00:16:40Z\",\"endsAt\":\"0001-01-01T00:00:00Z\",\"generatorURL\":\"\","
        "\"fingerprint\":\"d3b971819376d835\"}],\"groupLabels\":{\"a\":\"1\"},"
        "\"commonLabels\":{\"a\":\"1\"},\"commonAnnotations\":{\"s\":\"t\"},\"externalURL\":"
        "\"http://am\",\"notification_reason\":\"first notification\",\"routeLabels\":{},"
        "\"version\":\"4\",\"groupKey\":\"{}:{a=\\\"1\\\"}\",\"truncatedAlerts\":1}\n");
    buf_done(&b);
    alert_vec_done(&v);
}
