#include "tests/unit/common/block/block_fixture.h"

/* Labels as series_text() shows them, in the order in which they stand in a block. */
static const char *const own[] = {
    "__name__=up",
    "__name__=up,instance=a",
    "__name__=up,instance=a,zone=east",
    "__name__=up,instance=b",
    "__name__=up,job=x,pod=p",
    "__name__=up,zone=west",
};

struct fixture {
    struct arena *a;
    struct block_reader *r;
};

static void setup(struct fixture *f, const char *external)
{
    struct block_source *src;
    struct block_writer *w;
    struct block_meta m;

    f->a = arena_new(0);
    w = open_writer(1);
    for (size_t i = 0; i < ORR_COUNT(own); i++) {
        struct chunk c = floats(f->a, FIXTURE_T0 + (int64_t)i * 1000, 1000, 2, (double)i);

        CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(f->a, own[i]),
                                                            .chunks = &c,
                                                            .n_chunks = 1}));
    }
    finish_writer(w, f->a, &m);
    CHECK_OK(block_source_dir(block_path(1), &src));
    CHECK_OK(block_reader_open(
        src, &(struct block_reader_opts){.external = labels_from(f->a, external)}, &f->r));
}

static void teardown(struct fixture *f)
{
    block_reader_close(f->r);
    arena_free(f->a);
}

static void check_refs(struct fixture *f, struct block_refs refs, const char *want)
{
    struct buf b = {0};

    for (size_t i = 0; i < refs.n; i++) {
        struct block_reader_series s;

        CHECK_OK(block_reader_series(f->r, f->a, refs.ptr[i], &s));
        if (i)
            buf_byte(&b, ' ');
        labels_text(&b, s.labels);
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

static void check_select(struct fixture *f, enum matcher_op op, const char *name, const char *value,
                         const char *want)
{
    struct block_refs refs;
    struct matcher m;

    CHECK_OK(matcher_init(f->a, op, slice_cstr(name), slice_cstr(value), &m));
    CHECK_OK(block_reader_select_range(f->r, f->a, (struct matchers){&m, 1}, FIXTURE_T0,
                                       FIXTURE_T0 + 100000, &refs));
    check_refs(f, refs, want);
    matcher_done(&m);
}

static void check_names(struct block_names names, const char *want)
{
    struct buf b = {0};

    for (size_t i = 0; i < names.n; i++)
        buf_printf(&b, "%s%.*s", i ? " " : "", SLICE_ARG(names.ptr[i]));
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

TEST(block_external_labels_are_on_every_series_in_label_order)
{
    struct fixture f;
    struct block_refs refs;

    setup(&f, "job=j,zone=");
    CHECK_OK(block_reader_select(f.r, f.a, (struct matchers){.n = 0}, &refs));
    /* the series' own job is replaced; what stood first does not any more; an empty label is none */
    check_refs(&f, refs,
               "up{instance=\"a\", job=\"j\"} up{instance=\"a\", job=\"j\", zone=\"east\"} "
               "up{instance=\"b\", job=\"j\"} up{job=\"j\"} up{job=\"j\", pod=\"p\"} "
               "up{job=\"j\", zone=\"west\"}");
    teardown(&f);
}

TEST(block_external_labels_answer_their_matchers)
{
    struct fixture f;

    setup(&f, "cluster=c1");
    check_select(&f, MATCHER_EQ, "cluster", "c1",
                 "up{cluster=\"c1\"} up{cluster=\"c1\", instance=\"a\"} "
                 "up{cluster=\"c1\", instance=\"a\", zone=\"east\"} "
                 "up{cluster=\"c1\", instance=\"b\"} up{cluster=\"c1\", job=\"x\", pod=\"p\"} "
                 "up{cluster=\"c1\", zone=\"west\"}");
    check_select(&f, MATCHER_EQ, "cluster", "c2", "");
    check_select(&f, MATCHER_EQ, "cluster", "", "");
    check_select(&f, MATCHER_NE, "cluster", "c1", "");
    check_select(&f, MATCHER_RE, "cluster", "c.",
                 "up{cluster=\"c1\"} up{cluster=\"c1\", instance=\"a\"} "
                 "up{cluster=\"c1\", instance=\"a\", zone=\"east\"} "
                 "up{cluster=\"c1\", instance=\"b\"} up{cluster=\"c1\", job=\"x\", pod=\"p\"} "
                 "up{cluster=\"c1\", zone=\"west\"}");
    check_select(&f, MATCHER_EQ, "instance", "b", "up{cluster=\"c1\", instance=\"b\"}");
    teardown(&f);
}

/* A prefix of another series stops being one: it comes behind what it came before. */
TEST(block_external_labels_sort_what_they_put_out_of_order)
{
    struct fixture f;

    setup(&f, "rack=r");
    check_select(&f, MATCHER_EQ, "zone", "",
                 "up{instance=\"a\", rack=\"r\"} up{instance=\"b\", rack=\"r\"} "
                 "up{job=\"x\", pod=\"p\", rack=\"r\"} up{rack=\"r\"}");
    check_select(&f, MATCHER_RE, "zone", ".+",
                 "up{instance=\"a\", rack=\"r\", zone=\"east\"} up{rack=\"r\", zone=\"west\"}");
    teardown(&f);
}

TEST(block_external_labels_are_among_names_and_values)
{
    struct block_names names;
    struct block_refs refs;
    struct fixture f;
    struct matcher m;

    setup(&f, "cluster=c1,instance=all");
    CHECK_OK(block_reader_label_names(f.r, f.a, &names));
    check_names(names, "__name__ cluster instance job pod zone");
    CHECK_OK(block_reader_label_values(f.r, f.a, SLICE("instance"), &names));
    check_names(names, "all");
    CHECK_OK(block_reader_label_values(f.r, f.a, SLICE("zone"), &names));
    check_names(names, "east west");
    CHECK_OK(matcher_init(f.a, MATCHER_EQ, SLICE("job"), SLICE("x"), &m));
    CHECK_OK(block_reader_select(f.r, f.a, (struct matchers){&m, 1}, &refs));
    CHECK_OK(block_reader_names_of(f.r, f.a, refs, &names));
    check_names(names, "__name__ cluster instance job pod");
    CHECK_OK(block_reader_values_of(f.r, f.a, refs, SLICE("cluster"), &names));
    check_names(names, "c1");
    CHECK_OK(
        block_reader_values_of(f.r, f.a, (struct block_refs){.n = 0}, SLICE("cluster"), &names));
    CHECK_INT(names.n, 0);
    matcher_done(&m);
    teardown(&f);
}

/* instance a and b become one: nothing here could merge them, and one of them must not be lost. */
TEST(block_external_labels_that_make_two_series_one_are_refused)
{
    struct block_refs refs;
    struct fixture f;

    setup(&f, "instance=all");
    CHECK_ERR(block_reader_select(f.r, f.a, (struct matchers){.n = 0}, &refs), ERR_UNSUPPORTED,
              "two series");
    teardown(&f);
}
