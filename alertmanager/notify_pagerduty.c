/*
 * PagerDuty: the Events API v2 with a routing key, v1 with a service key. v1 limits the rate with 403, v2 with 429:
 * both may be tried again.
 */
#include "alertmanager/notify_internal.h"

#define MAX_SUMMARY_RUNES 1024
#define MAX_EVENT_BYTES 512000
#define V1_URL "https://events.pagerduty.com/generic/2010-04-15/create_event.json"
#define V2_URL "https://events.pagerduty.com/v2/enqueue"
#define TOO_LARGE                                                                                  \
    "{\"error\":\"Custom details have been removed because the original event exceeds the "        \
    "maximum "                                                                                     \
    "size of 512KB\"}"

static const char *const own_details[][2] = {
    {"firing", "{{ .Alerts.Firing | toJson }}"},
    {"resolved", "{{ .Alerts.Resolved | toJson }}"},
    {"num_firing", "{{ .Alerts.Firing | len }}"},
    {"num_resolved", "{{ .Alerts.Resolved | len }}"},
};

static void add_details(struct notify_render *r, struct buf *b, bool is_cut)
{
    const struct yaml_node *details = yaml_get(r->settings, "details");

    if (is_cut) {
        buf_str(b, TOO_LARGE);
        return;
    }
    buf_byte(b, '{');
    for (size_t i = 0; i < ORR_COUNT(own_details); i++) {
        if (yaml_get(details, own_details[i][0]))
            continue;
        notify_json_key(b, own_details[i][0]);
        notify_value_text(
            r, b, notify_expand(r, own_details[i][0], slice_cstr(own_details[i][1]), false));
    }
    for (size_t i = 0; details && details->kind == YAML_KIND_MAP && i < details->n; i++) {
        buf_json_comma(b);
        buf_json_str(b, details->keys[i].text);
        buf_byte(b, ':');
        notify_value(r, b, "details", details->items[i]);
    }
    buf_byte(b, '}');
}

/* Items of a list of settings, as objects with these keys; without the first key's text an item is left out. */
static void add_list(struct notify_render *r, struct buf *b, const char *name,
                     const char *const *keys, size_t n_keys)
{
    const struct yaml_node *list = yaml_get(r->settings, name);
    struct buf items = {.max_bytes = NOTIFY_MAX_BODY};

    for (size_t i = 0; i < notify_items(list); i++) {
        if (!notify_text_of(r, list->items[i], keys[0], NULL).len)
            continue;
        buf_str(&items, items.len ? ",{" : "{");
        for (size_t k = 0; k < n_keys; k++)
            notify_json(&items, keys[k], notify_text_of(r, list->items[i], keys[k], NULL));
        buf_byte(&items, '}');
    }
    if (items.len) {
        notify_json_key(b, name);
        buf_byte(b, '[');
        buf_slice_append(b, buf_slice(&items));
        buf_byte(b, ']');
    }
    b->is_over |= items.is_over;
    buf_done(&items);
}

static struct slice summary(struct notify_render *r)
{
    return notify_cut_runes(
        r, notify_text(r, "description", "{{ template \"pagerduty.default.description\" .}}"),
        MAX_SUMMARY_RUNES);
}

static void add_client(struct notify_render *r, struct buf *b)
{
    notify_json_some(b, "client",
                     notify_text(r, "client", "{{ template \"pagerduty.default.client\" . }}"));
    notify_json_some(
        b, "client_url",
        notify_text(r, "client_url", "{{ template \"pagerduty.default.clientURL\" . }}"));
}

static void write_v1(struct notify_render *r, struct buf *b, struct slice key, bool is_cut)
{
    buf_byte(b, '{');
    notify_json(b, "service_key", key);
    notify_json(b, "event_type", slice_cstr(r->is_firing ? "trigger" : "resolve"));
    notify_json(b, "incident_key", notify_key_hash(r));
    notify_json_some(b, "description", summary(r));
    if (r->is_firing)
        add_client(r, b);
    notify_json_key(b, "details");
    add_details(r, b, is_cut);
    buf_byte(b, '}');
}

static void write_v2(struct notify_render *r, struct buf *b, struct slice key, bool is_cut)
{
    static const char *const links[] = {"href", "text"}, *const images[] = {"src", "alt", "href"};
    static const char *const more[] = {"class", "component", "group"};
    struct slice client =
        notify_raw(r->settings, "client", "{{ template \"pagerduty.default.client\" . }}");
    struct slice source = notify_raw(r->settings, "source", NULL);
    struct slice severity = notify_raw(r->settings, "severity", NULL);

    buf_byte(b, '{');
    notify_json(b, "routing_key", key);
    notify_json(b, "event_action", slice_cstr(r->is_firing ? "trigger" : "resolve"));
    notify_json(b, "dedup_key", notify_key_hash(r));
    add_client(r, b);
    add_list(r, b, "images", images, ORR_COUNT(images));
    add_list(r, b, "links", links, ORR_COUNT(links));
    notify_json_key(b, "payload");
    buf_byte(b, '{');
    notify_json(b, "summary", summary(r));
    notify_json(b, "source", notify_expand(r, "source", source.len ? source : client, false));
    notify_json(b, "severity",
                notify_expand(r, "severity", severity.len ? severity : SLICE("error"), false));
    for (size_t i = 0; i < ORR_COUNT(more); i++)
        notify_json_some(b, more[i], notify_text(r, more[i], NULL));
    notify_json_key(b, "custom_details");
    add_details(r, b, is_cut);
    buf_str(b, "}}");
}

static bool is_v1(const struct notify_render *r)
{
    return notify_raw(r->settings, "service_key", NULL).len ||
           notify_raw(r->settings, "service_key_file", NULL).len;
}

static void build(struct notify_render *r)
{
    const char *name = is_v1(r) ? "service_key" : "routing_key";
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice key;

    if ((r->is_told = r->step > 0))
        return;
    key = notify_expand(r, name, notify_secret(r, name, NULL), false);
    if (!r->e && !key.len)
        notify_fail(r, err_new(ERR_INVALID, "%s is empty", name));
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        buf_reset(&b);
        (is_v1(r) ? write_v1 : write_v2)(r, &b, key, is_cut);
        if (b.len <= MAX_EVENT_BYTES && buf_ok(&b))
            break;
        b.is_over = false;
    }
    notify_post(r, is_v1(r) ? SLICE(V1_URL) : notify_address(r, "url", "pagerduty_url", V2_URL),
                &b);
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    if (is_v1(r))
        *may_retry |= a->status == 403;
    return NULL;
}

const struct notify_kind notify_kind_pagerduty = {
    .name = "pagerduty", .build = build, .judge = judge};
