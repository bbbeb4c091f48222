#include <fcntl.h>
#include <unistd.h>

#include "common/base/fsx.h"
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

TEST(ctl_show_shows_nothing_that_steers_a_terminal)
{
    struct arena *a = arena_new(0);
    int was = dup(STDOUT_FILENO), file = open(tmp_path("said"), O_CREAT | O_WRONLY, 0600);
    struct ctl_table t;
    struct buf b = {0};

    ctl_table_init(&t, a, "name #n");
    ctl_table_row(&t, (const char *const[]){"\033[2Jx\ny", "1"});
    ctl_table_text(&t, &b);
    CHECK_STR(buf_cstr(&b), "name           n\n"
                            "\\x1b[2Jx\\x0ay  1\n");
    buf_reset(&b);
    CHECK(was >= 0 && file >= 0 && fflush(stdout) == 0 && dup2(file, STDOUT_FILENO) >= 0);
    ctl_say("%s", "a\033]0;t\007\tb\r\nc\xc2\x9b"
                  "2J\x7f\xc3\xa9\xc2\xa0");
    CHECK(dup2(was, STDOUT_FILENO) >= 0);
    CHECK_OK(fsx_read(tmp_path("said"), 1000, &b));
    CHECK_STR(buf_cstr(&b), "a\\x1b]0;t\\x07\tb\\x0d\nc\\u009b2J\\x7f\xc3\xa9\xc2\xa0\n");
    (void)close(was);
    (void)close(file);
    buf_done(&b);
    arena_free(a);
}
