/* common/: Go's regular expressions, numbers, durations and times. */
#include <inttypes.h>

#include "common/base/gonum.h"
#include "common/base/gore.h"
#include "common/base/gotime.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/base/re.h"
#include "tests/conformance/conformance.h"

#define NS_PER_MS 1000000

static void check_printed(struct conformance *c, const char *key, struct buf *b)
{
    (void)conformance_check_text(c, key, buf_slice(b), conformance_text(c, key));
    buf_reset(b);
}

CONFORMANCE(common, duration_cases)
{
    struct slice text = conformance_text(c, "text");
    struct buf b = {0};
    struct err *e;
    int64_t ns;

    if (conformance_has(c, "ms")) {
        promdur_print(&b, conformance_int(c, "ms") * NS_PER_MS);
        check_printed(c, "prometheus_string", &b);
        promdur_print_go(&b, conformance_int(c, "ms") * NS_PER_MS);
        check_printed(c, "go_string", &b);
        buf_done(&b);
        return;
    }
    e = promdur_parse(text, &ns);
    if (conformance_check_ok(c, "prometheus_ok", e, conformance_bool(c, "prometheus_ok")) &&
        conformance_bool(c, "prometheus_ok")) {
        (void)conformance_check_int(c, "prometheus_ms", ns / NS_PER_MS,
                                    conformance_int(c, "prometheus_ms"));
        promdur_print(&b, ns);
        check_printed(c, "prometheus_string", &b);
    }
    e = promdur_parse_go(text, &ns);
    if (conformance_check_ok(c, "go_ok", e, conformance_bool(c, "go_ok")) &&
        conformance_bool(c, "go_ok")) {
        (void)conformance_check_int(c, "go_ns", ns, conformance_int(c, "go_ns"));
        promdur_print_go(&b, ns);
        check_printed(c, "go_string", &b);
    }
    buf_done(&b);
}

static double from_bits(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void check_float_texts(struct conformance *c, double v)
{
    struct buf b = {0};

    num_format(&b, v, 'f', -1);
    check_printed(c, "f", &b);
    num_format(&b, v, 'f', 2);
    check_printed(c, "f2", &b);
    num_format(&b, v, 'e', -1);
    check_printed(c, "e", &b);
    num_format(&b, v, 'g', -1);
    check_printed(c, "g", &b);
    num_format(&b, v, 'g', 4);
    check_printed(c, "g4", &b);
    num_format_v(&b, v);
    check_printed(c, "v", &b);
    buf_f64_text(&b, v);
    check_printed(c, "sample_value", &b);
    buf_done(&b);
}

CONFORMANCE(common, float_cases)
{
    struct slice text = conformance_text(c, "text"), bits = conformance_text(c, "bits");
    uint64_t want = strtoull((const char *)bits.ptr, NULL, 16), got;
    int64_t i = 0;
    double v;
    bool is_ok;

    if (!text.ptr) {
        check_float_texts(c, from_bits(want));
        return;
    }
    is_ok = gonum_float(text, &v);
    memcpy(&got, &v, sizeof(got));
    (void)conformance_check_bool(c, "ok", is_ok, conformance_bool(c, "ok"));
    if (v != v && from_bits(want) != from_bits(want))
        got = want;
    (void)conformance_check_text(c, "bits", slice_cstr(arena_printf(c->arena, "%016" PRIx64, got)),
                                 bits);
    is_ok = gonum_int(text, &i);
    if (conformance_check_bool(c, "int_ok", is_ok, conformance_bool(c, "int_ok")) && is_ok)
        (void)conformance_check_int(c, "int", i, conformance_int(c, "int"));
}

/* Go's Unix() and Nanosecond() side by side: the cases write them so also before 1970, where the
 * digits together are not the number of nanoseconds. */
static char *ns_text(struct conformance *c, const struct gotime *t)
{
    return arena_printf(c->arena, "%" PRId64 "%09u", t->unix_s, t->ns);
}

static struct gotime time_of(struct slice ns, const struct gozone *zone)
{
    bool is_minus = ns.len && ns.ptr[0] == '-';
    __int128 v = 0;
    int64_t s;

    for (size_t i = is_minus; i < ns.len; i++)
        v = v * 10 + (ns.ptr[i] - '0');
    v = is_minus ? -v : v;
    s = (int64_t)(v / 1000000000) - (v % 1000000000 < 0);
    return (struct gotime){
        .unix_s = s, .ns = (uint32_t)(v - (__int128)s * 1000000000), .zone = zone};
}

static void check_format(struct conformance *c, const struct gozone *zone)
{
    static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                           "Thursday", "Friday", "Saturday"};
    struct gotime t = time_of(conformance_text(c, "unix_ns"), zone);
    struct gotime_civil civil = gotime_civil(&t);
    struct buf b = {0};

    gotime_format(&b, &t, conformance_text(c, "layout"));
    check_printed(c, "text", &b);
    buf_str(&b, weekdays[civil.weekday]);
    check_printed(c, "weekday", &b);
    (void)conformance_check_int(c, "year_day", civil.year_day, conformance_int(c, "year_day"));
    buf_done(&b);
}

