#include "common/logs/pipeline.h"

#include "common/base/clock.h"
#include "common/base/gosize.h"
#include "common/base/mem.h"
#include "common/base/promdur.h"
#include "common/logs/pipeline_internal.h"

static const struct {
    const char *name;
    pipeline_make_fn *make;
    bool changes_line;
} kinds[] = {
    [LOGQL_STAGE_JSON] = {"json", pipeline_make_json, false},
    [LOGQL_STAGE_LOGFMT] = {"logfmt", pipeline_make_logfmt, false},
    [LOGQL_STAGE_REGEXP] = {"regexp", pipeline_make_regexp, false},
    [LOGQL_STAGE_PATTERN] = {"pattern", pipeline_make_pattern, false},
    [LOGQL_STAGE_UNPACK] = {"unpack", pipeline_make_unpack, true},
    [LOGQL_STAGE_LINE_FORMAT] = {"line_format", pipeline_make_line_format, true},
    [LOGQL_STAGE_LABEL_FORMAT] = {"label_format", pipeline_make_label_format, false},
    [LOGQL_STAGE_DECOLORIZE] = {"decolorize", pipeline_make_decolorize, true},
    [LOGQL_STAGE_DROP] = {"drop", pipeline_make_drop, false},
    [LOGQL_STAGE_KEEP] = {"keep", pipeline_make_keep, false},
};

/* ---- compiling ---- */

uint32_t pipeline_label_id(struct pipeline *p, struct slice name)
{
    for (uint32_t i = 0; i < p->n_names; i++)
        if (slice_eq(p->names[i], name))
            return i;
    if (p->n_names == PIPELINE_MAX_NAMES) {
        p->has_too_many_names = true;
        return 0;
    }
    if (p->n_names == p->cap_names) {
        uint32_t cap = p->cap_names ? p->cap_names * 2 : 16;

        p->names = arena_grow(p->arena, p->names, p->cap_names * sizeof(*p->names),
                              cap * sizeof(*p->names));
        p->cap_names = cap;
    }
    p->names[p->n_names] = name;
    return p->n_names++;
}

struct pipeline_name pipeline_name(struct pipeline *p, struct slice name)
{
    if (slice_eq_cstr(name, LINELABELS_ERROR))
        return (struct pipeline_name){PIPELINE_ERROR, 0};
    if (slice_eq_cstr(name, LINELABELS_DETAILS))
        return (struct pipeline_name){PIPELINE_DETAILS, 0};
    return (struct pipeline_name){PIPELINE_LABEL, pipeline_label_id(p, name)};
}

static bool run_lines(struct pipeline_state *s, const struct pipeline_step *step)
{
    return linefilter_keeps(step->lines, s->line);
}

static bool run_filter(struct pipeline_state *s, const struct pipeline_step *step)
{
    return pipeline_filter_keeps(s, step->filter);
}

static bool changes_line(enum logql_stage_kind kind)
{
    return kind != LOGQL_STAGE_LINE && kind != LOGQL_STAGE_FILTER && kinds[kind].changes_line;
}

/* The first stage from i on that changes the line. */
static size_t next_change(const struct logql_logs *logs, size_t i)
{
    while (i < logs->n_stages && !changes_line(logs->stages[i].kind))
        i++;
    return i;
}

/* The line filters from stage i up to the first stage that changes the line, as one step. */
static struct err *add_lines(struct pipeline *p, const struct logql_logs *logs, size_t i)
{
    size_t end = next_change(logs, i);
    bool has_any = false;
    struct err *e;

    for (size_t k = i; k < end; k++)
        has_any |= logs->stages[k].kind == LOGQL_STAGE_LINE;
    if (!has_any)
        return NULL;
    if ((e = linefilter_make(p->arena, logs->stages + i, end - i, &p->steps[p->n].lines)))
        return e;
    p->steps[p->n++].run = run_lines;
    return NULL;
}

static struct err *add_stage(struct pipeline *p, const struct logql_stage *stage)
{
    struct pipeline_step *step = &p->steps[p->n++];
    struct err *e;

    step->stage = stage;
    if (stage->kind == LOGQL_STAGE_FILTER) {
        step->run = run_filter;
        return pipeline_filter_make(p, stage->filter, &step->filter);
    }
    e = kinds[stage->kind].make(p, step);
    return e ? err_wrap(e, "stage %s", kinds[stage->kind].name) : NULL;
}

/* A line_format whose line nobody looks at: a metric query neither parses nor filters it, nor counts
 * its bytes. It is not even compiled, and cannot fail. */
