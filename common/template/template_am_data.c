/* The data of a notification as values, and its JSON. */
#include <inttypes.h>
#include <math.h>

#include "common/base/num.h"
#include "common/template/template_am.h"
#include "common/template/valuefmt.h"

#define YEAR_1 (-62135596800) /* Go's zero time */

static const struct value_type type_pairs, type_alerts;
static const struct value_type type_pair = {.name = "template.Pair"};
static const struct value_type type_alert = {.name = "template.Alert"};
static const struct value_type type_data = {.name = "template.Data"};

/* Label sets */

static void print_kv(struct buf *out, const struct value *v)
{
    for (size_t i = 0; i < v->map.n; i++) {
        const struct value_member *m = &v->map.members[i];

        buf_printf(out, "%s%.*s=", i ? ", " : "", SLICE_ARG(m->name));
        buf_slice_append(out, m->value.s);
    }
}

static void print_pairs(struct buf *out, const struct value *v)
{
    for (size_t i = 0; i < v->list.n; i++) {
        const struct value *pair = &v->list.items[i];

        buf_printf(out, "%s%.*s=", i ? ", " : "", SLICE_ARG(pair->map.members[0].value.s));
        buf_slice_append(out, pair->map.members[1].value.s);
    }
}

/* Alertmanager puts alertname before all other names. */
static struct err *kv_sorted_pairs(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    const struct value *kv = &args[0], *first = value_get(kv, SLICE("alertname"));
    struct value *items = arena_array(call->arena, struct value, kv->map.n);
    size_t at = first != NULL;

    (void)n;
    for (size_t i = 0; i < kv->map.n; i++) {
        const struct value_member *m = &kv->map.members[i];
        struct value_member *pair = arena_array(call->arena, struct value_member, 2);

        pair[0] = (struct value_member){SLICE("Name"), value_string(m->name)};
        pair[1] = (struct value_member){SLICE("Value"), m->value};
        items[&m->value == first ? 0 : at++] = value_struct(&type_pair, pair, 2);
    }
    *ret = value_list(items, kv->map.n);
    ret->type = &type_pairs;
    return NULL;
}

/* Member which (0: name, 1: value) of each pair. */
static struct value column(struct arena *a, const struct value *pairs, size_t which)
{
    struct value *items = arena_array(a, struct value, pairs->list.n);
    struct value v = value_list(items, pairs->list.n);

    for (size_t i = 0; i < pairs->list.n; i++)
        items[i] = pairs->list.items[i].map.members[which].value;
    v.type = &value_type_list_string;
    return v;
}

static struct err *pairs_names(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    (void)n;
    *ret = column(call->arena, &args[0], 0);
    return NULL;
}

static struct err *pairs_values(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)n;
    *ret = column(call->arena, &args[0], 1);
    return NULL;
}

static struct err *kv_names(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    struct value pairs;
    struct err *e = kv_sorted_pairs(call, args, n, &pairs);

    *ret = column(call->arena, &pairs, 0);
    return e;
}

static struct err *kv_values(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct value pairs;
    struct err *e = kv_sorted_pairs(call, args, n, &pairs);

    *ret = column(call->arena, &pairs, 1);
    return e;
}

static struct err *kv_remove(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct value_member *members = arena_array(call->arena, struct value_member, args[0].map.n);
    size_t kept = 0;

    (void)n;
    if (args[1].type != &value_type_list_string)
        return err_new(ERR_EXEC, "wrong type for value; expected []string; got %s",
                       value_type_text(call->arena, &args[1]));
    for (size_t i = 0; i < args[0].map.n; i++) {
        bool is_removed = false;

        for (size_t k = 0; k < args[1].list.n && !is_removed; k++)
            is_removed = slice_eq(args[0].map.members[i].name, args[1].list.items[k].s);
        if (!is_removed)
            members[kept++] = args[0].map.members[i];
    }
    *ret = value_map(members, kept);
    ret->type = args[0].type;
    return NULL;
}

static const struct value_func kv_methods[] = {
    {"SortedPairs", "", kv_sorted_pairs},
    {"Names", "", kv_names},
    {"Values", "", kv_values},
    {"Remove", "v", kv_remove},
};
static const struct value_type type_kv = {.name = "template.KV",
                                          .methods = kv_methods,
                                          .n_methods = ORR_COUNT(kv_methods),
                                          .print = print_kv,
                                          .elem = VALUE_STRING};
