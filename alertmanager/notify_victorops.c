/* VictorOps (Splunk On-Call): the REST endpoint; key and routing key are part of the address. */
#include "alertmanager/notify_internal.h"

#define MAX_MESSAGE_RUNES 20480
#define API_URL "https://alert.victorops.com/integrations/generic/20131114/alert/"

static const char *message_type(struct notify_render *r)
{
    static const char *const allowed[] = {"INFO", "WARNING", "CRITICAL"};
    struct slice s = notify_text(r, "message_type", "CRITICAL");

    for (size_t i = 0; i < ORR_COUNT(allowed); i++)
        if (r->is_firing && slice_eq_cstr(s, allowed[i]))
            return allowed[i];
    return r->is_firing ? "CRITICAL" : "RECOVERY";
}

static void build(struct notify_render *r)
{
    const struct yaml_node *custom = yaml_get(r->settings, "custom_fields");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice base, key, route;

    if ((r->is_told = r->step > 0))
        return;
    base = notify_address(r, "api_url", "victorops_api_url", API_URL);
    key = notify_secret(r, "api_key", "victorops_api_key");
    route = notify_text(r, "routing_key", NULL);
    buf_byte(&b, '{');
    notify_json(&b, "message_type", slice_cstr(message_type(r)));
    notify_json(&b, "entity_id", notify_key_hash(r));
    notify_json(&b, "entity_display_name",
                notify_text(r, "entity_display_name",
                            "{{ template \"victorops.default.entity_display_name\" . }}"));
    notify_json(
        &b, "state_message",
        notify_cut_runes(
            r,
            notify_text(r, "state_message", "{{ template \"victorops.default.state_message\" . }}"),
            MAX_MESSAGE_RUNES));
    notify_json(&b, "monitoring_tool",
                notify_text(r, "monitoring_tool",
                            "{{ template \"victorops.default.monitoring_tool\" . }}"));
    for (size_t i = 0; custom && custom->kind == YAML_KIND_MAP && i < custom->n; i++) {
        const char *name = arena_cstr(r->arena, custom->keys[i].text);

        notify_json(&b, name, notify_text_at(r, custom, i));
    }
    buf_byte(&b, '}');
    if (slice_has_suffix(base, SLICE("/")))
        base.len--;
    notify_post(r,
                slice_cstr(arena_printf(r->arena, "%.*s/%.*s/%.*s", SLICE_ARG(base), SLICE_ARG(key),
                                        SLICE_ARG(route))),
                &b);
}

const struct notify_kind notify_kind_victorops = {.name = "victorops", .build = build};
