#include "common/lang/promql_series.h"
#include "querier/engine/memstore.h"
#include "tests/unit/test.h"

static const struct labels no_labels = {0};

/* The hints of all samples, in order of time; floats have '.'. */
static const char *hints(struct arena *a, struct memstore *m)
{
    static const char letters[] = {
        [HISTOGRAM_UNKNOWN] = 'u', [HISTOGRAM_RESET] = 'r', [HISTOGRAM_NOT_RESET] = 'n', 'g'};
    const struct storage_request req = {.start_ms = 0, .end_ms = INT64_MAX};
    struct series_set *set = NULL;
    struct storage_series s;
    struct buf text = {0};
    const char *ret;

    CHECK_OK(storage_select(memstore_storage(m), a, &req, &set));
    while (series_set_next(set, &s))
        for (size_t i = 0; i < s.n; i++)
            buf_byte(&text, s.h && s.h[i] ? (uint8_t)letters[s.h[i]->hint] : '.');
    CHECK_OK(series_set_close(set));
    ret = arena_cstr(a, buf_slice(&text));
    buf_done(&text);
    return ret;
}

#define H(count) "{{schema:0 count:" count " sum:1 buckets:[" count "]}}"

/* As the values come one after the other, or all at once, in any order. */
TEST(memstore_derives_a_hint_once)
{
    struct arena *a = arena_new(0);
    struct promql_series s;
    static const int orders[][8] = {
        {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {0, 2, 4, 6, 1, 3, 5, 7}};
    const char *text = "m " H("1") " " H("2") " 3 " H("4") " " H("5") " " H("2") " " H(
        "3") " {{"
             "schema:0 count:4 sum:1 buckets:[4] counter_reset_hint:reset}}";

    CHECK_OK(promql_series_parse(a, slice_cstr(text), &s));
    CHECK_INT(s.n, 8);
    for (size_t o = 0; o < ORR_COUNT(orders); o++)
        for (int is_stepwise = 0; is_stepwise < 2; is_stepwise++) {
            struct memstore *m = memstore_new();

            /* what is written down of the last one is lost when another comes before it */
            for (size_t i = 0; i < s.n; i++) {
                const struct promql_value *v = &s.values[orders[o][i]];

                memstore_add(m, no_labels, orders[o][i], v->v, v->h, 0);
                if (is_stepwise)
                    memstore_derive_hints(m);
            }
            memstore_derive_hints(m);
            CHECK(strncmp(hints(a, m), "un.unun", 7) == 0);
            CHECK(o > 0 || hints(a, m)[7] == 'u');
            memstore_add(m, no_labels, 2, 0, s.values[1].h, 0); /* in the float's place */
            memstore_derive_hints(m);
            CHECK(strncmp(hints(a, m), "unnnnun", 7) == 0);
            memstore_free(m);
        }
    arena_free(a);
}
