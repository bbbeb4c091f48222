/* Label filters: what a label's value must be. */
#include "common/base/gonum.h"
#include "common/base/gosize.h"
#include "common/base/promdur.h"
#include "common/logs/pipeline_internal.h"

struct err *pipeline_filter_make(struct pipeline *p, const struct logql_filter *f,
                                 struct pipeline_filter **ret)
{
    struct pipeline_filter *out = arena_new_of(p->arena, struct pipeline_filter);
    struct err *e = NULL;

    *ret = out;
    out->kind = f->kind;
    out->op = f->op;
    switch (f->kind) {
    case LOGQL_FILTER_AND:
    case LOGQL_FILTER_OR:
        e = pipeline_filter_make(p, f->lhs, &out->lhs);
        return e ? e : pipeline_filter_make(p, f->rhs, &out->rhs);
    case LOGQL_FILTER_TEXT:
        out->matcher = f->matcher;
        break;
    case LOGQL_FILTER_NUMBER:
        out->number = f->v.number;
        break;
    case LOGQL_FILTER_DURATION:
        out->duration_ns = f->v.duration_ns;
        break;
    case LOGQL_FILTER_BYTES:
        out->bytes = f->v.bytes;
        break;
    case LOGQL_FILTER_IP:
        e = iprange_parse(f->text, &out->ip);
        break;
    }
    out->name = pipeline_name(p, f->name);
    return e;
}

struct slice pipeline_value(const struct pipeline_state *s, struct pipeline_name name)
{
    struct slice value;

    switch (name.special) {
    case PIPELINE_ERROR:
        return s->labels.error;
    case PIPELINE_DETAILS:
        return s->labels.details;
    case PIPELINE_LABEL:
        break;
    }
    (void)linelabels_get(&s->labels, name.id, &value);
    return value;
}

/* Up to 15 digits are exact as they are; the rest is strconv's. */
bool pipeline_number(struct slice text, double *ret)
{
    uint64_t v = 0;

    if (text.len == 0 || text.len > 15)
        return gonum_float(text, ret);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return gonum_float(text, ret);
        v = v * 10 + (text.ptr[i] - '0');
    }
    *ret = (double)v;
    return true;
}

bool pipeline_duration(struct slice text, int64_t *ret_ns)
{
    struct err *e = promdur_parse_go(text, ret_ns);

    err_free(e);
    return !e;
}

#define COMPARE(op, l, r)                                                                          \
    ((op) == PROMQL_EQ   ? (l) == (r)                                                              \
     : (op) == PROMQL_NE ? (l) != (r)                                                              \
     : (op) == PROMQL_GT ? (l) > (r)                                                               \
     : (op) == PROMQL_LT ? (l) < (r)                                                               \
     : (op) == PROMQL_GE ? (l) >= (r)                                                              \
                         : (l) <= (r))

/* A line with a value that cannot be compared is kept, and says so. */
static bool fail(struct pipeline_state *s, const char *details)
{
    pipeline_fail(s, "LabelFilterErr", details);
    return true;
}

static bool compare(struct pipeline_state *s, const struct pipeline_filter *f)
{
    struct slice text;
    double number;
    int64_t ns;
    uint64_t bytes;

    if (s->labels.error.len)
        return true;
    if (f->name.special != PIPELINE_LABEL ||
        linelabels_get(&s->labels, f->name.id, &text) == LINELABELS_NOWHERE)
        return false;
    switch (f->kind) {
    case LOGQL_FILTER_NUMBER:
        if (!pipeline_number(text, &number))
            return fail(s, "the label's value is no number");
        return COMPARE(f->op, number, f->number);
    case LOGQL_FILTER_DURATION:
        if (!pipeline_duration(text, &ns))
            return fail(s, "the label's value is no duration");
        return COMPARE(f->op, ns, f->duration_ns);
    case LOGQL_FILTER_BYTES:
        if (!gosize_parse(text, &bytes))
            return fail(s, "the label's value is no size in bytes");
        return COMPARE(f->op, bytes, f->bytes);
    default:
        return iprange_in_line(&f->ip, text) == (f->op == PROMQL_EQ);
    }
}

bool pipeline_filter_keeps(struct pipeline_state *s, const struct pipeline_filter *f)
{
    bool l, r;

    switch (f->kind) {
    case LOGQL_FILTER_TEXT:
        return matcher_matches(f->matcher, pipeline_value(s, f->name));
    case LOGQL_FILTER_AND:
        /* Both are looked at: the second may leave an error, which numeric filters let through. */
        l = pipeline_filter_keeps(s, f->lhs);
        r = pipeline_filter_keeps(s, f->rhs);
        return l && r;
    case LOGQL_FILTER_OR:
        return pipeline_filter_keeps(s, f->lhs) || pipeline_filter_keeps(s, f->rhs);
    default:
        return compare(s, f);
    }
}
