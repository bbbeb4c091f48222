/*
 * What line filters and the reading of JSON cost: megabytes of log a CPU second, beside memchr() for a byte that is not
 * there (the speed of memory) and memmem() in the same run.
 *
 *     logs_bench [LINES [ROUNDS]]      200000 JSON lines of about 500 bytes, 5 rounds
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/lang/logql.h"
#include "common/logs/jsonline.h"
#include "common/logs/linefilter.h"
#include "common/logs/pipeline.h"

struct lines {
    struct buf text;
    size_t *ends, n;
};

static struct slice line_at(const struct lines *l, size_t i)
{
    size_t start = i ? l->ends[i - 1] : 0;

    return slice_of(l->text.ptr + start, l->ends[i] - start);
}

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* The same as logfmt, without what nests. */
static void make_logfmt(struct buf *out, uint64_t x, const char *level)
{
    buf_printf(out,
               "ts=2026-01-01T00:%02u:%02u.%06uZ level=%s caller=http/handler.go:%u msg=\"request "
               "done\" method=%s path=/api/v1/users/%u/orders status=%u latency_ms=%u remote=10.%u."
               "%u.%u trace_id=%016llx%016llx user_agent=\"Mozilla/5.0 (X11; Linux x86_64) "
               "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\" bytes=%u "
               "host=shop.example.com",
               (unsigned)(x % 60), (unsigned)(x >> 8) % 60, (unsigned)(x >> 16) % 1000000, level,
               (unsigned)(x >> 4) % 900, x & 1 ? "GET" : "POST", (unsigned)(x >> 20) % 100000,
               x % 50 ? 200 : 503, (unsigned)(x >> 24) % 1500, (unsigned)(x >> 30) & 255,
               (unsigned)(x >> 38) & 255, (unsigned)(x >> 46) & 255, (unsigned long long)x,
               (unsigned long long)~x, (unsigned)(x >> 12) % 100000);
}

static void make_lines(struct lines *l, size_t n, bool is_logfmt)
{
    static const char *const levels[] = {"info", "info", "info", "debug", "warn", "error"};
    uint64_t x = 88172645463325252ull;

    l->n = n;
    l->ends = mem_new_array(size_t, n);
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (is_logfmt) {
            make_logfmt(&l->text, x, levels[x % 6]);
            l->ends[i] = l->text.len;
            continue;
        }
        buf_printf(&l->text,
                   "{\"ts\":\"2026-01-01T00:%02u:%02u.%06uZ\",\"level\":\"%s\",\"caller\":\"http/"
                   "handler.go:%u\",\"msg\":\"request done\",\"method\":\"%s\",\"path\":\"/api/v1/"
                   "users/%u/orders\",\"status\":%u,\"latency_ms\":%u,\"remote\":\"10.%u.%u.%u\",",
                   (unsigned)(x % 60), (unsigned)(x >> 8) % 60, (unsigned)(x >> 16) % 1000000,
                   levels[x % 6], (unsigned)(x >> 4) % 900, x & 1 ? "GET" : "POST",
                   (unsigned)(x >> 20) % 100000, x % 50 ? 200 : 503, (unsigned)(x >> 24) % 1500,
                   (unsigned)(x >> 30) & 255, (unsigned)(x >> 38) & 255, (unsigned)(x >> 46) & 255);
        buf_printf(&l->text,
                   "\"trace_id\":\"%016llx%016llx\",\"user_agent\":\"Mozilla/5.0 (X11; Linux "
                   "x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\","
                   "\"request\":{\"bytes\":%u,\"headers\":{\"host\":\"shop.example.com\"}}}",
                   (unsigned long long)x, (unsigned long long)~x, (unsigned)(x >> 12) % 100000);
        l->ends[i] = l->text.len;
    }
}

static void report(const char *what, int64_t ns, size_t bytes, size_t n_kept)
{
    printf("%-72s %7.0f MB/s  %8zu kept\n", what, (double)bytes / (double)ns * 1000, n_kept);
}