CONFORMANCE(common, time_cases)
{
    struct gozone *zone;
    struct gotime t;
    struct err *e = gozone_load(conformance_text(c, "zone"), &zone);

    if (!conformance_check_ok(c, "zone", e, true))
        return;
    if (slice_eq_cstr(conformance_text(c, "kind"), "format")) {
        check_format(c, zone);
    } else {
        e = gotime_parse(conformance_text(c, "layout"), conformance_text(c, "text"), zone, &t);
        if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) &&
            conformance_bool(c, "ok"))
            (void)conformance_check_text(c, "unix_ns", slice_cstr(ns_text(c, &t)),
                                         conformance_text(c, "unix_ns"));
    }
    gozone_free(zone);
}

#define MAX_SPANS 64

static json_t *spans_json(const int *spans, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, json_integer(spans[i]));
    return a;
}

#define MAX_MATCHES 20 /* the cases list no more */

static json_t *find_all(const struct re *re, struct slice text)
{
    struct gore_scan scan = {0, -1};
    json_t *all = json_array();
    int spans[MAX_SPANS];

    while (json_array_size(all) < MAX_MATCHES && gore_next(re, text, &scan, spans, MAX_SPANS))
        (void)json_array_append_new(all, spans_json(spans, 2));
    return all;
}

static void check_replacements(struct conformance *c, const struct re *re, struct slice input)
{
    const json_t *want = conformance_get(c, "replace_all");
    struct buf b = {0};
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)want, key, value)
    {
        buf_reset(&b);
        gore_replace_all(&b, re, input, slice_cstr(key));
        (void)conformance_check_text(c, arena_printf(c->arena, "replace with %s", key),
                                     buf_slice(&b),
                                     slice_of(json_string_value(value), json_string_length(value)));
    }
    buf_done(&b);
}

CONFORMANCE(common, regexp_cases)
{
    struct slice pattern = conformance_text(c, "pattern"), input = conformance_text(c, "input");
    struct re *re = NULL, *matcher = NULL;
    int spans[MAX_SPANS];
    struct err *e = re_compile(pattern, 0, &re);
    json_t *got;

    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !conformance_bool(c, "ok"))
        goto out;
    (void)conformance_check_int(c, "groups", (int64_t)re_groups(re), conformance_int(c, "groups"));
    got = json_array();
    for (size_t i = 1; i <= re_groups(re); i++) {
        const char *name = re_group_name(re, i);

        (void)json_array_append_new(got, json_string(name ? name : ""));
    }
    (void)conformance_check_json(c, "names", got, conformance_get(c, "names"));
    json_decref(got);
    got = re_find(re, input, 0, spans, MAX_SPANS) ? spans_json(spans, 2 * (re_groups(re) + 1))
                                                  : json_null();
    (void)conformance_check_json(c, "first", got, conformance_get(c, "first"));
    json_decref(got);
    got = find_all(re, input);
    (void)conformance_check_json(c, "all", got, conformance_get(c, "all"));
    json_decref(got);
    check_replacements(c, re, input);
    e = re_compile(pattern, RE_ANCHORED, &matcher);
    if (conformance_check_ok(c, "label matcher", e, true))
        (void)conformance_check_bool(c, "label_match", re_match(matcher, input),
                                     conformance_bool(c, "label_match"));
out:
    re_free(re);
    re_free(matcher);
}
