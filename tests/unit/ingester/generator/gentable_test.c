#include "ingester/generator/gentable.h"
#include "tests/unit/ingester/door/push_text.h"

static const struct genkind kind = {.counters = {{"c_total", "C"}, {"d_total", "D"}},
                                    .hists = {{"h", "H"}}};
static const double bounds[] = {0.5, 2};
static const struct generator_buckets buckets = {bounds, 2};
static const uint8_t trace[16] = {0xab};

#define NOW PUSH_TEXT_NOW

struct writing {
    struct gentable t;
    size_t next, slices;
    int64_t now_ms;
    struct buf samples; /* of each series written */
};

/* As generator_decode() does. */
static struct err *decode(struct push_builder *b, const void *arg)
{
    struct writing *w = (struct writing *)arg;
    struct err *e = gentable_write(&w->t, b, SLICE("i"), w->now_ms, &w->next);

    VEC_FOREACH (s, &b->push->series) {
        if (!s->extra || s->extra->n_samples < 2)
            continue;
        series_labels_text(&w->samples, s->labels, 256);
        for (size_t i = 0; i < s->extra->n_samples; i++)
            buf_printf(&w->samples, " %g@%lld", s->extra->samples[i].v,
                       (long long)s->extra->samples[i].t_ms - NOW);
        buf_byte(&w->samples, '\n');
        s->sample = s->extra->samples[s->extra->n_samples - 1]; /* what is printed */
    }
    return e;
}

static void check_written(struct writing *w, const char *want)
{
    w->next = SIZE_MAX;
    push_text_check(push_text(decode, w, SLICE_EMPTY), want);
    CHECK_INT(w->next, 0);
}

static void begin(struct writing *w, uint64_t max_series, bool has_classic, bool has_native)
{
    *w = (struct writing){.now_ms = NOW};
    gentable_init(&w->t, &(struct gentable_opts){max_series, has_classic, has_native});
}

static void end(struct writing *w)
{
    gentable_done(&w->t);
    buf_done(&w->samples);
}

static struct genrow *row_at(struct writing *w, const char *a, int64_t now_ms)
{
    struct label ls[] = {{SLICE("z"), slice_cstr(a)},
                         {SLICE("b"), SLICE("")},
                         {SLICE("a"), SLICE("1")},
                         {SLICE("z"), SLICE("again")}};

    return gentable_row(&w->t, &kind, ls, ORR_COUNT(ls), &buckets, now_ms);
}

TEST(gentable_series_begin_with_a_zero)
{
    struct writing w;

    begin(&w, 0, true, false);
    gentable_count(&w.t, row_at(&w, "x", NOW - 700), 0, 2, NOW - 700);
    w.next = SIZE_MAX;
    push_text_check(push_text(decode, &w, SLICE_EMPTY),
                    "counter c_total \"C\" \nc_total{__metrics_gen_instance=\"i\", a=\"1\", "
                    "z=\"x\"} 2 @1700000000000\n");
    CHECK_STR(buf_cstr(&w.samples),
              "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 0@-701 2@0\n");
    buf_reset(&w.samples);
    gentable_count(&w.t, row_at(&w, "x", NOW), 0, 3, NOW); /* the same row */
    gentable_count(&w.t, row_at(&w, "x", NOW), 1, 1, NOW);
    w.now_ms = NOW + 15000;
    w.next = SIZE_MAX;
    push_text_check(push_text(decode, &w, SLICE_EMPTY),
                    "counter c_total \"C\" \ncounter d_total \"D\" \n"
                    "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 5 @1700000015000\n"
                    "d_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 1 @1700000015000\n");
    CHECK_STR(buf_cstr(&w.samples),
              "d_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 0@-1 1@15000\n");
    CHECK_INT(w.t.series, 2);
    end(&w);
}

TEST(gentable_writes_histograms_with_exemplars)
{
    struct writing w;

    begin(&w, 0, true, true);
    gentable_observe(&w.t, row_at(&w, "x", NOW), 0, 1.5, 1, trace, NOW - 5);
    gentable_observe(&w.t, row_at(&w, "x", NOW), 0, 0.25, 1, trace, NOW - 4);
    check_written(
        &w,
        "histogram h \"H\" \n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"0.5\", z=\"x\"} 1 @1700000000000 # "
        "{trace_id=\"ab000000000000000000000000000000\"} 0.25 @1699999999996\n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"2\", z=\"x\"} 2 @1700000000000 # "
        "{trace_id=\"ab000000000000000000000000000000\"} 1.5 @1699999999995\n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"+Inf\", z=\"x\"} 2 @1700000000000\n"
        "h_count{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 2 @1700000000000\n"
        "h_sum{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 1.75 @1700000000000\n"
        "h{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} histogram 0 0 @1699999999994 histogram "
        "2 1.75 @1700000000000"
        " # {trace_id=\"ab000000000000000000000000000000\"} 0.25 @1699999999996\n");
    CHECK_INT(w.t.series, 6);
    w.now_ms += 15000;
    check_written(
        &w, /* an exemplar goes once */
        "histogram h \"H\" \n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"0.5\", z=\"x\"} 1 @1700000015000\n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"2\", z=\"x\"} 2 @1700000015000\n"
        "h_bucket{__metrics_gen_instance=\"i\", a=\"1\", le=\"+Inf\", z=\"x\"} 2 @1700000015000\n"
        "h_count{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 2 @1700000015000\n"
        "h_sum{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 1.75 @1700000015000\n"
        "h{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} histogram 2 1.75 @1700000015000\n");
    end(&w);
}

