/* The door of logs over HTTP, with a sink that keeps what it is given as text. */
#include <pthread.h>
#include <stdio.h>

#include "common/auth/auth.h"
#include "common/net/codec.h"
#include "common/net/http_client.h"
#include "ingester/door/log_http.h"
#include "tests/unit/ingester/door/log_text.h"

struct fixture {
    struct loop *loop;
    struct conf *conf;
    struct auth *auth;
    struct limits *limits;
    struct log_door *door;
    struct http_server *http;
    struct clock_fake clock;
    struct log_sink sink;
    pthread_mutex_t lock; /* of what follows: the loop writes, the test reads */
    struct buf stored;
    size_t n_known;      /* streams whose labels were known */
    const char *refuses; /* what the sink says; NULL: it takes all */
    bool keeps;          /* the sink keeps the batch, like one with a slow replica */
    VEC(struct log_batch *) kept;
    enum err_code refusal;
};

static void sink_write(void *arg, struct loop *loop, struct log_batch *batch,
                       log_sink_done_fn *done, void *done_arg)
{
    struct fixture *f = arg;
    struct err *err;

    (void)loop;
    pthread_mutex_lock(&f->lock);
    VEC_FOREACH (s, &batch->streams)
        f->n_known += s->is_known;
    if (f->keeps) {
        log_batch_ref(batch);
        vec_push(&f->kept, batch);
    } else {
        log_text_print(&f->stored, batch);
    }
    err = f->refuses ? err_new(f->refusal, "%s", f->refuses) : NULL;
    pthread_mutex_unlock(&f->lock);
    done(done_arg, err);
}

static void refuse(struct fixture *f, enum err_code code, const char *why)
{
    pthread_mutex_lock(&f->lock);
    f->refuses = why;
    f->refusal = code;
    pthread_mutex_unlock(&f->lock);
}

static void open_with(struct fixture *f, const char *yaml, bool has_sink)
{
    static const struct conf_section *const sections[] = {&auth_section, &limits_section};

    *f = (struct fixture){.refusal = ERR_LIMIT, .lock = PTHREAD_MUTEX_INITIALIZER};
    f->sink = (struct log_sink){sink_write, f};
    clock_fake_init(&f->clock, LOG_TEXT_NOW_NS);
    CHECK_OK(conf_load_text(&(struct conf_source){.sections = sections, .section_count = 2}, "test",
                            slice_cstr(yaml), &f->conf));
    CHECK_OK(limits_new(f->conf, "test", &f->limits));
    CHECK_OK(loop_new("door", &f->loop));
    f->auth = auth_new(f->conf);
    f->door = log_door_new(&(struct log_door_opts){.loops = &f->loop,
                                                   .n_loops = 1,
                                                   .limits = f->limits,
                                                   .sink = has_sink ? &f->sink : NULL,
                                                   .clock = &f->clock.clock,
                                                   .cache_bytes = 1 << 20,
                                                   .max_body_bytes = 1 << 20,
                                                   .max_inflight_bytes = 16 << 20});
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = f->auth},
                             &f->loop, 1, &f->http));
    log_http_routes(f->http, f->door);
    CHECK_OK(http_server_listen(f->http));
    CHECK_OK(loop_start(f->loop));
}

static void close_all(struct fixture *f)
{
    loop_join(f->loop);
    http_server_free(f->http);
    log_door_free(f->door);
    auth_free(f->auth);
    limits_stop(f->limits);
    limits_free(f->limits);
    conf_unref(f->conf);
    loop_free(f->loop);
    buf_done(&f->stored);
    VEC_FOREACH (b, &f->kept)
        log_batch_free(*b);
    vec_done(&f->kept);
}

/* type: the header; NULL: JSON. "status text" of the answer, to be ended. */
static struct buf call(struct fixture *f, const char *method, const char *path, const char *type,
                       struct slice body)
{
    const char *headers[] = {"X-Scope-OrgID: t", type ? type : "Content-Type: application/json"};
    struct http_client_reply r = {0};
    struct buf out = {0};
    char url[160];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(f->http), path);
    CHECK_OK(http_client_blocking(
        NULL,
        &(struct http_client_req){
            .method = method, .url = url, .headers = headers, .header_count = 2, .body = body},
        &r));
    buf_printf(&out, "%d ", r.status);
    buf_slice_append(&out, buf_slice(&r.body));
    http_client_reply_done(&r);
    return out;
}

