/* Texts and protobuf through the import's decoder, and its way in over HTTP. */
#include "ingester/door/expo_created.h"
#include "ingester/door/expo_import.h"
#include "ingester/door/influx_write.h"
#include "tests/unit/ingester/door/push_text.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/ingester/door_fixture.h"

static struct buf import(enum expo_format format, struct slice body, const struct label *extra,
                         size_t n_extra)
{
    struct arena *a = arena_new(0);
    struct expo_import x = {.q = {.arena = a, .body = body, .extra = {extra, n_extra}},
                            .format = format};
    struct buf text = push_text(expo_import_decode, &x, SLICE_EMPTY);

    arena_free(a);
    return text;
}

TEST(expo_import_takes_the_text_format)
{
    static const char text[] = "# HELP up is it?\n# TYPE up gauge\nup{a=\"b\"} 1\nup 2 17\n"
                               "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nx{a=\"\",b=\"c\"} 4\n";

    push_text_check(import(EXPO_TEXT, slice_cstr(text), NULL, 0),
                    "gauge up \"is it?\" \nhistogram h \"\" \n"
                    "up{a=\"b\"} 1 @1700000000000\nup 2 @17\n"
                    "h_bucket{le=\"1.0\"} 3 @1700000000000\nx{b=\"c\"} 4 @1700000000000\n");
}

TEST(expo_import_takes_openmetrics_with_exemplars)
{
    static const char text[] = "# TYPE c counter\nc_total 1 2 # {id=\"x\"} 3\n# EOF\n";

    push_text_check(import(EXPO_OPENMETRICS, slice_cstr(text), NULL, 0),
                    "counter c \"\" \nc_total 1 @2000 # {id=\"x\"} 3 @2000\n");
}

TEST(expo_import_refuses_a_text_it_cannot_read_as_a_whole)
{
    struct buf got = import(EXPO_TEXT, SLICE("up 1\nup{ 2\n"), NULL, 0);

    CHECK(slice_find(buf_slice(&got), SLICE("error: line 2"), 0) == 0);
    buf_done(&got);
}

TEST(expo_import_extra_labels_take_the_place_of_a_series_own)
{
    static const struct label extra[] = {{SLICE_INIT("a"), SLICE_INIT("x")},
                                         {SLICE_INIT("z"), SLICE_INIT("y")}};

    push_text_check(import(EXPO_TEXT, SLICE("up{a=\"b\"} 1 5\n"), extra, 2),
                    "up{a=\"x\", z=\"y\"} 1 @5\n");
}

TEST(expo_created_finds_the_start_of_each_series)
{
    static const char text[] = "# TYPE c counter\nc_total{a=\"1\"} 5\nc_created{a=\"1\"} 1.5\n"
                               "c_created{a=\"2\"} 7\nc_total{a=\"2\"} 6\nc_total{a=\"3\"} 7\n"
                               "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_created 3\nh_sum 1\n"
                               "# TYPE g gauge\ng_created 9\n# EOF\n";
    static const struct {
        bool is_created;
        int64_t t_ms;
    } want[] = {{false, 1500}, {true, 1500}, {true, 7000},  {false, 7000}, {false, 0},
                {false, 3000}, {true, 3000}, {false, 3000}, {false, 0}};
    struct arena *a = arena_new(0);
    struct expo_created c;
    struct textformat t;
    enum textformat_entry entry;
    size_t n = 0;

    expo_created_init(&c, a, slice_cstr(text));
    textformat_init(&t, a, TEXTFORMAT_OPENMETRICS, slice_cstr(text));
    while ((entry = textformat_next(&t)) > TEXTFORMAT_END) {
        if (entry != TEXTFORMAT_SERIES)
            continue;
        CHECK_INT(expo_created_is(&t), want[n].is_created);
        CHECK_INT(expo_created_of(&c, &t), want[n].t_ms);
        n++;
    }
    CHECK_INT(n, ORR_COUNT(want));
    expo_created_done(&c);
    arena_free(a);
}

TEST(expo_created_keeps_many)
{
    struct arena *a = arena_new(0);
    struct buf text = {0};
    struct expo_created c;
    struct textformat t;

    buf_str(&text, "# TYPE c counter\n");
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "c_created{n=\"%d\"} %d\n", i, i + 1);
    buf_str(&text, "# EOF\n");
    expo_created_init(&c, a, buf_slice(&text));
    textformat_init(&t, a, TEXTFORMAT_OPENMETRICS, buf_slice(&text));
    (void)textformat_next(&t);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
        CHECK_INT(expo_created_of(&c, &t), 1000 * (i + 1));
    }
    expo_created_done(&c);
    buf_done(&text);
    arena_free(a);
}

/* ---- protobuf ---- */

