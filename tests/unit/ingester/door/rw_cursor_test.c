#include "ingester/door/rw_cursor.h"
#include "ingester/door/rw_histogram.h"
#include "ingester/door/series_labels.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/test.h"

TEST(rw_cursor_walks_series_and_metadata)
{
    struct buf req = {0}, series = {0}, meta = {0};
    struct rw_cursor c;
    struct rw_fields f;
    struct sample s;

    rw_build_label(&series, "__name__", "up");
    rw_build_label(&series, "job", "a");
    rw_build_sample(&series, 1.5, 1000);
    rw_build_sample(&series, 0, -7);
    rw_build_field(&req, 1, &series);
    rw_build_varint(&meta, 1, METRIC_COUNTER_TYPE);
    rw_build_text(&meta, 2, "up");
    rw_build_text(&meta, 4, "help");
    rw_build_text(&meta, 5, "unit");
    rw_build_field(&req, 3, &meta);
    rw_build_varint(&req, 9, 300); /* unknown */

    rw_cursor_init(&c, buf_slice(&req));
    CHECK_INT(rw_cursor_next(&c), RW_CURSOR_SERIES);
    CHECK_INT(c.series.n_labels, 2);
    CHECK_INT(c.series.n_samples, 2);
    CHECK(!c.series.has_more_labels);
    CHECK_INT(c.series.last_sample.t_ms, -7);
    f = rw_fields_of(c.series.message);
    CHECK(rw_cursor_sample(&f, &s));
    CHECK(s.v == 1.5 && s.t_ms == 1000);
    CHECK(rw_cursor_sample(&f, &s));
    CHECK(s.v == 0 && s.t_ms == -7);
    CHECK(!rw_cursor_sample(&f, &s) && !f.error);
    CHECK_INT(rw_cursor_next(&c), RW_CURSOR_METADATA);
    CHECK_SLICE(c.metadata.family, "up");
    CHECK_SLICE(c.metadata.help, "help");
    CHECK_SLICE(c.metadata.unit, "unit");
    CHECK_INT(c.metadata.type, METRIC_COUNTER_TYPE);
    CHECK_INT(rw_cursor_next(&c), RW_CURSOR_END);
    CHECK_INT(rw_cursor_next(&c), RW_CURSOR_END);
    buf_done(&req);
}

TEST(rw_cursor_refuses_what_is_malformed)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x0a\x05\x0a", 3},                 /* series longer than the request */
        {"\x0a\x02\x0a\x09", 4},             /* label longer than the series */
        {"\x0b", 1},                         /* a group */
        {"\x00\x01", 2},                     /* field number 0 */
        {"\x08\x01", 2},                     /* timeseries as a number */
        {"\x0a\x03\x12\x01\x0d", 5},         /* a sample's value as 32 bits, cut */
        {"\x0a\x04\x12\x02\x08\x01", 6},     /* a sample's value as a number */
        {"\xff\xff\xff\xff\xff\xff\x01", 7}, /* a tag of too many bytes */
        {"\x0a\x02\x10\x01", 4},             /* samples as a number */
        {"\x0a\x04\x1a\x02\x0a\x05", 6},     /* an exemplar with a cut label */
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct rw_cursor c;

        rw_cursor_init(&c, slice_of(cases[i].bytes, cases[i].n));
        CHECK_INT(rw_cursor_next(&c), RW_CURSOR_BAD);
        CHECK(c.error != NULL);
        CHECK_INT(rw_cursor_next(&c), RW_CURSOR_BAD);
    }
}

/* Every prefix of a valid request is read without touching what lies behind it (ASan watches). */
TEST(rw_cursor_reads_no_byte_behind_the_end)
{
    struct buf req = {0}, series = {0}, ex = {0};

    rw_build_label(&series, "__name__", "up");
    rw_build_sample(&series, 3, 1000);
    rw_build_label(&ex, "trace_id", "x");
    rw_build_double(&ex, 2, 1);
    rw_build_varint(&ex, 3, 5);
    rw_build_field(&series, 3, &ex);
    rw_build_field(&req, 1, &series);
    for (size_t n = 0; n <= req.len; n++) {
        uint8_t *copy = mem_alloc(n + 1);
        struct rw_cursor c;
        enum rw_cursor_item item;

        memcpy(copy + 1, req.ptr, n);
        rw_cursor_init(&c, slice_of(copy + 1, n));
        while ((item = rw_cursor_next(&c)) == RW_CURSOR_SERIES)
            ;
        CHECK_INT(item, n == 0 || n == req.len ? RW_CURSOR_END : RW_CURSOR_BAD);
        mem_free(copy);
    }
    buf_done(&req);
}

