#include "querier/engine/memstore.h"
#include "querier/engine/reach.h"
#include "tests/unit/test.h"

#define START_MS 36000000
#define END_MS 43200000
#define MINUTE_MS 60000

static struct err *reach_text(struct engine *eng, const char *expr, struct arena *a,
                              struct reach *ret)
{
    struct engine_query q = {
        .expr = slice_cstr(expr), .start_ms = START_MS, .end_ms = END_MS, .step_ms = MINUTE_MS};

    return reach_of(eng, &q, a, ret);
}

static struct engine *whole_engine(void)
{
    return engine_new(&(struct engine_opts){.has_experimental = true});
}

/* ---- what is told, against what the engine asks for ---- */

struct watched {
    struct storage storage;
    struct storage *behind;
    const struct reach *reach;
    size_t selects;
};

static struct err *watch(struct storage *st, struct arena *arena, const struct storage_request *req,
                         struct series_set **ret)
{
    struct watched *w = ORR_CONTAINER(st, struct watched, storage);
    const struct reach *r = w->reach;
    bool is_around = req->start_ms >= START_MS - r->back_ms && req->end_ms <= END_MS + r->ahead_ms;
    bool is_fixed =
        r->has_fixed && req->start_ms >= r->fixed_min_ms && req->end_ms <= r->fixed_max_ms;

    w->selects++;
    if (!is_around && !is_fixed)
        test_fail(__FILE__, __LINE__, "%.*s reads from %lld to %lld", SLICE_ARG(r->text),
                  (long long)req->start_ms, (long long)req->end_ms);
    return storage_select(w->behind, arena, req, ret);
}

TEST(reach_has_all_that_the_engine_reads)
{
    static const char *const exprs[] = {
        "x",
        "x offset 7m",
        "x offset -7m",
        "x @ 100",
        "x @ 100 offset -3h",
        "rate(x[5m])",
        "rate(x[5m] offset 1h)",
        "rate(x[5m] offset -1h)",
        "rate(x[5m] @ 3000)",
        "rate(x[5m] anchored)",
        "rate(x[5m] smoothed)",
        "x smoothed",
        "x anchored",
        "max_over_time(x[1h:1m])",
        "max_over_time(rate(x[5m] offset 2m)[1h:1m] offset 10m)",
        "max_over_time(x[1h:1m] @ 5000)",
        "max_over_time(x[1h:7m] offset -2h)",
        "max_over_time(max_over_time(x[10m:1m])[30m:2m] offset 5m)",
        "max_over_time(max_over_time(x[10m:1m] @ 9000)[30m:2m] offset 5m)",
        "x + y offset 1h",
        "x + y @ 50 + x[5m:1m] @ 70",
        "sum by (a) (rate(x[3m])) / quantile(0.5, y offset 3h)",
        "absent(x offset 5m)",
        "absent_over_time(x[7m] offset 1m)",
        "timestamp(x offset 9m)",
        "histogram_quantile(0.9, rate(x[4m]))",
        "predict_linear(x[9m], 3600)",
        "label_replace(x offset 3m, \"a\", \"b\", \"c\", \"d\")",
        "topk(scalar(x offset 20m), y)",
        "sum_over_time(x[step() * 3])",
        "x offset (step() * 4)",
        "vector(time())",
        "last_over_time(x[5m] @ 77 offset 1d)",
        "double_exponential_smoothing(x[11m], 0.5, 0.5)",
        "limitk(2, x offset 1m)",
        "-x ^ 2 and on() y offset -1m"};
    struct engine *eng = whole_engine();
    struct memstore *m = memstore_new();
    struct label ls[] = {{SLICE(LABEL_NAME), SLICE("x")}, {SLICE("a"), SLICE("b")}};
    size_t selects = 0, answered = 0;

    for (int64_t t = 0; t < END_MS; t += MINUTE_MS)
        memstore_add(m, (struct labels){ls, 2}, t, 1, NULL, 0);
    for (size_t i = 0; i < ORR_COUNT(exprs); i++) {
        static const struct storage_ops ops = {watch};
        struct engine_query q = {.expr = slice_cstr(exprs[i]),
                                 .start_ms = START_MS,
                                 .end_ms = END_MS,
                                 .step_ms = MINUTE_MS};
        struct arena *a = arena_new(0);
        struct watched w = {.storage = {&ops}, .behind = memstore_storage(m)};
        struct reach reach;
        struct engine_result r;
        struct err *e = reach_of(eng, &q, a, &reach);

        w.reach = &reach;
        if (!e) {
            e = engine_query(eng, &q, &w.storage, a, &r);
            answered += !e;
            selects += w.selects;
        }
        err_free(e);
        arena_free(a);
    }
    CHECK(answered >= ORR_COUNT(exprs) - 3 && selects > ORR_COUNT(exprs));
    memstore_free(m);
    engine_free(eng);
}

