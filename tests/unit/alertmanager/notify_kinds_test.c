/* What each receiver's provider asks for, and what its answers mean. Whole bodies: tests/conformance. */
#include "tests/unit/alertmanager/notify_bench.h"

#define HASH "cd0aa9856147b6c5b4ff2b7dfee5da20aa38253099ef1b4a64aced233c9afe29" /* of "g" */

/* n of this rune */
static char *runes(const char *rune, size_t n)
{
    struct buf b = {0};
    char *ret;

    for (size_t i = 0; i < n; i++)
        buf_str(&b, rune);
    ret = slice_dup(buf_slice(&b));
    buf_done(&b);
    return ret;
}

/* One request of the integration, with an annotation, has this in its body. */
static void sends(const char *integration, bool is_firing, const char *annotation, const char *head,
                  const char *body)
{
    struct notify_bench *t =
        notify_bench_told(notify_bench_conf(integration), is_firing, annotation);

    CHECK_STR(notify_bench_next(t), head);
    CHECK_STR(t->request->content_type, "application/json");
    if (!notify_bench_has(t, body))
        test_fail(__FILE__, __LINE__, "body of %s", integration);
    notify_bench_free(t);
}

/* A text of n runes that is over by one is cut to the last but one and an ellipsis. */
static void cuts(const char *integration, const char *key, size_t n)
{
    for (size_t over = 0; over < 2; over++) {
        char *text = runes("\xc3\xbc", n + over), *kept = runes("\xc3\xbc", n - over);
        char *want = mem_printf("\"%s\":\"%s%s\"", key, kept, over ? "\xe2\x80\xa6" : "");
        struct notify_bench *t = notify_bench_told(notify_bench_conf(integration), true, text);

        (void)notify_bench_next(t);
        if (slice_find(t->request->body, slice_cstr(want), 0) < 0)
            test_fail(__FILE__, __LINE__, "%s of %s, over by %zu", key, integration, over);
        notify_bench_free(t);
        mem_free(text);
        mem_free(kept);
        mem_free(want);
    }
}

static void judges(const char *integration, int status, const char *type, const char *body,
                   bool is_told, bool may_retry)
{
    struct notify_bench *t = notify_bench(integration);
    struct err *e;

    (void)notify_bench_next(t);
    e = notify_bench_answer(t, status, type, body);
    if (!e != is_told || (e && t->may_retry != may_retry))
        test_fail(__FILE__, __LINE__, "%s: %d %s: %d %d", integration, status, body, !e,
                  t->may_retry);
    err_free(e);
    notify_bench_free(t);
}

#define SLACK "slack_configs: [{api_url: 'http://h', title: '{{ .CommonAnnotations.summary }}'}]"

TEST(notify_slack)
{
    sends("slack_configs: [{app_token: xoxb, channel: '#c', message_text: m, short_fields: true, "
          "link_names: true, mrkdwn_in: [text], fields: [{title: a, value: b}], actions: [{type: "
          "button, text: t, name: n, confirm: {text: sure}}]}]",
          true, "s", "POST https://slack.com/api/chat.postMessage\nAuthorization: Bearer xoxb\n",
          "\"fields\":[{\"title\":\"a\",\"value\":\"b\",\"short\":true}],\"actions\":[{\"type\":"
          "\"button\",\"text\":\"t\",\"name\":\"n\",\"confirm\":{\"text\":\"sure\"}}],\"footer\":"
          "\"\",\"color\":\"danger\",\"mrkdwn_in\":[\"text\"]}]}");
    sends("slack_configs: [{app_token: xoxb, channel: '#c', message_text: m, link_names: true}]",
          false, "s", "POST https://slack.com/api/chat.postMessage\nAuthorization: Bearer xoxb\n",
          "{\"channel\":\"#c\",\"username\":\"Alertmanager\",\"text\":\"m\",\"link_names\":true,");
    cuts(SLACK, "title", 1024);
    judges(SLACK, 200, "text/plain", "ok", true, false);
    judges(SLACK, 200, "text/html", "no_text", false, false);
    judges(SLACK, 200, "application/json; charset=utf-8", "{\"ok\":true}", true, false);
    judges(SLACK, 200, "application/json", "{\"ok\":false,\"error\":\"x\"}", false, false);
    judges(SLACK, 200, "application/json", "{\"ok\":", false, true);
    judges(SLACK, 500, "text/plain", "ok", false, true);
    judges(SLACK, 429, "text/plain", "", false, true);
    judges(SLACK, 404, "text/plain", "no_channel", false, false);
}

