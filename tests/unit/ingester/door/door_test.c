/* The door over HTTP, with a real head behind it. */
#include "common/block/chunk.h"
#include "common/block/start_runs.h"
#include "common/net/codec.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/ingester/door_fixture.h"
#include "tests/unit/test.h"

#define T0 1767225600000

struct answer {
    int status;
    char text[512];
};

static struct answer post(struct door_fixture *f, struct slice body, bool is_plain,
                          const char *type)
{
    const char *headers[] = {"X-Scope-OrgID: t", "Content-Encoding: snappy",
                             type ? type : "Content-Type: application/x-protobuf"};
    struct http_client_reply r = {0};
    struct answer a = {0};
    struct buf packed = {0};

    if (is_plain)
        CHECK_OK(codec_encode(CODEC_SNAPPY, 0, body, &packed));
    CHECK_OK(
        door_fixture_post(f, "/api/v1/push", headers, 3, is_plain ? buf_slice(&packed) : body, &r));
    a.status = r.status;
    (void)snprintf(a.text, sizeof(a.text), "%.*s", SLICE_ARG(buf_slice(&r.body)));
    http_client_reply_done(&r);
    buf_done(&packed);
    return a;
}

static void put(struct buf *req, const char *name, const char *value, double v, int64_t t_ms)
{
    struct buf m = {0};

    rw_build_label(&m, "__name__", name);
    if (value)
        rw_build_label(&m, "a", value);
    rw_build_sample(&m, v, t_ms);
    rw_build_field(req, 1, &m);
}

static struct answer write_one(struct door_fixture *f, const char *name, const char *value,
                               double v, int64_t t_ms)
{
    struct buf req = {0};
    struct answer a;

    put(&req, name, value, v, t_ms);
    a = post(f, buf_slice(&req), true, NULL);
    buf_done(&req);
    return a;
}

static size_t count_series(struct door_fixture *f, size_t *ret_chunks)
{
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    size_t n = 0;

    *ret_chunks = 0;
    CHECK_OK(head_select(f->head, &q, &set));
    for (; head_set_next(set, &s); n++)
        *ret_chunks += s.n_chunks;
    CHECK_OK(head_set_close(set));
    return n;
}

TEST(door_stores_what_it_answers_204_to)
{
    struct door_fixture f;
    size_t chunks;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_INT(write_one(&f, "up", "x", 1, T0).status, 204);
    CHECK_INT(write_one(&f, "up", "x", 1, T0 + 1000).status, 204); /* without labels now */
    CHECK_INT(write_one(&f, "up", "x", 1, T0 + 1000).status, 204); /* a retry */
    CHECK_INT(write_one(&f, "up", "y", 1, T0).status, 204);
    CHECK_INT(count_series(&f, &chunks), 2);
    door_fixture_close(&f);
}

TEST(door_stores_the_valid_part_and_says_what_is_not)
{
    struct door_fixture f;
    struct buf req = {0};
    struct answer a;
    size_t chunks;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    put(&req, "up", "x", 1, T0);
    put(&req, "up", "\xff", 1, T0);
    put(&req, "", NULL, 1, T0);
    a = post(&f, buf_slice(&req), true, NULL);
    CHECK_INT(a.status, 400);
    CHECK(strstr(a.text, "2 of 3 samples refused"));
    CHECK(strstr(a.text, "label value is not UTF-8: 1, such as up{a=\"\\xff\"}"));
    CHECK_INT(count_series(&f, &chunks), 1);
    a = write_one(&f, "up", "x", 2, T0 - 5000);
    CHECK_INT(a.status, 400);
    CHECK(strstr(a.text, "out of order sample: 1, such as up{a=\"x\"} at 1767225595000"));
    a = write_one(&f, "up", "x", 2, T0 * 2);
    CHECK(a.status == 400 && strstr(a.text, "too far in the future"));
    buf_done(&req);
    door_fixture_close(&f);
}

