#include "common/base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

#define MAX_POINTS 16

bool fault_is_armed;

/* A leaf lock of its own: lock.h would have to rank below everything that can fail. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char name[48];
    int errnum;
} points[MAX_POINTS];
static size_t point_count;
static uint64_t countdown;
static bool is_counting, did_fire;

/* A walk through the steps of a whole process: ORRERY_FAULT=TRACE=PATH writes the name of each point
 * passed to a file, KILL=N ends the process, as SIGKILL does, when it passes the N-th, from 0, and
 * STOP=N has it sleep there, as SIGSTOP does, until SIGCONT. */
static struct {
    bool is_on;
    uint64_t passed, kill_at, stop_at;
    int trace_fd;
} steps = {.kill_at = UINT64_MAX, .stop_at = UINT64_MAX, .trace_fd = -1};

/* What leaves no trace on a disk or in a bucket is no step. */
static bool is_step(const char *point)
{
    static const char *const others[] = {"net.",  "rpc.",    "http_client.",
                                         "loop.", "thread.", "objstore.open"};

    for (size_t i = 0; i < ORR_COUNT(others); i++)
        if (strncmp(point, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

/* With the mutex. */
static void step(const char *point)
{
    if (steps.trace_fd >= 0)
        (void)dprintf(steps.trace_fd, "%s\n", point);
    if (steps.passed == steps.stop_at)
        (void)kill(getpid(), SIGSTOP); /* all threads, not this one alone */
    if (steps.passed++ == steps.kill_at)
        (void)raise(SIGKILL);
}

static void set_armed(bool is_armed)
{
    __atomic_store_n(&fault_is_armed, is_armed, __ATOMIC_RELAXED);
}

bool fault_hit_slow(const char *point, int *ret_errnum)
{
    bool hit = false;

    pthread_mutex_lock(&mutex);
    if (steps.is_on && is_step(point))
        step(point);
    for (size_t i = 0; i < point_count && !hit; i++) {
        if (strcmp(points[i].name, point) == 0) {
            *ret_errnum = points[i].errnum;
            hit = true;
        }
    }
    if (!hit && is_counting && countdown-- == 0) {
        *ret_errnum = EIO;
        hit = did_fire = true;
        is_counting = false;
    }
    pthread_mutex_unlock(&mutex);
    return hit;
}

void fault_arm_nth(uint64_t nth)
{
    pthread_mutex_lock(&mutex);
    countdown = nth;
    is_counting = true;
    did_fire = false;
    set_armed(true);
    pthread_mutex_unlock(&mutex);
}

void fault_arm_point(const char *point, int errnum)
{
    size_t i = 0;

    pthread_mutex_lock(&mutex);
    while (i < point_count && strcmp(points[i].name, point) != 0)
        i++;
    if (errnum == 0 && i < point_count) {
        points[i] = points[--point_count];
    } else if (errnum != 0 && i < MAX_POINTS) {
        (void)strncpy(points[i].name, point, sizeof(points[i].name) - 1);
        points[i].errnum = errnum;
        point_count = i == point_count ? i + 1 : point_count;
    }
    set_armed(point_count > 0 || is_counting || steps.is_on);
    pthread_mutex_unlock(&mutex);
}

void fault_disarm(void)
{
    pthread_mutex_lock(&mutex);
    point_count = 0;
    is_counting = false;
    steps.is_on = false;
    set_armed(false);
    memset(points, 0, sizeof(points));
    pthread_mutex_unlock(&mutex);
}

bool fault_did_fire(void)
{
    bool ret;

    pthread_mutex_lock(&mutex);
    ret = did_fire;
    pthread_mutex_unlock(&mutex);
    return ret;
}

static int errnum_named(const char *name)
{
    static const struct {
        const char *name;
        int num;
    } names[] = {
        {"EIO", EIO},       {"ENOSPC", ENOSPC},       {"ENOMEM", ENOMEM},        {"EDQUOT", EDQUOT},
        {"EACCES", EACCES}, {"ETIMEDOUT", ETIMEDOUT}, {"ECONNRESET", ECONNRESET}};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].num;
    return EIO;
}

static void walk(uint64_t kill_at, uint64_t stop_at, const char *trace_path)
{
    pthread_mutex_lock(&mutex);
    steps.is_on = true;
    steps.kill_at = ORR_MIN(steps.kill_at, kill_at);
    steps.stop_at = ORR_MIN(steps.stop_at, stop_at);
    if (trace_path)
        steps.trace_fd = open(trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    set_armed(true);
    pthread_mutex_unlock(&mutex);
}

static void arm_item(const char *point, const char *value)
{
    if (strcmp(point, "KILL") == 0)
        walk(strtoull(value, NULL, 10), UINT64_MAX, NULL);
    else if (strcmp(point, "STOP") == 0)
        walk(UINT64_MAX, strtoull(value, NULL, 10), NULL);
    else if (strcmp(point, "TRACE") == 0)
        walk(UINT64_MAX, UINT64_MAX, value);
    else
        fault_arm_point(point, errnum_named(value));
}

void fault_arm_from_env(void)
{
    const char *spec = getenv("ORRERY_FAULT");
    char *copy, *save = NULL;

    if (!spec)
        return;
    copy = mem_strdup(spec);
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(item, '=');

        if (eq)
            *eq = 0;
        arm_item(item, eq ? eq + 1 : "EIO");
    }
    mem_free(copy);
}

bool fault_sweep_next(uint64_t *n)
{
    if (*n != UINT64_MAX && !fault_did_fire()) {
        fault_disarm();
        return false; /* the last run met fewer calls than n: all have been failed once */
    }
    fault_arm_nth(++*n);
    return true;
}
