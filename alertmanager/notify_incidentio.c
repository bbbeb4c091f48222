/* incident.io: the webhook's body, version "1"; one that is too large tells the first alert alone. */
#include "alertmanager/notify_internal.h"

#define MAX_BYTES (512u * 1024)

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    const struct yaml_node *metadata = yaml_get(r->settings, "metadata");
    struct slice token;
    uint64_t max = 0;

    if ((r->is_told = r->step > 0))
        return;
    (void)slice_to_u64(notify_raw(r->settings, "max_alerts", "0"), &max);
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        buf_reset(&b);
        b.is_over = false;
        notify_webhook_body(&b, &r->note, r->external_url, is_cut ? 1 : max, "1");
        if (metadata && metadata->kind == YAML_KIND_MAP && metadata->n && b.len > 2) {
            b.len -= 2; /* the closing brace */
            notify_json_key(&b, "metadata");
            buf_byte(&b, '{');
            for (size_t i = 0; i < metadata->n; i++) {
                const char *key = arena_cstr(r->arena, metadata->keys[i].text);

                notify_json(&b, key, notify_text_at(r, metadata, i));
            }
            buf_str(&b, "}}\n");
        }
        if (b.len <= MAX_BYTES && buf_ok(&b))
            break;
    }
    notify_post(r, notify_secret(r, "url", NULL), &b);
    token = notify_secret(r, "alert_source_token", NULL);
    if (token.len)
        notify_header(r, "Authorization",
                      slice_cstr(arena_printf(r->arena, "Bearer %.*s", SLICE_ARG(token))));
}

const struct notify_kind notify_kind_incidentio = {.name = "incidentio", .build = build};
