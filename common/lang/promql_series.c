#include "common/lang/promql_series.h"

#include <math.h>

#include "common/base/promdur.h"
#include "common/base/vec.h"
#include "common/lang/promql_internal.h"

struct series {
    struct arena *arena;
    struct promql_lex lex; /* only src, pos and err are used from here on */
    struct promql_value *values;
    size_t n, cap;
    bool is_starts;
    struct err *err;
};

static bool fail(struct series *s, const char *what)
{
    if (!s->err)
        s->err = promql_lex_error(s->lex.src, s->lex.pos, ERR_INVALID, "%s", what);
    return false;
}

static int peek(const struct series *s, size_t ahead)
{
    return s->lex.pos + ahead < s->lex.src.len ? s->lex.src.ptr[s->lex.pos + ahead] : -1;
}

static bool take(struct series *s, char c)
{
    if (peek(s, 0) != c)
        return false;
    s->lex.pos++;
    return true;
}

static bool take_pair(struct series *s, const char *pair)
{
    if (peek(s, 0) != pair[0] || peek(s, 1) != pair[1])
        return false;
    s->lex.pos += 2;
    return true;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool take_spaces(struct series *s)
{
    size_t before = s->lex.pos;

    while (is_space(peek(s, 0)))
        s->lex.pos++;
    return s->lex.pos > before;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct slice take_word(struct series *s)
{
    size_t start = s->lex.pos;

    while (is_letter(peek(s, 0)))
        s->lex.pos++;
    return slice_sub(s->lex.src, start, s->lex.pos - start);
}

/* Decimal digits with at most one point and exponent; x may follow, as in 0x10 = ten zeros. */
static bool take_number(struct series *s, double *ret)
{
    size_t start = s->lex.pos;
    struct slice text;

    while (is_digit(peek(s, 0)) || peek(s, 0) == '.' || peek(s, 0) == '_' ||
           ((peek(s, 0) | 0x20) == 'e' && s->lex.pos > start)) {
        bool is_exponent = (peek(s, 0) | 0x20) == 'e';

        s->lex.pos++;
        if (is_exponent && (peek(s, 0) == '+' || peek(s, 0) == '-'))
            s->lex.pos++;
    }
    text = slice_sub(s->lex.src, start, s->lex.pos - start);
    if ((is_letter(peek(s, 0)) && peek(s, 0) != 'x') || !gonum_number(text, ret)) {
        s->lex.pos = start;
        return fail(s, "bad number syntax");
    }
    return true;
}

static bool take_uint(struct series *s, uint64_t *ret)
{
    size_t start = s->lex.pos;
    double ignored;

    if (!take_number(s, &ignored))
        return false;
    if (!slice_to_u64(slice_sub(s->lex.src, start, s->lex.pos - start), ret))
        return fail(s, "invalid repetition in series values");
    return true;
}

static bool push(struct series *s, struct promql_value v)
{
    if (s->n == PROMQL_SERIES_MAX_VALUES) {
        s->err = promql_lex_error(s->lex.src, s->lex.pos, ERR_LIMIT,
                                  "the series has more than %d values", PROMQL_SERIES_MAX_VALUES);
        return false;
    }
    if (s->n == s->cap) {
        size_t more = s->cap ? s->cap * 2 : 16;

        s->values =
            arena_grow(s->arena, s->values, s->cap * sizeof(*s->values), more * sizeof(*s->values));
        s->cap = more;
    }
    s->values[s->n++] = v;
    return true;
}

static bool push_times(struct series *s, struct promql_value v, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++)
        if (!push(s, v))
            return false;
    return true;
}

/* An unsigned number, or in start timestamps a duration, in milliseconds. */
static bool take_magnitude(struct series *s, double *ret)
{
    size_t start = s->lex.pos, n = 0;
    struct err *e;
    int64_t ns;

    if (!s->is_starts) {
        /* Inf and NaN are words. */
        struct slice word;

        if (!is_letter(peek(s, 0)))
            return take_number(s, ret);
        word = take_word(s);
        if (slice_eq_nocase(word, SLICE("inf")))
            *ret = INFINITY;
        else if (slice_eq_nocase(word, SLICE("nan")))
            *ret = sample_from_bits(SAMPLE_NAN_BITS);
        else
            return fail(s, "unexpected word in series values, expected number or \"stale\"");
        return true;
    }
    /* The x of a repetition ends it. */
    while (is_digit(peek(s, n)) || (is_letter(peek(s, n)) && peek(s, n) != 'x'))
        n++;
    if ((e = promdur_parse(slice_sub(s->lex.src, start, n), &ns))) {
        (void)fail(s, err_msg(e));
        err_free(e);
        return false;
    }
    s->lex.pos += n;
    *ret = (double)(ns / 1000000);
    return true;
}

/* 1, -1, 1x3, 1+2x3, stale */
static bool take_value(struct series *s)
{
    struct promql_value v = {0};
    bool is_minus = take(s, '-'), is_signed = is_minus || take(s, '+');
    double step = 0;
    uint64_t times;

    if (!is_signed && !s->is_starts && is_letter(peek(s, 0))) {
        size_t start = s->lex.pos;

        if (slice_eq_cstr(take_word(s), "stale")) {
            v.v = sample_from_bits(SAMPLE_STALE_BITS);
            goto repeat;
        }
        s->lex.pos = start;
    }
    if (!take_magnitude(s, &v.v))
        return false;
    if (is_minus)
        v.v = -v.v;
repeat:
    if (peek(s, 0) == '+' || peek(s, 0) == '-') {
        is_minus = take(s, '-') || !take(s, '+');
        if (!take_magnitude(s, &step))
            return false;
        if (peek(s, 0) != 'x')
            return fail(s, "unexpected character in series values, expected \"x\"");
        step = is_minus ? -step : step;
    }
    if (!take(s, 'x'))
        return push(s, v);
    if (!take_uint(s, &times))
        return false;
    /* The first is the value itself, then come so many more. */
    for (uint64_t i = 0; i <= times; i++, v.v += step) {
        if (!push(s, v))
            return false;
        if (step == 0 && i == 0)
            return push_times(s, v, times);
    }
    return true;
}

static bool take_int(struct series *s, int32_t *ret)
{
    bool is_minus = take(s, '-');
    uint64_t v;

    if (!take_uint(s, &v))
        return false;
    if (v > INT32_MAX)
        return fail(s, "number out of range in histogram");
    *ret = is_minus ? -(int32_t)v : (int32_t)v;
    return true;
}

static bool take_signed(struct series *s, double *ret)
{
    bool is_minus = take(s, '-');

    if (!is_letter(peek(s, 0)) && !is_digit(peek(s, 0)))
        return fail(s, "histogram description incomplete, expected a number");
    if (!take_magnitude(s, ret))
        return false;
    *ret = is_minus ? -*ret : *ret;
    return true;
}

/* [1 2 3] */
static bool take_list(struct series *s, const double **ret, size_t *ret_n)
{
    double *list = NULL;
    size_t n = 0, cap = 0;

    if (!take(s, '['))
        return fail(s, "unexpected character in histogram description, expected \"[\"");
    do {
        if (n && peek(s, 0) == ']')
            break; /* there was a space before it */
        if (n == cap) {
            size_t more = cap ? cap * 2 : 8;

            list = arena_grow(s->arena, list, cap * sizeof(*list), more * sizeof(*list));
            cap = more;
        }
        if (!take_signed(s, &list[n++]))
            return false;
    } while (take_spaces(s));
    if (!take(s, ']'))
        return fail(s, "invalid character in buckets description");
    *ret = list;
    *ret_n = n;
    return true;
}

static bool take_hint(struct series *s, enum histogram_hint *ret)
{
    static const char *const names[] = {"unknown", "reset", "not_reset", "gauge"};
    struct slice word = take_word(s);

    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        if (slice_eq_nocase(word, slice_cstr(names[i]))) {
            *ret = (enum histogram_hint)i;
            return true;
        }
    }
    return fail(s, "bad histogram descriptor found");
}

