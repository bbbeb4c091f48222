/*
 * A query, a zero byte, lines that line feeds part: what the query makes of the lines is within
 * their budget, its labels are sorted and each is there once, and a second run of the same lines in the
 * same state says the same.
 */
#include <stdlib.h>

#include "common/lang/logql.h"
#include "common/logs/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct label stream[] = {{SLICE_INIT("app"), SLICE_INIT("x")},
                                      {SLICE_INIT("level"), SLICE_INIT("s")}};
static const struct label metadata[] = {{SLICE_INIT("level"), SLICE_INIT("m")},
                                        {SLICE_INIT("trace"), SLICE_INIT("t")}};

static void check_labels(struct labels ls)
{
    for (size_t i = 1; i < ls.n; i++)
        if (slice_cmp(ls.ptr[i - 1].name, ls.ptr[i].name) >= 0)
            abort();
}

static uint64_t run_line(struct pipeline_state *s, struct slice line, struct labels ms)
{
    struct arena *a = arena_new(0);
    struct pipeline_line out;
    uint64_t hash = 1;

    if (pipeline_state_line(s, 1000, line, ms, &out)) {
        struct labels ls = pipeline_state_labels(s, a);
        struct pipeline_labels apart = pipeline_state_categories(s, a);
        struct buf b = {0};

        check_labels(ls);
        check_labels(apart.stream);
        check_labels(apart.metadata);
        check_labels(apart.parsed);
        labels_text(&b, ls);
        hash = hash_xxh64(buf_slice(&b), hash_xxh64(out.line, 2));
        buf_done(&b);
    }
    arena_free(a);
    return hash;
}

static uint64_t run_lines(struct pipeline_state *s, struct slice lines)
{
    uint64_t hash = 0;
    struct slice line;

    pipeline_state_stream(s, (struct labels){stream, 2});
    while (slice_split(&lines, '\n', &line)) {
        hash = hash * 31 + run_line(s, line, (struct labels){0});
        hash = hash * 31 + run_line(s, line, (struct labels){metadata, 2});
    }
    return hash;
}

static void run(struct arena *a, const struct logql_logs *logs, const struct pipeline_opts *opts,
                struct slice lines)
{
    struct pipeline *p;
    struct err *e = pipeline_make(a, logs, opts, &p);

    if (!e) {
        struct pipeline_state *s = pipeline_state_new(p, a);

        if (run_lines(s, lines) != run_lines(s, lines) && !arena_over(a))
            abort();
        pipeline_state_free(s);
        pipeline_done(p);
    }
    err_free(e);
}

/* now and what depends on it differs from run to run */
static bool is_steady(struct slice query)
{
    return slice_find(query, SLICE("now"), 0) < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    ptrdiff_t zero = slice_find_byte(all, 0, 0);
    struct slice query = slice_sub(all, 0, zero < 0 ? size : (size_t)zero);
    struct slice lines = zero < 0 ? SLICE_EMPTY : slice_from(all, (size_t)zero + 1);
    struct arena *a = arena_new(64 << 20);
    struct logql q = {0};
    struct err *e = is_steady(query) ? logql_parse(a, query, &q) : NULL;

    if (q.root && !e) {
        const struct logql_expr *root = q.root;
        struct pipeline_opts opts = {0};

        if (root->kind == LOGQL_VECTOR) {
            opts.sum = &root->u.vector.grouping;
            root = root->u.vector.expr;
        }
        if (root->kind == LOGQL_RANGE) {
            opts.range = &root->u.range;
            run(a, &root->u.range.logs, &opts, lines);
        } else if (root->kind == LOGQL_LOGS) {
            run(a, &root->u.logs, NULL, lines);
        }
    }
    logql_done(&q);
    err_free(e);
    arena_free(a);
    return 0;
}
