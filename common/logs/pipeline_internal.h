/* What the files of the pipeline share. */
#pragma once
#include "common/lang/logql.h"
#include "common/logs/iprange.h"
#include "common/logs/jsonline.h"
#include "common/logs/jsonpath.h"
#include "common/logs/linefilter.h"
#include "common/logs/linelabels.h"
#include "common/logs/linepattern.h"
#include "common/logs/logfmt.h"
#include "common/logs/pipeline.h"
#include "common/template/template.h"

#define PIPELINE_MAX_NAMES 4096

/* Labels that are no labels but say what went wrong. */
enum pipeline_special { PIPELINE_LABEL, PIPELINE_ERROR, PIPELINE_DETAILS };

struct pipeline_name {
    enum pipeline_special special;
    uint32_t id; /* of a label */
};

struct pipeline_filter {
    enum logql_filter_kind kind;
    enum promql_op op;
    struct pipeline_name name;
    const struct matcher *matcher;
    struct textfind *texts; /* instead of a regex: see simplify() */
    const bool *is_inside;  /* of each text: anywhere in the value, else it is the value */
    size_t n_texts;
    double number;
    int64_t duration_ns;
    uint64_t bytes;
    struct iprange ip;
    struct pipeline_filter *lhs, *rhs;
};

/* One of drop's or keep's, or of label_format's. */
struct pipeline_pair {
    struct pipeline_name dst, src;
    const struct matcher *matcher;
    struct template_set *template; /* label_format: NULL: src is renamed */
};

/* One of a parser's labels: named group, capture, or path. */
struct pipeline_capture {
    uint32_t id;
    int group;        /* regexp */
    struct slice key; /* logfmt: the key it has in the line; json: the path */
};

struct pipeline_step;
/* False: the line is dropped. */
typedef bool pipeline_step_fn(struct pipeline_state *s, const struct pipeline_step *step);

struct pipeline_step {
    pipeline_step_fn *run;
    const struct logql_stage *stage;
    struct linefilter *lines;
    struct pipeline_filter *filter;
    struct template_set *template;
    struct pipeline_pair *pairs;
    size_t n_pairs;
    struct re *re;
    struct linepattern pattern;
    struct jsonpaths *paths;
    struct pipeline_capture *captures;
    size_t n_captures;
};

struct pipeline {
    struct pipeline_step *steps;
    size_t n;
    /* Names that the query speaks of: ids below n_names in every state. */
    struct slice *names;
    uint32_t n_names, cap_names; /* PIPELINE_MAX_NAMES at most */
    bool has_too_many_names;
    /* Of each name: parsers are asked for it; the filter that may end parsing early. */
    bool *is_required;
    const struct pipeline_filter **stops;
    uint32_t n_required; /* 0: parsers give all */
    bool has_no_labels;  /* parsers give nothing */
    bool preserves_error;
    /* metric queries */
    const struct logql_range *range;
    uint32_t unwrap_id;
    struct pipeline_filter **after; /* filters behind unwrap */
    size_t n_after;
    bool is_without;
    uint32_t *groups; /* sorted by name */
    size_t n_groups;
    struct arena *arena; /* while compiling */
};

struct pipeline_state {
    const struct pipeline *p;
    struct linelabels labels;
    struct slice line;
    int64_t ts_ns, now_ns;
    double value;
    bool is_dropped;      /* by a filter that a parser asked */
    bool is_wanted_error; /* the error is one that the query asks for */
    uint32_t n_extracted; /* of those asked for */
    struct jsonline json;
    struct buf text;
    struct slice *taken; /* captures of a pattern */
    int *spans;          /* groups of a regex */
    size_t n_spans;
    struct arena *tmp; /* of templates; per line */
};

/* ---- compiling ---- */
struct pipeline_name pipeline_name(struct pipeline *p, struct slice name);
/* Past PIPELINE_MAX_NAMES any id: pipeline_make() fails then. */
uint32_t pipeline_label_id(struct pipeline *p, struct slice name);
ORR_CHECKED struct err *pipeline_filter_make(struct pipeline *p, const struct logql_filter *f,
                                             struct pipeline_filter **ret);
/* Fill step from step->stage. */
typedef struct err *pipeline_make_fn(struct pipeline *p, struct pipeline_step *step);
pipeline_make_fn pipeline_make_json, pipeline_make_logfmt, pipeline_make_regexp,
    pipeline_make_pattern, pipeline_make_unpack;
pipeline_make_fn pipeline_make_line_format, pipeline_make_label_format, pipeline_make_decolorize,
    pipeline_make_drop, pipeline_make_keep;
void pipeline_format_done(struct pipeline_step *step);

/* ---- hints: what parsers are to give (pipeline_hint.c) ---- */
void pipeline_hint(struct pipeline *p, const struct pipeline_opts *opts);

/* ---- running ---- */
bool pipeline_filter_keeps(struct pipeline_state *s, const struct pipeline_filter *f);
struct slice pipeline_value(const struct pipeline_state *s, struct pipeline_name name);
/* A number as a label has it; false: it is none. */
bool pipeline_number(struct slice text, double *ret);
bool pipeline_duration(struct slice text, int64_t *ret_ns);
void pipeline_fail(struct pipeline_state *s, const char *error, const char *details);
/* The error a parser met: kept through the grouping if the query asks for errors. */
void pipeline_parse_fail(struct pipeline_state *s, const char *error, const char *details);
