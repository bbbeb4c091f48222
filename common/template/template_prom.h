/*
 * Prometheus' template expander: the texts of alert labels and annotations.
 *
 *     {{ $labels.instance }} is at {{ $value | humanizePercentage }}
 *
 * Beside Go's functions: query first label value strvalue sortByLabel args, reReplaceAll match
 * title toUpper toLower safeHtml urlQueryEscape, graphLink tableLink pathPrefix externalURL,
 * stripPort stripDomain, humanize humanize1024 humanizeDuration humanizePercentage
 * humanizeTimestamp toTime toDuration parseDuration now. Missing labels are empty (missingkey=zero).
 *
 * Any thread; a call works in its own arena.
 */
#pragma once
#include "common/template/template.h"

struct template_prom_sample {
    struct labels labels;
    double value;
};
struct template_prom_vector {
    const struct template_prom_sample *ptr;
    size_t n;
};

/* Answers {{ query "…" }}: an instant query at now_ms. Samples live in the arena. */
struct template_prom_query {
    struct err *(*query)(void *arg, struct arena *a, struct slice promql, int64_t now_ms,
                         struct template_prom_vector *ret);
    void *arg;
};

struct template_prom {
    const char *name; /* of the alert: the template is called __alert_NAME in errors */
    struct labels labels, external_labels;
    struct slice external_url;
    double value;
    struct slice histogram; /* text of a native histogram, which is then the value; or ptr NULL */
    int64_t now_ms;
    const struct template_prom_query *query; /* NULL: query fails with ERR_UNSUPPORTED */
    size_t limit_bytes;                      /* of memory on the way; 0: 16 MiB */
    size_t max_output_bytes;                 /* 0: 1 MiB */
};

/* Expands text with $labels, $externalLabels, $externalURL and $value set, as in alerting rules.
 * Appends to out, on success only. */
ORR_CHECKED struct err *template_prom_expand(const struct template_prom *p, struct slice text,
                                             struct buf *out);
/* Whether text parses: what a rule file is checked with. */
ORR_CHECKED struct err *template_prom_check(const char *name, struct slice text);