static const struct value_func pairs_methods[] = {
    {"Names", "", pairs_names},
    {"Values", "", pairs_values},
};
static const struct value_type type_pairs = {.name = "template.Pairs",
                                             .methods = pairs_methods,
                                             .n_methods = ORR_COUNT(pairs_methods),
                                             .print = print_pairs,
                                             .elem = VALUE_STRUCT};

/* Alerts */

static struct value with_status(struct arena *a, const struct value *alerts, const char *status)
{
    struct value *items = arena_array(a, struct value, alerts->list.n);
    size_t n = 0;
    struct value v;

    for (size_t i = 0; i < alerts->list.n; i++)
        if (slice_eq_cstr(alerts->list.items[i].map.members[0].value.s, status))
            items[n++] = alerts->list.items[i];
    v = value_list(items, n);
    v.type = alerts->type;
    return v;
}

static struct err *alerts_firing(struct value_call *call, const struct value *args, size_t n,
                                 struct value *ret)
{
    (void)n;
    *ret = with_status(call->arena, &args[0], "firing");
    return NULL;
}

static struct err *alerts_resolved(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    (void)n;
    *ret = with_status(call->arena, &args[0], "resolved");
    return NULL;
}

static const struct value_func alerts_methods[] = {
    {"Firing", "", alerts_firing},
    {"Resolved", "", alerts_resolved},
};
static const struct value_type type_alerts = {.name = "template.Alerts",
                                              .methods = alerts_methods,
                                              .n_methods = ORR_COUNT(alerts_methods),
                                              .elem = VALUE_STRUCT};

static struct value kv_of(struct arena *a, struct labels ls)
{
    struct value v = value_labels(a, ls);

    v.type = &type_kv;
    return v;
}

static struct value alert_value(struct arena *a, const struct template_am_alert *alert)
{
    struct value_member *m = arena_array(a, struct value_member, 7);
    struct gotime never = {.unix_s = YEAR_1};

    m[0] = (struct value_member){
        SLICE("Status"), value_string(alert->is_resolved ? SLICE("resolved") : SLICE("firing"))};
    m[1] = (struct value_member){SLICE("Labels"), kv_of(a, alert->labels)};
    m[2] = (struct value_member){SLICE("Annotations"), kv_of(a, alert->annotations)};
    m[3] = (struct value_member){SLICE("StartsAt"), value_time(a, alert->starts_at)};
    m[4] = (struct value_member){SLICE("EndsAt"),
                                 value_time(a, alert->is_resolved ? alert->ends_at : never)};
    m[5] = (struct value_member){SLICE("GeneratorURL"), value_string(alert->generator_url)};
    m[6] = (struct value_member){
        SLICE("Fingerprint"),
        value_string(slice_cstr(arena_printf(a, "%016" PRIx64, alert->fingerprint)))};
    return value_struct(&type_alert, m, 7);
}

/* What all alerts have in common. */
static struct value common_labels(struct arena *a, const struct template_am *am,
                                  bool is_annotations)
{
    struct value_member *m;
    struct labels first = {0};
    struct value v;
    size_t n = 0;

    if (am->n_alerts)
        first = is_annotations ? am->alerts[0].annotations : am->alerts[0].labels;
    m = arena_array(a, struct value_member, first.n);
    for (size_t i = 0; i < first.n; i++) {
        const struct label *l = &first.ptr[i];
        bool is_common = true;

        for (size_t k = 1; k < am->n_alerts && is_common; k++) {
            struct labels ls = is_annotations ? am->alerts[k].annotations : am->alerts[k].labels;

            is_common = labels_has(ls, l->name) && slice_eq(labels_get(ls, l->name), l->value);
        }
        if (is_common)
            m[n++] = (struct value_member){l->name, value_string(l->value)};
    }
    v = value_map(m, n);
    v.type = &type_kv;
    return v;
}

/* Alertmanager gives the receiver's name as a regular expression that matches it alone. */
static struct slice quote_meta(struct arena *a, struct slice name)
{
    struct buf b = {0};
    struct value v;

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] && strchr("\\.+*?()|[]{}^$", name.ptr[i]))
            buf_byte(&b, '\\');
        buf_byte(&b, name.ptr[i]);
    }
    v = value_take_text(a, &b);
    return v.s;
}

struct value template_am_data(struct arena *a, const struct template_am *am)
{
    struct value_member *m = arena_array(a, struct value_member, 9);
    struct value *items = arena_array(a, struct value, am->n_alerts);
    struct slice status = SLICE("resolved");
    struct value alerts = value_list(items, am->n_alerts), data;

