#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "tests/unit/test.h"

/* In a process of its own, for it may be killed: how many of the points it passed, by their exit status. */
static int status_after(const char *spec, bool *ret_killed)
{
    static const char *const points[] = {"wal.write", "net.read", "objstore.sync", "rpc.drop",
                                         "objstore.rename"};
    int status, errnum = 0, failed = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)setenv("ORRERY_FAULT", spec, 1);
        fault_arm_from_env();
        for (size_t i = 0; i < ORR_COUNT(points); i++)
            failed += fault_hit(points[i], &errnum);
        _exit(failed);
    }
    (void)waitpid(pid, &status, 0);
    *ret_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(fault_kills_at_the_step_that_is_named)
{
    const char *path = tmp_path("trace");
    char spec[4096], text[256] = "";
    bool killed;
    FILE *f;

    (void)snprintf(spec, sizeof(spec), "TRACE=%s", path);
    CHECK_INT(status_after(spec, &killed), 0);
    f = fopen(path, "r");
    CHECK(f != NULL);
    CHECK(fread(text, 1, sizeof(text) - 1, f) > 0);
    (void)fclose(f);
    CHECK(strcmp(text, "wal.write\nobjstore.sync\nobjstore.rename\n") == 0);
    for (int n = 0; n < 3; n++) {
        (void)snprintf(spec, sizeof(spec), "KILL=%d", n);
        (void)status_after(spec, &killed);
        CHECK(killed);
    }
    CHECK_INT(status_after("KILL=3", &killed), 0);
    CHECK(!killed);
    CHECK_INT(status_after("objstore.sync=ENOSPC,rpc.drop", &killed), 2);
}
