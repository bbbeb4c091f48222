/*
 * What TraceQL costs over a block of the traffic of a generated shop (spangen.h): the same queries by pieces, as ingesters have them,
 * and by the columns of the block.
 *
 *     tracequery_bench [SPANS]     1,000,000
 *
 * Speeds are of the spans in the block, per second of this thread's CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracemetric.h"
#include "querier/traces/tracesearch.h"
#include "querier/traces/tracewant.h"
#include "tests/bench/spangen.h"

#define T0 1764400000000000000ll
#define HOURS_2 7200000000000ll

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "tracequery_bench: %s\n", err_msg(e));
    exit(1);
}

/* ---- one block as a source ---- */

struct block_set {
    struct tracesource_set base;
    struct traceblock_set *set;
    struct traceblock_trace at;
    struct tracewant want;
};

static bool set_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    struct block_set *s = ORR_CONTAINER(set, struct block_set, base);

    if (!traceblock_set_next(s->set, &s->at))
        return false;
    *ret = (struct tracesource_trace){s->at.id, s->at.piece, s->at.piece != NULL};
    return true;
}

static struct err *set_close(struct tracesource_set *set)
{
    struct block_set *s = ORR_CONTAINER(set, struct block_set, base);
    struct err *e = traceblock_set_close(s->set);

    mem_free(s);
    return e;
}

static struct traceblock_query query_of(const struct tracesource_request *req)
{
    struct traceblock_query q = {.start_ns = req->start_ns,
                                 .end_ns = req->end_ns,
                                 .ids = req->ids,
                                 .n_ids = req->n_ids,
                                 .ids_only = req->ids_only};

    memcpy(q.first, req->first, 16);
    memcpy(q.last, req->last, 16);
    return q;
}

static struct err *select_block(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_set **ret)
{
    static const struct tracesource_set_ops ops = {set_next, set_close};
    struct block_set *s = mem_new(struct block_set);
    struct traceblock_query q = query_of(req);
    struct err *e;

    s->base.ops = &ops;
    tracewant_init(&s->want, a, req->filters, req->n_filters);
    if (req->n_filters) {
        q.want = s->want.columns;
        q.match = tracewant_match;
        q.arg = &s->want;
    }
    if ((e = traceblock_select(src, a, &q, &s->set)))
        return e;
    *ret = &s->base;
    return NULL;
}

static struct err *give_group(void *arg, struct tracegroup *g, const struct tracecols *cols,
                              bool *ret_stop)
{
    struct tracesource_columns *c = arg;

    (void)g;
    return c->give(c->arg, cols, ret_stop);
}

static struct err *give_columns(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_columns *c)
{
    struct traceblock_query q = query_of(req);

    return traceblock_groups(src, a, &q, c->want, give_group, c, NULL);
}

/* ---- the block ---- */

struct trace_at {
    uint8_t id[16];
    size_t at, len;
};

static int by_id(const void *x, const void *y)
{
    return memcmp(((const struct trace_at *)x)->id, ((const struct trace_at *)y)->id, 16);
}

static uint64_t write_block(const char *dir, uint64_t spans)
{
    struct traceblock_writer_opts o = {
        .dir = dir, .meta = {.level = 1, .tenant = SLICE("t")}, .no_sync = true};
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    VEC(struct trace_at) all = {0};
    struct arena *a = arena_new(0);
    struct traceblock_writer *w;
    struct block_meta meta;
    struct buf bytes = {0};
    struct spangen g;
    uint64_t n = 0;

    spangen_init(&g, 1, (uint64_t)T0, (uint64_t)HOURS_2 / (spans / 16 + 1));
    while (n < spans) {
        const struct tracepiece *p = spangen_trace(&g);
        struct trace_at t = {.at = bytes.len};

        memcpy(t.id, p->trace_id, 16);
        tracepiece_encode(enc, p, &bytes);
        t.len = bytes.len - t.at;
        vec_push(&all, t);
        n += p->n_spans;
    }
    spangen_done(&g);
    qsort(all.ptr, all.len, sizeof(*all.ptr), by_id);
    must(traceblock_writer_open(&o, &w));
    VEC_FOREACH (t, &all) {
        struct tracepiece p;

        arena_reset(a);
        must(tracepiece_decode(a, slice_of(bytes.ptr + t->at, t->len), &p));
        must(traceblock_writer_trace(w, &p));
    }
    must(traceblock_writer_finish(w, a, &meta));
    traceblock_writer_close(w);
    arena_free(a);
    vec_done(&all);
    buf_done(&bytes);
    tracepiece_encoder_free(enc);
    return n;
}

