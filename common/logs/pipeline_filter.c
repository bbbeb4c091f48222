/* Label filters: what a label's value must be. */
#include "common/base/gonum.h"
#include "common/base/gosize.h"
#include "common/base/promdur.h"
#include "common/lang/logql_re.h"
#include "common/logs/pipeline_internal.h"

#define MAX_TEXTS 64

/*
 * A regex that is no more than texts with .* around them is searched like a line filter: level=~"e.*"
 * also holds of "debug", though a label's regex is anchored otherwise. That is how Loki does it.
 */
static void simplify(struct arena *a, const struct matcher *m, struct pipeline_filter *out)
{
    struct logql_re_texts texts;
    bool has_inside = false;

    if ((m->op != MATCHER_RE && m->op != MATCHER_NRE) ||
        !logql_re_texts(a, m->value, MAX_TEXTS, &texts))
        return;
    for (size_t i = 0; i < texts.n; i++) {
        if (texts.ptr[i].len > TEXTFIND_MAX_BYTES)
            return;
        has_inside |= texts.has_star[i] && texts.ptr[i].len;
    }
    if (!has_inside)
        return;
    out->texts = arena_array(a, struct textfind, texts.n);
    out->is_inside = texts.has_star;
    for (; out->n_texts < texts.n; out->n_texts++)
        out->texts[out->n_texts] = texts.ignores_case ? textfind_of_nocase(texts.ptr[out->n_texts])
                                                      : textfind_of(texts.ptr[out->n_texts]);
}

static bool has_text(const struct pipeline_filter *f, struct slice value)
{
    for (size_t i = 0; i < f->n_texts; i++)
        if ((f->is_inside[i] || value.len == f->texts[i].text.len) &&
            textfind_in(&f->texts[i], value, 0) >= 0)
            return true;
    return false;
}

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
        simplify(p->arena, f->matcher, out);
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

/* A line with a value that cannot be compared is kept, and says so, unless it has an error already. */
static bool fail(struct pipeline_state *s, const char *details)
{
    if (!s->labels.error.len)
        pipeline_fail(s, "LabelFilterErr", details);
    return true;
}

static bool compare(struct pipeline_state *s, const struct pipeline_filter *f)
{
    struct slice text;
    double number;
    int64_t ns;
    uint64_t bytes;

    if (s->labels.error.len && f->kind == LOGQL_FILTER_IP)
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
        if (f->n_texts)
            return has_text(f, pipeline_value(s, f->name)) == (f->matcher->op == MATCHER_RE);
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