#define PD "pagerduty_configs: [{routing_key: k, description: '{{ .CommonAnnotations.summary }}'}]"
#define PD1 "pagerduty_configs: [{service_key: k, details: {a: '{{ .Status }}'}}]"

TEST(notify_pagerduty)
{
    struct notify_bench *t;
    char *big = runes("x", 300000);

    sends(PD, true, "s", "POST https://events.pagerduty.com/v2/enqueue\n",
          "{\"routing_key\":\"k\",\"event_action\":\"trigger\",\"dedup_key\":\"" HASH "\",");
    sends(PD1, false, "s",
          "POST https://events.pagerduty.com/generic/2010-04-15/create_event.json\n",
          "{\"service_key\":\"k\",\"event_type\":\"resolve\",\"incident_key\":\"" HASH "\",");
    sends(PD1, true, "s",
          "POST https://events.pagerduty.com/generic/2010-04-15/create_event.json\n",
          "\"num_firing\":2,\"num_resolved\":0,\"a\":\"firing\"}}");
    cuts(PD, "summary", 1024);
    t = notify_bench_told(notify_bench_conf(PD), true, big); /* more than an event may have */
    (void)notify_bench_next(t);
    CHECK(t->request->body.len < 4000 && notify_bench_has(t, "\"custom_details\":{\"error\":"));
    notify_bench_free(t);
    mem_free(big);
    t = notify_bench("pagerduty_configs: [{routing_key: '{{ .CommonLabels.nope }}'}]");
    CHECK_ERR(notify_bench_error(t), ERR_INVALID, "routing_key is empty");
    notify_bench_free(t);
    judges(PD, 202, "application/json", "{}", true, false);
    judges(PD, 403, "", "", false, false);
    judges(PD1, 403, "", "", false, true);
    judges(PD, 429, "", "", false, true);
    judges(PD, 400, "application/json", "{\"message\":\"x\"}", false, false);
}

#define OG                                                                                         \
    "opsgenie_configs: [{api_url: 'http://h', api_key: k, message: '{{ "                           \
    ".CommonAnnotations.summary "                                                                  \
    "}}', update_alerts: true, description: d, source: x}]"

TEST(notify_opsgenie)
{
    struct notify_bench *t = notify_bench(OG);

    CHECK_STR(notify_bench_next(t), "POST http://h/v2/alerts\nAuthorization: GenieKey k\n");
    CHECK(notify_bench_has(t, "{\"alias\":\"" HASH "\",\"message\":\"sum\",\"description\":\"d\","
                              "\"details\":{\"s\":\"x\"},\"source\":\"x\"}"));
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t), "PUT http://h/v2/alerts/" HASH "/message?identifierType=alias\n"
                                    "Authorization: GenieKey k\n");
    CHECK_SLICE(t->request->body, "{\"message\":\"sum\"}");
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t),
              "PUT http://h/v2/alerts/" HASH "/description?identifierType=alias\n"
              "Authorization: GenieKey k\n");
    CHECK_SLICE(t->request->body, "{\"description\":\"d\"}");
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
    sends(OG, false, "s",
          "POST http://h/v2/alerts/" HASH
          "/close?identifierType=alias\nAuthorization: GenieKey k\n",
          "{\"source\":\"x\"}");
    sends("opsgenie_configs: [{api_key: k, details: {s: over, z: '{{ .Status }}'}, tags: 'a,,b', "
          "responders: [{name: '{{ .CommonLabels.no }}', type: '{{ .CommonLabels.no }}'}, {name: "
          "'x,y', type: teams}, {id: i, type: user}]}]",
          true, "s", "POST https://api.opsgenie.com/v2/alerts\nAuthorization: GenieKey k\n",
          "\"responders\":[{\"name\":\"x\",\"type\":\"team\"},{\"name\":\"y\",\"type\":\"team\"},{"
          "\"id\":\"i\",\"type\":\"user\"}],\"tags\":[\"a\",\"b\"]");
    cuts(OG, "message", 130);
    judges(OG, 422, "", "", false, false);
    judges(OG, 429, "", "", false, true);
}

#define VO                                                                                         \
    "victorops_configs: [{api_key: k, routing_key: t, message_type: '{{ "                          \
    ".CommonAnnotations.summary "                                                                  \
    "}}', state_message: '{{ .CommonAnnotations.summary }}', custom_fields: {f: '{{ .Status "      \
    "}}'}}]"
#define VO_URL "POST https://alert.victorops.com/integrations/generic/20131114/alert/k/t\n"

