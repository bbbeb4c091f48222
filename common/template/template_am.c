/* Alertmanager's functions. */
#include "common/template/template_am.h"

#include <stdlib.h>

#include "common/template/template_text.h"

static struct err *take_text(struct value_call *call, struct buf *b, struct value *ret)
{
    if (!buf_ok(b)) {
        buf_done(b);
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    }
    *ret = value_take_text(call->arena, b);
    return NULL;
}

static struct err *wrong_type(struct value_call *call, const struct value *v, const char *want)
{
    return err_new(ERR_EXEC, "wrong type for value; expected %s; got %s", want,
                   value_type_text(call->arena, v));
}

static struct err *func_trim_space(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    (void)call, (void)n;
    *ret = value_string(slice_trim(args[0].s));
    return NULL;
}

static struct err *func_join(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    if (args[1].type != &value_type_list_string)
        return wrong_type(call, &args[1], "[]string");
    for (size_t i = 0; i < args[1].list.n; i++) {
        if (i)
            buf_slice_append(&b, args[0].s);
        buf_slice_append(&b, args[1].list.items[i].s);
    }
    return take_text(call, &b, ret);
}

static struct err *func_string_slice(struct value_call *call, const struct value *args, size_t n,
                                     struct value *ret)
{
    struct value *items = arena_array(call->arena, struct value, n);

    if (n)
        memcpy(items, args, n * sizeof(*items));
    *ret = value_list(items, n);
    ret->type = &value_type_list_string;
    return NULL;
}

static struct err *func_safe_url(struct value_call *call, const struct value *args, size_t n,
                                 struct value *ret)
{
    static const struct value_type type_url = {.name = "template.URL"};

    (void)call, (void)n;
    *ret = args[0];
    ret->type = &type_url;
    return NULL;
}

static struct err *func_date(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    if (args[1].kind != VALUE_TIME)
        return wrong_type(call, &args[1], "time.Time");
    gotime_format(&b, args[1].time, args[0].s);
    return take_text(call, &b, ret);
}

/* The zone's offset at that time is kept, not the zone: a time lives as long as its arena. */
static struct err *func_tz(struct value_call *call, const struct value *args, size_t n,
                           struct value *ret)
{
    struct gozone_period period;
    struct gozone *zone;
    struct gotime t;
    struct err *e;

    (void)n;
    if (args[1].kind != VALUE_TIME)
        return wrong_type(call, &args[1], "time.Time");
    if ((e = gozone_load(args[0].s, &zone)))
        return e;
    t = *args[1].time;
    period = gozone_at(zone, t.unix_s);
    t.zone = NULL;
    t.has_fixed = true;
    t.fixed_offset_s = period.offset_s;
    memset(t.fixed_abbrev, 0, sizeof(t.fixed_abbrev));
    if (period.abbrev.len)
        memcpy(t.fixed_abbrev, period.abbrev.ptr,
               ORR_MIN(period.abbrev.len, sizeof(t.fixed_abbrev) - 1));
    gozone_free(zone);
    *ret = value_time(call->arena, t);
    return NULL;
}

static struct err *func_since(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    const struct template_am *am = call->ctx;
    __int128 ns;

    (void)n;
    if (args[0].kind != VALUE_TIME)
        return wrong_type(call, &args[0], "time.Time");
    ns = am->now_ns - ((__int128)args[0].time->unix_s * 1000000000 + args[0].time->ns);
    *ret = value_duration(ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns);
    return NULL;
}

static struct err *func_must_to_date(struct value_call *call, const struct value *args, size_t n,
                                     struct value *ret)
{
    struct gotime t;
    struct err *e = gotime_parse(args[0].s, args[1].s, NULL, &t);

    (void)n;
    if (!e)
        *ret = value_time(call->arena, t);
    return e;
}

/* A text that is no date gives the zero time. */
static struct err *func_to_date(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    struct gotime t;
    struct err *e = gotime_parse(args[0].s, args[1].s, NULL, &t);

    (void)n;
    if (e)
        t = (struct gotime){.unix_s = -62135596800};
    err_free(e);
    *ret = value_time(call->arena, t);
    return NULL;
}

static struct err *func_to_json(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    if (!template_am_json(&b, &args[0]) && buf_ok(&b)) {
        buf_done(&b);
        return err_new(ERR_EXEC, "json: unsupported value");
    }
    return take_text(call, &b, ret);
}

static struct err *func_list(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct value *items = arena_array(call->arena, struct value, n);

    for (size_t i = 0; i < n; i++) {
        items[i] = args[i];
        items[i].is_any = true;
    }
    *ret = value_list(items, n);
    return NULL;
}

