#include "common/model/textformat.h"

#include <math.h>

#include "common/base/gonum.h"
#include "common/base/num.h"
#include "common/model/textformat_internal.h"

void textformat_init(struct textformat *t, struct arena *a, enum textformat_kind kind,
                     struct slice text)
{
    *t = (struct textformat){.arena = a,
                             .input = text,
                             .kind = kind,
                             .end = text.len + (kind == TEXTFORMAT_PROMETHEUS),
                             .state = TEXTFORMAT_S_INIT};
}

static bool fail(struct textformat *t, const char *what)
{
    t->error = what;
    return false;
}

struct err *textformat_err(const struct textformat *t)
{
    struct slice got = slice_sub(textformat_token_text(t), 0, 64);
    size_t line = 1;

    for (size_t i = 0; i < t->token && i < t->input.len; i++)
        line += t->input.ptr[i] == '\n';
    if (!slice_is_utf8(got))
        got = SLICE("bytes that are not UTF-8");
    return err_new(ERR_INVALID, "line %zu: %s, at \"%.*s\"", line, t->error, SLICE_ARG(got));
}

/* ---- values ---- */

void textformat_float(struct buf *out, double v)
{
    size_t from = out->len;
    struct slice text;

    if (isnan(v) || isinf(v)) {
        buf_str(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    num_format(out, v, 'g', -1);
    text = slice_from(buf_slice(out), from);
    if (slice_find_byte(text, '.', 0) < 0 && slice_find_byte(text, 'e', 0) < 0)
        buf_str(out, ".0");
}

/* What Go read before it knew hexadecimal floats and underscores. */
static bool parse_float(struct slice s, double *ret)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == 'p' || s.ptr[i] == 'P' || s.ptr[i] == '_')
            return false;
    if (!gonum_float(s, ret))
        return false;
    if (isnan(*ret))
        *ret = sample_from_bits(SAMPLE_NAN_BITS);
    return true;
}

/* Seconds to milliseconds; what does not fit is what Go makes of it on amd64. */
static int64_t to_ms(double seconds)
{
    double ms = seconds * 1000;

    return ms >= -9223372036854775808.0 && ms < 9223372036854775808.0 ? (int64_t)ms : INT64_MIN;
}

/* \\ and \n; in label values and all of OpenMetrics \" too. */
static struct slice unescape(struct arena *a, struct slice s, bool with_quote)
{
    uint8_t *out;
    size_t n = 0;

    if (slice_find_byte(s, '\\', 0) < 0)
        return s;
    out = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i], d = i + 1 < s.len ? s.ptr[i + 1] : 0;

        if (c == '\\' && (d == '\\' || d == 'n' || (d == '"' && with_quote))) {
            c = d == 'n' ? '\n' : d;
            i++;
        }
        out[n++] = c;
    }
    return slice_of(out, n);
}

static struct slice inner(struct slice quoted)
{
    return slice_of(quoted.ptr + 1, quoted.len - 2);
}

/* le="1" of a histogram is le="1.0". */
static struct slice normal_value(struct textformat *t, struct slice name, struct slice value)
{
    struct buf b = {0};
    double v;

    if (!(t->type == METRIC_SUMMARY && slice_eq_cstr(name, "quantile")) &&
        !(t->type == METRIC_HISTOGRAM && slice_eq_cstr(name, "le")))
        return value;
    if (!gonum_float(value, &v))
        return value;
    textformat_float(&b, v);
    if (!slice_eq(buf_slice(&b), value))
        value = arena_dup(t->arena, buf_slice(&b));
    buf_done(&b);
    return value;
}

/* ---- labels ---- */

