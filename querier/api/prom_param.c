#include "querier/api/prom_param.h"

#include "common/base/buf.h"
#include "common/base/gostr.h"
#include "common/base/gotime.h"
#include "common/base/hex.h"
#include "common/lang/promql.h"

#define SHOWN 128 /* bytes of a bad value that go into the message */

static struct err *bad(const char *name, struct err *e)
{
    return err_wrap(e, "invalid parameter \"%s\"", name);
}

static int64_t within_bounds(int64_t ms)
{
    return ORR_MAX(-PROM_TIME_MAX_MS, ORR_MIN(PROM_TIME_MAX_MS, ms));
}

static struct err *parse_time(struct slice text, int64_t *ret_ms)
{
    int64_t ms = 0;
    struct err *e;

    if (slice_eq(text, SLICE("-292273086-05-16T16:47:06Z"))) {
        ms = -PROM_TIME_MAX_MS;
    } else if (slice_eq(text, SLICE("+292277025-08-18T07:12:54.999999999Z")) ||
               slice_eq(text, SLICE("292277025-08-18T07:12:54.999999999Z"))) {
        ms = PROM_TIME_MAX_MS;
    } else if ((e = gotime_parse_api(text, &ms))) {
        return e;
    }
    *ret_ms = within_bounds(ms);
    return NULL;
}

struct err *prom_param_time(const char *name, struct slice text, int64_t def_ms, int64_t *ret_ms)
{
    struct err *e;

    if (!text.len) {
        *ret_ms = within_bounds(def_ms);
        return NULL;
    }
    e = parse_time(text, ret_ms);
    return e ? bad(name, err_wrap(e, "Invalid time value for '%s'", name)) : NULL;
}

struct err *prom_param_required_time(const char *name, struct slice text, int64_t *ret_ms)
{
    struct err *e = text.len ? parse_time(text, ret_ms)
                             : err_new(ERR_INVALID, "cannot parse \"\" to a valid timestamp");

    return e ? bad(name, e) : NULL;
}

struct err *prom_param_duration(const char *name, struct slice text, int64_t def_ms,
                                int64_t *ret_ms)
{
    struct err *e;

    *ret_ms = def_ms;
    if (!text.len)
        return NULL;
    e = gotime_parse_api_duration(text, ret_ms);
    return e ? bad(name, e) : NULL;
}

struct err *prom_param_limit(const char *name, struct slice text, uint64_t *ret)
{
    int64_t v = 0;

    *ret = 0;
    if (!text.len)
        return NULL;
    if (!slice_to_i64(text, &v))
        return bad(name, err_new(ERR_INVALID, "strconv.Atoi: parsing \"%.*s\": invalid syntax",
                                 (int)ORR_MIN(text.len, SHOWN), (const char *)text.ptr));
    if (v < 0)
        return bad(name, err_new(ERR_INVALID, "limit must be non-negative"));
    *ret = (uint64_t)v;
    return NULL;
}

struct err *prom_param_check_range(int64_t start_ms, int64_t end_ms, int64_t step_ms)
{
    if (end_ms < start_ms)
        return bad("end", err_new(ERR_INVALID, "end timestamp must not be before start time"));
    if (step_ms <= 0)
        return bad("step",
                   err_new(ERR_INVALID, "zero or negative query resolution step widths are not "
                                        "accepted. Try a positive integer"));
    if ((end_ms - start_ms) / step_ms > PROM_MAX_POINTS)
        return err_new(ERR_INVALID,
                       "exceeded maximum resolution of 11,000 points per timeseries. Try "
                       "decreasing the query resolution (?step=XX)");
    return NULL;
}

struct err *prom_param_selector(struct arena *a, struct slice text, struct matchers *ret)
{
    struct matchers ms;
    struct err *e = promql_parse_selector(a, text, &ms);

    if (e)
        return e;
    if (promql_selects_all(ms)) {
        matchers_done(ms);
        return err_new(ERR_INVALID, "match[] must contain at least one non-empty matcher");
    }
    *ret = ms;
    return NULL;
}

struct err *prom_param_match(struct arena *a, struct slice text, struct matchers *ret)
{
    struct err *e = prom_param_selector(a, text, ret);

    return e ? bad("match[]", e) : NULL;
}

/* ---- names as values escape them ---- */

/* "_hex_" at text, behind its first underscore: its length and rune. */
static bool escaped_rune(struct slice text, size_t *ret_len, uint32_t *ret_rune)
{
    uint32_t rune = 0;

    for (size_t i = 0; i < text.len && i <= 6; i++) {
        int d = hex_digit(text.ptr[i]);

        if (text.ptr[i] == '_' && i > 0) {
            *ret_len = i + 1;
            *ret_rune = rune;
            return rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
        }
        if (d < 0)
            return false;
        rune = rune * 16 + (uint32_t)d;
    }
    return false;
}

/* "__" is an underscore, "_2e_" a dot. False when it is not such a text. */
static bool unescape(struct slice text, struct buf *out)
{
    while (text.len) {
        size_t len;
        uint32_t rune;

        if (text.ptr[0] != '_') {
            buf_byte(out, text.ptr[0]);
            text = slice_from(text, 1);
        } else if (text.len > 1 && text.ptr[1] == '_') {
            buf_byte(out, '_');
            text = slice_from(text, 2);
        } else if (escaped_rune(slice_from(text, 1), &len, &rune)) {
            gostr_put_rune(out, rune);
            text = slice_from(text, 1 + len);
        } else {
            return false;
        }
    }
    return true;
}

struct err *prom_param_label_name(struct arena *a, struct slice text, struct slice *ret)
{
    struct slice name = text;
    struct buf b = {0};

    /* A text that only looks escaped stands for itself, as in Prometheus. */
    if (slice_has_prefix(text, SLICE("U__")) && unescape(slice_from(text, 3), &b))
        name = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    if (!name.len || !slice_is_utf8(name))
        return err_new(ERR_INVALID, "invalid label name: \"%.*s\"", (int)ORR_MIN(text.len, SHOWN),
                       (const char *)text.ptr);
    *ret = name;
    return NULL;
}
