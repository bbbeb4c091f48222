/*
 * Slack: an incoming webhook, or chat.postMessage with a token. One message with one attachment.
 *
 * An answer of 200 may still refuse: JSON whose "ok" is false, or a text that is not "ok". That is final.
 */
#include "alertmanager/notify_internal.h"

#define MAX_TITLE_RUNES 1024
#define CHAT_URL "https://slack.com/api/chat.postMessage"

void notify_slack_fields(struct notify_render *r, struct buf *b, const struct yaml_node *node)
{
    const struct yaml_node *list = yaml_get(node, "fields");
    bool is_short = notify_bool(node, "short_fields", false);

    if (!notify_items(list))
        return;
    notify_json_key(b, "fields");
    buf_byte(b, '[');
    for (size_t i = 0; i < list->n; i++) {
        const struct yaml_node *f = list->items[i];

        buf_json_comma(b);
        buf_byte(b, '{');
        notify_json_some(b, "title", notify_text_of(r, f, "title", NULL));
        notify_json_some(b, "value", notify_text_of(r, f, "value", NULL));
        notify_json_key(b, "short");
        buf_str(b, notify_bool(f, "short", is_short) ? "true" : "false");
        buf_byte(b, '}');
    }
    buf_byte(b, ']');
}

static void add_confirm(struct notify_render *r, struct buf *b, const struct yaml_node *n)
{
    if (!n || yaml_is_null(n))
        return;
    notify_json_key(b, "confirm");
    buf_byte(b, '{');
    notify_json(b, "text", notify_text_of(r, n, "text", NULL));
    notify_json_some(b, "title", notify_text_of(r, n, "title", NULL));
    notify_json_some(b, "ok_text", notify_text_of(r, n, "ok_text", NULL));
    notify_json_some(b, "dismiss_text", notify_text_of(r, n, "dismiss_text", NULL));
    buf_byte(b, '}');
}

static void add_actions(struct notify_render *r, struct buf *b)
{
    static const char *const keys[] = {"url", "style", "name", "value"};
    const struct yaml_node *list = yaml_get(r->settings, "actions");

    if (!notify_items(list))
        return;
    notify_json_key(b, "actions");
    buf_byte(b, '[');
    for (size_t i = 0; i < list->n; i++) {
        const struct yaml_node *a = list->items[i];

        buf_json_comma(b);
        buf_byte(b, '{');
        notify_json(b, "type", notify_text_of(r, a, "type", NULL));
        notify_json(b, "text", notify_text_of(r, a, "text", NULL));
        for (size_t k = 0; k < ORR_COUNT(keys); k++)
            notify_json_some(b, keys[k], notify_text_of(r, a, keys[k], NULL));
        add_confirm(r, b, yaml_get(a, "confirm"));
        buf_byte(b, '}');
    }
    buf_byte(b, ']');
}

static void add_markdown(struct notify_render *r, struct buf *b)
{
    const struct yaml_node *list = yaml_get(r->settings, "mrkdwn_in");

    notify_json_key(b, "mrkdwn_in");
    if (!notify_items(list)) {
        buf_str(b, "[\"fallback\",\"pretext\",\"text\"]");
        return;
    }
    buf_byte(b, '[');
    for (size_t i = 0; i < list->n; i++) {
        buf_json_comma(b);
        buf_json_str(b, list->items[i]->text);
    }
    buf_byte(b, ']');
}

static void add_attachment(struct notify_render *r, struct buf *b)
{
    struct slice title = notify_text(r, "title", "{{ template \"slack.default.title\" . }}");

    notify_json_key(b, "attachments");
    buf_str(b, "[{");
    notify_json_some(b, "title", notify_cut_runes(r, title, MAX_TITLE_RUNES));
    notify_json_some(b, "title_link",
                     notify_text(r, "title_link", "{{ template \"slack.default.titlelink\" . }}"));
    notify_json_some(b, "pretext",
                     notify_text(r, "pretext", "{{ template \"slack.default.pretext\" . }}"));
    notify_json(b, "text", notify_text(r, "text", "{{ template \"slack.default.text\" . }}"));
    notify_json(b, "fallback",
                notify_text(r, "fallback", "{{ template \"slack.default.fallback\" . }}"));
    notify_json(b, "callback_id",
                notify_text(r, "callback_id", "{{ template \"slack.default.callbackid\" . }}"));
    notify_slack_fields(r, b, r->settings);
    add_actions(r, b);
    notify_json_some(b, "image_url", notify_text(r, "image_url", NULL));
    notify_json_some(b, "thumb_url", notify_text(r, "thumb_url", NULL));
    notify_json(b, "footer", notify_text(r, "footer", "{{ template \"slack.default.footer\" . }}"));
    notify_json_some(b, "color",
                     notify_text(r, "color", "{{ template \"slack.default.color\" . }}"));
    add_markdown(r, b);
    buf_str(b, "}]");
}

/* The address, and a token when one is used: the receiver's own, else global's. */
static struct slice where(struct notify_render *r)
{
    bool has_own = notify_raw(r->settings, "api_url", NULL).len ||
                   notify_raw(r->settings, "api_url_file", NULL).len;
    struct slice own = notify_secret(r, "app_token", NULL);
    struct slice token =
        own.len || has_own ? own : notify_secret(r, "app_token", "slack_app_token");
    struct slice app_url = notify_address(r, "app_url", "slack_app_url", CHAT_URL);

    if (!token.len)
        return notify_secret(r, "api_url", "slack_api_url");
    notify_header(r, "Authorization",
                  slice_cstr(arena_printf(r->arena, "Bearer %.*s", SLICE_ARG(token))));
    return has_own ? notify_secret(r, "api_url", NULL) : app_url;
}

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice url;

    if ((r->is_told = r->step > 0))
        return;
    url = where(r);
    buf_byte(&b, '{');
    notify_json_some(&b, "channel", notify_text(r, "channel", NULL));
    notify_json_some(&b, "username",
                     notify_text(r, "username", "{{ template \"slack.default.username\" . }}"));
    notify_json_some(&b, "icon_emoji",
                     notify_text(r, "icon_emoji", "{{ template \"slack.default.iconemoji\" . }}"));
    notify_json_some(&b, "icon_url",
                     notify_text(r, "icon_url", "{{ template \"slack.default.iconurl\" . }}"));
    notify_json_some(&b, "text", notify_text(r, "message_text", NULL));
    if (notify_bool(r->settings, "link_names", false)) {
        notify_json_key(&b, "link_names");
        buf_str(&b, "true");
    }
    add_attachment(r, &b);
    buf_byte(&b, '}');
    notify_post(r, url, &b);
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    (void)r;
    if (a->status / 100 != 2)
        return NULL;
    *may_retry = false;
    if (slice_has_prefix(a->content_type, SLICE("application/json")))
        return notify_judge_json(a, "slack", "ok", may_retry);
    return slice_eq_cstr(slice_trim(a->body), "ok")
               ? NULL
               : err_new(ERR_NET, "slack answered %d, but \"%.*s\" instead of ok", a->status,
                         SLICE_ARG(slice_sub(a->body, 0, 200)));
}

const struct notify_kind notify_kind_slack = {.name = "slack", .build = build, .judge = judge};
