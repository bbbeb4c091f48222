/*
 * Rule files, in Prometheus' format, to groups of rules.
 *
 *     groups:
 *       - name: node
 *         interval: 30s           # default: ruler.evaluation-interval
 *         query_offset: 1m        # default: ruler.query-offset
 *         limit: 100              # series or alerts of one rule; 0: any number
 *         labels: {team: infra}   # on all rules, which may override them
 *         source_tenants: [a, b]  # whose data expressions read; not in rule_file_parse(), which is as strict as Prometheus
 *         rules:
 *           - record: job:up:sum
 *             expr: sum by (job) (up)
 *           - alert: Down
 *             expr: job:up:sum == 0
 *             for: 5m
 *             keep_firing_for: 10m
 *             labels: {severity: page}
 *             annotations: {summary: "{{ $labels.job }} is down"}
 *
 * Rules are PromQL's or LogQL's: whoever has a file knows which (rule_dir.h), its text does not say. Files of
 * Loki's ruler have the same format.
 *
 * Checked as Prometheus checks: unknown fields, names, durations, expressions (experimental syntax
 * passes: queriers decide) and templates. Of a file with several documents the first counts, as in
 * Prometheus; that the others are ignored is logged. All errors of a file are told, up to
 * RULE_FILE_MAX_ERRORS of them. The text is bounded by yaml.h, and by RULE_FILE_MAX_RULES; what it stands for when aliases are followed
 * and rules have their groups' labels by RULE_FILE_MAX_WHOLE.
 *
 * A struct rule_file is immutable and reference-counted: any thread.
 */
#pragma once
#include "common/base/mem.h"
#include "common/base/snapshot.h"
#include "common/lang/promql.h"

#define RULE_FILE_MAX_RULES 100000
#define RULE_FILE_MAX_ERRORS 20
#define RULE_FILE_MAX_SOURCES 1000 /* tenants of a group */
#define RULE_FILE_MAX_WHOLE                                                                        \
    (32u                                                                                           \
     << 20) /* bytes of texts and labels: no file without aliases and labels of groups has as many */

/* X(symbol, name): the language of expressions */
#define RULE_LANGS(X)                                                                              \
    X(RULE_PROMQL, "promql")                                                                       \
    X(RULE_LOGQL, "logql")
enum rule_lang {
#define X(sym, name) sym,
    RULE_LANGS(X)
#undef X
};
const char *rule_lang_name(enum rule_lang lang);
/* False: none is called so. */
bool rule_lang_read(struct slice name, enum rule_lang *ret);

struct rule {
    enum rule_lang lang; /* the group's */
    bool is_alert;
    struct slice name;
    struct slice expr;  /* as written */
    struct slice query; /* what is asked and shown: as PromQL prints it; LogQL as written */
    int64_t for_ms, keep_firing_ms; /* alerts */
    struct labels labels;           /* the group's and its own, sorted; texts are templates */
    struct labels own_labels;       /* its own alone, sorted */
    struct labels annotations;      /* alerts; sorted */
};

struct rule_group {
    enum rule_lang lang;
    struct slice name;
    int64_t interval_ms;     /* 0: the default */
    int64_t query_offset_ms; /* -1: the default */
    uint64_t limit;          /* 0: none */
    struct labels labels;    /* of all rules, sorted */
    struct slice *sources;   /* source_tenants; none: the tenant's own data */
    size_t n_sources;
    struct rule *rules;
    size_t n_rules;
    uint64_t hash; /* of all the above: equal for equal groups */
};

struct rule_file {
    struct snapshot snap;
    struct arena *arena;
    struct slice path;
    struct slice ns; /* rule_file_parse_namespace(): what it says; else empty */
    struct rule_group *groups;
    size_t n_groups;
};

/* path is for messages and is kept; text is copied. ERR_INVALID tells what is wrong and where,
 * ERR_LIMIT which bound is passed. One reference in *ret. */
ORR_CHECKED struct err *rule_file_parse(const char *path, struct slice text, enum rule_lang lang,
                                        struct rule_file **ret);
/* The text is one group, a mapping as they stand in the list: the file has that one. */
ORR_CHECKED struct err *rule_file_parse_group(const char *path, struct slice text,
                                              enum rule_lang lang, struct rule_file **ret);
/* One document, which may have a field namespace beside its groups, as mimirtool and lokitool know it. */
ORR_CHECKED struct err *rule_file_parse_namespace(const char *path, struct slice text,
                                                  enum rule_lang lang, struct rule_file **ret);
/* Cuts the first document off *rest that has something in it; false: there is none any more. */
bool rule_file_next_document(struct slice *rest, struct slice *ret);
struct rule_file *rule_file_ref(const struct rule_file *f);
void rule_file_unref(const struct rule_file *f); /* NULL is allowed */
