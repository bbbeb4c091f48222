#include <sys/resource.h>
#include <unistd.h>

#include "common/base/thread.h"
#include "tests/unit/test.h"

static int nice_now(void)
{
    return getpriority(PRIO_PROCESS, (id_t)gettid());
}

TEST(thread_steps_back_and_up_again)
{
    int before = nice_now(), back;

    thread_step_up(); /* nothing to undo */
    CHECK_INT(nice_now(), before);
    thread_step_back();
    back = nice_now();
    thread_step_back(); /* not further */
    CHECK_INT(nice_now(), back);
    /* all the way, or not at all where it could not come back */
    CHECK(back == before || back == ORR_MIN(before + THREAD_BACK_NICE, PRIO_MAX - 1));
    if (geteuid() == 0 && before < PRIO_MAX - 1 && back == before)
        printf("   this root may not raise its priority: stepping back is not tested\n");
    thread_step_up();
    CHECK_INT(nice_now(), before);
}
