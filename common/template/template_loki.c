#include "common/template/template_loki.h"

#include <math.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/gonum.h"
#include "common/base/gore.h"
#include "common/base/gosize.h"
#include "common/base/gostr.h"
#include "common/base/gozone.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/template/template_text.h"

#define FUNC(name)                                                                                 \
    static struct err *func_##name(struct value_call *call, const struct value *args, size_t n,    \
                                   struct value *ret)

static struct err *take_text(struct value_call *call, struct buf *b, struct value *ret)
{
    if (!buf_ok(b)) {
        buf_done(b);
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    }
    *ret = value_take_text(call->arena, b);
    return NULL;
}

/* ---- texts ---- */

FUNC(line)
{
    const struct template_loki *l = call->ctx;

    (void)args, (void)n;
    *ret = value_string(l->line);
    return NULL;
}

static bool is_in_set(uint32_t rune, struct slice set)
{
    while (set.len) {
        uint32_t r;
        size_t n = gostr_rune(set, &r);

        if (r == rune)
            return true;
        set = slice_from(set, n);
    }
    return false;
}

static struct slice trim_left(struct slice s, struct slice set)
{
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        if (!is_in_set(r, set))
            break;
        s = slice_from(s, n);
    }
    return s;
}

/* Where the last rune of s, which is not empty, begins. */
static size_t last_rune(struct slice s)
{
    size_t at = s.len - 1;
    uint32_t r;

    while (at > 0 && s.len - at < 4 && (s.ptr[at] & 0xc0) == 0x80)
        at--;
    return at + gostr_rune(slice_from(s, at), &r) == s.len ? at : s.len - 1;
}

static struct slice trim_right(struct slice s, struct slice set)
{
    while (s.len) {
        size_t at = last_rune(s);
        uint32_t r;

        (void)gostr_rune(slice_from(s, at), &r);
        if (!is_in_set(r, set))
            break;
        s = slice_sub(s, 0, at);
    }
    return s;
}

static struct slice without_prefix(struct slice s, struct slice prefix)
{
    return slice_has_prefix(s, prefix) ? slice_from(s, prefix.len) : s;
}

static struct slice without_suffix(struct slice s, struct slice suffix)
{
    return slice_has_suffix(s, suffix) ? slice_sub(s, 0, s.len - suffix.len) : s;
}

/* Functions of one or two texts that are a part of them. */
#define PART(name, expr)                                                                           \
    FUNC(name)                                                                                     \
    {                                                                                              \
        (void)call, (void)n;                                                                       \
        *ret = value_string(expr);                                                                 \
        return NULL;                                                                               \
    }
PART(trim_space, slice_trim(args[0].s))
PART(trim, trim_right(trim_left(args[0].s, args[1].s), args[1].s))
PART(trim_left, trim_left(args[0].s, args[1].s))
PART(trim_right, trim_right(args[0].s, args[1].s))
PART(trim_prefix, without_prefix(args[0].s, args[1].s))
PART(trim_suffix, without_suffix(args[0].s, args[1].s))
/* The same with the text last, for pipelines. */
PART(trim_all_of, trim_right(trim_left(args[1].s, args[0].s), args[0].s))
PART(trim_prefix_of, without_prefix(args[1].s, args[0].s))
PART(trim_suffix_of, without_suffix(args[1].s, args[0].s))

#define ASK(name, expr)                                                                            \
    FUNC(name)                                                                                     \
    {                                                                                              \
        (void)call, (void)n;                                                                       \
        *ret = value_bool(expr);                                                                   \
        return NULL;                                                                               \
    }
ASK(contains, slice_find(args[1].s, args[0].s, 0) >= 0)
ASK(has_prefix, slice_has_prefix(args[1].s, args[0].s))
ASK(has_suffix, slice_has_suffix(args[1].s, args[0].s))

static int64_t count_runes(struct slice s)
{
    int64_t n = 0;
    uint32_t r;

    for (; s.len; n++)
        s = slice_from(s, gostr_rune(s, &r));
    return n;
}

/* Of the runes from up to and without to. */
static struct slice sub_runes(struct slice s, int64_t from, int64_t to)
{
    size_t start = 0, pos = 0;
    uint32_t r;

    for (int64_t i = 0; i < to && pos < s.len; i++) {
        if (i == from)
            start = pos;
        pos += gostr_rune(slice_from(s, pos), &r);
    }
    return from >= to ? SLICE_EMPTY : slice_sub(s, start, pos - start);
}

