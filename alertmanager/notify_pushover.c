/*
 * Pushover: a message in a form. Its limits are of runes; 4xx, 429 among them (the month's messages are used up), are
 * final.
 */
#include "alertmanager/notify_internal.h"
#include "common/base/promdur.h"

#define MAX_TITLE_RUNES 250
#define MAX_MESSAGE_RUNES 1024
#define MAX_URL_RUNES 512
#define API_URL "https://api.pushover.net/1/messages.json"

static void add_seconds(struct notify_render *r, struct buf *b, const char *key, const char *def)
{
    char text[24];
    int64_t ns = 0;
    struct err *e = promdur_parse(notify_raw(r->settings, key, def), &ns);

    if (e) {
        notify_fail(r, e);
        return;
    }
    snprintf(text, sizeof(text), "%lld", (long long)(ns / NS_PER_S));
    if (ns || strcmp(key, "ttl") != 0)
        notify_form(b, key, slice_cstr(text));
}

static void add_message(struct notify_render *r, struct buf *b)
{
    bool is_html = notify_bool(r->settings, "html", false);
    struct slice raw =
        notify_raw(r->settings, "message", "{{ template \"pushover.default.message\" . }}");
    struct slice s =
        notify_cut_runes(r, notify_expand(r, "message", raw, is_html), MAX_MESSAGE_RUNES);

    s = slice_trim(s);
    notify_form(b, "message", s.len ? s : SLICE("(no details)")); /* an empty one is refused */
    if (is_html)
        notify_form(b, "html", SLICE("1"));
    if (notify_bool(r->settings, "monospace", false))
        notify_form(b, "monospace", SLICE("1"));
}

static void add_some(struct notify_render *r, struct buf *b, const char *key)
{
    struct slice s = notify_text(r, key, NULL);

    if (s.len)
        notify_form(b, key, s);
}

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};

    if ((r->is_told = r->step > 0))
        return;
    notify_form(&b, "token", notify_expand(r, "token", notify_secret(r, "token", NULL), false));
    notify_form(&b, "user",
                notify_expand(r, "user_key", notify_secret(r, "user_key", NULL), false));
    notify_form(
        &b, "title",
        notify_cut_runes(r, notify_text(r, "title", "{{ template \"pushover.default.title\" . }}"),
                         MAX_TITLE_RUNES));
    add_message(r, &b);
    notify_form(&b, "url",
                notify_cut_runes(r,
                                 notify_text(r, "url", "{{ template \"pushover.default.url\" . }}"),
                                 MAX_URL_RUNES));
    add_some(r, &b, "url_title");
    notify_form(&b, "priority",
                notify_text(r, "priority", "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}"));
    add_seconds(r, &b, "retry", "1m");
    add_seconds(r, &b, "expire", "1h");
    add_seconds(r, &b, "ttl", "0s");
    add_some(r, &b, "device");
    add_some(r, &b, "sound");
    notify_post(r, SLICE(API_URL), &b);
    r->request.content_type = "application/x-www-form-urlencoded";
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    (void)r;
    *may_retry = a->status / 100 == 5;
    return NULL;
}

const struct notify_kind notify_kind_pushover = {
    .name = "pushover", .build = build, .judge = judge};
