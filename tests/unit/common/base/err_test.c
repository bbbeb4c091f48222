#include <errno.h>

#include "common/base/err.h"
#include "tests/unit/test.h"

TEST(err_text_reads_outside_in)
{
    struct err *e;

    errno = ENOSPC;
    e = err_errno(ERR_IO, "write %s", "f");
    e = err_wrap(e, "append to wal");
    CHECK_STR(err_msg(e), "append to wal: write f: No space left on device");
    CHECK_INT(err_errnum_of(e), ENOSPC);
    CHECK_INT(err_code_http(err_code(e)), 503);
    err_free(e);
}

TEST(err_first_keeps_the_first_and_frees_the_second)
{
    struct err *e = err_first(NULL, err_new(ERR_RATE, "slow down"));

    e = err_first(e, err_new(ERR_LIMIT, "second"));
    CHECK(err_is(e, ERR_RATE));
    err_free(e);
    CHECK(!err_is(NULL, ERR_RATE));
    CHECK(err_wrap(NULL, "x") == NULL);
}

TEST(err_codes_survive_the_wire)
{
    CHECK(err_code_from_wire((uint32_t)ERR_CONFLICT) == ERR_CONFLICT);
    CHECK(err_code_from_wire(9999) == ERR_INTERNAL);
    CHECK_STR(err_code_name(ERR_TOO_LARGE), "too_large");
}