enum desc {
    DESC_SCHEMA,
    DESC_SUM,
    DESC_COUNT,
    DESC_Z_BUCKET,
    DESC_Z_BUCKET_W,
    DESC_CUSTOM_VALUES,
    DESC_BUCKETS,
    DESC_OFFSET,
    DESC_N_BUCKETS,
    DESC_N_OFFSET,
    DESC_HINT,
};

/* One key:value; seen has a bit for each key so far. */
static bool take_desc(struct series *s, struct histogram *h, int32_t offset[2], unsigned *seen)
{
    static const char *const names[] = {
        "schema",  "sum",    "count",     "z_bucket", "z_bucket_w",        "custom_values",
        "buckets", "offset", "n_buckets", "n_offset", "counter_reset_hint"};
    struct slice word = take_word(s);
    unsigned d = 0;

    while (d < ORR_COUNT(names) && !slice_eq_nocase(word, slice_cstr(names[d])))
        d++;
    if (d == ORR_COUNT(names))
        return fail(s, "bad histogram descriptor found");
    if (!take(s, ':'))
        return fail(s, "missing `:` for histogram descriptor");
    if (*seen & 1u << d)
        return fail(s, "duplicate key in histogram");
    *seen |= 1u << d;
    switch ((enum desc)d) {
    case DESC_SCHEMA:
        return take_int(s, &h->schema);
    case DESC_SUM:
        return take_signed(s, &h->sum);
    case DESC_COUNT:
        return take_signed(s, &h->count);
    case DESC_Z_BUCKET:
        return take_signed(s, &h->zero_count);
    case DESC_Z_BUCKET_W:
        if (peek(s, 0) == '-')
            return fail(s, "unexpected \"-\" in histogram description, expected number");
        return take_signed(s, &h->zero_threshold);
    case DESC_CUSTOM_VALUES:
        return take_list(s, &h->custom_bounds, &h->n_custom_bounds);
    case DESC_BUCKETS:
        return take_list(s, &h->pos_buckets, &h->n_pos_buckets);
    case DESC_OFFSET:
        return take_int(s, &offset[0]);
    case DESC_N_BUCKETS:
        return take_list(s, &h->neg_buckets, &h->n_neg_buckets);
    case DESC_N_OFFSET:
        return take_int(s, &offset[1]);
    case DESC_HINT:
        return take_hint(s, &h->hint);
    }
    return false;
}

