#include "common/base/gosize.h"
#include "common/base/gostr.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/lang/logql_internal.h"
#include "common/lang/logql_re.h"
#include "common/lang/promql.h"

static const char *const line_ops[] = {
#define X(sym, text) text,
    LOGQL_LINE_OPS(X)
#undef X
};
static const char *const stage_names[] = {
#define X(sym, name) name,
    LOGQL_STAGES(X)
#undef X
};
static const char *const unwrap_names[] = {
#define X(sym, name) name,
    LOGQL_UNWRAPS(X)
#undef X
};

const char *logql_line_op_text(enum logql_line_op op)
{
    return line_ops[op];
}

/* Names are words of the language here, never quoted. */
static void print_matcher(struct buf *out, const struct matcher *m)
{
    buf_slice_append(out, m->name);
    buf_str(out, matcher_op_text(m->op));
    gostr_quote(out, m->value);
}

void logql_print_selector(struct buf *out, struct matchers ms)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ms.n; i++) {
        if (i)
            buf_str(out, ", ");
        print_matcher(out, &ms.ptr[i]);
    }
    buf_byte(out, '}');
}

static void print_needle(struct buf *out, const struct logql_needle *n)
{
    if (n->is_ip)
        buf_str(out, "ip(");
    gostr_quote(out, n->text);
    if (n->is_ip)
        buf_byte(out, ')');
}

/* Alternatives of a negative filter are so many filters: none may be found. */
static void print_line_filter(struct buf *out, const struct logql_stage *s)
{
    const char *op = line_ops[s->line_op];
    bool is_negative = logql_line_op_is_negative(s->line_op);

    for (size_t i = 0; i < s->n_needles; i++) {
        if (i)
            buf_byte(out, ' ');
        buf_printf(out, "%s ", i == 0 || is_negative ? op : "or");
        print_needle(out, &s->needles[i]);
    }
}

/* A regex that is more than a search for a text stands between backquotes, if they can hold it. */
static void print_text_filter(struct buf *out, const struct matcher *m)
{
    bool is_regex = m->op == MATCHER_RE || m->op == MATCHER_NRE;

    if (!is_regex || slice_find_byte(m->value, '`', 0) >= 0 ||
        slice_find_byte(m->value, '\r', 0) >= 0 || logql_re_is_simple(m->value)) {
        print_matcher(out, m);
        return;
    }
    buf_slice_append(out, m->name);
    buf_str(out, matcher_op_text(m->op));
    buf_byte(out, '`');
    buf_slice_append(out, m->value);
    buf_byte(out, '`');
}

static void print_measure(struct buf *out, const struct logql_filter *f)
{
    struct buf size = {0};

    buf_slice_append(out, f->name);
    buf_str(out, promql_op_text(f->op));
    if (f->kind == LOGQL_FILTER_DURATION) {
        promdur_print_go(out, f->v.duration_ns);
    } else if (f->kind == LOGQL_FILTER_NUMBER) {
        num_format(out, f->v.number, 'f', -1);
    } else if (f->v.bytes >= 1000000000000000000) {
        /* Loki prints EB here, which neither it nor we read: the E would be an exponent's. */
        buf_printf(out, "%uPB", (unsigned)(f->v.bytes / 1000000000000000));
    } else {
        gosize_print(&size, f->v.bytes);
        for (size_t i = 0; i < size.len; i++)
            if (size.ptr[i] != ' ')
                buf_byte(out, size.ptr[i]);
        buf_done(&size);
    }
}

void logql_print_filter(struct buf *out, const struct logql_filter *f)
{
    switch (f->kind) {
    case LOGQL_FILTER_TEXT:
        print_text_filter(out, f->matcher);
        break;
    case LOGQL_FILTER_IP:
        buf_printf(out, "%.*s%sip(", SLICE_ARG(f->name), f->op == PROMQL_EQ ? "=" : "!=");
        gostr_quote(out, f->text);
        buf_byte(out, ')');
        break;
    case LOGQL_FILTER_AND:
    case LOGQL_FILTER_OR:
        buf_str(out, "( ");
        logql_print_filter(out, f->lhs);
        buf_str(out, f->kind == LOGQL_FILTER_AND ? " , " : " or ");
        logql_print_filter(out, f->rhs);
        buf_str(out, " )");
        break;
    default:
        print_measure(out, f);
    }
}

static void print_pair(struct buf *out, const struct logql_stage *s, const struct logql_pair *pair)
{
    if (pair->matcher) {
        print_matcher(out, pair->matcher);
        return;
    }
    buf_slice_append(out, pair->dst);
    if (s->kind == LOGQL_STAGE_DROP || s->kind == LOGQL_STAGE_KEEP)
        return;
    buf_byte(out, '=');
    if (pair->is_name)
        buf_slice_append(out, pair->src);
    else
        gostr_quote(out, pair->src);
}

void logql_print_stage(struct buf *out, const struct logql_stage *s)
{
    if (s->kind == LOGQL_STAGE_LINE) {
        print_line_filter(out, s);
        return;
    }
    buf_str(out, "| ");
    if (s->kind == LOGQL_STAGE_FILTER) {
        logql_print_filter(out, s->filter);
        return;
    }
    buf_str(out, stage_names[s->kind]);
    if (s->is_strict)
        buf_str(out, " --strict");
    if (s->keeps_empty)
        buf_str(out, " --keep-empty");
    if (s->text.ptr) {
        buf_byte(out, ' ');
        gostr_quote(out, s->text);
    }
    for (size_t i = 0; i < s->n_pairs; i++) {
        buf_byte(out, i ? ',' : ' ');
        print_pair(out, s, &s->pairs[i]);
    }
}