/* Bytes from the front, or from the back where c is negative. */
FUNC(trunc)
{
    int64_t c = args[0].i, len = (int64_t)args[1].s.len;

    (void)call, (void)n;
    *ret = args[1];
    if (c < 0 && c > -len)
        *ret = value_string(slice_from(args[1].s, (size_t)(len + c)));
    else if (c >= 0 && len > c)
        *ret = value_string(slice_sub(args[1].s, 0, (size_t)c));
    return NULL;
}

/* In bytes. */
FUNC(substr)
{
    int64_t start = args[0].i, end = args[1].i, len = (int64_t)args[2].s.len;

    (void)call, (void)n;
    if (start < 0)
        start = 0;
    else if (end < 0 || end > len)
        end = len;
    if (end < start || end > len)
        return err_new(ERR_EXEC, "slice bounds out of range [%lld:%lld]", (long long)start,
                       (long long)end);
    *ret = value_string(slice_sub(args[2].s, (size_t)start, (size_t)(end - start)));
    return NULL;
}

static struct err *align(struct value_call *call, const struct value *args, bool is_left,
                         struct value *ret)
{
    int64_t len = count_runes(args[1].s), pad = args[0].i - len;
    struct buf b = {.max_bytes = call->max_bytes};

    *ret = args[1];
    if (args[0].i < 0 || pad == 0)
        return NULL;
    if (pad < 0) {
        *ret = value_string(is_left ? sub_runes(args[1].s, 0, args[0].i)
                                    : sub_runes(args[1].s, -pad, len));
        return NULL;
    }
    if ((uint64_t)pad > call->max_bytes)
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    if (is_left)
        buf_slice_append(&b, args[1].s);
    buf_fill(&b, ' ', (size_t)pad);
    if (!is_left)
        buf_slice_append(&b, args[1].s);
    return take_text(call, &b, ret);
}

FUNC(align_left)
{
    (void)n;
    return align(call, args, true, ret);
}

FUNC(align_right)
{
    (void)n;
    return align(call, args, false, ret);
}

/* max < 0: all of them. An empty text is before each rune and at the end. */
static struct err *replace(struct value_call *call, struct slice s, struct slice old,
                           struct slice new, int64_t max, struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    for (int64_t i = 0; max < 0 || i < max; i++) {
        ptrdiff_t at = old.len ? slice_find(s, old, 0) : 0;

        if (old.len == 0 && i > 0) {
            uint32_t r;

            if (s.len == 0)
                break;
            at = (ptrdiff_t)gostr_rune(s, &r);
        }
        if (at < 0 || !buf_ok(&b))
            break;
        buf_append(&b, s.ptr, (size_t)at);
        buf_slice_append(&b, new);
        s = slice_from(s, (size_t)at + old.len);
    }
    buf_slice_append(&b, s);
    return take_text(call, &b, ret);
}

FUNC(replace)
{
    (void)n;
    return replace(call, args[2].s, args[0].s, args[1].s, -1, ret);
}

FUNC(replace_n)
{
    (void)n;
    return replace(call, args[0].s, args[1].s, args[2].s, args[3].i, ret);
}

static struct err *repeat(struct value_call *call, int64_t count, struct slice s, struct buf *b)
{
    if (count < 0)
        return err_new(ERR_EXEC, "negative repeat count");
    if (s.len && (uint64_t)count > call->max_bytes / s.len)
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    for (int64_t i = 0; i < count && s.len; i++)
        buf_slice_append(b, s);
    return NULL;
}

FUNC(repeat)
{
    struct buf b = {.max_bytes = call->max_bytes};
    struct err *e = repeat(call, args[0].i, args[1].s, &b);

    (void)n;
    return e ? e : take_text(call, &b, ret);
}

static struct err *indent(struct value_call *call, const struct value *args, const char *before,
                          struct value *ret)
{
    struct buf pad = {.max_bytes = call->max_bytes}, b = {.max_bytes = call->max_bytes};
    struct err *e;

    buf_byte(&pad, '\n');
    e = repeat(call, args[0].i, SLICE(" "), &pad);
    if (!e)
        e = replace(call, args[1].s, SLICE("\n"), buf_slice(&pad), -1, ret);
    if (!e) {
        buf_str(&b, before);
        buf_slice_append(&b, slice_from(buf_slice(&pad), 1));
        buf_slice_append(&b, ret->s);
        e = take_text(call, &b, ret);
    }
    buf_done(&pad);
    return e;
}

