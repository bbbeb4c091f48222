#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "ingester/metrics/dropped_by.h"
#include "tests/unit/test.h"

TEST(dropped_by_never_goes_back_and_outlives_a_restart)
{
    struct dropped_by *d;

    CHECK_OK(dropped_by_open(tmp_path("dir/by"), &d));
    CHECK_INT(dropped_by_get(d, SLICE("t")), 0);
    CHECK_OK(dropped_by_raise(d, SLICE("t"), 5));
    CHECK_OK(dropped_by_raise(d, SLICE("t"), 3));
    CHECK_OK(dropped_by_raise(d, SLICE("t"), 0));
    CHECK_OK(dropped_by_raise(d, SLICE("u"), UINT64_MAX));
    CHECK_INT(dropped_by_get(d, SLICE("t")), 5);
    dropped_by_close(d);
    CHECK_OK(dropped_by_open(tmp_path("dir/by"), &d));
    CHECK_INT(dropped_by_get(d, SLICE("t")), 5);
    CHECK(dropped_by_get(d, SLICE("u")) == UINT64_MAX);
    CHECK_INT(dropped_by_get(d, SLICE("v")), 0);
    dropped_by_close(d);
    dropped_by_close(NULL);
}

TEST(dropped_by_starts_without_what_it_cannot_read_and_does_not_say_what_is_not_on_disk)
{
    static const char *const texts[] = {"", "\n", "12", "-1\n", "1 2\n", "99999999999999999999\n"};
    struct dropped_by *d;

    CHECK_OK(fsx_mkdirs(tmp_path("by")));
    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        CHECK_OK(fsx_write_atomic(tmp_path("by/t"), slice_cstr(texts[i])));
        CHECK_OK(dropped_by_open(tmp_path("by"), &d));
        CHECK_INT(dropped_by_get(d, SLICE("t")), 0);
        dropped_by_close(d);
    }
    CHECK(unlink(tmp_path("by/t")) == 0 && mkdir(tmp_path("by/t"), 0700) == 0);
    CHECK_OK(dropped_by_open(tmp_path("by"), &d));
    CHECK_ERR(dropped_by_raise(d, SLICE("t"), 7), ERR_IO, "by/t");
    CHECK_INT(dropped_by_get(d, SLICE("t")), 0);
    dropped_by_close(d);
}