TEST(gentable_forgets_what_is_silent)
{
    struct writing w;

    begin(&w, 0, true, false);
    gentable_count(&w.t, row_at(&w, "x", NOW), 0, 2, NOW);
    gentable_count(&w.t, row_at(&w, "y", NOW), 0, 2, NOW);
    check_written(&w, "counter c_total \"C\" \n"
                      "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"y\"} 2 @1700000000000\n"
                      "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 2 @1700000000000\n");
    w.now_ms = NOW + GENTABLE_STALE_MS + 1;
    gentable_count(&w.t, row_at(&w, "x", w.now_ms - 1), 0, 1, w.now_ms - 1);
    check_written(&w, "counter c_total \"C\" \n"
                      "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"y\"} nan @1700000900001\n"
                      "c_total{__metrics_gen_instance=\"i\", a=\"1\", z=\"x\"} 3 @1700000900001\n");
    CHECK(w.t.series == 1 && w.t.rows.len == 1 && w.t.by_key.len == 1);
    end(&w);
}

TEST(gentable_keeps_to_its_limit)
{
    struct writing w;
    struct genrow *row;

    begin(&w, 6, true, false);
    row = row_at(&w, "x", NOW);
    gentable_count(&w.t, row, 0, 1, NOW);
    gentable_observe(&w.t, row, 0, 1, 1, trace, NOW); /* 5 series */
    CHECK(w.t.series == 6 && w.t.refused == 0);
    gentable_count(&w.t, row, 1, 1, NOW);
    gentable_count(&w.t, row, 0, 1, NOW);
    CHECK(w.t.series == 6 && w.t.refused == 1);
    CHECK(row_at(&w, "y", NOW) == NULL && w.t.refused == 2);
    CHECK(row_at(&w, "x", NOW) == row);
    end(&w);
}

TEST(gentable_writes_slice_by_slice)
{
    struct writing w;
    uint64_t n = 0;

    begin(&w, 0, true, false);
    for (uint32_t i = 0; i < 10000; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "%u", i);
        gentable_count(&w.t, row_at(&w, name, NOW), 0, 1, NOW);
    }
    for (w.next = SIZE_MAX; w.next; w.slices++) {
        struct buf out = push_text(decode, &w, SLICE_EMPTY);

        for (size_t i = 0; i < out.len; i++)
            n += out.ptr[i] == '@';
        buf_done(&out);
    }
    CHECK(n == 10000 && w.slices == 3);
    end(&w);
}

/* Labels of 3000 rows are more than one write may have. */
TEST(gentable_writes_no_more_labels_at_once_than_a_write_takes)
{
    struct buf value = {0};
    struct writing w;
    uint64_t n = 0;

    begin(&w, 0, true, false);
    buf_fill(&value, 'v', 2000);
    for (uint32_t i = 0; i < 3000; i++) {
        struct label ls[25];
        char names[25][8];

        for (uint32_t k = 0; k < 25; k++) {
            (void)snprintf(names[k], sizeof(names[k]), "n%02u", k);
            ls[k] = (struct label){slice_cstr(names[k]), buf_slice(&value)};
        }
        memcpy(value.ptr, &(uint32_t){0x61616161 + i % 26 + (i / 26 % 26 << 8) + (i / 676 << 16)},
               4);
        gentable_count(&w.t, gentable_row(&w.t, &kind, ls, 25, &buckets, NOW), 0, 1, NOW);
    }
    CHECK_INT(w.t.rows.len, 3000);
    for (w.next = SIZE_MAX; w.next; w.slices++) {
        struct buf out = push_text(decode, &w, SLICE_EMPTY);

        for (size_t i = 0; i < out.len; i++)
            n += out.ptr[i] == '@';
        buf_done(&out);
    }
    CHECK_INT(n, 3000);
    CHECK(w.slices > 3 && w.slices < 20);
    buf_done(&value);
    end(&w);
}
