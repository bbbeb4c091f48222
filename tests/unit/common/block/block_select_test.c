#include "common/base/fsx.h"
#include "common/block/block_reader.h"
#include "tests/unit/common/block/block_fixture.h"

#define SERIES 400

struct fixture {
    struct arena *arena;
    struct block_reader *r;
    struct labels *series; /* in order */
    struct block_refs all;
};

/* Many series over labels a (0..9), b (0..39, sometimes absent) and id. */
static struct fixture make(void)
{
    struct fixture f = {.arena = arena_new(0)};
    struct block_writer *w = open_writer(1);
    struct block_meta m;

    f.series = arena_array(f.arena, struct labels, SERIES);
    for (int i = 0; i < SERIES; i++) {
        char text[64];

        if (i % 7 == 0)
            (void)snprintf(text, sizeof(text), "a=v%d,id=%04d", i / 40, i);
        else
            (void)snprintf(text, sizeof(text), "a=v%d,b=w%02d,id=%04d", i / 40, i % 40, i);
        f.series[i] = labels_from(f.arena, text);
    }
    /* Sorted as the writer wants them. */
    for (int i = 1; i < SERIES; i++)
        for (int k = i; k > 0 && labels_cmp(f.series[k - 1], f.series[k]) > 0; k--) {
            struct labels x = f.series[k];

            f.series[k] = f.series[k - 1];
            f.series[k - 1] = x;
        }
    for (int i = 0; i < SERIES; i++) {
        struct chunk c = floats(f.arena, FIXTURE_T0 + i * 1000, 1000, 3, i);

        CHECK_OK(block_writer_add(
            w, &(struct block_series){.labels = f.series[i], .chunks = &c, .n_chunks = 1}));
    }
    finish_writer(w, f.arena, &m);
    f.r = open_reader(1);
    CHECK_OK(block_reader_select(f.r, f.arena, (struct matchers){0}, &f.all));
    CHECK_INT(f.all.n, SERIES);
    return f;
}

static void done(struct fixture *f)
{
    block_reader_close(f->r);
    arena_free(f->arena);
}

/* The reader's answer is that of trying every series. */
static void check_select(struct fixture *f, const struct matcher *ms, size_t n)
{
    struct matchers all = {ms, n};
    struct block_refs got;
    size_t k = 0;

    CHECK_OK(block_reader_select(f->r, f->arena, all, &got));
    for (size_t i = 0; i < SERIES; i++) {
        if (!matchers_match(all, f->series[i]))
            continue;
        CHECK(k < got.n);
        CHECK_INT(got.ptr[k], f->all.ptr[i]);
        k++;
    }
    CHECK_INT(got.n, k);
}

TEST(block_select_agrees_with_trying_every_series)
{
    static const struct {
        enum matcher_op op;
        const char *name, *value;
    } cases[] = {
        {MATCHER_EQ, "a", "v3"},       {MATCHER_EQ, "a", "nope"},  {MATCHER_EQ, "a", ""},
        {MATCHER_EQ, "b", ""},         {MATCHER_EQ, "nope", ""},   {MATCHER_EQ, "nope", "x"},
        {MATCHER_NE, "a", "v3"},       {MATCHER_NE, "b", ""},      {MATCHER_NE, "b", "w01"},
        {MATCHER_NE, "nope", ""},      {MATCHER_RE, "b", "w1.*"},  {MATCHER_RE, "b", "w01|w39|zz"},
        {MATCHER_RE, "b", ".*"},       {MATCHER_RE, "b", ".+"},    {MATCHER_RE, "b", ""},
        {MATCHER_RE, "b", "w01|"},     {MATCHER_RE, "id", "0.*1"}, {MATCHER_NRE, "b", "w1.*"},
        {MATCHER_NRE, "b", "w01|w39"}, {MATCHER_NRE, "b", ".*"},   {MATCHER_NRE, "b", ".+"},
        {MATCHER_NRE, "b", ""},        {MATCHER_NRE, "b", "w01|"}, {MATCHER_RE, "a", "v[12]"},
        {MATCHER_RE, "a", "(?i)V1"},   {MATCHER_EQ, "id", "0123"}, {MATCHER_NRE, "nope", "x"},
    };
    struct fixture f = make();
    struct matcher ms[3];

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        ms[0] = matcher_from(f.arena, cases[i].op, cases[i].name, cases[i].value);
        check_select(&f, ms, 1);
        for (size_t k = 0; k < ORR_COUNT(cases); k++) {
            ms[1] = matcher_from(f.arena, cases[k].op, cases[k].name, cases[k].value);
            check_select(&f, ms, 2);
            ms[2] = matcher_from(f.arena, cases[(i + k) % ORR_COUNT(cases)].op,
                                 cases[(i + k) % ORR_COUNT(cases)].name,
                                 cases[(i + k) % ORR_COUNT(cases)].value);
            check_select(&f, ms, 3);
            matcher_done(&ms[1]);
            matcher_done(&ms[2]);
        }
        matcher_done(&ms[0]);
    }
    done(&f);
}

TEST(block_select_narrows_by_time)
{
    struct fixture f = make();
    struct block_refs got;
    struct block_names names;

    CHECK_OK(block_reader_select_range(f.r, f.arena, (struct matchers){0}, FIXTURE_T0 + 10000,
                                       FIXTURE_T0 + 12000, &got));
    CHECK_INT(got.n, 5); /* begun at 8 s to 12 s */
    CHECK_OK(block_reader_values_of(f.r, f.arena, got, SLICE("id"), &names));
    CHECK_INT(names.n, 5);
    CHECK_OK(block_reader_names_of(f.r, f.arena, got, &names));
    CHECK(names.n >= 2 && slice_eq(names.ptr[0], SLICE("a")));
    CHECK_OK(block_reader_select_range(f.r, f.arena, (struct matchers){0}, FIXTURE_T0 - 9,
                                       FIXTURE_T0 - 1, &got));
    CHECK_INT(got.n, 0);
    done(&f);
}

/* Any byte of the index changed: an error that says where, or the same answer; never a crash. */
TEST(block_reader_survives_any_flipped_byte)
{
    struct fixture f = make();
    struct buf index = {0}, meta = {0};
    struct rng rng;
    char *path = mem_printf("%s/index", block_path(1));
    size_t refused = 0;

    rng_seed(&rng, 9);
    CHECK_OK(fsx_read(path, 1u << 20, &index));
    for (int round = 0; round < 400; round++) {
        size_t at = rng_below(&rng, index.len);
        uint8_t was = index.ptr[at];
        struct block_source *src;
        struct block_reader *r;
        struct err *e;

        index.ptr[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
        CHECK_OK(fsx_write_atomic(path, buf_slice(&index)));
        CHECK_OK(block_source_dir(block_path(1), &src));
        e = block_reader_open(src, &(struct block_reader_opts){.verify_all = true}, &r);
        CHECK(!e || err_is(e, ERR_CORRUPT) || err_is(e, ERR_UNSUPPORTED));
        refused += e != NULL;
        if (!e)
            block_reader_close(r);
        err_free(e);
        index.ptr[at] = was;
    }
    CHECK(refused > 350); /* the rest are padding */
    mem_free(path);
    buf_done(&index);
    buf_done(&meta);
    done(&f);
}
