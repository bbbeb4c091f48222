#include <string.h>

#include "alertmanager/amconf_internal.h"
#include "common/base/promdur.h"

/*
 * Keys and the kinds of their values, "key:KIND" each:
 *   s string   b truth   i whole number   d duration   L list of strings   M map of strings
 *   U address with http or https   N label names   * anything
 *   @x  an object of schema x   [x  a list of those   {x  a map of those
 */
static const struct {
    const char *name, *fields;
} schemas[] = {
    {"config", "global:@global route:@route receivers:[receiver inhibit_rules:[inhibit "
               "mute_time_intervals:[interval time_intervals:[interval templates:L tracing:* "
               "event_recorder:*"},
    {"global",
     "resolve_timeout:d http_config:@http jira_api_url:U smtp_from:s smtp_hello:s smtp_smarthost:H "
     "smtp_auth_username:s smtp_auth_password:s smtp_auth_password_file:s smtp_auth_secret:s "
     "smtp_auth_secret_file:s smtp_auth_identity:s smtp_require_tls:b smtp_tls_config:@tls "
     "smtp_force_implicit_tls:b slack_api_url:U slack_api_url_file:s slack_app_token:s "
     "slack_app_token_file:s slack_app_url:U pagerduty_url:U opsgenie_api_url:U opsgenie_api_key:s "
     "opsgenie_api_key_file:s wechat_api_url:U wechat_api_secret:s wechat_api_secret_file:s "
     "wechat_api_corp_id:s victorops_api_url:U victorops_api_key:s victorops_api_key_file:s "
     "telegram_api_url:U telegram_bot_token:s telegram_bot_token_file:s webex_api_url:U "
     "rocketchat_api_url:U rocketchat_token:s rocketchat_token_file:s rocketchat_token_id:s "
     "rocketchat_token_id_file:s mattermost_webhook_url:U mattermost_webhook_url_file:s"},
    {"route", "receiver:s group_by:L match:M match_re:M matchers:L mute_time_intervals:L "
              "active_time_intervals:L continue:b routes:[route group_wait:d group_interval:d "
              "repeat_interval:d labels:M"},
    {"inhibit", "name:s source_match:M source_match_re:M source_matchers:L target_match:M "
                "target_match_re:M target_matchers:L equal:L sources:[inhibit_source"},
    {"inhibit_source", "matchers:L equal:L"},
    {"interval", "name:s time_intervals:*"},
    {"receiver",
     "name:s labels:M discord_configs:[discord email_configs:[email incidentio_configs:[incidentio "
     "pagerduty_configs:[pagerduty slack_configs:[slack webhook_configs:[webhook "
     "opsgenie_configs:[opsgenie wechat_configs:[wechat pushover_configs:[pushover "
     "victorops_configs:[victorops sns_configs:[sns telegram_configs:[telegram "
     "webex_configs:[webex msteams_configs:[msteams msteamsv2_configs:[msteamsv2 "
     "jira_configs:[jira rocketchat_configs:[rocketchat mattermost_configs:[mattermost"},
    {"http",
     "basic_auth:@basic_auth authorization:@authorization oauth2:@oauth2 bearer_token:s "
     "bearer_token_file:s tls_config:@tls follow_redirects:b enable_http2:b proxy_url:s no_proxy:s "
     "proxy_from_environment:b proxy_connect_header:* http_headers:{http_header"},
    {"basic_auth", "username:s username_file:s username_ref:s password:s password_file:s "
                   "password_ref:s"},
    {"authorization", "type:s credentials:s credentials_file:s credentials_ref:s"},
    {"oauth2", "client_id:s client_secret:s client_secret_file:s client_secret_ref:s scopes:L "
               "token_url:s endpoint_params:M tls_config:@tls proxy_url:s no_proxy:s "
               "proxy_from_environment:b proxy_connect_header:* grant_type:s claims:* "
               "client_certificate_key:s client_certificate_key_file:s client_certificate_key_id:s "
               "client_certificate_key_ref:s signature_algorithm:s iss:s audience:s"},
    {"tls", "ca:s cert:s key:s ca_file:s cert_file:s key_file:s ca_ref:s cert_ref:s key_ref:s "
            "server_name:s insecure_skip_verify:b min_version:s max_version:s"},
    {"http_header", "values:L secrets:L files:L"},
    {"sigv4", "region:s access_key:s secret_key:s profile:s role_arn:s external_id:s "
              "use_fips_sts_endpoint:b service_name:s"},
    {"discord", "send_resolved:b http_config:@http webhook_url:U webhook_url_file:s content:s "
                "username:s avatar_url:s title:s message:s"},
    {"email", "send_resolved:b to:s from:s hello:s smarthost:H auth_username:s auth_password:s "
              "auth_password_file:s auth_secret:s auth_secret_file:s auth_identity:s headers:M "
              "html:s text:s require_tls:b tls_config:@tls threading:@threading "
              "force_implicit_tls:b"},
    {"threading", "enabled:b thread_by_date:s"},
    {"incidentio", "send_resolved:b http_config:@http url:U url_file:s alert_source_token:s "
                   "alert_source_token_file:s max_alerts:i timeout:d metadata:M"},
    {"pagerduty",
     "send_resolved:b http_config:@http service_key:s service_key_file:s routing_key:s "
     "routing_key_file:s url:U client:s client_url:s description:s details:* images:[pd_image "
     "links:[pd_link source:s severity:s class:s component:s group:s timeout:d"},
    {"pd_image", "src:s alt:s href:s"},
    {"pd_link", "href:s text:s"},
    {"slack",
     "send_resolved:b http_config:@http api_url:U api_url_file:s app_token:s app_token_file:s "
     "app_url:U channel:s username:s color:s title:s title_link:s pretext:s text:s message_text:s "
     "fields:[slack_field short_fields:b footer:s fallback:s callback_id:s icon_emoji:s icon_url:s "
     "image_url:s thumb_url:s link_names:b mrkdwn_in:L actions:[slack_action timeout:d "
     "update_message:b"},
    {"slack_field", "title:s value:s short:b"},
    {"slack_action", "type:s text:s url:s style:s name:s value:s confirm:@slack_confirm"},
    {"rocketchat_action", "type:s text:s url:s image_url:s is_webview:b webview_height_ratio:s "
                          "msg:s msg_in_chat_window:b msg_processing_type:s"},
    {"slack_confirm", "text:s title:s ok_text:s dismiss_text:s"},
    {"webhook", "send_resolved:b http_config:@http url:s url_file:s max_alerts:i timeout:d "
                "payload:*"},
    {"opsgenie", "send_resolved:b http_config:@http api_key:s api_key_file:s api_url:U message:s "
                 "description:s source:s details:M entity:s responders:[responder actions:s tags:s "
                 "note:s priority:s update_alerts:b"},
    {"responder", "id:s name:s username:s type:s"},
    {"wechat", "send_resolved:b http_config:@http api_secret:s api_secret_file:s corp_id:s "
               "message:s api_url:U to_user:s to_party:s to_tag:s agent_id:s message_type:s"},
    {"pushover", "send_resolved:b http_config:@http user_key:s user_key_file:s token:s "
                 "token_file:s title:s message:s url:s url_title:s device:s sound:s priority:s "
                 "retry:d expire:d ttl:d html:b monospace:b"},
    {"victorops", "send_resolved:b http_config:@http api_key:s api_key_file:s api_url:U "
                  "routing_key:s message_type:s state_message:s entity_display_name:s "
                  "monitoring_tool:s custom_fields:M"},
    {"sns", "send_resolved:b http_config:@http api_url:s sigv4:@sigv4 topic_arn:s phone_number:s "
            "target_arn:s subject:s message:s attributes:M"},
    {"telegram", "send_resolved:b http_config:@http api_url:U bot_token:s bot_token_file:s "
                 "chat_id:i chat_id_file:s message_thread_id:i message:s disable_notifications:b "
                 "parse_mode:s"},
    {"webex", "send_resolved:b http_config:@http api_url:U message:s room_id:s"},
    {"msteams", "send_resolved:b http_config:@http webhook_url:U webhook_url_file:s title:s "
                "summary:s text:s"},
    {"msteamsv2", "send_resolved:b http_config:@http webhook_url:U webhook_url_file:s title:s "
                  "text:s"},
    {"jira", "send_resolved:b http_config:@http api_url:U api_type:s project:s summary:* "
             "description:* labels:* priority:s issue_type:s reopen_transition:s "
             "resolve_transition:s wont_fix_resolution:s reopen_duration:d fields:*"},
    {"rocketchat", "send_resolved:b http_config:@http api_url:U channel:s token:s token_file:s "
                   "token_id:s token_id_file:s color:s title:s title_link:s text:s "
                   "fields:[slack_field short_fields:b emoji:s icon_url:s image_url:s thumb_url:s "
                   "link_names:b actions:[rocketchat_action"},
    {"mattermost", "send_resolved:b http_config:@http webhook_url:U webhook_url_file:s channel:s "
                   "username:s text:s fallback:s color:s pretext:s author_name:s author_link:s "
                   "author_icon:s title:s title_link:s fields:[slack_field thumb_url:s footer:s "
                   "footer_icon:s image_url:s icon_url:s icon_emoji:s type:s "
                   "attachments:[mm_attachment props:@mm_props priority:@mm_priority"},
    {"mm_attachment", "fallback:s color:s pretext:s text:s author_name:s author_link:s "
                      "author_icon:s title:s title_link:s fields:[slack_field thumb_url:s footer:s "
                      "footer_icon:s image_url:s"},
    {"mm_props", "card:s"},
    {"mm_priority", "priority:s requested_ack:b persistent_notifications:b"},
};