/* ---- queries ---- */

static struct err *measure(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracemetric_add(arg, cols);
}

/* How many hits, or series. */
static size_t run(const struct tracesource *source, const char *text, bool in_columns)
{
    static const struct tracemetric_range range = {
        .start_ns = T0, .end_ns = T0 + HOURS_2, .step_ns = HOURS_2 / 120};
    struct arena *a = arena_new(0);
    struct tracescan_opts scan = {.source = source,
                                  .req = {.start_ns = 0, .end_ns = INT64_MAX},
                                  .few = in_columns ? 0 : SIZE_MAX,
                                  .ranges = 1,
                                  .arena = a};
    struct tracescan_stats stats = {0};
    struct tracegroup_want want;
    struct tracecond cond;
    struct traceql q;
    size_t n;

    must(traceql_parse(a, slice_cstr(text), &q));
    if (q.metrics) {
        struct tracemetric *m;

        want = tracewant_of_query(a, &q, false);
        cond = tracecond_of(a, &q);
        scan.want = in_columns ? &want : NULL;
        scan.req.filters = cond.ptr;
        scan.req.n_filters = cond.n;
        must(tracemetric_new(&q, &range, &m));
        must(tracescan(&scan, measure, m, &stats));
        n = tracemetric_end(m, a).n;
        tracemetric_free(m);
    } else {
        struct tracesearch_opts opts = {.scan = scan, .query = &q, .limit = 20, .spans_per_set = 3};
        struct tracesearch_result res;

        must(tracesearch(&opts, &res));
        n = res.n;
        tracesearch_done(&res);
    }
    arena_free(a);
    return n;
}

static void bench(struct traceblock *b, const char *text, uint64_t spans)
{
    static const struct tracesource_ops by_pieces = {.select = select_block};
    static const struct tracesource_ops by_columns = {.select = select_block,
                                                      .columns = give_columns};
    struct tracesource sources[] = {{.ops = &by_pieces, .src = b, .has_filters = true},
                                    {.ops = &by_columns, .src = b, .has_filters = true}};
    double speed[2];
    size_t n[2] = {0};

    for (unsigned k = 0; k < 2; k++) {
        int64_t least = INT64_MAX;

        for (unsigned i = 0; i < 3; i++) {
            int64_t at = cpu_ns();

            n[k] = run(&sources[k], text, k);
            least = ORR_MIN(least, cpu_ns() - at);
        }
        speed[k] = (double)spans / (double)least * 1e3;
    }
    if (n[0] != n[1])
        abort();
    printf("   %-72s %6.2f M by pieces, %6.2f M by columns (%.1fx), %zu found\n", text, speed[0],
           speed[1], speed[1] / speed[0], n[0]);
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {
        "{ resource.service.name = \"payments\" && duration > 300ms }",
        "{ status = error }",
        "{ span.http.response.status_code >= 500 }",
        "{ resource.service.name = \"gateway\" } >> { span.db.system = \"redis\" }",
        "{ name =~ \".*orders.*\" } | count() > 2",
        "{ } | rate() by (resource.service.name)",
        "{ span.db.system != nil } | quantile_over_time(duration, 0.99) by (span.db.system)",
        "{ status = error } | rate()"};
    uint64_t spans = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    char dir[] = "/tmp/tracequery-bench-XXXXXX";
    struct block_reader *reader;
    struct traceblock *block;
    char *path;

    if (!mkdtemp(dir))
        return 1;
    spans = write_block(dir, spans);
    path = mem_printf("%s/%s", dir, ulid_print((struct ulid){{0}}).s);
    must(block_reader_open_dir(path, &reader));
    must(traceblock_open(reader, &block));
    printf("%llu spans; M spans/CPU-s\n", (unsigned long long)spans);
    for (size_t i = 0; i < ORR_COUNT(queries); i++)
        bench(block, queries[i], spans);
    traceblock_close(block);
    block_reader_close(reader);
    mem_free(path);
    must(fsx_remove_tree(dir));
    return 0;
}
