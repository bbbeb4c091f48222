/*
 * Which metrics are made of a tenant's spans, with Tempo's names. In the overrides file:
 *
 *     overrides:
 *       team-a:
 *         metrics_generator:
 *           processors: [span-metrics, service-graphs]     none: no metrics are made
 *           collection_interval: 15s                       5s to 5m
 *           max_active_series: 100000                      at each ingester; 0: no limit
 *           generate_native_histograms: classic            classic, native or both
 *           processor:
 *             span_metrics:
 *               histogram_buckets: [0.002, 0.004, …, 16.384]       seconds
 *               dimensions: [http.method, k8s.cluster.name]        attributes of the span or its resource that become labels
 *               intrinsic_dimensions: {service: true, span_name: true, span_kind: true, status_code: true, status_message: false}
 *               dimension_mappings: [{name: env, source_labels: [deployment.environment, region], join: '/'}]
 *               filter_policies:                                   a span counts that all of them let in
 *                 - include: {match_type: strict, attributes: [{key: kind, value: SPAN_KIND_SERVER}]}
 *                   exclude: {match_type: regex, attributes: [{key: resource.service.name, value: 'test-.*'}]}
 *               span_multiplier_key: ''                            attribute (a share, 0.1): a span with it stands for 1 / share spans
 *             service_graphs:
 *               histogram_buckets: [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
 *               dimensions: []
 *               peer_attributes: [peer.service, db.name, db.system]   of a client's span without a server: who that was
 *               enable_client_server_prefix: false                    dimensions as client_… and server_…
 *               enable_messaging_system_latency_histogram: false
 *               enable_virtual_node_label: false
 *               wait: 10s                                             for the other half of an edge
 *               max_items: 10000                                      halves that wait, at each ingester
 *
 * Keys of filters: kind, status, name, resource.KEY, span.KEY, and KEY: of the span or its resource. Values are compared as text; kinds and
 * codes are SPAN_KIND_SERVER …, STATUS_CODE_ERROR …; a regex matches the whole value.
 *
 * Immutable; any thread. Memory is the arena's, compiled regexes apart (generator_rules_done()).
 */
#pragma once
#include "common/base/re.h"
#include "common/base/yaml.h"

#define GENERATOR_MAX_DIMENSIONS 40 /* of each kind */
#define GENERATOR_MAX_BUCKETS 64
#define GENERATOR_MAX_POLICIES 50
#define GENERATOR_MAX_MATCHES 50 /* of a policy */

/* X(member, name): which a series of span metrics may have */
#define GENERATOR_INTRINSICS(X)                                                                    \
    X(has_service, "service")                                                                      \
    X(has_span_name, "span_name")                                                                  \
    X(has_span_kind, "span_kind")                                                                  \
    X(has_status_code, "status_code")                                                              \
    X(has_status_message, "status_message")

/* Which all series that are made may have, and those of edges besides: no dimension can be one of them. */
#define GENERATOR_INSTANCE_LABEL "__metrics_gen_instance"
#define GENERATOR_LABELS "__name__", "le", GENERATOR_INSTANCE_LABEL
#define GENERATOR_EDGE_LABELS "client", "server", "connection_type", "virtual_node"

enum generator_scope {
    GENERATOR_ANY,
    GENERATOR_SPAN,
    GENERATOR_RESOURCE,
    GENERATOR_KIND,
    GENERATOR_STATUS,
    GENERATOR_NAME
};

struct generator_list {
    const struct slice *ptr;
    size_t n;
};
struct generator_buckets {
    const double *ptr; /* ascending, without +Inf */
    size_t n;
};
struct generator_mapping {
    struct slice name, join;
    struct generator_list sources;
};
struct generator_match {
    enum generator_scope scope;
    struct slice key, value;
    struct re *re; /* instead of value */
};
struct generator_matches {
    bool is_set;
    const struct generator_match *ptr;
    size_t n;
};
struct generator_filter {
    struct generator_matches include, include_any, exclude;
};

struct generator_rules {
    bool has_spans, has_graph; /* processors; neither: nothing is made */
    bool has_classic, has_native;
    int64_t interval_ns;
    uint64_t max_series;
    struct {
        struct generator_buckets buckets;
        struct generator_list dimensions;
        const struct generator_mapping *mappings;
        size_t n_mappings;
        const struct generator_filter *filters;
        size_t n_filters;
        struct slice multiplier_key;
#define X(member, name) bool member;
        GENERATOR_INTRINSICS(X)
#undef X
    } spans;
    struct {
        struct generator_buckets buckets;
        struct generator_list dimensions, peers;
        bool has_prefix, has_messaging_latency, has_virtual_node_label;
        int64_t wait_ns;
        uint64_t max_items;
    } graph;
    uint64_t id; /* a hash of all they say: who holds what was made by others begins anew */
};

/* node: the value of metrics_generator; null is none. ERR_INVALID names file, line and what is wrong. */
ORR_CHECKED struct err *generator_rules_parse(const char *file, const struct yaml_node *node,
                                              struct arena *a, struct generator_rules *ret);
void generator_rules_done(struct generator_rules *r); /* {0} is allowed */