/* ---- labels ---- */

static const struct tenant_limits limits = {
    .max_label_names_per_series = 3, .max_label_name_length = 10, .max_label_value_length = 10};

static enum door_reason reason_of(const char *const *pairs, enum series_labels_form *ret_form,
                                  struct buf *ret_canonical)
{
    struct buf message = {0};
    struct arena *a = arena_new(0);
    enum door_reason reason = DOOR_OK, built;
    struct slice canonical;

    for (; *pairs; pairs += 2)
        rw_build_label(&message, pairs[0], pairs[1]);
    *ret_form = series_labels_check(buf_slice(&message), &limits, &reason);
    CHECK_OK(series_labels_build(a, buf_slice(&message), &limits, &canonical, &built, NULL));
    if (*ret_form == SERIES_LABELS_CANONICAL) {
        CHECK_INT(built, reason);
        CHECK(slice_eq(canonical, buf_slice(&message)));
    }
    buf_reset(ret_canonical);
    buf_slice_append(ret_canonical, canonical);
    arena_free(a);
    buf_done(&message);
    return built;
}

TEST(series_labels_follow_the_rules)
{
    static const struct {
        const char *pairs[11];
        enum series_labels_form form;
        enum door_reason reason;
    } cases[] = {
        {{"__name__", "up", "b", "x"}, SERIES_LABELS_CANONICAL, DOOR_OK},
        {{"b", "x", "__name__", "up"}, SERIES_LABELS_OTHER, DOOR_OK},
        {{"__name__", "up", "b", ""}, SERIES_LABELS_OTHER, DOOR_OK},
        {{"b", "x"}, SERIES_LABELS_CANONICAL, DOOR_MISSING_NAME},
        {{"__name__", ""}, SERIES_LABELS_OTHER, DOOR_INVALID_NAME},
        {{"__name__", "\xff"}, SERIES_LABELS_CANONICAL, DOOR_INVALID_NAME},
        {{"__name__", "up", "b", "\xff"}, SERIES_LABELS_CANONICAL, DOOR_INVALID_VALUE},
        {{"__name__", "up", "\xff", "b"}, SERIES_LABELS_CANONICAL, DOOR_INVALID_LABEL},
        {{"", "v", "__name__", "up"}, SERIES_LABELS_OTHER, DOOR_INVALID_LABEL},
        {{"__name__", "up", "b", "x", "b", "x"}, SERIES_LABELS_OTHER, DOOR_DUPLICATE_LABEL},
        {{"__name__", "up", "b", "", "b", "x"}, SERIES_LABELS_OTHER, DOOR_DUPLICATE_LABEL},
        {{"__name__", "up", "b", "x", "c", "x", "d", "x"},
         SERIES_LABELS_CANONICAL,
         DOOR_MAX_LABELS},
        {{"__name__", "up", "b1234567890", "x"}, SERIES_LABELS_CANONICAL, DOOR_NAME_TOO_LONG},
        {{"__name__", "up", "b", "x1234567890"}, SERIES_LABELS_CANONICAL, DOOR_VALUE_TOO_LONG},
    };
    struct buf canonical = {0}, text = {0};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        enum series_labels_form form;

        CHECK_INT(reason_of(cases[i].pairs, &form, &canonical), cases[i].reason);
        CHECK_INT(form, cases[i].form);
    }
    (void)reason_of((const char *[]){"b", "x", "__name__", "up", "c", "", NULL},
                    &(enum series_labels_form){0}, &canonical);
    series_labels_text(&text, buf_slice(&canonical), 100);
    CHECK_SLICE(buf_slice(&text), "up{b=\"x\"}");
    buf_reset(&text);
    series_labels_text(&text, buf_slice(&canonical), 4);
    CHECK_SLICE(buf_slice(&text), "up{b…");
    buf_done(&canonical);
    buf_done(&text);
}

/* ---- histograms ---- */

static struct err *decode(struct arena *a, struct buf *m, struct rw_histogram *ret)
{
    struct err *e = rw_histogram_decode(a, buf_slice(m), 100, ret);

    return e ? e : rw_histogram_check(a, ret);
}

