#include "deploy/orreryctl/ctl_show.h"
#include "tests/unit/test.h"

TEST(ctl_show_tables_are_aligned_and_json_has_numbers)
{
    struct arena *a = arena_new(0);
    struct ctl_table t;
    struct buf b = {0};

    ctl_table_init(&t, a, "name #count where");
    ctl_table_row(&t, (const char *const[]){"a", "1", NULL});
    ctl_table_row(&t, (const char *const[]){"longer", "100", "x\"y"});
    ctl_table_text(&t, &b);
    CHECK_STR(buf_cstr(&b), "name    count  where\n"
                            "a           1  -\n"
                            "longer    100  x\"y\n");
    buf_reset(&b);
    ctl_table_json(&t, &b);
    CHECK_STR(buf_cstr(&b), "[\n {\"name\": \"a\", \"count\": 1, \"where\": null},\n"
                            " {\"name\": \"longer\", \"count\": 100, \"where\": \"x\\\"y\"}\n]\n");
    buf_reset(&b);
    ctl_table_init(&t, a, "name");
    ctl_table_json(&t, &b);
    CHECK_STR(buf_cstr(&b), "[]\n");
    buf_done(&b);
    arena_free(a);
}

TEST(ctl_show_grows_a_table)
{
    struct arena *a = arena_new(0);
    struct ctl_table t;

    ctl_table_init(&t, a, "#n");
    for (unsigned i = 0; i < 1000; i++)
        ctl_table_row(&t, (const char *const[]){ctl_u64(a, i)});
    CHECK_INT(t.n_rows, 1000);
    CHECK_STR(t.rows[999][0], "999");
    CHECK_STR(t.rows[0][0], "0");
    arena_free(a);
}

TEST(ctl_show_times_and_bytes)
{
    struct arena *a = arena_new(0);

    CHECK_STR(ctl_time(a, 1700000000000), "2023-11-14 22:13:20");
    CHECK_STR(ctl_time(a, 1700000000123), "2023-11-14 22:13:20.123");
    CHECK_STR(ctl_time(a, -1), "1969-12-31 23:59:59.999");
    CHECK_STR(ctl_bytes(a, 1023), "1023 B");
    CHECK_STR(ctl_bytes(a, 1536), "1.5 KiB");
    CHECK_STR(ctl_bytes(a, 3ull << 40), "3.0 TiB");
    arena_free(a);
}
