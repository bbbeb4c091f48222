#include "common/base/clock.h"
#include "common/base/mem.h"
#include "querier/logs/logjson.h"
#include "querier/logs/logquery.h"
#include "querier/logs/logtable.h"
#include "tests/unit/test.h"

#define S 1000000000ll

struct fixture {
    struct logtable *t;
    struct engine *eng;
    struct arena *a;
    struct logquery q;
    struct logquery_result r;
};

static void add(struct logtable *t, const char *app, int64_t ts_ns, const char *line)
{
    struct label stream = {SLICE("app"), slice_cstr(app)};
    struct label metadata = {SLICE("trace"), SLICE("t1")};
    struct logsource_entry entry = {.ts_ns = ts_ns, .line = slice_cstr(line)};

    if (ts_ns % 2)
        entry.metadata = (struct labels){&metadata, 1};
    logtable_add(t, (struct labels){&stream, 1}, &entry);
}

/* app=a at 1 s … 10 s, app=b at 1.5 s … 10.5 s: n=1 … n=10 */
static struct fixture fixture_new(const char *expr)
{
    struct fixture f = {.t = logtable_new(), .eng = logquery_engine(), .a = arena_new(0)};
    char line[32];

    for (int64_t i = 10; i > 0; i--) { /* any order will do */
        snprintf(line, sizeof(line), "n=%lld", (long long)i);
        add(f.t, "a", i * S, line);
        add(f.t, "b", i * S + S / 2, line);
    }
    f.q =
        (struct logquery){.expr = slice_cstr(expr), .start_ns = 0, .end_ns = 20 * S, .limit = 100};
    return f;
}

static struct err *run(struct fixture *f)
{
    return logquery(f->eng, &f->q, logtable_source(f->t), f->a, &f->r);
}

static void fixture_done(struct fixture *f)
{
    engine_free(f->eng);
    logtable_free(f->t);
    arena_free(f->a);
}