static const char *fields_of(struct slice name)
{
    for (size_t i = 0; i < ORR_COUNT(schemas); i++)
        if (slice_eq_cstr(name, schemas[i].name))
            return schemas[i].fields;
    ORR_ASSERT(false); /* a schema of ours names one that is not there */
    return "";
}

/* The kind of a key in a schema; ptr NULL if it is not there. */
static struct slice kind_of(const char *fields, struct slice key)
{
    struct slice rest = slice_cstr(fields), part;

    while (slice_split(&rest, ' ', &part)) {
        ptrdiff_t colon = slice_find_byte(part, ':', 0);

        if (colon >= 0 && slice_eq(slice_sub(part, 0, (size_t)colon), key))
            return slice_from(part, (size_t)colon + 1);
    }
    return (struct slice){0};
}

static struct err *wrong(const char *file, const struct yaml_node *n, struct slice key,
                         const char *want)
{
    return err_new(ERR_INVALID, "%s:%u: %.*s: %s is wanted", file, n->line, SLICE_ARG(key), want);
}

static struct err *check_value(const char *file, const struct yaml_node *n, struct slice key,
                               struct slice kind);

static struct err *check_object(const char *file, const struct yaml_node *n, struct slice key,
                                struct slice schema)
{
    const char *fields = fields_of(schema);
    struct err *e;

