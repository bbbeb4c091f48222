/*
 * The webhook: Alertmanager's body of version "4", or the payload of the settings. The address may be a template.
 */
#include <inttypes.h>
#include <string.h>

#include "alertmanager/notify_internal.h"

static struct labels labels_of(const struct alert *a, bool annotations)
{
    return annotations ? a->annotations : a->labels;
}

/* Pairs that all of them have. */
static void common(struct buf *out, const alert_vec *v, size_t n, bool annotations)
{
    struct labels first = n ? labels_of(v->ptr[0], annotations) : (struct labels){NULL, 0};
    bool any = false;

    buf_byte(out, '{');
    for (size_t i = 0; i < first.n; i++) {
        const struct label *l = &first.ptr[i];
        bool all = true;

        for (size_t k = 1; all && k < n; k++)
            all = slice_eq(labels_get(labels_of(v->ptr[k], annotations), l->name), l->value);
        if (!all)
            continue;
        buf_str(out, any ? "," : "");
        buf_json_str(out, l->name);
        buf_byte(out, ':');
        buf_json_str(out, l->value);
        any = true;
    }
    buf_byte(out, '}');
}

static void one(struct buf *out, const struct alert *a, int64_t now_ns)
{
    bool is_resolved = alert_is_resolved(a, now_ns);

    buf_printf(out, "{\"status\":\"%s\",\"labels\":", is_resolved ? "resolved" : "firing");
    labels_json(out, a->labels);
    buf_str(out, ",\"annotations\":");
    labels_json(out, a->annotations);
    buf_str(out, ",\"startsAt\":\"");
    alert_time_text(out, a->starts_ns);
    buf_str(out, "\",\"endsAt\":\"");
    alert_time_text(out, is_resolved ? a->ends_ns : INT64_MIN);
    buf_str(out, "\",\"generatorURL\":");
    buf_json_str(out, a->generator_url);
    buf_printf(out, ",\"fingerprint\":\"%016" PRIx64 "\"}", a->fingerprint);
}

/* regexp.QuoteMeta, which Alertmanager applies to the name */
static void receiver_name(struct buf *out, struct slice name)
{
    struct buf b = {0};

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] && strchr("\\.+*?()|[]{}^$", name.ptr[i]))
            buf_byte(&b, '\\');
        buf_byte(&b, name.ptr[i]);
    }
    buf_json_str(out, buf_slice(&b));
    buf_done(&b);
}

void notify_webhook_body(struct buf *out, const struct dispatch_note *note,
                         struct slice external_url, size_t max_alerts, const char *version)
{
    size_t total = note->alerts->len, n = max_alerts ? ORR_MIN(max_alerts, total) : total;
    bool any_firing = false;

    for (size_t i = 0; i < n; i++)
        any_firing |= !alert_is_resolved(note->alerts->ptr[i], note->now_ns);
    buf_str(out, "{\"receiver\":");
    receiver_name(out, note->receiver);
    buf_printf(out, ",\"status\":\"%s\",\"alerts\":[", any_firing ? "firing" : "resolved");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? "," : "");
        one(out, note->alerts->ptr[i], note->now_ns);
    }
    buf_str(out, "],\"groupLabels\":");
    labels_json(out, note->group_labels);
    buf_str(out, ",\"commonLabels\":");
    common(out, note->alerts, n, false);
    buf_str(out, ",\"commonAnnotations\":");
    common(out, note->alerts, n, true);
    buf_str(out, ",\"externalURL\":");
    buf_json_str(out, external_url);
    buf_str(out, ",\"notification_reason\":");
    buf_json_str(out, slice_cstr(nflog_reason_text(note->reason)));
    buf_printf(out, ",\"routeLabels\":{},\"version\":\"%s\",\"groupKey\":", version);
    buf_json_str(out, note->group_key);
    buf_printf(out, ",\"truncatedAlerts\":%zu}\n", total - n);
}

static void build(struct notify_render *r)
{
    const struct yaml_node *payload = yaml_get(r->settings, "payload");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    uint64_t max = 0;

    if ((r->is_told = r->step > 0))
        return;
    (void)slice_to_u64(notify_raw(r->settings, "max_alerts", "0"), &max);
    if (payload && !(payload->kind == YAML_KIND_SCALAR && yaml_is_null(payload)))
        notify_value(r, &b, "payload", payload);
    else
        notify_webhook_body(&b, &r->note, r->external_url, max, "4");
    notify_post(r, notify_expand(r, "url", notify_secret(r, "url", NULL), false), &b);
}

const struct notify_kind notify_kind_webhook = {.name = "webhook", .build = build};