static bool add_label(struct textformat *t, struct textformat_labels *ls, struct slice name,
                      struct slice value)
{
    if (ls->n == TEXTFORMAT_MAX_LABELS)
        return fail(t, "a series with too many labels");
    if (ls->n == ls->cap) {
        size_t cap = ls->cap ? 2 * ls->cap : 32;

        ls->ptr = arena_grow(t->arena, ls->ptr, ls->cap * sizeof(*ls->ptr), cap * sizeof(*ls->ptr));
        ls->cap = cap;
    }
    ls->ptr[ls->n++] = (struct label){name, value};
    return true;
}

/* A quoted string alone within the braces is the metric's name. */
static bool set_name(struct textformat *t, struct slice quoted)
{
    if (t->has_name)
        return fail(t, "the metric name is already set");
    t->has_name = true;
    t->name = unescape(t->arena, inner(quoted), true);
    return true;
}

/* Behind a label's name: ="value". */
static bool label_value(struct textformat *t, struct textformat_labels *ls, bool is_exemplar,
                        struct slice label)
{
    struct slice value;

    if (textformat_lex(t) != TEXTFORMAT_T_LVALUE)
        return fail(t, "expected a label value");
    value = textformat_token_text(t);
    if (!slice_is_utf8(value))
        return fail(t, "a label value that is not UTF-8");
    value = inner(value);
    if (label.ptr[0] == '"')
        label = inner(label);
    if (!is_exemplar) {
        label = unescape(t->arena, label, true);
        value = normal_value(t, label, unescape(t->arena, value, true));
    }
    return add_label(t, ls, label, value);
}

static bool label_list(struct textformat *t, struct textformat_labels *ls, bool is_exemplar)
{
    enum textformat_token token = textformat_lex(t);

    while (token != TEXTFORMAT_T_CLOSE) {
        struct slice label = textformat_token_text(t);
        bool is_quoted = token == TEXTFORMAT_T_QSTRING;

        if (token != TEXTFORMAT_T_LNAME && !is_quoted)
            return fail(t, "expected a label name");
        token = textformat_lex(t);
        if (is_quoted && (token == TEXTFORMAT_T_COMMA || token == TEXTFORMAT_T_CLOSE)) {
            if (is_exemplar)
                return fail(t, "expected a label name");
            if (!set_name(t, label))
                return false;
        } else {
            if (token != TEXTFORMAT_T_EQUAL)
                return fail(t, "expected =");
            if (!label_value(t, ls, is_exemplar, label))
                return false;
            token = textformat_lex(t);
        }
        if (token == TEXTFORMAT_T_COMMA)
            token = textformat_lex(t);
        else if (token != TEXTFORMAT_T_CLOSE && t->kind == TEXTFORMAT_OPENMETRICS)
            return fail(t, "expected a comma or closing brace");
    }
    return true;
}

/* ---- a series ---- */

static bool value_of(struct textformat *t, enum textformat_token token, double *ret)
{
    struct slice s = textformat_token_text(t);

    if (token != TEXTFORMAT_T_VALUE)
        return fail(t, "expected a value");
    if (t->kind == TEXTFORMAT_OPENMETRICS)
        s = slice_from(s, 1);
    return parse_float(s, ret) || fail(t, "a value that is no number");
}

static bool om_time(struct textformat *t, int64_t *ret)
{
    double seconds;

    if (!parse_float(slice_from(textformat_token_text(t), 1), &seconds))
        return fail(t, "a timestamp that is no number");
    if (isnan(seconds) || isinf(seconds))
        return fail(t, "a timestamp that is no time");
    *ret = to_ms(seconds);
    return true;
}

static bool exemplar(struct textformat *t)
{
    enum textformat_token token;

    if (!label_list(t, &t->exemplar_own, true) ||
        !value_of(t, textformat_lex(t), &t->exemplar_value))
        return false;
    t->has_exemplar = true;
    t->exemplar_labels = (struct labels){t->exemplar_own.ptr, t->exemplar_own.n};
    token = textformat_lex(t);
    if (token == TEXTFORMAT_T_TIMESTAMP) {
        if (!om_time(t, &t->exemplar_t_ms))
            return false;
        t->has_exemplar_time = true;
        token = textformat_lex(t);
    }
    return token == TEXTFORMAT_T_LINEBREAK ||
           fail(t, token == TEXTFORMAT_T_EOF ? "data does not end with # EOF"
                                             : "expected the end of the line after the exemplar");
}

