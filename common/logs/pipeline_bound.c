/* What of a pipeline those can use who have fields of lines without the lines. */
#include <math.h>

#include "common/logs/linelabels.h"
#include "common/logs/pipeline.h"

/* Closed on both ends: of a bound that is not, the next number is the end. */
static bool range_of(enum promql_op op, double v, struct pipeline_bound *ret)
{
    if (isnan(v))
        return false;
    ret->min = -INFINITY;
    ret->max = INFINITY;
    switch (op) {
    case PROMQL_GT:
        ret->min = nextafter(v, INFINITY);
        return true;
    case PROMQL_GE:
        ret->min = v;
        return true;
    case PROMQL_LT:
        ret->max = nextafter(v, -INFINITY);
        return true;
    case PROMQL_LE:
        ret->max = v;
        return true;
    case PROMQL_EQ:
        ret->min = ret->max = v;
        return true;
    default:
        return false;
    }
}

/* A label that is another one when its name is taken, and those that are not of the line. */
static bool is_plain(struct slice name)
{
    return !slice_has_prefix(name, SLICE("__")) &&
           !slice_has_suffix(name, SLICE(LINELABELS_EXTRACTED));
}

/* The first of what must hold: what stands before another filter sees no error of that one. */
static bool bound_of(const struct logql_filter *f, struct pipeline_bound *ret)
{
    while (f->kind == LOGQL_FILTER_AND)
        f = f->lhs;
    ret->name = f->name;
    return f->kind == LOGQL_FILTER_NUMBER && is_plain(f->name) && range_of(f->op, f->v.number, ret);
}

static const struct logql_stage *next_but_lines(const struct logql_logs *logs, size_t *at)
{
    while (*at < logs->n_stages && logs->stages[*at].kind == LOGQL_STAGE_LINE)
        ++*at;
    return *at < logs->n_stages ? &logs->stages[(*at)++] : NULL;
}

bool pipeline_bound(const struct logql_logs *logs, struct pipeline_bound *ret)
{
    size_t at = 0;
    const struct logql_stage *parser = next_but_lines(logs, &at), *filter;

    if (!parser || parser->n_pairs || parser->is_strict ||
        (parser->kind != LOGQL_STAGE_JSON && parser->kind != LOGQL_STAGE_LOGFMT))
        return false;
    ret->parser = parser->kind;
    filter = next_but_lines(logs, &at);
    return filter && filter->kind == LOGQL_STAGE_FILTER && bound_of(filter->filter, ret);
}
