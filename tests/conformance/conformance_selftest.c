/* The runner's own test: cases that pass, fail, are skipped, crash and hang. */
#include <stdlib.h>
#include <unistd.h>

#include "tests/conformance/conformance.h"

CONFORMANCE(selftest, act_cases, .time_limit_s = 1)
{
    struct slice act = conformance_text(c, "act");

    if (slice_eq_cstr(act, "fail"))
        conformance_fail(c, "act", "got / want");
    else if (slice_eq_cstr(act, "skip"))
        conformance_skip(c, "told to");
    else if (slice_eq_cstr(act, "crash"))
        _exit(3);
    else if (slice_eq_cstr(act, "abort"))
        abort();
    while (slice_eq_cstr(act, "hang"))
        (void)pause();
}
