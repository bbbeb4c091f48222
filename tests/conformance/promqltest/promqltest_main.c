/*
 * orrery-promqltest [OPTION...] FILE|FOLDER...: runs promqltest scripts on the engine; of a folder
 * all *.test below it. Exit status 77: there was nothing to run.
 *
 * Each file runs in a child that reports every eval through a pipe; an eval that crashes it or takes
 * longer than EVAL_SECONDS fails alone: a new child runs the loads again and goes on behind it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "tests/conformance/promqltest/promqltest.h"
#include "tests/conformance/promqltest/promqltest_stored.h"

#define EVAL_SECONDS 20

static bool has_immediate_names; /* --immediate-names: as without the feature flag */
static bool is_stored;           /* --storage, but for memory */
static enum stored_mode stored_mode;

struct score {
    unsigned passed, failed, skipped;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static struct err *stored_if_asked(struct memstore *m, struct stored **io)
{
    return is_stored && !*io ? stored_new(stored_mode, m, io) : NULL;
}

/* In the child: evals from the skip-th on. A line "+ LINE" or "- LINE QUERY: DETAIL" for each. */
static void run_child(const struct script *s, unsigned skip, FILE *out)
{
    const struct engine_opts opts = {.has_experimental = true,
                                     .has_delayed_name_removal = !has_immediate_names,
                                     .has_start_timestamps = true};
    struct engine *eng = engine_new(&opts);
    struct memstore *store = memstore_new();
    struct stored *stored = NULL; /* what the memstore holds, once an eval has needed it */
    unsigned n = 0;

    VEC_FOREACH (c, &s->commands) {
        struct buf detail = {0};
        struct err *e;

        if (c->kind != COMMAND_EVAL) {
            stored_free(stored);
            stored = NULL;
        }
        if (c->kind == COMMAND_CLEAR) {
            memstore_clear(store);
        } else if (c->kind == COMMAND_LOAD) {
            if ((e = load_run(s->arena, c, store))) {
                fprintf(stderr, "%s\n", err_msg(e));
                err_free(e);
            }
        } else if (n++ >= skip) {
            alarm(EVAL_SECONDS);
            if (!(e = stored_if_asked(store, &stored)) &&
                eval_run(eng, c, stored ? stored_storage(stored) : memstore_storage(store),
                         &detail)) {
                fprintf(out, "+ %u\n", c->line);
            } else {
                if (e)
                    buf_str(&detail, err_msg(e));
                err_free(e);
                for (size_t i = 0; i < detail.len; i++)
                    if (detail.ptr[i] == '\n')
                        detail.ptr[i] = ' ';
                fprintf(out, "- %u %.*s: %s\n", c->line, SLICE_ARG(c->expr), buf_cstr(&detail));
            }
            fflush(out);
            alarm(0);
        }
        buf_done(&detail);
    }
    stored_free(stored);
    memstore_free(store);
    engine_free(eng);
}

static const struct command *eval_number(const struct script *s, unsigned n)
{
    VEC_FOREACH (c, &s->commands)
        if (c->kind == COMMAND_EVAL && n-- == 0)
            return c;
    return NULL;
}

static void record(FILE *results, const char *path, unsigned line, bool is_ok, const char *detail)
{
    struct buf b = {0};

    if (!results)
        return;
    buf_json_str(&b, slice_cstr(detail));
    fprintf(results,
            "{\"id\":\"%s:%u\",\"corpus\":\"promql/%s\",\"result\":\"%s\",\"detail\":%s}\n",
            base_name(path), line, base_name(path), is_ok ? "pass" : "fail", buf_cstr(&b));
    buf_done(&b);
}

/* Reads a child's reports; returns how many evals they were. */
static unsigned read_reports(FILE *in, const char *path, struct score *score, FILE *results)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    unsigned n = 0;

    while ((len = getline(&line, &cap, in)) > 2) {
        char *text;
        unsigned number = (unsigned)strtoul(line + 2, &text, 10);

        if (line[len - 1] == '\n')
            line[len - 1] = 0;
        n++;
        record(results, path, number, line[0] == '+', line[0] == '+' ? "" : text + 1);
        if (line[0] == '+') {
            score->passed++;
        } else {
            score->failed++;
            printf("%s:%u:%s\n", base_name(path), number, text);
        }
    }
    free(line);
    return n;
}