TEST(door_refuses_bad_bodies)
{
    struct door_fixture f;
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'x'}; /* says 4 GiB */
    struct answer a;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    a = post(&f, SLICE("\x20garbage"), false, NULL);
    CHECK_INT(a.status, 400);
    a = post(&f, slice_of(huge, sizeof(huge)), false, NULL);
    CHECK(a.status == 400 || a.status == 413);
    a = post(&f, SLICE("\x0a\x05\x0a"), true, NULL);
    CHECK_INT(a.status, 400);
    CHECK(strstr(a.text, "proto: "));
    a = post(&f, SLICE("\x2a\x00"), true,
             "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request");
    CHECK_INT(a.status, 400);
    CHECK(strstr(a.text, "neither samples") || strstr(a.text, "series has no metric name"));
    door_fixture_close(&f);
}

TEST(door_needs_a_tenant_and_the_right_type)
{
    static const struct {
        const char *type, *encoding;
        int status;
    } cases[] = {
        {"application/x-protobuf", "snappy", 204},
        {"application/x-protobuf;proto=prometheus.WriteRequest", "snappy", 204},
        {"application/x-protobuf; proto=prometheus.WriteRequest", "snappy", 204},
        {"application/x-protobuf;proto=other.Thing", "snappy", 415},
        {"application/x-protobuf;proto", "snappy", 415},
        {"application/json", "snappy", 415},
        {"application/x-protobuf", "gzip", 415},
        {"application/x-protobuf", "zstd", 415},
    };
    struct door_fixture f;
    struct http_client_reply r = {0};
    struct buf packed = {0};

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_OK(codec_encode(CODEC_SNAPPY, 0, SLICE(""), &packed));
    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        char type[128], encoding[64];
        const char *headers[] = {"X-Scope-OrgID: t", type, encoding};

        (void)snprintf(type, sizeof(type), "Content-Type: %s", cases[i].type);
        (void)snprintf(encoding, sizeof(encoding), "Content-Encoding: %s", cases[i].encoding);
        CHECK_OK(door_fixture_post(&f, "/api/v1/write", headers, 3, buf_slice(&packed), &r));
        CHECK_INT(r.status, cases[i].status);
        http_client_reply_done(&r);
    }
    CHECK_OK(door_fixture_post(&f, "/api/v1/push", NULL, 0, buf_slice(&packed), &r));
    CHECK_INT(r.status, 401);
    http_client_reply_done(&r);
    buf_done(&packed);
    door_fixture_close(&f);
}

TEST(door_holds_tenants_to_their_limits)
{
    struct door_fixture f;
    struct answer a;

    CHECK_OK(door_fixture_open(&f, tmp_path(""),
                               "limits: {max-global-series-per-user: 2, ingestion-rate: 0.001, "
                               "ingestion-burst-size: 4}\n"));
    CHECK_INT(write_one(&f, "up", "x", 1, T0).status, 204);
    CHECK_INT(write_one(&f, "up", "y", 1, T0).status, 204);
    a = write_one(&f, "up", "z", 1, T0);
    CHECK_INT(a.status, 422);
    CHECK(strstr(a.text, "max_global_series_per_user"));
    CHECK_INT(write_one(&f, "up", "x", 1, T0 + 1).status, 204);
    a = write_one(&f, "up", "x", 1, T0 + 2);
    CHECK_INT(a.status, 429);
    CHECK(strstr(a.text, "ingestion_rate"));
    door_fixture_close(&f);
}

