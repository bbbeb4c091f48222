#include "ingester/door/push_builder.h"
#include "ingester/metrics/batch.h"
#include "tests/unit/test.h"

#define T0 1767225600000

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

struct built {
    struct push *p;
    struct push_builder b;
    struct fp_cache known;
};

static void open_built(struct built *t, const struct tenant_limits *limits)
{
    fp_cache_init(&t->known, 1 << 20);
    t->p = push_new(SLICE("t"), limits);
    push_builder_init(&t->b, t->p, &t->known, T0);
}

/* Another write of the same tenant. */
static void next_built(struct built *t)
{
    struct push *p = push_new(SLICE("t"), &t->p->limits);

    push_builder_remember(t->p, &t->known);
    push_free(t->p);
    t->p = p;
    push_builder_init(&t->b, p, &t->known, T0);
}

static void close_built(struct built *t)
{
    push_free(t->p);
    fp_cache_done(&t->known);
}

static const struct sample one = {T0, 1.5};

static void add(struct built *t, const struct label *ls, size_t n)
{
    CHECK_OK(push_builder_add(
        &t->b, &(struct push_in){.labels = ls, .n_labels = n, .samples = &one, .n_samples = 1}));
}

TEST(push_builder_gives_one_series_whatever_the_order_of_labels)
{
    static const struct label orders[][4] = {
        {L("__name__", "up"), L("a", "1"), L("b", "2"), L("c", "3")},
        {L("c", "3"), L("b", "2"), L("a", "1"), L("__name__", "up")},
        {L("b", "2"), L("__name__", "up"), L("c", "3"), L("a", "1")},
        {L("z", ""), L("a", "1"), L("b", "2"), L("__name__", "up")},
    };
    struct built t;

    open_built(&t, &(struct tenant_limits){.generation = 1});
    for (size_t i = 0; i < ORR_COUNT(orders); i++)
        add(&t, orders[i], 4);
    CHECK_INT(t.p->series.len, 4);
    for (size_t i = 0; i < 4; i++) {
        struct push_series *s = &t.p->series.ptr[i];

        CHECK(batch_labels_valid(s->labels));
        CHECK(hash128_eq(s->fp, labels_fingerprint_of_canonical(s->labels)));
        CHECK(hash128_eq(s->fp, t.p->series.ptr[0].fp) == (i < 3));
        CHECK(!s->is_known && !s->extra && s->sample.v == 1.5);
    }
    CHECK(hash128_eq(t.p->series.ptr[3].fp, labels_fingerprint((struct labels){orders[0], 3})));
    CHECK_INT(t.p->samples, 4);
    next_built(&t);
    add(&t, orders[1], 4);
    CHECK(t.p->series.ptr[0].is_known);
    close_built(&t);
}

/* Many labels are sorted another way than a few. */
TEST(push_builder_sorts_many_labels)
{
    static char names[100][8];
    struct label ls[101];
    struct built t;

    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "n%02zu", (i * 37) % 100);
        ls[i] = (struct label){slice_cstr(names[i]), SLICE("v")};
    }
    ls[100] = (struct label)L("__name__", "up");
    open_built(&t, &(struct tenant_limits){.generation = 1});
    add(&t, ls, 101);
    CHECK_INT(t.p->series.len, 1);
    CHECK(batch_labels_valid(t.p->series.ptr[0].labels));
    close_built(&t);
}

TEST(push_builder_counts_refusals_with_their_reason)
{
    static const struct {
        struct label ls[3];
        enum door_reason reason;
    } cases[] = {
        {{L("a", "1"), L("b", "2"), L("c", "3")}, DOOR_MISSING_NAME},
        {{L("__name__", ""), L("b", "2"), L("c", "3")}, DOOR_INVALID_NAME},
        {{L("__name__", "\xff"), L("b", "2"), L("c", "3")}, DOOR_INVALID_NAME},
        {{L("__name__", "up"), L("", "2"), L("c", "3")}, DOOR_INVALID_LABEL},
        {{L("__name__", "up"), L("b\xff", ""), L("c", "3")}, DOOR_INVALID_LABEL},
        {{L("__name__", "up"), L("b", "\xff"), L("c", "3")}, DOOR_INVALID_VALUE},
        {{L("c", "2"), L("__name__", "up"), L("c", "2")}, DOOR_DUPLICATE_LABEL},
        {{L("c", ""), L("__name__", "up"), L("c", "2")}, DOOR_DUPLICATE_LABEL},
        {{L("__name__", "up"), L("toolong", "2"), L("c", "3")}, DOOR_NAME_TOO_LONG},
        {{L("__name__", "up"), L("long", "123456789"), L("c", "3")}, DOOR_VALUE_TOO_LONG},
    };
    struct built t;

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        open_built(&t, &(struct tenant_limits){.generation = 1,
                                               .max_label_name_length = 8,
                                               .max_label_value_length = 8});
        if (cases[i].reason == DOOR_NAME_TOO_LONG)
            t.p->limits.max_label_name_length = 6;
        add(&t, cases[i].ls, 3);
        CHECK_INT(t.p->series.len, 0);
        CHECK_INT(t.b.rejects.samples[cases[i].reason], 1);
        CHECK(t.b.rejects.example[cases[i].reason].len > 0);
        close_built(&t);
    }
    open_built(&t, &(struct tenant_limits){.generation = 1, .max_label_names_per_series = 2});
    add(&t, (const struct label[]){L("__name__", "up"), L("a", "1"), L("b", "1")}, 3);
    CHECK_INT(t.b.rejects.samples[DOOR_MAX_LABELS], 1);
    push_builder_reject(&t.b, DOOR_INVALID_VALUE, 7, SLICE_EMPTY);
    CHECK_INT(t.b.rejects.samples[DOOR_INVALID_VALUE], 7);
    close_built(&t);
}

