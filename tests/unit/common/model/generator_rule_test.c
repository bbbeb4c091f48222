#include "common/base/clock.h"
#include "common/model/generator_rule.h"
#include "tests/unit/test.h"

struct rules {
    struct arena *a;
    struct generator_rules r;
};

static struct err *parse(struct rules *t, const char *yaml)
{
    struct yaml_node *root = NULL;

    t->a = arena_new(0);
    CHECK_OK(yaml_load("t", slice_cstr(yaml), t->a, &root));
    return generator_rules_parse("t", root, t->a, &t->r);
}

static void done(struct rules *t)
{
    generator_rules_done(&t->r);
    arena_free(t->a);
}

TEST(generator_rule_has_tempos_defaults)
{
    struct rules t;

    CHECK_OK(parse(&t, "processors: [span-metrics, service-graphs]"));
    CHECK(t.r.has_spans && t.r.has_graph && t.r.has_classic && !t.r.has_native);
    CHECK_INT(t.r.interval_ns, 15 * NS_PER_S);
    CHECK(t.r.spans.buckets.n == 14 && t.r.spans.buckets.ptr[13] == 16.384);
    CHECK(t.r.graph.buckets.n == 8 && t.r.graph.buckets.ptr[7] == 12.8);
    CHECK(t.r.spans.has_service && t.r.spans.has_span_kind && !t.r.spans.has_status_message);
    CHECK_INT(t.r.graph.peers.n, 3);
    done(&t);
    CHECK_OK(parse(&t, ""));
    CHECK(!t.r.has_spans && !t.r.has_graph);
    done(&t);
}

TEST(generator_rule_reads_all_there_is)
{
    struct rules t;

    CHECK_OK(parse(&t,
                   "processors: [service-graphs]\n"
                   "collection_interval: 30s\n"
                   "max_active_series: 7\n"
                   "generate_native_histograms: native\n"
                   "processor:\n"
                   "  span_metrics:\n"
                   "    histogram_buckets: [1, 2.5]\n"
                   "    dimensions: [http.method]\n"
                   "    intrinsic_dimensions: {service: false, status_message: true}\n"
                   "    dimension_mappings: [{name: env, source_labels: [a, b], join: /}]\n"
                   "    span_multiplier_key: share\n"
                   "    filter_policies:\n"
                   "      - include: {match_type: strict, attributes: [{key: kind, value: "
                   "SPAN_KIND_SERVER}]}\n"
                   "        exclude: {match_type: regex, attributes: [{key: resource.service.name, "
                   "value: 'x.*'}, {key: span.a, value: b}]}\n"
                   "      - include_any: {match_type: strict, attributes: [{key: any, value: v}]}\n"
                   "  service_graphs: {histogram_buckets: [9], dimensions: [d], peer_attributes: "
                   "[p], enable_client_server_prefix: true,\n"
                   "    enable_messaging_system_latency_histogram: true, "
                   "enable_virtual_node_label: true, wait: 2s, max_items: 5}\n"));
    CHECK(!t.r.has_spans && t.r.has_graph && t.r.has_native && !t.r.has_classic);
    CHECK(t.r.interval_ns == 30 * NS_PER_S && t.r.max_series == 7);
    CHECK(t.r.spans.buckets.n == 2 && t.r.spans.dimensions.n == 1 && !t.r.spans.has_service &&
          t.r.spans.has_status_message);
    CHECK(t.r.spans.n_mappings == 1 && t.r.spans.mappings[0].sources.n == 2);
    CHECK(t.r.spans.n_filters == 2 && t.r.spans.filters[0].include.ptr[0].scope == GENERATOR_KIND);
    CHECK(t.r.spans.filters[0].exclude.ptr[0].scope == GENERATOR_RESOURCE &&
          t.r.spans.filters[0].exclude.ptr[0].re);
    CHECK_SLICE(t.r.spans.filters[0].exclude.ptr[1].key, "a");
    CHECK(t.r.spans.filters[1].include_any.ptr[0].scope == GENERATOR_ANY);
    CHECK(t.r.graph.has_prefix && t.r.graph.has_messaging_latency &&
          t.r.graph.has_virtual_node_label);
    CHECK(t.r.graph.wait_ns == 2 * NS_PER_S && t.r.graph.max_items == 5);
    done(&t);
}

TEST(generator_rule_says_what_is_wrong)
{
    static const char *const cases[][2] = {
        {"- a", "is a mapping"},
        {"processors: [local-blocks]", "span-metrics or service-graphs"},
        {"processors: span-metrics", "is a list"},
        {"processor: {span_metrics: {dimensions: a}}", "not a list"},
        {"processor: {span_metrics: {dimension_mappings: a}}", "is a list"},
        {"processor: {span_metrics: {filter_policies: a}}", "is a list"},
        {"collection_interval: 1s", "too short"},
        {"max_active_series: -1", "whole number"},
        {"generate_native_histograms: some", "classic, native or both"},
        {"x: 1", "unknown key x"},
        {"processor: {span_metrics: {histogram_buckets: []}}", "1 to 64"},
        {"processor: {span_metrics: {histogram_buckets: [2, 1]}}", "ascending"},
        {"processor: {span_metrics: {histogram_buckets: [.nan]}}", "ascending"},
        {"processor: {span_metrics: {dimensions: ['']}}", "empty name"},
        {"processor: {span_metrics: {intrinsic_dimensions: {job: true}}}", "unknown key job"},
        {"processor: {span_metrics: {dimension_mappings: [{name: a}]}}", "source_labels and join"},
        {"processor: {span_metrics: {filter_policies: [{only: {}}]}}", "unknown key only"},
        {"processor: {span_metrics: {filter_policies: [{include: {match_type: some, attributes: "
         "[]}}]}}",
         "strict or regex"},
        {"processor: {span_metrics: {filter_policies: [{include: {match_type: regex, attributes: "
         "[{key: a, value: '('}]}}]}}",
         "t:1"},
        {"processor: {service_graphs: {wait: 1h}}", "too long"},
        {"processor: {span_metrics: {dimensions: [a, le]}}",
         "dimension le would be the label le, which these metrics have"},
        {"processor: {span_metrics: {dimensions: [--metrics.gen.instance]}}",
         "the label __metrics_gen_instance"},
        {"processor: {span_metrics: {dimension_mappings: [{name: le, source_labels: [a]}]}}",
         "the label le"},
        {"processor: {service_graphs: {dimensions: [client]}}", "the label client"},
        {"processor: {service_graphs: {dimensions: [connection.type]}}",
         "dimension connection.type would be the label connection_type"},
        {"processor: {service_graphs: {dimensions: [le]}}", "the label le"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct rules t;

        CHECK_ERR(parse(&t, cases[i][0]), ERR_INVALID, cases[i][1]);
        arena_free(t.a);
    }
}

TEST(generator_rule_takes_dimensions_that_clash_with_nothing)
{
    struct rules t;

    CHECK_OK(parse(&t,
                   "processor:\n"
                   "  span_metrics: {dimensions: [client, service, server, lee, l]}\n"
                   "  service_graphs: {dimensions: [client], enable_client_server_prefix: true}"));
    CHECK_INT(t.r.spans.dimensions.n, 5);
    CHECK_INT(t.r.graph.dimensions.n, 1);
    done(&t);
}