static bool is_idle(const struct pipeline *p, const struct logql_logs *logs, size_t i)
{
    if (!p->range || logs->stages[i].kind != LOGQL_STAGE_LINE_FORMAT ||
        p->range->op == LOGQL_BYTES_OVER_TIME || p->range->op == LOGQL_BYTES_RATE)
        return false;
    for (i++; i < logs->n_stages; i++) {
        switch (logs->stages[i].kind) {
        case LOGQL_STAGE_LINE:
        case LOGQL_STAGE_JSON:
        case LOGQL_STAGE_LOGFMT:
        case LOGQL_STAGE_REGEXP:
        case LOGQL_STAGE_PATTERN:
        case LOGQL_STAGE_UNPACK:
            return false;
        default:
            break;
        }
    }
    return true;
}

static struct err *compile(struct pipeline *p, const struct logql_logs *logs)
{
    struct err *e = add_lines(p, logs, 0);

    for (size_t i = 0; i < logs->n_stages && !e && !p->has_too_many_names; i++) {
        const struct logql_stage *stage = &logs->stages[i];

        if (stage->kind == LOGQL_STAGE_LINE || is_idle(p, logs, i))
            continue;
        e = add_stage(p, stage);
        if (!e && changes_line(stage->kind))
            e = add_lines(p, logs, i + 1);
    }
    return e;
}

static struct err *compile_unwrap(struct pipeline *p)
{
    const struct logql_range *r = p->range;
    struct err *e = NULL;

    if (r->unwrap == LOGQL_UNWRAP_NONE)
        return NULL;
    p->unwrap_id = pipeline_label_id(p, r->unwrap_label);
    p->after = arena_array(p->arena, struct pipeline_filter *, r->n_unwrap_filters);
    for (; p->n_after < r->n_unwrap_filters && !e; p->n_after++)
        e = pipeline_filter_make(p, r->unwrap_filters[p->n_after], &p->after[p->n_after]);
    return e;
}

struct err *pipeline_make(struct arena *a, const struct logql_logs *logs,
                          const struct pipeline_opts *opts, struct pipeline **ret)
{
    static const struct pipeline_opts none;
    struct pipeline *p = arena_new_of(a, struct pipeline);
    struct err *e;

    p->arena = a;
    /* one line filter more than there are stages that change the line */
    p->steps = arena_array(a, struct pipeline_step, 2 * logs->n_stages + 1);
    if (opts)
        p->range = opts->range;
    e = compile(p, logs);
    if (!e && p->range)
        e = compile_unwrap(p);
    if (!e)
        pipeline_hint(p, opts ? opts : &none);
    if (!e && p->has_too_many_names)
        e = err_new(ERR_LIMIT, "the query names more than %d labels", PIPELINE_MAX_NAMES);
    if (e)
        pipeline_done(p);
    else
        *ret = p;
    return e;
}

void pipeline_done(struct pipeline *p)
{
    for (size_t i = 0; p && i < p->n; i++) {
        linefilter_done(p->steps[i].lines);
        re_free(p->steps[i].re);
        pipeline_format_done(&p->steps[i]);
    }
}

size_t pipeline_needles(struct arena *a, const struct logql_logs *logs, struct slice *ret,
                        size_t max)
{
    return linefilter_needles(a, logs->stages, next_change(logs, 0), ret, max);
}

/* ---- running ---- */

struct pipeline_state *pipeline_state_new(const struct pipeline *p, struct arena *budget)
{
    struct pipeline_state *s = mem_new(struct pipeline_state);
    size_t n_taken = 1;

    s->p = p;
    s->now_ns = clock_wall_ns(&clock_system);
    linelabels_init(&s->labels, budget, p->names, p->n_names);
    s->tmp = arena_child(budget, 0);
    for (size_t i = 0; i < p->n; i++) {
        n_taken = ORR_MAX(n_taken, p->steps[i].pattern.n_names);
        if (p->steps[i].re)
            s->n_spans = ORR_MAX(s->n_spans, 2 * (re_groups(p->steps[i].re) + 1));
    }
    s->taken = mem_new_array(struct slice, n_taken);
    s->spans = mem_new_array(int, ORR_MAX(s->n_spans, (size_t)1));
    return s;
}

void pipeline_state_free(struct pipeline_state *s)
{
    if (!s)
        return;
    linelabels_done(&s->labels);
    jsonline_done(&s->json);
    buf_done(&s->text);
    arena_free(s->tmp);
    mem_free(s->taken);
    mem_free(s->spans);
    mem_free(s);
}

void pipeline_state_stream(struct pipeline_state *s, struct labels stream)
{
    linelabels_stream(&s->labels, stream);
}