/* An invalid native histogram refuses all of the request, as in Prometheus. */
TEST(door_stores_nothing_beside_an_invalid_histogram)
{
    struct door_fixture f;
    struct buf req = {0}, m = {0}, h = {0};
    struct answer a;
    size_t chunks;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    put(&req, "up", "x", 1, T0);
    rw_build_label(&m, "__name__", "h");
    rw_build_varint(&h, 1, 7);
    rw_build_varint(&h, 15, T0);
    rw_build_field(&m, 4, &h);
    rw_build_field(&req, 1, &m);
    a = post(&f, buf_slice(&req), true, NULL);
    CHECK_INT(a.status, 400);
    CHECK(strstr(a.text, "0 observations found in buckets, but the Count field is 7"));
    CHECK_INT(count_series(&f, &chunks), 0);
    buf_done(&req);
    door_fixture_close(&f);
}

static struct answer write_replica(struct door_fixture *f, const char *replica, int64_t t_ms)
{
    struct buf req = {0}, m = {0};
    struct answer a;

    rw_build_label(&m, "__name__", "up");
    rw_build_label(&m, "__replica__", replica);
    rw_build_label(&m, "cluster", "c");
    rw_build_sample(&m, 1, t_ms);
    rw_build_field(&req, 1, &m);
    a = post(f, buf_slice(&req), true, NULL);
    buf_done(&req);
    return a;
}

TEST(door_takes_one_replica_of_a_pair)
{
    struct door_fixture f;
    size_t chunks;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), "limits: {accept-ha-samples: true}\n"));
    CHECK_INT(write_replica(&f, "a", T0).status, 204);
    CHECK_INT(write_replica(&f, "b", T0).status, 202);
    CHECK_INT(write_replica(&f, "b", T0 + 1000).status, 202);
    CHECK_INT(write_replica(&f, "a", T0 + 1000).status, 204);
    CHECK_INT(write_one(&f, "up", "x", 1, T0).status, 204); /* of no pair */
    CHECK_INT(count_series(&f, &chunks), 2);
    door_fixture_close(&f);
}

/* ---- created timestamps ---- */

/* "t:v t:v", times relative to T0 in seconds; histograms by their count. */
static const char *stored_text(struct door_fixture *f)
{
    static char text[512];
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct arena *a = arena_new(0);
    struct head_series s;
    struct head_set *set;
    struct buf out = {0};

    CHECK_OK(head_select(f->head, &q, &set));
    while (head_set_next(set, &s))
        for (size_t i = 0; i < s.n_chunks; i++) {
            struct chunk_columns col;

            CHECK_OK(chunk_decode(a, s.chunks[i].encoding, s.chunks[i].data, &col));
            for (size_t k = 0; k < col.n; k++)
                buf_printf(&out, "%s%lld:%g", out.len ? " " : "", (long long)(col.t[k] - T0) / 1000,
                           col.h ? col.h[k].count : col.v[k]);
        }
    CHECK_OK(head_set_close(set));
    (void)snprintf(text, sizeof(text), "%s", buf_cstr(&out));
    buf_done(&out);
    arena_free(a);
    return text;
}

static int write_created(struct door_fixture *f, int64_t t_s, int64_t created_s, bool is_histogram)
{
    struct buf req = {0}, series = {0}, m = {0};
    struct answer a;

    rw_build_text(&req, 4, "");
    rw_build_text(&req, 4, "__name__");
    rw_build_text(&req, 4, is_histogram ? "h" : "c_total");
    rw_build_text(&series, 1, "\x01\x02");
    if (is_histogram) {
        rw_build_varint(&m, 1, 5); /* count, all of it in the zero bucket */
        rw_build_double(&m, 3, 2.5);
        rw_build_varint(&m, 6, 5);
        rw_build_varint(&m, 15, (uint64_t)(T0 + t_s * 1000));
        rw_build_varint(&m, 17, (uint64_t)(T0 + created_s * 1000));
        rw_build_field(&series, 3, &m);
    } else {
        rw_build_double(&m, 1, 7);
        rw_build_varint(&m, 2, (uint64_t)(T0 + t_s * 1000));
        rw_build_varint(&m, 3, (uint64_t)(T0 + created_s * 1000));
        rw_build_field(&series, 2, &m);
    }
    rw_build_field(&req, 5, &series);
    a = post(f, buf_slice(&req), true,
             "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request");
    buf_done(&req);
    return a.status;
}

