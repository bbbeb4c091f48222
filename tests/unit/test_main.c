#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "tests/unit/test.h"

static VEC(struct CMUnitTest) tests;
static VEC(char *) paths;
static char *tmp_dir;

static void run_one(void **state)
{
    test_fn *fn;

    memcpy(&fn, state, sizeof(fn));
    fn();
}

static int tear_down(void **state)
{
    (void)state;
    if (tmp_dir)
        err_free(fsx_remove_tree(tmp_dir));
    mem_free(tmp_dir);
    tmp_dir = NULL;
    VEC_FOREACH (p, &paths)
        mem_free(*p);
    vec_done(&paths);
    fault_disarm();
    return 0;
}

void test_register(const char *name, test_fn *fn)
{
    struct CMUnitTest t = {name, run_one, NULL, tear_down, NULL};

    memcpy(&t.initial_state, &fn, sizeof(fn));
    vec_push(&tests, t);
}

const char *tmp_path(const char *name)
{
    char *p;

    if (!tmp_dir) {
        const char *base = getenv("TMPDIR");

        tmp_dir = mem_printf("%s/orrery-test-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(tmp_dir))
            test_fail(__FILE__, __LINE__, "mkdtemp %s", tmp_dir);
    }
    p = name[0] ? mem_printf("%s/%s", tmp_dir, name) : mem_strdup(tmp_dir);
    vec_push(&paths, p);
    return p;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    _fail(file, line);
    abort();
}

void test_check_ok(struct err *e, const char *expr, const char *file, int line)
{
    if (e)
        test_fail(file, line, "%s: %s", expr, err_msg(e));
}

void test_check_err(struct err *e, enum err_code code, const char *text, const char *expr,
                    const char *file, int line)
{
    if (!e)
        test_fail(file, line, "%s succeeded, wanted %s", expr, err_code_name(code));
    if (err_code(e) != code || !strstr(err_msg(e), text))
        test_fail(file, line, "%s: got %s \"%s\", wanted %s with \"%s\"", expr,
                  err_code_name(err_code(e)), err_msg(e), err_code_name(code), text);
    err_free(e);
}

void test_check_str(struct slice got, struct slice want, const char *expr, const char *file,
                    int line)
{
    if (!slice_eq(got, want))
        test_fail(file, line, "%s\n   got  \"%.*s\"\n   want \"%.*s\"", expr, SLICE_ARG(got),
                  SLICE_ARG(want));
}

int main(int argc, char **argv)
{
    struct CMUnitTest *chosen = mem_new_array(struct CMUnitTest, tests.len + 1);
    size_t n = 0;
    int failed;

    VEC_FOREACH (t, &tests) {
        bool wanted = argc < 2;

        for (int i = 1; i < argc; i++)
            wanted = wanted || strstr(t->name, argv[i]) != NULL;
        if (wanted)
            chosen[n++] = *t;
    }
    failed = _cmocka_run_group_tests(argv[0], chosen, n, NULL, NULL);
    mem_free(chosen);
    vec_done(&tests);
    return failed ? 1 : 0;
}
