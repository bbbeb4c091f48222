/*
 * A tenant's rules for aggregation at the door: which series are added up as they come in, over which
 * labels, and what is written in their place. In the overrides file:
 *
 *     overrides:
 *       team-a:
 *         aggregation_rules:
 *           - match: 'http_requests_total{env="prod"}'   a selector, or a list: any of them
 *             without: [pod, instance]                   or by: [job, code]
 *             outputs: [total]                           sum count min max last total
 *             interval: 1m                               from 5s to 1h; of the output
 *             staleness: 5m                              age of an input's newest sample from which
 *                                                        it counts no more
 *             drop_input: true                           the inputs themselves are not stored
 *             name: '$name:$output'                      of the output
 *
 * Of several rules the first one that matches a series takes it. Its metric name stays in either
 * case and becomes part of the output's: with several outputs the name must have $output in it, and
 * a name that is that of the input wants drop_input.
 *
 *   sum, count, min, max   over the newest sample of each input that is not stale, as PromQL at the time
 *                          of the output
 *   last                   the newest of those samples
 *   total                  a counter: what all inputs grew by since the output began. A value below
 *                          the one before it is a reset and counts whole; the first one counts nothing
 *
 * All but total end with a stale marker when no input has such a sample, total when nothing came for
 * staleness. Samples that the grace periods refuse are refused, and not added up.
 *
 * Native histograms have sum, count and total. The average is sum / count.
 *
 * Immutable; any thread. Memory is the arena's, compiled regexes apart (agg_rules_done()).
 */
#pragma once
#include "common/base/yaml.h"
#include "common/model/matcher.h"

#define AGG_RULE_MAX_RULES 1000
#define AGG_RULE_MAX_SELECTORS 100
#define AGG_RULE_MAX_LABELS 100
#define AGG_RULE_MIN_INTERVAL_MS 5000
#define AGG_RULE_MAX_INTERVAL_MS 3600000

#define AGG_OUTPUTS(X)                                                                             \
    X(AGG_SUM, "sum")                                                                              \
    X(AGG_COUNT, "count")                                                                          \
    X(AGG_MIN, "min") X(AGG_MAX, "max") X(AGG_LAST, "last") X(AGG_TOTAL, "total")
enum agg_output {
#define X(sym, name) sym,
    AGG_OUTPUTS(X)
#undef X
        AGG_OUTPUT_COUNT
};

struct agg_rule {
    uint64_t id; /* a hash of all it says: the same on every ingester */
    const struct matchers *match;
    size_t n_match;
    const struct slice *labels; /* sorted, unique */
    size_t n_labels;
    bool is_without, drops_input;
    uint32_t outputs; /* 1 << enum agg_output */
    unsigned n_outputs;
    int64_t interval_ms, staleness_ms;
    struct slice name;
};

struct agg_rules {
    const struct agg_rule *ptr;
    size_t n;
};

/* name is for messages; node: a sequence of rules, NULL or null for none. */
ORR_CHECKED struct err *agg_rules_parse(const char *name, const struct yaml_node *node,
                                        struct arena *a, struct agg_rules *ret);
void agg_rules_done(struct agg_rules *r); /* {0} is allowed */

/* The first rule that matches, or NULL. */
const struct agg_rule *agg_rules_find(const struct agg_rules *r, struct labels ls);
const struct agg_rule *agg_rules_by_id(const struct agg_rules *r, uint64_t id);
/* What of an input's labels its outputs have, name included, sorted; lent by ls but for the array. */
struct labels agg_rule_group(const struct agg_rule *r, struct arena *a, struct labels ls);
/* Labels of one output of that group. */
struct labels agg_rule_output(const struct agg_rule *r, struct arena *a, struct labels group,
                              enum agg_output o);
/* Says whose the group is: two groups with one place would write the same series. */
struct hash128 agg_rule_place(const struct agg_rule *r, struct arena *a, struct labels group);
/* An input under a rule. */
static inline struct hash128 agg_rule_key(const struct agg_rule *r, struct hash128 input)
{
    return (struct hash128){input.lo ^ r->id, input.hi + r->id * 0x9e3779b97f4a7c15ull};
}
