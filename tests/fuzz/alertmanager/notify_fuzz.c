/*
 * What receivers answer, and what alerts bring into their requests: the first byte is the kind, then up to the first NUL
 * an annotation that the settings show, then answers: two bytes of status each, a text up to the next NUL.
 */
#include "alertmanager/notify_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SHOWN "{{ .CommonAnnotations.a }}"

static const char *const receivers[] = {
    "webhook_configs: [{url: 'http://h/" SHOWN "', payload: {a: '" SHOWN "', '" SHOWN "': [1]}}]",
    "slack_configs: [{api_url: 'http://h', title: '" SHOWN "', text: '" SHOWN "'}]",
    "pagerduty_configs: [{routing_key: '" SHOWN "', details: {a: '" SHOWN "'}}]",
    "opsgenie_configs: [{api_key: k, message: '" SHOWN "', tags: '" SHOWN
    "', responders: [{name: '" SHOWN "', type: teams}], update_alerts: true}]",
    "victorops_configs: [{api_key: k, routing_key: '" SHOWN "', message_type: '" SHOWN "'}]",
    "discord_configs: [{webhook_url: 'http://h', title: '" SHOWN "'}]",
    "msteamsv2_configs: [{webhook_url: 'http://h', title: '" SHOWN "'}]",
    "webex_configs: [{room_id: r, message: '" SHOWN "'}]",
    "telegram_configs: [{bot_token: t, chat_id: 1, message: '<a href=\"" SHOWN "\" style=\"x:" SHOWN
    "\">" SHOWN "</a>'}]",
    "email_configs: [{to: '" SHOWN "', from: a@b, smarthost: 'h:25', headers: {Subject: '" SHOWN
    "'}, text: '" SHOWN "', html: '<p " SHOWN "=" SHOWN ">" SHOWN "'}]",
    "pushover_configs: [{user_key: u, token: t, html: true, title: '" SHOWN "', message: '" SHOWN
    "'}]",
    "sns_configs: [{phone_number: '" SHOWN "', message: '" SHOWN
    "', sigv4: {region: r, access_key: a, secret_key: "
    "b}}]",
    "wechat_configs: [{corp_id: c, api_secret: s, message: '" SHOWN "'}]",
    "jira_configs: [{api_url: 'http://h', project: '" SHOWN "', issue_type: b, labels: ['" SHOWN
    "'], resolve_transition: x, reopen_transition: y}]",
    "rocketchat_configs: [{token: t, token_id: i, title: '" SHOWN "'}]",
    "mattermost_configs: [{webhook_url: 'http://h', text: '" SHOWN "', priority: {priority: '" SHOWN
    "'}}]",
    "incidentio_configs: [{url: 'http://h', alert_source_token: '" SHOWN "'}]",
    "webhook_configs: [{url: 'http://h', http_config: {oauth2: {client_id: a, client_secret: b, "
    "token_url: 'http://t'}}}]",
};

static struct amconf *conf_of(size_t i)
{
    static struct amconf *confs[ORR_COUNT(receivers)];
    struct buf b = {0};

    if (!confs[i]) {
        buf_printf(&b, "receivers:\n- name: r\n  %s\n", receivers[i]);
        err_free(amconf_parse("fuzz", buf_slice(&b), AMCONF_NO_ROUTE, &confs[i]));
        buf_done(&b);
        ORR_ASSERT(confs[i]);
    }
    return confs[i];
}

static void talk(struct notify_render *r, struct slice rest)
{
    const struct notify_request *q = NULL;
    struct slice text;
    bool may_retry;
    struct err *e = notify_render_next(r, &q, &may_retry);

    while (!e && q && rest.len > 2) {
        struct notify_answer a = {.status = 200 + (rest.ptr[0] & 3) * 100 + (rest.ptr[1] & 31),
                                  .content_type = rest.ptr[1] & 128 ? SLICE("application/json")
                                                                    : SLICE("text/plain")};

        rest = slice_from(rest, 2);
        (void)slice_split(&rest, 0, &text);
        a.body = text;
        if (!(e = notify_render_judge(r, &a, &may_retry)))
            e = notify_render_next(r, &q, &may_retry);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice rest = slice_of(data + 1, n ? n - 1 : 0), annotation;
    struct amconf *conf = conf_of(n ? data[0] % ORR_COUNT(receivers) : 0);
    struct label label = {SLICE_INIT("s"), SLICE_INIT("x")}, text = {SLICE_INIT("a"), SLICE_EMPTY};
    alert_vec alerts = {0};
    struct dispatch_note note = {.group_key = SLICE_INIT("g"),
                                 .receiver = conf->receivers[0].name,
                                 .integration = &conf->receivers[0].integrations[0],
                                 .alerts = &alerts,
                                 .now_ns = NS_PER_S,
                                 .reason = NFLOG_FIRST};
    struct notify_render *r;

    (void)slice_split(&rest, 0, &annotation);
    text.value = annotation;
    vec_push(&alerts,
             alert_new((struct labels){&label, 1}, (struct labels){&text, 1}, SLICE_EMPTY));
    alerts.ptr[0]->ends_ns = n && data[0] & 128 ? 0 : INT64_MAX;
    r = notify_render_new(conf, &note, SLICE_EMPTY, NS_PER_S);
    talk(r, rest);
    notify_render_free(r);
    alert_vec_done(&alerts);
    return 0;
}
