/*
 * Mattermost: an incoming webhook. What an attachment can have may stand in the settings themselves: that is one more
 * attachment.
 */
#include "alertmanager/notify_internal.h"

#define MAX_TEXT_RUNES 16383

static const char *const attachment_keys[] = {
    "fallback", "color",      "pretext",   "author_name", "author_link", "author_icon",
    "title",    "title_link", "thumb_url", "footer",      "footer_icon", "image_url",
};

static void add_attachment(struct notify_render *r, struct buf *b, const struct yaml_node *n)
{
    buf_json_comma(b);
    buf_byte(b, '{');
    for (size_t i = 0; i < ORR_COUNT(attachment_keys); i++)
        notify_json_some(b, attachment_keys[i], notify_text_of(r, n, attachment_keys[i], NULL));
    if (n != r->settings)
        notify_json_some(b, "text", notify_text_of(r, n, "text", NULL));
    notify_slack_fields(r, b, n);
    buf_byte(b, '}');
}

static void add_attachments(struct notify_render *r, struct buf *b)
{
    const struct yaml_node *list = yaml_get(r->settings, "attachments");
    bool has_own = notify_items(yaml_get(r->settings, "fields")) > 0;

    for (size_t i = 0; i < ORR_COUNT(attachment_keys); i++)
        has_own |= yaml_get(r->settings, attachment_keys[i]) != NULL;
    if (!has_own && !notify_items(list))
        return;
    notify_json_key(b, "attachments");
    buf_byte(b, '[');
    if (has_own)
        add_attachment(r, b, r->settings);
    for (size_t i = 0; i < notify_items(list); i++)
        add_attachment(r, b, list->items[i]);
    buf_byte(b, ']');
}

/* Urgent, important or standard; what the others may not have is left out. */
static void add_priority(struct notify_render *r, struct buf *b)
{
    static const char *const names[] = {"urgent", "important"};
    const struct yaml_node *n = yaml_get(r->settings, "priority");
    struct slice s = notify_text_of(r, n, "priority", NULL);
    const char *name = "standard";

    if (!s.len)
        return;
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_nocase(s, slice_cstr(names[i])))
            name = names[i];
    notify_json_key(b, "priority");
    buf_byte(b, '{');
    notify_json(b, "priority", slice_cstr(name));
    if (notify_bool(n, "requested_ack", false) && strcmp(name, "standard") != 0)
        buf_str(b, ",\"requested_ack\":true");
    if (notify_bool(n, "persistent_notifications", false) && strcmp(name, "urgent") == 0)
        buf_str(b, ",\"persistent_notifications\":true");
    buf_byte(b, '}');
}

static void build(struct notify_render *r)
{
    static const char *const keys[] = {"channel", "icon_url", "icon_emoji", "type"};
    const struct yaml_node *props = yaml_get(r->settings, "props");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice text, card;

    if ((r->is_told = r->step > 0))
        return;
    text = notify_text(r, "text", "{{ template \"mattermost.default.text\" . }}");
    buf_byte(&b, '{');
    notify_json(&b, "text", notify_cut_runes(r, text, MAX_TEXT_RUNES));
    notify_json_some(
        &b, "username",
        notify_text(r, "username", "{{ template \"mattermost.default.username\" . }}"));
    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        notify_json_some(&b, keys[i], notify_text(r, keys[i], NULL));
    add_attachments(r, &b);
    card = notify_text_of(r, props, "card", NULL);
    if (card.len) {
        notify_json_key(&b, "props");
        buf_byte(&b, '{');
        notify_json(&b, "card", card);
        buf_byte(&b, '}');
    }
    add_priority(r, &b);
    buf_byte(&b, '}');
    notify_post(r, notify_secret(r, "webhook_url", "mattermost_webhook_url"), &b);
}

const struct notify_kind notify_kind_mattermost = {.name = "mattermost", .build = build};
