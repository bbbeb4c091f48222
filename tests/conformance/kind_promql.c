/* promql/: the parser, its canonical print and tree; the series notation. */
#include "common/lang/promql.h"
#include "common/lang/promql_series.h"
#include "tests/conformance/conformance.h"

static void check_tree(struct conformance *c, const struct promql *q)
{
    struct buf b = {0};

    (void)conformance_check_text(c, "type", slice_cstr(promql_type_name(q->root->type)),
                                 conformance_text(c, "type"));
    promql_print(&b, q->root);
    (void)conformance_check_text(c, "string", buf_slice(&b), conformance_text(c, "string"));
    buf_reset(&b);
    promql_print_tree(&b, q->root);
    (void)conformance_check_text(c, "tree", buf_slice(&b), conformance_text(c, "tree"));
    buf_done(&b);
}

CONFORMANCE(promql, parser_cases)
{
    struct slice query = conformance_text(c, "query");
    struct promql q = {0};
    struct err *e = promql_parse(c->arena, query, &PROMQL_EVERYTHING, &q);
    bool is_ok = e == NULL;

    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        check_tree(c, &q);
    promql_done(&q);
    e = promql_parse(c->arena, query, NULL, &q);
    (void)conformance_check_ok(c, "ok_default", e, conformance_bool(c, "ok_default"));
    promql_done(&q);
}

static void check_value(struct conformance *c, size_t i, const struct promql_value *got,
                        const json_t *want)
{
    char *what = arena_printf(c->arena, "value %zu", i);
    struct buf b = {0};

    if (json_is_null(want)) {
        (void)conformance_check_bool(c, what, got->is_omitted, true);
        return;
    }
    if (got->is_omitted) {
        conformance_fail(c, what, "no point / a value");
    } else if (json_is_object(want)) {
        if (got->h)
            promql_histogram_print(&b, got->h);
        (void)conformance_check_text(c, what, buf_slice(&b),
                                     conformance_text_of(c->arena, want, "histogram"));
    } else if (got->h) {
        conformance_fail(c, what, "a histogram / a number");
    } else {
        if (sample_is_stale(got->v))
            buf_str(&b, "stale");
        else
            buf_f64_text(&b, got->v);
        (void)conformance_check_text(c, what, buf_slice(&b), slice_cstr(json_string_value(want)));
    }
    buf_done(&b);
}

CONFORMANCE(promql, series_cases)
{
    const json_t *values = conformance_get(c, "values");
    struct promql_series s = {0};
    struct err *e = promql_series_parse(c->arena, conformance_text(c, "input"), &s);
    bool is_ok = e == NULL;
    struct buf b = {0};
    json_t *labels;

    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !is_ok)
        return;
    labels_json(&b, s.labels);
    labels = json_loadb((const char *)b.ptr, b.len, 0, NULL);
    (void)conformance_check_json(c, "labels", labels, conformance_get(c, "labels"));
    json_decref(labels);
    buf_done(&b);
    if (!conformance_check_int(c, "number of values", (int64_t)s.n,
                               (int64_t)json_array_size(values)))
        return;
    for (size_t i = 0; i < s.n; i++)
        check_value(c, i, &s.values[i], json_array_get(values, i));
}