TEST(door_stores_zeros_where_counters_began)
{
    struct door_fixture f;

    CHECK_OK(
        door_fixture_open(&f, tmp_path(""), "limits: {created-timestamp-zero-ingestion: true}\n"));
    CHECK_INT(write_created(&f, 10, 5, false), 204);
    CHECK_INT(write_created(&f, 20, 5, false), 204);  /* told before */
    CHECK_INT(write_created(&f, 30, 15, false), 204); /* no place for it: nothing is said */
    CHECK_INT(write_created(&f, 40, 35, false), 204); /* began again */
    CHECK_INT(write_created(&f, 50, 50, false), 204); /* not before the sample */
    CHECK_STR(stored_text(&f), "5:0 10:7 20:7 30:7 35:0 40:7 50:7");
    door_fixture_close(&f);
}

TEST(door_stores_zero_histograms_where_they_began)
{
    struct door_fixture f;

    CHECK_OK(
        door_fixture_open(&f, tmp_path(""), "limits: {created-timestamp-zero-ingestion: true}\n"));
    CHECK_INT(write_created(&f, 10, 5, true), 204);
    CHECK_INT(write_created(&f, 20, 5, true), 204);
    CHECK_STR(stored_text(&f), "5:0 10:5 20:5");
    door_fixture_close(&f);
}

TEST(door_stores_no_zeros_unless_asked_to)
{
    struct door_fixture f;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_INT(write_created(&f, 10, 5, false), 204);
    CHECK_STR(stored_text(&f), "10:7");
    door_fixture_close(&f);
}

/* ---- start timestamps ---- */

/* "t@st" of all samples in the head, in seconds. */
static void check_starts(struct door_fixture *f, const char *want)
{
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct arena *a = arena_new(0);
    struct start_set set = {0};
    struct head_series s;
    struct head_set *hs;
    struct buf out = {0};
    int64_t t[64], st[64] = {0};
    size_t n = 0;

    CHECK_OK(head_select(f->head, &q, &hs));
    while (head_set_next(hs, &s))
        for (size_t i = 0; i < s.n_chunks; i++) {
            struct chunk_columns col;

            if (s.chunks[i].encoding == CHUNK_STARTS) {
                CHECK_OK(start_set_add(&set, s.chunks[i].data));
                continue;
            }
            CHECK_OK(chunk_decode(a, s.chunks[i].encoding, s.chunks[i].data, &col));
            for (size_t k = 0; k < col.n && n < ORR_COUNT(t); k++)
                t[n++] = col.t[k];
        }
    CHECK_OK(head_set_close(hs));
    start_set_flatten(&set);
    (void)start_set_fill(&set, t, n, st);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%lld@%lld", i ? " " : "", (long long)(t[i] - T0) / 1000,
                   (long long)(st[i] ? st[i] - T0 : 0) / 1000);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    start_set_done(&set);
    arena_free(a);
}

TEST(door_stores_start_timestamps)
{
    for (int is_histogram = 0; is_histogram < 2; is_histogram++) {
        struct door_fixture f;

        CHECK_OK(door_fixture_open(&f, tmp_path(is_histogram ? "h" : "f"),
                                   "limits: {start-timestamp-storage: true}\n"));
        CHECK_INT(write_created(&f, 10, 5, is_histogram), 204);
        CHECK_INT(write_created(&f, 20, 5, is_histogram), 204);
        CHECK_INT(write_created(&f, 30, 20, is_histogram), 204);
        CHECK_INT(write_created(&f, 40, 40, is_histogram), 204); /* as told, whatever it means */
        check_starts(&f, "10@5 20@5 30@20 40@40");
        door_fixture_close(&f);
    }
}

