#include <ctype.h>

#include "alertmanager/amconf_internal.h"
#include "common/base/map.h"

#define MAX_TIMEOUT_MS (10ll * 60 * 1000)

struct kind {
    const char *name, *list;
    bool send_resolved;    /* unless told */
    const char *required;  /* "a|b c": one of a and b, and c */
    const char *exclusive; /* "a|b c|d": not both */
    const char
        *lacks; /* settings that are not done yet, "a|b"; NULL: no such receiver is told yet */
};
/* send_resolved defaults and duties are Alertmanager's */
static const struct kind kinds[] = {
    {"discord", "discord_configs", true, "webhook_url|webhook_url_file",
     "webhook_url|webhook_url_file", ""},
    {"email", "email_configs", false, "to", "auth_password|auth_password_file", ""},
    {"incidentio", "incidentio_configs", true, "url|url_file", "url|url_file", ""},
    {"pagerduty", "pagerduty_configs", true,
     "service_key|service_key_file|routing_key|routing_key_file",
     "service_key|service_key_file routing_key|routing_key_file", ""},
    {"slack", "slack_configs", false, "", "api_url|api_url_file app_token|app_token_file",
     "update_message"},
    {"webhook", "webhook_configs", true, "url|url_file", "url|url_file", ""},
    {"opsgenie", "opsgenie_configs", true, "", "api_key|api_key_file", ""},
    {"wechat", "wechat_configs", false, "", "api_secret|api_secret_file", ""},
    {"pushover", "pushover_configs", true, "user_key|user_key_file token|token_file",
     "user_key|user_key_file token|token_file html|monospace", ""},
    {"victorops", "victorops_configs", true, "routing_key", "api_key|api_key_file", ""},
    {"sns", "sns_configs", true, "topic_arn|phone_number|target_arn",
     "topic_arn|phone_number topic_arn|target_arn phone_number|target_arn", ""},
    {"telegram", "telegram_configs", true, "chat_id|chat_id_file", "bot_token|bot_token_file", ""},
    {"webex", "webex_configs", true, "room_id", "", ""},
    {"msteams", "msteams_configs", true, "webhook_url|webhook_url_file",
     "webhook_url|webhook_url_file", ""},
    {"msteamsv2", "msteamsv2_configs", true, "webhook_url|webhook_url_file",
     "webhook_url|webhook_url_file", ""},
    {"jira", "jira_configs", true, "project issue_type", "", ""},
    {"rocketchat", "rocketchat_configs", false, "", "token|token_file token_id|token_id_file", ""},
    {"mattermost", "mattermost_configs", true, "", "webhook_url|webhook_url_file", ""},
};

/* What must come from the receiver or from global: "of the receiver" and "of global". */
static const struct {
    const char *kind, *own, *global;
} inherited[] = {
    {"email", "smarthost", "smtp_smarthost"},
    {"email", "from", "smtp_from"},
    {"slack", "api_url|api_url_file|app_token|app_token_file",
     "slack_api_url|slack_api_url_file|slack_app_token|slack_app_token_file"},
    {"opsgenie", "api_key|api_key_file", "opsgenie_api_key|opsgenie_api_key_file"},
    {"wechat", "api_secret|api_secret_file", "wechat_api_secret|wechat_api_secret_file"},
    {"wechat", "corp_id", "wechat_api_corp_id"},
    {"victorops", "api_key|api_key_file", "victorops_api_key|victorops_api_key_file"},
    {"telegram", "bot_token|bot_token_file", "telegram_bot_token|telegram_bot_token_file"},
    {"jira", "api_url", "jira_api_url"},
    {"mattermost", "webhook_url|webhook_url_file",
     "mattermost_webhook_url|mattermost_webhook_url_file"},
};

static size_t count_of(const struct yaml_node *n, struct slice names)
{
    struct slice name;
    size_t count = 0;

    while (slice_split(&names, '|', &name)) {
        char key[64];

        memcpy(key, name.ptr, name.len);
        key[name.len] = 0;
        count += amconf_has(n, key);
    }
    return count;
}