FUNC(indent)
{
    (void)n;
    return indent(call, args, "", ret);
}

FUNC(nindent)
{
    (void)n;
    return indent(call, args, "\n", ret);
}

/* regex, text, replacement. */
FUNC(regex_replace)
{
    const struct value order[] = {args[0], args[2], args[1]};

    return template_text_replace_all(call, order, n, ret);
}

FUNC(regex_replace_literal)
{
    struct value order[3] = {args[0], args[2], args[1]};
    struct err *e = replace(call, args[2].s, SLICE("$"), SLICE("$$"), -1, &order[1]);

    return e ? e : template_text_replace_all(call, order, n, ret);
}

FUNC(count)
{
    struct gore_scan scan = {.last_end = -1};
    int64_t found = 0;
    struct re *re;
    struct err *e = re_compile(args[0].s, 0, &re);
    int spans[2];

    (void)call, (void)n;
    if (e)
        return e;
    while (gore_next(re, args[1].s, &scan, spans, 2))
        found++;
    re_free(re);
    *ret = value_int(found);
    return NULL;
}

FUNC(b64enc)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    base64_encode(args[0].s, true, &b);
    return take_text(call, &b, ret);
}

static bool is_base64_byte(uint8_t c)
{
    return c == '+' || c == '/' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* The text without line breaks, into out; where Go's decoder finds it corrupt, or -1. */
static ptrdiff_t check_base64(struct slice s, struct buf *out)
{
    size_t n_pads = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == '\n' || c == '\r')
            continue;
        if (n_pads == 0 ? !is_base64_byte(c) && (c != '=' || out->len % 4 < 2) : c != '=')
            return (ptrdiff_t)i;
        if (n_pads && out->len % 4 == 0)
            return (ptrdiff_t)i;
        n_pads += c == '=';
        buf_byte(out, c);
    }
    if (out->len % 4 && n_pads)
        return (ptrdiff_t)s.len;
    return out->len % 4 ? (ptrdiff_t)(s.len - out->len % 4) : -1;
}

/* A text that is none becomes the text of the error. */
FUNC(b64dec)
{
    struct buf clean = {.max_bytes = call->max_bytes}, b = {.max_bytes = call->max_bytes};
    ptrdiff_t bad = check_base64(args[0].s, &clean);

    (void)n;
    if (bad >= 0)
        buf_printf(&b, "illegal base64 data at input byte %td", bad);
    else
        (void)base64_decode(buf_slice(&clean), &b);
    buf_done(&clean);
    return take_text(call, &b, ret);
}

/* What is no JSON is nil. All numbers are float64. */
FUNC(from_json)
{
    json_t *json = json_loadb((const char *)args[0].s.ptr, args[0].s.len,
                              JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);

    (void)n;
    *ret = json ? value_of_json(call->arena, json) : value_nil();
    ret->is_any = true;
    json_decref(json);
    return NULL;
}

FUNC(default)
{
    (void)call;
    *ret = n > 1 && value_is_true(&args[1]) ? args[1] : args[0];
    return NULL;
}

/* ---- numbers ---- */

static const struct value_type type_int64 = {.name = "int64"};

static double to_float(const struct value *v)
{
    double f = 0;

    switch (v->kind) {
    case VALUE_BOOL:
        return v->b;
    case VALUE_INT:
        return (double)v->i;
    case VALUE_UINT:
        return (double)v->u;
    case VALUE_FLOAT:
        return v->f;
    case VALUE_STRING:
        return gonum_float(v->s, &f) ? f : 0;
    default:
        return 0;
    }
}

/* 12.75 counts as 12, 1e3 is no whole number. */
static struct slice without_fraction(struct slice s)
{
    ptrdiff_t dot = slice_find_byte(s, '.', 0);

    if (dot < 0)
        return s;
    for (size_t i = 0; i < s.len; i++)
        if (i != (size_t)dot && (s.ptr[i] < '0' || s.ptr[i] > '9') &&
            (i > 0 || (s.ptr[i] != '-' && s.ptr[i] != '+')))
            return s;
    return slice_sub(s, 0, (size_t)dot);
}

static int64_t to_int(const struct value *v)
{
    int64_t i = 0;

    switch (v->kind) {
    case VALUE_BOOL:
        return v->b;
    case VALUE_INT:
        return v->i;
    case VALUE_UINT:
        return (int64_t)v->u;
    case VALUE_FLOAT:
        return v->f >= -0x1p63 && v->f < 0x1p63 ? (int64_t)v->f : INT64_MIN;
    case VALUE_STRING:
        return gonum_int(without_fraction(v->s), &i) ? i : 0;
    default:
        return 0;
    }
}