TEST(door_stores_no_start_timestamps_unless_asked_to)
{
    struct door_fixture f;

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    CHECK_INT(write_created(&f, 10, 5, false), 204);
    check_starts(&f, "10@0");
    door_fixture_close(&f);
}

/* ---- what was written ---- */

static void put_2(struct buf *symbols, struct buf *all, uint32_t *n, const char *name,
                  bool is_histogram, const int64_t *t_s, size_t n_times)
{
    struct buf series = {0}, refs = {0};

    rw_build_text(symbols, 4, name);
    buf_uvarint(&refs, 1);
    buf_uvarint(&refs, (*n)++);
    rw_build_field(&series, 1, &refs);
    for (size_t i = 0; i < n_times; i++) {
        struct buf m = {0};

        if (is_histogram) {
            rw_build_varint(&m, 1, 5);
            rw_build_varint(&m, 6, 5);
            rw_build_varint(&m, 15, (uint64_t)(T0 + t_s[i] * 1000));
        } else {
            rw_build_double(&m, 1, (double)i + 1);
            rw_build_varint(&m, 2, (uint64_t)(T0 + t_s[i] * 1000));
        }
        rw_build_field(&series, is_histogram ? 3 : 2, &m);
    }
    rw_build_field(all, 5, &series);
}

/* "samples histograms" of the answer's headers. */
static const char *written_text(struct door_fixture *f, struct buf *symbols, struct buf *all)
{
    static char text[64];
    const char *headers[] = {
        "X-Scope-OrgID: t", "Content-Encoding: snappy",
        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"};
    struct http_client_reply r = {0};
    struct buf packed = {0};

    buf_slice_append(symbols, buf_slice(all));
    CHECK_OK(codec_encode(CODEC_SNAPPY, 0, buf_slice(symbols), &packed));
    CHECK_OK(door_fixture_post(f, "/api/v1/push", headers, 3, buf_slice(&packed), &r));
    (void)snprintf(
        text, sizeof(text), "%.*s %.*s",
        SLICE_ARG(http_client_reply_header(&r, "X-Prometheus-Remote-Write-Samples-Written")),
        SLICE_ARG(http_client_reply_header(&r, "X-Prometheus-Remote-Write-Histograms-Written")));
    http_client_reply_done(&r);
    buf_done(&packed);
    buf_done(symbols);
    buf_done(all);
    return text;
}

/* More refusals than examples: each is counted as what it is. */
TEST(door_says_exactly_what_was_written)
{
    static const int64_t late[] = {50}, now[] = {100}, own[] = {200, 150, 150};
    static const int64_t both_late[] = {60, 55, 55}, late_then_new[] = {60, 110};
    struct buf symbols = {0}, all = {0};
    struct door_fixture f;
    char name[32];

    CHECK_OK(door_fixture_open(&f, tmp_path(""), ""));
    for (int round = 0; round < 2; round++) {
        uint32_t n = 2;

        rw_build_text(&symbols, 4, "");
        rw_build_text(&symbols, 4, "__name__");
        for (int i = 0; i < 24; i++) {
            (void)snprintf(name, sizeof(name), "s%d", i);
            put_2(&symbols, &all, &n, name, i < 12, round ? late : now, 1);
        }
        if (round) {
            put_2(&symbols, &all, &n, "fresh", false, now, 1);
            put_2(&symbols, &all, &n, "fresh_h", true, now, 1);
            /* behind itself: Prometheus counts it as written, and so do we */
            put_2(&symbols, &all, &n, "own", false, own, 3);
        }
        /* behind what was there before the write, whatever else is in it: only 110 is new */
        put_2(&symbols, &all, &n, "both_late", false, round ? both_late : now, round ? 3 : 1);
        put_2(&symbols, &all, &n, "late_then_new", false, round ? late_then_new : now,
              round ? 2 : 1);
        CHECK_STR(written_text(&f, &symbols, &all), round ? "5 1" : "14 12");
    }
    door_fixture_close(&f);
}