static struct err *check_duties(struct amconf_reader *r, const struct kind *k,
                                const struct yaml_node *n)
{
    struct slice rest = slice_cstr(k->required), names;

    while (rest.len && slice_split(&rest, ' ', &names))
        if (count_of(n, names) == 0)
            return err_new(ERR_INVALID, "%s:%u: %s needs %.*s", r->name, n->line, k->name,
                           SLICE_ARG(names));
    rest = slice_cstr(k->exclusive);
    while (rest.len && slice_split(&rest, ' ', &names))
        if (count_of(n, names) > 1)
            return err_new(ERR_INVALID, "%s:%u: at most one of %.*s in %s", r->name, n->line,
                           SLICE_ARG(names), k->name);
    for (size_t i = 0; i < ORR_COUNT(inherited); i++)
        if (strcmp(inherited[i].kind, k->name) == 0 &&
            count_of(n, slice_cstr(inherited[i].own)) == 0 &&
            count_of(r->global, slice_cstr(inherited[i].global)) == 0)
            return err_new(ERR_INVALID, "%s:%u: %s needs %s, or global %s", r->name, n->line,
                           k->name, inherited[i].own, inherited[i].global);
    return NULL;
}

static struct err *check_http(struct amconf_reader *r, const struct yaml_node *n);

struct err *amconf_check_global(struct amconf_reader *r)
{
    static const char *const exclusive[] = {
        "slack_api_url|slack_api_url_file",
        "slack_app_token|slack_app_token_file",
        "opsgenie_api_key|opsgenie_api_key_file",
        "victorops_api_key|victorops_api_key_file",
        "wechat_api_secret|wechat_api_secret_file",
        "telegram_bot_token|telegram_bot_token_file",
        "rocketchat_token|rocketchat_token_file",
        "rocketchat_token_id|rocketchat_token_id_file",
        "mattermost_webhook_url|mattermost_webhook_url_file",
        "smtp_auth_password|smtp_auth_password_file",
        "smtp_auth_secret|smtp_auth_secret_file",
    };
    struct slice chat = SLICE("https://slack.com/api/chat.postMessage");
    const struct yaml_node *url = yaml_get(r->global, "slack_api_url");

    for (size_t i = 0; i < ORR_COUNT(exclusive); i++)
        if (count_of(r->global, slice_cstr(exclusive[i])) > 1)
            return err_new(ERR_INVALID, "%s:%u: global: at most one of %s", r->name,
                           r->global->line, exclusive[i]);
    /* a token speaks through chat.postMessage, which may be written as the address */
    if (count_of(r->global, SLICE("slack_app_token|slack_app_token_file")) &&
        count_of(r->global, SLICE("slack_api_url|slack_api_url_file")) &&
        !(url && slice_eq(url->text, chat)))
        return err_new(ERR_INVALID,
                       "%s:%u: global: at most one of slack_app_token and slack_api_url", r->name,
                       r->global->line);
    return check_http(r, r->global);
}

/* ---- what Orrery does not do yet ---- */

static void no(struct amconf_reader *r, struct amconf_integration *in, const char *what)
{
    if (!in->unsupported)
        in->unsupported = arena_strdup(r->arena, what);
}

static bool is_off(const struct yaml_node *n)
{
    bool truth;

    return n->kind == YAML_KIND_SCALAR && yaml_bool(n, &truth) && !truth;
}

/* The first of "a|b" that is set. */
static void check_lacks(struct amconf_reader *r, const struct yaml_node *n, const char *where,
                        const char *lacks, struct amconf_integration *in)
{
    struct slice rest = slice_cstr(lacks), key;

    while (rest.len && slice_split(&rest, '|', &key))
        if (amconf_has(n, arena_cstr(r->arena, key)) &&
            !is_off(yaml_get(n, arena_cstr(r->arena, key))))
            no(r, in, arena_printf(r->arena, "%s%.*s", where, SLICE_ARG(key)));
}

