/* Webex: a message to a room; who speaks stands in http_config. */
#include "alertmanager/notify_internal.h"

#define MAX_MESSAGE_BYTES 7439
#define API_URL "https://webexapis.com/v1/messages"

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice text;

    if ((r->is_told = r->step > 0))
        return;
    text = notify_text(r, "message", "{{ template \"webex.default.message\" . }}");
    buf_byte(&b, '{');
    notify_json(&b, "markdown", notify_cut_bytes(r, text, MAX_MESSAGE_BYTES));
    notify_json(&b, "roomId", notify_text(r, "room_id", NULL));
    buf_byte(&b, '}');
    notify_post(r, notify_address(r, "api_url", "webex_api_url", API_URL), &b);
}

const struct notify_kind notify_kind_webex = {.name = "webex", .build = build};