void pipeline_fail(struct pipeline_state *s, const char *error, const char *details)
{
    linelabels_fail(&s->labels, slice_cstr(error), slice_cstr(details));
}

void pipeline_parse_fail(struct pipeline_state *s, const char *error, const char *details)
{
    pipeline_fail(s, error, details);
    s->is_wanted_error |= s->p->preserves_error;
}

static bool convert(enum logql_unwrap how, struct slice text, double *ret)
{
    int64_t ns;
    uint64_t bytes;

    if (how == LOGQL_UNWRAP_NUMBER)
        return pipeline_number(text, ret);
    if (how == LOGQL_UNWRAP_BYTES) {
        if (!gosize_parse(text, &bytes))
            return false;
        *ret = (double)bytes;
        return true;
    }
    if (!pipeline_duration(text, &ns))
        return false;
    *ret = promdur_seconds(ns);
    return true;
}

/* What the line counts for; false: nothing, it is passed over. */
static bool take_value(struct pipeline_state *s)
{
    const struct logql_range *r = s->p->range;
    struct slice text;

    switch (r->unwrap) {
    case LOGQL_UNWRAP_NONE:
        s->value =
            r->op == LOGQL_BYTES_OVER_TIME || r->op == LOGQL_BYTES_RATE ? (double)s->line.len : 1;
        return true;
    default:
        (void)linelabels_get(&s->labels, s->p->unwrap_id, &text);
        if (text.len == 0)
            return false;
        s->value = 0;
        if (!convert(r->unwrap, text, &s->value))
            pipeline_fail(s, "SampleExtractionErr", "the label's value is no number of its kind");
        for (size_t i = 0; i < s->p->n_after; i++)
            if (!pipeline_filter_keeps(s, s->p->after[i]))
                return false;
        return true;
    }
}

bool pipeline_state_line(struct pipeline_state *s, int64_t ts_ns, struct slice line,
                         struct labels metadata, struct pipeline_line *ret)
{
    const struct pipeline *p = s->p;
    size_t i = 0;

    /* Most lines end here: what is below costs more than to look at a short line. */
    if (p->n && p->steps[0].lines) {
        if (!linefilter_keeps(p->steps[0].lines, line))
            return false;
        i = 1;
    }
    linelabels_line(&s->labels);
    if (arena_used(s->tmp))
        arena_reset(s->tmp);
    s->line = line;
    s->ts_ns = ts_ns;
    s->n_extracted = 0;
    s->is_wanted_error = s->is_dropped = false;
    if (metadata.n)
        linelabels_add_metadata(&s->labels, metadata);
    for (; i < p->n; i++)
        if (!p->steps[i].run(s, &p->steps[i]))
            return false;
    if (p->range && !take_value(s))
        return false;
    *ret = (struct pipeline_line){s->line, s->value, linelabels_is_plain(&s->labels)};
    return true;
}

static bool is_group(const struct pipeline *p, struct slice name)
{
    for (size_t i = 0; i < p->n_groups; i++)
        if (slice_eq(p->names[p->groups[i]], name))
            return true;
    return false;
}

struct labels pipeline_state_labels(struct pipeline_state *s, struct arena *a)
{
    const struct pipeline *p = s->p;
    struct label *out;
    struct labels ls;
    size_t n = 0;

    if (!p->range || s->labels.error.len || (p->is_without && p->n_groups == 0))
        return linelabels_all(&s->labels, a);
    if (p->is_without) {
        ls = linelabels_all(&s->labels, a);
        out = (struct label *)ls.ptr; /* made just now */
        for (size_t i = 0; i < ls.n; i++)
            if (!is_group(p, ls.ptr[i].name))
                out[n++] = ls.ptr[i];
        return (struct labels){out, n};
    }
    out = arena_array(a, struct label, p->n_groups);
    for (size_t i = 0; i < p->n_groups; i++) {
        struct slice value;

        if (linelabels_get(&s->labels, p->groups[i], &value) != LINELABELS_NOWHERE)
            out[n++] = (struct label){p->names[p->groups[i]], value};
    }
    return (struct labels){out, n};
}

struct pipeline_labels pipeline_state_categories(struct pipeline_state *s, struct arena *a)
{
    return (struct pipeline_labels){linelabels_of(&s->labels, a, LINELABELS_STREAM),
                                    linelabels_of(&s->labels, a, LINELABELS_METADATA),
                                    linelabels_of(&s->labels, a, LINELABELS_PARSED)};
}

bool pipeline_state_fails(const struct pipeline_state *s, struct slice *ret_error,
                          struct slice *ret_details)
{
    *ret_error = s->labels.error;
    *ret_details = s->labels.details;
    return s->labels.error.len && !s->is_wanted_error;
}