static struct value int64_value(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i, .type = &type_int64};
}

FUNC(int)
{
    (void)call, (void)n;
    *ret = value_int(to_int(&args[0]));
    return NULL;
}

FUNC(float64)
{
    (void)call, (void)n;
    *ret = value_float(to_float(&args[0]));
    return NULL;
}

/* Folds the arguments from the left; integers wrap. */
#define FOLD_INT(name, expr)                                                                       \
    FUNC(name)                                                                                     \
    {                                                                                              \
        int64_t a = n ? to_int(&args[0]) : 0;                                                      \
                                                                                                   \
        (void)call;                                                                                \
        for (size_t i = 1; i < n; i++) {                                                           \
            int64_t b = to_int(&args[i]);                                                          \
                                                                                                   \
            a = (expr);                                                                            \
        }                                                                                          \
        *ret = int64_value(a);                                                                     \
        return NULL;                                                                               \
    }
FOLD_INT(add, (int64_t)((uint64_t)a + (uint64_t)b))
FOLD_INT(sub, (int64_t)((uint64_t)a - (uint64_t)b))
FOLD_INT(mul, (int64_t)((uint64_t)a *(uint64_t)b))
FOLD_INT(max, ORR_MAX(a, b))
FOLD_INT(min, ORR_MIN(a, b))

FUNC(div)
{
    int64_t a = to_int(&args[0]), b = to_int(&args[1]);

    (void)call, (void)n;
    if (b == 0)
        return err_new(ERR_EXEC, "integer divide by zero");
    *ret = int64_value(b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b);
    return NULL;
}

FUNC(mod)
{
    int64_t a = to_int(&args[0]), b = to_int(&args[1]);

    (void)call, (void)n;
    if (b == 0)
        return err_new(ERR_EXEC, "integer divide by zero");
    *ret = int64_value(b == -1 ? 0 : a % b);
    return NULL;
}

/* The decimal that v is written as: 0.1 is a tenth, as near as a long double can be. */
static long double to_decimal(double v)
{
    struct buf b = {0};
    long double ret;

    num_format(&b, v, 'e', -1);
    ret = strtold(buf_cstr(&b), NULL);
    buf_done(&b);
    return ret;
}

/* Sixteen digits behind the point, as the quotient of two decimals there. */
static long double quotient(long double a, long double b)
{
    long double scaled = a / b * 1e16L;

    return fabsl(scaled) < 0x1p63L ? roundl(scaled) / 1e16L : a / b;
}

/* Decimal arithmetic: 0.1 + 0.2 is 0.3. */
static struct err *fold_decimal(char op, const struct value *args, size_t n, struct value *ret)
{
    long double a = n ? to_decimal(to_float(&args[0])) : 0;

    for (size_t i = 1; i < n; i++) {
        long double b = to_decimal(to_float(&args[i]));

        if (op == '/' && b == 0)
            return err_new(ERR_EXEC, "decimal division by 0");
        a = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : quotient(a, b);
    }
    if (!isfinite(a))
        return err_new(ERR_EXEC, "no decimal is that large");
    *ret = value_float((double)a);
    return NULL;
}

#define FOLD_DECIMAL(name, op)                                                                     \
    FUNC(name)                                                                                     \
    {                                                                                              \
        (void)call;                                                                                \
        return fold_decimal(op, args, n, ret);                                                     \
    }
FOLD_DECIMAL(addf, '+')
FOLD_DECIMAL(subf, '-')
FOLD_DECIMAL(mulf, '*')
FOLD_DECIMAL(divf, '/')

FUNC(maxf)
{
    double v = to_float(&args[0]);

    (void)call;
    for (size_t i = 1; i < n; i++)
        v = fmax(v, to_float(&args[i]));
    *ret = value_float(v);
    return NULL;
}

FUNC(minf)
{
    double v = to_float(&args[0]);

    (void)call;
    for (size_t i = 1; i < n; i++)
        v = fmin(v, to_float(&args[i]));
    *ret = value_float(v);
    return NULL;
}

FUNC(ceil)
{
    (void)call, (void)n;
    *ret = value_float(ceil(to_float(&args[0])));
    return NULL;
}

FUNC(floor)
{
    (void)call, (void)n;
    *ret = value_float(floor(to_float(&args[0])));
    return NULL;
}