static void run_filter(const struct lines *l, size_t rounds, const char *filter)
{
    struct arena *a = arena_new(0);
    char *query = arena_printf(a, "{a=\"b\"} %s", filter);
    struct linefilter *f = NULL;
    struct logql q = {0};
    struct err *e = logql_parse(a, slice_cstr(query), &q);
    size_t n_kept = 0;
    int64_t start;

    if (!e)
        e = linefilter_make(a, q.root->u.logs.stages, q.root->u.logs.n_stages, &f);
    if (e) {
        fprintf(stderr, "logs_bench: %s\n", err_msg(e));
        exit(1);
    }
    start = cpu_ns();
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < l->n; i++)
            n_kept += linefilter_keeps(f, line_at(l, i));
    report(filter, cpu_ns() - start, l->text.len * rounds, n_kept / rounds);
    linefilter_done(f);
    logql_done(&q);
    arena_free(a);
}

static void run_memory(const struct lines *l, size_t rounds)
{
    size_t n = 0;
    int64_t start = cpu_ns();

    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < l->n; i++)
            n += memchr(line_at(l, i).ptr, 1, line_at(l, i).len) != NULL;
    report("memchr", cpu_ns() - start, l->text.len * rounds, n / rounds);
    start = cpu_ns();
    n = 0;
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < l->n; i++)
            n += memmem(line_at(l, i).ptr, line_at(l, i).len, "\"level\":\"error\"", 15) != NULL;
    report("memmem \"level\":\"error\"", cpu_ns() - start, l->text.len * rounds, n / rounds);
}

struct wanted {
    struct slice name;
    size_t n;
};

static bool look(void *arg, struct slice key, struct slice value)
{
    struct wanted *w = arg;

    if (!slice_eq(key, w->name))
        return true;
    w->n += value.len >= 4; /* 1000 and more */
    return false;
}

/* | json | NAME >= 1000: a line is read up to the label that the query needs. */
static void run_json(const struct lines *l, size_t rounds, const char *name)
{
    struct wanted w = {.name = slice_cstr(name)};
    struct jsonline j = {0};
    int64_t start = cpu_ns();
    char what[64];

    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < l->n; i++)
            (void)jsonline_each(&j, line_at(l, i), look, &w);
    (void)snprintf(what, sizeof(what), "json, up to %s", name);
    report(what, cpu_ns() - start, l->text.len * rounds, w.n / rounds);
    jsonline_done(&j);
}

/* A whole pipeline: of a query for lines, or of a metric query (the labels of each line it keeps are
 * asked for, too, as the one who adds up series would). */