TEST(notify_victorops)
{
    sends(VO, true, "INFO", VO_URL, "{\"message_type\":\"INFO\",\"entity_id\":\"" HASH "\",");
    sends(VO, true, "RECOVERY", VO_URL, "{\"message_type\":\"CRITICAL\",");
    sends(VO, false, "INFO", VO_URL, "{\"message_type\":\"RECOVERY\",");
    sends(VO, false, "INFO", VO_URL, "\"f\":\"resolved\"}");
    cuts(VO, "state_message", 20480);
    judges(VO, 401, "", "", false, false);
}

TEST(notify_discord)
{
    const char *hook =
        "discord_configs: [{webhook_url: 'http://h', title: '{{ "
        ".CommonAnnotations.summary }}', message: '{{ .CommonAnnotations.summary }}', "
        "content: '{{ .CommonAnnotations.summary }}', username: u, avatar_url: a}]";

    sends(
        hook, true, "s", "POST http://h\n",
        "{\"content\":\"s\",\"embeds\":[{\"title\":\"s\",\"description\":\"s\",\"color\":10038562}]"
        ",\"username\":\"u\",\"avatar_url\":\"a\"}");
    cuts(hook, "title", 256);
    cuts(hook, "description", 4096);
    cuts(hook, "content", 2000);
    judges(hook, 204, "", "", true, false);
    judges(hook, 429, "application/json", "{\"retry_after\":1}", false, true);
}

TEST(notify_msteams)
{
    sends("msteams_configs: [{webhook_url: 'http://h', title: t, summary: s, text: x}]", false, "s",
          "POST http://h\n",
          "\"title\":\"t\",\"summary\":\"s\",\"text\":\"x\",\"themeColor\":\"2DC72D\"}");
    sends("msteamsv2_configs: [{webhook_url: 'http://h', title: t, text: x}]", true, "s",
          "POST http://h\n", "\"text\":\"t\",\"color\":\"Attention\"},{\"type\":\"TextBlock\"");
    judges("msteamsv2_configs: [{webhook_url: 'http://h'}]", 202, "", "", true, false);
}

#define WEBEX                                                                                      \
    "webex_configs: [{room_id: r, message: '{{ .CommonAnnotations.summary }}', http_config: "      \
    "{authorization: {credentials: c}}}]"

TEST(notify_webex)
{
    char *text = runes("\xc3\xbc", 3720), *kept = runes("\xc3\xbc", 3718);
    char *want = mem_printf("{\"markdown\":\"%s\xe2\x80\xa6\",\"roomId\":\"r\"}", kept);

    sends(WEBEX, true, "s", "POST https://webexapis.com/v1/messages\nAuthorization: Bearer c\n",
          "{\"markdown\":\"s\",\"roomId\":\"r\"}");
    /* 7440 bytes where 7439 are taken */
    sends(WEBEX, true, text, "POST https://webexapis.com/v1/messages\nAuthorization: Bearer c\n",
          want);
    mem_free(text);
    mem_free(kept);
    mem_free(want);
}

#define TG(mode)                                                                                   \
    "telegram_configs: [{bot_token: t, chat_id: -7, message_thread_id: 3, disable_notifications: " \
    "true, parse_mode: " mode ", message: '{{ .CommonAnnotations.summary }}'}]"

TEST(notify_telegram)
{
    char *long_text = runes("&", 4096), *longer = runes("&", 4097);

    sends(TG("HTML"), true, "<b>", "POST https://api.telegram.org/bott/sendMessage\n",
          "{\"chat_id\":\"-7\",\"text\":\"&lt;b&gt;\",\"parse_mode\":\"HTML\","
          "\"disable_web_page_preview\":\"true\",\"disable_notification\":\"true\","
          "\"message_thread_id\":\"3\"}");
    sends(TG("''"), true, "<b>", "POST https://api.telegram.org/bott/sendMessage\n",
          "\"text\":\"<b>\",\"disable_web_page_preview\"");
    sends(TG("HTML"), true, long_text, "POST https://api.telegram.org/bott/sendMessage\n",
          "&amp;&amp;\""); /* an entity is one rune */
    sends(TG("HTML"), true, longer, "POST https://api.telegram.org/bott/sendMessage\n",
          "longer than Telegram takes");
    cuts(TG("Markdown"), "text", 4096);
    judges(TG("HTML"), 400, "application/json", "{\"ok\":false}", false, false);
    judges(TG("HTML"), 429, "application/json", "{\"ok\":false}", false, true);
    mem_free(long_text);
    mem_free(longer);
}
