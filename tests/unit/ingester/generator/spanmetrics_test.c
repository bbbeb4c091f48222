#include "ingester/generator/spanmetrics.h"
#include "tests/unit/test.h"

enum { SERVER = 2, CLIENT = 3 };

/* What a span adds, as "{labels} calls seconds"; "": filters leave it out. */
static void check_span(const char *span_metrics, uint8_t kind, uint8_t status, const char *key,
                       const char *value, const char *want)
{
    char *yaml =
        mem_printf("{processors: [span-metrics], processor: {span_metrics: {%s}}}", span_metrics);
    struct otlp_member resource[] = {
        {SLICE("service.name"), {.kind = OTLP_VALUE_TEXT, .text = SLICE("shop")}},
        {SLICE("zone"), {.kind = OTLP_VALUE_TEXT, .text = SLICE("eu")}}};
    struct otlp_member attributes[] = {
        {SLICE("zone"), {.kind = OTLP_VALUE_TEXT, .text = SLICE("span's")}},
        {SLICE("n"), {.kind = OTLP_VALUE_INT, .i = 7}},
        {slice_cstr(key), {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(value)}}};
    struct tracepiece_resource res = {.attributes = {2, 0, resource}};
    struct tracepiece_span s = {.span_id = 1,
                                .kind = kind,
                                .status = status,
                                .name = SLICE("GET"),
                                .message = SLICE("why"),
                                .end_ns = 2000000000,
                                .attributes = {3, 0, attributes}};
    struct tracepiece p = {.n_resources = 1, .n_spans = 1, .resources = &res, .spans = &s};
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct generator_rules rules;
    struct spanmetrics m;
    struct gentable t;
    struct buf out = {0};
    bool is_let_in;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    CHECK_OK(generator_rules_parse("t", root, a, &rules));
    spanmetrics_init(&m, &rules, a);
    gentable_init(&t, &(struct gentable_opts){0, true, false});
    is_let_in = spanmetrics_take(&m, &t, a, &p, &s, 1);
    CHECK_INT(is_let_in, t.rows.len);
    VEC_FOREACH (row, &t.rows) {
        labels_text(&out, (*row)->labels);
        buf_printf(&out, " %g %g", (*row)->counters[0].v, (*row)->hists[0]->sum);
    }
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    gentable_done(&t);
    generator_rules_done(&rules);
    arena_free(a);
    mem_free(yaml);
}

TEST(spanmetrics_labels_are_tempos)
{
    check_span("", SERVER, 2, "k", "v",
               "{service=\"shop\", span_kind=\"SPAN_KIND_SERVER\", span_name=\"GET\", "
               "status_code=\"STATUS_CODE_ERROR\"} 1 2");
    check_span("intrinsic_dimensions: {service: false, span_kind: false, status_code: false, "
               "status_message: true}",
               SERVER, 2, "k", "v", "{span_name=\"GET\", status_message=\"why\"} 1 2");
#define ONLY                                                                                       \
    "intrinsic_dimensions: {service: false, span_kind: false, status_code: false, span_name: "     \
    "false}, "
    check_span(ONLY "dimensions: [k.a-b, service, zone, n, absent, 9x]", SERVER, 0, "k.a-b", "v",
               "{k_a_b=\"v\", n=\"7\", zone=\"eu\"} 1 2"); /* the resource's comes first */
    check_span(ONLY "dimensions: [span_name]", SERVER, 0, "span_name", "v",
               "{__span_name=\"v\"} 1 2");
    check_span(ONLY "dimensions: [9x]", SERVER, 0, "9x", "v", "{_9x=\"v\"} 1 2");
    check_span(ONLY
               "dimension_mappings: [{name: where, source_labels: [zone, absent, k], join: /}]",
               SERVER, 0, "k", "v", "{where=\"eu/v\"} 1 2");
    check_span(ONLY "span_multiplier_key: share", SERVER, 0, "share", "0.25", "{} 4 8");
    check_span(ONLY "span_multiplier_key: share", SERVER, 0, "share", "0", "{} 1 2");
    check_span(ONLY "span_multiplier_key: share", SERVER, 0, "share", "much", "{} 1 2");
}

TEST(spanmetrics_filters)
{
    static const struct {
        const char *filter;
        bool server, client; /* is let in; the client's has status error */
    } cases[] = {
        {"{include: {match_type: strict, attributes: [{key: kind, value: SPAN_KIND_SERVER}]}}",
         true, false},
        {"{exclude: {match_type: strict, attributes: [{key: status, value: STATUS_CODE_ERROR}]}}",
         true, false},
        {"{include: {match_type: strict, attributes: [{key: name, value: GET}, {key: span.k, "
         "value: c}]}}",
         false, true},
        {"{include_any: {match_type: strict, attributes: [{key: name, value: PUT}, {key: span.k, "
         "value: c}]}}",
         false, true},
        {"{exclude: {match_type: regex, attributes: [{key: k, value: '[c-d]'}, {key: "
         "resource.service.name, value: 'sh.*'}]}}",
         true, false},
        {"{exclude: {match_type: regex, attributes: [{key: name, value: G}]}}", true,
         true}, /* the whole value */
        {"{include: {match_type: strict, attributes: [{key: resource.k, value: c}]}}", false,
         false},
        {"{include: {match_type: strict, attributes: [{key: zone, value: eu}]}}", true, true},
        {"{include: {match_type: strict, attributes: [{key: zone, value: eu}]}}, {exclude: "
         "{match_type: strict, attributes: [{key: k, value: s}]}}",
         false, true},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        char *yaml = mem_printf(ONLY "filter_policies: [%s]", cases[i].filter);

        check_span(yaml, SERVER, 0, "k", "s", cases[i].server ? "{} 1 2" : "");
        check_span(yaml, CLIENT, 2, "k", "c", cases[i].client ? "{} 1 2" : "");
        mem_free(yaml);
    }
}
