/* What the conformance cases do not say: what lies where, bounds, and messages. */
#include <math.h>

#include "common/model/textformat.h"
#include "tests/unit/test.h"

static struct arena *arena;

static void begin(struct textformat *t, enum textformat_kind kind, const char *text)
{
    arena_free(arena);
    arena = arena_new(0);
    textformat_init(t, arena, kind, slice_cstr(text));
}

static void check_float(double v, const char *want)
{
    struct buf b = {0};

    textformat_float(&b, v);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

TEST(textformat_reads_entries_of_the_old_format)
{
    struct textformat t;

    begin(&t, TEXTFORMAT_PROMETHEUS,
          "# HELP a what\\nit is\n# TYPE a histogram\n\n# x\na_bucket{le=\"5\",b=\"\\\"\"} 1e3 "
          "17\nb NaN");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_HELP);
    CHECK_SLICE(t.text, "what\nit is");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_TYPE);
    CHECK_INT(t.type, METRIC_HISTOGRAM);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_COMMENT);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
    CHECK_INT(t.labels.n, 3);
    CHECK_SLICE(t.labels.ptr[0].name, "__name__");
    CHECK_SLICE(t.labels.ptr[1].value, "5.0");
    CHECK_SLICE(t.labels.ptr[2].value, "\"");
    CHECK(t.value == 1000 && t.has_time && t.t_ms == 17 && !t.has_exemplar);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
    CHECK(sample_bits(t.value) == SAMPLE_NAN_BITS && !t.has_time);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_END);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_END);
}

TEST(textformat_reads_exemplars_and_times_of_openmetrics)
{
    struct textformat t;

    begin(
        &t, TEXTFORMAT_OPENMETRICS,
        "# TYPE \"a.b\" counter\n{\"a.b_total\",\"c d\"=\"e\"} 2 1.5 # {id=\"x\"} 3 2.25\n# EOF\n");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_TYPE);
    CHECK_SLICE(t.family, "a.b");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
    CHECK_SLICE(t.labels.ptr[0].value, "a.b_total");
    CHECK_SLICE(t.labels.ptr[1].name, "c d");
    CHECK_INT(t.t_ms, 1500);
    CHECK(t.has_exemplar && t.has_exemplar_time && t.exemplar_t_ms == 2250);
    CHECK_SLICE(t.exemplar_labels.ptr[0].value, "x");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_END);
}

TEST(textformat_says_where_it_stopped)
{
    struct textformat t;

    begin(&t, TEXTFORMAT_PROMETHEUS, "a 1\n\nb{c=\"d\" x\n");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_BAD);
    CHECK_ERR(textformat_err(&t), ERR_INVALID, "line 3: expected =");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_BAD);
    begin(&t, TEXTFORMAT_OPENMETRICS, "a 1\n");
    CHECK_INT(textformat_next(&t), TEXTFORMAT_SERIES);
    CHECK_INT(textformat_next(&t), TEXTFORMAT_BAD);
    CHECK_ERR(textformat_err(&t), ERR_INVALID, "# EOF");
}

TEST(textformat_refuses_a_series_with_too_many_labels)
{
    struct textformat t;
    struct buf b = {0};

    buf_str(&b, "a{");
    for (int i = 0; i < TEXTFORMAT_MAX_LABELS; i++)
        buf_printf(&b, "l%d=\"\",", i);
    buf_str(&b, "} 1\n");
    begin(&t, TEXTFORMAT_PROMETHEUS, buf_cstr(&b));
    CHECK_INT(textformat_next(&t), TEXTFORMAT_BAD);
    CHECK_ERR(textformat_err(&t), ERR_INVALID, "too many labels");
    buf_done(&b);
}

TEST(textformat_writes_floats_as_openmetrics)
{
    check_float(1, "1.0");
    check_float(0.25, "0.25");
    check_float(1e21, "1e+21");
    check_float(-INFINITY, "-Inf");
    check_float(NAN, "NaN");
}
