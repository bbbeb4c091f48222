#include "common/logs/linepattern.h"
#include "querier/logs/logpatterns.h"
#include "querier/logs/logtokens.h"
#include "tests/unit/test.h"

/* "skeleton | token | token~", ~ for what varies; . for a token in the skeleton, * for the rest */
static void check_split(const char *line, const char *want)
{
    struct logtokens t = {.max = 4};
    struct buf b = {0};

    logtokens_split(&t, slice_cstr(line));
    for (size_t i = 0; i < t.skeleton.len; i++) {
        uint8_t c = t.skeleton.ptr[i];

        buf_byte(&b, c == LOGTOKENS_TOKEN ? '.' : c == LOGTOKENS_REST ? '*' : c);
    }
    for (size_t i = 0; i < t.n; i++)
        buf_printf(&b, " | %.*s%s", SLICE_ARG(t.ptr[i].text), t.ptr[i].varies ? "~" : "");
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    logtokens_done(&t);
}

TEST(logpatterns_split_into_tokens)
{
    check_split("", "");
    check_split("a  b", ".  . | a | b");
    check_split("took=12ms msg=\"cache miss\" (retry x)",
                "took=. msg=\".\" (. .) | 12ms~ | cache miss | retry | x");
    check_split("{\"a\": \"x y\", \"b\":[1,2],\"c\":\"\"}",
                "{\"a\": \".\", \"b\":[.],\"c\":\"\"} | x y | 1,2~");
    check_split("at 23:03:40 10.0.0.1:80: up", ". . .: . | at | 23:03:40~ | 10.0.0.1:80~ | up");
    check_split("a, don't 'x'", "., . '.' | a | don't | x");
    check_split("a b c d e=f g", ". . . . e=* | a | b | c | d");
    check_split("GET /a?b=c&d=e x=/p=q", ". . x=. | GET | /a?b=c&d=e | /p=q");
    check_split("List<String> \x01 550e8400-e29b-41d4-a716-446655440000 -5",
                ". . . . | List<String>~ | \x01~ | "
                "550e8400-e29b-41d4-a716-446655440000~ | -5~");
    check_split("msg=\"a \\\" b\" c=\"open", "msg=\".\" c=\". | a \\\" b | open");
}

struct rig {
    struct arena *a;
    struct logpatterns *p;
};

static struct rig rig_new(size_t max)
{
    struct rig r = {.a = arena_new(0)};

    r.p = logpatterns_new(r.a, &(struct logpatterns_opts){.step_ns = 10, .max_patterns = max});
    return r;
}

static void rig_done(struct rig *r)
{
    logpatterns_free(r->p);
    arena_free(r->a);
}

static void add(struct rig *r, int64_t ts, const char *line)
{
    logpatterns_add(r->p, SLICE_EMPTY, ts, slice_cstr(line));
}

/* "lines pattern[level] step:lines …" a line */
static void check_list(struct rig *r, const char *want)
{
    struct logpattern *l;
    struct buf b = {0};
    size_t n;

    logpatterns_list(r->p, &l, &n);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%llu %.*s", (unsigned long long)l[i].lines, SLICE_ARG(l[i].text));
        if (l[i].level.len)
            buf_printf(&b, "[%.*s]", SLICE_ARG(l[i].level));
        for (size_t k = 0; k < l[i].n_samples; k++)
            buf_printf(&b, " %lld:%llu", (long long)l[i].samples[k].step,
                       (unsigned long long)l[i].samples[k].lines);
        buf_byte(&b, '\n');
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

TEST(logpatterns_keep_what_is_the_same)
{
    struct rig r = rig_new(100);

    add(&r, 0,
        "ts=2024-03-30T23:03:40 caller=grpc_logging.go:66 level=info duration=200ms msg=gRPC");
    add(&r, 25,
        "ts=2024-03-30T23:03:41 caller=grpc_logging.go:66 level=info duration=500ms msg=gRPC");
    add(&r, 5,
        "ts=2024-03-30T23:03:41 caller=grpc_logging.go:66 level=info duration=500ms msg=gRPC");
    add(&r, 29,
        "ts=2024-03-30T23:03:42 caller=grpc_logging.go:66 level=error duration=1s msg=gRPC");
    add(&r, 30, "disk is full");
    add(&r, 31, "");
    check_list(&r, "3 ts=<_> caller=grpc_logging.go:66 level=info duration=<_> msg=gRPC 0:2 2:1\n"
                   "1  3:1\n"
                   "1 disk is full 3:1\n"
                   "1 ts=<_> caller=grpc_logging.go:66 level=error duration=<_> msg=gRPC 2:1\n");
    rig_done(&r);
}

TEST(logpatterns_many_values_vary)
{
    struct rig r = rig_new(1000);
    char line[64];

    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof(line), "user %c%c logged in by pod-%d", 'a' + i / 26, 'a' + i % 26,
                 i);
        add(&r, 0, line);
        snprintf(line, sizeof(line), "job %d %s", i, i % 2 ? "failed" : "done");
        add(&r, 0, line);
    }
    check_list(&r, "100 user <_> logged in by <_> 0:100\n"
                   "50 job <_> done 0:50\n"
                   "50 job <_> failed 0:50\n");
    rig_done(&r);
}

