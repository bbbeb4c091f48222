#include "common/base/thread.h"
#include "common/lang/logql.h"
#include "common/logs/pipeline.h"
#include "tests/unit/test.h"

struct fixture {
    struct arena *a;
    struct logql q;
    struct pipeline *p;
    struct pipeline_state *s;
    struct labels metadata;
};

static const struct label stream_labels[] = {{SLICE_INIT("app"), SLICE_INIT("x")},
                                             {SLICE_INIT("level"), SLICE_INIT("stream")}};
static const struct label some_metadata[] = {{SLICE_INIT("level"), SLICE_INIT("meta")},
                                             {SLICE_INIT("trace"), SLICE_INIT("t1")}};

/* query: a pipeline, or a metric query (a sum of a range aggregation, or one alone). */
static struct fixture fixture_new(const char *query)
{
    struct fixture f = {.a = arena_new(0)};
    struct pipeline_opts opts = {0};
    const struct logql_expr *root;
    const char *text =
        query[0] == '|' || query[0] == '!' ? arena_printf(f.a, "{app=\"x\"} %s", query) : query;

    CHECK_OK(logql_parse(f.a, slice_cstr(text), &f.q));
    root = f.q.root;
    if (root->kind == LOGQL_VECTOR) {
        opts.sum = &root->u.vector.grouping;
        root = root->u.vector.expr;
    }
    if (root->kind == LOGQL_RANGE)
        opts.range = &root->u.range;
    CHECK_OK(pipeline_make(f.a, opts.range ? &opts.range->logs : &root->u.logs, &opts, &f.p));
    f.s = pipeline_state_new(f.p, f.a);
    pipeline_state_stream(f.s, (struct labels){stream_labels, 2});
    return f;
}

static void fixture_done(struct fixture *f)
{
    pipeline_state_free(f->s);
    pipeline_done(f->p);
    logql_done(&f->q);
    arena_free(f->a);
}

