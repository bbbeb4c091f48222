/*
 * Which of a tenant's traces are kept once they have ended: policies with the names and the YAML of the OpenTelemetry Collector's
 * tail_sampling processor. In the overrides file:
 *
 *     overrides:
 *       team-a:
 *         tail_sampling:
 *           policies:
 *             - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
 *             - {name: slow, type: latency, latency: {threshold_ms: 2000}}
 *             - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 5}}
 *
 *   always_sample
 *   latency             threshold_ms, upper_threshold_ms (0: none): last end - first start >= the one, and <= the other
 *   status_code         status_codes: [ERROR, OK, UNSET]: a span has one of them
 *   string_attribute    key, values, enabled_regex_matching (RE2, anywhere), invert_match; of a span or its resource
 *   numeric_attribute   key, min_value, max_value, invert_match
 *   boolean_attribute   key, value, invert_match
 *   span_count          min_spans, max_spans (0: none)
 *   probabilistic       sampling_percentage, hash_salt: by the trace id alone, so the same everywhere
 *   rate_limiting       spans_per_second, over the whole cluster
 *   and, or, not        and_sub_policy, or_sub_policy, not_sub_policy: lists of policies: all, any, none of them
 *   drop                drop_sub_policy: what all of them match is not kept, whatever other policies say; at the top alone
 *   composite           max_total_spans_per_second, policy_order, composite_sub_policy, rate_allocation: [{policy, percent}]; at the
 *                       top alone: the first of the order that matches decides, while its part of the rate lasts
 *
 * A trace is kept that any policy of the top matches and no drop. invert_match is what the leaf itself says turned round: no span matches. It
 * overrules no other policy (as it does in some versions of the Collector): that is what drop is for.
 *
 * What a span can say is a *leaf* (status and attributes): a bit each, 64 at most, so that what several replicas have seen can be
 * united (ingester/traces/sampling.h).
 *
 * Immutable; any thread. Memory is the arena's, compiled regexes apart (tail_rules_done()).
 */
#pragma once
#include "common/base/re.h"
#include "common/base/yaml.h"

#define TAIL_RULE_MAX_POLICIES 500 /* all, below others too */
#define TAIL_RULE_MAX_LEAVES 64
#define TAIL_RULE_MAX_DEPTH 4
#define TAIL_RULE_MAX_VALUES 1000
#define TAIL_RULE_MAX_NAME 128

/* X(symbol, type) */
#define TAIL_POLICIES(X)                                                                           \
    X(TAIL_ALWAYS, "always_sample")                                                                \
    X(TAIL_LATENCY, "latency")                                                                     \
    X(TAIL_STATUS, "status_code")                                                                  \
    X(TAIL_STRING, "string_attribute")                                                             \
    X(TAIL_NUMBER, "numeric_attribute")                                                            \
    X(TAIL_BOOL, "boolean_attribute")                                                              \
    X(TAIL_SPANS, "span_count")                                                                    \
    X(TAIL_PROBABILITY, "probabilistic")                                                           \
    X(TAIL_RATE, "rate_limiting")                                                                  \
    X(TAIL_AND, "and")                                                                             \
    X(TAIL_OR, "or")                                                                               \
    X(TAIL_NOT, "not")                                                                             \
    X(TAIL_DROP, "drop")                                                                           \
    X(TAIL_COMPOSITE, "composite")
enum tail_type {
#define X(sym, name) sym,
    TAIL_POLICIES(X)
#undef X
        TAIL_TYPE_COUNT
};

struct tail_policy {
    struct slice name;
    enum tail_type type;
    bool inverts;
    uint8_t leaf;      /* STATUS, STRING, NUMBER, BOOL: its bit */
    uint16_t bucket;   /* RATE, and what is below COMPOSITE: its number */
    double rate;       /* of the bucket, spans per second */
    int64_t min, max;  /* LATENCY: ns; SPANS. max 0: none */
    unsigned statuses; /* 1 << OTLP's number */
    struct slice key;  /* of the attribute */
    const struct slice *values;
    struct re *const *regexes; /* instead of values */
    size_t n_values;
    double min_value, max_value;
    bool value;
    uint64_t bound, salt;           /* PROBABILITY: hashes below it; UINT64_MAX: all */
    const struct tail_policy *subs; /* COMPOSITE: in the order */
    size_t n_subs;
};

struct tail_rules {
    const struct tail_policy *ptr; /* none: all traces are kept */
    size_t n;
    const struct tail_policy *leaves[TAIL_RULE_MAX_LEAVES]; /* by bit */
    unsigned n_leaves, n_buckets;
    uint64_t id; /* a hash of all they say: the same on every ingester; 0: there are none */
};

/* node: the value of tail_sampling; null is none. ERR_INVALID names file, line and what is wrong. */
ORR_CHECKED struct err *tail_rules_parse(const char *file, const struct yaml_node *node,
                                         struct arena *a, struct tail_rules *ret);
void tail_rules_done(struct tail_rules *r); /* {0} is allowed */
