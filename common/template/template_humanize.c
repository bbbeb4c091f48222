/* Numbers, durations and times for people, as Prometheus' templates write them. */
#include <inttypes.h>
#include <math.h>

#include "common/base/gonum.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/template/template_text.h"

static const char *const small_prefixes[] = {"m", "u", "n", "p", "f", "a", "z", "y"};

/* Numbers, texts of numbers and durations. */
static struct err *to_float(struct value_call *call, const struct value *v, double *ret)
{
    switch (v->kind) {
    case VALUE_FLOAT:
        *ret = v->f;
        return NULL;
    case VALUE_INT:
        *ret = v->type == &value_type_duration ? promdur_seconds(v->i) : (double)v->i;
        return NULL;
    case VALUE_UINT:
        *ret = (double)v->u;
        return NULL;
    case VALUE_STRING:
        if (!v->type) {
            if (gonum_float(v->s, ret))
                return NULL;
            return err_new(ERR_EXEC, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                           (int)ORR_MIN(v->s.len, 100), v->s.ptr);
        }
        break;
    default:
        break;
    }
    return err_new(ERR_EXEC, "can't convert %s to float", value_type_text(call->arena, v));
}

/* %.4g and a suffix. */
static struct value four_digits(struct value_call *call, const char *sign, double v,
                                const char *prefix, const char *unit)
{
    struct buf b = {0};

    buf_str(&b, sign);
    if (isinf(v))
        buf_str(&b, v > 0 ? "+Inf" : "-Inf");
    else
        num_format(&b, v, 'g', 4);
    buf_str(&b, prefix);
    buf_str(&b, unit);
    return value_take_text(call->arena, &b);
}

/* Divides by base while v is larger; returns the prefix. */
static const char *scale_down(double *v, double base, const char *const *prefixes, size_t n)
{
    const char *prefix = "";

    for (size_t i = 0; i < n && fabs(*v) >= base; i++) {
        prefix = prefixes[i];
        *v /= base;
    }
    return prefix;
}

static const char *scale_up(double *v)
{
    const char *prefix = "";

    for (size_t i = 0; i < ORR_COUNT(small_prefixes) && fabs(*v) < 1; i++) {
        prefix = small_prefixes[i];
        *v *= 1000;
    }
    return prefix;
}

struct err *template_text_humanize(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    static const char *const prefixes[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
    const char *prefix = "";
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e)
        return e;
    if (v != 0 && isfinite(v))
        prefix = fabs(v) >= 1 ? scale_down(&v, 1000, prefixes, ORR_COUNT(prefixes)) : scale_up(&v);
    *ret = four_digits(call, "", v, prefix, "");
    return NULL;
}

struct err *template_text_humanize_1024(struct value_call *call, const struct value *args, size_t n,
                                        struct value *ret)
{
    static const char *const prefixes[] = {"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};
    const char *prefix = "";
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e)
        return e;
    if (fabs(v) > 1 && isfinite(v))
        prefix = scale_down(&v, 1024, prefixes, ORR_COUNT(prefixes));
    *ret = four_digits(call, "", v, prefix, "");
    return NULL;
}

static struct value whole_duration(struct value_call *call, const char *sign, double v)
{
    int64_t all = v < 9.2e18 ? (int64_t)v : INT64_MIN; /* Go's conversion overflows so */
    int64_t s = all % 60, m = all / 60 % 60, h = all / 3600 % 24, d = all / 86400;
    struct buf b = {0};

    if (!d && !h && !m)
        return four_digits(call, sign, v, "", "s");
    buf_str(&b, sign);
    if (d)
        buf_printf(&b, "%" PRId64 "d ", d);
    if (d || h)
        buf_printf(&b, "%" PRId64 "h ", h);
    buf_printf(&b, "%" PRId64 "m %" PRId64 "s", m, s);
    return value_take_text(call->arena, &b);
}

struct err *template_text_humanize_duration(struct value_call *call, const struct value *args,
                                            size_t n, struct value *ret)
{
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e)
        return e;
    if (!isfinite(v)) {
        *ret = four_digits(call, "", v, "", "");
    } else if (v == 0) {
        *ret = four_digits(call, "", v, "", "s");
    } else if (fabs(v) >= 1) {
        *ret = whole_duration(call, v < 0 ? "-" : "", fabs(v));
    } else {
        const char *prefix = scale_up(&v);

        *ret = four_digits(call, "", v, prefix, "s");
    }
    return NULL;
}

struct err *template_text_humanize_percentage(struct value_call *call, const struct value *args,
                                              size_t n, struct value *ret)
{
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (!e)
        *ret = four_digits(call, "", v * 100, "", "%");
    return e;
}

/* Milliseconds are what is left of the fraction. */
static struct err *time_of(double v, struct gotime *ret)
{
    double ns = v * 1e9;

    if (!isfinite(v))
        return err_new(ERR_EXEC, "value is NaN or Inf");
    if (ns >= 9223372036854775808.0 || ns < -9223372036854775808.0)
        return err_new(ERR_EXEC,
                       "%g cannot be represented as a nanoseconds timestamp since it "
                       "overflows int64",
                       v);
    *ret = gotime_of_ms((int64_t)ns / 1000000, NULL);
    return NULL;
}

struct err *template_text_humanize_timestamp(struct value_call *call, const struct value *args,
                                             size_t n, struct value *ret)
{
    struct buf b = {0};
    struct value time;
    struct gotime t;
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e)
        return e;
    if (!isfinite(v)) {
        *ret = four_digits(call, "", v, "", "");
        return NULL;
    }
    if ((e = time_of(v, &t)))
        return e;
    time = value_time(call->arena, t);
    time.type->print(&b, &time);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

struct err *template_text_to_time(struct value_call *call, const struct value *args, size_t n,
                                  struct value *ret)
{
    struct gotime t;
    double v;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e || (e = time_of(v, &t)))
        return e;
    *ret = value_time(call->arena, t);
    ret->is_pointer = true;
    return NULL;
}

struct err *template_text_to_duration(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    double v, ns;
    struct err *e = to_float(call, &args[0], &v);

    (void)n;
    if (e)
        return e;
    ns = v * 1e9;
    /* what Go's conversion gives on amd64 for what does not fit */
    *ret = value_duration(ns < 9223372036854775808.0 && ns >= -9223372036854775808.0 ? (int64_t)ns
                                                                                     : INT64_MIN);
    ret->is_pointer = true;
    return NULL;
}

struct err *template_text_parse_duration(struct value_call *call, const struct value *args,
                                         size_t n, struct value *ret)
{
    int64_t ns = 0;
    struct err *e = promdur_parse_signed(args[0].s, &ns);

    (void)call, (void)n;
    *ret = value_float(promdur_seconds(ns));
    return e;
}