static struct labels without_details(struct fixture *f)
{
    struct labels ls = pipeline_state_labels(f->s, f->a);
    struct label *kept = arena_array(f->a, struct label, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (!slice_eq_cstr(ls.ptr[i].name, "__error_details__"))
            kept[n++] = ls.ptr[i];
    return (struct labels){kept, n};
}

/* "line {labels} value"; "-" if the line is dropped. Details of errors are left out. */
static void check_line(struct fixture *f, const char *line, const char *want)
{
    struct pipeline_line out;
    struct buf b = {0};

    if (!pipeline_state_line(f->s, 1000000000, slice_cstr(line), f->metadata, &out)) {
        CHECK_STR("-", want);
        return;
    }
    buf_printf(&b, "%.*s ", SLICE_ARG(out.line));
    labels_text(&b, without_details(f));
    if (out.value != 0) {
        buf_byte(&b, ' ');
        buf_f64_text(&b, out.value);
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

static void check(const char *query, const char *line, const char *want)
{
    struct fixture f = fixture_new(query);

    check_line(&f, line, want);
    fixture_done(&f);
}

static void check_metadata(const char *query, const char *line, const char *want)
{
    struct fixture f = fixture_new(query);

    f.metadata = (struct labels){some_metadata, 2};
    check_line(&f, line, want);
    fixture_done(&f);
}

#define STREAM "app=\"x\", level=\"stream\""

TEST(pipeline_line_filters_run_where_the_line_is_theirs)
{
    check("|= `a` | logfmt |= `c`", "a=b", "-");
    check("|= `a` | logfmt |= `b`", "a=b", "a=b {a=\"b\", " STREAM "}");
    check("| line_format `z` |= `z` != `a`", "a=b", "z {" STREAM "}");
    check("| line_format `z` |= `a`", "a=b", "-");
    check("| line_format `z` | line_format `y` |= `z`", "a=b", "-");
}

TEST(pipeline_json)
{
    check("| json", "{\"a\":{\"b\":1},\"level\":\"info\",\"l\":[1]}",
          "{\"a\":{\"b\":1},\"level\":\"info\",\"l\":[1]} {a_b=\"1\", app=\"x\", "
          "level=\"stream\", level_extracted=\"info\"}");
    check("| json", "{\"a\":1,", "{\"a\":1, {__error__=\"JSONParserErr\", a=\"1\", " STREAM "}");
    check("| json", "[]", "[] {__error__=\"JSONParserErr\", " STREAM "}");
    check("| json | line_format `-`", "{\"a\":\"x\\ufffd\xff\\n\",\"a\":2,\"b\":\"\\ud800\"}",
          "- {a=\"x  \\n\", app=\"x\", b=\"\", level=\"stream\"}");
    check("| json | line_format `{{.n}}`", "{\"n\":\"\\u00e9\"}",
          "\xc3\xa9 {" STREAM ", n=\"\xc3\xa9\"}");
    check("| json b=`a.b[0]`, c=`zz` | line_format `-`", "{\"a\":{\"b\":[\"\\\"q\"]}}",
          "- {app=\"x\", b=\"\\\"q\", c=\"\", level=\"stream\"}");
    check("| json level=`l` | line_format `-`", "{\"l\":null}",
          "- {" STREAM ", level_extracted=\"\"}");
    check("| json b=`a` | line_format `-`", "nothing",
          "- {__error__=\"JSONParserErr\", " STREAM "}");
}

TEST(pipeline_logfmt)
{
    check("| logfmt | line_format `-`", "a=1 a=2 b-c=\"x y\" e= f =q",
          "- {a=\"1\", app=\"x\", b_c=\"x y\", level=\"stream\"}");
    check("| logfmt --keep-empty | line_format `-`", "e= f",
          "- {app=\"x\", e=\"\", f=\"\", level=\"stream\"}");
    check("| logfmt --strict | line_format `-`", "a=1 =2 b=3",
          "- {__error__=\"LogfmtParserErr\", a=\"1\", " STREAM "}");
    check("| logfmt q=`a`, level, z | line_format `-`", "a=1 level=info b=2",
          "- {app=\"x\", level=\"stream\", level_extracted=\"info\", q=\"1\", z=\"\"}");
    check("| logfmt | logfmt q=`a` | line_format `-`", "a=1",
          "- {a=\"1\", app=\"x\", level=\"stream\", q=\"\"}");
}

TEST(pipeline_regexp_and_pattern)
{
    check("| regexp `(?P<a>\\w+) (?P<b>z)?`", "one two",
          "one two {a=\"one\", app=\"x\", "
          "b=\"\", level=\"stream\"}");
    check("| regexp `(?P<a>\\d+)`", "one", "one {" STREAM "}");
    check("| pattern `<a> [<_>] <level>`", "1 [2] 3",
          "1 [2] 3 {a=\"1\", app=\"x\", level=\"stream\", level_extracted=\"3\"}");
}

TEST(pipeline_unpack)
{
    check("| unpack", "{\"_entry\":\"in\\nside\",\"pod\":\"p\",\"n\":1,\"o\":{\"x\":\"y\"}}",
          "in\nside {app=\"x\", level=\"stream\", pod=\"p\"}");
    check("| unpack", "{\"pod\":\"p\"}", "{\"pod\":\"p\"} {" STREAM "}");
    check("| unpack", "no", "no {__error__=\"JSONParserErr\", " STREAM "}");
}

TEST(pipeline_metadata_stands_beside_parsed_labels)
{
    check_metadata("| logfmt", "trace=t2 a=1",
                   "trace=t2 a=1 {a=\"1\", app=\"x\", level=\"stream\", level_extracted=\"meta\", "
                   "trace=\"t1\", trace_extracted=\"t2\"}");
    check_metadata("| trace=`t1`", "a", "a {" STREAM ", level_extracted=\"meta\", trace=\"t1\"}");
    check_metadata("| trace!=`t1`", "a", "-");
}

TEST(pipeline_label_filters)
{
    static const char *const keep[] = {"n > 9",
                                       "n >= 10 and d < 2s",
                                       "n == 10 or zz > 1",
                                       "b = 1KB",
                                       "b > 900B",
                                       "d = 1500ms",
                                       "ip = ip(`10.0.0.0/8`)",
                                       "ip != ip(`::1`)",
                                       "w =~ `a.*`",
                                       "w =~ `z.*`",
                                       "w !~ `q|a`",
                                       "zz = ``",
                                       "w != `q` , n < 11",
                                       "w > 1",
                                       "(n < 3 or n > 4), d > 1s"};
    static const char *const drop[] = {"n > 10",   "zz > 1",     "b < 1KB", "ip = ip(`::/0`)",
                                       "w =~ `a`", "w !~ `z.*`", "d > 2s",  "n < 3 or zz < 1"};

    for (size_t i = 0; i < ORR_COUNT(keep) + ORR_COUNT(drop); i++) {
        bool is_kept = i < ORR_COUNT(keep);
        const char *filter = is_kept ? keep[i] : drop[i - ORR_COUNT(keep)];
        char query[128];
        struct pipeline_line out;
        struct fixture f;

        snprintf(query, sizeof(query), "| logfmt | %s", filter);
        f = fixture_new(query);
        if (pipeline_state_line(f.s, 0, SLICE("n=10 d=1.5s b=1kB ip=10.1.1.1 w=abz"),
                                (struct labels){0}, &out) != is_kept)
            test_fail(__FILE__, __LINE__, "%s", filter);
        fixture_done(&f);
    }
}

TEST(pipeline_errors_of_lines)
{
    check("| logfmt | n > 1 | line_format `-`", "n=x",
          "- {__error__=\"LabelFilterErr\", " STREAM ", n=\"x\"}");
    check("| logfmt | n > 1 | __error__=``", "n=x", "-");
    check("| logfmt | __error__!=`` or n > 1", "n=2", "n=2 {" STREAM ", n=\"2\"}");
    /* What cannot be compared is let through, what is not there is not. */
    check("| json | n > 1", "{", "-");
    check("| json | ip = ip(`::1`)", "{", "{ {__error__=\"JSONParserErr\", " STREAM "}");
    check("| line_format `{{.a | int | bytes}}`", "a",
          "a {__error__=\"TemplateFormatErr\", " STREAM "}");
    check("| json | drop __error__", "{", "{ {" STREAM "}");
}

TEST(pipeline_formats)
{
    check("| logfmt | line_format `{{.a}}-{{__line__}}`", "a=1", "1-a=1 {a=\"1\", " STREAM "}");
    check("| label_format b=app, c=`{{.app}}{{.b}}`, d=`{{.c}}`", "z",
          "z {b=\"x\", c=\"x\", d=\"\", level=\"stream\"}");
    check("| label_format level=app", "z", "z {level=\"x\"}");
    check("| label_format a=nope", "z", "z {" STREAM "}");
    check("| decolorize", "\x1b[1;31mred\x1b[0m", "red {" STREAM "}");
    check("| logfmt | drop a, app=`y`, b=~`2.*`", "a=1 b=22 c=3",
          "a=1 b=22 c=3 {app=\"x\", c=\"3\", level=\"stream\"}");
    check("| logfmt | keep a, app=`y`, b=~`2.*`", "a=1 b=22 c=3",
          "a=1 b=22 c=3 {a=\"1\", b=\"22\"}");
}

TEST(pipeline_values_of_metric_queries)
{
    check("count_over_time({app=\"x\"}[1m])", "abc", "abc {" STREAM "} 1");
    check("bytes_over_time({app=\"x\"} | line_format `12345` [1m])", "abc", "12345 {" STREAM "} 5");
    check("sum_over_time({app=\"x\"} | logfmt | unwrap a [1m])", "a=2.5 b=1",
          "a=2.5 b=1 {app=\"x\", b=\"1\", level=\"stream\"} 2.5");
    check("sum_over_time({app=\"x\"} | logfmt | unwrap bytes(a) [1m])", "a=2kB",
          "a=2kB {" STREAM "} 2000");
    check("sum_over_time({app=\"x\"} | logfmt | unwrap duration(a) [1m])", "a=2m",
          "a=2m {" STREAM "} 120");
    check("max_over_time({app=\"x\"} | logfmt | unwrap a [1m]) by (b)", "a=2 b=1",
          "a=2 b=1 {b=\"1\"} 2");
    check("max_over_time({app=\"x\"} | logfmt | unwrap a [1m]) without (app)", "a=2 b=1",
          "a=2 b=1 {b=\"1\", level=\"stream\"} 2");
    check("sum_over_time({app=\"x\"} | logfmt | unwrap a [1m])", "b=1", "-");
    check("sum_over_time({app=\"x\"} | logfmt | unwrap a | __error__=`` [1m])", "a=z", "-");
    check("sum by (b) (count_over_time({app=\"x\"} | logfmt [1m]))", "a=2 b=1",
          "a=2 b=1 {b=\"1\"} 1");
    check("sum(count_over_time({app=\"x\"} | logfmt [1m]))", "a=2 b=1", "a=2 b=1 {} 1");
    /* A line that nobody looks at is not even made. */
    check("count_over_time({app=\"x\"} | line_format `{{nofunc}}` [1m])", "a", "a {" STREAM "} 1");
}

static bool fails(const char *query, const char *line)
{
    struct fixture f = fixture_new(query);
    struct slice error, details;
    struct pipeline_line out;
    bool is_failed;

    CHECK(pipeline_state_line(f.s, 0, slice_cstr(line), (struct labels){0}, &out));
    is_failed = pipeline_state_fails(f.s, &error, &details);
    fixture_done(&f);
    return is_failed;
}

TEST(pipeline_parsers_stop_where_they_have_all)
{
    /* The rest of the line is malformed, but nobody comes to it. */
    CHECK(!fails("sum by (a) (count_over_time({app=\"x\"} | json [1m]))", "{\"a\":1,"));
    CHECK(fails("sum by (a,b) (count_over_time({app=\"x\"} | json [1m]))", "{\"a\":1,"));
    CHECK(!fails("sum(count_over_time({app=\"x\"} | json [1m]))", "{"));
    CHECK(fails("count_over_time({app=\"x\"} | json [1m])", "{"));
    CHECK(fails("sum_over_time({app=\"x\"} | logfmt | unwrap a [1m])", "a=z"));
    /* Asked for, an error is a label like others. */
    CHECK(!fails("sum by (__error__) (count_over_time({app=\"x\"} | json [1m]))", "{"));
    /* The refused value ends it before the error. */
    check("| json | a > 1", "{\"a\":1,", "-");
    check("| json | label_format a=`5` | a > 1", "{\"a\":1}", "-");
}

TEST(pipeline_categories)
{
    struct fixture f = fixture_new("| logfmt | drop app");
    struct pipeline_labels ls;
    struct pipeline_line out;

    CHECK(pipeline_state_line(f.s, 0, SLICE("a=1"), (struct labels){some_metadata, 2}, &out));
    ls = pipeline_state_categories(f.s, f.a);
    CHECK_INT(ls.stream.n, 1);
    CHECK_INT(ls.metadata.n, 2);
    CHECK_INT(ls.parsed.n, 1);
    CHECK_SLICE(ls.metadata.ptr[0].name, "level_extracted");
    CHECK_SLICE(ls.parsed.ptr[0].value, "1");
    fixture_done(&f);
}

TEST(pipeline_refuses)
{
    static const char *const bad[] = {"| line_format `{{nofunc}}`",
                                      "| label_format a=`{{`",
                                      "| regexp `(`",
                                      "| regexp `(a)`",
                                      "| regexp `(?P<a>.)(?P<a>.)`",
                                      "| pattern `abc`",
                                      "| pattern `<a><b>`",
                                      "| pattern `<a> <a>`",
                                      "| json a=`b..c`",
                                      "| a = ip(`1.2.3`)",
                                      "|~ `(`",
                                      "| json |~ `a(`"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct arena *a = arena_new(0);
        struct pipeline *p;
        struct logql q = {0};
        struct err *e =
            logql_parse(a, slice_cstr(arena_printf(a, "{a=\"b\"} | json %s", bad[i])), &q);

        if (!e)
            e = pipeline_make(a, &q.root->u.logs, NULL, &p);
        if (!e)
            test_fail(__FILE__, __LINE__, "%s was taken", bad[i]);
        CHECK_ERR(e, ERR_INVALID, "");
        logql_done(&q);
        arena_free(a);
    }
}

static struct err *make_with_names(unsigned n)
{
    struct arena *a = arena_new(0);
    struct pipeline *p = NULL;
    struct logql q = {0};
    struct buf b = {0};
    struct err *e;

    buf_str(&b, "{a=\"b\"}");
    for (unsigned i = 0; i < n; i++)
        buf_printf(&b, "%sn%u", i % 1000 ? ", " : " | drop ", i);
    e = logql_parse(a, buf_slice(&b), &q);
    if (!e)
        e = pipeline_make(a, &q.root->u.logs, NULL, &p);
    pipeline_done(p);
    logql_done(&q);
    buf_done(&b);
    arena_free(a);
    return e;
}

TEST(pipeline_names_are_bounded)
{
    CHECK_OK(make_with_names(4096));
    CHECK_ERR(make_with_names(4097), ERR_LIMIT, "4096 labels");
}

TEST(pipeline_state_lasts_for_many_lines)
{
    struct fixture f = fixture_new("| json | n >= 5 | line_format `{{.n}}`");
    size_t used = 0;

    for (unsigned i = 0; i < 1000; i++) {
        struct pipeline_line out;
        char line[32];

        snprintf(line, sizeof(line), "{\"n\":%u}", i % 10);
        CHECK_INT(pipeline_state_line(f.s, 0, slice_cstr(line), (struct labels){0}, &out),
                  i % 10 >= 5);
        if (i == 10)
            used = arena_used(f.a);
    }
    CHECK(arena_used(f.a) <= used + 1024);
    fixture_done(&f);
}

static void *run_many(void *arg)
{
    const struct pipeline *p = arg;
    struct arena *a = arena_new(0);
    struct pipeline_state *s = pipeline_state_new(p, a);
    uintptr_t n_kept = 0;

    pipeline_state_stream(s, (struct labels){stream_labels, 2});
    for (unsigned i = 0; i < 2000; i++) {
        struct pipeline_line out;
        char line[64];

        snprintf(line, sizeof(line), "{\"n\":%u,\"w\":\"x%u\"}", i % 10, i);
        n_kept += pipeline_state_line(s, 0, slice_cstr(line), (struct labels){0}, &out);
    }
    pipeline_state_free(s);
    arena_free(a);
    return (void *)n_kept;
}

TEST(pipeline_is_shared_by_threads)
{
    struct fixture f = fixture_new("|~ `n.*[0-4],` | json | n >= 2 | regexp `(?P<q>\\d+)` | w =~ "
                                   "`x(1|.*3)` or ip = ip(`::1`) | line_format `{{.n | int}}` | "
                                   "label_format z=`{{.w | upper}}`");
    pthread_t threads[3];
    void *n_kept[3];

    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        CHECK_OK(thread_start("run", run_many, f.p, &threads[i]));
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        (void)pthread_join(threads[i], &n_kept[i]);
    CHECK((uintptr_t)n_kept[0] > 0);
    CHECK(n_kept[0] == n_kept[1] && n_kept[1] == n_kept[2]);
    fixture_done(&f);
}

TEST(pipeline_lines_cannot_pass_for_errors)
{
    check("| logfmt", "__error__=x", "__error__=x {__error___extracted=\"x\", " STREAM "}");
    check("| logfmt | __error__=``", "__error__=x",
          "__error__=x {__error___extracted=\"x\", " STREAM "}");
    check("| json __error__=`a` | line_format `-`", "[",
          "- {__error___extracted=\"\", " STREAM "}");
    check("| regexp `(?P<__error__>.*)`", "q", "q {__error___extracted=\"q\", " STREAM "}");
    check("| label_format __error__=`E` | drop __error__", "q", "q {" STREAM "}");
}

/* "name min max", or "none". */
static const char *bound_text(struct arena *a, const char *stages)
{
    struct pipeline_bound b;
    struct logql q;
    const char *text = "none";

    CHECK_OK(logql_parse(a, slice_cstr(arena_printf(a, "{app=\"x\"} %s", stages)), &q));
    if (pipeline_bound(&q.root->u.logs, &b))
        text =
            arena_printf(a, "%s %.*s %.17g %.17g", b.parser == LOGQL_STAGE_JSON ? "json" : "logfmt",
                         SLICE_ARG(b.name), b.min, b.max);
    logql_done(&q);
    return text;
}

TEST(pipeline_bounds_of_fields)
{
    static const char *const cases[][2] = {
        {"| json | a >= 5", "json a 5 inf"},
        {"| json | a > 5", "json a 5.0000000000000009 inf"},
        {"| json | a < 5", "json a -inf 4.9999999999999991"},
        {"|= `x` | logfmt |= `y` | a <= 5 | b > 1", "logfmt a -inf 5"},
        {"| logfmt --keep-empty | a == -5", "logfmt a -5 -5"},
        {"| json | a >= 5 and b < 3 and c > 2", "json a 5 inf"},
        {"| json | a >= 5 or b < 3", "none"},
        {"| json | a != 5", "none"},
        {"| json | a > 5ms", "none"},
        {"| json | a = `5`", "none"},
        {"| json | a = `x` | b > 5", "none"}, /* an error of a filter lets the next one pass */
        {"| json a=`b` | a > 5", "none"},
        {"| json | a_extracted > 5", "none"},
        {"| json | __error__ > 5", "none"},
        {"| logfmt --strict | a > 5", "none"},
        {"| json | logfmt | a > 5", "none"},
        {"| line_format `x` | json | a > 5", "none"},
        {"| json | label_format a=`7` | a > 5", "none"},
        {"| json | drop a | a > 5", "none"},
        {"| unpack | a > 5", "none"},
        {"| a > 5", "none"},
        {"| json", "none"},
        {"", "none"},
    };
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_STR(bound_text(a, cases[i][0]), cases[i][1]);
    arena_free(a);
}
