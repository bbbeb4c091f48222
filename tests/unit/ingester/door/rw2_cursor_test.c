#include "ingester/door/rw2_cursor.h"
#include "ingester/door/rw2_request.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/test.h"

#define T0 1767225600000

static void put_symbols(struct buf *req, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rw_build_text(req, 4, names[i]);
}

static void put_sample(struct buf *series, double v, int64_t t_ms, int64_t created_ms)
{
    struct buf m = {0};

    rw_build_double(&m, 1, v);
    rw_build_varint(&m, 2, (uint64_t)t_ms);
    if (created_ms)
        rw_build_varint(&m, 3, (uint64_t)created_ms);
    rw_build_field(series, 2, &m);
}

static void put_refs(struct buf *series, const uint32_t *refs, size_t n)
{
    struct buf m = {0};

    for (size_t i = 0; i < n; i++)
        buf_uvarint(&m, refs[i]);
    rw_build_field(series, 1, &m);
}

static void put_metadata(struct buf *series, uint32_t type, uint32_t help, uint32_t unit)
{
    struct buf m = {0};

    rw_build_varint(&m, 1, type);
    rw_build_varint(&m, 3, help);
    rw_build_varint(&m, 4, unit);
    rw_build_field(series, 5, &m);
}

static const char *const names[] = {"",     "__name__", "lat_bucket", "job",      "a b",
                                    "help", "seconds",  "zz",         "trace_id", "up"};

TEST(rw2_cursor_reads_series_before_their_symbols)
{
    struct arena *a = arena_new(0);
    struct buf req = {0}, series = {0}, m = {0};
    struct slice symbol;
    struct rw2_cursor c;

    put_refs(&series, (const uint32_t[]){1, 2}, 2);
    rw_build_varint(&series, 1, 3); /* not packed */
    rw_build_varint(&series, 1, 300);
    put_sample(&series, 1.5, T0, T0 - 5);
    put_sample(&series, 0, -7, 0);
    rw_build_varint(&m, 1, 8);
    rw_build_varint(&m, 1, 4);
    rw_build_double(&m, 2, 0.5);
    rw_build_field(&series, 4, &m);
    put_metadata(&series, METRIC_HISTOGRAM, 5, 6);
    rw_build_varint(&series, 6, 77);
    rw_build_field(&req, 5, &series);
    rw_build_varint(&req, 9, 1); /* unknown */
    put_symbols(&req, names, ORR_COUNT(names));

    rw2_cursor_init(&c, a, buf_slice(&req));
    CHECK_INT(c.n_symbols, ORR_COUNT(names));
    CHECK(rw2_cursor_symbol(&c, 4, &symbol));
    CHECK_SLICE(symbol, "a b");
    CHECK(!rw2_cursor_symbol(&c, ORR_COUNT(names), &symbol));
    CHECK(rw2_cursor_next(&c));
    CHECK_INT(c.series.refs.n, 4);
    CHECK_INT(c.series.refs.ptr[3], 300);
    CHECK_INT(c.series.n_samples, 2);
    CHECK(c.series.samples[0].v == 1.5 && c.series.samples[1].t_ms == -7);
    CHECK(c.series.created[0] == T0 - 5 && c.series.created[1] == 0);
    CHECK_INT(c.series.n_exemplars, 1);
    CHECK_INT(c.series.exemplars[0].refs.n, 2);
    CHECK(c.series.type == METRIC_HISTOGRAM && c.series.help_ref == 5 && c.series.unit_ref == 6);
    CHECK_INT(c.series.created_ms, 77);
    CHECK(!rw2_cursor_next(&c));
    CHECK(c.error == NULL);
    buf_done(&req);
    arena_free(a);
}

TEST(rw2_cursor_refuses_what_is_malformed)
{
    static const struct slice cases[] = {
        SLICE_INIT("\x2a\x05\x0a"),             /* series longer than the request */
        SLICE_INIT("\x2a\x02\x0a\x09"),         /* references longer than the series */
        SLICE_INIT("\x2a\x03\x0a\x01\x80"),     /* a reference cut short */
        SLICE_INIT("\x2b"),                     /* a group */
        SLICE_INIT("\x28\x01"),                 /* timeseries as a number */
        SLICE_INIT("\x20\x01"),                 /* symbols as a number */
        SLICE_INIT("\x2a\x04\x12\x02\x08\x01"), /* a sample's value as a number */
        SLICE_INIT("\x2a\x02\x10\x01"),         /* a sample as a number */
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct arena *a = arena_new(0);
        struct rw2_cursor c;

        rw2_cursor_init(&c, a, cases[i]);
        while (rw2_cursor_next(&c))
            ;
        CHECK(c.error != NULL);
        arena_free(a);
    }
}

/* ---- into a push ---- */

struct written {
    struct push *p;
    struct push_builder b;
    struct fp_cache known;
};

static void decode(struct written *w, struct buf *req)
{
    fp_cache_init(&w->known, 1 << 20);
    w->p = push_new(SLICE("t"), &(struct tenant_limits){.generation = 1});
    buf_slice_append(&w->p->body, buf_slice(req));
    push_builder_init(&w->b, w->p, &w->known, T0);
    CHECK_OK(rw2_request_decoder.decode(&w->b, NULL));
}