static void add_metric(struct buf *family, const char *label_value, unsigned number,
                       struct buf *value, int64_t t_ms)
{
    struct buf m = {0};

    if (label_value)
        rw_build_label(&m, "a", label_value);
    rw_build_field(&m, number, value);
    if (t_ms)
        rw_build_varint(&m, 6, (uint64_t)t_ms);
    rw_build_field(family, 4, &m);
}

static void open_family(struct buf *f, const char *name, unsigned type)
{
    rw_build_text(f, 1, name);
    rw_build_text(f, 2, "help");
    rw_build_varint(f, 3, type);
}

static void close_family(struct buf *body, struct buf *f)
{
    buf_lstr(body, buf_slice(f));
    buf_done(f);
}

static void add_exemplar(struct buf *to, unsigned number, double v, int64_t seconds)
{
    struct buf x = {0}, t = {0};

    rw_build_label(&x, "id", "7");
    rw_build_double(&x, 2, v);
    if (seconds) {
        rw_build_varint(&t, 1, (uint64_t)seconds);
        rw_build_varint(&t, 2, 5000000);
        rw_build_field(&x, 3, &t);
    }
    rw_build_field(to, number, &x);
}

TEST(expo_import_takes_counters_and_gauges_of_protobuf)
{
    struct buf body = {0}, f = {0}, v = {0};

    open_family(&f, "c_seconds_total", 0);
    rw_build_double(&v, 1, 5);
    add_exemplar(&v, 2, 0.5, 3);
    add_metric(&f, "x", 3, &v, 12);
    rw_build_text(&f, 5, "seconds");
    close_family(&body, &f);
    open_family(&f, "empty", 1);
    close_family(&body, &f);
    open_family(&f, "g", 1);
    rw_build_double(&v, 1, -1);
    add_metric(&f, NULL, 2, &v, 0);
    close_family(&body, &f);
    push_text_check(import(EXPO_PROTOBUF, buf_slice(&body), NULL, 0),
                    "counter c_seconds_total \"help\" seconds\ngauge g \"help\" \n"
                    "c_seconds_total{a=\"x\"} 5 @12 # {id=\"7\"} 0.5 @3005\n"
                    "g -1 @1700000000000\n");
    buf_done(&body);
}

TEST(expo_import_unfolds_summaries_and_classic_histograms_of_protobuf)
{
    struct buf body = {0}, f = {0}, v = {0}, q = {0};

    open_family(&f, "s", 2);
    rw_build_varint(&v, 1, 3);
    rw_build_double(&v, 2, 4.5);
    rw_build_double(&q, 1, 0.5);
    rw_build_double(&q, 2, 1.25);
    rw_build_field(&v, 3, &q);
    add_metric(&f, NULL, 4, &v, 1);
    close_family(&body, &f);
    open_family(&f, "h", 4);
    rw_build_varint(&v, 1, 9);
    rw_build_double(&v, 2, 2);
    rw_build_varint(&q, 1, 4);
    rw_build_double(&q, 2, 1);
    add_exemplar(&q, 3, 0.5, 0);
    rw_build_field(&v, 3, &q);
    add_metric(&f, NULL, 7, &v, 1);
    close_family(&body, &f);
    push_text_check(import(EXPO_PROTOBUF, buf_slice(&body), NULL, 0),
                    "summary s \"help\" \nhistogram h \"help\" \n"
                    "s_count 3 @1\ns_sum 4.5 @1\ns{quantile=\"0.5\"} 1.25 @1\n"
                    "h_count 9 @1\nh_sum 2 @1\nh_bucket{le=\"1.0\"} 4 @1 # {id=\"7\"} 0.5 @1\n"
                    "h_bucket{le=\"+Inf\"} 9 @1\n");
    buf_done(&body);
}

/* count 3: two in the positive bucket 1, one in bucket 2. */
static struct buf native_histogram(uint64_t count)
{
    struct buf body = {0}, f = {0}, v = {0};

    open_family(&f, "n", 4);
    rw_build_varint(&v, 1, count);
    rw_build_double(&v, 2, 4);
    rw_build_zigzag(&v, 5, 3);
    rw_build_double(&v, 6, 0.001);
    rw_build_span(&v, 12, 1, 2);
    rw_build_span(&v, 9, 0, 0);
    rw_build_zigzag(&v, 13, 2);
    rw_build_zigzag(&v, 13, -1);
    add_exemplar(&v, 16, 1, 2);
    add_exemplar(&v, 16, 1, 0); /* without a time: dropped */
    add_metric(&f, NULL, 7, &v, 1);
    close_family(&body, &f);
    return body;
}