static void check_supported(struct amconf_reader *r, const struct kind *k,
                            struct amconf_integration *in)
{
    static const struct {
        const char *name, *where, *lacks;
    } parts[] = {
        {"basic_auth", "http_config.basic_auth.", "username_ref|password_ref"},
        {"authorization", "http_config.authorization.", "credentials_ref"},
        {"tls_config", "http_config.tls_config.", "ca_ref|cert_ref|key_ref"},
        {"oauth2", "http_config.oauth2.",
         "client_secret_ref|grant_type|claims|client_certificate_key|client_certificate_key_file|"
         "client_certificate_key_id|client_certificate_key_ref|signature_algorithm|iss|audience"},
    };

    if (!k->lacks) {
        no(r, in, "receivers of this kind");
        return;
    }
    check_lacks(r, in->settings, "", k->lacks, in);
    for (size_t i = 0; i < ORR_COUNT(parts); i++)
        check_lacks(r, yaml_get(in->http, parts[i].name), parts[i].where, parts[i].lacks, in);
    check_lacks(r, yaml_get(in->settings, "sigv4"), "sigv4.",
                "profile|role_arn|external_id|use_fips_sts_endpoint|service_name", in);
    check_lacks(r, yaml_get(yaml_get(in->http, "oauth2"), "tls_config"),
                "http_config.oauth2.tls_config.", "ca_ref|cert_ref|key_ref", in);
}

/* ---- receivers ---- */

static struct err *check_webhook(struct amconf_reader *r, const struct yaml_node *n)
{
    const struct yaml_node *max = yaml_get(n, "max_alerts"), *url = yaml_get(n, "url");
    struct slice s = url ? url->text : SLICE_EMPTY;
    int64_t v = 0;

    if (s.len && slice_find(s, SLICE("{{"), 0) < 0 && !slice_has_prefix(s, SLICE("http://")) &&
        !slice_has_prefix(s, SLICE("https://")))
        return amconf_at(r, url, "url: an address with http or https is wanted");
    if (max && !yaml_is_null(max) && (!slice_to_i64(max->text, &v) || v < 0))
        return amconf_at(r, max, "max_alerts: a number that is not negative is wanted");
    return NULL;
}

static bool is_header_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum(s.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", s.ptr[i]))
            return false;
    return s.len > 0;
}

/* What http_config has settings for, and what says where a request ends: connections are shared, so one request could
 * hold another. Alertmanager's list, and the last five. */
static struct err *check_headers(struct amconf_reader *r, const struct yaml_node *headers)
{
    static const char *const reserved[] = {"authorization",
                                           "host",
                                           "content-encoding",
                                           "content-length",
                                           "content-type",
                                           "user-agent",
                                           "connection",
                                           "keep-alive",
                                           "proxy-authenticate",
                                           "proxy-authorization",
                                           "www-authenticate",
                                           "accept-encoding",
                                           "x-prometheus-remote-write-version",
                                           "x-prometheus-remote-read-version",
                                           "x-prometheus-scrape-timeout-seconds",
                                           "x-amz-date",
                                           "x-amz-security-token",
                                           "x-amz-content-sha256",
                                           "transfer-encoding",
                                           "te",
                                           "trailer",
                                           "upgrade",
                                           "expect"};

    for (size_t i = 0; headers && headers->kind == YAML_KIND_MAP && i < headers->n; i++) {
        struct slice name = headers->keys[i].text;
        bool is_good = is_header_name(name);

        for (size_t k = 0; k < ORR_COUNT(reserved); k++)
            is_good = is_good && !slice_eq_nocase(name, slice_cstr(reserved[k]));
        if (!is_good)
            return err_new(ERR_INVALID, "%s:%u: http_headers: %.*s is not allowed", r->name,
                           headers->keys[i].line, SLICE_ARG(name));
    }
    return NULL;
}

