/*
 * What a tenant's overrides say that is not a number: lists, texts and relabel rules. limits.h reads
 * them from the same file and gives them out.
 *
 *     overrides:
 *       team-a:
 *         drop_labels: [pod_uid]
 *         ha_cluster_label: prom_cluster
 *         metric_relabel_configs:
 *           - {source_labels: [__name__], regex: 'go_.*', action: drop}
 *         aggregation_rules: …                 agg_rule.h
 *         retention_stream: …                  retention_rule.h
 *         logs_retention_stream: …             the same, of log lines
 *         log_rules: …                         log_rule.h
 *         log_relabel_configs: …               as metric_relabel_configs, of log streams
 *         tail_sampling: …                     tail_rule.h
 *         metrics_generator: …                 generator_rule.h
 *
 * To add a list or a text, add a row: configuration key (section limits), override, --help,
 * /runtime_config and the struct follow. Relabel, aggregation, retention, log, sampling and generator rules have no default in the configuration; that of otlp
 * is the section of that name (otlp_config.h).
 *
 * Immutable and counted (snapshot.h) once limits gives it out: any thread.
 */
#pragma once
#include "common/base/snapshot.h"
#include "common/base/yaml.h"
#include "common/model/agg_rule.h"
#include "common/model/generator_rule.h"
#include "common/model/log_rule.h"
#include "common/model/otlp_config.h"
#include "common/model/relabel.h"
#include "common/model/retention_rule.h"
#include "common/model/tail_rule.h"

#define TENANT_RULES_MAX_ITEMS 1000 /* of a list */

/* Loki's default. */
#define TENANT_RULES_OTLP_INDEX                                                                    \
    "service.name,service.namespace,service.instance.id,deployment.environment,"                   \
    "deployment.environment.name,cloud.region,cloud.availability_zone,k8s.cluster.name,"           \
    "k8s.namespace.name,k8s.pod.name,k8s.container.name,container.name,k8s.replicaset.name,"       \
    "k8s.deployment.name,k8s.statefulset.name,k8s.daemonset.name,k8s.cronjob.name,k8s.job.name"

/* X(name, configuration key, default, help) */
#define TENANT_LISTS(X)                                                                            \
    X(drop_labels, "drop-labels", "", "Labels taken off all series as they come in.")              \
    X(enforced_labels, "enforced-labels", "",                                                      \
      "Labels that log streams must have; others are refused.")                                    \
    X(default_resource_attributes_as_index_labels, "default-resource-attributes-as-index-labels",  \
      TENANT_RULES_OTLP_INDEX,                                                                     \
      "Resource attributes of OpenTelemetry logs that become labels of the stream; the others "    \
      "become structured metadata.")                                                               \
    X(ruler_protected_namespaces, "ruler-protected-namespaces", "",                                \
      "Namespaces of rules that the API changes only for requests that name them in the header "   \
      "X-Mimir-Ruler-Override-Namespace-Protection.")
#define TENANT_TEXTS(X)                                                                            \
    X(ha_cluster_label, "ha-cluster-label", "cluster",                                             \
      "Label that names the cluster of a pair of replicas.")                                       \
    X(ha_replica_label, "ha-replica-label", "__replica__",                                         \
      "Label that tells the replicas of a pair apart; it is taken off.")                           \
    X(max_line_size_truncate_identifier, "max-line-size-truncate-identifier", "",                  \
      "Text behind log lines that were cut at max-line-size.")                                     \
    X(deletion_mode, "deletion-mode", TENANT_RULES_FILTER_AND_DELETE,                              \
      "What becomes of requests to delete log lines: filter-and-delete hides the lines at once "   \
      "and then takes them out of blocks, filter-only hides them alone, disabled refuses "         \
      "requests and leaves those on the list as they are.")                                        \
    X(s3_sse_type, "s3-sse-type", "",                                                              \
      "How an S3 server encrypts a tenant's objects: SSE-S3 or SSE-KMS; empty: as s3.sse says.")   \
    X(s3_sse_kms_key_id, "s3-sse-kms-key-id", "", "KMS key of a tenant with SSE-KMS.")             \
    X(s3_sse_kms_encryption_context, "s3-sse-kms-encryption-context", "",                          \
      "JSON object that KMS binds to a tenant's data.")

/* Values of deletion_mode, as Loki has them; another one is refused. */
#define TENANT_RULES_DISABLED "disabled"
#define TENANT_RULES_FILTER_ONLY "filter-only"
#define TENANT_RULES_FILTER_AND_DELETE "filter-and-delete"
enum tenant_deletion {
    TENANT_DELETION_DISABLED,
    TENANT_DELETION_FILTER_ONLY,
    TENANT_DELETION_FILTER_AND_DELETE
};

/* Values of s3_sse_type; another one is refused. */
#define TENANT_RULES_SSE_S3 "SSE-S3"
#define TENANT_RULES_SSE_KMS "SSE-KMS"

struct tenant_list {
    const struct slice *ptr;
    size_t n;
};

enum tenant_rule {
#define X(name, ...) TENANT_RULE_##name,
    TENANT_LISTS(X) TENANT_TEXTS(X)
#undef X
        TENANT_RULE_metric_relabel_configs,
    TENANT_RULE_aggregation_rules,
    TENANT_RULE_retention_stream,
    TENANT_RULE_logs_retention_stream,
    TENANT_RULE_log_rules,
    TENANT_RULE_log_relabel_configs,
    TENANT_RULE_tail_sampling,
    TENANT_RULE_metrics_generator,
    TENANT_RULE_otlp,
    TENANT_RULE_COUNT
};

struct tenant_retention {
    struct retention_rules rules;
    struct slice text; /* JSON */
};

struct tenant_rules {
    struct snapshot snap;
    struct arena *arena;
#define X(name, ...) struct tenant_list name;
    TENANT_LISTS(X)
#undef X
#define X(name, ...) struct slice name;
    TENANT_TEXTS(X)
#undef X
    struct relabel *metric_relabel;   /* NULL: none */
    struct slice metric_relabel_text; /* JSON */
    struct agg_rules aggregation;
    struct slice aggregation_text;
    struct tenant_retention retention, logs_retention;
    struct log_rules log;
    struct slice log_text;
    struct relabel *log_relabel; /* NULL: none */
    struct slice log_relabel_text;
    struct tail_rules tail;
    struct slice tail_text;
    struct generator_rules generator;
    struct slice generator_text;
    struct otlp_override otlp;      /* nothing is set: as the section otlp has it */
    bool is_set[TENANT_RULE_COUNT]; /* by the overrides */
};

/* A copy of base's lists and texts (NULL: all empty), to be changed before it is given out. */
struct tenant_rules *tenant_rules_new(const struct tenant_rules *base);
void tenant_rules_unref(struct tenant_rules *r); /* NULL is allowed */
void tenant_rules_set_list(struct tenant_rules *r, struct tenant_list *list, char *const *items,
                           size_t n);
/* Takes over one key of a tenant's overrides. *ret_is_known: false when the key is none of ours. */
ORR_CHECKED struct err *tenant_rules_read(struct tenant_rules *r, const char *file,
                                          const struct yaml_key *key, const struct yaml_node *node,
                                          bool *ret_is_known);
/* What the texts themselves forbid; ERR_INVALID names the row. */
ORR_CHECKED struct err *tenant_rules_check(const struct tenant_rules *r);
enum tenant_deletion tenant_rules_deletion(const struct tenant_rules *r);
/* YAML lines, each behind indent; only those that are set, or all. */
void tenant_rules_print(const struct tenant_rules *r, struct buf *out, const char *indent,
                        bool only_set);