static bool om_suffix(struct textformat *t)
{
    switch (textformat_lex(t)) {
    case TEXTFORMAT_T_EOF:
        return fail(t, "data does not end with # EOF");
    case TEXTFORMAT_T_COMMENT:
        return exemplar(t);
    case TEXTFORMAT_T_TIMESTAMP:
        if (!om_time(t, &t->t_ms))
            return false;
        t->has_time = true;
        switch (textformat_lex(t)) {
        case TEXTFORMAT_T_LINEBREAK:
            return true;
        case TEXTFORMAT_T_COMMENT:
            return exemplar(t);
        default:
            return fail(t, "expected the end of the line after the timestamp");
        }
    default:
        return true; /* a newline; or what the next entry will stumble over, as in Prometheus */
    }
}

static bool prom_suffix(struct textformat *t)
{
    switch (textformat_lex(t)) {
    case TEXTFORMAT_T_LINEBREAK:
        return true;
    case TEXTFORMAT_T_TIMESTAMP:
        if (!slice_to_i64(textformat_token_text(t), &t->t_ms))
            return fail(t, "a timestamp out of range");
        t->has_time = true;
        return textformat_lex(t) == TEXTFORMAT_T_LINEBREAK ||
               fail(t, "expected the end of the line after the timestamp");
    default:
        return fail(t, "expected a timestamp or the end of the line");
    }
}

/* token: the first of the line. */
static bool series(struct textformat *t, enum textformat_token token)
{
    if (token == TEXTFORMAT_T_NAME) {
        t->has_name = true;
        t->name = slice_sub(t->input, t->line_start, t->pos - t->line_start);
        token = textformat_lex(t);
    }
    /* Room for the name, which may come within the braces. */
    if (!add_label(t, &t->own, SLICE(LABEL_NAME), SLICE_EMPTY))
        return false;
    if (token == TEXTFORMAT_T_OPEN) {
        if (!label_list(t, &t->own, false))
            return false;
        token = textformat_lex(t);
    }
    if (!t->has_name)
        return fail(t, "a series without a metric name");
    t->own.ptr[0].value = t->name;
    t->labels = (struct labels){t->own.ptr, t->own.n};
    return value_of(t, token, &t->value) &&
           (t->kind == TEXTFORMAT_OPENMETRICS ? om_suffix(t) : prom_suffix(t));
}

/* ---- metadata ---- */

static bool type_of(struct textformat *t, struct slice text)
{
    static const struct {
        const char *name;
        enum sample_metric_type type;
    } types[] = {
#define X(sym, text) {text, sym},
        SAMPLE_METRIC_TYPES(X)
#undef X
            {"untyped", METRIC_UNKNOWN}};
    bool is_om = t->kind == TEXTFORMAT_OPENMETRICS;

    for (size_t i = 0; i < ORR_COUNT(types); i++) {
        enum sample_metric_type type = types[i].type;
        bool is_untyped = i == ORR_COUNT(types) - 1;
        bool is_old = is_untyped || type == METRIC_COUNTER_TYPE || type == METRIC_GAUGE_TYPE ||
                      type == METRIC_HISTOGRAM || type == METRIC_SUMMARY;

        if (slice_eq_cstr(text, types[i].name) && (is_om ? !is_untyped : is_old)) {
            t->type = type;
            return true;
        }
    }
    return fail(t, "an unknown metric type");
}

static bool unit_of(struct textformat *t)
{
    if (t->text.len == 0)
        return true;
    return (slice_has_suffix(t->family, t->text) && t->family.len > t->text.len &&
            t->family.ptr[t->family.len - t->text.len - 1] == '_') ||
           fail(t, "a unit that is not a suffix of its metric's name");
}