TEST(reach_is_no_wider_than_it_has_to_be)
{
    static const struct {
        const char *expr;
        int64_t back_min, ahead_min; /* in minutes */
    } cases[] = {{"x", 5, 0},
                 {"x offset 7m", 12, 0},
                 {"x offset -7m", 0, 7},
                 {"rate(x[3m])", 3, 0},
                 {"rate(x[3m] anchored)", 8, 0},
                 {"rate(x[3m] smoothed)", 8, 5},
                 {"max_over_time(rate(x[3m])[1h:1m] offset 10m)", 73, 0},
                 {"x + y offset 1h", 65, 0},
                 {"rate(x[3m] @ 100)", 0, 0},
                 {"time()", 0, 0}};
    struct engine *eng = whole_engine();

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct arena *a = arena_new(0);
        struct reach r;

        CHECK_OK(reach_text(eng, cases[i].expr, a, &r));
        CHECK_INT(r.back_ms, cases[i].back_min * MINUTE_MS);
        CHECK_INT(r.ahead_ms, cases[i].ahead_min * MINUTE_MS);
        CHECK(r.is_stepwise);
        arena_free(a);
    }
    engine_free(eng);
}

TEST(reach_tells_what_is_not_stepwise)
{
    static const char *const not_stepwise[] = {
        "x @ start()",
        "rate(x[5m] @ end())",
        "x + end()",
        "max_over_time(x[5m:1m] @ end())",
        "range() * x",
        "sum_over_time(x[range() / 2])",
        "x offset (range() / 3)",
        "info(x)",
        "rate({a=\"b\"}[5m])",
        "topk(2, label_replace(x, \"a\", \"b\", \"c\", \"d\"))",
        "limitk(1, abs({a=\"b\"}))",
        "sum(abs(x or y) + 1)"};
    static const char *const stepwise[] = {"x @ 100",
                                           "sum(label_replace(x, \"a\", \"b\", \"c\", \"d\"))",
                                           "topk(3, sum by (a) (x))",
                                           "{a=\"b\"}",
                                           "last_over_time({a=\"b\"}[5m])",
                                           "step() * x",
                                           "sum_over_time(x[step() * 2])",
                                           "x or y",
                                           "sum(x or y)"};
    struct engine *eng = whole_engine();
    struct arena *a = arena_new(0);
    struct reach r;

    for (size_t i = 0; i < ORR_COUNT(not_stepwise); i++) {
        CHECK_OK(reach_text(eng, not_stepwise[i], a, &r));
        if (r.is_stepwise)
            test_fail(__FILE__, __LINE__, "%s is no such", not_stepwise[i]);
    }
    for (size_t i = 0; i < ORR_COUNT(stepwise); i++) {
        CHECK_OK(reach_text(eng, stepwise[i], a, &r));
        if (!r.is_stepwise)
            test_fail(__FILE__, __LINE__, "%s is one", stepwise[i]);
    }
    CHECK_ERR(reach_text(eng, "sum(", a, &r), ERR_INVALID, "parse error");
    arena_free(a);
    engine_free(eng);
}

TEST(reach_gives_one_text_to_what_means_the_same)
{
    struct engine *eng = whole_engine();
    struct arena *a = arena_new(0);
    struct reach one, other;

    CHECK_OK(reach_text(eng, "sum by (a)(rate( x {b='c'}[300s] ))", a, &one));
    CHECK_OK(reach_text(eng, "sum   (rate(x{b=\"c\"}[5m])) by(a)", a, &other));
    CHECK(slice_eq(one.text, other.text));
    CHECK_OK(reach_text(eng, "sum by (a) (rate(x{b=\"c\"}[5m1ms]))", a, &other));
    CHECK(!slice_eq(one.text, other.text));
    arena_free(a);
    engine_free(eng);
}