static void print_logs(struct buf *out, const struct logql_logs *logs)
{
    logql_print_selector(out, logs->matchers);
    for (size_t i = 0; i < logs->n_stages; i++) {
        buf_byte(out, ' ');
        logql_print_stage(out, &logs->stages[i]);
    }
}

static void print_names(struct buf *out, struct promql_names names)
{
    buf_byte(out, '(');
    for (size_t i = 0; i < names.n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_slice_append(out, names.ptr[i]);
    }
    buf_byte(out, ')');
}

void logql_print_grouping(struct buf *out, const struct logql_grouping *g)
{
    if (!g->is_given)
        return;
    buf_str(out, g->is_without ? " without " : " by ");
    print_names(out, g->labels);
}

void logql_print_unwrap(struct buf *out, const struct logql_range *r)
{
    const char *name = unwrap_names[r->unwrap];

    buf_str(out, "| unwrap ");
    buf_printf(out, *name ? "%s(%.*s)" : "%s%.*s", name, SLICE_ARG(r->unwrap_label));
    for (size_t i = 0; i < r->n_unwrap_filters; i++) {
        buf_str(out, " | ");
        logql_print_filter(out, r->unwrap_filters[i]);
    }
}

void logql_print_window(struct buf *out, const struct logql_range *r)
{
    buf_byte(out, '[');
    promdur_print(out, r->range_ns);
    buf_byte(out, ']');
    if (r->offset_ns) {
        buf_str(out, " offset ");
        promdur_print_go(out, r->offset_ns);
    }
}

static void print_range(struct buf *out, const struct logql_range *r)
{
    buf_printf(out, "%s(", logql_range_op_name(r->op));
    if (r->has_param) {
        num_format(out, r->param, 'f', -1);
        buf_byte(out, ',');
    }
    print_logs(out, &r->logs);
    if (r->unwrap != LOGQL_UNWRAP_NONE) {
        buf_byte(out, ' ');
        logql_print_unwrap(out, r);
    }
    logql_print_window(out, r);
    buf_byte(out, ')');
    logql_print_grouping(out, &r->grouping);
}

static void print_vector(struct buf *out, const struct logql_vector *v)
{
    buf_str(out, logql_vector_op_name(v->op));
    logql_print_grouping(out, &v->grouping);
    buf_byte(out, '(');
    if (v->has_count)
        buf_printf(out, "%u,", (unsigned)v->count);
    logql_print(out, v->expr);
    buf_byte(out, ')');
}

void logql_print_matching(struct buf *out, const struct promql_matching *m)
{
    if (!m->is_on && m->labels.n == 0)
        return;
    buf_str(out, m->is_on ? " on " : " ignoring ");
    print_names(out, m->labels);
    buf_byte(out, ' ');
    if (m->has_group)
        buf_str(out, m->card == PROMQL_MANY_TO_ONE ? "group_left" : "group_right");
    if (m->include.n) {
        buf_byte(out, ' ');
        print_names(out, m->include);
    }
}

static void print_binary(struct buf *out, const struct logql_binary *b)
{
    buf_byte(out, '(');
    logql_print(out, b->lhs);
    buf_printf(out, " %s", promql_op_text(b->op));
    if (b->is_bool)
        buf_str(out, " bool");
    logql_print_matching(out, &b->matching);
    buf_byte(out, ' ');
    logql_print(out, b->rhs);
    buf_byte(out, ')');
}

void logql_print_replacement(struct buf *out, const struct logql_label_replace *l)
{
    const struct slice *const args[] = {&l->dst, &l->replacement, &l->src, &l->regex};

    for (size_t i = 0; i < ORR_COUNT(args); i++) {
        buf_byte(out, ',');
        gostr_quote(out, *args[i]);
    }
}

static void print_variants(struct buf *out, const struct logql_variants *v)
{
    buf_str(out, "variants(");
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            buf_str(out, ", ");
        logql_print(out, v->exprs[i]);
    }
    buf_str(out, ") of (");
    print_logs(out, &v->common);
    logql_print_window(out, &(struct logql_range){.range_ns = v->range_ns});
    buf_byte(out, ')');
}

void logql_print(struct buf *out, const struct logql_expr *e)
{
    switch (e->kind) {
    case LOGQL_LOGS:
        print_logs(out, &e->u.logs);
        break;
    case LOGQL_RANGE:
        print_range(out, &e->u.range);
        break;
    case LOGQL_VECTOR:
        print_vector(out, &e->u.vector);
        break;
    case LOGQL_BINARY:
        print_binary(out, &e->u.binary);
        break;
    case LOGQL_LABEL_REPLACE:
        buf_str(out, "label_replace(");
        logql_print(out, e->u.label_replace.expr);
        logql_print_replacement(out, &e->u.label_replace);
        buf_byte(out, ')');
        break;
    case LOGQL_NUMBER:
        num_format_v(out, e->u.number);
        break;
    case LOGQL_CONSTANT:
        buf_printf(out, "vector(%f)", e->u.number);
        break;
    case LOGQL_VARIANTS:
        print_variants(out, &e->u.variants);
        break;
    }
}
