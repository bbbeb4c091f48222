#include "common/base/buf.h"
#include "querier/api/step_tally.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "tests/unit/test.h"

/* One series with a sample each 10 s from 0 to 90 s; the one at 50 s ends it for a while. Steps at 20,
 * 40, 60 and 80 s, look-back 15 s. */
static void check(const char *expr, const char *want)
{
    struct memstore *m = memstore_new();
    struct arena *a = arena_new(0);
    struct engine *eng = engine_new(&(struct engine_opts){.lookback_ms = 15000});
    struct label l = {SLICE("__name__"), SLICE("up")};
    struct engine_query q = {
        .expr = slice_cstr(expr), .start_ms = 20000, .end_ms = 80000, .step_ms = 20000};
    struct engine_result res;
    struct step_tally t;
    struct buf out = {0};

    for (int64_t i = 0; i < 10; i++)
        memstore_add(m, (struct labels){&l, 1}, i * 10000,
                     i == 5 ? sample_from_bits(SAMPLE_STALE_BITS) : (double)i, NULL, 0);
    step_tally_init(&t, a, memstore_storage(m), 20000, 20000, 4, 15000);
    CHECK_OK(engine_query(eng, &q, &t.storage, a, &res));
    step_tally_json(&out, &t);
    if (strcmp(buf_cstr(&out), want) != 0)
        test_fail(__FILE__, __LINE__, "%s: got %s", expr, buf_cstr(&out));
    buf_done(&out);
    engine_free(eng);
    arena_free(a);
    memstore_free(m);
}

#define WANT(a, b, c, d)                                                                           \
    ",\"totalQueryableSamplesPerStep\":[[20," #a "],[40," #b "],[60," #c "],[80," #d "]]"

TEST(step_tally_counts_what_each_step_reads)
{
    check("up", WANT(1, 1, 1, 1));
    check("up offset 10s", WANT(1, 1, 0, 1)); /* the stale one is none */
    check("rate(up[20s])", WANT(2, 2, 1, 2));
    check("rate(up[20s]) + up", WANT(3, 3, 2, 3));
    check("max_over_time(up[25s] @ 90)", WANT(3, 3, 3, 3));
    check("up @ 90", WANT(1, 1, 1, 1));
    check("1", WANT(0, 0, 0, 0));
}