static struct err *func_append(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct value *items, more;
    size_t had = args[0].list.n;
    struct err *e;

    if (args[0].kind != VALUE_LIST || args[0].type)
        return wrong_type(call, &args[0], "[]interface {}");
    if ((e = func_list(call, args + 1, n - 1, &more)))
        return e;
    items = arena_array(call->arena, struct value, had + n - 1);
    if (had)
        memcpy(items, args[0].list.items, had * sizeof(*items));
    if (n > 1)
        memcpy(items + had, more.list.items, (n - 1) * sizeof(*items));
    *ret = value_list(items, had + n - 1);
    return NULL;
}

struct entry {
    struct value_member member;
    size_t at;
};

static int entry_order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = slice_cmp(x->member.name, y->member.name);

    return c ? c : (x->at > y->at) - (x->at < y->at);
}

static struct err *func_dict(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct entry *entries = arena_array(call->arena, struct entry, n / 2);
    struct value_member *members = arena_array(call->arena, struct value_member, n / 2);
    size_t kept = 0;

    if (n % 2)
        return err_new(ERR_EXEC, "dict requires an even number of arguments");
    for (size_t i = 0; i < n; i += 2) {
        if (args[i].kind != VALUE_STRING)
            return err_new(ERR_EXEC, "dict keys must be strings");
        entries[i / 2] = (struct entry){{args[i].s, args[i + 1]}, i};
        entries[i / 2].member.value.is_any = true;
    }
    qsort(entries, n / 2, sizeof(*entries), entry_order);
    for (size_t i = 0; i < n / 2; i++) {
        if (kept && slice_eq(members[kept - 1].name, entries[i].member.name))
            kept--; /* the last of a name wins */
        members[kept++] = entries[i].member;
    }
    *ret = value_map(members, kept);
    return NULL;
}

static struct err *func_route_labels(struct value_call *call, const struct value *args, size_t n,
                                     struct value *ret)
{
    const struct template_am *am = call->ctx;

    (void)n;
    *ret = value_string(labels_get(am->route_labels, args[0].s));
    return NULL;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct err *func_base64_encode(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};
    struct slice s = args[0].s;

    (void)n;
    for (size_t i = 0; i < s.len; i += 3) {
        size_t have = ORR_MIN(s.len - i, (size_t)3);
        uint32_t v = (uint32_t)s.ptr[i] << 16;

        v |= have > 1 ? (uint32_t)s.ptr[i + 1] << 8 : 0;
        v |= have > 2 ? s.ptr[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            buf_byte(&b, k <= have ? (uint8_t)base64_digits[v >> (18 - 6 * k) & 63] : '=');
    }
    return take_text(call, &b, ret);
}

static struct err *func_base64_decode(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};
    struct slice s = args[0].s;
    uint32_t bits = 0;
    size_t digits = 0, padding = 0;
    bool is_good = true;

    (void)n;
    for (size_t i = 0; i < s.len && is_good; i++) {
        const char *p = s.ptr[i] ? strchr(base64_digits, s.ptr[i]) : NULL;

        if (s.ptr[i] == '\n' || s.ptr[i] == '\r')
            continue;
        if (s.ptr[i] == '=') {
            padding++;
            continue;
        }
        is_good = p && !padding;
        if (!is_good)
            break;
        bits = bits << 6 | (uint32_t)(p - base64_digits);
        if (++digits % 4 != 1)
            buf_byte(&b, (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4))));
    }
    if (!is_good || (digits + padding) % 4 || padding > 2 || digits % 4 == 1) {
        buf_done(&b);
        return err_new(ERR_EXEC, "illegal base64 data");
    }
    return take_text(call, &b, ret);
}

static const struct value_func funcs[] = {
    {"toUpper", "s", template_text_upper},
    {"toLower", "s", template_text_lower},
    {"title", "s", template_text_title_lower},
    {"trimSpace", "s", func_trim_space},
    {"join", "sv", func_join},
    {"match", "ss", template_text_match},
    {"safeHtml", "s", template_text_safe_html},
    {"safeUrl", "s", func_safe_url},
    {"urlUnescape", "s", template_text_query_unescape},
    {"reReplaceAll", "sss", template_text_replace_all},
    {"stringSlice", "s*", func_string_slice},
    {"date", "sv", func_date},
    {"tz", "sv", func_tz},
    {"since", "v", func_since},
    {"humanizeDuration", "v", template_text_humanize_duration},
    {"toDate", "ss", func_to_date},
    {"mustToDate", "ss", func_must_to_date},
    {"toJson", "v", func_to_json},
    {"dict", "v*", func_dict},
    {"list", "v*", func_list},
    {"append", "vv*", func_append},
    {"routeLabels", "s", func_route_labels},
    {"base64encode", "s", func_base64_encode},
    {"base64decode", "s", func_base64_decode},
};
const struct template_funcs template_am_funcs = {funcs, ORR_COUNT(funcs), NULL};
