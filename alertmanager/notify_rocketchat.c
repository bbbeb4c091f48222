/* Rocket.Chat: chat.postMessage. An answer of 200 whose "success" is not true is a refusal, and final. */
#include "alertmanager/notify_internal.h"

#define MAX_TITLE_RUNES 1024
#define API_URL "https://open.rocket.chat/"

static void add_actions(struct notify_render *r, struct buf *b)
{
    static const char *const keys[] = {"text", "url", "msg"};
    const struct yaml_node *list = yaml_get(r->settings, "actions");

    if (!notify_items(list))
        return;
    notify_json_key(b, "actions");
    buf_byte(b, '[');
    for (size_t i = 0; i < list->n; i++) {
        buf_json_comma(b);
        buf_str(b, "{\"type\":\"button\"");
        for (size_t k = 0; k < ORR_COUNT(keys); k++)
            notify_json_some(b, keys[k], notify_text_of(r, list->items[i], keys[k], NULL));
        buf_byte(b, '}');
    }
    buf_byte(b, ']');
}

static void add_attachment(struct notify_render *r, struct buf *b)
{
    static const char *const keys[][2] = {
        {"title_link", "{{ template \"rocketchat.default.titlelink\" . }}"},
        {"text", "{{ template \"rocketchat.default.text\" . }}"},
        {"image_url", NULL},
        {"thumb_url", NULL},
        {"color", "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}"},
    };
    struct slice title = notify_text(r, "title", "{{ template \"rocketchat.default.title\" . }}");

    notify_json_key(b, "attachments");
    buf_str(b, "[{");
    notify_json_some(b, "title", notify_cut_runes(r, title, MAX_TITLE_RUNES));
    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        notify_json_some(b, keys[i][0], notify_text(r, keys[i][0], keys[i][1]));
    notify_slack_fields(r, b, r->settings);
    add_actions(r, b);
    buf_str(b, "}]");
}

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice base;

    if ((r->is_told = r->step > 0))
        return;
    base = notify_address(r, "api_url", "rocketchat_api_url", API_URL);
    if (slice_has_suffix(base, SLICE("/")))
        base.len--;
    buf_byte(&b, '{');
    notify_json_some(&b, "channel", notify_text(r, "channel", NULL));
    notify_json_some(&b, "emoji",
                     notify_text(r, "emoji", "{{ template \"rocketchat.default.emoji\" . }}"));
    notify_json_some(&b, "avatar",
                     notify_text(r, "icon_url", "{{ template \"rocketchat.default.iconurl\" . }}"));
    add_attachment(r, &b);
    buf_byte(&b, '}');
    notify_post(
        r, slice_cstr(arena_printf(r->arena, "%.*s/api/v1/chat.postMessage", SLICE_ARG(base))), &b);
    notify_header(r, "X-Auth-Token", notify_secret(r, "token", "rocketchat_token"));
    notify_header(r, "X-User-Id", notify_secret(r, "token_id", "rocketchat_token_id"));
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    (void)r;
    return a->status / 100 == 2 ? notify_judge_json(a, "rocketchat", "success", may_retry) : NULL;
}

const struct notify_kind notify_kind_rocketchat = {
    .name = "rocketchat", .build = build, .judge = judge};