/* "{labels} time=line time=line …", times in tenths of a second; metrics: time=value */
static void check_result(struct fixture *f, const char *want)
{
    struct buf b = {0};

    CHECK_OK(run(f));
    for (size_t i = 0; i < f->r.n_streams; i++) {
        const struct logquery_stream *s = &f->r.streams[i];

        labels_text(&b, s->labels);
        for (size_t k = 0; k < s->n; k++)
            buf_printf(&b, " %lld=%.*s", (long long)(s->lines[k].ts_ns / (S / 10)),
                       SLICE_ARG(s->lines[k].line));
        buf_byte(&b, ' ');
    }
    for (size_t i = 0; i < f->r.metric.n_series; i++) {
        const struct engine_series *s = &f->r.metric.series[i];

        labels_text(&b, s->labels);
        for (size_t k = 0; k < s->n; k++) {
            buf_printf(&b, " %lld=", (long long)(s->t_ms[k] / 100));
            buf_f64_text(&b, s->v[k]);
        }
        buf_byte(&b, ' ');
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

TEST(logquery_takes_the_first_lines)
{
    struct fixture f = fixture_new("{app=~\"a|b\"}");

    f.q.limit = 3;
    check_result(&f, "{app=\"a\"} 100=n=10 {app=\"b\"} 105=n=10 95=n=9 ");
    f.q.is_forward = true;
    check_result(&f, "{app=\"a\"} 10=n=1 20=n=2 {app=\"b\"} 15=n=1 ");
    f.q.start_ns = 2 * S;
    f.q.end_ns = 3 * S; /* not itself */
    check_result(&f, "{app=\"a\"} 20=n=2 {app=\"b\"} 25=n=2 ");
    CHECK_INT(f.r.stats.streams, 2);
    CHECK_INT(f.r.stats.lines, 2);
    CHECK_INT(f.r.stats.bytes, 6);
    CHECK_INT(f.r.stats.entries, 2);
    fixture_done(&f);
}

TEST(logquery_reads_no_more_than_it_needs)
{
    struct fixture f = fixture_new("{app=~\"a|b\"}");

    f.q.limit = 2;
    check_result(&f, "{app=\"a\"} 100=n=10 {app=\"b\"} 105=n=10 ");
    CHECK(f.r.stats.lines <= 4); /* two of each stream */
    fixture_done(&f);
}

TEST(logquery_groups_lines_by_their_labels)
{
    struct fixture f = fixture_new("{app=\"a\"} | logfmt | n > 8 | label_format app=`{{.n}}`");

    check_result(&f, "{app=\"10\", n=\"10\"} 100=n=10 {app=\"9\", n=\"9\"} 90=n=9 ");
    CHECK_INT(f.r.stats.lines, 10);
    CHECK_INT(f.r.stats.lines_kept, 2);
    fixture_done(&f);
}

TEST(logquery_thins_lines_by_an_interval)
{
    struct fixture f = fixture_new("{app=\"a\"}");

    f.q.interval_ns = 4 * S;
    check_result(&f, "{app=\"a\"} 100=n=10 60=n=6 20=n=2 ");
    f.q.is_forward = true;
    f.q.limit = 2;
    check_result(&f, "{app=\"a\"} 10=n=1 50=n=5 ");
    fixture_done(&f);
}

static void check_metric(const char *expr, const char *want)
{
    struct fixture f = fixture_new(expr);

    f.q.start_ns = 4 * S;
    f.q.end_ns = 8 * S;
    f.q.step_ns = 2 * S;
    check_result(&f, want);
    fixture_done(&f);
}

TEST(logquery_windows_are_open_at_their_start)
{
    check_metric("count_over_time({app=\"a\"}[2s])", "{app=\"a\"} 40=2 60=2 80=2 ");
    check_metric("count_over_time({app=\"a\"}[3s] offset 2s)", "{app=\"a\"} 40=2 60=3 80=3 ");
    check_metric("rate({app=\"a\"}[4s])", "{app=\"a\"} 40=1 60=1 80=1 ");
    check_metric("bytes_over_time({app=\"b\"}[1s])", "{app=\"b\"} 40=3 60=3 80=3 ");
    check_metric("bytes_rate({app=\"b\"}[2s])", "{app=\"b\"} 40=3 60=3 80=3 ");
    check_metric("count_over_time({app=\"a\"} |= \"n=5\" [2s])", "{app=\"a\"} 60=1 ");
    check_metric("absent_over_time({app=\"a\"} |= \"n=5\" [2s])", "{app=\"a\"} 40=1 80=1 ");
    check_metric("absent_over_time({app=\"z\"}[2s])", "{app=\"z\"} 40=1 60=1 80=1 ");
}

TEST(logquery_unwraps)
{
    struct {
        const char *func, *want;
    } cases[] = {
        {"sum_over_time", "40=7 60=11 80=15"},
        {"rate", "40=3.5 60=5.5 80=7.5"},
        {"avg_over_time", "40=3.5 60=5.5 80=7.5"},
        {"min_over_time", "40=3 60=5 80=7"},
        {"max_over_time", "40=4 60=6 80=8"},
        {"first_over_time", "40=3 60=5 80=7"},
        {"last_over_time", "40=4 60=6 80=8"},
        {"stdvar_over_time", "40=0.25 60=0.25 80=0.25"},
        {"stddev_over_time", "40=0.5 60=0.5 80=0.5"},
        {"rate_counter", "40=0.5 60=0.5 80=0.5"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        char expr[128], want[128];

        snprintf(expr, sizeof(expr), "%s({app=\"a\"} | logfmt | unwrap n [2s])", cases[i].func);
        snprintf(want, sizeof(want), "{app=\"a\"} %s ", cases[i].want);
        check_metric(expr, want);
    }
    check_metric("quantile_over_time(0.5, {app=\"a\"} | logfmt | unwrap n [2s]) by (x)",
                 "{} 40=3.5 60=5.5 80=7.5 ");
}

/* Of one moment the lines of several streams come by value, whether or not some are read in another piece. */
static void check_moments(const char *func, const char *a, const char *b, unsigned lanes,
                          const char *want)
{
    struct fixture f = {.t = logtable_new(), .eng = logquery_engine(), .a = arena_new(0)};
    struct job_pool *pool = job_pool_new("t", 2, 10);

    for (int64_t s = 2; s <= 12; s += 10) {
        add(f.t, "a", s * S, a);
        add(f.t, "b", s * S, b);
    }
    f.q = (struct logquery){.start_ns = 16 * S, .end_ns = 16 * S, .pool = pool, .lanes = lanes};
    f.q.expr =
        slice_cstr(arena_printf(f.a, "%s({app=~\"a|b\"} | logfmt | unwrap n [20s]) by (x)", func));
    check_result(&f, want);
    job_pool_free(pool);
    fixture_done(&f);
}

TEST(logquery_of_one_moment_lines_of_several_streams_have_one_order)
{
    for (unsigned lanes = 1; lanes <= 2; lanes++) {
        check_moments("first_over_time", "n=1", "n=2", lanes, "{} 160=1 ");
        check_moments("first_over_time", "n=2", "n=1", lanes, "{} 160=1 ");
        check_moments("last_over_time", "n=1", "n=2", lanes, "{} 160=2 ");
        check_moments("last_over_time", "n=2", "n=1", lanes, "{} 160=2 ");
    }
    check_moments("last_over_time", "n=NaN", "n=1", 1, "{} 160=1 ");
    check_moments("last_over_time", "n=1", "n=NaN", 1, "{} 160=1 ");
}

TEST(logquery_metrics_above_leaves_are_promql)
{
    check_metric("sum(count_over_time({app=~\"a|b\"}[2s])) * 2", "{} 40=8 60=8 80=8 ");
    check_metric("count_over_time({app=~\"a|b\"}[2s]) / on() group_left() "
                 "sum(count_over_time({app=~\"a|b\"}[2s]))",
                 "{app=\"a\"} 40=0.5 60=0.5 80=0.5 {app=\"b\"} 40=0.5 60=0.5 80=0.5 ");
    check_metric("topk(1, sum by (app) (bytes_over_time({app=~\"a|b\"} | line_format "
                 "`{{if eq .app \"a\"}}xx{{else}}x{{end}}` [2s])))",
                 "{app=\"a\"} 40=4 60=4 80=4 ");
    check_metric("approx_topk(1, sum by (app) (count_over_time({app=\"a\"}[2s])))",
                 "{app=\"a\"} 40=2 60=2 80=2 ");
    check_metric("count_over_time({app=\"a\"}[2s]) / 0", "{app=\"a\"} 40=NaN 60=NaN 80=NaN ");
    check_metric("vector(2) > bool 1", "{} 40=1 60=1 80=1 ");
    check_metric("label_replace(count_over_time({app=\"a\"}[2s]), \"x\", \"$1\\\"\", \"app\", "
                 "\"(.*)\")",
                 "{app=\"a\", x=\"a\\\"\"} 40=2 60=2 80=2 ");
    check_metric("1 + 1", "{} 40=2 60=2 80=2 ");
}

TEST(logquery_variants_are_told_apart_by_a_label)
{
    check_metric(
        "variants(count_over_time({app=\"a\"}[2s]), sum(bytes_over_time({app=\"a\"}[2s]))) of "
        "({app=~\"a|b\"}[2s])",
        "{__variant__=\"0\", app=\"a\"} 40=2 60=2 80=2 "
        "{__variant__=\"0\", app=\"b\"} 40=2 60=2 80=2 "
        "{__variant__=\"1\"} 40=12 60=12 80=12 ");
    /* the common stages come first; one that fits none has no series */
    check_metric("variants(count_over_time({app=\"a\"} | n > 6 [2s]), count_over_time({app=\"a\"} "
                 "| n > 9 [2s])) of ({app=\"a\"} | logfmt [2s])",
                 "{__variant__=\"0\", app=\"a\", n=\"7\"} 80=1 "
                 "{__variant__=\"0\", app=\"a\", n=\"8\"} 80=1 ");
}

TEST(logquery_drops_empty_labels_where_label_sets_are_made)
{
    check_metric("max_over_time({app=\"a\"} | logfmt e=`e`, n | unwrap n [2s])",
                 "{app=\"a\", e=\"\"} 40=4 60=6 80=8 ");
    check_metric("max without (x) (max_over_time({app=\"a\"} | logfmt e=`e`, n | unwrap n [2s]))",
                 "{app=\"a\"} 40=4 60=6 80=8 ");
}

TEST(logquery_at_one_moment)
{
    struct fixture f = fixture_new("sum by (app) (count_over_time({app=~\"a|b\"}[3s]))");

    f.q.start_ns = f.q.end_ns = 10 * S + 1;
    check_result(&f, "{app=\"a\"} 100=3 {app=\"b\"} 100=3 ");
    CHECK_INT(f.r.metric.type, ENGINE_VECTOR);
    fixture_done(&f);
    f = fixture_new("2 * 3");
    f.q.start_ns = f.q.end_ns = S;
    CHECK_OK(run(&f));
    CHECK_INT(f.r.metric.type, ENGINE_SCALAR);
    fixture_done(&f);
}

TEST(logquery_errors_of_lines_end_a_metric_query)
{
    struct fixture f =
        fixture_new("sum_over_time({app=\"a\"} | label_format n=`x` | unwrap n [5s])");

    f.q.start_ns = f.q.end_ns = 5 * S;
    CHECK_ERR(run(&f), ERR_INVALID, "pipeline error: SampleExtractionErr");
    /* Lines that are in no window do not count. */
    f.q.start_ns = f.q.end_ns = 500 * S;
    check_result(&f, "");
    fixture_done(&f);
}

static void check_refused(const char *expr, struct logquery change, enum err_code code,
                          const char *text)
{
    struct fixture f = fixture_new(expr);

    f.q.max_bytes = change.max_bytes;
    f.q.max_entries = change.max_entries;
    f.q.max_series = change.max_series;
    f.q.max_samples = change.max_samples;
    f.q.max_points = change.max_points;
    f.q.step_ns = change.step_ns;
    f.q.deadline_mono_ms = change.deadline_mono_ms;
    f.q.cancel = change.cancel;
    f.q.metric_only = change.metric_only;
    f.q.lines_only = change.lines_only;
    if (change.end_ns)
        f.q.end_ns = change.end_ns;
    CHECK_ERR(run(&f), code, text);
    fixture_done(&f);
}

TEST(logquery_limits)
{
    const char *lines = "{app=~\"a|b\"}", *metric = "max_over_time({app=~\"a|b\"} | logfmt | "
                                                    "unwrap n [20s])";
    atomic_bool is_canceled = true;

    check_refused(lines, (struct logquery){.max_bytes = 20}, ERR_LIMIT,
                  "limits.max-query-bytes-read");
    check_refused(lines, (struct logquery){.max_entries = 99}, ERR_INVALID,
                  "limits.max-entries-limit-per-query");
    check_refused(lines, (struct logquery){.metric_only = true}, ERR_INVALID, "instant query");
    check_refused(metric, (struct logquery){.lines_only = true, .step_ns = S}, ERR_INVALID,
                  "only log selector is supported");
    check_refused(metric, (struct logquery){.max_bytes = 20, .step_ns = S}, ERR_LIMIT,
                  "limits.max-query-bytes-read");
    check_refused(metric, (struct logquery){.max_series = 1, .step_ns = S}, ERR_LIMIT,
                  "more than 1 series");
    check_refused(metric, (struct logquery){.max_samples = 5, .step_ns = S}, ERR_LIMIT,
                  "limits.max-samples-per-query");
    check_refused(metric, (struct logquery){.max_points = 5, .step_ns = S}, ERR_INVALID,
                  "5 points");
    check_refused(lines, (struct logquery){.deadline_mono_ms = 1}, ERR_TIMEOUT, "");
    check_refused(lines, (struct logquery){.cancel = &is_canceled}, ERR_CANCELED, "");
    check_refused(metric, (struct logquery){.cancel = &is_canceled, .step_ns = S}, ERR_CANCELED,
                  "");
    check_refused(lines, (struct logquery){.end_ns = -1}, ERR_INVALID, "end");
    check_refused(metric, (struct logquery){.step_ns = 1}, ERR_INVALID, "step");
    check_refused("{app=\"a\"} | line_format `{{`", (struct logquery){0}, ERR_INVALID,
                  "line_format");
    check_refused("rate({app=\"a\"}[100y])", (struct logquery){.step_ns = S}, ERR_INVALID, "36");
    check_refused("rate(", (struct logquery){0}, ERR_INVALID, "1:");
}

TEST(logquery_ends_within_its_memory)
{
    struct fixture f = fixture_new("{app=\"big\"} | line_format `{{repeat 1000 \"x\"}}{{.app}}`");
    struct arena *small = arena_new(200000);

    for (int64_t i = 0; i < 1000; i++)
        add(f.t, "big", i * 2, "n");
    f.q.limit = 1000;
    CHECK_ERR(logquery(f.eng, &f.q, logtable_source(f.t), small, &f.r), ERR_LIMIT, "memory");
    arena_free(small);
    fixture_done(&f);
}

TEST(logquery_on_many_threads_a_piece_has_memory_enough)
{
    struct fixture f = fixture_new("{app=\"c\"}");
    struct job_pool *pool = job_pool_new("t", 2, 10);
    char *line = mem_alloc(65536);

    memset(line, 'x', 65535);
    line[65535] = '\0';
    for (int i = 0; i < 64; i++) {
        memcpy(line, &(char[]){(char)('a' + i % 26), (char)('a' + i / 26)}, 2);
        add(f.t, "c", 10 * S, line);
    }
    arena_free(f.a);
    f.a = arena_new(128u << 20);
    f.q.pool = pool;
    f.q.lanes = 64;
    CHECK_OK(run(&f));
    CHECK_INT(f.r.stats.entries, 64);
    job_pool_free(pool);
    mem_free(line);
    fixture_done(&f);
}

/* The answer without its statistics. */
static void check_json(struct fixture *f, bool categorizes, const char *want)
{
    struct buf b = {0};
    ptrdiff_t stats;

    CHECK_OK(run(f));
    logjson_data(&b, &f->r, categorizes);
    stats = slice_find(buf_slice(&b), SLICE(",\"stats\":{\"summary\":{"), 0);
    CHECK(stats > 0);
    CHECK_SLICE(slice_sub(buf_slice(&b), 0, (size_t)stats), want);
    CHECK(slice_has_suffix(buf_slice(&b), SLICE("}}}")));
    buf_done(&b);
}

TEST(logquery_answers_in_json)
{
    struct fixture f = fixture_new("{app=\"c\"} | logfmt");

    add(f.t, "c", 1, "k=\"v\" z=\xff");
    add(f.t, "c", 2, "k=v");
    add(f.t, "c", 0, "k=v");
    check_json(&f, false,
               "{\"resultType\":\"streams\",\"result\":[{\"stream\":{\"app\":\"c\",\"k\":\"v\"},"
               "\"values\":[[\"2\",\"k=v\"],[\"0\",\"k=v\"]]},{\"stream\":{\"app\":\"c\",\"k\":"
               "\"v\",\"trace\":"
               "\"t1\",\"z\":\" \"},\"values\":[[\"1\",\"k=\\\"v\\\" z=\\ufffd\"]]}]");
    check_json(&f, true,
               "{\"resultType\":\"streams\",\"result\":[{\"stream\":{\"app\":\"c\"},\"values\":"
               "[[\"2\",\"k=v\",{\"parsed\":{\"k\":\"v\"}}],[\"1\",\"k=\\\"v\\\" z=\\ufffd\","
               "{\"structuredMetadata\":{\"trace\":\"t1\"},\"parsed\":{\"k\":\"v\",\"z\":\" "
               "\"}}],[\"0\",\"k=v\",{\"parsed\":{\"k\":\"v\"}}]]}]"
               ",\"encodingFlags\":[\"categorize-labels\"]");
    for (size_t max = 1; max < 200;
         max++) { /* what does not fit is said to be over, whatever it is */
        struct buf small = {.max_bytes = max};

        logjson_data(&small, &f.r, max % 2 == 0);
        CHECK(!buf_ok(&small));
        buf_done(&small);
    }
    fixture_done(&f);
    f = fixture_new("sum(count_over_time({app=\"a\"}[2s]))");
    f.q.start_ns = f.q.end_ns = 3 * S;
    check_json(&f, true,
               "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[3,\"2\"]}]");
    fixture_done(&f);
}

TEST(logtable_keeps_a_line_once)
{
    struct fixture f = fixture_new("{app=\"d\"}");

    add(f.t, "d", 4, "x");
    add(f.t, "d", 4, "y");
    add(f.t, "d", 4, "x");
    f.q.is_forward = true;
    check_result(&f, "{app=\"d\"} 0=x 0=y ");
    fixture_done(&f);
}