static struct err *check_http(struct amconf_reader *r, const struct yaml_node *n)
{
    const struct yaml_node *http = yaml_get(n, "http_config");
    size_t ways = count_of(http, SLICE("basic_auth|authorization|oauth2|bearer_token|"
                                       "bearer_token_file"));

    if (ways > 1)
        return amconf_at(r, http, "http_config: at most one way to authenticate");
    if (count_of(yaml_get(http, "basic_auth"), SLICE("password|password_file|password_ref")) > 1 ||
        count_of(yaml_get(http, "authorization"),
                 SLICE("credentials|credentials_file|credentials_ref")) > 1)
        return amconf_at(r, http, "http_config: at most one source of a secret");
    return check_headers(r, yaml_get(http, "http_headers"));
}

static struct err *read_kind(struct amconf_reader *r, const struct kind *k,
                             const struct yaml_node *list, struct amconf_receiver *rec)
{
    struct err *e;

    for (size_t i = 0; list && list->kind == YAML_KIND_SEQ && i < list->n; i++) {
        const struct yaml_node *n = list->items[i];
        struct amconf_integration *in = &rec->integrations[rec->n];

        *in = (struct amconf_integration){.kind = k->name, .index = i};
        in->send_resolved = amconf_bool(n, "send_resolved", k->send_resolved);
        in->settings = n;
        in->http = yaml_get(n, "http_config");
        if (!in->http || yaml_is_null(in->http))
            in->http = yaml_get(r->global, "http_config");
        if ((e = check_duties(r, k, n)) || (e = check_http(r, n)) ||
            (strcmp(k->name, "webhook") == 0 && (e = check_webhook(r, n))) ||
            (e = amconf_duration(r, n, "timeout", 0, &in->timeout_ms)))
            return e;
        in->timeout_ms = ORR_MIN(in->timeout_ms, MAX_TIMEOUT_MS);
        check_supported(r, k, in);
        rec->n++;
    }
    return NULL;
}

static struct err *read_receiver(struct amconf_reader *r, const struct yaml_node *n,
                                 struct amconf_receiver *rec)
{
    const struct yaml_node *labels = yaml_get(n, "labels"), *label = yaml_get(labels, "name");
    const char *name = amconf_text(r, n, "name");
    size_t total = 0;
    struct err *e;

    if (!name || !*name)
        return amconf_at(r, n, "missing name in receiver");
    rec->name = slice_cstr(name);
    if (label && !slice_eq(label->text, rec->name))
        return amconf_at(r, label, "the receiver's label name must be its name");
    for (size_t i = 0; i < ORR_COUNT(kinds); i++) {
        const struct yaml_node *list = yaml_get(n, kinds[i].list);

        total += list && list->kind == YAML_KIND_SEQ ? list->n : 0;
    }
    rec->integrations = arena_array(r->arena, struct amconf_integration, total + 1);
    for (size_t i = 0; i < ORR_COUNT(kinds); i++)
        if ((e = read_kind(r, &kinds[i], yaml_get(n, kinds[i].list), rec)))
            return e;
    return NULL;
}

struct err *amconf_read_receivers(struct amconf_reader *r, const struct yaml_node *list)
{
    struct amconf *c = r->conf;
    struct map seen = {0};
    struct err *e = NULL;

    if (!list || list->kind != YAML_KIND_SEQ)
        return NULL;
    c->receivers = arena_array(r->arena, struct amconf_receiver, list->n + 1);
    for (size_t i = 0; !e && i < list->n; i++) {
        if ((e = read_receiver(r, list->items[i], &c->receivers[i])))
            break;
        c->n_receivers++;
        if (map_put(&seen, c->receivers[i].name, c))
            e = amconf_at(r, list->items[i], "the receiver's name is not unique");
    }
    map_done(&seen);
    return e;
}
