/* What the files of correlate share. */
#pragma once
#include "querier/api/correlate.h"
#include "querier/api/loki_api_internal.h"
#include "querier/api/tempo_api_internal.h"

#define CORRELATE_LIMIT 1000
#define CORRELATE_MAX_LIMIT 10000
#define CORRELATE_MARGIN_NS (120 * NS_PER_S)
#define CORRELATE_MAX_MARGIN_NS (3600 * NS_PER_S)
/* Of a longer trace, whose clocks are probably wrong, so much up to its end. */
#define CORRELATE_MAX_SPAN_NS (24 * 3600 * NS_PER_S)
/* Of spans, of lines, of events: no more is shown. */
#define CORRELATE_MAX_BYTES (8u << 20)

struct correlate {
    struct tempo_api *tempo;
    struct loki_api *loki;
};

struct correlate_params {
    const struct correlate *api;
    uint8_t id[16];
    bool has_start, has_end;
    int64_t start_ns, end_ns; /* what was not said is open */
    int64_t margin_ns;
    uint32_t limit;
};

struct correlate_service {
    struct slice name;
    uint32_t spans, errors;
};

#define CORRELATE_MAX_FAILURES 4
/* One request, on its worker; all of it is the task's arena's. */
struct correlate_run {
    struct prom_task *t;
    const struct correlate_params *p;
    struct slice id;          /* 32 digits */
    struct slice short_id;    /* the last 16 of them, if the others are 0; else empty */
    struct tempo_range range; /* of lines, events and exemplars; and of the links */
    /* correlate_trace_find() */
    struct tracepiece trace;  /* n_spans 0: none */
    struct tempo_range times; /* of its spans */
    struct slice *services;   /* of each resource */
    struct correlate_service *stats;
    size_t n_stats; /* by name */
    uint32_t n_errors;
    /* What the answer ends with. */
    const char *truncated[5];
    size_t n_truncated;
    struct {
        const char *signal;
        struct err *err;
    } failures[CORRELATE_MAX_FAILURES];
    size_t n_failures;
};
void correlate_truncated(struct correlate_run *r, const char *what);

/* Each finds what it is about. */
ORR_CHECKED struct err *correlate_trace_find(struct correlate_run *r);
struct correlate_lines {
    struct logbytime *ptr;
    size_t n;
};
ORR_CHECKED struct err *correlate_logs_find(struct correlate_run *r, struct correlate_lines *ret);
ORR_CHECKED struct err *correlate_events_find(struct correlate_run *r, struct correlate_lines *ret);

/* Each appends a value. */
void correlate_trace_put(struct correlate_run *r, struct buf *out);
void correlate_logs_put(struct correlate_run *r, const struct correlate_lines *lines,
                        struct buf *out);
void correlate_events_put(struct correlate_run *r, const struct correlate_lines *lines,
                          struct buf *out);
void correlate_links_put(const struct correlate_run *r, struct buf *out);
/* trace_id="…" or …, as a filter of LogQL on structured metadata. */
void correlate_logs_filter(const struct correlate_run *r, struct buf *out);