static struct buf post(struct fixture *f, const char *path, const char *body)
{
    return call(f, "POST", path, NULL, slice_cstr(body));
}

static void check_stored(struct fixture *f, const char *want)
{
    pthread_mutex_lock(&f->lock);
    CHECK_STR(buf_cstr(&f->stored), want);
    buf_reset(&f->stored);
    pthread_mutex_unlock(&f->lock);
}

static void check_known(struct fixture *f, int64_t want)
{
    pthread_mutex_lock(&f->lock);
    CHECK_INT(f->n_known, want);
    pthread_mutex_unlock(&f->lock);
}

static const char *const one =
    "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1767225600000000000\",\"x\"]]}]}";
static const char *const one_stored = "{app=\"a\", service_name=\"a\"}\n"
                                      "  @1767225600000000000 x {detected_level=\"unknown\"}\n";

TEST(log_http_stores_what_it_answers_204_to)
{
    struct fixture f;

    open_with(&f, "", true);
    log_text_check(post(&f, "/loki/api/v1/push", one), "204 ");
    check_stored(&f, one_stored);
    check_known(&f, 0);
    log_text_check(post(&f, "/loki/api/v1/push", one), "204 ");
    check_stored(&f, one_stored);
    check_known(&f, 1);
    log_text_check(post(&f, "/api/prom/push",
                        "{\"streams\":[{\"labels\":\"{app=\\\"a\\\"}\",\"entries\":[{\"ts\":"
                        "\"2026-01-01T00:00:00Z\",\"line\":\"x\"}]}]}"),
                   "204 ");
    check_stored(&f, one_stored);
    log_text_check(post(&f, "/insert/jsonline?_stream_fields=app&_time_field=t",
                        "{\"app\":\"a\",\"t\":1767225600}\n"),
                   "204 ");
    check_stored(&f, "{app=\"a\", service_name=\"a\"}\n  @1767225600000000000 "
                     "{\"app\":\"a\",\"t\":1767225600} {detected_level=\"unknown\"}\n");
    log_text_check(post(&f, "/loki/api/v1/push", "{}"), "204 ");
    check_stored(&f, "");
    close_all(&f);
}

static void check_kept(struct fixture *f, const char *path, const char *type, struct slice body,
                       const char *want)
{
    struct buf got = call(f, "POST", path, type, body), text = {0};

    CHECK(slice_has_prefix(buf_slice(&got), SLICE("20")));
    buf_done(&got);
    /* When the loop has answered this, the request before is gone. */
    got = call(f, "GET", "/elasticsearch", NULL, SLICE(""));
    buf_done(&got);
    pthread_mutex_lock(&f->lock);
    log_text_print(&text, vec_last(&f->kept));
    pthread_mutex_unlock(&f->lock);
    log_text_check(text, want);
}

/* What a slow replica asks for when the client has its answer. */
TEST(log_http_batches_outlive_their_requests)
{
    static const char *const line = "{app=\"a\", service_name=\"a\"}\n  @1767225600000000000 "
                                    "{\"app\":\"a\",\"t\":1767225600} "
                                    "{detected_level=\"unknown\"}\n";
    struct fixture f;

    open_with(&f, "", true);
    pthread_mutex_lock(&f.lock);
    f.keeps = true;
    pthread_mutex_unlock(&f.lock);
    check_kept(&f, "/loki/api/v1/push", NULL, slice_cstr(one), one_stored);
    check_kept(&f, "/insert/jsonline?_stream_fields=app&_time_field=t", NULL,
               SLICE("{\"app\":\"a\",\"t\":1767225600}\n"), line);
    check_kept(&f, "/_bulk?_stream_fields=app&_time_field=t", NULL,
               SLICE("{\"create\":{}}\n{\"app\":\"a\",\"t\":1767225600}\n"), line);
    check_kept(&f, "/otlp/v1/logs", "Content-Type: application/x-protobuf",
               SLICE("\n\x13\x12\x11\x12\x0f\t\x00\x00\xfa\xedQr\x86\x18*\x04\n\x02yz"),
               "{service_name=\"unknown_service\"}\n  @1767225600000000000 yz "
               "{detected_level=\"unknown\"}\n");
    close_all(&f);
}

