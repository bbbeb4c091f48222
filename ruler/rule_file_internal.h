/* What rule_file.c (YAML to structs) and rule_file_check.c (what Prometheus refuses) share. */
#pragma once
#include "common/base/yaml.h"
#include "ruler/rule_file.h"

/* Errors of one file, gathered. */
struct rule_errors {
    struct buf text;
    size_t n;
    enum err_code code;
};
void rule_errors_add(struct rule_errors *errs, const char *fmt, ...) ORR_PRINTF(2, 3);
/* Takes e. */
void rule_errors_take(struct rule_errors *errs, struct err *e);

/* A rule as written, before its kind is known. */
struct rule_raw {
    enum rule_lang lang;
    unsigned line;
    struct slice record, alert, expr;
    int64_t for_ms, keep_firing_ms;
    struct labels labels, annotations; /* its own, in the order written */
};
/* Reports all that is wrong with r; on success fills ret->query. Scratch is the arena's. */
void rule_file_check_rule(struct arena *a, struct slice group, size_t number,
                          const struct rule_raw *r, struct rule_errors *errs,
                          struct slice *ret_query);
/* Names and values of a group's labels. */
void rule_file_check_labels(struct slice group, struct labels ls, struct rule_errors *errs);