static bool metadata(struct textformat *t, enum textformat_token token)
{
    bool is_om = t->kind == TEXTFORMAT_OPENMETRICS;
    struct slice text;

    if (textformat_lex(t) != TEXTFORMAT_T_NAME)
        return fail(t, "expected a metric name");
    t->family = textformat_token_text(t);
    if (t->family.ptr[0] == '"')
        t->family = inner(t->family);
    if (textformat_lex(t) != TEXTFORMAT_T_TEXT)
        return fail(t, "expected a text");
    text = slice_from(textformat_token_text(t), 1);
    if (is_om)
        text.len--; /* the newline */
    t->text = text;
    if (token == TEXTFORMAT_T_HELP) {
        if (!slice_is_utf8(text))
            return fail(t, "a help text that is not UTF-8");
        t->text = unescape(t->arena, text, is_om);
    } else if (!(token == TEXTFORMAT_T_TYPE ? type_of(t, text) : unit_of(t))) {
        return false;
    }
    return is_om || textformat_lex(t) == TEXTFORMAT_T_LINEBREAK ||
           fail(t, "expected the end of the line after the metadata");
}

/* ---- entries ---- */

static enum textformat_entry bad(struct textformat *t, const char *what)
{
    if (what)
        t->error = what;
    return TEXTFORMAT_BAD;
}

static enum textformat_entry end_word(struct textformat *t)
{
    if (textformat_lex(t) != TEXTFORMAT_T_EOF)
        return bad(t, "data after # EOF");
    return TEXTFORMAT_END;
}

static enum textformat_entry comment(struct textformat *t)
{
    t->text = textformat_token_text(t);
    if (textformat_lex(t) != TEXTFORMAT_T_LINEBREAK)
        return bad(t, "expected the end of the line after the comment");
    return TEXTFORMAT_COMMENT;
}

static enum textformat_entry entry(struct textformat *t, enum textformat_token token)
{
    switch (token) {
    case TEXTFORMAT_T_EOF:
        return t->kind == TEXTFORMAT_PROMETHEUS ? TEXTFORMAT_END
                                                : bad(t, "data does not end with # EOF");
    case TEXTFORMAT_T_EOF_WORD:
        return end_word(t);
    case TEXTFORMAT_T_COMMENT:
        return comment(t);
    case TEXTFORMAT_T_HELP:
        return metadata(t, token) ? TEXTFORMAT_HELP : TEXTFORMAT_BAD;
    case TEXTFORMAT_T_TYPE:
        return metadata(t, token) ? TEXTFORMAT_TYPE : TEXTFORMAT_BAD;
    case TEXTFORMAT_T_UNIT:
        return metadata(t, token) ? TEXTFORMAT_UNIT : TEXTFORMAT_BAD;
    case TEXTFORMAT_T_NAME:
    case TEXTFORMAT_T_OPEN:
        return series(t, token) ? TEXTFORMAT_SERIES : TEXTFORMAT_BAD;
    default:
        return bad(t, "expected the start of an entry");
    }
}

enum textformat_entry textformat_next(struct textformat *t)
{
    enum textformat_entry e;
    enum textformat_token token;

    if (t->error)
        return TEXTFORMAT_BAD;
    t->has_time = t->has_exemplar = t->has_exemplar_time = t->has_name = false;
    t->own.n = t->exemplar_own.n = 0;
    do {
        t->line_start = t->pos;
        token = textformat_lex(t);
    } while (token == TEXTFORMAT_T_LINEBREAK && t->kind == TEXTFORMAT_PROMETHEUS);
    e = entry(t, token);
    if (e == TEXTFORMAT_END)
        t->pos = t->end, t->state = TEXTFORMAT_S_INIT;
    return e;
}