TEST(expo_import_takes_native_histograms_of_protobuf)
{
    struct buf body = native_histogram(3);

    push_text_check(import(EXPO_PROTOBUF, buf_slice(&body), NULL, 0),
                    "histogram n \"help\" \nn histogram 3 4 @1 # {id=\"7\"} 1 @2005\n");
    buf_done(&body);
    body = native_histogram(4);
    push_text_check(import(EXPO_PROTOBUF, buf_slice(&body), NULL, 0),
                    "error: n: 3 observations found in buckets, but the Count field is 4: "
                    "histogram's observation count should equal the number of observations found "
                    "in the buckets (in absence of NaN)\n");
    buf_done(&body);
}

TEST(expo_import_refuses_protobuf_that_is_cut_short)
{
    struct buf body = native_histogram(3);

    for (size_t n = 1; n < body.len; n++) {
        struct buf got = import(EXPO_PROTOBUF, slice_of(body.ptr, n), NULL, 0);

        CHECK(slice_has_prefix(buf_slice(&got), SLICE("error: ")));
        buf_done(&got);
    }
    buf_done(&body);
}

/* ---- HTTP ---- */

TEST(expo_import_reads_content_types)
{
    static const struct {
        const char *type;
        int format; /* -1: refused */
    } cases[] = {{"", EXPO_TEXT},
                 {"text/plain; version=0.0.4", EXPO_TEXT},
                 {"application/x-www-form-urlencoded", EXPO_TEXT},
                 {"application/openmetrics-text; version=1.0.0; charset=utf-8", EXPO_OPENMETRICS},
                 {"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
                  "encoding=delimited",
                  EXPO_PROTOBUF},
                 {"application/vnd.google.protobuf; encoding=text", -1},
                 {"application/json", -1}};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        enum expo_format got = EXPO_TEXT;
        struct err *e = expo_import_format(slice_cstr(cases[i].type), &got);

        CHECK((e != NULL) == (cases[i].format < 0));
        CHECK(e || (int)got == cases[i].format);
        err_free(e);
    }
}

static int post(struct door_fixture *f, const char *path, const char *body, char text[512])
{
    const char *headers[] = {"X-Scope-OrgID: t", "Content-Type: text/plain"};
    struct http_client_reply r = {0};
    int status;

    CHECK_OK(door_fixture_post(f, path, headers, 2, slice_cstr(body), &r));
    status = r.status;
    (void)snprintf(text, 512, "%.*s", SLICE_ARG(buf_slice(&r.body)));
    http_client_reply_done(&r);
    return status;
}

static void check_series(struct door_fixture *f, const char *want)
{
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    struct buf got = {0};

    CHECK_OK(head_select(f->head, &q, &set));
    while (head_set_next(set, &s)) {
        labels_text(&got, s.labels);
        buf_byte(&got, '\n');
    }
    CHECK_OK(head_set_close(set));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}

TEST(expo_import_stores_what_it_answers_204_to)
{
    struct door_fixture f;
    char text[512];

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_INT(post(&f, "/api/v1/import/prometheus?extra_label=job=b", "up{a=\"b\"} 1\n", text),
              204);
    CHECK_INT(post(&f, "/api/v1/import/prometheus/metrics/job/j/p@base64/L3Vzcg", "x 1\n", text),
              204);
    CHECK_INT(post(&f, "/api/v1/import/prometheus", "up{", text), 400);
    CHECK(strstr(text, "line 1"));
    CHECK_INT(post(&f, "/api/v1/import/prometheus?extra_label=job", "up 1", text), 400);
    CHECK_INT(post(&f, "/api/v1/import/prometheus/metrics/x/y", "up 1", text), 400);
    check_series(&f, "up{a=\"b\", job=\"b\"}\nx{job=\"j\", p=\"/usr\"}\n");
    door_fixture_close(&f);
}

TEST(influx_write_answers_as_influxdb)
{
    struct door_fixture f;
    char text[512];

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_INT(post(&f, "/write?precision=s&db=x", "cpu,host=a load=1,value=2 1700000000\n", text),
              204);
    CHECK_INT(post(&f, "/api/v1/push/influx/write", "m x=1i\nbad\n", text), 400);
    CHECK(strstr(text, "{\"error\":\"partial write: unable to parse line 2: missing fields"));
    CHECK_INT(post(&f, "/api/v2/write?precision=y", "m x=1\n", text), 400);
    CHECK(strstr(text, "{\"code\":\"invalid\",\"message\":\"invalid precision"));
    CHECK_INT(post(&f, "/query?q=CREATE+DATABASE+%22x%22", "", text), 200);
    CHECK_STR(text, "{\"results\":[{\"statement_id\":0}]}");
    CHECK_INT(post(&f, "/query?q=SELECT+1", "", text), 400);
    check_series(&f, "cpu{host=\"a\"}\ncpu_load{host=\"a\"}\nm_x\n");
    door_fixture_close(&f);
}
