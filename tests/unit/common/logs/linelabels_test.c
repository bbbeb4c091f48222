#include "common/logs/linelabels.h"
#include "tests/unit/test.h"

struct fixture {
    struct arena *a;
    struct linelabels l;
};

static const struct label stream_labels[] = {{SLICE_INIT("app"), SLICE_INIT("x")},
                                             {SLICE_INIT("env"), SLICE_INIT("prod")}};

static struct fixture fixture_new(void)
{
    struct slice fixed[] = {SLICE("level"), SLICE("app")};
    struct fixture f = {.a = arena_new(0)};

    linelabels_init(&f.l, f.a, fixed, 2);
    linelabels_stream(&f.l, (struct labels){stream_labels, 2});
    return f;
}

static void fixture_done(struct fixture *f)
{
    linelabels_done(&f->l);
    arena_free(f->a);
}

static void set(struct fixture *f, const char *name, enum linelabels_from from, const char *value)
{
    linelabels_set(&f->l, linelabels_id(&f->l, slice_cstr(name)), from, slice_cstr(value));
}

static void check_text(struct labels ls, const char *want)
{
    struct buf b = {0};

    labels_text(&b, ls);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

static void check(struct fixture *f, const char *want)
{
    check_text(linelabels_all(&f->l, f->a), want);
}

TEST(linelabels_belong_to_a_line)
{
    struct fixture f = fixture_new();

    CHECK(linelabels_is_plain(&f.l));
    set(&f, "level", LINELABELS_PARSED, "info");
    CHECK(!linelabels_is_plain(&f.l));
    check(&f, "{app=\"x\", env=\"prod\", level=\"info\"}");
    linelabels_line(&f.l);
    CHECK(linelabels_is_plain(&f.l));
    check(&f, "{app=\"x\", env=\"prod\"}");
    linelabels_stream(&f.l, (struct labels){stream_labels, 1});
    check(&f, "{app=\"x\"}");
    fixture_done(&f);
}

TEST(linelabels_parsed_stands_before_metadata_before_stream)
{
    struct fixture f = fixture_new();
    struct slice value;

    set(&f, "level", LINELABELS_METADATA, "m");
    set(&f, "level", LINELABELS_PARSED, "p");
    set(&f, "level", LINELABELS_METADATA, "m2");
    set(&f, "env", LINELABELS_PARSED, "dev");
    check(&f, "{app=\"x\", env=\"dev\", level=\"p\"}");
    CHECK_INT(linelabels_get(&f.l, 0, &value), LINELABELS_PARSED);
    linelabels_del(&f.l, 0);
    linelabels_del(&f.l, 1);
    CHECK_INT(linelabels_get(&f.l, 0, &value), LINELABELS_NOWHERE);
    check(&f, "{env=\"dev\"}");
    set(&f, "app", LINELABELS_STREAM, "y");
    check(&f, "{app=\"y\", env=\"dev\"}");
    fixture_done(&f);
}

TEST(linelabels_metadata_stands_beside_the_streams)
{
    struct label metadata[] = {{SLICE_INIT("__error__"), SLICE_INIT("E")},
                               {SLICE_INIT("app"), SLICE_INIT("z")},
                               {SLICE_INIT("trace"), SLICE_INIT("t")}};
    struct fixture f = fixture_new();

    linelabels_add_metadata(&f.l, (struct labels){metadata, 3});
    set(&f, "b", LINELABELS_PARSED, "1");
    check(&f, "{__error__=\"E\", app=\"x\", app_extracted=\"z\", b=\"1\", env=\"prod\", "
              "trace=\"t\"}");
    check_text(linelabels_of(&f.l, f.a, LINELABELS_STREAM), "{app=\"x\", env=\"prod\"}");
    check_text(linelabels_of(&f.l, f.a, LINELABELS_METADATA), "{app_extracted=\"z\", trace=\"t\"}");
    check_text(linelabels_of(&f.l, f.a, LINELABELS_PARSED), "{__error__=\"E\", b=\"1\"}");
    fixture_done(&f);
}

TEST(linelabels_sorts_many)
{
    struct fixture f = fixture_new();
    struct labels ls;

    for (unsigned i = 0; i < 300; i++)
        set(&f, arena_printf(f.a, "prefix_%u", i * 7 % 300), LINELABELS_PARSED, "v");
    ls = linelabels_all(&f.l, f.a);
    CHECK_INT(ls.n, 302);
    for (size_t i = 1; i < ls.n; i++)
        CHECK(slice_cmp(ls.ptr[i - 1].name, ls.ptr[i].name) < 0);
    fixture_done(&f);
}

TEST(linelabels_forgets_names_but_the_fixed_ones)
{
    struct fixture f = fixture_new();
    size_t used;

    for (unsigned i = 0; i < 2 * LINELABELS_MAX_NAMES; i++)
        set(&f, arena_printf(f.a, "name_%u", i), LINELABELS_PARSED, "v");
    used = arena_used(f.l.texts);
    CHECK_INT(f.l.n, 2 * LINELABELS_MAX_NAMES + 3);
    linelabels_line(&f.l);
    CHECK_INT(f.l.n, 3);
    CHECK(arena_used(f.l.texts) < used / 100);
    CHECK_INT(linelabels_id(&f.l, SLICE("level")), 0);
    CHECK_INT(linelabels_id(&f.l, SLICE("app")), 1);
    check(&f, "{app=\"x\", env=\"prod\"}");
    set(&f, "name_5", LINELABELS_PARSED, "v");
    check(&f, "{app=\"x\", env=\"prod\", name_5=\"v\"}");
    fixture_done(&f);
}

TEST(linelabels_charges_its_budget)
{
    struct arena *a = arena_new(0);
    struct linelabels l;
    char name[32];

    linelabels_init(&l, a, NULL, 0);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        (void)linelabels_id(&l, slice_cstr(name));
    }
    CHECK(arena_used(a) > 10000 * sizeof(struct linelabels_name));
    linelabels_done(&l);
    CHECK_INT(arena_used(a), 0);
    arena_free(a);
}
