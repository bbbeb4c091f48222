#include "querier/api/loki_param.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/num.h"
#include "querier/api/prom_param.h"

#define SHOWN 128 /* bytes of a bad value that go into the message */
#define SECONDS_DIGITS 10

static struct err *bad(const char *name, struct slice text, const char *what)
{
    return err_new(ERR_INVALID, "invalid parameter \"%s\": cannot parse \"%.*s\" to a valid %s",
                   name, (int)ORR_MIN(text.len, (size_t)SHOWN), (const char *)text.ptr, what);
}

/* Not at the bounds themselves: from the one to the other is more than fits. */
static bool within(int64_t ns)
{
    return ns > -LOKI_TIME_MAX_NS && ns < LOKI_TIME_MAX_NS;
}

/* Seconds; NaN and what is too large are none. */
static bool float_to_ns(struct slice text, int64_t *ret_ns)
{
    double v, whole, part;

    if (!num_parse(text, &v) || !(fabs(v) < (double)LOKI_TIME_MAX_NS / (double)NS_PER_S))
        return false;
    part = modf(v, &whole);
    *ret_ns = (int64_t)whole * NS_PER_S + (int64_t)round(part * 1e3) * NS_PER_MS;
    return true;
}

static bool rfc3339_to_ns(struct slice text, int64_t *ret_ns)
{
    struct gotime t;
    struct err *e = gotime_parse(SLICE(GOTIME_RFC3339_NANO), text, NULL, &t);

    if (e || t.unix_s < -LOKI_TIME_MAX_NS / NS_PER_S || t.unix_s >= LOKI_TIME_MAX_NS / NS_PER_S) {
        err_free(e);
        return false;
    }
    *ret_ns = t.unix_s * NS_PER_S + t.ns;
    return true;
}

struct err *loki_param_time(const char *name, struct slice text, int64_t def_ns, int64_t *ret_ns)
{
    int64_t n;

    *ret_ns = def_ns;
    if (!text.len)
        return NULL;
    if (slice_find_byte(text, '.', 0) >= 0 && float_to_ns(text, ret_ns))
        return NULL;
    if (!slice_to_i64(text, &n))
        return rfc3339_to_ns(text, ret_ns) ? NULL : bad(name, text, "timestamp");
    if ((text.len <= SECONDS_DIGITS && __builtin_mul_overflow(n, NS_PER_S, &n)) || !within(n))
        return bad(name, text, "timestamp");
    *ret_ns = n;
    return NULL;
}

struct err *loki_param_duration(const char *name, struct slice text, int64_t def_ns,
                                int64_t *ret_ns)
{
    int64_t ms;
    struct err *e;

    *ret_ns = def_ns;
    if (!text.len)
        return NULL;
    if ((e = gotime_parse_api_duration(text, &ms)) || ms > LOKI_TIME_MAX_NS / NS_PER_MS ||
        ms < -LOKI_TIME_MAX_NS / NS_PER_MS) {
        err_free(e);
        return bad(name, text, "duration");
    }
    *ret_ns = ms * NS_PER_MS;
    return NULL;
}

struct err *loki_param_step(struct slice text, int64_t length_ns, int64_t min_s, int64_t *ret_ns)
{
    int64_t step_s = ORR_MAX(length_ns / NS_PER_S / LOKI_DEF_POINTS, min_s);
    struct err *e = loki_param_duration("step", text, step_s * NS_PER_S, ret_ns);

    if (e)
        return e;
    if (*ret_ns <= 0)
        return err_new(ERR_INVALID, "zero or negative query resolution step widths are not "
                                    "accepted. Try a positive integer");
    if (length_ns / *ret_ns > PROM_MAX_POINTS)
        return err_new(ERR_INVALID, "exceeded maximum resolution of 11,000 points per time series. "
                                    "Try increasing the value of the step parameter");
    return NULL;
}

struct err *loki_param_count(const char *name, struct slice text, uint32_t def, uint32_t *ret)
{
    int64_t n;

    *ret = def;
    if (!text.len)
        return NULL;
    if (!slice_to_i64(text, &n) || n > UINT32_MAX)
        return bad(name, text, "number");
    if (n <= 0)
        return err_new(ERR_INVALID, "%s must be a positive value", name);
    *ret = (uint32_t)n;
    return NULL;
}

struct err *loki_param_limit(struct slice text, uint32_t def, uint32_t *ret)
{
    return loki_param_count("limit", text, def, ret);
}

struct err *loki_param_direction(struct slice text, bool *ret_is_forward)
{
    *ret_is_forward = slice_eq_nocase(text, SLICE("forward"));
    if (*ret_is_forward || !text.len || slice_eq_nocase(text, SLICE("backward")))
        return NULL;
    return err_new(ERR_INVALID, "invalid direction '%.*s'", (int)ORR_MIN(text.len, (size_t)SHOWN),
                   (const char *)text.ptr);
}