TEST(logpatterns_are_apart_by_level)
{
    struct rig r = rig_new(100);
    char level[16];

    logpatterns_add(r.p, SLICE("info"), 0, SLICE("tick 1"));
    logpatterns_add(r.p, SLICE("error"), 0, SLICE("tick 2"));
    logpatterns_add(r.p, SLICE("info"), 0, SLICE("tick 3"));
    check_list(&r, "2 tick <_>[info] 0:2\n1 tick <_>[error] 0:1\n");
    for (int i = 0; i < 100; i++) { /* levels are no way to have any number of patterns */
        struct logpattern *l;
        size_t n;

        snprintf(level, sizeof(level), "l%d", i);
        logpatterns_add(r.p, slice_cstr(level), 0, SLICE("tick 4"));
        logpatterns_list(r.p, &l, &n);
        CHECK(n <= LOGPATTERNS_LEVELS + 1);
    }
    rig_done(&r);
}

TEST(logpatterns_are_bounded)
{
    struct rig r = rig_new(50);
    struct logpattern *l;
    uint64_t lines = 0;
    char line[64];
    size_t n;

    for (int i = 0; i < 20000; i++) { /* 26 words each in four places */
        snprintf(line, sizeof(line), "%c %c %c %c", 'a' + i % 14, 'a' + i / 14 % 14,
                 'a' + i / 196 % 14, 'a' + i / 2744 % 14);
        add(&r, i, line);
    }
    CHECK_INT(logpatterns_left_out(r.p), 0);
    for (int i = 0; i < 1000; i++) { /* as many skeletons */
        snprintf(line, sizeof(line), "k%d=1", i);
        add(&r, i, line);
    }
    logpatterns_list(r.p, &l, &n);
    CHECK(n > 0 && n <= 50);
    for (size_t i = 0; i < n; i++)
        lines += l[i].lines;
    CHECK_INT(lines + logpatterns_left_out(r.p), 21000);
    CHECK(arena_used(r.a) < 8 << 20);
    rig_done(&r);
}

/* Each # becomes a number. */
static void form(char *out, const char *text, int i)
{
    for (int n = 1; *text; text++)
        if (*text == '#')
            out += sprintf(out, "%d", i * n++);
        else
            *out++ = *text;
    *out = 0;
}

/* What people's services write; each line must be found by the pattern that stands for it. */
TEST(logpatterns_find_their_lines)
{
    static const char *const forms[] = {
        "10.1.#.7 - - [10/Oct/2000:13:55:# +0000] \"GET /a/# HTTP/1.1\" 200 #",
        "{\"level\":\"info\",\"n\":#,\"user\":{\"id\":#},\"msg\":\"took # ms, all #\"}",
        "level=warn ts=2024-01-01T00:00:#Z err=\"no such file: /tmp/#\" n=# retry=#",
        "<34>1 2003-10-11T22:14:#.003Z host su # ID# - 'su root' failed for user# on "
        "/dev/pts/8",
        "java.lang.IllegalStateException: #\n\tat com.example.Foo.bar(Foo.java:#)\n\tat "
        "x.y(Z.java:#) #",
        "a=#;b=#, c:# | d -> #",
    };
    struct arena *a = arena_new(0);
    char line[256];

    for (size_t f = 0; f < ORR_COUNT(forms); f++) {
        struct rig r = rig_new(100);
        struct logpattern *l;
        struct linepattern pattern;
        size_t n;

        for (int i = 0; i < 30; i++) {
            form(line, forms[f], i);
            add(&r, 0, line);
        }
        logpatterns_list(r.p, &l, &n);
        if (n != 1)
            test_fail(__FILE__, __LINE__, "%zu patterns of %s", n, forms[f]);
        CHECK_OK(linepattern_parse(a, l[0].text, &pattern));
        for (int i = 0; i < 30; i++) {
            form(line, forms[f], i);
            if (!linepattern_is(&pattern, slice_cstr(line)))
                test_fail(__FILE__, __LINE__, "%.*s does not find %s", SLICE_ARG(l[0].text), line);
        }
        rig_done(&r);
    }
    arena_free(a);
}