    if (yaml_is_null(n))
        return NULL;
    if (n->kind != YAML_KIND_MAP)
        return wrong(file, n, key, "a mapping");
    for (size_t i = 0; i < n->n; i++) {
        struct slice kind = kind_of(fields, n->keys[i].text);

        if (!kind.ptr)
            return err_new(ERR_INVALID, "%s:%u: %.*s: unknown key %.*s", file, n->keys[i].line,
                           SLICE_ARG(key), SLICE_ARG(n->keys[i].text));
        if ((e = check_value(file, n->items[i], n->keys[i].text, kind)))
            return e;
    }
    return NULL;
}

static struct err *check_url(const char *file, const struct yaml_node *n, struct slice key)
{
    struct slice s = n->text;
    ptrdiff_t at = slice_find(s, SLICE("://"), 0);

    if (at < 0 || (!slice_eq_nocase(slice_sub(s, 0, (size_t)at), SLICE("http")) &&
                   !slice_eq_nocase(slice_sub(s, 0, (size_t)at), SLICE("https"))))
        return wrong(file, n, key, "an address with http or https");
    s = slice_from(s, (size_t)at + 3);
    return s.len && s.ptr[0] != '/' ? NULL : wrong(file, n, key, "an address with a host");
}

static struct err *check_scalar(const char *file, const struct yaml_node *n, struct slice key,
                                char kind)
{
    int64_t number;
    bool truth;
    struct err *e;

    if (n->kind != YAML_KIND_SCALAR)
        return wrong(file, n, key, kind == 's' ? "a text" : "one value");
    if (yaml_is_null(n))
        return NULL;
    switch (kind) {
    case 'b':
        return n->is_plain && yaml_bool(n, &truth) ? NULL : wrong(file, n, key, "true or false");
    case 'i':
        return slice_to_i64(n->text, &number) ? NULL : wrong(file, n, key, "a whole number");
    case 'd':
        if ((e = promdur_parse(n->text, &number)))
            return err_wrap(e, "%s:%u: %.*s", file, n->line, SLICE_ARG(key));
        return NULL;
    case 'U':
        return check_url(file, n, key);
    case 'H':
        return slice_find_byte(n->text, ':', 0) >= 0 || n->text.len == 0
                   ? NULL
                   : wrong(file, n, key, "host:port");
    default:
        return NULL;
    }
}

static struct err *check_items(const char *file, const struct yaml_node *n, struct slice key,
                               struct slice item_kind)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < n->n; i++)
        e = check_value(file, n->items[i], key, item_kind);
    return e;
}

static struct err *check_value(const char *file, const struct yaml_node *n, struct slice key,
                               struct slice kind)
{
    char object[64] = "@";

    if (kind.ptr[0] == '*')
        return NULL;
    if (kind.ptr[0] == '@')
        return check_object(file, n, key, slice_from(kind, 1));
    if (!strchr("LMN[{", kind.ptr[0]))
        return check_scalar(file, n, key, (char)kind.ptr[0]);
    if (n->kind == YAML_KIND_SCALAR && n->is_plain && yaml_is_null(n))
        return NULL;
    memcpy(object + 1, kind.ptr + 1, kind.len - 1);
    switch (kind.ptr[0]) {
    case 'L':
        return n->kind == YAML_KIND_SEQ ? check_items(file, n, key, SLICE("s"))
                                        : wrong(file, n, key, "a list");
    case 'M':
        return n->kind == YAML_KIND_MAP ? check_items(file, n, key, SLICE("s"))
                                        : wrong(file, n, key, "a mapping");
    case '{':
        return n->kind == YAML_KIND_MAP ? check_items(file, n, key, slice_cstr(object))
                                        : wrong(file, n, key, "a mapping");
    default:
        return n->kind == YAML_KIND_SEQ ? check_items(file, n, key, slice_cstr(object))
                                        : wrong(file, n, key, "a list");
    }
}

struct err *amconf_schema_check(const char *file, const struct yaml_node *n, const char *schema)
{
    return check_object(file, n, slice_cstr(schema), slice_cstr(schema));
}