    for (size_t i = 0; i < am->n_alerts; i++) {
        items[i] = alert_value(a, &am->alerts[i]);
        if (!am->alerts[i].is_resolved)
            status = SLICE("firing");
    }
    alerts.type = &type_alerts;
    m[0] = (struct value_member){SLICE("Receiver"), value_string(quote_meta(a, am->receiver))};
    m[1] = (struct value_member){SLICE("Status"), value_string(status)};
    m[2] = (struct value_member){SLICE("Alerts"), alerts};
    m[3] = (struct value_member){SLICE("NotificationReason"), value_string(am->reason)};
    m[4] = (struct value_member){SLICE("GroupLabels"), kv_of(a, am->group_labels)};
    m[5] = (struct value_member){SLICE("CommonLabels"), common_labels(a, am, false)};
    m[6] = (struct value_member){SLICE("CommonAnnotations"), common_labels(a, am, true)};
    m[7] = (struct value_member){SLICE("RouteLabels"), kv_of(a, am->route_labels)};
    m[8] = (struct value_member){SLICE("ExternalURL"), value_string(am->external_url)};
    data = value_struct(&type_data, m, 9);
    data.is_pointer = true;
    return data;
}

/* JSON */

/* A string with Go's HTML escapes. */
static void json_text(struct buf *out, struct slice s)
{
    struct buf b = {.max_bytes = out->max_bytes};

    buf_json_str(&b, s);
    for (size_t i = 0; i < b.len; i++) {
        if (strchr("<>&", b.ptr[i]) && b.ptr[i])
            buf_printf(out, "\\u%04x", b.ptr[i]);
        else
            buf_byte(out, b.ptr[i]);
    }
    if (!buf_ok(&b))
        out->is_over = true;
    buf_done(&b);
}

/* The members of Data and Alert have names of their own in JSON. */
static void json_name(struct buf *out, const struct value *v, struct slice name)
{
    char first[2] = {0};

    if (v->type != &type_data && v->type != &type_alert) {
        json_text(out, name);
    } else if (slice_eq_cstr(name, "NotificationReason")) {
        buf_str(out, "\"notification_reason\"");
    } else {
        first[0] = (char)(name.ptr[0] | 0x20);
        buf_printf(out, "\"%s%.*s\"", first, SLICE_ARG(slice_from(name, 1)));
    }
}

static bool json_value(struct buf *out, const struct value *v, unsigned depth)
{
    bool is_good = depth < VALUEFMT_MAX_DEPTH;

    switch (v->kind) {
    case VALUE_INVALID:
        buf_str(out, "null");
        break;
    case VALUE_STRING:
        json_text(out, v->s);
        break;
    case VALUE_FLOAT:
        if (!isfinite(v->f))
            return false;
        num_format(out, v->f, v->f != 0 && (fabs(v->f) < 1e-6 || fabs(v->f) >= 1e21) ? 'e' : 'f',
                   -1);
        break;
    case VALUE_TIME:
        buf_byte(out, '"');
        gotime_format(out, v->time, SLICE(GOTIME_RFC3339_NANO));
        buf_byte(out, '"');
        break;
    case VALUE_COMPLEX:
        return false;
    case VALUE_BOOL:
        buf_str(out, v->b ? "true" : "false");
        break;
    case VALUE_INT:
    case VALUE_UINT:
        buf_printf(out, "%" PRId64, v->i);
        break;
    case VALUE_LIST:
        for (size_t i = 0; i < v->list.n && is_good && buf_ok(out); i++) {
            buf_byte(out, i ? ',' : '[');
            is_good = json_value(out, &v->list.items[i], depth + 1);
        }
        buf_str(out, v->list.n ? "]" : "[]");
        break;
    case VALUE_MAP:
    case VALUE_STRUCT:
        for (size_t i = 0; i < v->map.n && is_good && buf_ok(out); i++) {
            buf_byte(out, i ? ',' : '{');
            json_name(out, v, v->map.members[i].name);
            buf_byte(out, ':');
            is_good = json_value(out, &v->map.members[i].value, depth + 1);
        }
        buf_str(out, v->map.n ? "}" : "{}");
        break;
    }
    return is_good && buf_ok(out);
}

bool template_am_json(struct buf *out, const struct value *v)
{
    return json_value(out, v, 0);
}