static const struct histogram_span *one_span(struct series *s, int32_t offset, size_t n,
                                             size_t *ret_n)
{
    struct histogram_span *span;

    *ret_n = n > 0;
    if (n == 0)
        return NULL;
    span = arena_new_of(s->arena, struct histogram_span);
    *span = (struct histogram_span){offset, (uint32_t)n};
    return span;
}

/* {{…}} with the opening braces taken. */
static bool take_histogram(struct series *s, struct histogram **ret, bool *ret_has_hint)
{
    struct histogram *h = arena_new_of(s->arena, struct histogram);
    int32_t offset[2] = {0};
    unsigned seen = 0;

    if (take_spaces(s)) {
        if (!take_pair(s, "}}"))
            return fail(s, "unexpected character in histogram description, expected \"}}\"");
    } else {
        while (!take_pair(s, "}}")) {
            if (!take_desc(s, h, offset, &seen))
                return false;
            if (!take_spaces(s) && peek(s, 0) != '}')
                return fail(s, "histogram description incomplete");
        }
    }
    h->pos_spans = one_span(s, offset[0], h->n_pos_buckets, &h->n_pos_spans);
    h->neg_spans = one_span(s, offset[1], h->n_neg_buckets, &h->n_neg_spans);
    *ret = h;
    *ret_has_hint = seen & 1u << DESC_HINT;
    return true;
}