static void close_written(struct written *w)
{
    push_free(w->p);
    fp_cache_done(&w->known);
}

static void put_series(struct buf *req, const uint32_t *refs, size_t n, uint32_t help)
{
    struct buf series = {0};

    put_refs(&series, refs, n);
    put_sample(&series, 1, T0, 0);
    put_metadata(&series, METRIC_HISTOGRAM, help, 6);
    rw_build_field(req, 5, &series);
}

TEST(rw2_request_refuses_series_by_series)
{
    struct buf req = {0}, series = {0};
    struct written w;

    put_symbols(&req, names, ORR_COUNT(names));
    put_series(&req, (const uint32_t[]){3, 4, 1, 2}, 4, 5); /* good, not sorted */
    put_series(&req, (const uint32_t[]){1, 2, 3}, 3, 5);    /* no pairs */
    put_series(&req, (const uint32_t[]){1, 99}, 2, 5);      /* nowhere */
    put_series(&req, (const uint32_t[]){1, 2}, 2, 99);      /* metadata nowhere */
    put_series(&req, (const uint32_t[]){3, 4}, 2, 5);       /* no name */
    put_refs(&series, (const uint32_t[]){1, 2}, 2);
    rw_build_field(&req, 5, &series); /* nothing in it */
    decode(&w, &req);
    CHECK_INT(w.p->series.len, 1);
    CHECK_INT(w.b.rejects.samples[DOOR_INVALID_REFERENCE], 3);
    CHECK_INT(w.b.rejects.samples[DOOR_MISSING_NAME], 1);
    CHECK_INT(w.b.rejects.samples[DOOR_NO_SAMPLES], 1);
    close_written(&w);
    buf_done(&req);
}

TEST(rw2_request_sends_metadata_of_a_family_once)
{
    struct buf req = {0};
    struct written w;
    struct push *second;
    struct push_builder b;

    put_symbols(&req, names, ORR_COUNT(names));
    put_series(&req, (const uint32_t[]){1, 2, 3, 4}, 4, 5);
    put_series(&req, (const uint32_t[]){1, 2, 3, 7}, 4, 5);
    put_series(&req, (const uint32_t[]){1, 9}, 2, 5);
    decode(&w, &req);
    CHECK_INT(w.p->metadata.len, 2);
    CHECK_SLICE(w.p->metadata.ptr[0].family, "lat");
    CHECK_SLICE(w.p->metadata.ptr[0].help, "help");
    CHECK_SLICE(w.p->metadata.ptr[0].unit, "seconds");
    CHECK_SLICE(w.p->metadata.ptr[1].family, "up");
    push_builder_remember(w.p, &w.known);
    /* Stored: not again for a while. */
    for (int i = 0; i < 2; i++) {
        second = push_new(SLICE("t"), &w.p->limits);
        buf_slice_append(&second->body, buf_slice(&req));
        push_builder_init(&b, second, &w.known, T0 + i * PUSH_BUILDER_METADATA_MS);
        CHECK_OK(rw2_request_decoder.decode(&b, NULL));
        CHECK_INT(second->metadata.len, i ? 2 : 0);
        CHECK(second->series.ptr[0].is_known);
        push_free(second);
    }
    close_written(&w);
    buf_done(&req);
}

TEST(rw2_request_refuses_a_histogram_by_itself)
{
    struct buf req = {0}, series = {0}, h = {0};
    struct written w;

    put_symbols(&req, names, ORR_COUNT(names));
    put_refs(&series, (const uint32_t[]){1, 2}, 2);
    rw_build_varint(&h, 1, 7); /* seven observations in no bucket */
    rw_build_varint(&h, 15, T0);
    rw_build_field(&series, 3, &h);
    rw_build_varint(&h, 1, 0);
    rw_build_varint(&h, 15, T0 + 1);
    rw_build_field(&series, 3, &h);
    rw_build_field(&req, 5, &series);
    decode(&w, &req);
    CHECK_INT(w.p->histograms, 1);
    CHECK_INT(w.p->series.ptr[0].extra->histograms[0].t_ms, T0 + 1);
    CHECK_INT(w.b.rejects.samples[DOOR_INVALID_HISTOGRAM], 1);
    CHECK(strstr(w.b.rejects.detail[DOOR_INVALID_HISTOGRAM], "the Count field is 7"));
    close_written(&w);
    buf_done(&req);
}

TEST(rw2_request_bounds_labels)
{
    struct buf req = {0}, series = {0}, refs = {0};
    struct written w;

    put_symbols(&req, names, ORR_COUNT(names));
    for (size_t i = 0; i < 20000; i++)
        buf_byte(&refs, 1);
    rw_build_field(&series, 1, &refs);
    put_sample(&series, 1, T0, 0);
    rw_build_field(&req, 5, &series);
    decode(&w, &req);
    CHECK_INT(w.b.rejects.samples[DOOR_MAX_LABELS], 1);
    CHECK(arena_used(w.p->arena) < 1 << 20);
    close_written(&w);
    buf_done(&req);
}
