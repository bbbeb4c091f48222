/*
 * Cases run in a child, which tells its parent over a pipe where it is: for each case a byte 'S'
 * when it starts, then the result (a byte of P F K, a 4-byte length, the detail). When the child
 * dies or is silent for longer than the time limit, the case it had started has failed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/conformance/conformance_internal.h"

#define MAX_DETAIL (64 << 10)

char *conformance_id_of(struct slice line)
{
    ptrdiff_t at = slice_find(line, SLICE("\"id\":\""), 0), end;

    if (at < 0 || (end = slice_find_byte(line, '"', (size_t)at + 6)) < 0)
        return mem_strdup("?");
    return mem_strndup((const char *)line.ptr + at + 6, (size_t)(end - at) - 6);
}

static void put(int fd, const void *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno != EINTR)
            _exit(1);
        if (w > 0) {
            p = (const char *)p + w;
            n -= (size_t)w;
        }
    }
}

static void run_case(const struct conformance_row *row, struct conformance *c, struct slice line,
                     int fd)
{
    json_error_t je;
    json_t *j = json_loadb((const char *)line.ptr, line.len, JSON_ALLOW_NUL, &je);
    char *id = conformance_id_of(line);
    uint32_t len;
    char letter;

    c->json = j;
    c->id = id;
    c->has_failed = c->is_skipped = false;
    buf_reset(&c->detail);
    put(fd, "S", 1);
    if (j)
        row->run(c);
    else
        conformance_fail(c, "case", "not JSON: %s", je.text);
    letter = c->has_failed ? 'F' : c->is_skipped ? 'K' : 'P';
    len = (uint32_t)ORR_MIN(c->detail.len, (size_t)MAX_DETAIL);
    put(fd, &letter, 1);
    put(fd, &len, sizeof(len));
    put(fd, c->detail.ptr ? (const char *)c->detail.ptr : "", len);
    json_decref(j);
    mem_free(id);
    arena_reset(c->arena);
}

ORR_NORETURN static void child(const struct conformance_row *row, const char *dir,
                               const struct slice *lines, size_t n, int fd)
{
    struct conformance c = {
        .kind = row->kind, .corpus = row->corpus, .dir = dir, .arena = arena_new(0)};

    if (row->setup) {
        row->setup(&c);
        arena_reset(c.arena);
    }
    for (size_t i = 0; i < n; i++)
        run_case(row, &c, lines[i], fd);
    buf_done(&c.detail);
    arena_free(c.arena);
    (void)fflush(NULL);
    _exit(0);
}

/* False at the end of the pipe or after limit_s of silence (*ret_late). */
static bool take(int fd, void *p, size_t n, unsigned limit_s, bool *ret_late)
{
    while (n) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        int ready = poll(&pfd, 1, (int)limit_s * 1000);
        ssize_t r;

        if (ready == 0) {
            *ret_late = true;
            return false;
        }
        if (ready < 0 && errno == EINTR)
            continue;
        if ((r = read(fd, p, n)) <= 0)
            return false;
        p = (char *)p + r;
        n -= (size_t)r;
    }
    return true;
}

/* Takes results until the child ends; returns how many cases it has finished. */
static size_t collect(int fd, const struct slice *lines, unsigned limit_s,
                      conformance_done_fn *done, void *arg, bool *ret_started, bool *ret_late)
{
    size_t n = 0;
    char letter;

    *ret_started = *ret_late = false;
    while (take(fd, &letter, 1, limit_s, ret_late)) {
        enum conformance_result r = letter == 'P'   ? CONFORMANCE_PASS
                                    : letter == 'F' ? CONFORMANCE_FAIL
                                                    : CONFORMANCE_SKIP;
        char *detail, *id;
        uint32_t len;

        *ret_started = true;
        if (letter == 'S')
            continue;
        if (!take(fd, &len, sizeof(len), limit_s, ret_late) || len > MAX_DETAIL)
            break;
        detail = mem_zalloc(len + 1);
        if (!take(fd, detail, len, limit_s, ret_late)) {
            mem_free(detail);
            break;
        }
        id = conformance_id_of(lines[n++]);
        done(arg, id, r, detail);
        *ret_started = false;
        mem_free(id);
        mem_free(detail);
    }
    return n;
}

static void report_dead(struct slice line, int status, bool is_late, unsigned limit_s,
                        conformance_done_fn *done, void *arg)
{
    char *id = conformance_id_of(line), *why;

    if (is_late)
        why = mem_printf("hang: took longer than %u s / an answer", limit_s);
    else if (WIFSIGNALED(status))
        why = mem_printf("crash: signal %d / an answer", WTERMSIG(status));
    else
        why = mem_printf("crash: exit status %d / an answer", WEXITSTATUS(status));
    done(arg, id, CONFORMANCE_FAIL, why);
    mem_free(why);
    mem_free(id);
}

void conformance_run_lines(const struct conformance_row *row, const char *dir,
                           const struct slice *lines, size_t n, conformance_done_fn *done,
                           void *arg)
{
    unsigned limit_s = row->time_limit_s ? row->time_limit_s : CONFORMANCE_TIME_LIMIT_S;
    size_t i = 0;

    while (i < n) {
        int fds[2], status = 0;
        bool has_started, is_late;
        pid_t pid;

        (void)fflush(NULL);
        ORR_ASSERT(pipe(fds) == 0);
        pid = fork();
        ORR_ASSERT(pid >= 0);
        if (pid == 0) {
            (void)close(fds[0]);
            child(row, dir, lines + i, n - i, fds[1]);
        }
        (void)close(fds[1]);
        i += collect(fds[0], lines + i, limit_s, done, arg, &has_started, &is_late);
        (void)close(fds[0]);
        if (is_late)
            (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        /* Also when setup did not get as far as a case: it is charged to the next one. */
        if (i < n)
            report_dead(lines[i++], status, is_late, limit_s, done, arg);
    }
}
