#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/thread.h"
#include "tests/unit/test.h"

/* The length of the calling thread's turns as the kernel shows it, ns; 0 where it shows none. */
static uint64_t turn_ns(void)
{
    char path[64], line[256];
    uint64_t ret = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/sched", (long)syscall(SYS_gettid));
    if (!(f = fopen(path, "re")))
        return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "se.slice", 8) == 0 && strchr(line, ':'))
            ret = strtoull(strchr(line, ':') + 1, NULL, 10);
    (void)fclose(f);
    return ret;
}

static void *see_turn(void *arg)
{
    *(uint64_t *)arg = turn_ns();
    return NULL;
}

static uint64_t turn_of_a_new_thread(void)
{
    uint64_t ret = 0;
    pthread_t id;

    CHECK_OK(thread_start("turn", see_turn, &ret, &id));
    pthread_join(id, NULL);
    return ret;
}

static void *compute_for_long(void *arg)
{
    uint64_t usual = *(uint64_t *)arg, brief = turn_ns();
    cpu_set_t before, now;

    CHECK_INT(sched_getaffinity(0, sizeof(before), &before), 0);
    CHECK_INT(turn_of_a_new_thread(), brief);
    thread_leave_a_core(true);
    CHECK_INT(turn_ns(), usual);
    CHECK_INT(sched_getaffinity(0, sizeof(now), &now), 0);
    CHECK_INT(CPU_COUNT(&now), CPU_COUNT(&before) > 1 ? CPU_COUNT(&before) - 1 : 1);
    CHECK_INT(turn_of_a_new_thread(), brief);
    CHECK_INT(turn_ns(), usual);
    thread_leave_a_core(false);
    CHECK_INT(turn_ns(), brief);
    CHECK_INT(sched_getaffinity(0, sizeof(now), &now), 0);
    CHECK(CPU_EQUAL(&now, &before));
    /* A kernel that lets a thread choose its turns shows what was chosen. */
    if (brief == usual)
        printf("this kernel knows no turns of a thread's own (%llu ns)\n",
               (unsigned long long)usual);
    return NULL;
}

TEST(who_computes_for_long_takes_longer_turns_and_leaves_a_core)
{
    uint64_t usual = turn_ns();
    pthread_t id;

    thread_take_short_turns();
    CHECK_OK(thread_start("long", compute_for_long, &usual, &id));
    pthread_join(id, NULL);
}
