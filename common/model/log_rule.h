/*
 * What a tenant's log lines go through at the door. In the overrides file:
 *
 *     overrides:
 *       team-a:
 *         log_rules:
 *           - {name: no-debug, action: drop, selector: '{app="shop"}', regex: 'level=debug'}
 *           - {name: some-access, action: sample, selector: '{app="nginx"}', share: 0.1}
 *           - {name: cards, action: scrub, classes: [card, bearer], replacement: '***'}
 *           - {name: passwords, action: scrub, pattern: 'password=\S+', replacement: 'password=***'}
 *
 *   name         of the rule in metrics: letters, digits, - and _; unique
 *   selector     streams it is for, as PromQL and LogQL write them; none: all
 *   regex        lines it is for: RE2, anywhere in the line; none: all
 *   drop         the line is not stored; needs selector or regex
 *   sample       `share` of the lines (0..1) is stored: which ones follows from their text and time, so
 *                that a line that is sent again fares as it did
 *   scrub        in the line and in the values of its structured metadata, what `classes` (secret.h)
 *                name and what `pattern` (RE2) matches is replaced by `replacement` ("<redacted>"),
 *                class by class in that order
 *
 * Rules are applied in their order, each to what the one before it left.
 *
 * Immutable; any thread. Memory is the arena's, compiled regexes apart (log_rules_done()).
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/re.h"
#include "common/base/yaml.h"
#include "common/model/matcher.h"
#include "common/model/secret.h"

#define LOG_RULE_MAX_RULES 64
#define LOG_RULE_MAX_NAME 64
#define LOG_RULE_MAX_REPLACEMENT 256

#define LOG_RULE_ACTIONS(X)                                                                        \
    X(LOG_RULE_DROP, "drop")                                                                       \
    X(LOG_RULE_SAMPLE, "sample")                                                                   \
    X(LOG_RULE_SCRUB, "scrub")
enum log_rule_action {
#define X(sym, name) sym,
    LOG_RULE_ACTIONS(X)
#undef X
        LOG_RULE_ACTION_COUNT
};

struct log_rule {
    struct slice name;
    enum log_rule_action action;
    struct matchers match; /* none: all streams */
    struct re *regex;      /* NULL: all lines */
    uint64_t bound;        /* sample: hashes below it are stored; UINT64_MAX: all */
    unsigned classes;      /* bits by enum secret_class */
    struct re *pattern;    /* NULL: none */
    struct slice replacement;
};
struct log_rules {
    const struct log_rule *ptr;
    size_t n;
};

/* node: the list; null is none. ERR_INVALID names file, line and what is wrong. */
ORR_CHECKED struct err *log_rules_parse(const char *file, const struct yaml_node *node,
                                        struct arena *a, struct log_rules *ret);
void log_rules_done(struct log_rules *r);
const char *log_rule_action_name(enum log_rule_action a);
/* Is the rule for this line of a stream whose selector matches? */
bool log_rule_takes(const struct log_rule *r, struct slice line);
/* Is the line among those that a sample keeps? */
bool log_rule_keeps(const struct log_rule *r, struct slice line, int64_t t_ns);
/* False: nothing was found, and out is as it was. Else out is text with replacements; of what would
 * grow far beyond text only the beginning, and a replacement for the rest. out is empty before. */
bool log_rule_scrub(const struct log_rule *r, struct slice text, struct buf *out);