/* Lines of JSON lie in its document: that is what bounds of memory have to count. */
TEST(log_http_batches_count_the_document_they_keep)
{
    struct buf body = {0}, got;
    size_t memory, line = 64 << 10;
    struct fixture f;

    open_with(&f, "", true);
    pthread_mutex_lock(&f.lock);
    f.keeps = true;
    pthread_mutex_unlock(&f.lock);
    buf_str(&body,
            "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1767225600000000000\",\"");
    for (size_t i = 0; i < line; i++)
        buf_byte(&body, 'x');
    buf_str(&body, "\"]]}]}");
    got = call(&f, "POST", "/loki/api/v1/push", NULL, buf_slice(&body));
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("204")));
    pthread_mutex_lock(&f.lock);
    memory = log_batch_memory(vec_last(&f.kept));
    pthread_mutex_unlock(&f.lock);
    CHECK(memory > line && memory < 16 * line);
    buf_done(&got);
    buf_done(&body);
    close_all(&f);
}

TEST(log_http_stores_the_rest_and_says_what_was_refused)
{
    struct fixture f;

    open_with(&f, "limits: {max-line-size: 3, max-label-names-per-stream: 1}", true);
    log_text_check(
        post(&f, "/loki/api/v1/push",
             "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1767225600000000000\","
             "\"long\"],[\"1767225600000000000\",\"x\"],[\"1\",\"old\"]]},{\"stream\":{\"a\":\"1\","
             "\"b\":\"2\"},\"values\":[[\"1767225600000000000\",\"y\"]]}]}"),
        "400 3 of 4 lines refused, the others are stored; stream has more labels than limit "
        "max_label_names_per_stream allows (1 lines): stream {a=\"1\", b=\"2\", "
        "service_name=\"unknown_service\"}; timestamp is older than limit "
        "reject_old_samples_max_age allows (1 lines): stream {app=\"a\", service_name=\"a\"}; line "
        "is longer than limit max_line_size allows (1 lines): stream {app=\"a\", "
        "service_name=\"a\"}\n");
    check_stored(&f, one_stored);
    log_text_check(post(&f, "/loki/api/v1/push", "{\"streams\":7}"),
                   "400 JSON: streams: not a list\n");
    check_stored(&f, "");
    close_all(&f);
}

TEST(log_http_passes_on_what_the_sink_says)
{
    struct fixture f;
    struct buf got;

    open_with(&f, "limits: {max-line-size: 1}", true);
    refuse(&f, ERR_LIMIT, "limit max_global_streams_per_user is 1");
    log_text_check(post(&f, "/loki/api/v1/push", one),
                   "422 limit max_global_streams_per_user is 1\n");
    got = post(&f, "/loki/api/v1/push",
               "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1767225600000000000\","
               "\"x\"],[\"1767225600000000000\",\"long\"]]}]}");
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("422 1 of 2 lines refused")));
    CHECK(slice_find(buf_slice(&got), SLICE("; besides: limit max_global"), 0) > 0);
    buf_done(&got);
    refuse(&f, ERR_UNAVAILABLE, "limit max_global_streams_per_user is 1");
    log_text_check(post(&f, "/loki/api/v1/push", one),
                   "503 limit max_global_streams_per_user is 1\n");
    check_known(&f, 0); /* what was not taken is not remembered */
    close_all(&f);
}

TEST(log_http_keeps_to_the_rate)
{
    struct fixture f;
    struct buf got;

    open_with(&f, "limits: {ingestion-rate-mb: 0.000001, ingestion-burst-size-mb: 0.000001}", true);
    log_text_check(post(&f, "/loki/api/v1/push", one), "204 ");
    check_stored(&f, one_stored);
    got = post(&f, "/loki/api/v1/push", one);
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("429 too many bytes of log lines: limit "
                                                  "ingestion_rate_mb is ")));
    buf_done(&got);
    check_stored(&f, "");
    close_all(&f);
}