/* value, places, and from which fraction on it goes up (0.5). */
FUNC(round)
{
    double power = pow(10, (double)args[1].i), digits = power * to_float(&args[0]), whole;
    double up_from = n > 2 ? args[2].f : 0.5;

    (void)call;
    *ret = value_float((modf(digits, &whole) >= up_from ? ceil(digits) : floor(digits)) / power);
    return NULL;
}

FUNC(bytes)
{
    uint64_t bytes;

    (void)call, (void)n;
    if (!gosize_parse(args[0].s, &bytes))
        return err_new(ERR_EXEC, "no size");
    *ret = value_float((double)bytes);
    return NULL;
}

FUNC(duration)
{
    int64_t ns;
    struct err *e = promdur_parse_go(args[0].s, &ns);

    (void)call, (void)n;
    if (!e)
        *ret = value_float(promdur_seconds(ns));
    return e;
}

/* ---- times ---- */

#define ZERO_TIME_MS (-62135596800000) /* 0001-01-01 */

FUNC(timestamp)
{
    const struct template_loki *l = call->ctx;

    (void)args, (void)n;
    *ret = value_time(call->arena, gotime_of_ns(l->ts_ns, NULL));
    return NULL;
}

FUNC(now)
{
    const struct template_loki *l = call->ctx;

    (void)args, (void)n;
    *ret = value_time(call->arena, gotime_of_ns(l->now_ns, NULL));
    return NULL;
}

static struct err *want_time(struct value_call *call, const struct value *v)
{
    if (v->kind == VALUE_TIME)
        return NULL;
    return err_new(ERR_EXEC, "wrong type for value; expected time.Time; got %s",
                   value_type_text(call->arena, v));
}

/* A time, or seconds since 1970; of anything else it is now. */
FUNC(date)
{
    const struct template_loki *l = call->ctx;
    struct buf b = {.max_bytes = call->max_bytes};
    struct gotime t = gotime_of_ns(l->now_ns, NULL);

    (void)n;
    if (args[1].kind == VALUE_TIME)
        t = *args[1].time;
    else if (args[1].kind == VALUE_INT && args[1].i < INT64_MAX / 1000 &&
             args[1].i > INT64_MIN / 1000)
        t = gotime_of_ms(args[1].i * 1000, NULL);
    gotime_format(&b, &t, args[0].s);
    return take_text(call, &b, ret);
}

/* A text that is none in this layout is the year 1. */
static struct err *parse_time(struct value_call *call, struct slice layout, struct slice text,
                              const struct gozone *zone, struct value *ret)
{
    struct gotime t;
    struct err *e = gotime_parse(layout, text, zone, &t);

    if (e)
        t = gotime_of_ms(ZERO_TIME_MS, NULL);
    err_free(e);
    *ret = value_time(call->arena, t);
    return NULL;
}

FUNC(to_date)
{
    (void)n;
    return parse_time(call, args[0].s, args[1].s, NULL, ret);
}

/* The zone's offset at that time stays with it, the zone itself does not. */
FUNC(to_date_in_zone)
{
    struct gozone *zone;
    struct err *e = gozone_load(args[1].s, &zone);
    struct gotime_civil civil;
    struct gotime t;

    (void)n;
    if (e) {
        err_free(e);
        return parse_time(call, SLICE_EMPTY, SLICE("no zone"), NULL, ret);
    }
    (void)parse_time(call, args[0].s, args[2].s, zone, ret);
    t = *ret->time;
    if (t.zone == zone) {
        civil = gotime_civil(&t);
        t.zone = NULL;
        t.has_fixed = true;
        t.fixed_offset_s = civil.offset_s;
        memset(t.fixed_abbrev, 0, sizeof(t.fixed_abbrev));
        memcpy(t.fixed_abbrev, civil.abbrev.ptr,
               ORR_MIN(civil.abbrev.len, sizeof(t.fixed_abbrev) - 1));
        *ret = value_time(call->arena, t);
    }
    gozone_free(zone);
    return NULL;
}

/* How many digits it has says what it counts. */
FUNC(unix_to_time)
{
    static const struct {
        size_t digits;
        int64_t unit_ns;
    } units[] = {{5, 86400000000000}, {10, 1000000000}, {13, 1000000}, {16, 1000}, {19, 1}};
    int64_t i, ns;

    (void)n;
    for (size_t k = 0; k < ORR_COUNT(units); k++) {
        if (args[0].s.len != units[k].digits || !slice_to_i64(args[0].s, &i))
            continue;
        if (__builtin_mul_overflow(i, units[k].unit_ns, &ns))
            return err_new(ERR_EXEC, "unable to parse time: out of range");
        *ret = value_time(call->arena, gotime_of_ns(ns, NULL));
        return NULL;
    }
    return err_new(ERR_EXEC, "unable to parse time");
}