static void put_int_histogram(struct buf *m, int schema, uint64_t count)
{
    buf_reset(m);
    rw_build_varint(m, 1, count);
    rw_build_double(m, 3, 12.5);
    rw_build_zigzag(m, 4, schema);
    rw_build_varint(m, 6, 1);
    rw_build_span(m, 11, -1, 2);
    rw_build_span(m, 11, 2, 1);
    rw_build_zigzag(m, 12, 3);  /* 3 */
    rw_build_zigzag(m, 12, -1); /* 2 */
    rw_build_zigzag(m, 12, 4);  /* 6 */
    rw_build_varint(m, 15, 1000);
}

TEST(rw_histogram_reads_deltas_and_checks_the_count)
{
    struct arena *a = arena_new(0);
    struct buf m = {0};
    struct rw_histogram r;

    put_int_histogram(&m, 3, 12);
    CHECK_OK(decode(a, &m, &r));
    CHECK_INT(r.t_ms, 1000);
    CHECK(r.h.is_int && r.h.count == 12 && r.h.zero_count == 1 && r.h.sum == 12.5);
    CHECK_INT(r.h.n_pos_buckets, 3);
    CHECK(r.h.pos_buckets[0] == 3 && r.h.pos_buckets[1] == 2 && r.h.pos_buckets[2] == 6);
    CHECK_INT(r.h.pos_spans[0].offset, -1);
    put_int_histogram(&m, 3, 13);
    CHECK_ERR(decode(a, &m, &r), ERR_INVALID, "12 observations found in buckets");
    put_int_histogram(&m, 60, 12);
    CHECK_ERR(decode(a, &m, &r), ERR_INVALID, "invalid schema");
    rw_build_zigzag(&m, 4, 3);
    rw_build_zigzag(&m, 12, -7); /* -1 */
    CHECK_ERR(decode(a, &m, &r), ERR_INVALID, "spans need 3 buckets, have 4");
    put_int_histogram(&m, 3, 12);
    buf_byte(&m, 0x0f); /* wire type 7 */
    CHECK_ERR(decode(a, &m, &r), ERR_INVALID, "malformed");
    buf_done(&m);
    arena_free(a);
}

TEST(rw_histogram_brings_reserved_schemas_to_the_finest)
{
    struct arena *a = arena_new(0);
    struct buf m = {0};
    struct rw_histogram r;

    /* Buckets -1, 0, 3 of schema 10 are 0, 0, 1 of schema 8. */
    put_int_histogram(&m, 10, 12);
    CHECK_OK(decode(a, &m, &r));
    CHECK_INT(r.h.schema, 8);
    CHECK_INT(r.h.n_pos_buckets, 2);
    CHECK(r.h.pos_buckets[0] == 5 && r.h.pos_buckets[1] == 6);
    CHECK_INT(r.h.n_pos_spans, 1);
    CHECK_INT(r.h.pos_spans[0].offset, 0);
    CHECK_INT(r.h.pos_spans[0].length, 2);
    buf_done(&m);
    arena_free(a);
}

TEST(rw_histogram_of_custom_buckets)
{
    struct arena *a = arena_new(0);
    struct buf m = {0};
    struct rw_histogram r;

    rw_build_double(&m, 2, 5);
    rw_build_zigzag(&m, 4, HISTOGRAM_CUSTOM_SCHEMA);
    rw_build_double(&m, 7, 0);
    rw_build_span(&m, 11, 1, 2);
    rw_build_double(&m, 13, 2);
    rw_build_double(&m, 13, 3);
    rw_build_double(&m, 16, 0.5);
    rw_build_double(&m, 16, 1.5);
    CHECK_OK(decode(a, &m, &r));
    CHECK(!r.h.is_int && r.h.n_custom_bounds == 2);
    rw_build_double(&m, 16, 1.5);
    CHECK_ERR(decode(a, &m, &r), ERR_INVALID, "strictly increasing");
    buf_done(&m);
    arena_free(a);
}

TEST(rw_histogram_bounds_buckets)
{
    struct arena *a = arena_new(0);
    struct buf m = {0};
    struct rw_histogram r;

    for (int i = 0; i < 101; i++)
        rw_build_zigzag(&m, 12, 1);
    CHECK_ERR(decode(a, &m, &r), ERR_LIMIT, "100 buckets");
    buf_done(&m);
    arena_free(a);
}