static void run_pipeline(const struct lines *l, size_t rounds, const char *text)
{
    struct label stream[] = {{SLICE_INIT("app"), SLICE_INIT("shop")},
                             {SLICE_INIT("env"), SLICE_INIT("prod")}};
    struct arena *a = arena_new(0), *tmp = arena_new(0);
    struct pipeline_opts opts = {0};
    struct pipeline_state *state;
    struct pipeline *p = NULL;
    struct logql q = {0};
    struct err *e = logql_parse(a, slice_cstr(text), &q);
    const struct logql_expr *root = q.root;
    size_t n_kept = 0, n_labels = 0;
    int64_t start;

    if (!e && root->kind == LOGQL_VECTOR) {
        opts.sum = &root->u.vector.grouping;
        root = root->u.vector.expr;
    }
    if (!e && root->kind == LOGQL_RANGE)
        opts.range = &root->u.range;
    if (!e)
        e = pipeline_make(a, opts.range ? &opts.range->logs : &root->u.logs, &opts, &p);
    if (e) {
        fprintf(stderr, "logs_bench: %s\n", err_msg(e));
        exit(1);
    }
    state = pipeline_state_new(p, a);
    pipeline_state_stream(state, (struct labels){stream, ORR_COUNT(stream)});
    start = cpu_ns();
    for (size_t r = 0; r < rounds; r++) {
        for (size_t i = 0; i < l->n; i++) {
            struct pipeline_line out;

            if (!pipeline_state_line(state, 0, line_at(l, i), (struct labels){0}, &out))
                continue;
            n_kept++;
            if (out.is_plain)
                continue;
            arena_reset(tmp);
            n_labels += pipeline_state_labels(state, tmp).n;
        }
    }
    report(text, cpu_ns() - start, l->text.len * rounds, n_kept / rounds);
    if (n_labels == 1)
        puts("one label"); /* they are looked at */
    pipeline_state_free(state);
    pipeline_done(p);
    logql_done(&q);
    arena_free(tmp);
    arena_free(a);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    struct lines l = {0};

    make_lines(&l, n, false);
    printf("%zu lines of %zu bytes\n", n, l.text.len / n);
    run_memory(&l, rounds);
    run_filter(&l, rounds, "|= `\"level\":\"error\"`");
    run_filter(&l, rounds, "|= `not there`");
    run_filter(&l, rounds, "|= `warn` != `GET` |= `status\":503`");
    run_filter(&l, rounds, "|~ `(?i)POST`");
    run_filter(&l, rounds, "|~ `warn|error|fatal`");
    run_filter(&l, rounds, "|~ `status\":5\\d\\d`");
    run_filter(&l, rounds, "|~ `orders\",\"status\":[45]`");
    run_filter(&l, rounds, "|> `<_>\"level\":\"error\"<_>\"status\":503<_>`");
    run_filter(&l, rounds, "|= ip(`10.1.0.0/16`)");
    run_json(&l, rounds, "latency_ms");
    run_json(&l, rounds, "not there");
    run_pipeline(&l, rounds, "{app=\"shop\"} | json | latency_ms > 1000");
    run_pipeline(&l, rounds, "{app=\"shop\"} | json | latency_ms > 1490");
    run_pipeline(&l, rounds,
                 "sum(count_over_time({app=\"shop\"} | json | latency_ms > 1000 [5m]))");
    run_pipeline(&l, rounds, "sum by (level) (rate({app=\"shop\"} |= \"error\" | json [5m]))");
    run_pipeline(&l, rounds, "sum by (level) (rate({app=\"shop\"} | json [5m]))");
    run_pipeline(&l, rounds, "sum by (status) (rate({app=\"shop\"} | json s=\"status\" [5m]))");
    run_pipeline(&l, rounds, "{app=\"shop\"} | json");
    run_pipeline(&l, rounds,
                 "{app=\"shop\"} | regexp `\"status\":(?P<status>\\d+)` | status >= 500");
    run_pipeline(&l, rounds,
                 "{app=\"shop\"} | pattern `<_>\"status\":<status>,<_>` | status >= 500");
    run_pipeline(&l, rounds,
                 "max_over_time({app=\"shop\"} | json | unwrap latency_ms [5m]) by (method)");
    buf_done(&l.text);
    mem_free(l.ends);
    l = (struct lines){0};
    make_lines(&l, n, true);
    printf("%zu lines of logfmt of %zu bytes\n", n, l.text.len / n);
    run_pipeline(&l, rounds, "{app=\"shop\"} |= \"error\" | logfmt");
    run_pipeline(&l, rounds, "{app=\"shop\"} | logfmt");
    run_pipeline(&l, rounds, "{app=\"shop\"} | logfmt | latency_ms > 1000");
    run_pipeline(&l, rounds, "sum by (level) (count_over_time({app=\"shop\"} | logfmt [5m]))");
    run_pipeline(&l, rounds, "sum by (host) (count_over_time({app=\"shop\"} | logfmt [5m]))");
    run_pipeline(&l, rounds, "{app=\"shop\"} | logfmt | line_format `{{.level}} {{.path}}`");
    buf_done(&l.text);
    mem_free(l.ends);
    return 0;
}