static void run_script(const struct script *s, const char *path, struct score *score, FILE *results)
{
    unsigned done = 0;

    while (eval_number(s, done)) {
        int fds[2], status = 0;
        FILE *in;
        pid_t pid;

        fflush(stdout);
        if (results)
            fflush(results);
        if (pipe(fds) || (pid = fork()) < 0) {
            perror("promqltest");
            exit(2);
        }
        if (pid == 0) {
            FILE *out = fdopen(fds[1], "w");

            close(fds[0]);
            run_child(s, done, out);
            fclose(out);
            _exit(0);
        }
        close(fds[1]);
        in = fdopen(fds[0], "r");
        done += read_reports(in, path, score, results);
        fclose(in);
        (void)waitpid(pid, &status, 0);
        if (WIFSIGNALED(status) || WEXITSTATUS(status)) {
            const struct command *c = eval_number(s, done);
            char detail[64];

            if (!c)
                break; /* it died after its last report */
            snprintf(detail, sizeof(detail), "ended with %s %d / a result",
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            printf("%s:%u: %.*s: %s\n", base_name(path), c->line, SLICE_ARG(c->expr), detail);
            record(results, path, c->line, false, detail);
            score->failed++;
            done++;
        }
    }
}

static bool run_file(const char *path, struct score *total, FILE *results)
{
    struct buf text = {0};
    struct script script;
    struct score score = {0};
    struct err *e;

    if ((e = fsx_read(path, 64u << 20, &text)) || (e = script_parse(buf_slice(&text), &script))) {
        printf("%s: %s\n", base_name(path), err_msg(e));
        err_free(e);
        buf_done(&text);
        total->failed++;
        return false;
    }
    run_script(&script, path, &score, results);
    printf("promql/%s: %u passed, %u failed, %u skipped\n", base_name(path), score.passed,
           score.failed, score.skipped);
    total->passed += score.passed;
    total->failed += score.failed;
    total->skipped += score.skipped;
    script_done(&script);
    buf_done(&text);
    return score.failed == 0;
}

/* A script, or all those below a folder. */
static void run_path(const char *path, struct score *total, FILE *results)
{
    struct stat st;
    char **names = NULL;
    size_t n = 0;

    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        (void)run_file(path, total, results);
        return;
    }
    err_free(fsx_list(path, &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *below = mem_printf("%s/%s", path, names[i]);

        if (slice_has_suffix(slice_cstr(below), SLICE(".test")) ||
            (!stat(below, &st) && S_ISDIR(st.st_mode)))
            run_path(below, total, results);
        mem_free(below);
    }
    fsx_names_free(names, n);
}

static const char usage[] =
    "usage: orrery-promqltest [OPTION...] FILE|FOLDER...\n"
    "Runs Prometheus' promqltest scripts on the engine.\n"
    "  --storage=memory|head|blocks|both  where the samples are: a table in memory (the default), "
    "the\n"
    "                                     ingester's head, blocks, or half and half\n"
    "  --shards=N                         in N shards of the series, where that can be\n"
    "  --immediate-names                  without delayed removal of names\n"
    "  --results FILE                     a line of JSON for each eval\n";

static bool parse_storage(const char *name)
{
    static const char *const names[] = {"head", "blocks", "both"};

    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        is_stored = true;
        stored_mode = (enum stored_mode)i;
        return true;
    }
    return !strcmp(name, "memory");
}

/* Reads the options; the index of the first file, 0 if they are wrong. */
static int parse_options(int argc, char **argv, FILE **ret_results)
{
    int i = 1;

    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--immediate-names")) {
            has_immediate_names = true;
        } else if (!strncmp(argv[i], "--storage=", 10) && parse_storage(argv[i] + 10)) {
            continue;
        } else if (!strncmp(argv[i], "--shards=", 9) &&
                   (eval_shards = (unsigned)atoi(argv[i] + 9))) {
            continue;
        } else if (!strcmp(argv[i], "--results") && i + 1 < argc) {
            if (!(*ret_results = fopen(argv[++i], "w"))) {
                perror(argv[i]);
                return 0;
            }
        } else {
            return 0;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    struct score total = {0};
    FILE *results = NULL;
    int i;

    if (argc > 1 && !strcmp(argv[1], "--help")) {
        fputs(usage, stdout);
        return 0;
    }
    if (!(i = parse_options(argc, argv, &results))) {
        fputs(usage, stderr);
        return 2;
    }
    err_free(log_set_level("error"));
    for (; i < argc; i++)
        if (fsx_exists(argv[i]))
            run_path(argv[i], &total, results);
        else
            printf("%s: not there: skipped\n", argv[i]);
    if (results)
        fclose(results);
    printf("%u passed, %u failed, %u skipped\n", total.passed, total.failed, total.skipped);
    if (total.passed + total.failed == 0)
        return 77;
    return total.failed ? 1 : 0;
}
