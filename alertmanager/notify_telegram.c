/*
 * Telegram: sendMessage of the bot API. With parse_mode HTML (the default) the values in the message are escaped, and a
 * message that is too long is replaced: cut, its tags would not be closed.
 *
 * Anything but 5xx and 429 is final.
 */
#include "alertmanager/notify_internal.h"

#define MAX_RUNES 4096
#define MAX_BYTES 32768 /* with its markup */
#define TOO_LONG                                                                                   \
    "Alertmanager's message is longer than Telegram takes: see the receiver's message template."

/* The runes that are seen: no tags, an entity is one. */
static size_t seen_runes(struct slice s)
{
    size_t n = 0;
    bool is_tag = false;

    for (size_t i = 0; i < s.len; i++) {
        ptrdiff_t end = s.ptr[i] == '&' ? slice_find_byte(slice_sub(s, i, 10), ';', 0) : -1;

        if (s.ptr[i] == '<')
            is_tag = true;
        else if (is_tag)
            is_tag = s.ptr[i] != '>';
        else if ((s.ptr[i] & 0xc0) != 0x80)
            n++;
        if (!is_tag && end > 0)
            i += (size_t)end;
    }
    return n;
}

static struct slice text_of(struct notify_render *r, struct slice mode)
{
    struct slice raw =
        notify_raw(r->settings, "message", "{{ template \"telegram.default.message\" . }}");
    bool is_html = slice_eq_cstr(mode, "HTML");
    struct slice s = notify_expand(r, "message", raw, is_html);

    if (!is_html)
        return notify_cut_runes(r, s, MAX_RUNES);
    return s.len > MAX_BYTES || seen_runes(s) > MAX_RUNES ? SLICE(TOO_LONG) : s;
}

static void build(struct notify_render *r)
{
    struct slice mode = notify_raw(r->settings, "parse_mode", "HTML"), base, token;
    struct slice thread = notify_raw(r->settings, "message_thread_id", NULL);
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};

    if ((r->is_told = r->step > 0))
        return;
    base = notify_address(r, "api_url", "telegram_api_url", "https://api.telegram.org");
    token = notify_secret(r, "bot_token", "telegram_bot_token");
    buf_byte(&b, '{');
    notify_json(&b, "chat_id", notify_secret(r, "chat_id", NULL));
    notify_json(&b, "text", text_of(r, mode));
    notify_json_some(&b, "parse_mode", mode);
    notify_json(&b, "disable_web_page_preview", SLICE("true"));
    if (notify_bool(r->settings, "disable_notifications", false))
        notify_json(&b, "disable_notification", SLICE("true"));
    if (thread.len && !slice_eq_cstr(thread, "0"))
        notify_json(&b, "message_thread_id", thread);
    buf_byte(&b, '}');
    if (slice_has_suffix(base, SLICE("/")))
        base.len--;
    notify_post(r,
                slice_cstr(arena_printf(r->arena, "%.*s/bot%.*s/sendMessage", SLICE_ARG(base),
                                        SLICE_ARG(token))),
                &b);
}

const struct notify_kind notify_kind_telegram = {.name = "telegram", .build = build};