static struct err *epoch(struct value_call *call, const struct value *v, int64_t per_s,
                         struct value *ret)
{
    struct err *e = want_time(call, v);
    struct buf b = {0};

    if (e)
        return e;
    /* Wraps as there. */
    buf_printf(&b, "%lld",
               (long long)((uint64_t)v->time->unix_s * (uint64_t)per_s +
                           v->time->ns / (1000000000u / (uint64_t)per_s)));
    return take_text(call, &b, ret);
}

FUNC(unix_epoch)
{
    (void)n;
    return epoch(call, &args[0], 1, ret);
}

FUNC(unix_epoch_millis)
{
    (void)n;
    return epoch(call, &args[0], 1000, ret);
}

FUNC(unix_epoch_nanos)
{
    (void)n;
    return epoch(call, &args[0], 1000000000, ret);
}

static const struct value_func funcs[] = {
    {"__line__", "", func_line},
    {"__timestamp__", "", func_timestamp},
    {"lower", "s", template_text_lower},
    {"ToLower", "s", template_text_lower},
    {"upper", "s", template_text_upper},
    {"ToUpper", "s", template_text_upper},
    {"title", "s", template_text_title},
    {"trim", "s", func_trim_space},
    {"TrimSpace", "s", func_trim_space},
    {"trimAll", "ss", func_trim_all_of},
    {"Trim", "ss", func_trim},
    {"TrimLeft", "ss", func_trim_left},
    {"TrimRight", "ss", func_trim_right},
    {"trimPrefix", "ss", func_trim_prefix_of},
    {"TrimPrefix", "ss", func_trim_prefix},
    {"trimSuffix", "ss", func_trim_suffix_of},
    {"TrimSuffix", "ss", func_trim_suffix},
    {"contains", "ss", func_contains},
    {"hasPrefix", "ss", func_has_prefix},
    {"hasSuffix", "ss", func_has_suffix},
    {"trunc", "is", func_trunc},
    {"substr", "iis", func_substr},
    {"alignLeft", "is", func_align_left},
    {"alignRight", "is", func_align_right},
    {"indent", "is", func_indent},
    {"nindent", "is", func_nindent},
    {"repeat", "is", func_repeat},
    {"replace", "sss", func_replace},
    {"Replace", "sssi", func_replace_n},
    {"regexReplaceAll", "sss", func_regex_replace},
    {"regexReplaceAllLiteral", "sss", func_regex_replace_literal},
    {"count", "ss", func_count},
    {"urlencode", "s", template_text_query_escape},
    {"urldecode", "s", template_text_query_unescape},
    {"b64enc", "s", func_b64enc},
    {"b64dec", "s", func_b64dec},
    {"fromJson", "s", func_from_json},
    {"default", "vv*", func_default},
    {"int", "v", func_int},
    {"float64", "v", func_float64},
    {"add", "v*", func_add},
    {"sub", "vv", func_sub},
    {"mul", "vv*", func_mul},
    {"div", "vv", func_div},
    {"mod", "vv", func_mod},
    {"max", "vv*", func_max},
    {"min", "vv*", func_min},
    {"addf", "v*", func_addf},
    {"subf", "vv*", func_subf},
    {"mulf", "vv*", func_mulf},
    {"divf", "vv*", func_divf},
    {"maxf", "vv*", func_maxf},
    {"minf", "vv*", func_minf},
    {"ceil", "v", func_ceil},
    {"floor", "v", func_floor},
    {"round", "vif*", func_round},
    {"bytes", "s", func_bytes},
    {"duration", "s", func_duration},
    {"duration_seconds", "s", func_duration},
    {"now", "", func_now},
    {"date", "sv", func_date},
    {"toDate", "ss", func_to_date},
    {"toDateInZone", "sss", func_to_date_in_zone},
    {"unixToTime", "s", func_unix_to_time},
    {"unixEpoch", "v", func_unix_epoch},
    {"unixEpochMillis", "v", func_unix_epoch_millis},
    {"unixEpochNanos", "v", func_unix_epoch_nanos},
};

const struct template_funcs template_loki_funcs = {.ptr = funcs, .n = ORR_COUNT(funcs)};
