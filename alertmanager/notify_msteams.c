/* Microsoft Teams: connectors (message cards), and workflows (adaptive cards, v2). */
#include "alertmanager/notify_internal.h"

#define RED "8C1A1A"
#define GREEN "2DC72D"

static void build_card(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};

    if ((r->is_told = r->step > 0))
        return;
    buf_str(&b, "{\"@context\":\"http://schema.org/extensions\",\"type\":\"MessageCard\"");
    notify_json(&b, "title", notify_text(r, "title", "{{ template \"msteams.default.title\" . }}"));
    notify_json(&b, "summary",
                notify_text(r, "summary", "{{ template \"msteams.default.summary\" . }}"));
    notify_json(&b, "text", notify_text(r, "text", "{{ template \"msteams.default.text\" . }}"));
    notify_json(&b, "themeColor", slice_cstr(r->is_firing ? RED : GREEN));
    buf_byte(&b, '}');
    notify_post(r, notify_secret(r, "webhook_url", NULL), &b);
}

static void build_adaptive(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};

    if ((r->is_told = r->step > 0))
        return;
    buf_str(&b, "{\"type\":\"message\",\"attachments\":[{\"contentType\":"
                "\"application/vnd.microsoft.card.adaptive\",\"contentUrl\":null,\"content\":{"
                "\"$schema\":\"http://adaptivecards.io/schemas/adaptive-card.json\","
                "\"type\":\"AdaptiveCard\",\"version\":\"1.2\",\"body\":[{\"type\":\"TextBlock\","
                "\"weight\":\"Bolder\",\"size\":\"Medium\",\"wrap\":true,\"style\":\"heading\"");
    notify_json(&b, "text",
                notify_text(r, "title", "{{ template \"msteamsv2.default.title\" . }}"));
    notify_json(&b, "color", slice_cstr(r->is_firing ? "Attention" : "Good"));
    buf_str(&b, "},{\"type\":\"TextBlock\",\"wrap\":true");
    notify_json(&b, "text", notify_text(r, "text", "{{ template \"msteamsv2.default.text\" . }}"));
    buf_str(&b, "}],\"msteams\":{\"width\":\"full\"}}}]}");
    notify_post(r, notify_secret(r, "webhook_url", NULL), &b);
}

const struct notify_kind notify_kind_msteams = {.name = "msteams", .build = build_card};
const struct notify_kind notify_kind_msteamsv2 = {.name = "msteamsv2", .build = build_adaptive};
