/* Discord: a webhook's message with one embed. */
#include "alertmanager/notify_internal.h"

#define MAX_TITLE_RUNES 256
#define MAX_DESCRIPTION_RUNES 4096
#define MAX_CONTENT_RUNES 2000
#define RED 0x992d22
#define GREEN 0x2ecc71

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice title, message, content;

    if ((r->is_told = r->step > 0))
        return;
    content = notify_text(r, "content", "{{ template \"discord.default.content\" . }}");
    title = notify_text(r, "title", "{{ template \"discord.default.title\" . }}");
    message = notify_text(r, "message", "{{ template \"discord.default.message\" . }}");
    buf_byte(&b, '{');
    notify_json(&b, "content", notify_cut_runes(r, content, MAX_CONTENT_RUNES));
    notify_json_key(&b, "embeds");
    buf_str(&b, "[{");
    notify_json(&b, "title", notify_cut_runes(r, title, MAX_TITLE_RUNES));
    notify_json(&b, "description", notify_cut_runes(r, message, MAX_DESCRIPTION_RUNES));
    notify_json_key(&b, "color");
    buf_printf(&b, "%d}]", r->is_firing ? RED : GREEN);
    notify_json_some(&b, "username", notify_text(r, "username", NULL));
    notify_json_some(&b, "avatar_url", notify_text(r, "avatar_url", NULL));
    buf_byte(&b, '}');
    notify_post(r, notify_secret(r, "webhook_url", NULL), &b);
}

const struct notify_kind notify_kind_discord = {.name = "discord", .build = build};
