#include "querier/api/name_escape.h"
#include "tests/unit/test.h"

TEST(name_escape_reads_accept_headers)
{
    CHECK_INT(name_escape_of_accept((struct slice){0}), NAME_ESCAPE_UNDERSCORES);
    CHECK_INT(name_escape_of_accept(SLICE("text/plain;version=0.0.4")), NAME_ESCAPE_UNDERSCORES);
    CHECK_INT(
        name_escape_of_accept(SLICE("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*")),
        NAME_ESCAPE_NONE);
    CHECK_INT(name_escape_of_accept(SLICE("a/b; escaping=values")), NAME_ESCAPE_VALUES);
    CHECK_INT(name_escape_of_accept(SLICE("a/b;escaping=dots,c/d")), NAME_ESCAPE_DOTS);
    CHECK_INT(name_escape_of_accept(SLICE("a/b;escaping=sideways")), NAME_ESCAPE_UNDERSCORES);
    CHECK_INT(name_escape_of_accept(SLICE("a/b;escaping=")), NAME_ESCAPE_UNDERSCORES);
}

TEST(name_escape_writes_names_for_old_readers)
{
    static const struct {
        const char *name, *underscores, *dots, *values;
    } cases[] = {
        {"up", "up", "up", "up"},
        {"a_b:c", "a_b:c", "a__b:c", "a_b:c"},
        {"a.b", "a_b", "a_dot_b", "U__a_2e_b"},
        {"a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c"},
        {"1a", "_a", "__a", "U___31_a"},
        {"\xc3\xbc", "_", "__", "U___fc_"},
        {"a b", "a_b", "a__b", "U__a_20_b"},
    };
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct slice name = slice_cstr(cases[i].name);

        CHECK_SLICE(name_escape(a, NAME_ESCAPE_NONE, name), cases[i].name);
        CHECK_SLICE(name_escape(a, NAME_ESCAPE_UNDERSCORES, name), cases[i].underscores);
        CHECK_SLICE(name_escape(a, NAME_ESCAPE_DOTS, name), cases[i].dots);
        CHECK_SLICE(name_escape(a, NAME_ESCAPE_VALUES, name), cases[i].values);
    }
    arena_free(a);
}