static bool push_sums(struct series *s, const struct histogram *h, const struct histogram *step,
                      int sign, bool has_hint)
{
    struct promql_value v = {.h = h, .has_hint = has_hint};
    uint64_t times;

    if (!take(s, 'x'))
        return fail(s, "unexpected character in series values, expected \"x\"");
    if (!take_uint(s, &times) || !push(s, v))
        return false;
    for (uint64_t i = 0; i < times; i++) {
        struct histogram *sum = arena_new_of(s->arena, struct histogram);

        if (v.h->schema > step->schema)
            return fail(s, "error combining histograms: cannot merge from a lower schema");
        if ((s->err = promql_histogram_add(s->arena, v.h, step, sign, sum)))
            return false;
        v.h = sum;
        if (!push(s, v) || arena_over(s->arena))
            return false;
    }
    return true;
}

/* {{…}}, {{…}}x3, {{…}}+{{…}}x3 */
static bool take_histograms(struct series *s)
{
    struct histogram *h, *step;
    struct promql_value v = {0};
    uint64_t times = 0;
    int sign;

    if (!take_histogram(s, &h, &v.has_hint))
        return false;
    v.h = h;
    if (peek(s, 0) == '+' || peek(s, 0) == '-') {
        sign = take(s, '-') || !take(s, '+') ? -1 : 1;
        if (!take_pair(s, "{{"))
            return fail(s, "unexpected character in series values, expected \"{{\"");
        return take_histogram(s, &step, &v.has_hint) && push_sums(s, h, step, sign, v.has_hint);
    }
    if (take(s, 'x') && !take_uint(s, &times))
        return false;
    return push(s, v) && push_times(s, v, times);
}

static bool take_item(struct series *s)
{
    struct promql_value omitted = {.is_omitted = true};
    uint64_t times = 1;

    if (!s->is_starts && take_pair(s, "{{"))
        return take_histograms(s);
    if (!take(s, '_'))
        return take_value(s);
    if (take(s, 'x') && !take_uint(s, &times))
        return false;
    return push_times(s, omitted, times);
}

static struct err *parse(struct arena *a, struct slice text, bool is_starts,
                         struct promql_series *ret)
{
    struct promql_parser p = {.arena = a, .is_series = true};
    struct series s = {.arena = a, .is_starts = is_starts};
    struct labels ls;

    if (text.len > PROMQL_MAX_BYTES)
        return err_new(ERR_LIMIT, "the series is %zu bytes long, the limit is %u", text.len,
                       PROMQL_MAX_BYTES);
    p.lex.src = arena_dup(a, text);
    if (!promql_parse_next(&p) || !promql_selector_labels(&p, &ls))
        return p.err;
    s.lex = p.lex;
    s.lex.pos = p.last_end;
    if (is_starts && !take_pair(&s, "@s") && !fail(&s, "expected \"@st\" behind the series"))
        return s.err;
    if (is_starts && !take(&s, 't') && !fail(&s, "expected \"@st\" behind the series"))
        return s.err;
    while (!s.err && s.lex.pos < s.lex.src.len) {
        if (!take_spaces(&s))
            (void)fail(&s, "unexpected character in series sequence");
        else if (s.lex.pos < s.lex.src.len)
            (void)take_item(&s);
        if (arena_over(a) && !s.err)
            s.err = err_new(ERR_LIMIT, "the series takes more than its %zu bytes of memory",
                            arena_limit(a));
    }
    if (s.err)
        return s.err;
    *ret = (struct promql_series){ls, s.values, s.n};
    return NULL;
}

struct err *promql_series_parse(struct arena *a, struct slice text, struct promql_series *ret)
{
    return parse(a, text, false, ret);
}

struct err *promql_series_parse_starts(struct arena *a, struct slice text,
                                       struct promql_series *ret)
{
    return parse(a, text, true, ret);
}
