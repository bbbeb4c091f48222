/*
 * Opsgenie: an alert of the group's hash is created or closed; with update_alerts its message and description are
 * brought up to date by two more requests.
 */
#include "alertmanager/notify_internal.h"

#define MAX_MESSAGE_RUNES 130

enum { CREATE, UPDATE_MESSAGE, UPDATE_DESCRIPTION };

/* "a,b" as a list, what is empty left out; nothing when all is. */
static void add_words(struct buf *b, const char *key, struct slice words)
{
    struct slice rest = slice_trim(words), word;
    bool is_open = false;

    while (rest.len && slice_split(&rest, ',', &word)) {
        if (!word.len)
            continue;
        if (!is_open) {
            notify_json_key(b, key);
            buf_byte(b, '[');
        }
        is_open = true;
        buf_json_comma(b);
        buf_json_str(b, word);
    }
    if (is_open)
        buf_byte(b, ']');
}

static void add_teams(struct buf *b, struct slice names)
{
    struct slice rest = slice_trim(names), name;

    while (rest.len && slice_split(&rest, ',', &name)) {
        if (!name.len)
            continue;
        buf_json_comma(b);
        buf_byte(b, '{');
        notify_json(b, "name", name);
        buf_str(b, ",\"type\":\"team\"}");
    }
}

static void add_responders(struct notify_render *r, struct buf *b)
{
    static const char *const keys[] = {"id", "name", "username"};
    const struct yaml_node *list = yaml_get(r->settings, "responders");
    size_t start = b->len, empty;

    if (!notify_items(list))
        return;
    notify_json_key(b, "responders");
    buf_byte(b, '[');
    empty = b->len;
    for (size_t i = 0; i < list->n; i++) {
        struct slice type = notify_text_of(r, list->items[i], "type", NULL), texts[ORR_COUNT(keys)];
        bool any = type.len > 0;

        for (size_t k = 0; k < ORR_COUNT(keys); k++) {
            texts[k] = notify_text_of(r, list->items[i], keys[k], NULL);
            any |= texts[k].len > 0;
        }
        if (slice_eq_cstr(type, "teams")) {
            add_teams(b, texts[1]);
        } else if (any) {
            buf_json_comma(b);
            buf_byte(b, '{');
            for (size_t k = 0; k < ORR_COUNT(keys); k++)
                notify_json_some(b, keys[k], texts[k]);
            notify_json(b, "type", type);
            buf_byte(b, '}');
        }
    }
    if (b->len == empty)
        b->len = start;
    else
        buf_byte(b, ']');
}

/* Labels that all alerts have, and the settings' over them. */
static void add_details(struct notify_render *r, struct buf *b)
{
    const struct yaml_node *details = yaml_get(r->settings, "details");
    const struct value *common;

    r->dot = r->has_dot ? r->dot : template_am_data(r->arena, &r->data);
    r->has_dot = true;
    common = value_get(&r->dot, SLICE("CommonLabels"));
    notify_json_key(b, "details");
    buf_byte(b, '{');
    for (size_t i = 0; i < common->map.n; i++) {
        const struct value_member *m = &common->map.members[i];

        if (!yaml_get(details, arena_cstr(r->arena, m->name)))
            notify_json(b, arena_cstr(r->arena, m->name), m->value.s);
    }
    for (size_t i = 0; details && details->kind == YAML_KIND_MAP && i < details->n; i++) {
        const char *key = arena_cstr(r->arena, details->keys[i].text);

        notify_json(b, key, notify_text_at(r, details, i));
    }
    buf_byte(b, '}');
}

static struct slice message(struct notify_render *r)
{
    return notify_cut_runes(
        r, notify_text(r, "message", "{{ template \"opsgenie.default.message\" . }}"),
        MAX_MESSAGE_RUNES);
}

static struct slice description(struct notify_render *r)
{
    return notify_text(r, "description", "{{ template \"opsgenie.default.description\" . }}");
}

static struct slice source(struct notify_render *r)
{
    return notify_text(r, "source", "{{ template \"opsgenie.default.source\" . }}");
}

static void add_creation(struct notify_render *r, struct buf *b)
{
    notify_json(b, "alias", notify_key_hash(r));
    notify_json(b, "message", message(r));
    notify_json_some(b, "description", description(r));
    add_details(r, b);
    notify_json(b, "source", source(r));
    add_responders(r, b);
    add_words(b, "tags", notify_text(r, "tags", NULL));
    notify_json_some(b, "note", notify_text(r, "note", NULL));
    notify_json_some(b, "priority", notify_text(r, "priority", NULL));
    notify_json_some(b, "entity", notify_text(r, "entity", NULL));
    add_words(b, "actions", notify_text(r, "actions", NULL));
}

static void build(struct notify_render *r)
{
    struct slice base, key;
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    const char *what = "";

    r->is_told = r->step > 0 && (!r->is_firing || r->step > UPDATE_DESCRIPTION ||
                                 !notify_bool(r->settings, "update_alerts", false));
    if (r->is_told)
        return;
    base = notify_address(r, "api_url", "opsgenie_api_url", "https://api.opsgenie.com/");
    key = notify_secret(r, "api_key", "opsgenie_api_key");
    buf_byte(&b, '{');
    if (!r->is_firing) {
        what = "close";
        notify_json(&b, "source", source(r));
    } else if (r->step == CREATE) {
        add_creation(r, &b);
    } else if (r->step == UPDATE_MESSAGE) {
        what = "message";
        notify_json_some(&b, what, message(r));
    } else {
        what = "description";
        notify_json_some(&b, what, description(r));
    }
    buf_byte(&b, '}');
    r->request.method = r->is_firing && r->step > CREATE ? "PUT" : "POST";
    if (slice_has_suffix(base, SLICE("/")))
        base.len--;
    notify_post(
        r,
        slice_cstr(*what ? arena_printf(r->arena, "%.*s/v2/alerts/%.*s/%s?identifierType=alias",
                                        SLICE_ARG(base), SLICE_ARG(notify_key_hash(r)), what)
                         : arena_printf(r->arena, "%.*s/v2/alerts", SLICE_ARG(base))),
        &b);
    notify_header(r, "Authorization",
                  slice_cstr(arena_printf(r->arena, "GenieKey %.*s",
                                          SLICE_ARG(notify_expand(r, "api_key", key, false)))));
}

const struct notify_kind notify_kind_opsgenie = {.name = "opsgenie", .build = build};