TEST(push_builder_keeps_all_that_a_series_holds)
{
    static const struct label ls[] = {L("__name__", "h"), L("a", "1")};
    static const struct label trace[] = {L("trace_id", "x"), L("span_id", "y"), L("none", "")};
    static const struct label twice[] = {L("trace_id", "x"), L("trace_id", "y")};
    static char wide[PUSH_BUILDER_EXEMPLAR_MAX_CHARS];
    static const double buckets[3] = {1, 2, 3};
    struct label broad = {SLICE("t"), slice_of(memset(wide, 'w', sizeof(wide)), sizeof(wide))};
    struct push_in_exemplar exemplars[] = {
        {trace, 3, 0.5, T0}, {twice, 2, 0.5, T0}, {&broad, 1, 0.5, T0}, {NULL, 0, 7, T0 + 1}};
    struct push_histogram hs[] = {
        {T0, {.schema = 1, .pos_buckets = buckets, .n_pos_buckets = 3}},
        {T0 + 1, {.schema = 1, .pos_buckets = buckets, .n_pos_buckets = 2}},
    };
    struct sample samples[] = {{T0, 1}, {T0 + 1, 2}};
    const struct push_extra *x;
    struct built t;

    open_built(&t, &(struct tenant_limits){.generation = 1, .max_native_histogram_buckets = 2});
    CHECK_OK(push_builder_add(&t.b, &(struct push_in){.labels = ls,
                                                      .n_labels = 2,
                                                      .samples = samples,
                                                      .n_samples = 2,
                                                      .histograms = hs,
                                                      .n_histograms = 2,
                                                      .exemplars = exemplars,
                                                      .n_exemplars = 4}));
    memset(samples, 0xff, sizeof(samples)); /* they were lent */
    CHECK_INT(t.p->series.len, 1);
    x = t.p->series.ptr[0].extra;
    CHECK_INT(x->n_samples, 2);
    CHECK(x->samples[1].v == 2 && x->samples[1].t_ms == T0 + 1);
    CHECK_INT(x->n_histograms, 1);
    CHECK_INT(x->histograms[0].t_ms, T0 + 1);
    CHECK_INT(t.b.rejects.samples[DOOR_HISTOGRAM_BUCKETS], 1);
    CHECK_INT(x->n_exemplars, 2);
    CHECK_INT(t.b.rejects.exemplars, 2);
    CHECK(batch_labels_valid(x->exemplars[0].labels) && x->exemplars[1].labels.len == 0);
    CHECK(t.p->samples == 2 && t.p->histograms == 1 && t.p->exemplars == 2);
    /* Nothing is left of a series all of which is refused. */
    CHECK_OK(push_builder_add(
        &t.b, &(struct push_in){.labels = ls, .n_labels = 2, .histograms = hs, .n_histograms = 1}));
    CHECK_INT(t.p->series.len, 1);
    close_built(&t);
}

TEST(push_builder_drops_bad_metadata)
{
    struct built t;

    open_built(&t, &(struct tenant_limits){.generation = 1, .max_metadata_length = 4});
    push_builder_metadata(
        &t.b, &(struct push_metadata){SLICE("up"), SLICE("help"), SLICE("s"), METRIC_GAUGE_TYPE});
    push_builder_metadata(
        &t.b, &(struct push_metadata){SLICE("up"), SLICE("help!"), SLICE("s"), METRIC_GAUGE_TYPE});
    push_builder_metadata(
        &t.b, &(struct push_metadata){SLICE(""), SLICE(""), SLICE(""), METRIC_GAUGE_TYPE});
    push_builder_metadata(
        &t.b, &(struct push_metadata){SLICE("up"), SLICE("\xff"), SLICE(""), METRIC_GAUGE_TYPE});
    CHECK_INT(t.p->metadata.len, 1);
    CHECK_INT(t.b.rejects.metadata, 3);
    close_built(&t);
}

/* A few bytes of a body may stand for long labels many times. */
TEST(push_builder_bounds_what_one_write_takes)
{
    static char value[1 << 20];
    struct label ls[] = {L("__name__", "up"), {SLICE("a"), {NULL, 0}}};
    struct err *e = NULL;
    struct built t;
    size_t n = 0;

    ls[1].value = slice_of(memset(value, 'v', sizeof(value)), sizeof(value));
    open_built(&t, &(struct tenant_limits){.generation = 1});
    for (; !e; n++)
        e = push_builder_add(
            &t.b, &(struct push_in){.labels = ls, .n_labels = 2, .samples = &one, .n_samples = 1});
    CHECK_ERR(e, ERR_LIMIT, "bytes of labels");
    CHECK(n < (PUSH_BUILDER_MAX_BYTES >> 20) + 3);
    close_built(&t);
}
