#include <sys/resource.h>
#include <sys/syscall.h>
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

/* The slice that the scheduler has for the calling thread, in microseconds; 0: it does not tell. */
static unsigned slice_us(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t slice_ns, deadline_ns, period_ns;
    } attr = {0};

    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
        return 0;
    return (unsigned)(attr.slice_ns / 1000);
}

TEST(thread_asks_for_short_slices)
{
    int before = nice_now();

    if (slice_us() == 0) {
        printf("   this kernel has no slices of threads' own\n");
        return;
    }
    thread_prefer_bursts();
    CHECK_INT(slice_us(), THREAD_BURST_US);
    CHECK_INT(nice_now(), before);
}