TEST(log_http_speaks_otlp)
{
    static const char *const body =
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"a\"}}]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":"
        "\"1767225600000000000\",\"body\":{\"stringValue\":\"x\"}},{\"timeUnixNano\":\"5\","
        "\"body\":{"
        "\"stringValue\":\"old\"}}]}]}]}";
    struct fixture f;
    struct buf got;

    open_with(&f, "", true);
    got = post(&f, "/otlp/v1/logs", body);
    CHECK(
        slice_has_prefix(buf_slice(&got), SLICE("200 {\"partialSuccess\":{\"rejectedLogRecords\":"
                                                "\"1\",\"errorMessage\":\"1 of 2 lines refused")));
    buf_done(&got);
    check_stored(&f, "{service_name=\"a\"}\n"
                     "  @1767225600000000000 x {detected_level=\"unknown\"}\n");
    log_text_check(post(&f, "/v1/logs", "{}"), "200 {}");
    got = post(&f, "/otlp/v1/logs", "{\"resourceLogs\":7}");
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("400 {\"code\":3,\"message\":\"JSON: ")));
    buf_done(&got);
    got = call(&f, "POST", "/otlp/v1/logs", "Content-Type: text/plain", SLICE("x"));
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("400 ")));
    buf_done(&got);
    log_text_check(
        call(&f, "POST", "/otlp/v1/logs", "Content-Type: application/x-protobuf", SLICE("")),
        "200 ");
    close_all(&f);
}

TEST(log_http_speaks_elasticsearch)
{
    struct fixture f;
    struct buf got;

    open_with(&f, "", true);
    got = call(&f, "GET", "/elasticsearch", NULL, SLICE(""));
    CHECK(slice_find(buf_slice(&got), SLICE("\"number\":\"8."), 0) > 0);
    buf_done(&got);
    got = call(&f, "GET", "/elasticsearch/_license", NULL, SLICE(""));
    CHECK(slice_find(buf_slice(&got), SLICE("\"status\":\"active\""), 0) > 0);
    buf_done(&got);
    log_text_check(call(&f, "PUT", "/elasticsearch/_index_template/logs", NULL, SLICE("{}")),
                   "200 {\"acknowledged\":true}");
    log_text_check(
        post(&f, "/elasticsearch/logs/_bulk",
             "{\"create\":{}}\n{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"app\":\"a\"}\n"
             "{\"create\":{}}\n[]\n"),
        "200 {\"took\":0,\"errors\":true,\"items\":[{\"create\":{\"status\":201,"
        "\"result\":\"created\"}},{\"create\":{\"status\":400,\"error\":{\"type\":"
        "\"illegal_argument_exception\",\"reason\":\"1 of 2 lines refused, the others are "
        "stored; record that cannot be read (1 lines): not a JSON object\"}}}]}");
    check_stored(&f, "{app=\"a\", index=\"logs\", service_name=\"a\"}\n  @1767225600000000000 "
                     "{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"app\":\"a\"} "
                     "{detected_level=\"unknown\"}\n");
    got = post(&f, "/_bulk", "nonsense\n");
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("400 {\"error\":{\"root_cause\":[{\"type\":")));
    buf_done(&got);
    close_all(&f);
}

TEST(log_http_decodes_bodies_within_bounds)
{
    struct buf big = {0}, packed = {0};
    struct fixture f;
    struct buf got;

    open_with(&f, "", true);
    buf_fill(&big, ' ', 2 << 20);
    CHECK_OK(codec_encode(CODEC_SNAPPY, 0, buf_slice(&big), &packed));
    got = call(&f, "POST", "/loki/api/v1/push", "Content-Type: application/x-protobuf",
               buf_slice(&packed));
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("413 ")));
    buf_done(&got);
    got = call(&f, "POST", "/loki/api/v1/push", "Content-Encoding: br", SLICE("x"));
    CHECK(slice_has_prefix(buf_slice(&got), SLICE("415 ")));
    buf_done(&got);
    check_stored(&f, "");
    buf_done(&big);
    buf_done(&packed);
    close_all(&f);
}

TEST(log_http_without_a_sink_says_so)
{
    struct fixture f;

    open_with(&f, "", false);
    log_text_check(post(&f, "/loki/api/v1/push", one), "422 this process does not store logs\n");
    close_all(&f);
}
