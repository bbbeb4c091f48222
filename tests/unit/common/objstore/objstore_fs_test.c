#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/objstore/objstore_fs.h"
#include "tests/unit/common/objstore/objstore_suite.h"

static struct objstore *suite_open(void)
{
    struct objstore *s;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &s));
    return s;
}

TEST(objstore_fs_keeps_object_and_directory_apart)
{
    struct objstore *s = suite_open();

    put_text(s, "a/b", "x");
    CHECK_ERR(objstore_put(s, SLICE("a"), SLICE("x"), NULL, NULL), ERR_INVALID, "below");
    CHECK_ERR(objstore_put(s, SLICE("a/b/c"), SLICE("x"), NULL, NULL), ERR_INVALID, "object");
    check_text(s, "a/b", "x");
    CHECK_OK(objstore_delete(s, SLICE("a/b")));
    put_text(s, "a", "now free");
    objstore_close(s);
}

TEST(objstore_fs_put_is_all_or_nothing_whichever_call_fails)
{
    FAULT_SWEEP (n) {
        struct objstore *s = NULL;
        struct err *e;
        struct buf b = {0};

        fault_disarm();
        CHECK_OK(objstore_fs_open(tmp_path("bucket"), NULL, &s));
        put_text(s, "d/k", "old");
        fault_arm_nth(n);
        e = objstore_put(s, SLICE("d/k"), SLICE("new"), NULL, NULL);
        fault_disarm();
        CHECK_OK(objstore_get(s, SLICE("d/k"), NULL, &b, NULL));
        CHECK(e || slice_eq(buf_slice(&b), SLICE("new")));
        CHECK(slice_eq(buf_slice(&b), SLICE("new")) || slice_eq(buf_slice(&b), SLICE("old")));
        err_free(e);
        buf_done(&b);
        objstore_close(s);
    }
}

static int open_file(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640);

    CHECK(fd >= 0 && write(fd, "x", 1) == 1);
    return fd;
}

TEST(objstore_fs_removes_what_a_crash_left_and_not_what_is_being_written)
{
    struct objstore *s = suite_open(), *again;
    const char *left = tmp_path("bucket/.orrery/tmp/left");
    const char *written = tmp_path("bucket/.orrery/tmp/written");
    int fd;

    (void)close(open_file(left));
    fd = open_file(written);
    CHECK(flock(fd, LOCK_EX) == 0);
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), NULL, &again));
    CHECK(access(left, F_OK) != 0);
    CHECK(access(written, F_OK) == 0);
    (void)close(fd);
    put_text(again, "k", "v"); /* and a put leaves nothing there */
    objstore_close(again);
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), NULL, &again));
    CHECK(access(written, F_OK) != 0);
    check_text(s, "k", "v");
    objstore_close(again);
    objstore_close(s);
}
